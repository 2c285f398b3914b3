"""What the pages of a Parquet file unpack to, as they say themselves, whatever its footer claims. Pure.

pyarrow says nothing of pages, and to ask it for a column's chunk can end the process. So both are read here, from
Thrift's compact form. What is not written just as writers write it is a `ValueError`, or a `LookupError` where it is
missing: nothing may mean one thing here and another to whoever reads the data.
"""

import io
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO, NamedTuple

TAIL = 8  # bytes: the length of the footer, little-endian, and the magic
TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, _, STRUCT = range(1, 13)
DEEPEST = 32  # structs in structs; Parquet has six
DELTA_LENGTH_BYTE_ARRAY, DELTA_BYTE_ARRAY = 6, 7  # encodings


class Chunk(NamedTuple):
    """One column of the schema, counted from 0, in one group of rows, and where its pages stand."""

    column: int
    start: int
    size: int


class Page(NamedTuple):
    """What a page unpacks to, in bytes, and the encoding of its values: several, if it contradicts itself."""

    unpacked: int
    encodings: frozenset[int]


def chunks(file: BinaryIO, size: int) -> Iterator[Chunk]:
    """The chunks that the footer of a file of `size` bytes names, in its order."""
    file.seek(max(0, size - TAIL))
    tail = file.read(TAIL)
    length = int.from_bytes(tail[:4], "little")
    if tail[4:] != b"PAR1" or length > size - TAIL:
        raise ValueError("there is no whole footer")
    file.seek(size - TAIL - length)
    said = Compact(io.BytesIO(file.read(length)))
    for _ in said.each(4):
        for column, _ in enumerate(said.each(1)):
            yield chunk(column, said)


def chunk(column: int, said: "Compact") -> Chunk:
    meta = {7: said.i64, 9: said.i64, 11: said.i64}
    found = said.struct({3: lambda kind: said.inner(kind, meta)})[3]
    start, dictionary = found[9], found.get(11, 0)
    if start > dictionary > 0:
        start = dictionary
    if start < 0 or found[7] < 0:
        raise ValueError("a column begins or ends before the file does")
    return Chunk(column, start, found[7])


def pages(file: BinaryIO, chunk: Chunk) -> Iterator[Page]:
    """The pages of a chunk, of which only the heads are read."""
    at, end = chunk.start, chunk.start + chunk.size
    while at < end:
        file.seek(at)
        said = Compact(file)
        first, second = {2: said.i32}, {4: said.i32}  # versions of a page of data
        inner = {5: lambda kind: said.inner(kind, first), 8: lambda kind: said.inner(kind, second)}  # noqa: B023  # called at once
        head = said.struct({2: said.i32, 3: said.i32, **inner})
        unpacked, packed = head[2], head[3]
        if unpacked < 0 or packed < 0:
            raise ValueError("a page has a size below 0")
        yield Page(unpacked, frozenset(one for key in inner for one in head.get(key, {}).values()))
        at = file.tell() + packed


class Compact:
    """Thrift's compact form, read from where `file` stands. A struct is numbered fields, each of some kind."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def struct(self, wanted: Mapping[int, Callable[[int], Any]], deep: int = 0) -> dict[int, Any]:
        """The struct that stands here: its fields that are `wanted`, each read as that says."""
        found = {}
        for number, kind in self.fields():
            if number in wanted:
                found[number] = wanted[number](kind)
            else:
                self.skip(kind, deep)
        return found

    def each(self, wanted: int) -> Iterator[None]:
        """Stop at each struct in the list that is field `wanted` of the struct here, for somebody to read it."""
        for number, kind in self.fields():
            if number == wanted:
                for _ in self.structs(kind):
                    yield
            else:
                self.skip(kind)

    def fields(self) -> Iterator[tuple[int, int]]:
        """The numbers and kinds of a struct's fields, each to be read or skipped before the next."""
        number = 0
        while head := self.byte():
            step, kind = divmod(head, 16)
            before, number = number, number + step if step else zigzag(self.varint(16))
            if number <= before:
                raise ValueError("fields of a struct do not ascend")
            yield number, kind

    def structs(self, kind: int) -> range:
        """As many as there are structs in the list here."""
        if kind != LIST:
            raise ValueError("a list is none")
        count, of = divmod(self.byte(), 16)
        if of != STRUCT and count:
            raise ValueError("a list has items of another kind")
        return range(self.varint(31) if count == 15 else count)

    def inner(self, kind: int, wanted: Mapping[int, Callable[[int], Any]]) -> dict[int, Any]:
        if kind != STRUCT:
            raise ValueError("a struct is none")
        return self.struct(wanted)

    def i32(self, kind: int) -> int:
        return self.integer(kind, I32, 32)

    def i64(self, kind: int) -> int:
        return self.integer(kind, I64, 64)

    def integer(self, kind: int, wanted: int, bits: int) -> int:
        if kind != wanted:
            raise ValueError("a number is of another kind")
        return zigzag(self.varint(bits))

    def varint(self, bits: int) -> int:
        """A number below 2**bits, seven bits to the byte."""
        found = shift = 0
        while (byte := self.byte()) > 127:
            found |= (byte & 127) << shift
            shift += 7
            if shift > bits:
                break
        found |= byte << shift
        if found >> bits:
            raise ValueError("a number is too large")
        return found

    def byte(self) -> int:
        return self.exactly(1)[0]

    def exactly(self, size: int) -> bytes:
        found = self._file.read(size)
        if len(found) < size:
            raise ValueError("it ends too early")
        return found

    def skip(self, kind: int, deep: int = 0) -> None:
        """Pass over a field's value."""
        if kind in (TRUE, FALSE):  # which the kind has said
            return
        if kind in (BYTE, DOUBLE):
            self.exactly(1 if kind == BYTE else 8)
        elif kind in (I16, I32, I64):
            self.varint(64)
        elif kind == BINARY:
            self._file.seek(self.varint(31), io.SEEK_CUR)
        elif kind == STRUCT and deep < DEEPEST:
            self.struct({}, deep + 1)
        elif kind in (LIST, SET) and deep < DEEPEST:
            count, of = divmod(self.byte(), 16)
            for _ in range(self.varint(31) if count == 15 else count):
                self.skip(BYTE if of in (TRUE, FALSE) else of, deep + 1)
        else:
            raise ValueError("a value is of no kind that Parquet has")


def zigzag(number: int) -> int:
    """
    >>> [zigzag(number) for number in range(5)]
    [0, -1, 1, -2, 2]
    """
    return number >> 1 ^ -(number & 1)
