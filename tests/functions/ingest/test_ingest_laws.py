"""Laws of ingest: what a table says comes back value for value, and anything at all ends in one outcome."""

import csv
import gzip
import io
import json
from datetime import UTC, datetime
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from functions.catalogue import CATALOGUE
from functions.ingest import csv_rows
from functions.ingest.handler import run
from functions.ingest.limits import Limits
from functions.ingest.refusals import Unfit
from functions.ingest.streams import Exact
from samara.app import App
from samara.catalogue import named
from samara.core.records import Batch, Quarantine, Receipt
from samara.core.sealed import Maker
from samara.errors import Unavailable
from samara.events import ObjectCreated
from samara.providers.memory import MemoryJobs, MemoryStore

NOON = datetime(2013, 2, 14, 12, tzinfo=UTC)

CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12) | st.sampled_from(
    ['"', '""', ",", "\r", "\n", "\r\n", " ", "'", '",', '"\n', "a\nb", "x,y", "NULL", "1e400", "\ufeff"]
)
TABLES = st.integers(1, 4).flatmap(
    lambda width: st.lists(st.lists(CELLS, min_size=width, max_size=width), min_size=1, max_size=12)
)


def ingest_in(store: MemoryStore) -> App:
    whole = App(store, MemoryJobs(), Maker(function="test", code="0" * 64))
    return whole.acting_as(named(CATALOGUE, "ingest"))


def outcome(name: str, data: bytes) -> tuple[MemoryStore, Batch | Quarantine]:
    store = MemoryStore(now=lambda: NOON)
    store.create(f"landing/any/{name}", data)
    receipt = run(ObjectCreated(f"landing/any/{name}", NOON), ingest_in(store))
    assert isinstance(receipt, Receipt)
    (link,) = receipt.made_from
    kind: type[Batch | Quarantine] = Batch if receipt.outcome == "batch" else Quarantine
    return store, kind.read(store.get(link.key).data, link.key)


def rows_of(store: MemoryStore, batch: Batch) -> list[list[Any]]:
    tables = [pq.read_table(io.BytesIO(store.get(f"blobs/sha256/{part.digest}").data)) for part in batch.parts]
    return [list(row.values()) for table in tables for row in table.to_pylist()]


def written(rows: list[list[str]], **options: Any) -> str:
    text = io.StringIO()
    writer = csv.writer(text, **options)
    writer.writerow([f"c{number}" for number in range(len(rows[0]))])
    writer.writerows(rows)
    return text.getvalue()


@given(TABLES, st.sampled_from([",", ";", "\t", "|"]), st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))
@settings(deadline=None)
def test_a_table_that_python_wrote_quoted_comes_back_value_for_value(
    rows: list[list[str]], separator: str, encoding: str
) -> None:
    text = written(rows, delimiter=separator, quoting=csv.QUOTE_ALL)

    store, batch = outcome("a.csv", text.encode(encoding))

    assert isinstance(batch, Batch)
    assert rows_of(store, batch) == rows


@given(TABLES)
@settings(deadline=None)
def test_a_table_that_python_wrote_comes_back_with_empty_cells_as_null(rows: list[list[str]]) -> None:
    alone = len(rows[0]) == 1  # Python quotes the only cell of a row when it is empty

    store, batch = outcome("a.csv", written(rows).encode())

    assert isinstance(batch, Batch)
    assert rows_of(store, batch) == [[cell if cell or alone else None for cell in row] for row in rows]


VALUES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
OBJECTS = st.dictionaries(
    st.text("abcdefé", min_size=1, max_size=3), VALUES | st.text('ab"\\\n é', max_size=5) | st.lists(VALUES, max_size=3)
)


@given(st.lists(OBJECTS, min_size=1, max_size=10))
@settings(deadline=None)
def test_objects_come_back_as_their_spelling(objects: list[dict[str, Any]]) -> None:
    names = list(dict.fromkeys(name for one in objects for name in one))

    store, record = outcome("a.jsonl", "\n".join(json.dumps(one) for one in objects).encode())

    def spelled(value: Any) -> Any:
        return value if value is None or isinstance(value, str) else json.dumps(value, separators=(",", ":"))

    if not names:
        assert isinstance(record, Quarantine)
        return
    assert isinstance(record, Batch)
    assert [column.name for column in record.columns] == names
    assert rows_of(store, record) == [[spelled(one.get(name)) for name in names] for one in objects]


@given(st.text('ab",;\n\r\t', max_size=40), st.sampled_from([3, 7, 1_000]))
@settings(max_examples=300, deadline=None)
def test_where_the_text_is_cut_into_blocks_changes_nothing(text: str, block: int) -> None:
    def read(size: int) -> list[Any]:
        found: list[Any] = []
        try:
            for piece in csv_rows.blocks(Exact(io.BytesIO(b"x,y\n" + text.encode())), Limits(block=size)):
                found += [(*row.values(),) for row in piece.table.to_pylist()]
                found += [(refused.row, refused.code) for refused in piece.refused]
        except Unfit as unfit:
            return [reason.code for reason in unfit.reasons]
        return sorted(found, key=repr)

    assert read(block) == read(1 << 20)


def seeds() -> list[tuple[str, bytes]]:
    table = pa.table({"a": [1, 2, 3], "b": ["x", "y", None], "c": pa.array(["p", "q", "p"]).dictionary_encode()})
    parquet = io.BytesIO()
    pq.write_table(table, parquet, compression="zstd")
    text = b'a,b\n1,"x ""y"""\n2,\xc3\xa9\n\n3,"p\nq"\n'
    return [
        ("a.csv", text),
        ("a.csv.gz", gzip.compress(text, mtime=0)),
        ("a.csv.zst", bytes(pa.compress(text, codec="zstd", asbytes=True))),
        ("a.csv", text.decode().encode("utf-16")),
        ("a.jsonl", b'{"a":1,"b":{"c":[1.5,"x"]}}\n{"a":null,"d":"\\u00e9"}\n{"b":true}\n'),
        ("a.parquet", parquet.getvalue()),
    ]


def mutated(data: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    for place, length, new in edits:
        start = place % (len(data) + 1)
        data = data[:start] + new + data[start + length :]
    return data


EDITS = st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 4), st.binary(max_size=4)), min_size=1, max_size=5)
ANYTHING = st.tuples(
    st.sampled_from(["a.csv", "a.json", "a.parquet", "a.gz", "a"]), st.binary(max_size=200)
) | st.builds(lambda seed, edits: (seed[0], mutated(seed[1], edits)), st.sampled_from(seeds()), EDITS)


@given(ANYTHING)
@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_anything_at_all_ends_in_one_outcome_and_a_second_delivery_changes_nothing(upload: tuple[str, bytes]) -> None:
    name, data = upload
    store, record = outcome(name, data)

    before = {key: store.get(key).data for key in store.list("")}

    run(ObjectCreated(f"landing/any/{name}", NOON), ingest_in(store))

    assert {key: store.get(key).data for key in store.list("")} == before
    assert len(list(store.list("receipts/"))) == 1
    assert len(list(store.list("datasets/"))) == (1 if isinstance(record, Batch) else 0)
    if isinstance(record, Batch):
        assert record.rows == len(rows_of(store, record)) > 0
    else:
        assert record.whole
        assert record.reasons


@pytest.mark.parametrize(("name", "data"), seeds())
def test_a_file_cut_short_anywhere_ends_in_one_outcome(name: str, data: bytes) -> None:
    for end in range(len(data)):
        _, record = outcome(name, data[:end])

        packed = name.endswith((".gz", ".zst", ".parquet"))
        assert not packed or isinstance(record, Quarantine)


class SlowFile(io.BytesIO):
    """Hands out a few bytes at a time, as a network may."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(7 if size is None or size < 0 else min(size, 7))


class Trickle(MemoryStore):
    def open(self, key: str) -> BinaryIO:
        return SlowFile(self.get(key).data)


@pytest.mark.parametrize(("name", "data"), seeds())
def test_how_a_network_cuts_a_file_changes_nothing(name: str, data: bytes) -> None:
    _, straight = outcome(name, data)
    slow = Trickle(now=lambda: NOON)
    slow.create(f"landing/any/{name}", data)

    receipt = run(ObjectCreated(f"landing/any/{name}", NOON), ingest_in(slow))

    assert receipt is not None
    assert receipt.made_from[0].digest == straight.digest


class BrokenFile(io.BytesIO):
    """Is out of reach after its first bytes."""

    def read(self, size: int | None = -1, /) -> bytes:  # noqa: ARG002  # it gives what it gives
        if self.tell():
            raise Unavailable("landing/any", "the connection broke")
        return super().read(20)


class Failing(MemoryStore):
    def open(self, key: str) -> BinaryIO:
        return BrokenFile(self.get(key).data)


@pytest.mark.parametrize(("name", "data"), seeds())
def test_a_store_that_fails_is_no_fault_of_the_file(name: str, data: bytes) -> None:
    store = Failing(now=lambda: NOON)
    store.create(f"landing/any/{name}", data)

    with pytest.raises(Unavailable):
        run(ObjectCreated(f"landing/any/{name}", NOON), ingest_in(store))

    assert list(store.list("")) == [f"landing/any/{name}"]
