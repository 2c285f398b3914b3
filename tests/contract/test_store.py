"""What every object store promises of its writes, and that one which cannot write on condition refuses to.

What a store promises of its reads is in `test_store_reading`. Both are asked of each provider in the same words.
"""

import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from samara.errors import Conflict, NotFound, Rejected, Unsupported
from samara.ports import LARGEST_HEAD, ObjectStore, Version
from tests.contract.conftest import WRITES, Shelf

MIB = 1 << 20
WRITERS = 16


def test_what_was_created_is_there(store: ObjectStore) -> None:
    version = store.create("models/late/1.json", b"one")

    found = store.get("models/late/1.json")

    assert (found.data, found.version) == (b"one", version)


def test_an_object_may_be_empty(store: ObjectStore) -> None:
    version = store.create("empty", b"")

    assert store.get("empty").data == b""
    assert store.head("empty").size == 0
    assert store.head("empty").version == version


def test_nothing_is_created_twice(store: ObjectStore) -> None:
    store.create("blobs/a", b"first")

    with pytest.raises(Conflict, match="blobs/a"):
        store.create("blobs/a", b"second")

    assert store.get("blobs/a").data == b"first"


def test_creating_the_same_bytes_again_is_a_conflict_too(store: ObjectStore) -> None:
    store.create("blobs/a", b"same")

    with pytest.raises(Conflict):
        store.create("blobs/a", b"same")


def test_of_many_who_create_at_once_exactly_one_wins(store: ObjectStore) -> None:
    def create(number: int) -> Version:
        return store.create("runs/late/1.json", b"%d" % number)

    outcomes = all_at_once(create)

    assert [type(outcome) for outcome in outcomes].count(Conflict) == WRITERS - 1
    winner = next(number for number, outcome in enumerate(outcomes) if not isinstance(outcome, Conflict))
    assert store.get("runs/late/1.json").data == b"%d" % winner


def test_of_many_who_create_different_keys_all_win(store: ObjectStore) -> None:
    outcomes = all_at_once(lambda number: store.create(f"captures/{number}/{number}.json", b"x"))

    assert not [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    assert len(list(store.list("captures/"))) == WRITERS


def test_a_head_is_replaced_over_the_version_one_has_read(store: ObjectStore) -> None:
    first = store.create("aliases/late.json", b"v1")

    second = store.replace("aliases/late.json", b"v2", first)

    assert second != first
    assert store.get("aliases/late.json").data == b"v2"
    assert store.get("aliases/late.json").version == second


def test_of_two_writers_holding_one_version_the_first_wins(store: ObjectStore) -> None:
    version = store.create("aliases/late.json", b"v1")

    store.replace("aliases/late.json", b"v2", version)

    with pytest.raises(Conflict, match=r"aliases/late\.json"):
        store.replace("aliases/late.json", b"v3", version)
    assert store.get("aliases/late.json").data == b"v2"


def test_of_many_who_replace_one_version_at_once_exactly_one_wins(store: ObjectStore) -> None:
    version = store.create("aliases/late.json", b"start")

    outcomes = all_at_once(lambda number: store.replace("aliases/late.json", b"%d" % number, version))

    winners = [number for number, outcome in enumerate(outcomes) if not isinstance(outcome, Conflict)]
    assert len(winners) == 1
    assert store.get("aliases/late.json").data == b"%d" % winners[0]


def test_what_is_not_there_cannot_be_replaced(store: ObjectStore) -> None:
    with pytest.raises(Conflict):
        store.replace("aliases/late.json", b"v2", Version("any"))

    assert list(store.list("")) == []


def test_what_is_not_there_cannot_be_deleted(store: ObjectStore) -> None:
    with pytest.raises(Conflict):
        store.delete("aliases/late.json", Version("any"))


def test_a_deleted_object_is_gone(store: ObjectStore) -> None:
    version = store.create("captures/a/1.json", b"x")

    store.delete("captures/a/1.json", version)

    assert list(store.list("")) == []
    with pytest.raises(NotFound):
        store.get("captures/a/1.json")
    with pytest.raises(Conflict):
        store.replace("captures/a/1.json", b"y", version)


def test_a_deleted_object_can_be_created_again(store: ObjectStore) -> None:
    store.delete("captures/a/1.json", store.create("captures/a/1.json", b"x"))

    store.create("captures/a/1.json", b"y")

    assert store.get("captures/a/1.json").data == b"y"


def test_only_the_version_one_has_read_is_deleted(store: ObjectStore) -> None:
    old = store.create("aliases/late.json", b"v1")
    store.replace("aliases/late.json", b"v2", old)

    with pytest.raises(Conflict):
        store.delete("aliases/late.json", old)

    assert store.get("aliases/late.json").data == b"v2"


def test_a_listing_survives_what_is_written_and_deleted_meanwhile(store: ObjectStore) -> None:
    versions = {key: store.create(key, b"x") for key in ("a/1", "b/1", "c/1")}

    listing = store.list("")
    first = next(listing)
    store.delete("b/1", versions["b/1"])
    rest = list(listing)

    assert first == "a/1"
    assert set(rest) >= {"c/1"}, "what was there all the time is listed"


def test_an_open_stream_outlives_its_object(store: ObjectStore) -> None:
    version = store.create("captures/a/1.json", b"still here")

    with store.open("captures/a/1.json") as stream:
        store.delete("captures/a/1.json", version)

        assert stream.read() == b"still here"


class Counted(io.RawIOBase):
    """A stream of `size` bytes that exist only while they are read, and remembers the largest bite."""

    def __init__(self, size: int) -> None:
        self.left = size
        self.largest_bite = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        assert size > 0, "reading it all at once would need all of it in memory"
        self.largest_bite = max(self.largest_bite, size)
        bite = min(size, self.left)
        self.left -= bite
        return b"x" * bite


def test_a_large_object_goes_in_and_out_in_small_bites(store: ObjectStore) -> None:
    source = Counted(64 * MIB)

    version = store.create_from("blobs/large", source)  # type: ignore[arg-type]  # it reads, which is all we need

    assert source.largest_bite <= 8 * MIB
    assert store.head("blobs/large").size == 64 * MIB
    assert store.head("blobs/large").version == version
    with store.open("blobs/large") as stream:
        assert sum(len(bite) for bite in iter(lambda: stream.read(MIB), b"")) == 64 * MIB


def test_nothing_is_created_twice_from_a_stream_either(store: ObjectStore) -> None:
    store.create("blobs/a", b"first")

    with pytest.raises(Conflict):
        store.create_from("blobs/a", io.BytesIO(b"second"))

    assert store.get("blobs/a").data == b"first"


class Breaking(Counted):
    def read(self, size: int = -1) -> bytes:
        if self.left < 2 * MIB:
            raise RuntimeError("the connection broke")
        return super().read(size)


def test_a_stream_that_breaks_leaves_nothing_behind(store: ObjectStore) -> None:
    with pytest.raises(RuntimeError, match="the connection broke"):
        store.create_from("blobs/large", Breaking(8 * MIB))  # type: ignore[arg-type]  # it reads, which is all we need

    assert list(store.list("")) == []
    store.create("blobs/large", b"and the key is still free")


def test_a_head_stays_small(store: ObjectStore) -> None:
    version = store.create("aliases/late.json", b"small")

    with pytest.raises(Rejected) as refusal:
        store.replace("aliases/late.json", b"x" * (LARGEST_HEAD + 1), version)

    assert refusal.value.code == "too_large"
    assert store.get("aliases/late.json").data == b"small"
    store.replace("aliases/late.json", b"x" * LARGEST_HEAD, version)


@pytest.mark.parametrize("verb", WRITES)
def test_a_store_that_cannot_write_on_condition_refuses_rather_than_pretends(refusing: Shelf, verb: str) -> None:
    with pytest.raises(Unsupported, match=r"models/late/1\.json: .* cannot write on condition"):
        WRITES[verb](refusing.store, "models/late/1.json")

    assert list(refusing.store.list("")) == []


@pytest.mark.parametrize("verb", WRITES)
def test_what_is_there_survives_the_refusal(refusing: Shelf, verb: str) -> None:
    refusing.put("models/late/1.json", b"first")
    before = refusing.store.get("models/late/1.json")

    with pytest.raises(Unsupported):
        WRITES[verb](refusing.store, "models/late/1.json")

    assert refusing.store.get("models/late/1.json") == before


def all_at_once(write: Callable[[int], Version]) -> list[Version | Conflict]:
    """What became of each of the writers, who start together."""
    start = Barrier(WRITERS)

    def outcome(number: int) -> Version | Conflict:
        start.wait(timeout=60)
        try:
            return write(number)
        except Conflict as conflict:
            return conflict

    with ThreadPoolExecutor(WRITERS) as writers:
        return list(writers.map(outcome, range(WRITERS)))
