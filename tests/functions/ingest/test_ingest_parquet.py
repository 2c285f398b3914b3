"""Parquet: types kept, footers judged first and never believed."""

import io
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from functions.ingest import parquet_rows, parquet_tables
from functions.ingest.limits import LIMITS
from samara.child import Child
from samara.core.records import Batch, Quarantine
from samara.errors import Unavailable

BatchOf = Callable[[str, bytes], Batch]
RefusalOf = Callable[[str, bytes], Quarantine]
CodesOf = Callable[[str, bytes], list[str]]
TableOf = Callable[[Batch], dict[str, list[Any]]]


def parquet(table: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    pq.write_table(table, file, **options)
    return file.getvalue()


GOOD = parquet(pa.table({"a": [1, 2, None], "b": ["x", "", None]}))


def test_types_and_values_are_kept(batch_of: BatchOf, table_of: TableOf) -> None:
    noon = datetime(2013, 2, 14, 12, tzinfo=UTC)
    table = pa.table({
        "flag": [True, None], "small": pa.array([1, -1], pa.int8()), "big": pa.array([2**64 - 1, 0], pa.uint64()),
        "half": pa.array([0.5, 1.5], pa.float32()), "price": [Decimal("1.10"), None], "day": [date(2013, 2, 14), None],
        "at": pa.array([noon, None], pa.timestamp("us", "UTC")), "word": ["x", ""],
        "long": pa.array(["y", None], pa.large_string()), "coded": pa.array(["z", "z"]).dictionary_encode(),
        "none": pa.nulls(2),
    })  # fmt: skip

    batch = batch_of("a.parquet", parquet(table))

    assert table_of(batch) == table.to_pydict()
    assert [column.type for column in batch.columns] == [
        "bool", "int8", "uint64", "float", "decimal128(3, 2)", "date32[day]", "timestamp[us, tz=UTC]", "string",
        "string", "string", "string",
    ]  # fmt: skip


def test_old_timestamps_are_timestamps(batch_of: BatchOf, table_of: TableOf) -> None:
    early = datetime(1, 1, 1, tzinfo=None)  # noqa: DTZ001  # a time without zone is what the file holds
    table = pa.table({"at": pa.array([datetime(2013, 2, 14), early], pa.timestamp("us"))})  # noqa: DTZ001  # the same

    batch = batch_of("a.parquet", parquet(table, use_deprecated_int96_timestamps=True))

    assert (batch.columns[0].type, table_of(batch)["at"][0]) == ("timestamp[us]", datetime(2013, 2, 14))  # noqa: DTZ001


def test_many_row_groups_are_one_table(batch_of: BatchOf, table_of: TableOf) -> None:
    table = pa.table({"n": list(range(1_000)), "s": [str(n % 7) for n in range(1_000)]})

    batch = batch_of("a.parquet", parquet(table, row_group_size=10))

    assert table_of(batch) == table.to_pydict()


@pytest.mark.parametrize("encoding", ["PLAIN", "RLE_DICTIONARY", "DELTA_LENGTH_BYTE_ARRAY", "DELTA_BYTE_ARRAY"])
@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_texts_may_be_written_in_any_encoding(
    batch_of: BatchOf, table_of: TableOf, encoding: str, version: str
) -> None:
    table = pa.table({"s": [None, *(f"name {n % 50}" for n in range(1_000))], "coded": ["x"] * 1_001})
    how = ["s", "coded"] if encoding == "RLE_DICTIONARY" else ["coded"]
    encodings = None if encoding == "RLE_DICTIONARY" else {"s": encoding}
    options = {"use_dictionary": how, "column_encoding": encodings, "data_page_version": version}

    batch = batch_of("a.parquet", parquet(table, row_group_size=400, **options))

    assert table_of(batch) == table.to_pydict()


def test_a_dictionary_beside_texts_that_have_none_still_bounds_how_many_rows_are_read_at_once() -> None:
    table = pa.table({"delta": ["x"] * 1_000, "coded": ["y" * 1_000_000] * 1_000})
    encodings = {"delta": "DELTA_LENGTH_BYTE_ARRAY"}
    data = parquet(table, use_dictionary=["coded"], column_encoding=encodings, compression="zstd")

    found = parquet_tables.batches(io.BytesIO(data), pq.read_metadata(io.BytesIO(data)), LIMITS)

    assert next(found).nbytes <= LIMITS.row_group


def test_rows_with_nul_are_refused_by_number(batch_of: BatchOf) -> None:
    batch = batch_of("a.parquet", parquet(pa.table({"a": ["x", "\0", "y", None], "b": ["1", "2", "\0", "4"]})[:2]))

    assert (batch.rows, batch.refused[0].code, batch.refused[0].examples) == (1, "bad_character", (2,))


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"PAR1PAR1", "bad_parquet"),
        (b"PAR1", "bad_parquet"),
        (b"PAR1" + b"\0" * 4 + b"PAR1", "bad_parquet"),
        (GOOD[:-20], "bad_parquet"),
        (GOOD[: len(GOOD) // 2], "bad_parquet"),
        (GOOD[:-8] + b"\xff\xff\xff\x7f" + b"PAR1", "bad_parquet"),
        (GOOD[:-8] + b"\x05\0\0\0" + b"PAR1", "bad_parquet"),
        (GOOD[:-4] + b"PARE", "unsupported_format"),
        (GOOD[:4] + b"\xff" * 60 + GOOD[64:], "bad_parquet"),
        (parquet(pa.table({"a": pa.array([], pa.int64())})), "empty_dataset"),
        (parquet(pa.table({})), "empty_dataset"),
        (parquet(pa.table({f"c{n}": [n] for n in range(2_001)})), "too_many_columns"),
        (parquet(pa.table([[1], [2]], names=["a", "a"])), "duplicate_column"),
        (parquet(pa.table({"café": [1], "cafe\u0301": [2]})), "duplicate_column"),
        (parquet(pa.table({" ": [1]})), "bad_column"),
        (parquet(pa.table({"a": [[1]]})), "unsupported_type"),
        (parquet(pa.table({"a": [{"b": 1}]})), "unsupported_type"),
        (parquet(pa.table({"a": [b"x"]})), "unsupported_type"),
        (parquet(pa.table({"a": pa.array([1], pa.time64("us"))})), "unsupported_type"),
        (parquet(pa.table({"a": pa.array([b"0" * 16], pa.uuid())})), "unsupported_type"),
        (
            parquet(pa.table({"a": pa.Array.from_buffers(pa.string(), 1, [
                None, pa.py_buffer(b"\0\0\0\0\1\0\0\0"), pa.py_buffer(b"\xff"),
            ])})),
            "bad_encoding",
        ),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_used_is_refused_whole(codes_of: CodesOf, data: bytes, code: str) -> None:
    assert codes_of("a.parquet", data) == [code]


def test_a_refused_type_is_named_with_its_column(refusal_of: RefusalOf) -> None:
    refused = refusal_of("a.parquet", parquet(pa.table({"ok": [1], "tags": [["x"]]})))

    (reason,) = refused.reasons
    assert reason.column == "tags"
    assert reason.why == (
        "tags: has the type list<element: string>; write truth values, numbers, texts, dates or timestamps"
    )


def test_text_named_parquet_is_refused(codes_of: CodesOf) -> None:
    assert codes_of("a.parquet", b"a,b\n1,2\n") == ["bad_parquet"]


def test_parquet_under_another_name_is_parquet(batch_of: BatchOf) -> None:
    assert batch_of("a.csv", GOOD).format == "parquet"


def test_a_dictionary_bomb_is_left_before_it_is_written_out(codes_of: CodesOf) -> None:
    text = pa.DictionaryArray.from_arrays(pa.array([0] * 12_000, pa.int32()), pa.array(["x" * 1_000_000]))
    bomb = parquet(pa.table({"a": text}), compression="zstd", store_schema=False, dictionary_pagesize_limit=1 << 30)
    assert len(bomb) < 100_000, "12 GB in a few bytes"

    assert codes_of("a.parquet", bomb) == ["parquet_ratio"]


def test_a_footer_that_claims_too_much_is_believed_at_once(codes_of: CodesOf) -> None:
    nulls = pa.chunked_array([pa.nulls(10_000_000, pa.int8())] * 6)

    assert codes_of("a.parquet", parquet(pa.table({"a": nulls}))) == ["too_many_rows"]


def test_zeros_that_unpack_a_thousandfold_are_refused(codes_of: CodesOf) -> None:
    buffer = pa.py_buffer(bytes(200_000_000))
    column = pa.Array.from_buffers(pa.int64(), 25_000_000, [None, buffer])

    data = parquet(pa.table({"a": column}), compression="zstd", use_dictionary=False)

    assert codes_of("a.parquet", data) == ["parquet_ratio"]


def test_texts_whose_size_cannot_be_told_are_refused(codes_of: CodesOf) -> None:
    table = pa.table({"a": ["x" * 1_000_000 + str(n) for n in range(200)]})
    data = parquet(table, use_dictionary=False, column_encoding={"a": "DELTA_BYTE_ARRAY"})

    assert codes_of("a.parquet", data) == ["unsupported_type"]


def test_a_file_that_ends_the_process_reading_it_is_refused_and_nothing_else_ends(refusal_of: RefusalOf) -> None:
    """Its footer counts definition levels of a column that it says has none: pyarrow cannot be asked of that."""
    optional, required = b"\x25\x02\x18\x01a", b"\x25\x00\x18\x01a"  # as Thrift writes what a column is
    data = parquet(pa.table({"a": [1.5] * 50}))

    refused = refusal_of("a.parquet", data.replace(optional, required, 1))

    (reason,) = refused.reasons
    assert reason.code == "bad_parquet"
    assert reason.why.endswith("write the file again and upload all of it")


limited = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing limits the memory of a process")


@limited
def test_a_page_that_unpacks_to_more_than_its_footer_says_takes_no_more_memory_than_it_may(codes_of: CodesOf) -> None:
    texts = pa.table({"a": ["x" * 600_000_000]})
    data = parquet(texts, use_dictionary=False, compression="zstd", write_statistics=False)
    group = pq.ParquetFile(io.BytesIO(data)).metadata.row_group(0)
    footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    lie = data[footer:]
    for claimed in (group.total_byte_size, group.column(0).total_uncompressed_size):
        lie = lie.replace(varint(2 * claimed), b"\x82" + b"\x80" * 3 + b"\0")

    assert codes_of("a.parquet", data[:footer] + lie) == ["parquet_memory"]


@limited
def test_texts_whose_lengths_claim_to_be_any_number_take_no_more_memory_than_they_may(codes_of: CodesOf) -> None:
    table, encoding = pa.table({"a": ["abc"] * 1000}), {"a": "DELTA_LENGTH_BYTE_ARRAY"}
    data = parquet(table, use_dictionary=False, column_encoding=encoding, compression="none", write_statistics=False)
    lengths = varint(128) + varint(4) + varint(1000)
    all_alike = varint(1 << 30) + varint(4) + varint(300_000_000) + bytes(6)

    at = data.index(lengths)

    assert codes_of("a.parquet", data[:at] + all_alike + data[at + len(all_alike) :]) == ["parquet_memory"]


def varint(number: int) -> bytes:
    """As Thrift writes a number that is not negative."""
    return bytes([number & 127 | 128]) + varint(number >> 7) if number > 127 else bytes([number])


@pytest.fixture
def good(tmp_path: Path) -> Iterator[Any]:
    with (tmp_path / "good").open("w+b") as file:
        file.write(GOOD)
        yield file


def test_a_reader_that_was_ended_from_outside_is_not_the_files_fault(
    good: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_rows, "PROGRAM", "import os; os.kill(os.getpid(), 9)")

    with pytest.raises(Unavailable, match="SIGKILL"):
        next(parquet_rows.blocks(good, len(GOOD), LIMITS))


def test_who_wants_no_more_rows_leaves_no_reader_behind(good: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    child = Child(parquet_rows.PROGRAM)
    monkeypatch.setattr(parquet_rows, "Child", lambda _program: child)
    rows = parquet_rows.blocks(good, len(GOOD), LIMITS)
    next(rows)

    rows.close()

    assert child.process.poll() is not None
