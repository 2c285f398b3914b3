"""Threads that ask at the same time."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from samara.events import HttpRequest, HttpResponse
from samara.hosts.gathered import AT_ONCE, MOST_TOGETHER, Gathered

NOON = datetime(2013, 2, 14, 12, 0, tzinfo=UTC)


def request(number: int) -> HttpRequest:
    return HttpRequest("POST", f"/{number}", NOON)


def echo(requests: Sequence[HttpRequest]) -> list[HttpResponse]:
    return [HttpResponse(200, one.path.encode()) for one in requests]


def test_who_asks_alone_waits_for_nobody() -> None:
    assert Gathered(echo)(request(1)).body == b"/1"


def test_while_some_are_answered_others_gather_and_each_gets_its_own_answer() -> None:
    sizes: list[int] = []
    held = threading.Event()

    def slow(requests: Sequence[HttpRequest]) -> list[HttpResponse]:
        sizes.append(len(requests))
        held.wait(10)
        return echo(requests)

    ask = Gathered(slow)
    with ThreadPoolExecutor(60) as pool:
        first = [pool.submit(ask, request(number)) for number in range(AT_ONCE)]
        while len(sizes) < AT_ONCE:
            threading.Event().wait(0.001)
        rest = [pool.submit(ask, request(number)) for number in range(AT_ONCE, 50)]
        threading.Event().wait(0.05)
        held.set()
        answers = [asked.result(10).body for asked in (*first, *rest)]

    assert answers == [f"/{number}".encode() for number in range(50)]
    assert sizes[:AT_ONCE] == [1] * AT_ONCE
    assert max(sizes) > 1


def test_what_takes_long_by_itself_does_not_wait_for_others() -> None:
    sizes: list[int] = []

    def slow(requests: Sequence[HttpRequest]) -> list[HttpResponse]:
        sizes.append(len(requests))
        threading.Event().wait(0.6 * len(requests))
        return echo(requests)

    ask = Gathered(slow)
    ask(request(0))
    with ThreadPoolExecutor(6) as pool:
        answers = [answer.body for answer in pool.map(ask, map(request, range(6)))]

    assert answers == [f"/{number}".encode() for number in range(6)]
    assert sizes == [1] * 7


def test_more_than_go_together_are_all_answered() -> None:
    many = MOST_TOGETHER * 2
    start = threading.Barrier(many)
    ask = Gathered(echo)

    def one(number: int) -> bytes:
        start.wait()
        return ask(request(number)).body

    with ThreadPoolExecutor(many) as pool:
        answers = list(pool.map(one, range(many)))

    assert answers == [f"/{number}".encode() for number in range(many)]


def test_what_goes_wrong_is_heard_by_each_who_was_asked_with() -> None:
    def broken(requests: Sequence[HttpRequest]) -> list[HttpResponse]:
        raise RuntimeError(str(len(requests)))

    with pytest.raises(RuntimeError, match="1"):
        Gathered(broken)(request(1))


def test_an_answer_too_few_is_an_error_and_no_hang() -> None:
    with pytest.raises(ValueError, match=r"not enough values|zip"):
        Gathered(lambda _: [])(request(1))
