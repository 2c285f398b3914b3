"""Parquet: types kept, footers judged first and never believed."""

import io
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from samara.core.records import Batch, Quarantine

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
