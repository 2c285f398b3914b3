"""JSON lines: one object a row, numbers as they were written, names in the order they appear."""

import io
import json
from collections.abc import Callable
from typing import Any

import pytest

from functions.ingest import json_rows
from functions.ingest.limits import Limits
from functions.ingest.streams import Exact
from samara.core.records import Batch, Quarantine

BatchOf = Callable[[str, bytes], Batch]
RefusalOf = Callable[[str, bytes], Quarantine]
CodesOf = Callable[[str, bytes], list[str]]
TableOf = Callable[[Batch], dict[str, list[Any]]]


def test_values_keep_the_spelling_they_have_in_the_file(batch_of: BatchOf, table_of: TableOf) -> None:
    line = b'{"i":12345678901234567890,"f":1.50,"e":1E400,"z":-0,"t":true,"n":null,"s":"x\\u00e9 1","q":"null"}'

    batch = batch_of("a.jsonl", line)

    assert {name: values[0] for name, values in table_of(batch).items()} == {
        "i": "12345678901234567890", "f": "1.50", "e": "1E400", "z": "-0", "t": "true", "n": None, "s": "xé 1",
        "q": "null",
    }  # fmt: skip
    assert (batch.format, {column.type for column in batch.columns}) == ("jsonl", {"string"})


def test_nested_values_become_canonical_json(batch_of: BatchOf, table_of: TableOf) -> None:
    batch = batch_of("a.jsonl", b'{"a": {"z": [1.0, "1", null, true], "b": {}}}\n{"a": []}\n')

    assert table_of(batch) == {"a": ['{"b":{},"z":[1.0,"1",null,true]}', "[]"]}


def test_columns_are_all_names_in_the_order_they_first_appear(batch_of: BatchOf, table_of: TableOf) -> None:
    batch = batch_of("a.json", b'{"b":1}\r\n\n{"a":2}\n{}\n{"c":4,"b":5}')

    assert table_of(batch) == {"b": ["1", None, None, "5"], "a": [None, "2", None, None], "c": [None, None, None, "4"]}


def test_a_name_that_appears_late_is_a_column_of_every_part(batch_of: BatchOf, table_of: TableOf) -> None:
    early = b'{"a":"' + b"x" * 1000 + b'"}\n'

    batch = batch_of("a.ndjson", early * 10_000 + b'{"late":1}\n')

    assert [column.name for column in batch.columns] == ["a", "late"]
    assert table_of(batch)["late"] == [None] * 10_000 + ["1"]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b'{"a":1', "bad_json"),
        (b'{"a":1} {"a":2}', "bad_json"),
        (b'{"a":1,"a":2}', "bad_json"),
        (b'{"a":{"b":1,"b":2}}', "bad_json"),
        (b'{"a":NaN}', "bad_json"),
        (b'{"a":-Infinity}', "bad_json"),
        (b'{"a":01}', "bad_json"),
        (b"[1]", "bad_json"),
        (b'"text"', "bad_json"),
        (b"17", "bad_json"),
        (b'{"a":' + b"[" * 33 + b"]" * 33 + b"}", "bad_json"),
        (b'{"a":' + b"[" * 10_000 + b"]" * 10_000 + b"}", "bad_json"),
        (b'{"a":' * 100_000, "bad_json"),
        (b'{"a":"\\ud800"}', "bad_character"),
        (b'{"\\udc00":1}', "bad_character"),
        (b'{"a":"\\u0000"}', "bad_character"),
        (b'{"a":"\xff"}', "bad_encoding"),
        (b'{"a":"\0"}', "bad_json"),
        (b'{"":1}', "bad_column"),
        ('{"a\u202eb":1}'.encode(), "bad_column"),
        (b'{"' + b"n" * 256 + b'":1}', "bad_column"),
        ('{"cafe\u0301":1}'.encode(), "duplicate_column"),
        ('{"é":1,"e\u0301":1}'.encode(), "duplicate_column"),
    ],
)
def test_a_bad_line_is_refused_by_number_and_the_others_stay(
    batch_of: BatchOf, table_of: TableOf, line: bytes, code: str
) -> None:
    batch = batch_of("a.jsonl", '{"a":1,"café":0}\n\n'.encode() + line + b'\n{"a":3}\n')

    assert table_of(batch) == {"a": ["1", "3"], "café": ["0", None]}
    assert [(reason.code, reason.rows, reason.examples) for reason in batch.refused] == [(code, 1, (2,))]


def test_a_truncated_last_line_is_refused_alone(batch_of: BatchOf) -> None:
    batch = batch_of("a.jsonl", b'{"a":1}\n{"a":2}\n{"a":')

    assert (batch.rows, batch.refused[0].examples) == (2, (3,))


@pytest.mark.parametrize(
    ("data", "codes"),
    [
        (b'[{"a":1},\n{"a":2}]', ["bad_json"]),
        (b"[1,2]", ["bad_json"]),
        (b" []", ["bad_json"]),
        (b'{\n  "a": 1,\n  "b": 2\n}\n', ["bad_json"]),
        (b"{}\n{}\n", ["empty_dataset"]),
        (b'{"a":NaN}\n', ["bad_json"]),
        (b'{"a":NaN}\n{"a":NaN}\n{"a":"\xff"}\n{"a":1}', ["bad_encoding", "bad_json"]),
        (b'{"a":"' + b"x" * 20_000_000, ["row_too_long"]),
        (b"", ["empty_file"]),
        (b"\n\n  \n", ["empty_file"]),
        (b"\n".join(json.dumps({f"k{n}": n}).encode() for n in range(2_001)), ["too_many_columns"]),
    ],
)
def test_a_file_without_usable_rows_is_refused_whole(codes_of: CodesOf, data: bytes, codes: list[str]) -> None:
    assert codes_of("a.json", data) == codes


def test_json_lines_under_another_name_are_json_lines(batch_of: BatchOf) -> None:
    assert batch_of("a.csv", b'{"a":1}\n').format == "jsonl"


def test_few_bytes_with_many_columns_stay_within_bounds(batch_of: BatchOf, table_of: TableOf) -> None:
    wide = json.dumps({f"k{n}": n for n in range(1_000)}).encode()

    batch = batch_of("a.jsonl", b'{"a":1}\n' * 5_000 + wide)

    assert (batch.rows, len(batch.columns)) == (5_001, 1_001)
    assert table_of(batch)["k999"] == [None] * 5_000 + ["999"]


def test_objects_with_nothing_in_them_are_rows_however_many_come_before_the_first_name() -> None:
    data, limits = b"{}\n" * 7 + b'{"a":1}\n{}\n{"b":2}\n', Limits(block=6, table_cells=1)

    found = list(json_rows.blocks(Exact(io.BytesIO(data)), io.BytesIO(), limits))

    rows = [row for block in found for row in block.table.to_pylist()]
    assert rows == [{"a": None, "b": None}] * 7 + [
        {"a": "1", "b": None},
        {"a": None, "b": None},
        {"a": None, "b": "2"},
    ]
    assert max(block.table.num_rows for block in found) <= 4
