"""Packed uploads, broken ones, bombs, and files that are something else."""

import bz2
import gzip
import io
import lzma
import pickle
import sqlite3
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from samara.core.records import Batch, Quarantine

BatchOf = Callable[[str, bytes], Batch]
RefusalOf = Callable[[str, bytes], Quarantine]
CodesOf = Callable[[str, bytes], list[str]]
TableOf = Callable[[Batch], dict[str, list[Any]]]

CSV = b"a,b\n1,2\n3,4\n"
HEADER = b"a,b\n"


def gzipped(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)  # or each worker would know the tests below under names of its own


def zstd(data: bytes) -> bytes:
    return bytes(pa.compress(data, codec="zstd", asbytes=True))


def zipped(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return file.getvalue()


def tarred(data: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        entry = tarfile.TarInfo("../a.csv")
        entry.size = len(data)
        archive.addfile(entry, io.BytesIO(data))
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "kind"),
    [
        ("a.csv.gz", gzipped(CSV), "csv+gzip"),
        ("a.csv.zst", zstd(CSV), "csv+zstd"),
        ("a.csv", gzipped(CSV), "csv+gzip"),
        ("a.CSV.GZ", CSV, "csv"),
        ("monday", CSV, "csv"),
        ("a.csv.gz", gzipped(CSV[:5]) + gzipped(b"") + gzipped(CSV[5:]), "csv+gzip"),
        ("a.csv.zst", zstd(CSV[:5]) + zstd(CSV[5:]), "csv+zstd"),
        ("a.csv.gz", gzipped("\ufeffa,b\n1,2\n3,4\n".encode("utf-16-le")), "csv+gzip"),
    ],
)
def test_packing_is_told_from_the_content(
    batch_of: BatchOf, table_of: TableOf, name: str, data: bytes, kind: str
) -> None:
    batch = batch_of(name, data)

    assert batch.format == kind
    assert table_of(batch) == {"a": ["1", "3"], "b": ["2", "4"]}
    assert batch.source_size == len(data)


def test_packed_and_plain_give_the_same_parts(batch_of: BatchOf) -> None:
    text = HEADER + b"".join(b"%d,%d\n" % (n, n * n) for n in range(500_000))

    plain, packed, small = (
        batch_of("a.csv", text),
        batch_of("a.csv.gz", gzipped(text)),
        batch_of("b.zst", zstd(text)),
    )

    assert plain.parts == packed.parts == small.parts


GZIP = gzipped(CSV * 1000)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (GZIP[:-9], "bad_compression"),
        (GZIP[:-3], "bad_compression"),
        (GZIP[:20], "bad_compression"),
        (GZIP[:3], "bad_compression"),
        (GZIP[:-8] + b"\0\0\0\0" + GZIP[-4:], "bad_compression"),
        (GZIP + b"trailing garbage", "bad_compression"),
        (zstd(CSV * 1000)[:-5], "bad_compression"),
        (zstd(CSV) + b"trailing garbage", "bad_compression"),
        (b"\x28\xb5\x2f\xfd\x04\xa8" + b"\0" * 20, "bad_compression"),  # a window of 2 GB
        (b"\x28\xb5\x2f\xfd\x21\x07\x08" + b"\0" * 20, "bad_compression"),  # an unknown dictionary
        (gzipped(GZIP), "unsupported_format"),
        (gzipped(zstd(CSV)), "unsupported_format"),
        (gzipped(zipped(a=CSV)), "unsupported_format"),
        (gzipped(b"PAR1....PAR1"), "unsupported_format"),
        (gzipped(tarred(CSV)), "unsupported_format"),
        (gzipped(b""), "empty_file"),
        (gzipped(HEADER), "empty_dataset"),
    ],
)
def test_a_broken_or_doubled_packing_is_refused(codes_of: CodesOf, data: bytes, code: str) -> None:
    assert codes_of("a.csv.gz", data) == [code]


def zeros(packing: str, size: int) -> bytes:
    """A table of one cell after another, every one the same, packed as small as it gets."""
    chunk = b"0,0\n" * (1 << 18)
    if packing == "gzip":
        packer = zlib.compressobj(9, wbits=31)
        pieces = [packer.compress(HEADER), *(packer.compress(chunk) for _ in range(size >> 20)), packer.flush()]
        return b"".join(pieces)
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(HEADER)
        for _ in range(size >> 20):
            stream.write(chunk)
    return bytes(sink.getvalue())


@pytest.mark.parametrize("packing", ["gzip", "zstd"])
def test_a_bomb_is_left_as_soon_as_it_shows(refusal_of: RefusalOf, packing: str) -> None:
    bomb = zeros(packing, 512 << 20)
    assert len(bomb) * 400 < 512 << 20

    refused = refusal_of("a.csv.gz", bomb)

    assert [reason.code for reason in refused.reasons] == ["decompressed_too_large"]
    assert "200 times" in refused.reasons[0].why


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.csv", zipped(**{"a.csv": CSV, "b.csv": CSV})),
        ("a.zip", zipped(**{"../../etc/passwd": b"x"})),
        ("a.xlsx", zipped(**{"[Content_Types].xml": b"<x/>"})),
        ("a.csv", tarred(CSV)),
        ("a.csv.xz", lzma.compress(CSV)),
        ("a.csv.bz2", bz2.compress(CSV)),
        ("a.csv", pickle.dumps({"a": [1]})),
        ("a.joblib", pickle.dumps({"a": [1]}, protocol=4)),
        ("a.npy", b"\x93NUMPY\x01\x00v\x00{'descr': '|O'}"),
        ("a.csv", b"\n<!DOCTYPE html>\n<html><body>Sign in</body></html>"),
        ("a.csv", b"<?xml version='1.0'?><a/>"),
        ("a.parquet", b"ARROW1\0\0"),
        ("a.csv", b"%PDF-1.7\n"),
        ("a.parquet", b"PARE\x01\x02\x03\x04PARE"),
        ("notes.md", CSV),
        ("a.log.gz", gzipped(CSV)),
        ("a.json", CSV),
    ],
)
def test_what_holds_no_table_is_refused_with_the_way_out(refusal_of: RefusalOf, name: str, data: bytes) -> None:
    refused = refusal_of(name, data)

    (reason,) = refused.reasons
    assert reason.code == "unsupported_format"
    assert any(word in reason.why for word in ("save", "unpack", "write", "upload", "name", "use"))


def test_a_database_is_refused(codes_of: CodesOf, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "a.db") as database:
        database.execute("create table a (b)")
    database.close()

    assert codes_of("a.csv", (tmp_path / "a.db").read_bytes()) == ["unsupported_format"]
