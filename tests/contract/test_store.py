"""What every object store promises (`samara.ports.ObjectStore`), asked of each provider in the same words."""

import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier

import pytest

from samara.errors import Conflict, NotFound, Rejected
from samara.ports import LARGEST_HEAD, Meta, ObjectStore, Version

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


@pytest.mark.parametrize("verb", ["get", "head", "part", "open"])
@pytest.mark.parametrize("key", ["nothing", "models/late/2.json", "models", "models/late/1.json/below"])
def test_what_is_not_there_is_not_found(store: ObjectStore, verb: str, key: str) -> None:
    store.create("models/late/1.json", b"x")

    with pytest.raises(NotFound) as refusal:
        VERBS[verb](store, key)

    assert refusal.value.subject == key


def test_head_tells_what_get_would_without_reading(store: ObjectStore) -> None:
    before = datetime.now(UTC) - timedelta(seconds=2)  # file systems round

    version = store.create("blobs/a", b"12345")

    meta = store.head("blobs/a")
    assert meta == Meta("blobs/a", 5, version, meta.at)
    assert store.get("blobs/a").at == meta.at
    assert before < meta.at < datetime.now(UTC) + timedelta(seconds=2)


def test_keys_are_listed_in_ascending_order_of_whole_keys(store: ObjectStore) -> None:
    ascending = ["a-b", "a-c/d", "a.b", "a/b", "a/b-c/d", "a/c", "a0", "aa/b", "b", "z/1", "ä/ö", "日本/語", "😀"]
    for key in reversed(ascending):
        store.create(key, b"x")

    assert list(store.list("")) == ascending
    assert ascending == sorted(ascending, key=str.encode), "which is the order of their bytes"


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("", ["a-b", "a/b", "a/c/d", "ab/c", "b"]),
        ("a", ["a-b", "a/b", "a/c/d", "ab/c"]),
        ("a/", ["a/b", "a/c/d"]),
        ("a/c", ["a/c/d"]),
        ("a/c/d", ["a/c/d"]),
        ("a/b/", []),
        ("c/", []),
        ("a/.", []),
    ],
)
def test_a_listing_holds_what_starts_with_its_prefix(store: ObjectStore, prefix: str, expected: list[str]) -> None:
    for key in ("b", "a/c/d", "a-b", "ab/c", "a/b"):
        store.create(key, b"x")

    assert list(store.list(prefix)) == expected


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ("", ["a-b", "a/b", "a/c/d", "ab/c", "b"]),
        ("a-b", ["a/b", "a/c/d", "ab/c", "b"]),
        ("a/", ["a/b", "a/c/d", "ab/c", "b"]),
        ("a/b", ["a/c/d", "ab/c", "b"]),
        ("a/bb", ["a/c/d", "ab/c", "b"]),
        ("a/c/d", ["ab/c", "b"]),
        ("a/c/e", ["ab/c", "b"]),
        ("b", []),
    ],
)
def test_a_listing_goes_on_after_a_key(store: ObjectStore, after: str, expected: list[str]) -> None:
    for key in ("b", "a/c/d", "a-b", "ab/c", "a/b"):
        store.create(key, b"x")

    assert list(store.list("", after)) == expected


def test_a_listing_resumes_within_its_prefix(store: ObjectStore) -> None:
    for number in range(5):
        store.create(f"a/{number}", b"x")
    store.create("b/0", b"x")

    assert list(store.list("a/", "a/2")) == ["a/3", "a/4"]
    assert list(store.list("a/", "b")) == []
    assert list(store.list("b/", "a/2")) == ["b/0"]


def test_a_listing_survives_what_is_written_and_deleted_meanwhile(store: ObjectStore) -> None:
    versions = {key: store.create(key, b"x") for key in ("a/1", "b/1", "c/1")}

    listing = store.list("")
    first = next(listing)
    store.delete("b/1", versions["b/1"])
    rest = list(listing)

    assert first == "a/1"
    assert set(rest) >= {"c/1"}, "what was there all the time is listed"


def test_an_open_stream_reads_one_write_to_its_end(store: ObjectStore) -> None:
    version = store.create("aliases/late.json", b"old " * 1000)

    with store.open("aliases/late.json") as stream:
        start = stream.read(4)
        store.replace("aliases/late.json", b"new", version)
        rest = stream.read()

    assert start + rest == b"old " * 1000


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


BAD_KEYS = {
    "empty": "",
    "a slash": "/",
    "leading slash": "/a",
    "trailing slash": "a/",
    "empty part": "a//b",
    "up": "..",
    "up and away": "landing/../aliases/late.json",
    "here": "a/./b",
    "NUL": "a\0b",
    "a line break": "a\nb",
    "a control character": "a\x7fb",
    "a control character of Latin-1": "a\x85b",
    "a backslash": "a\\b",
    "a character for private use": "a\ue000b",
    "no character at all": "a\uffffb",
    "a part that ends in a full stop": "a./b",
    "255 parts": "/".join("x" * 255),
    "lone surrogate": "a\ud800",
    "1,025 bytes": "/".join(["x" * 255] * 4) + "/x",
    "a part of 256 bytes": "a/" + "x" * 256,
    "a part of 256 bytes in letters of two": "ä" * 128,
}
VERBS: dict[str, Callable[[ObjectStore, str], object]] = {
    "get": lambda store, key: store.get(key),
    "head": lambda store, key: store.head(key),
    "part": lambda store, key: store.part(key, 0, 1),
    "open": lambda store, key: store.open(key),
    "create": lambda store, key: store.create(key, b"x"),
    "create_from": lambda store, key: store.create_from(key, io.BytesIO(b"x")),
    "replace": lambda store, key: store.replace(key, b"x", Version("any")),
    "delete": lambda store, key: store.delete(key, Version("any")),
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("key", BAD_KEYS.values(), ids=BAD_KEYS)
def test_an_unsound_key_is_refused_by_every_verb(store: ObjectStore, verb: str, key: str) -> None:
    with pytest.raises(Rejected) as refusal:
        VERBS[verb](store, key)

    assert refusal.value.code == "bad_key"
    assert list(store.list("")) == []


@pytest.mark.parametrize("prefix", ["/", "../", "a/../b", "a//", "a\0", "a\ud800"])
def test_a_prefix_no_sound_key_starts_with_is_refused(store: ObjectStore, prefix: str) -> None:
    with pytest.raises(Rejected) as refusal:
        list(store.list(prefix))

    assert refusal.value.code == "bad_key"


@pytest.mark.parametrize(
    "key",
    ["x" * 255, "/".join(["x" * 127] * 8), "..a/.b", "a b", "%2e%2e%2fb", "-rf", "~", "\u202eb"],
)
def test_an_odd_key_is_a_key_like_any_other(store: ObjectStore, key: str) -> None:
    store.create(key, b"x")

    assert store.get(key).data == b"x"
    assert list(store.list("")) == [key]
    assert list(store.list(key)) == [key]


def test_a_head_stays_small(store: ObjectStore) -> None:
    version = store.create("aliases/late.json", b"small")

    with pytest.raises(Rejected) as refusal:
        store.replace("aliases/late.json", b"x" * (LARGEST_HEAD + 1), version)

    assert refusal.value.code == "too_large"
    assert store.get("aliases/late.json").data == b"small"
    store.replace("aliases/late.json", b"x" * LARGEST_HEAD, version)


@pytest.mark.parametrize(
    ("start", "size", "expected"),
    [
        (0, 5, b"01234"),
        (3, 4, b"3456"),
        (8, 100, b"89"),
        (0, 0, b""),
        (10, 1, b""),
        (99, 1, b""),
        (0, 10, b"0123456789"),
    ],
)
def test_a_part_of_an_object_can_be_read_alone(store: ObjectStore, start: int, size: int, expected: bytes) -> None:
    version = store.create("blobs/a", b"0123456789")

    part = store.part("blobs/a", start, size)

    assert (part.data, part.version) == (expected, version)
    assert part.at == store.head("blobs/a").at


def test_an_empty_object_has_only_empty_parts(store: ObjectStore) -> None:
    version = store.create("empty", b"")

    assert store.part("empty", 0, 10).data == b""
    assert store.part("empty", 0, 10).version == version


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
