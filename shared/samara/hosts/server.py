"""HTTP by the catalogue in one process: on a laptop, in a container, on a node of one's own.

It stands in for the clouds' function URLs and adds what they bring: limits, time-outs, one shape of error. Unless told
otherwise it answers this machine only, and no web page of another site may use it (DNS rebinding, cross-site requests).
"""

import errno
import re
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from time import monotonic
from typing import Any, NamedTuple, Self

from samara import dispatch
from samara.app import App
from samara.catalogue import Catalogue, Function
from samara.core.strict import shown
from samara.entry import Handler
from samara.errors import Misconfigured, Rejected
from samara.events import HttpRequest, HttpResponse
from samara.hosts.connection import IDLE_S, PATIENCE_S, Connection, Room, Turn
from samara.hosts.http import addressee, failure
from samara.hosts.loop import Door, Loop
from samara.hosts.messages import Head, Line, address_of, head_of, named_host
from samara.hosts.ways import WORKERS, Apart, Both, Loading, Together, Way, Workers

THREADS = 8
GRACE_S = 5.0  # for running requests, when the server stops
SHORTLY_S = 0.01
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

    def __init__(self, routes: Routes, loop: Loop) -> None:
        self._routes = routes
        self._loop = loop
        self._workers = Workers(THREADS, "http")
        self._ways: dict[str, Way] = {}

    def head(self, method: bytes, version: str, target: bytes, lines: list[Line]) -> Head:
        """What a request's first part says and who answers it, or `Rejected` when that cannot be told."""
        head = head_of(method, version, lines)
        try:
            host, target = named_host(target)
            if host:
                head.headers = {**head.headers, "host": host.decode("latin-1")}
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

    def look(self, now: float) -> None:
        """End the waiting for what takes too long."""
        for way in self._ways.values():
            way.look(now)

    def stop(self) -> None:
        self._workers.stop()
        for way in self._ways.values():
            if isinstance(way, Both):
                way.stop()

    def _loading(self, function: Function) -> Loading:
        def found(handler: Handler[Any]) -> Way:
            way = self._ways[function.name] = self._way(function, handler)
            return way

        loading = Loading(function, found, failed=lambda: self._forget(function))
        loading.begin(lambda: self._routes.handler_of(function.name), self._workers, self._loop)
        return loading

    def _way(self, function: Function, handler: Handler[Any]) -> Way:
        app, clock = self._routes.app.acting_as(function), self._routes.clock
        haste = app._replace(hasty=True)

        def apart(workers: Workers) -> Apart:
            return Apart(function, lambda request: handler(request, app), clock, workers, self._loop)

        def together(requests: Sequence[HttpRequest]) -> Sequence[HttpResponse]:
            return handler.answers(requests, app)

        def at_once(requests: Sequence[HttpRequest]) -> Sequence[HttpResponse]:
            return handler.answers(requests, haste)

        if handler.together is None:
            return apart(self._workers)
        lasting = apart(Workers(WORKERS, f"{function.name}-lasting"))
        group = Together(function, together, at_once, clock, self._loop)
        return Both(handler.gathers, apart(self._workers), lasting, group)

    def _forget(self, function: Function) -> None:
        del self._ways[function.name]


def same_site(head: Head, *, anywhere: bool = False) -> None:
    """Refuse what a web page of another site could make a browser here send."""
    host = head.headers.get("host", "")
    if not (host if anywhere else HERE.fullmatch(host)):
        why = "is missing" if anywhere else "this server answers as localhost only"
        raise Rejected("host", why, code="bad_host")
    origin = head.headers.get("origin")
    foreign = origin is not None and origin.partition("://")[2].lower() != host.lower()
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
        self._loop = Loop()
        self._ends = False
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
            self._answer()
        finally:
            self._started.set()
            self._socket.close()
            self._loop.close()

    def soon(self) -> None:
        """Begin to stop. Any thread may ask for it, and as often as it likes."""
        self._loop.soon(self._end)

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

    def _answer(self) -> None:
        room, desk = self._room, Desk(self._routes, self._loop)
        door = Door(self._loop, self._socket, lambda: Connection(room, desk))

        def look(now: float) -> None:
            room.look(now)
            desk.look(now)
            if not room.closing:
                door.open()

        self._started.set()
        self._loop.run(lambda: self._ends, look, min(1.0, room.patience_s / 8))
        room.close()
        door.shut()
        grace = monotonic() + GRACE_S
        self._loop.run(lambda: not room.connections or monotonic() > grace, look, SHORTLY_S)
        for connection in tuple(room.connections):
            connection.abort()
        desk.stop()
        self._loop.run(lambda: not room.connections, look, SHORTLY_S)

    def _end(self) -> None:
        self._ends = True


def bound(port: int, host: str = LOOPBACK) -> socket.socket:
    """A socket on this port, or on a free one for port 0."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    if sys.platform != "win32":  # there it means that several may have the port
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(BACKLOG)
    except (OSError, OverflowError) as error:
        listening.close()
        if isinstance(error, socket.gaierror) or getattr(error, "errno", 0) == errno.EADDRNOTAVAIL:
            why = "is no address of this machine; 127.0.0.1 is for itself alone, 0.0.0.0 for all who can reach it"
            raise Misconfigured(host, why) from error
        raise Misconfigured(f"port {port}", "is taken or not permitted; choose another one") from error
    return listening


def serve(routes: Routes, port: int = 0, patience_s: float = PATIENCE_S) -> Server:
    """A running server on this port of the loopback, or on any free one.

    A request's headers, and then its body, must arrive within `patience_s`.
    """
    return Server(routes, port, patience_s=patience_s).start()


def now() -> datetime:
    return datetime.now(UTC)
