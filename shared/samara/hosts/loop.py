"""A server's event loop: sockets that have news, and work that is due, one after the other in one thread.

A connection is told what asyncio tells a protocol, and asks of its stream what that asks of a transport. asyncio
itself, and libuv below it, answer no faster here, and loading them takes a sixth of the time from a start to the first
answer: mostly for TLS and subprocesses, of which a server behind somebody's front door needs neither.
"""

import logging
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from selectors import EVENT_READ, EVENT_WRITE, DefaultSelector
from socket import IPPROTO_TCP, SHUT_WR, TCP_NODELAY, socketpair
from socket import socket as Socket  # noqa: N812  # it is a class, and the module names it in lower case
from time import monotonic
from typing import Any, Protocol

log = logging.getLogger("samara")

PIECE = 64 << 10  # bytes read at a time
MOST_OWED = 64 << 10  # bytes that a client has yet to take, beyond which it gets no more answers
LITTLE_OWED = 16 << 10  # bytes, from which on it does again
ACCEPTED = 128  # connections in one turn of the loop

Work = Callable[[], None]


class Hears(Protocol):
    """Who is told what happens to a connection, in the words of `asyncio.Protocol`."""

    def connection_made(self, transport: "Stream") -> None: ...

    def data_received(self, data: bytes) -> None: ...

    def eof_received(self) -> bool:
        """Whether the connection stays, for what is still to be written."""

    def pause_writing(self) -> None: ...

    def resume_writing(self) -> None: ...

    def connection_lost(self) -> None: ...


class Loop:
    """Tells whoever watches a socket what happens to it, and does in between what is to be done `soon`."""

    def __init__(self) -> None:
        self._selector = DefaultSelector()
        self._work: deque[Work] = deque()
        self._awake = True  # whether work that comes is seen without a nudge
        self._elbow, self._ribs = socketpair()
        for end in (self._elbow, self._ribs):
            end.setblocking(False)
        self.watch(self._ribs, 0, EVENT_READ, self._nudged)

    def soon(self, work: Work) -> None:
        """Have `work` done in the loop. Any thread may ask; once the loop is closed, nothing comes of it."""
        self._work.append(work)
        if not self._awake:
            with suppress(OSError):  # closed, or nudged more than often enough
                self._elbow.send(b"\0")

    def watch(self, one: Socket, before: int, after: int, told: Callable[[int], None]) -> None:
        """Be told of other events of a socket than `before`. They are those of `selectors`, or 0 for none."""
        if not before:
            self._selector.register(one, after, told)
        elif after:
            self._selector.modify(one, after, told)
        else:
            self._selector.unregister(one)

    def run(self, until: Callable[[], bool], look: Callable[[float], None], every_s: float) -> None:
        """Go on until that is so. `look` is called each `every_s`, with the time: that costs less than many timers."""
        due = monotonic()
        while not until():
            if (now := monotonic()) >= due:
                due = now + every_s
                guarded(look, now)
            self._turn(every_s)

    def _turn(self, wait_s: float) -> None:
        """Tell what has happened, or what happens within that time, and do what is to be done by then."""
        self._awake = False
        news = self._selector.select(0 if self._work else wait_s)
        self._awake = True
        for key, events in news:
            guarded(key.data, events)
        for _ in range(len(self._work)):  # what comes of it has to wait for its turn
            guarded(self._work.popleft())

    def close(self) -> None:
        self._selector.close()
        self._elbow.close()
        self._ribs.close()

    def _nudged(self, _: int) -> None:
        with suppress(BlockingIOError):
            self._ribs.recv(PIECE)


def guarded(work: Callable[..., None], *given: Any) -> None:
    """Do something of which no bug may end the loop."""
    try:
        work(*given)
    except Exception:
        log.exception("a bug in the server; it goes on")


class Watched:
    """A socket of which a loop tells what happens to it, as far as that is wanted just now."""

    __slots__ = ("_events", "_loop", "_socket")

    def __init__(self, loop: Loop, one: Socket) -> None:
        one.setblocking(False)
        self._loop = loop
        self._socket = one
        self._events = 0

    def _watch(self, events: int) -> None:
        if events != self._events:
            self._loop.watch(self._socket, self._events, events, self._told)
            self._events = events

    def _told(self, events: int) -> None:
        raise NotImplementedError


class Door(Watched):
    """A listening socket. `made` makes who hears of each connection."""

    def __init__(self, loop: Loop, listening: Socket, made: Callable[[], Hears]) -> None:
        super().__init__(loop, listening)
        self._made = made

    def open(self) -> None:
        """Let connections in. The door shuts by itself while there is no room for more, and opens by this alone."""
        self._watch(EVENT_READ)

    def shut(self) -> None:
        self._watch(0)

    def _told(self, _: int) -> None:
        for _ in range(ACCEPTED):
            try:
                client, _ = self._socket.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                log.warning("no connections are let in for a moment: %s", error)
                self.shut()
                return
            Stream(self._loop, client, self._made())


class Stream(Watched):
    """One client's socket. What is written goes at once, or as soon as the client takes it."""

    __slots__ = ("_closing", "_ended", "_hears", "_lost", "_owed", "_owes", "_paused")

    def __init__(self, loop: Loop, client: Socket, hears: Hears) -> None:
        super().__init__(loop, client)
        with suppress(OSError):  # the client has hung up
            client.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)  # else an answer waits 40 ms for company
        self._hears = hears
        self._owed: deque[memoryview] = deque()
        self._owes = 0  # bytes
        self._closing = self._ended = self._lost = self._paused = False
        hears.connection_made(self)
        self._watch(EVENT_READ)

    def write(self, data: bytes) -> None:
        if self._closing:
            return
        sent = 0
        if not self._owed:
            try:
                sent = self._socket.send(data)
            except BlockingIOError:
                pass
            except OSError:
                self.abort()
                return
            if sent == len(data):
                return
            self._watch(self._events | EVENT_WRITE)
        self._owed.append(memoryview(data)[sent:])
        self._owes += len(data) - sent
        if self._owes > MOST_OWED and not self._paused:
            self._paused = True
            self._hears.pause_writing()

    def write_eof(self) -> None:
        """Say that nothing more comes, once all is written."""
        self._ended = True
        if not self._owed:
            self._shut()

    def close(self) -> None:
        """Read no more, and hang up once all is written."""
        if self._closing:
            return
        self._closing = True
        self._watch(self._events & ~EVENT_READ)
        if not self._owed:
            self._loop.soon(self._lose)

    def abort(self) -> None:
        self._closing = True
        self._owed.clear()
        self._owes = 0
        self._watch(0)
        self._loop.soon(self._lose)

    def pause_reading(self) -> None:
        self._watch(self._events & ~EVENT_READ)

    def resume_reading(self) -> None:
        if not self._closing:
            self._watch(self._events | EVENT_READ)

    def _told(self, events: int) -> None:
        try:
            if events & EVENT_WRITE:
                self._flush()
            if events & self._events & EVENT_READ:
                self._read()
        except Exception:
            self.abort()
            raise

    def _read(self) -> None:
        try:
            data = self._socket.recv(PIECE)
        except BlockingIOError:
            return
        except OSError:
            self.abort()
            return
        if data:
            self._hears.data_received(data)
            return
        self._watch(self._events & ~EVENT_READ)
        if not self._hears.eof_received():
            self.close()

    def _flush(self) -> None:
        owed = self._owed
        try:
            while owed:
                sent = self._socket.send(owed[0])
                self._owes -= sent
                if sent == len(owed[0]):
                    owed.popleft()
                else:
                    owed[0] = owed[0][sent:]
        except BlockingIOError:
            pass
        except OSError:
            self.abort()
            return
        if not owed:
            self._written()
        if self._paused and self._owes <= LITTLE_OWED and not self._closing:
            self._paused = False
            self._hears.resume_writing()

    def _written(self) -> None:
        """All is."""
        self._watch(self._events & ~EVENT_WRITE)
        if self._ended:
            self._shut()
        if self._closing:
            self._lose()

    def _shut(self) -> None:
        with suppress(OSError):  # the client has hung up
            self._socket.shutdown(SHUT_WR)

    def _lose(self) -> None:
        if not self._lost:
            self._watch(0)
            self._lost = True
            self._socket.close()
            self._hears.connection_lost()
            del self._hears  # which knows us: nobody need look for garbage
