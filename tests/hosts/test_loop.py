"""The server's event loop: nothing asked of it is lost or waits for other news, and neither bugs nor clients end it."""

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from random import Random

import pytest

from samara.hosts.loop import MOST_OWED, Door, Loop, Stream
from samara.hosts.server import bound

AN_HOUR_S = 3_600.0
PATIENCE_S = 10.0


class Heard:
    """Notes what a connection is told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.data = b""
        self.stays = False

    def connection_made(self, transport: Stream) -> None:
        self.stream = transport

    def data_received(self, data: bytes) -> None:
        if data == b"bug":
            raise RuntimeError("which nobody foresaw")
        self.data += data

    def eof_received(self) -> bool:
        self.told.append("end")
        return self.stays

    def pause_writing(self) -> None:
        self.told.append("clogged")

    def resume_writing(self) -> None:
        self.told.append("free")

    def connection_lost(self) -> None:
        self.told.append("lost")


class Running:
    """A loop in a thread, with a door of its own: only news of its sockets ends its waiting."""

    def __init__(self) -> None:
        self.loop = Loop()
        self.heard: list[Heard] = []
        self._listening = bound(0)
        self._ends = False
        Door(self.loop, self._listening, self._made).open()
        self.looked = threading.Event()
        self._thread = threading.Thread(target=self.loop.run, args=(lambda: self._ends, self._look, AN_HOUR_S))
        self._thread.start()

    def dialled(self) -> tuple[socket.socket, Heard]:
        before = len(self.heard)
        client = socket.create_connection(self._listening.getsockname(), timeout=PATIENCE_S)
        assert soon(lambda: len(self.heard) > before)
        return client, self.heard[before]

    def ask(self, work: Callable[[], None]) -> None:
        """Have it done, and everything asked for before it."""
        done = threading.Event()
        self.loop.soon(work)
        self.loop.soon(done.set)
        assert done.wait(PATIENCE_S)

    def close(self) -> None:
        self.loop.soon(partial(setattr, self, "_ends", True))
        self._thread.join(PATIENCE_S)
        self._listening.close()
        self.loop.close()

    def _look(self, _: float) -> None:
        self.looked.set()

    def _made(self) -> Heard:
        self.heard.append(Heard())
        return self.heard[-1]


@pytest.fixture
def running() -> Iterator[Running]:
    with closing(Running()) as there:
        yield there


def soon(so: Callable[[], bool]) -> bool:
    """Whether that becomes so in time."""
    until = time.monotonic() + PATIENCE_S
    while not so() and time.monotonic() < until:
        time.sleep(0.002)
    return so()


def test_what_many_threads_ask_for_is_all_done_and_in_the_order_of_each(running: Running) -> None:
    done: list[tuple[int, int]] = []
    each = 2_000

    def ask(who: int) -> None:
        for number in range(each):
            running.loop.soon(partial(done.append, (who, number)))

    threads = [threading.Thread(target=ask, args=(who,)) for who in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert soon(lambda: len(done) == 4 * each)
    assert [[number for who, number in done if who == one] for one in range(4)] == [list(range(each))] * 4


def test_the_first_look_waits_for_nothing(running: Running) -> None:
    """A server opens its door by it."""
    assert running.looked.wait(PATIENCE_S)


def test_what_comes_of_work_waits_for_its_turn(running: Running) -> None:
    """So that a function that always has more to do keeps nobody from being read."""
    client, heard = running.dialled()
    turns: list[bytes] = []

    def again() -> None:
        turns.append(heard.data)
        if not heard.data:
            running.loop.soon(again)

    with client:
        running.ask(again)
        client.sendall(b"me too")

        assert soon(lambda: turns[-1] == b"me too")


def test_a_bug_ends_the_connection_that_met_it_and_nothing_else(
    running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    other, heard = running.dialled()
    client, unlucky = running.dialled()
    with client, other:
        client.sendall(b"bug")
        running.ask(partial(int.__truediv__, 1, 0))  # type: ignore[arg-type]  # nobody asks what it gives
        assert client.recv(1) == b""
        other.sendall(b"still here")

        assert soon(lambda: heard.data == b"still here")
    assert unlucky.told == ["lost"]
    assert {record.exc_info[0] for record in caplog.records if record.exc_info} == {RuntimeError, ZeroDivisionError}


@pytest.mark.parametrize("seed", range(5))
def test_a_slow_client_gets_everything_and_is_not_written_to_for_ever(running: Running, seed: int) -> None:
    chance = Random(seed)  # noqa: S311  # a seeded one, for a test
    pieces = [chance.randbytes(chance.choice((1, 100, 50_000, 1_000_000))) for _ in range(40)]
    client, heard = running.dialled()
    got = bytearray()
    with client:
        for piece in pieces:
            running.ask(partial(heard.stream.write, piece))
        running.ask(heard.stream.close)
        clogged = list(heard.told)
        while chunk := client.recv(chance.choice((1_000, 300_000))):
            got += chunk

    assert got == b"".join(pieces)
    assert soon(lambda: heard.told[-1] == "lost")
    assert clogged == ["clogged"] or sum(map(len, pieces)) < MOST_OWED


def test_a_client_that_catches_up_may_ask_again(running: Running) -> None:
    client, heard = running.dialled()
    with client:
        for _ in range(3):
            running.ask(partial(heard.stream.write, bytes(20_000_000)))
            left = 20_000_000
            while left:
                left -= len(client.recv(left))

            assert soon(lambda: heard.told[-2:] == ["clogged", "free"])
    assert heard.told[:6] == ["clogged", "free"] * 3


def test_whoever_says_that_nothing_more_comes_may_still_be_answered(running: Running) -> None:
    client, heard = running.dialled()
    heard.stays = True
    with client:
        client.sendall(b"question")
        client.shutdown(socket.SHUT_WR)
        assert soon(lambda: heard.told == ["end"])
        running.ask(partial(heard.stream.write, b"answer"))
        running.ask(heard.stream.close)

        assert (client.recv(100), client.recv(100)) == (b"answer", b"")
    assert soon(lambda: heard.told == ["end", "lost"])


def test_what_a_client_says_while_nobody_reads_is_read_later(running: Running) -> None:
    client, heard = running.dialled()
    with client:
        running.ask(heard.stream.pause_reading)
        client.sendall(b"wait for me")
        running.ask(lambda: None)
        unread = heard.data
        running.ask(heard.stream.resume_reading)

        assert soon(lambda: heard.data == b"wait for me")
    assert unread == b""


@pytest.mark.parametrize("reads", [True, False])
def test_a_client_that_vanishes_is_noticed(running: Running, *, reads: bool) -> None:
    client, heard = running.dialled()
    if not reads:
        running.ask(heard.stream.pause_reading)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # hang up rudely
    client.close()

    def told() -> bool:
        if not reads:  # only who writes learns of it
            running.ask(partial(heard.stream.write, b"are you there?"))
        return heard.told == ["lost"]

    assert soon(told)
