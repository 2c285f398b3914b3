"""Zips that are the same for the same content, and whose parts are compressed once however many zips they are in.

Names in order, no dates, no owners, and the mode of a file or of a program as it is asked for: nothing of the machine
that builds them, but for its zlib. What another zlib makes of the same bytes may differ, and then so does the digest.
"""

import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from samara.errors import Misconfigured

LEVEL = 6  # 9 takes three times as long, for half a per cent
LOCAL, CENTRAL, END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
NEEDS, DEFLATED, UTF8 = 20, 8, 0x800
BORN = (0, 0x21)  # midnight, 1 January 1980: the first moment a zip knows
UNIX, FILE, PROGRAM = 3 << 8, 0o100644, 0o100755
HEAD, INDEX, TAIL = "<4s5H3I2H", "<4s6H3I5H2I", "<4s4H2IH"
FIXED, INDEX_FIXED, END_FIXED = (struct.calcsize(record) for record in (HEAD, INDEX, TAIL))
MOST = 0xFFFF  # a zip counts its entries in 16 bits


@dataclass(frozen=True, slots=True)
class Entry:
    """A file as it lies in a zip: `data` is its content, deflated."""

    name: str
    crc: int
    size: int
    data: bytes
    mode: int = FILE

    def below(self, prefix: str) -> "Entry":
        return replace(self, name=prefix + self.name)


def entry(name: str, content: bytes, mode: int = FILE) -> Entry:
    packer = zlib.compressobj(LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    return Entry(name, zlib.crc32(content), len(content), packer.compress(content) + packer.flush(), mode)


def entries(folder: Path) -> Iterator[Entry]:
    """Every file below `folder`."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield entry(path.relative_to(folder).as_posix(), path.read_bytes())


def weight(content: Iterable[Entry]) -> int:
    """What the zip of these entries weighs, in bytes."""
    return END_FIXED + sum(FIXED + INDEX_FIXED + 2 * len(one.name.encode()) + len(one.data) for one in content)


def write(path: Path, content: Iterable[Entry]) -> None:
    """A zip of these entries, in place only when it is whole."""
    ordered = sorted(content, key=lambda one: one.name)
    for one, other in pairwise(ordered):
        if one.name == other.name:
            raise Misconfigured(one.name, f"is in {path.name} twice; two distributions claim the same file")
    if len(ordered) > MOST:
        raise Misconfigured(path.name, f"{len(ordered)} files; a zip holds {MOST}")
    path.parent.mkdir(parents=True, exist_ok=True)
    growing = path.with_suffix(f".{id(ordered):x}.growing")  # several processes may build the same part
    with growing.open("wb") as file:
        index = b""
        for one in ordered:
            name, mode = one.name.encode(), one.mode << 16
            facts = (UTF8, DEFLATED, *BORN, one.crc, len(one.data), one.size, len(name), 0)
            index += struct.pack(INDEX, CENTRAL, UNIX | NEEDS, NEEDS, *facts, 0, 0, 0, mode, file.tell()) + name
            file.write(struct.pack(HEAD, LOCAL, NEEDS, *facts) + name + one.data)
        start = file.tell()
        file.write(index + struct.pack(TAIL, END, 0, 0, len(ordered), len(ordered), len(index), start, 0))
    growing.replace(path)


def read(path: Path) -> Iterator[Entry]:
    """The entries of a zip that `write` made, without inflating them."""
    with zipfile.ZipFile(path) as package, path.open("rb") as file:
        for info in package.infolist():
            file.seek(info.header_offset + FIXED + len(info.filename.encode()))
            data, mode = file.read(info.compress_size), info.external_attr >> 16
            yield Entry(info.filename, info.CRC, info.file_size, data, mode)
