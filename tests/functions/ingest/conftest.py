"""An upload and what became of it."""

import io
from collections.abc import Callable
from typing import Any

import pyarrow.parquet as pq
import pytest

from functions.ingest.handler import run
from samara.app import App
from samara.core.records import Batch, Quarantine, Receipt
from samara.events import ObjectCreated
from samara.providers.memory import MemoryStore

Outcome = Callable[[str, bytes], Batch | Quarantine]


@pytest.fixture
def landed(store: MemoryStore, created: Callable[[str], ObjectCreated], acting_as: Callable[[str], App]) -> Outcome:
    """Uploads the bytes under `landing/flights/{name}`, wakes ingest, and gives the record its receipt names."""

    def land(name: str, data: bytes) -> Batch | Quarantine:
        store.create(f"landing/flights/{name}", data)
        receipt = run(created(f"landing/flights/{name}"), acting_as("ingest"))
        assert isinstance(receipt, Receipt)
        kind: type[Batch | Quarantine] = Batch if receipt.outcome == "batch" else Quarantine
        (link,) = receipt.made_from
        record = kind.read(store.get(link.key).data, link.key)
        assert record.digest == link.digest
        return record

    return land


@pytest.fixture
def batch_of(landed: Outcome) -> Callable[[str, bytes], Batch]:
    def land(name: str, data: bytes) -> Batch:
        record = landed(name, data)
        assert isinstance(record, Batch), record
        return record

    return land


@pytest.fixture
def refusal_of(landed: Outcome) -> Callable[[str, bytes], Quarantine]:
    def land(name: str, data: bytes) -> Quarantine:
        record = landed(name, data)
        assert isinstance(record, Quarantine), record
        assert record.whole
        return record

    return land


@pytest.fixture
def codes_of(refusal_of: Callable[[str, bytes], Quarantine]) -> Callable[[str, bytes], list[str]]:
    """The codes for which the whole file is refused."""
    return lambda name, data: [reason.code for reason in refusal_of(name, data).reasons]


@pytest.fixture
def table_of(whole: App) -> Callable[[Batch], dict[str, list[Any]]]:
    """The rows of a batch, column by column."""

    def read(batch: Batch) -> dict[str, list[Any]]:
        columns: dict[str, list[Any]] = {column.name: [] for column in batch.columns}
        for part in batch.parts:
            table = pq.read_table(io.BytesIO(whole.blob(part.digest)))
            assert table.num_rows == part.rows
            for name, values in table.to_pydict().items():
                columns[name] += values
        return columns

    return read
