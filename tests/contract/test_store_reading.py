"""What every object store promises of what lies in it, whoever put it there; a store that only reads answers too."""

import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from samara.errors import NotFound, Rejected
from samara.ports import Meta
from tests.contract.conftest import READS, VERBS, Shelf

MIB = 1 << 20
READERS = 16


@pytest.mark.parametrize("data", [b"one", b""], ids=["some bytes", "none"])
def test_what_is_there_can_be_read(shelf: Shelf, data: bytes) -> None:
    shelf.put("models/late/1.json", data)

    assert shelf.store.get("models/late/1.json").data == data
    with shelf.store.open("models/late/1.json") as stream:
        assert stream.read() == data


@pytest.mark.parametrize("verb", READS)
@pytest.mark.parametrize("key", ["nothing", "models/late/2.json", "models", "models/late/1.json/below"])
def test_what_is_not_there_is_not_found(shelf: Shelf, verb: str, key: str) -> None:
    shelf.put("models/late/1.json", b"x")

    with pytest.raises(NotFound) as refusal:
        READS[verb](shelf.store, key)

    assert refusal.value.subject == key


@pytest.mark.parametrize("data", [b"12345", b""], ids=["some bytes", "none"])
def test_head_tells_what_get_would_without_reading(shelf: Shelf, data: bytes) -> None:
    shelf.put("blobs/a", data)

    found = shelf.store.get("blobs/a")

    assert shelf.store.head("blobs/a") == Meta("blobs/a", len(data), found.version, found.at)


def test_it_is_known_when_an_object_was_written(shelf: Shelf) -> None:
    before = datetime.now(UTC) - timedelta(seconds=2)  # file systems and services round

    shelf.put("blobs/a", b"x")

    assert before < shelf.store.head("blobs/a").at < datetime.now(UTC) + timedelta(seconds=2)


def test_another_write_is_another_version(shelf: Shelf) -> None:
    shelf.put("aliases/late.json", b"v1")
    first = shelf.store.get("aliases/late.json")

    shelf.put("aliases/late.json", b"v2, longer")

    second = shelf.store.get("aliases/late.json")
    assert second.data == b"v2, longer"
    assert second.version != first.version


def test_keys_are_listed_in_ascending_order_of_whole_keys(shelf: Shelf) -> None:
    ascending = ["a-b", "a-c/d", "a.b", "a/b", "a/b-c/d", "a/c", "a0", "aa/b", "b", "z/1", "ä/ö", "日本/語", "😀"]
    for key in reversed(ascending):
        shelf.put(key, b"x")

    assert list(shelf.store.list("")) == ascending
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
def test_a_listing_holds_what_starts_with_its_prefix(shelf: Shelf, prefix: str, expected: list[str]) -> None:
    for key in ("b", "a/c/d", "a-b", "ab/c", "a/b"):
        shelf.put(key, b"x")

    assert list(shelf.store.list(prefix)) == expected


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
def test_a_listing_goes_on_after_a_key(shelf: Shelf, after: str, expected: list[str]) -> None:
    for key in ("b", "a/c/d", "a-b", "ab/c", "a/b"):
        shelf.put(key, b"x")

    assert list(shelf.store.list("", after)) == expected


def test_a_listing_resumes_within_its_prefix(shelf: Shelf) -> None:
    for number in range(5):
        shelf.put(f"a/{number}", b"x")
    shelf.put("b/0", b"x")

    assert list(shelf.store.list("a/", "a/2")) == ["a/3", "a/4"]
    assert list(shelf.store.list("a/", "b")) == []
    assert list(shelf.store.list("b/", "a/2")) == ["b/0"]


def test_a_listing_survives_what_is_written_meanwhile(shelf: Shelf) -> None:
    shelf.put("a/1", b"x")
    shelf.put("c/1", b"x")

    listing = shelf.store.list("")
    first = next(listing)
    shelf.put("b/1", b"x")
    rest = list(listing)

    assert first == "a/1"
    assert rest in (["c/1"], ["b/1", "c/1"]), "what was there all the time is listed, once"


@pytest.mark.parametrize("prefix", ["/", "../", "a/../b", "a//", "a\0", "a\ud800"])
def test_a_prefix_no_sound_key_starts_with_is_refused(shelf: Shelf, prefix: str) -> None:
    with pytest.raises(Rejected) as refusal:
        list(shelf.store.list(prefix))

    assert refusal.value.code == "bad_key"


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


@pytest.mark.parametrize("verb", VERBS)
def test_an_unsound_key_is_refused_by_every_verb(shelf: Shelf, verb: str) -> None:
    for what, key in BAD_KEYS.items():
        with pytest.raises(Rejected) as refusal:
            VERBS[verb](shelf.store, key)

        assert refusal.value.code == "bad_key", what
    assert list(shelf.store.list("")) == []


ODD_KEYS = ["x" * 255, "/".join(["x" * 127] * 8), "..a/.b", "a b", "%2e%2e%2fb", "-rf", "~", "\u202eb"]
MEANING_SOMETHING_IN_A_URL = ["a?b", "a#b", "a+b", "a&b=c", "a:b", "a;b", "a%b"]


@pytest.mark.parametrize("key", [*ODD_KEYS, *MEANING_SOMETHING_IN_A_URL])
def test_an_odd_key_is_a_key_like_any_other(shelf: Shelf, key: str) -> None:
    shelf.put(key, key.encode())

    assert shelf.store.get(key).data == key.encode()
    assert shelf.store.part(key, 0, 1).data == key.encode()[:1]
    assert list(shelf.store.list("")) == [key]
    assert list(shelf.store.list(key)) == [key]


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
def test_a_part_of_an_object_can_be_read_alone(shelf: Shelf, start: int, size: int, expected: bytes) -> None:
    shelf.put("blobs/a", b"0123456789")

    part = shelf.store.part("blobs/a", start, size)

    meta = shelf.store.head("blobs/a")
    assert (part.data, part.version, part.at) == (expected, meta.version, meta.at)


def test_an_empty_object_has_only_empty_parts(shelf: Shelf) -> None:
    shelf.put("empty", b"")

    part = shelf.store.part("empty", 0, 10)

    assert (part.data, part.version) == (b"", shelf.store.head("empty").version)


def test_an_open_stream_reads_one_write_to_its_end(shelf: Shelf) -> None:
    shelf.put("aliases/late.json", b"old " * 1000)

    with shelf.store.open("aliases/late.json") as stream:
        start = stream.read(4)
        shelf.put("aliases/late.json", b"new")
        rest = stream.read()

    assert start + rest == b"old " * 1000


@pytest.fixture
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


def test_a_large_object_comes_out_in_small_bites(shelf: Shelf, traced: None) -> None:
    shelf.put("blobs/large", b"x" * 128 * MIB)
    before, _ = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()

    with shelf.store.open("blobs/large") as stream:
        size = sum(len(bite) for bite in iter(lambda: stream.read(MIB), b""))

    _, peak = tracemalloc.get_traced_memory()
    assert size == shelf.store.head("blobs/large").size == 128 * MIB
    assert peak - before < 96 * MIB  # Azure's SDK sets aside, and never touches, eight times what it downloads


def test_threads_share_a_store_and_each_reads_what_it_asked_for(shelf: Shelf) -> None:
    for number in range(READERS):
        shelf.put(f"blobs/{number}", b"%d" % number * 1000)

    with ThreadPoolExecutor(READERS) as readers:
        found = readers.map(lambda number: shelf.store.get(f"blobs/{number}").data, range(READERS))

    assert list(found) == [b"%d" % number * 1000 for number in range(READERS)]
