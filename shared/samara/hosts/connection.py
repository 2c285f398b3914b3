"""One client's connection: bytes in, requests out, answers back in their order, and nobody waited for without end.

Requests of one connection run one after the other; those of different connections meet in `samara.hosts.ways`.
"""

import re
from collections import deque
from datetime import datetime
from math import inf
from time import monotonic
from typing import Any, Protocol

import httptools

from samara.core.strict import LARGEST
from samara.entry import refusal
from samara.errors import Rejected
from samara.events import HttpRequest, HttpResponse
from samara.events.http_head import LONGEST_HEADERS, too_large
from samara.hosts.http import failure
from samara.hosts.loop import Stream
from samara.hosts.messages import CONTINUE, LONGEST_TARGET, Head, Line, Said, encoded

PATIENCE_S = 10.0  # for a request's headers, and again for its body
IDLE_S = 75.0  # between two requests of a connection: longer than the load balancers in front of it keep theirs, 60 s
LINGER_S = 1.0  # how long a refused upload may still pour in, so that its sender gets to read the refusal
CLOGGED_S = 60.0  # for a client to take what it asked for
MOST_AT_ONCE = 1_024  # requests held at a time
MOST_BYTES = 64 * LARGEST  # of their bodies together
AHEAD = 16  # requests a connection may have waiting before no more are read from it
MOST_HEADS = 256  # remembered by a server
LONGEST_HEAD = 2_048  # bytes of one that is worth it
HEAD_ENDS = b"\r\n\r\n"
UNKNOWN_METHOD = re.compile(rb"([A-Z]{1,20}) (/[!-~]{0,2000}) HTTP/1\.1\r\n")

IDLE, HEAD, BODY = range(3)  # what a connection is in the middle of


class Room:
    """What the connections of a server share: who is there, how much is held, and how long may be waited."""

    def __init__(self, patience_s: float = PATIENCE_S, idle_s: float = IDLE_S) -> None:
        self.patience_s = patience_s
        self.idle_s = idle_s
        self.connections: set[Connection] = set()
        self.closing = False
        self._heads: dict[bytes, Head] = {}
        self._requests = 0
        self._bytes = 0

    def enter(self, size: int = 0) -> bool:
        """Whether there is room for one more request, so much of whose body has come; if so, it is taken."""
        if self._requests >= MOST_AT_ONCE or not self.hold(size):
            return False
        self._requests += 1
        return True

    def hold(self, size: int) -> bool:
        """Whether there is room for so much more of bodies; if so, it is taken. Not before it has come: else, a few who
        announce much and send nothing would leave no room for anybody."""
        if self._bytes + size > MOST_BYTES:
            return False
        self._bytes += size
        return True

    def leave(self, cost: int) -> None:
        self._requests -= 1
        self._bytes -= cost

    def known(self, data: bytes, end: int) -> Head | None:
        """The head in the first `end` bytes, if the very same were read before and exactly its body follows.

        Clients nearly always say the same: reading it again would take longer than all else that is done here.
        """
        head = self._heads.get(data[:end])
        return head if head is not None and head.length == len(data) - end else None

    def learn(self, data: bytes, head: Head) -> None:
        """Remember a head. `data` are all the bytes of a request that the connection outlives, and nothing else."""
        end = data.find(HEAD_ENDS) + len(HEAD_ENDS)
        plain = head.function is not None and not (head.waits or head.offers_another_protocol)
        if plain and head.length == len(data) - end and end <= LONGEST_HEAD:
            if len(self._heads) >= MOST_HEADS:
                del self._heads[next(iter(self._heads))]
            self._heads[data[:end]] = head

    def look(self, now: float) -> None:
        """End the waiting for those who are overdue."""
        for connection in [one for one in self.connections if one.due < now]:
            connection.overdue()

    def close(self) -> None:
        """Let everybody finish what runs, and hang up on the others."""
        self.closing = True
        for connection in tuple(self.connections):
            connection.finish()


class Answers(Protocol):
    """Who answers requests."""

    def head(self, method: bytes, version: str, target: bytes, lines: list[Line]) -> Head:
        """What a request's first part says and who answers it, or `Rejected` when that cannot be told."""

    def take(self, turn: "Turn") -> None:
        """Have a request answered by `turn.answer`: later, never before this returns."""


class Turn:
    """A request whose answer is due. The first answer counts; one that comes after its time is dropped."""

    __slots__ = ("_connection", "body", "cost", "head", "keeps", "lingers", "ready")

    def __init__(self, connection: "Connection", head: Head | None, body: bytes, *, keeps: bool, cost: int) -> None:
        self._connection: Connection | None = connection
        self.head = head
        self.body = body
        self.keeps = keeps
        self.cost = cost
        self.ready: HttpResponse | None = head.answer if head else None
        self.lingers = False

    @property
    def waiting(self) -> bool:
        return self._connection is not None

    def request(self, at: datetime) -> HttpRequest:
        """As the functions know it: to them HEAD is GET, of which the connection leaves the body out."""
        head = self.head
        assert head is not None  # noqa: S101  # only what was refused before it could be read has none
        method = "GET" if head.method == "HEAD" else head.method
        return HttpRequest(method, head.path, at, head.query, head.headers, self.body)

    def answer(self, response: HttpResponse) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.answered(self, response)


def busy() -> HttpResponse:
    return refusal(503, "busy", "too many requests at once; try again", {"retry-after": "1"})


class Refused(Exception):
    """Ends the reading of a request that is answered before it was read to its end."""

    def __init__(self, response: HttpResponse) -> None:
        self.response = response


class Connection:
    """Reads by llhttp, which is fed what arrives and calls back the `on_…` below."""

    def __init__(self, room: Room, answers: Answers) -> None:
        self._room = room
        self._answers = answers
        self._parser: Any = httptools.HttpRequestParser(self)
        self._transport: Any = None
        self._turns: deque[Turn] = deque()
        self._running = False  # whether the first turn is being answered
        self._doing = IDLE
        self._messages = 0
        self._seen = 0  # bytes of the message being read, but for those of the packet it began in
        self._target = b""
        self._lines: list[Line] = []
        self._said: Said | None = None  # and what it meant, for the clients that always say the same
        self._head: Head | None = None
        self._body: bytes | bytearray = b""
        self._cost: int | None = None  # of the message being read, once there is room for it
        self._owes_continue = False
        self._deaf = False  # whatever else comes is not read
        self._ended = False  # the client says no more
        self._paused = False
        self._clogged = False
        self._hung_up = False
        self.due = inf

    # what the event loop calls

    def connection_made(self, transport: Stream) -> None:
        self._transport = transport
        self._room.connections.add(self)
        self.due = monotonic() + self._room.patience_s

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        if self._doing or not self._said_before(data):
            while data:
                data = self._parse(data)
        if len(self._turns) > AHEAD and not self._paused:
            self._paused = True
            self._transport.pause_reading()
            self._await(inf)

    def _said_before(self, data: bytes) -> bool:
        """Whether this is a whole request with a head that was read before; if so, it is taken."""
        end = data.find(HEAD_ENDS) + len(HEAD_ENDS)
        head = self._room.known(data, end)
        if head is None or not self._room.enter(len(data) - end):
            return False
        self._messages += 1
        self._complete(Turn(self, head, data[end:], keeps=True, cost=len(data) - end))
        return True

    def _parse(self, data: bytes) -> bytes:
        """Read what has come. What has to be read once more, in other words, is given back."""
        between, message = self._doing == IDLE, self._messages
        try:
            self._parser.feed_data(data)
            if self._doing and message == self._messages:
                self._seen += len(data)
                self._check_size()
            elif between and self._messages == message + 1 and not (self._doing or self._deaf) and self._head:
                self._room.learn(data, self._head)
        except httptools.HttpParserUpgrade as offered:
            return self._stay_with_http(data[offered.args[0] :])
        except httptools.HttpParserError as error:
            if not self._deaf:  # what follows a request that was said to be the last does not matter
                self._last_word(self._refusal(error, data if self._messages == message + 1 else b""))
        except Refused as refused:
            self._last_word(refused.response)
        return b""

    def eof_received(self) -> bool:
        """Whether to stay, for what is still to be answered."""
        self._ended = True
        return bool(self._turns) and not self._hung_up

    def pause_writing(self) -> None:
        self._clogged = True
        self.due = monotonic() + CLOGGED_S

    def resume_writing(self) -> None:
        self._clogged = False
        if self._turns:
            self._await(inf)
            self._go_on()
        else:
            self._rest()

    def connection_lost(self) -> None:
        self._room.connections.discard(self)
        self._hung_up = self._deaf = True
        self.due = inf
        self._drop_all()
        self._parser = None  # it knows us, and we it

    # what the parser calls

    def on_message_begin(self) -> None:
        self._messages += 1
        self._seen = 0
        self._doing = HEAD
        self._target = b""
        self._lines = []
        self._body = b""
        if not self._paused:
            self._await(self._room.patience_s)

    def on_url(self, part: bytes) -> None:
        self._target += part
        if len(self._target) > LONGEST_TARGET:
            raise Rejected("path", f"and query have more than {LONGEST_TARGET:,} bytes", code="long_path")

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._doing == HEAD:  # what comes after a body says nothing that we would read
            self._lines.append((name, value))

    def on_headers_complete(self) -> None:
        said = (self._parser.get_method(), self._parser.get_http_version(), self._target, self._lines)
        if said != self._said:
            self._head = self._answers.head(*said)
            self._said = said
        head = self._head
        assert head is not None  # noqa: S101  # read just now, or before
        self._doing = BODY
        if head.offers_another_protocol and self._parser.should_upgrade():
            return
        if head.answer is not None and head.length != 0:
            raise Refused(head.answer)
        if (head.length or 0) > LARGEST:
            raise too_large(LARGEST)
        if not self._room.enter():
            raise Refused(busy())
        self._cost = 0
        if head.length != 0:
            self._await_body(head)

    def on_body(self, part: bytes) -> None:
        if self._cost is not None:
            if not self._room.hold(len(part)):
                raise Refused(busy())
            self._cost += len(part)
        if not self._body:
            self._body = part
            return
        if isinstance(self._body, bytes):
            self._body = bytearray(self._body)
        self._body += part
        if len(self._body) > LARGEST:
            raise too_large(LARGEST)

    def on_message_complete(self) -> None:
        cost, self._cost = self._cost, None
        if cost is None:  # it offers another protocol, and is read again without that
            return
        keeps = self._parser.should_keep_alive() and self._parser.get_http_version() == "1.1"
        self._doing = IDLE
        self._owes_continue = False
        self._deaf = not keeps
        body, self._body = bytes(self._body), b""  # which is the turn's now, however long the connection lasts
        self._complete(Turn(self, self._head, body, keeps=keeps, cost=cost))

    # what comes of it

    def _complete(self, turn: Turn) -> None:
        """A request is read to its end."""
        self._await(inf)
        self._turns.append(turn)
        if not self._running:
            self._go_on()

    def answered(self, turn: Turn, response: HttpResponse) -> None:
        """Send an answer, and go on with what was asked next."""
        self._running = False
        self._room.leave(turn.cost)
        if self._hung_up:
            return
        self._send(turn, response)
        if self._turns:
            self._go_on()

    def overdue(self) -> None:
        """What was waited for did not come in time."""
        if self._hung_up or self._clogged:
            self._transport.abort()
        elif self._doing == IDLE:
            self._hang_up()
        else:
            self.due = inf
            what = "headers" if self._doing == HEAD else "body"
            why = f"did not arrive within {self._room.patience_s:g} seconds"
            self._last_word(self._refusal(Rejected(what, why, code="slow")))

    def finish(self) -> None:
        """Answer what runs, and hang up."""
        self._deaf = True
        if not self._turns:
            self._hang_up()

    def abort(self) -> None:
        self._transport.abort()

    def _go_on(self) -> None:
        while self._turns and not self._running and not self._clogged and not self._hung_up:
            turn = self._turns[0]
            if turn.ready is None:
                self._running = True
                self._answers.take(turn)
            else:
                if turn.head:
                    self._room.leave(turn.cost)
                self._send(turn, turn.ready)

    def _send(self, turn: Turn, response: HttpResponse) -> None:
        self._turns.popleft()
        keeps = turn.keeps and not self._room.closing and not (self._ended and not self._turns)
        bodiless = turn.head is not None and turn.head.method == "HEAD"
        try:
            data = encoded(response, keeps=keeps, bodiless=bodiless)
        except Exception as error:  # noqa: BLE001  # whoever asked gets an answer
            data = encoded(failure(error, {}), keeps=keeps, bodiless=bodiless)
        self._transport.write(data)
        if not keeps:
            self._hang_up(lingers=turn.lingers)
        elif not self._turns:
            self._rest()

    def _await(self, seconds: float) -> None:
        """Wait so long for what the client says next; but who does not take what it asked for is waited for already."""
        if not self._clogged:
            self.due = monotonic() + seconds

    def _rest(self) -> None:
        """Everything read so far is answered."""
        if self._paused:
            self._paused = False
            self._transport.resume_reading()
        if self._owes_continue:
            self._owes_continue = False
            self._transport.write(CONTINUE)
        if self._clogged or self._running or self._hung_up:
            return
        self.due = monotonic() + (self._room.patience_s if self._doing else self._room.idle_s)

    def _await_body(self, head: Head) -> None:
        if not self._paused:
            self._await(self._room.patience_s)
        if head.waits:
            self._owes_continue = bool(self._turns)
            if not self._turns:
                self._transport.write(CONTINUE)

    def _check_size(self) -> None:
        """What the parser gathers without telling us, a long header above all, must not grow without end."""
        if self._doing == HEAD and self._seen > LONGEST_HEADERS + LONGEST_TARGET:
            why = f"have more than {LONGEST_HEADERS:,} bytes"
            raise Refused(self._refusal(Rejected("headers", why, code="long_headers")))
        if self._doing == BODY and self._seen > 2 * LARGEST:  # chunks of a byte each, or endless trailers
            raise Refused(self._refusal(too_large(LARGEST)))

    def _refusal(self, error: Exception, data: bytes = b"") -> HttpResponse:
        """What to say to a request that could not be read. `data` is where it began, if it began there."""
        if isinstance(error, httptools.HttpParserCallbackError):  # one of our own
            error = error.__context__ if isinstance(error.__context__, Exception) else error
        if isinstance(error, Refused):
            return error.response
        if isinstance(error, httptools.HttpParserInvalidMethodError) and (found := UNKNOWN_METHOD.match(data)):
            head = self._answers.head(found[1], "1.1", found[2], [(b"host", b"localhost")])
            return head.answer or refusal(405, "bad_method", f"{head.method} is not understood here")
        if isinstance(error, httptools.HttpParserError):
            why = f"is not well-formed HTTP/1.1: {error}"  # llhttp's words are fixed: none are the client's
            error = Rejected("request", why, code="bad_http")
        return failure(error, {})

    def _last_word(self, response: HttpResponse) -> None:
        """Answer when it is its turn, and end the connection. Nothing more is read."""
        self._deaf = True
        self._doing = IDLE
        self._leave_unread()
        turn = Turn(self, None, b"", keeps=False, cost=0)
        turn.ready, turn.lingers = response, True
        self._turns.append(turn)
        if not self._running:
            self._go_on()

    def _hang_up(self, *, lingers: bool = False) -> None:
        """Close, once all is written. Closing on unread bytes would make the client's system drop our answer."""
        self._hung_up = self._deaf = True
        self._drop_all()
        if lingers and not self._ended:
            self._transport.write_eof()
            if self._paused:
                self._paused = False
                self._transport.resume_reading()
            self.due = monotonic() + LINGER_S
        else:
            self._transport.close()
            self.due = monotonic() + CLOGGED_S

    def _drop_all(self) -> None:
        """Forget what nobody will hear the answer of. What runs already is left to run."""
        self._leave_unread()
        if self._running:
            self._turns.popleft()
        while self._turns:
            turn = self._turns.popleft()
            if turn.head:
                self._room.leave(turn.cost)
        self._running = False

    def _leave_unread(self) -> None:
        cost, self._cost = self._cost, None
        self._body = b""
        if cost is not None:
            self._room.leave(cost)

    def _stay_with_http(self, rest: bytes) -> bytes:
        """What offers another protocol, as if it did not, to be read again: whoever offers one takes HTTP/1.1 as
        well."""
        assert self._said is not None  # noqa: S101  # its headers were read
        method, version, target, lines = self._said
        said = [f"{method.decode()} ".encode() + target + f" HTTP/{version}\r\n".encode()]
        said += [name + b": " + value + b"\r\n" for name, value in lines if name.lower() != b"upgrade"]
        self._parser = httptools.HttpRequestParser(self)
        return b"".join((*said, b"\r\n", rest))
