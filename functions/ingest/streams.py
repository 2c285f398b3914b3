"""Byte streams: measured as they pass, unpacked within limits, and read in pieces that depend on content alone."""

import codecs
import hashlib
import io
from typing import Protocol

import pyarrow as pa

from functions.ingest import formats
from functions.ingest.formats import Packing
from functions.ingest.limits import MB, Limits
from functions.ingest.refusals import Unfit


class Stream(Protocol):
    """What can be read: at most `size` bytes at a time, none at the end."""

    def read(self, size: int, /) -> bytes: ...


class Measured:
    """The upload as it comes in, with its `size` and `digest` so far. `failure` is the store's own, if it had one."""

    def __init__(self, source: Stream) -> None:
        self.size = 0
        self.failure: BaseException | None = None
        self._source = source
        self._seen = hashlib.sha256()

    def read(self, size: int, /) -> bytes:
        try:
            data = self._source.read(size)
        except BaseException as error:
            self.failure = error
            raise
        self.size += len(data)
        self._seen.update(data)
        return data

    def drain(self) -> None:
        """Read to the end whatever nobody wanted: the digest covers all of an upload."""
        while self.read(MB):
            pass

    @property
    def digest(self) -> str:
        return self._seen.hexdigest()


class Exact:
    """Reads come back full until the end, so pieces never depend on how a network cut them."""

    def __init__(self, source: Stream) -> None:
        self._source = source
        self._ahead = b""

    def peek(self, size: int) -> bytes:
        """The next `size` bytes, which stay to be read."""
        head = self.read(size)
        self._ahead = head + self._ahead
        return head

    def read(self, size: int, /) -> bytes:
        pieces = [self._ahead]
        missing = size - len(self._ahead)
        while missing > 0 and (piece := self._source.read(missing)):
            pieces.append(piece)
            missing -= len(piece)
        data = b"".join(pieces)
        self._ahead = data[size:]
        return data[:size]


class Handle(io.RawIOBase):
    """A stream as pyarrow wants to hold it."""

    def __init__(self, source: Stream) -> None:
        self._source = source

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        return self._source.read(size)


class Unpacked:
    """The content of a gzip or zstd stream, all members or frames of it, refused as soon as it proves too large."""

    def __init__(self, packed: Stream, source: Measured, packing: Packing, limits: Limits) -> None:
        self._source = source
        self._limits = limits
        self._packing = packing
        self._produced = 0
        self._plain = pa.CompressedInputStream(pa.PythonFile(Handle(packed), mode="r"), packing.value)

    def read(self, size: int, /) -> bytes:
        try:
            data: bytes = self._plain.read(min(size, MB))
        except (OSError, pa.ArrowException) as error:
            if self._source.failure is not None:
                raise
            why = f"broken {self._packing.value}: {error}; compress it again and upload all of it"
            raise Unfit("file", why, code="bad_compression") from error
        self._produced += len(data)
        self._check()
        return data

    def _check(self) -> None:
        limits, produced = self._limits, self._produced
        if produced > limits.plain:
            why = f"holds more than {limits.plain:,} bytes when unpacked; split it"
            raise Unfit("file", why, code="decompressed_too_large")
        if produced > max(limits.ratio_from, limits.ratio * self._source.size):
            why = f"unpacks to more than {limits.ratio} times its size; upload it uncompressed if it is really a table"
            raise Unfit("file", why, code="decompressed_too_large")


class Utf8:
    """UTF-16 text as UTF-8. Half characters come out invalid, for whoever refuses the row to see."""

    def __init__(self, source: Stream, encoding: str) -> None:
        self._source = source
        self._decoder = codecs.getincrementaldecoder(encoding)(errors="surrogatepass")

    def read(self, size: int, /) -> bytes:
        while True:
            piece = self._source.read(max(2, min(size, MB)))
            try:
                text = self._decoder.decode(piece, final=not piece)
            except UnicodeDecodeError as error:
                why = "ends in the middle of a UTF-16 character; save it as UTF-8"
                raise Unfit("file", why, code="bad_encoding") from error
            if text or not piece:
                return text.encode("utf-8", errors="surrogatepass")


MARKS = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
UTF_32 = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)


def text(stream: Exact, source: Measured, packing: Packing, limits: Limits) -> Exact:
    """The text in an upload: unpacked, in UTF-8, without a byte order mark."""
    if packing is Packing.NONE:
        return decoded(stream)
    inside = Exact(Unpacked(stream, source, packing, limits))
    formats.refuse_inside(inside.peek(formats.HEAD))
    return decoded(inside)


def decoded(stream: Exact) -> Exact:
    """The same text as UTF-8 without a byte order mark."""
    if stream.peek(4) in UTF_32:
        raise Unfit("file", "is UTF-32; save it as UTF-8", code="bad_encoding")
    if stream.peek(3) == codecs.BOM_UTF8:
        stream.read(3)
        return stream
    encoding = MARKS.get(stream.peek(2))
    if encoding is None:
        return stream
    stream.read(2)
    return Exact(Utf8(stream, encoding))
