"""What is too large for memory is read in parts of one write, each fetched once."""

from typing import BinaryIO

import pytest

from samara.errors import Unavailable
from samara.ports import Object
from samara.providers import streams
from samara.providers.memory import MemoryStore

SIZE = 3 * streams.CHUNK + 5


class Counting(MemoryStore):
    def __init__(self) -> None:
        super().__init__()
        self.parts = 0

    def part(self, key: str, start: int, size: int) -> Object:
        self.parts += 1
        return super().part(key, start, size)

    def open(self, key: str) -> BinaryIO:
        return streams.opened(self, key)


@pytest.fixture
def large() -> Counting:
    store = Counting()
    store.create("blobs/large", bytes(range(256)) * (SIZE // 256) + b"12345")
    return store


@pytest.mark.parametrize("bite", [-1, 1 << 20, 1000])
def test_however_it_is_read_each_part_is_fetched_once(large: Counting, bite: int) -> None:
    with large.open("blobs/large") as stream:
        found = b"".join(iter(lambda: stream.read(bite), b""))

    assert found == large.get("blobs/large").data
    assert large.parts == SIZE // streams.CHUNK + 1


def test_what_fits_in_one_part_takes_one_request(large: Counting) -> None:
    large.create("blobs/small", b"x" * 1000)

    with large.open("blobs/small") as stream:
        assert stream.read() == b"x" * 1000
    assert large.parts == 1


def test_two_writes_are_never_mixed(large: Counting) -> None:
    with large.open("blobs/large") as stream:
        stream.read(100)
        large.replace("blobs/large", b"small", large.head("blobs/large").version)

        with pytest.raises(Unavailable, match="blobs/large: was replaced while it was read; read it again"):
            stream.read()


def test_an_object_that_is_removed_while_it_is_read_is_not_a_short_one(large: Counting) -> None:
    with large.open("blobs/large") as stream:
        stream.read(100)
        large.delete("blobs/large", large.head("blobs/large").version)

        with pytest.raises(Unavailable, match="blobs/large: was removed while it was read"):
            stream.read()
