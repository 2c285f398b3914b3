"""HTTP by the catalogue in one process: on a laptop, in a container, on a node of one's own.

It stands in for the clouds' function URLs and adds what they bring: limits, time-outs, one shape of error. Unless told
otherwise it answers this machine only, and no web page of another site may use it (DNS rebinding, cross-site requests).
"""

import asyncio
import importlib
import re
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

from samara import dispatch
from samara.app import App
from samara.catalogue import Catalogue, Function
from samara.core.strict import shown
from samara.entry import Handler
from samara.errors import Misconfigured, Rejected
from samara.hosts.connection import IDLE_S, PATIENCE_S, Connection, Room, Turn
from samara.hosts.http import addressee, failure
from samara.hosts.messages import Head, Line, address_of, head_of
from samara.hosts.ways import Apart, Both, Loading, Together, Way, Workers

THREADS = 8
GRACE_S = 5.0  # for running requests, when the server stops
BACKLOG = 2_048  # connections that the system holds until they are accepted
LOOPBACK = "127.0.0.1"
HERE = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:[0-9]{1,5})?", re.IGNORECASE)


class Routes(NamedTuple):
    """Who answers what. `anywhere` drops the rule that requests must name this machine as localhost."""

    functions: Catalogue
    app: App
    clock: Callable[[], datetime]
    handler_of: Callable[[str], Handler[Any]] = dispatch.handler_of
    anywhere: bool = False


class Desk:
    """Where the requests of one server meet the functions that answer them."""

    def __init__(self, routes: Routes, loop: asyncio.AbstractEventLoop) -> None:
        self._routes = routes
        self._loop = loop
        self._workers = Workers(THREADS, "http")
        self._ways: dict[str, Way] = {}

    def head(self, method: bytes, version: str, target: bytes, lines: list[Line]) -> Head:
        """What a request's first part says and who answers it, or `Rejected` when that cannot be told."""
        head = head_of(method, version, lines)
        try:
            head.path, head.query = address_of(target)
            same_site(head, anywhere=self._routes.anywhere)
            found = addressee(self._routes.functions, head.method, head.path)
        except Exception as error:  # noqa: BLE001  # whatever it is, whoever asked gets an answer
            found = failure(error, {"method": shown(head.method), "path": shown(head.path)})
        if isinstance(found, Function):
            head.function = found
        else:
            head.answer = found
        return head

    def take(self, turn: Turn) -> None:
        """Have a request answered by its function."""
        assert turn.head is not None  # noqa: S101  # only what was refused has none
        assert turn.head.function is not None  # noqa: S101  # else there is an answer already
        function = turn.head.function
        way = self._ways.get(function.name)
        if way is None:
            way = self._ways[function.name] = self._loading(function)
        way.add(turn)

    def stop(self) -> None:
        self._workers.stop()
        for way in self._ways.values():
            if isinstance(way, Both):
                way.stop()

    def _loading(self, function: Function) -> Loading:
        app, clock = self._routes.app.acting_as(function), self._routes.clock

        def found(handler: Handler[Any]) -> Way:
            apart = Apart(function, lambda request: handler(request, app), clock, self._workers, self._loop)
            way: Way = apart
            if handler.together is not None:
                group = Together(function, lambda requests: handler.answers(requests, app), clock, self._loop)
                way = Both(apart, group)
            self._ways[function.name] = way
            return way

        loading = Loading(function, found, failed=lambda: self._forget(function))
        loading.begin(lambda: self._routes.handler_of(function.name), self._workers, self._loop)
        return loading

    def _forget(self, function: Function) -> None:
        del self._ways[function.name]


def same_site(head: Head, *, anywhere: bool = False) -> None:
    """Refuse what a web page of another site could make a browser here send."""
    host = head.headers.get("host", "")
    if not (host if anywhere else HERE.fullmatch(host)):
        why = "is missing" if anywhere else "this server answers as localhost only"
        raise Rejected("host", why, code="bad_host")
    origin = head.headers.get("origin")
    foreign = origin is not None and urlsplit(origin).netloc.lower() != host.lower()
    foreign = foreign or head.headers.get("sec-fetch-site") in ("cross-site", "same-site")
    if foreign and head.method not in ("GET", "HEAD", "OPTIONS"):
        raise Rejected("origin", "pages of other sites may not post here", code="cross_site")


class Server:
    """An event loop that answers on one port: `run` it here, or `start` it in a thread. As a context, it stops."""

    def __init__(
        self,
        routes: Routes,
        port: int = 0,
        host: str = LOOPBACK,
        patience_s: float = PATIENCE_S,
        idle_s: float = IDLE_S,
    ) -> None:
        self._routes = routes
        self._room = Room(patience_s, idle_s)
        self._socket = bound(port, host)
        self.host = host
        self.port: int = self._socket.getsockname()[1]
        self._loop = new_loop()
        self._stopping = asyncio.Event()
        self._started = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    def start(self) -> Self:
        self._thread = threading.Thread(target=self.run, name="http", daemon=True)
        self._thread.start()
        self._started.wait()
        return self

    def run(self) -> None:
        """Answer until somebody stops it."""
        try:
            self._loop.run_until_complete(self._answer())
        finally:
            self._started.set()
            self._socket.close()
            self._loop.close()

    def soon(self) -> None:
        """Begin to stop. Any thread may ask for it, and as often as it likes."""
        with suppress(RuntimeError):  # the loop has ended already
            self._loop.call_soon_threadsafe(self._stopping.set)

    def stop(self) -> None:
        """Finish what is running, within a few seconds, and give the port back. Stopping twice is stopping once."""
        self.soon()
        if self._thread:
            self._thread.join(GRACE_S + 5)
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    async def _answer(self) -> None:
        room, desk = self._room, Desk(self._routes, self._loop)
        server = await self._loop.create_server(
            lambda: Connection(room, desk, self._loop), sock=self._socket, backlog=BACKLOG
        )
        look = self._loop.create_task(self._look())
        self._started.set()
        await self._stopping.wait()
        server.close()
        room.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(GRACE_S):
                while room.connections:
                    await asyncio.sleep(0.01)
        for connection in tuple(room.connections):
            connection.abort()
        look.cancel()
        desk.stop()
        await asyncio.sleep(0)

    async def _look(self) -> None:
        """One look at all connections now and then costs less than a timer for each request."""
        every = min(1.0, self._room.patience_s / 8)
        while True:
            await asyncio.sleep(every)
            self._room.look(self._loop.time())


def new_loop() -> asyncio.AbstractEventLoop:
    """libuv's event loop, or Python's where that is not installed: on Windows there is none."""
    try:
        uvloop = importlib.import_module("uvloop")
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


def bound(port: int, host: str = LOOPBACK) -> socket.socket:
    """A socket on this port, or on a free one for port 0."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio switches Nagle's algorithm off only for sockets that say they are TCP; with it, answers take 40 ms more
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    if sys.platform != "win32":  # there it means that several may have the port
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(BACKLOG)
    except (OSError, OverflowError) as error:
        listening.close()
        raise Misconfigured(f"port {port}", "is taken or not permitted; choose another one") from error
    return listening


def serve(routes: Routes, port: int = 0, patience_s: float = PATIENCE_S) -> Server:
    """A running server on this port of the loopback, or on any free one.

    A request's headers, and then its body, must arrive within `patience_s`.
    """
    return Server(routes, port, patience_s=patience_s).start()


def now() -> datetime:
    return datetime.now(UTC)
