"""The server, over real sockets: what it gives to functions and when, what it says back, and how it ends."""

import gc
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samara.app import App
from samara.catalogue import Function, Http
from samara.core.sealed import Maker
from samara.entry import Handler, on_http
from samara.errors import Misconfigured, NotAtOnce
from samara.events import HttpRequest, HttpResponse
from samara.hosts import connection, ways
from samara.hosts.connection import Connection
from samara.hosts.loop import Stream
from samara.hosts.messages import encoded
from samara.hosts.server import Routes, Server
from samara.providers.memory import MemoryJobs, MemoryStore

CATALOGUE = (
    Function("echo", (Http("/echo", methods=("GET", "POST")),), "answers each by itself", timeout_s=2),
    Function("group", (Http("/group", methods=("GET", "POST")),), "answers together", timeout_s=2),
)
GET = b"GET /group HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Group:
    """A function that answers together, says in each answer with how many, and can be held up."""

    def __init__(self) -> None:
        self.free = threading.Event()
        self.free.set()
        self.entered = threading.Semaphore(0)
        self.sizes: list[int] = []
        self.threads: list[str] = []
        self.loaded = True

    def one(self, event: HttpRequest, _app: App) -> HttpResponse:
        if event.path.endswith("/slow"):
            time.sleep(4)
        if event.path.endswith("/long"):
            time.sleep(0.6)
        if event.path.endswith("/lasts"):
            self.free.wait(10)
        if event.body == b"stuck":
            time.sleep(2 * ways.STUCK_S)
        if event.path.endswith("/split"):
            return HttpResponse(200, b"", {"x": "a\r\nset-cookie: b"})
        said = {"method": event.method, "path": event.path, "query": event.query, "body": event.body.decode()}
        return HttpResponse(200, json.dumps(said).encode(), {"content-type": "application/json"})

    def together(self, events: Sequence[HttpRequest], app: App) -> list[HttpResponse]:
        if app.hasty and not self.loaded:
            raise NotAtOnce
        self.sizes.append(len(events))
        self.threads.append(threading.current_thread().name)
        self.entered.release()
        self.free.wait(10)
        if any(event.path.endswith("/bug") for event in events):
            raise RuntimeError("secret")
        if any(event.path.endswith("/few") for event in events):
            return []
        return [self.one(event, app) for event in events]

    def handler_of(self, name: str) -> Handler[HttpRequest]:
        return (
            on_http(self.one)
            if name == "echo"
            else Handler(self.one, (HttpRequest,), self.together, lasting=("/lasts",))
        )


@pytest.fixture
def group() -> Group:
    return Group()


@pytest.fixture
def routes(group: Group) -> Routes:
    app = App(MemoryStore(), MemoryJobs(), Maker(function="test", code="0" * 64))
    return Routes(CATALOGUE, app, lambda: datetime.now(UTC), group.handler_of)


@pytest.fixture
def server(routes: Routes) -> Iterator[Server]:
    with Server(routes, patience_s=1, idle_s=2) as running:
        yield running.start()


def dialled(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=10)


def said(server: Server, *pieces: bytes) -> bytes:
    """Everything that comes back for these packets, until the server hangs up."""
    with closing(dialled(server)) as wire:
        for piece in pieces:
            wire.sendall(piece)
        return rest(wire)


def rest(wire: socket.socket) -> bytes:
    """What comes until the server hangs up; then so do we."""
    got = b""
    with closing(wire):
        while chunk := wire.recv(1 << 16):
            got += chunk
    return got


def statuses(got: bytes) -> list[int]:
    return [int(code) for code in re.findall(rb"HTTP/1\.1 (\d+) ", got)]


def bodies(got: bytes) -> list[str]:
    """What the requests' bodies were, as their answers tell."""
    return [one["body"] for one in answers(got)]


def answers(got: bytes) -> list[dict[str, Any]]:
    """The bodies of these responses, cut by what they say of their lengths."""
    found = []
    while got:
        head, _, after = got.partition(b"\r\n\r\n")
        length = int(re.findall(rb"content-length: (\d+)", head)[0])
        found.append(json.loads(after[:length]))
        got = after[length:]
    return found


def post(body: bytes, path: bytes = b"/group", *headers: bytes) -> bytes:
    lines = b"".join(header + b"\r\n" for header in (b"Host: localhost", *headers))
    return b"POST " + path + b" HTTP/1.1\r\n" + lines + b"Content-Length: %d\r\n\r\n" % len(body) + body


def chunked(body: bytes) -> bytes:
    head = b"POST /group HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunks = b"".join(b"1;of=one\r\n" + bytes([byte]) + b"\r\n" for byte in body)
    return head + chunks + b"0\r\nX-Trailer: ignored\r\n\r\n"


MUCH = b"x" * 6_000_000  # more than the system keeps for a client that does not read
LAST = post(b"last", b"/group", b"Connection: close")


def test_requests_that_arrive_while_others_run_are_answered_by_one_call(server: Server, group: Group) -> None:
    group.free.clear()
    early = [dialled(server) for _ in range(ways.WORKERS)]
    for wire in early:
        wire.sendall(post(b"early", b"/group", b"Connection: close"))
        group.entered.acquire(timeout=10)

    late = [dialled(server) for _ in range(20)]
    for number, wire in enumerate(late):
        wire.sendall(post(b"%d" % number, b"/group", b"Connection: close"))
    time.sleep(0.3)
    group.free.set()

    assert [bodies(rest(wire)) for wire in late] == [[str(number)] for number in range(20)]
    assert group.sizes[ways.WORKERS :] == [20]
    assert [bodies(rest(wire)) for wire in early] == [["early"]] * ways.WORKERS


LONG = post(b"", b"/group/long", b"Connection: close")


def test_what_takes_long_by_itself_does_not_wait_for_others_of_its_kind(server: Server, group: Group) -> None:
    said(server, LONG)
    group.free.clear()
    wires = [dialled(server) for _ in range(5)]
    for wire in wires:
        wire.sendall(LONG)
    time.sleep(0.3)
    group.free.set()

    assert [statuses(rest(wire)) for wire in wires] == [[200]] * 5
    assert group.sizes == [1] * 6


def test_who_waits_too_long_for_others_is_told(server: Server) -> None:
    said(server, LONG)
    wires = [dialled(server) for _ in range(20)]
    for wire in wires:
        wire.sendall(LONG)

    got = [rest(wire) for wire in wires]

    assert {code for one in got for code in statuses(one)} == {200, 503}
    assert bodies(said(server, LAST)) == ["last"], "nobody has to wait for those who were told"


def test_how_it_is_doing_a_function_says_even_while_all_its_workers_are_busy(server: Server, group: Group) -> None:
    group.free.clear()
    busy = [dialled(server) for _ in range(ways.WORKERS)]
    for wire in busy:
        wire.sendall(post(b"busy", b"/group", b"Connection: close"))
        group.entered.acquire(timeout=10)

    meanwhile = httpx.get(f"{server.url}/group", timeout=1.5)
    group.free.set()

    assert meanwhile.status_code == 200
    assert [bodies(rest(wire)) for wire in busy] == [["busy"]] * ways.WORKERS


def test_a_function_that_answers_at_once_does_so_too(server: Server, group: Group) -> None:
    with httpx.Client(base_url=server.url) as client:
        told = [client.post("/group", content=str(number)).json()["body"] for number in range(200)]

    assert told == [str(number) for number in range(200)]
    assert sum(group.sizes) == 200


def practise(server: Server, group: Group) -> None:
    """Have short POSTs be quick until they are answered at once, by the thread that all others wait for."""
    with httpx.Client(base_url=server.url) as client:
        group.threads.clear()
        while [apart(thread) for thread in group.threads[-2:]] != [False, False]:
            client.post("/group", content=b"quick")
        group.threads.clear()


def apart(thread: str) -> bool:
    return thread.startswith("group-together")


@pytest.mark.parametrize(
    ("path", "body"), [(b"/group/slow", b"quick"), (b"/group", MUCH)], ids=["of another address", "of another size"]
)
def test_what_may_be_slow_is_not_answered_at_once_because_other_requests_were_quick(
    server: Server, group: Group, path: bytes, body: bytes
) -> None:
    practise(server, group)

    with closing(dialled(server)) as wire:
        wire.sendall(post(body, path, b"Connection: close"))
        meanwhile = httpx.get(f"{server.url}/group", timeout=1.5)
        rest(wire)

    assert meanwhile.status_code == 200
    assert [apart(thread) for thread in group.threads] == [True]


def test_once_it_was_stuck_it_is_not_answered_at_once_any_more(server: Server, group: Group) -> None:
    group.threads.append("group-together")
    while apart(group.threads[0]):  # for this machine may be slow just now
        practise(server, group)
        for body in (b"stuck", b"quick"):
            said(server, post(body, b"/group", b"Connection: close"))

    assert [apart(thread) for thread in group.threads] == [False, True]


def test_what_turns_out_to_take_its_time_is_begun_anew_in_a_thread(server: Server, group: Group) -> None:
    practise(server, group)
    group.loaded = False

    assert bodies(said(server, LAST)) == ["last"]

    assert [apart(thread) for thread in group.threads] == [True]


def test_for_what_lasts_nobody_else_waits(server: Server, group: Group) -> None:
    group.free.clear()
    lasting = [dialled(server) for _ in range(ways.WORKERS + 8)]
    for wire in lasting:
        wire.sendall(post(b"", b"/group/lasts", b"Connection: close"))
    time.sleep(0.2)

    question = httpx.get(f"{server.url}/group", timeout=1.5)
    with closing(dialled(server)) as wire:
        wire.sendall(LAST)
        assert group.entered.acquire(timeout=1.5)
        group.free.set()
        assert bodies(rest(wire)) == ["last"]

    assert question.status_code == 200
    assert [statuses(rest(wire)) for wire in lasting] == [[200]] * len(lasting)


@pytest.mark.parametrize("path", [b"/group/bug", b"/group/few"])
def test_what_goes_wrong_with_all_is_said_to_each(server: Server, path: bytes) -> None:
    wires = [dialled(server) for _ in range(3)]
    for wire in wires:
        wire.sendall(post(b"", path, b"Connection: close"))

    got = [rest(wire) for wire in wires]

    assert [statuses(one) for one in got] == [[500]] * 3
    assert not [one for one in got if b"secret" in one or b'"code":"' not in one]


def test_a_call_without_end_is_answered_for_and_others_are_served_meanwhile(server: Server) -> None:
    with closing(dialled(server)) as wire:
        wire.sendall(post(b"", b"/group/slow", b"Connection: close"))

        meanwhile = httpx.get(f"{server.url}/group", timeout=1.5)

        assert meanwhile.status_code == 200
        assert b'"code":"timeout"' in rest(wire)


def test_who_comes_while_no_call_ends_is_not_left_waiting(server: Server, group: Group) -> None:
    group.free.clear()
    stuck = []
    for _ in range(ways.WORKERS):
        stuck.append(dialled(server))
        stuck[-1].sendall(post(b"", b"/group", b"Connection: close"))
        group.entered.acquire(timeout=10)

    got = said(server, LAST)
    again = said(server, LAST)
    group.free.set()

    assert b'"code":"timeout"' in got
    assert b'"code":"timeout"' in again
    assert [statuses(rest(wire)) for wire in stuck] == [[503]] * ways.WORKERS
    time.sleep(0.2)
    assert bodies(said(server, LAST)) == ["last"], "once they have ended, it answers again"


def test_pipelined_requests_are_answered_in_turn_whoever_answers(server: Server) -> None:
    nothing = b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n"
    mixed = [post(b"1", b"/echo"), post(b"2"), nothing, chunked(b"three"), LAST]

    got = said(server, b"".join(mixed))

    assert statuses(got) == [200, 200, 404, 200, 200]
    assert [one.get("body") for one in answers(got)] == ["1", "2", None, "three", "last"]


def test_hundreds_of_pipelined_requests_are_all_answered(server: Server) -> None:
    got = said(server, *(post(b"%d" % number) for number in range(500)), LAST)

    assert bodies(got) == [*(str(number) for number in range(500)), "last"]


@pytest.fixture(scope="module")
def steady() -> Iterator[Server]:
    app = App(MemoryStore(), MemoryJobs(), Maker(function="test", code="0" * 64))
    with Server(Routes(CATALOGUE, app, lambda: datetime.now(UTC), Group().handler_of)) as running:
        yield running.start()


TALK = post(b"one") + chunked(b"two") + GET + post(b"x" * 50, b"/echo/%C3%A9?a=1&b=") + post(b"") + LAST


@given(cuts=st.lists(st.integers(1, len(TALK) - 1), max_size=8, unique=True))
@settings(max_examples=40, deadline=None)
def test_however_packets_are_cut_the_answers_are_the_same(steady: Server, cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(TALK)]

    with closing(dialled(steady)) as wire:
        wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start, end in pairwise(edges):
            wire.sendall(TALK[start:end])
            time.sleep(0.001)
        got = rest(wire)

    assert statuses(got) == [200] * 6
    told = answers(got)
    assert [one["body"] for one in told] == ["one", "two", "", "x" * 50, "", "last"]
    assert told[3]["path"] == "/echo/é"
    assert told[3]["query"] == {"a": "1", "b": ""}


def told(wire: socket.socket, *packets: bytes, count: int = 1) -> list[str]:
    """The bodies of the `count` requests that these packets complete, each packet by itself."""
    for packet in packets:
        wire.sendall(packet)
        time.sleep(0.01)
    got = b""
    while len(statuses(got)) < count or not got.endswith(b"}"):
        got += wire.recv(1 << 16)
    return bodies(got)


def test_a_head_that_was_read_before_means_the_same_whatever_follows_it(server: Server) -> None:
    one, two = post(b"one"), post(b"two")

    with closing(dialled(server)) as wire:
        assert [told(wire, said) for said in (one, one, two)] == [["one"], ["one"], ["two"]]
        assert told(wire, one[:-1], one[-1:]) == ["one"], "its body comes later"
        assert told(wire, one + two, count=2) == ["one", "two"], "another comes with it"
        assert told(wire, one + two[:-1], two[-1:], count=2) == ["one", "two"], "part of another comes with it"
        assert told(wire, post(b"four"), one, count=2) == ["four", "one"], "another length is another head"
        wire.sendall(one[: one.index(b"\r\n")])
        assert told(wire, one[one.index(b"\r\n") :]) == ["one"], "it comes in two"


def test_a_head_that_was_refused_is_refused_again(server: Server) -> None:
    foreign = post(b"x", b"/group", b"Origin: https://elsewhere.example")

    for _ in range(2):
        with closing(dialled(server)) as wire:
            assert told(wire, post(b"one")) == ["one"]
            wire.sendall(foreign)
            assert statuses(rest(wire)) == [403]


def test_no_more_heads_are_remembered_than_a_few_hundred_short_ones(server: Server) -> None:
    room = server._room  # nobody else can tell

    with closing(dialled(server)) as wire:
        for number in range(connection.MOST_HEADS + 10):
            wire.sendall(post(b"x", b"/group?%d" % number))
            wire.recv(1 << 16)
        wire.sendall(post(b"x", b"/group", b"X: " + b"x" * connection.LONGEST_HEAD))
        wire.recv(1 << 16)

    assert len(room._heads) == connection.MOST_HEADS
    assert max(map(len, room._heads)) < connection.LONGEST_HEAD


STRICT: dict[str, tuple[bytes, int]] = {
    "a folded header": (b"GET /group HTTP/1.1\r\nHost: localhost\r\nX: a\r\n b\r\n\r\n", 400),
    "lines that end without CR": (b"GET /group HTTP/1.1\nHost: localhost\n\n", 400),
    "a space before the colon": (b"GET /group HTTP/1.1\r\nHost : localhost\r\n\r\n", 400),
    "another coding below": (post(b"", b"/group", b"Transfer-Encoding: gzip, chunked"), 400),
    "chunks in HTTP/1.0": (chunked(b"").replace(b"HTTP/1.1", b"HTTP/1.0"), 400),
    "HTTP/0.9": (b"GET /group\r\n\r\n", 400),
    "HTTP/2": (b"GET /group HTTP/2.0\r\nHost: localhost\r\n\r\n", 400),
    "a long target": (b"GET /group?" + b"a" * 8_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 414),
    "a header that grows": (b"GET /group HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 200_000, 431),
    "an upload nobody wants": (post(b"x" * 1_000_000, b"/nothing"), 404),
    "an unheard-of method": (b"BREW /group HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
    "a cookie in an answer": (b"GET /group/split HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 500),
}


@pytest.mark.parametrize("name", STRICT)
def test_what_two_readers_could_take_differently_is_refused_once_and_the_last(server: Server, name: str) -> None:
    sent, status = STRICT[name]

    got = said(server, sent)

    assert statuses(got) == [status]
    assert b"connection: close" in got
    assert b"set-cookie" not in got


POST = b"POST /group HTTP/1.1\r\nHost: localhost\r\n"
MALFORMED: dict[str, tuple[bytes, str]] = {
    "two lengths": (POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", "Duplicate Content-Length"),
    "a length and chunks": (
        POST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "Transfer-Encoding can't be present with Content-Length",
    ),
    "lines that end without CR": (b"GET /group HTTP/1.1\nHost: localhost\n\n", "Expected CRLF after version"),
    "a path that is not ASCII": ("GET /größe HTTP/1.1\r\nHost: localhost\r\n\r\n".encode(), "Invalid char in url path"),
    "a chunk of no size": (POST + b"Transfer-Encoding: chunked\r\n\r\nsecret\r\n", "Invalid character in chunk size"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_malformed_is_said_in_words_that_are_not_the_clients(server: Server, name: str) -> None:
    sent, why = MALFORMED[name]

    (answer,) = answers(said(server, sent))

    assert answer["error"].startswith(f"request: is not well-formed HTTP/1.1: {why}")
    assert "secret" not in answer["error"]


def test_trailers_without_end_are_cut_off(server: Server) -> None:
    before = psutil.Process().memory_info().rss
    with closing(dialled(server)) as wire:
        wire.sendall(chunked(b"").removesuffix(b"ignored\r\n\r\n"))
        with suppress(OSError):  # refused before all of it was sent
            for _ in range(1_000):
                wire.sendall(b"a" * 100_000)

        assert statuses(wire.recv(1 << 16)) in ([413], [408]), "too much, or in too much time"
    assert psutil.Process().memory_info().rss - before < 60_000_000


def test_a_client_that_waits_for_leave_to_send_gets_it_in_its_turn(server: Server) -> None:
    with closing(dialled(server)) as wire:
        wire.sendall(post(b"", b"/group") + post(b"abc", b"/group", b"Expect: 100-continue", b"Connection: close")[:-3])
        got = b""
        while b"100 Continue" not in got:
            got += wire.recv(1 << 16)
        wire.sendall(b"abc")
        got += rest(wire)

    assert statuses(got) == [200, 100, 200]


def test_leave_to_send_comes_in_its_turn_even_to_who_was_slow_to_take_the_answers_before(server: Server) -> None:
    with closing(dialled(server)) as wire:
        wire.sendall(post(MUCH) + post(b"next"))
        time.sleep(0.5)
        wire.sendall(post(b"abc", b"/group", b"Expect: 100-continue", b"Connection: close")[:-3])
        time.sleep(0.2)
        got = b""
        while b"100 Continue" not in got:
            got += wire.recv(1 << 20)
        wire.sendall(b"abc")
        got += rest(wire)

    assert statuses(got) == [200, 200, 100, 200]


def test_who_does_not_take_the_answer_cannot_stay_by_asking_for_more(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "CLOGGED_S", 1)
    with closing(dialled(server)) as wire:
        wire.sendall(post(MUCH))
        time.sleep(0.5)
        wire.sendall(GET)
        time.sleep(2.5)
        got = rest(wire)

    assert statuses(got) == [200]
    assert len(got) < len(MUCH), "the rest was not kept for them"


def test_leave_to_send_is_not_given_for_what_is_refused(server: Server) -> None:
    asks = b"POST /group HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"

    got = said(server, asks + b"Content-Length: 9000000\r\n\r\n")

    assert statuses(got) == [413]


def test_http_1_0_knows_no_leave_to_send(server: Server) -> None:
    asks = post(b"abc", b"/group", b"Expect: 100-continue").replace(b"HTTP/1.1", b"HTTP/1.0")

    with closing(dialled(server)) as wire:
        wire.sendall(asks[:-3])
        time.sleep(0.2)
        wire.sendall(b"abc")

        assert statuses(rest(wire)) == [200]


def test_an_offer_of_another_protocol_is_passed_over(server: Server) -> None:
    offers = b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk"

    got = said(server, post(b"body", b"/group", *offers), LAST)

    assert bodies(got) == ["body", "last"]


def test_however_many_offers_of_another_protocol_come_at_once_each_is_answered(server: Server) -> None:
    offer = GET.replace(b"\r\n\r\n", b"\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")

    got = said(server, offer * 500 + LAST)

    assert statuses(got) == [200] * 501


def test_http_1_0_is_answered_and_hung_up_on(server: Server) -> None:
    got = said(server, b"GET /group HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n")

    assert statuses(got) == [200]


def test_who_says_no_more_still_gets_the_answer(server: Server) -> None:
    with closing(dialled(server)) as wire:
        wire.sendall(GET)
        wire.shutdown(socket.SHUT_WR)

        assert statuses(rest(wire)) == [200]


def test_an_idle_connection_is_closed_without_a_word(server: Server) -> None:
    with closing(dialled(server)) as wire:
        wire.sendall(GET)

        assert statuses(rest(wire)) == [200]


def test_no_more_is_held_than_there_is_room_for(server: Server, group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "MOST_AT_ONCE", 3)
    group.free.clear()
    held = [dialled(server) for _ in range(3)]
    for wire in held:
        wire.sendall(post(b"held", b"/group", b"Connection: close"))
    time.sleep(0.3)

    refused = said(server, GET)
    group.free.set()

    assert statuses(refused) == [503]
    assert b'"code":"busy"' in refused
    assert [statuses(rest(wire)) for wire in held] == [[200]] * 3
    assert statuses(said(server, LAST)) == [200], "what has left has made room"


def test_who_announces_much_takes_room_only_for_what_has_come(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "MOST_BYTES", 1_000)
    announced = [b"Content-Length: 900", b"Transfer-Encoding: chunked"]
    idle = [dialled(server) for _ in range(10)]
    for number, wire in enumerate(idle):
        wire.sendall(b"POST /group HTTP/1.1\r\nHost: localhost\r\n" + announced[number % 2] + b"\r\n\r\n")
    time.sleep(0.3)

    got = said(server, post(b"x" * 500) + LAST)
    full = said(server, chunked(b"x" * 1_200))
    again = said(server, post(b"x" * 500) + LAST)

    assert statuses(got) == statuses(again) == [200, 200]
    assert statuses(full) == [503]
    assert b'"code":"busy"' in full
    for wire in idle:
        wire.close()


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("http://localhost/group?a=b", 200),
        ("HTTP://127.0.0.1:80/group", 200),
        ("http://evil.example/group", 400),
        ("http://localhost@evil.example/group", 400),
        ("http:///group", 400),
        ("ftp://localhost/group", 400),
        ("http://localhost", 404),
    ],
)
def test_a_target_may_name_the_host_and_is_believed_before_the_header(server: Server, target: str, status: int) -> None:
    got = said(server, f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())

    assert statuses(got) == [status]


@pytest.mark.parametrize("host", ["999.1.1.1", "192.0.2.1", "no.such.host.invalid"])
def test_an_address_that_is_not_ours_is_refused_by_name(routes: Routes, host: str) -> None:
    with pytest.raises(Misconfigured, match=rf"^{re.escape(host)}: is no address of this machine"):
        Server(routes, 0, host)


def test_a_connection_that_rests_holds_nothing_of_what_it_was_asked(server: Server) -> None:
    before = psutil.Process().memory_info().rss
    with ExitStack() as stack:
        for _ in range(40):
            wire = stack.enter_context(closing(dialled(server)))
            wire.sendall(post(MUCH))
            while not wire.recv(1 << 20).endswith(b"}"):
                pass

        assert psutil.Process().memory_info().rss - before < 120_000_000, "of 240 MB"


def test_stopping_finishes_what_runs_and_hangs_up_on_the_others(routes: Routes, group: Group) -> None:
    server = Server(routes).start()
    group.free.clear()
    with closing(dialled(server)) as busy, closing(dialled(server)) as idle:
        busy.sendall(post(b"running"))
        group.entered.acquire(timeout=10)
        stopping = threading.Thread(target=server.stop)
        stopping.start()

        assert rest(idle) == b""
        group.free.set()
        got = rest(busy)

    stopping.join(10)
    assert bodies(got) == ["running"]
    assert b"connection: close" in got


def test_an_answer_may_not_write_headers_of_its_own() -> None:
    with pytest.raises(Misconfigured):
        encoded(HttpResponse(200, b"", {"x": "a\nb"}))


def test_an_answer_may_be_stricter_or_laxer_than_the_usual_security() -> None:
    sent = encoded(HttpResponse(200, b"", {"cache-control": "max-age=60"}))

    assert sent.count(b"cache-control") == 1
    assert b"nosniff" in sent


def test_elsewhere_than_on_loopback_any_name_will_do_but_not_another_sites_page(routes: Routes) -> None:
    anywhere = Routes(routes.functions, routes.app, routes.clock, routes.handler_of, anywhere=True)
    with Server(anywhere).start() as server:
        host = {"host": "models.example"}
        welcome = httpx.post(f"{server.url}/group", headers=host)
        foreign = httpx.post(f"{server.url}/group", headers={**host, "origin": "http://evil.example"})

    assert (welcome.status_code, foreign.status_code) == (200, 403)


def test_a_connection_that_is_over_leaves_nothing_to_the_garbage_collector(server: Server) -> None:
    said(server, TALK)
    gc.collect()
    gc.disable()
    try:
        for _ in range(10):
            said(server, TALK)
        deadline = time.monotonic() + 10
        while there(Connection) and time.monotonic() < deadline:
            time.sleep(0.01)

        assert there(Connection) == there(Stream) == 0
    finally:
        gc.enable()


def there(kind: type) -> int:
    return sum(type(one) is kind for one in gc.get_objects())


@pytest.mark.skipif(sys.platform == "win32", reason="there is no ulimit")
def test_whoever_finds_no_room_is_let_in_once_others_have_left(tmp_path: Path) -> None:
    environment = {"SAMARA_HOME": str(tmp_path), "PORT": "0", "PATH": "/usr/bin:/bin"}
    command = ["/bin/sh", "-c", f"ulimit -n 40; exec {sys.executable} -m samara.hosts.serve"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        url = json.loads(process.stderr.readline())["serving"]
        port = int(url.rpartition(":")[2])
        many = [socket.create_connection(("127.0.0.1", port)) for _ in range(60)]
        full = process.stderr.readline()
        for one in many:
            one.close()

        assert httpx.get(f"{url}/v2/health/live", timeout=10).status_code == 200
        process.terminate()
        process.communicate(timeout=20)
    assert "no connections are let in for a moment" in full


def test_the_process_loads_no_more_than_it_needs_and_ends_when_told(tmp_path: Path) -> None:
    heavy = ("asyncio", "click", "email", "h11", "numpy", "pydantic", "ssl", "uvicorn", "uvloop")
    program = (
        "import sys; from samara.hosts import serve; sys.argv = ['serve']; serve.main(); "
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    environment = {"SAMARA_HOME": str(tmp_path), "PORT": "0", "PATH": "/usr/bin:/bin"}
    with subprocess.Popen(
        [sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        url = json.loads(process.stderr.readline())["serving"]

        alive = httpx.get(f"{url}/v2/health/live", timeout=10)
        process.send_signal(signal.SIGTERM)
        loaded, _ = process.communicate(timeout=20)

    assert alive.json() == {"live": True}
    assert loaded.strip() == "[]"
    assert process.returncode == 0
