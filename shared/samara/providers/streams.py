"""Objects too large for memory, read and written in pieces of at most 8 MiB."""

import hashlib
import io
import re
from collections.abc import Iterator
from typing import BinaryIO

from samara.errors import NotFound, Unavailable
from samara.ports import Meta, Object, ObjectStore, Version

CHUNK = 8 << 20
TOLD = r"bytes ([0-9]+)-([0-9]+)/([0-9]+)"


def opened(store: ObjectStore, key: str) -> BinaryIO:
    """The object at `key` as a stream of its parts. What fits in one is read at once, in one request."""
    first = store.part(key, 0, CHUNK)
    if len(first.data) < CHUNK:
        return io.BytesIO(first.data)
    return io.BufferedReader(Parts(store, key, first), CHUNK)


class Parts(io.RawIOBase):
    """Reads one write of an object, part by part, and fails rather than mix it with a later one."""

    def __init__(self, store: ObjectStore, key: str, first: Object) -> None:
        self._store = store
        self._key = key
        self._version: Version = first.version
        self._held = memoryview(first.data)
        self._next = len(first.data)
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview[int]") -> int:  # type: ignore[override]  # what BufferedReader gives it
        if not self._held and not self._ended:
            self._held = memoryview(self._fetched())
        bite = self._held[: len(buffer)]
        self._held = self._held[len(bite) :]
        buffer[: len(bite)] = bite
        return len(bite)

    def _fetched(self) -> bytes:
        try:
            part = self._store.part(self._key, self._next, CHUNK)
        except NotFound as error:
            raise Unavailable(self._key, "was removed while it was read") from error
        if part.version != self._version:
            raise Unavailable(self._key, "was replaced while it was read; read it again")
        self._next += len(part.data)
        self._ended = len(part.data) < CHUNK
        return part.data


def cut(data: bytes, told: str | None, start: int, size: int) -> bytes:
    """The part that was asked for of `data`, which is what `told` (its `Content-Range`) says; without one it is all of
    the object. `ValueError` where bytes of the part are missing, or others came."""
    if told is None:
        return data[start : start + size]
    known = re.fullmatch(TOLD, told)
    first, last, whole = map(int, known.groups()) if known else (-1, -1, -1)
    if first != start or last + 1 < min(start + size, whole) or len(data) != last + 1 - first:
        raise ValueError("another part than was asked for")
    return data[:size]


def behind(meta: Meta, start: int) -> Object:
    """The part from `start` on of an object that was said to end before."""
    if meta.size > start:
        raise Unavailable(meta.key, "was replaced while it was read; read it again")
    return Object(b"", meta.version, meta.at)


def chunks(source: BinaryIO) -> Iterator[bytes]:
    """All of `source` in pieces of `CHUNK` bytes, the last of which may be shorter or, alone, empty."""
    chunk = filled(source)
    yield chunk
    while len(chunk) == CHUNK:
        chunk = filled(source)
        if chunk:
            yield chunk


def filled(source: BinaryIO) -> bytes:
    """The next `CHUNK` bytes, however little `source` gives at a time."""
    held = bytearray()
    while len(held) < CHUNK and (bite := source.read(CHUNK - len(held))):
        held += bite
    return bytes(held)


def digest_of(source: BinaryIO) -> str:
    """The SHA-256 of what is left of a stream."""
    seen = hashlib.sha256()
    for chunk in chunks(source):
        seen.update(chunk)
    return seen.hexdigest()


def holding(store: ObjectStore, key: str, size: int, digest: str) -> Version | None:
    """The version of the object at `key`, if it has these bytes."""
    now = store.head(key)
    if now.size != size:
        return None
    with store.open(key) as stream:
        return now.version if digest_of(stream) == digest else None
