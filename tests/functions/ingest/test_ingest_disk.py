"""What a file takes of the disk for temporary files is limited too: one that outgrows it is refused, not retried."""

import errno
import io
import json
import os
import resource
import shutil
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from functions.catalogue import CATALOGUE
from functions.ingest.handler import run
from samara.app import App
from samara.catalogue import named
from samara.core.records import Batch, Quarantine
from samara.core.sealed import Maker
from samara.errors import Unavailable
from samara.events import ObjectCreated
from samara.ports import Version
from samara.providers.local_files import translated
from samara.providers.memory import MemoryJobs, MemoryStore

Outcome = Callable[[str, bytes], Batch | Quarantine]
RefusalOf = Callable[[str, bytes], Quarantine]
CodesOf = Callable[[str, bytes], list[str]]

LARGEST = 64 << 10  # bytes of a temporary file


def parquet(columns: dict[str, list[float]]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


NUMBERS = np.random.default_rng(0).random(20_000).tolist()
CSV = "".join(f"{line}\n" for line in ["a", *NUMBERS]).encode()
JSON = "".join(json.dumps({"a": number}) + "\n" for number in NUMBERS).encode()
PARQUET = parquet({"a": NUMBERS})
UPLOADS = pytest.mark.parametrize(
    ("name", "data"), [("a.csv", CSV), ("a.jsonl", JSON), ("a.parquet", PARQUET)], ids=["csv", "json", "parquet"]
)


@pytest.fixture
def small_files() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """A disk for temporary files, of so many bytes in all, that is full as soon as rows are written to a part."""

    def write_table(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def of(size: int) -> None:
        monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(total=size))
        monkeypatch.setattr(pq.ParquetWriter, "write_table", write_table)

    return of


@UPLOADS
@pytest.mark.usefixtures("small_files")
def test_a_file_that_takes_more_disk_than_there_is_is_refused_with_the_way_out(
    refusal_of: RefusalOf, name: str, data: bytes
) -> None:
    (reason,) = refusal_of(name, data).reasons

    assert reason.code == "too_large"
    assert reason.why == "file: takes more disk to read than there is for temporary files; split it"


def test_a_file_that_fills_the_disk_is_refused(codes_of: CodesOf, full_disk: Callable[[int], None]) -> None:
    full_disk(1)

    assert codes_of("a.csv", CSV) == ["too_large"]


def test_a_disk_full_of_other_files_is_no_fault_of_the_file(landed: Outcome, full_disk: Callable[[int], None]) -> None:
    full_disk(1 << 40)

    with pytest.raises(Unavailable, match="full of other files"):
        landed("a.csv", CSV)


def test_parquet_larger_than_the_disk_is_refused_before_it_is_copied(
    codes_of: CodesOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(total=len(PARQUET) - 1))

    assert codes_of("a.parquet", PARQUET) == ["too_large"]


class FullBucket(MemoryStore):
    """A bucket in a folder whose disk takes the upload and nothing more."""

    def create_from(self, key: str, source: BinaryIO) -> Version:  # noqa: ARG002  # whatever it is
        with translated(key):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class FullSource(MemoryStore):
    """A bucket that needs disk itself to be read, and has none."""

    def open(self, key: str) -> BinaryIO:  # noqa: ARG002  # whatever it is
        return Unreadable()


class Unreadable(io.BytesIO):
    def read(self, size: int | None = -1, /) -> bytes:  # noqa: ARG002  # however much
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(("bucket", "failure"), [(FullBucket, Unavailable), (FullSource, OSError)])
def test_a_bucket_without_room_is_no_fault_of_the_file(
    bucket: type[MemoryStore], failure: type[Exception], created: Callable[[str], ObjectCreated]
) -> None:
    store = bucket()
    store.create("landing/flights/a.csv", CSV)
    whole = App(store, MemoryJobs(), Maker(function="test", code="0" * 64))

    with pytest.raises(failure):
        run(created("landing/flights/a.csv"), whole.acting_as(named(CATALOGUE, "ingest")))

    assert list(store.list("")) == ["landing/flights/a.csv"]
