"""What stays in a warm process, and what goes."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from functions.predict.warm import Kept


def test_a_value_is_made_once_however_many_ask_for_it_at_once() -> None:
    kept: Kept[str, object] = Kept(2)
    made: list[str] = []
    start = Barrier(8)

    def ask(_: int) -> object:
        start.wait()
        return kept.get("a", lambda: made.append("a") or object())  # type: ignore[func-returns-value]  # it gives None

    with ThreadPoolExecutor(8) as pool:
        values = set(pool.map(ask, range(8)))

    assert (len(values), made) == (1, ["a"])


def test_what_was_not_used_for_longest_goes_when_there_is_no_more_room() -> None:
    kept: Kept[str, int] = Kept(10, weigh=lambda value: value)
    for name, weight in (("a", 4), ("b", 4)):
        kept.put(name, weight)
    kept.get("a", lambda: 0)

    kept.put("c", 5)

    assert [kept.peek(name) for name in "abc"] == [4, None, 5]


def test_a_value_in_place_of_another_weighs_instead_of_it() -> None:
    kept: Kept[str, int] = Kept(10, weigh=lambda value: value)
    kept.put("a", 4)

    for _ in range(5):
        kept.put("b", 6)

    assert [kept.peek(name) for name in "ab"] == [4, 6]


def test_what_is_larger_than_all_the_room_is_kept_alone() -> None:
    kept: Kept[str, int] = Kept(10, weigh=lambda value: value)
    kept.put("a", 4)

    kept.put("b", 50)

    assert [kept.peek(name) for name in "ab"] == [None, 50]


def test_what_fails_to_be_made_is_tried_again() -> None:
    kept: Kept[str, int] = Kept(2)
    with pytest.raises(ZeroDivisionError):
        kept.get("a", lambda: 1 // 0)

    assert kept.get("a", lambda: 1) == 1
