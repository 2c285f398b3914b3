"""HTTP on a laptop: the catalogue's routes as an ASGI application, and a server for it.

It stands in for the clouds' function URLs and adds what they bring: limits, time-outs, one shape of error. It
answers this machine only, and no web page of another site may use it (DNS rebinding, cross-site requests).
"""

import asyncio
import re
import socket
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from typing import Any, Self
from urllib.parse import urlsplit

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from samara import dispatch
from samara.app import App
from samara.catalogue import Catalogue, Function
from samara.core.strict import shown
from samara.entry import refusal
from samara.errors import Misconfigured, Rejected
from samara.events import Event, HttpRequest, HttpResponse, local
from samara.events.local import Receive, Scope, Send
from samara.hosts.http import SECURITY, addressed, failure, got, response_of, secured

Deliver = Callable[[Function, Event, App], Any]

THREADS = 8
MOST_AT_ONCE = 64  # requests held at a time, each with a body of up to 6 MiB
PATIENCE_S = 10
GRACE_S = 5  # for running requests, when the server stops
HERE = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:[0-9]{1,5})?", re.IGNORECASE)


class Routes:
    """The ASGI application. Each request runs its function in a thread, with that function's permissions."""

    def __init__(
        self, functions: Catalogue, app: App, clock: Callable[[], datetime], deliver: Deliver, patience_s: float
    ) -> None:
        self._functions = functions
        self._app = app
        self._clock = clock
        self._deliver = deliver
        self._patience_s = patience_s
        self._running = 0
        self._threads: ThreadPoolExecutor | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            moment = (await receive())["type"]
            if moment == "lifespan.shutdown" and self._threads:
                self._threads.shutdown(wait=False, cancel_futures=True)
                self._threads = None
            await send({"type": f"{moment}.complete"})
            if moment == "lifespan.shutdown":
                return

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        unread = Unread(scope["headers"])
        self._running += 1
        try:
            response = await self._response(scope, receive, unread)
        except Exception as error:  # noqa: BLE001  # whatever it is, whoever asked gets an answer
            response = failure(error, {"method": shown(scope["method"]), "path": shown(scope["path"])})
        finally:
            self._running -= 1
        response = secured(response)
        if unread:
            await local.respond_and_hang_up(response, receive, send)
        else:
            await local.respond(response, send, without_body=scope["method"] == "HEAD")

    async def _response(self, scope: Scope, receive: Receive, unread: "Unread") -> HttpResponse:
        if self._running > MOST_AT_ONCE:
            return refusal(503, "busy", "too many requests at once; try again", {"retry-after": "1"})
        request = local.request(scope, self._clock())
        same_site(request)
        function = addressed(self._functions, request)
        if isinstance(function, HttpResponse):
            return function
        if unread:
            request = replace(request, body=await local.body(dict(request.headers), receive, self._patience_s))
            unread.done()
        return await self._run(function, got(request))

    async def _run(self, function: Function, request: HttpRequest) -> HttpResponse:
        self._threads = self._threads or ThreadPoolExecutor(THREADS, thread_name_prefix="http")
        loop = asyncio.get_running_loop()
        work = loop.run_in_executor(self._threads, self._deliver, function, request, self._app)
        try:
            async with asyncio.timeout(function.timeout_s):
                response = await work
        except TimeoutError:
            return refusal(503, "timeout", f"no answer within {function.timeout_s} seconds")
        return response_of(function, response)


class Unread:
    """Whether a request has a body that nobody has read yet."""

    def __init__(self, headers: list[tuple[bytes, bytes]]) -> None:
        said = {name.lower(): value.strip() for name, value in headers}
        self._there = b"transfer-encoding" in said or said.get(b"content-length", b"0") != b"0"

    def __bool__(self) -> bool:
        return self._there

    def done(self) -> None:
        self._there = False


def asgi(
    functions: Catalogue,
    app: App,
    clock: Callable[[], datetime],
    deliver: Deliver = dispatch.deliver,
    patience_s: float = PATIENCE_S,
) -> Routes:
    """An ASGI application that answers by the catalogue. A body must arrive within `patience_s`."""
    return Routes(functions, app, clock, deliver, patience_s)


def same_site(request: HttpRequest) -> None:
    """Refuse what a web page of another site could make a browser here send."""
    host = request.headers.get("host", "")
    if not HERE.fullmatch(host):
        raise Rejected("host", "this server answers as localhost only", code="bad_host")
    origin = request.headers.get("origin")
    foreign = origin is not None and urlsplit(origin).netloc.lower() != host.lower()
    foreign = foreign or request.headers.get("sec-fetch-site") in ("cross-site", "same-site")
    if foreign and request.method not in ("GET", "HEAD", "OPTIONS"):
        raise Rejected("origin", "pages of other sites may not post here", code="cross_site")


class Connection(H11Protocol):
    """uvicorn's connection with two gaps closed: it would wait for headers for ever, and say errors as plain text."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._await_request()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._await_request()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def _await_request(self) -> None:
        """Start the clock when a request may begin, and stop it when its headers are complete."""
        if self.conn.their_state is not h11.IDLE or self.transport.is_closing():
            self._stop_waiting()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(self.config.timeout_keep_alive, self._too_late)

    def _stop_waiting(self) -> None:
        if self._deadline:
            self._deadline.cancel()
        self._deadline = None

    def _too_late(self) -> None:
        self._deadline = None
        if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
            self._refuse(408, "slow", "the request's headers did not arrive in time")

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  # uvicorn's words are for its log
        error = sys.exception()
        if isinstance(error, h11.RemoteProtocolError) and error.error_status_hint == 431:
            self._refuse(431, "long_headers", "the request's headers are too large")
        else:
            self._refuse(400, "bad_http", "this is not a well-formed HTTP/1.1 request")

    def _refuse(self, status: int, code: str, why: str) -> None:
        self._stop_waiting()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            response = refusal(status, code, why)
            headers = {**SECURITY, **response.headers, "content-length": str(len(response.body)), "connection": "close"}
            for event in (
                h11.Response(status_code=status, headers=list(headers.items())),
                h11.Data(data=response.body),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()


class Server:
    """uvicorn in a thread of its own, on this machine's loopback only. As a context, it stops at the end."""

    def __init__(self, application: Routes, port: int, patience_s: float) -> None:
        self._socket = bound(port)
        self.port: int = self._socket.getsockname()[1]
        config = uvicorn.Config(
            application,
            http=Connection,
            ws="none",
            loop="asyncio",
            lifespan="on",
            log_config=None,
            log_level="error",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=patience_s,  # type: ignore[arg-type]  # it goes to call_later, which takes fractions
            timeout_graceful_shutdown=GRACE_S,
            h11_max_incomplete_event_size=local.LONGEST_HEADERS,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), name="http", daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> Self:
        self._thread.start()
        while not self._server.started and self._thread.is_alive():
            time.sleep(0.005)
        if not self._server.started:
            raise Misconfigured(self.url, "the server did not start; its log says why")
        return self

    def stop(self) -> None:
        """Finish what is running, within a few seconds, and give the port back. Stopping twice is stopping once."""
        self._server.should_exit = True
        self._thread.join(GRACE_S + 5)
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def bound(port: int) -> socket.socket:
    """A socket on this port of the loopback, or on a free one for port 0."""
    # asyncio switches Nagle's algorithm off only for sockets that say they are TCP; with it, answers take 40 ms more
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(("127.0.0.1", port))
    except (OSError, OverflowError) as error:
        listening.close()
        raise Misconfigured(f"port {port}", "is taken or not permitted; choose another one") from error
    return listening


def serve(application: Routes, port: int = 0, patience_s: float = PATIENCE_S) -> Server:
    """A running server on this port, or on any free one. A request's headers must arrive within `patience_s`."""
    return Server(application, port, patience_s).start()
