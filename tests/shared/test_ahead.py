"""What reading ahead promises: the order of the keys, no more held than was asked for, and each error in its place."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from samara.ahead import ahead
from samara.app import build
from samara.errors import NotFound
from samara.settings import Settings

KEYS = [f"captures/{number:03}" for number in range(40)]


@pytest.mark.parametrize("at_once", [1, 2, 8, 100])
def test_what_is_read_comes_in_the_order_of_the_keys(at_once: int) -> None:
    assert list(ahead(str.upper, KEYS, at_once)) == [(key, key.upper()) for key in KEYS]


@pytest.mark.parametrize("at_once", [1, 8])
def test_of_no_keys_nothing_is_read(at_once: int) -> None:
    assert list(ahead(str.upper, [], at_once)) == []


def test_as_many_are_read_at_a_time_as_may_be() -> None:
    met = threading.Barrier(8)

    assert len(list(ahead(lambda _: met.wait(timeout=60), KEYS, 8))) == len(KEYS)


def test_one_at_a_time_is_read_by_whoever_asks() -> None:
    assert {thread for _, thread in ahead(lambda _: threading.get_ident(), KEYS, 1)} == {threading.get_ident()}


@pytest.mark.parametrize("at_once", [1, 8])
def test_no_more_is_asked_for_than_is_read_at_a_time(at_once: int) -> None:
    asked = []

    def keys() -> Iterator[str]:
        for key in KEYS:
            asked.append(key)
            yield key

    read = ahead(str.upper, keys(), at_once)
    next(read)

    assert len(asked) == at_once


@pytest.mark.parametrize("at_once", [1, 8])
def test_an_error_is_raised_where_its_key_comes(at_once: int) -> None:
    def read(key: str) -> str:
        if key == KEYS[5]:
            raise NotFound(key)
        return key

    found = ahead(read, KEYS, at_once)

    assert [next(found)[0] for _ in range(5)] == KEYS[:5]
    with pytest.raises(NotFound, match="005"):
        next(found)


@pytest.mark.parametrize("at_once", [1, 8])
def test_whoever_stops_listening_leaves_no_thread_behind(at_once: int) -> None:
    found = ahead(str.upper, KEYS, at_once)
    next(found)

    del found

    assert not [thread for thread in threading.enumerate() if thread.name.startswith("samara-ahead")]


@pytest.mark.parametrize(("provider", "several"), [("memory", False), ("local", False), ("s3", True)])
def test_a_cloud_is_read_several_objects_at_a_time(
    provider: str, several: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
    store = "s3://bucket?region=eu-central-1" if several else ""

    assert (build(Settings(provider=provider, store=store, home=tmp_path)).at_once > 1) == several
