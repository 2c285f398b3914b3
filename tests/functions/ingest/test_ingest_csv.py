"""CSV: every cell as it was written, and every bad row by its number."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from functions.ingest import handler
from functions.ingest.limits import Limits
from samara.app import App
from samara.core.records import Batch, Quarantine
from samara.providers.memory import MemoryStore

BatchOf = Callable[[str, bytes], Batch]
RefusalOf = Callable[[str, bytes], Quarantine]
CodesOf = Callable[[str, bytes], list[str]]
TableOf = Callable[[Batch], dict[str, list[Any]]]


def test_every_cell_is_kept_exactly_as_written(batch_of: BatchOf, table_of: TableOf) -> None:
    cells = "1e400,NaN,inf,-0,0x10,１２,007,9223372036854775808,1_000,=cmd|' /C calc'!A0,@SUM,+1,-1, x ,2023-02-30"
    header = ",".join(f"c{number}" for number in range(cells.count(",") + 1))

    batch = batch_of("odd.csv", f"{header}\n{cells}\n".encode())

    assert [values[0] for values in table_of(batch).values()] == cells.split(",")
    assert {column.type for column in batch.columns} == {"string"}


def test_an_absent_cell_is_null_and_a_quoted_one_is_empty(batch_of: BatchOf, table_of: TableOf) -> None:
    batch = batch_of("a.csv", b'a,b\n,""\n')

    assert table_of(batch) == {"a": [None], "b": [""]}


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_lines_end_in_any_of_three_ways(batch_of: BatchOf, table_of: TableOf, ending: str) -> None:
    batch = batch_of("a.csv", ending.join(["a,b", "1,2", '"x","y"', "3,4"]).encode())

    assert table_of(batch) == {"a": ["1", "x", "3"], "b": ["2", "y", "4"]}


def test_line_ends_may_be_mixed_and_blank_lines_are_no_rows(batch_of: BatchOf, table_of: TableOf) -> None:
    batch = batch_of("a.csv", b"\n\r\na,b\r\n\r\n1,2\n\n3,4\r5,6\r\r\n\n")

    assert table_of(batch) == {"a": ["1", "3", "5"], "b": ["2", "4", "6"]}


def test_quoted_cells_hold_separators_newlines_and_quotes(batch_of: BatchOf, table_of: TableOf) -> None:
    batch = batch_of("a.csv", b'a,b\n"x,\ny","5"" pipe"\n5" pipe,z\n')

    assert table_of(batch) == {"a": ["x,\ny", '5" pipe'], "b": ['5" pipe', "z"]}


@pytest.mark.parametrize(("separator", "name"), [(";", "a.csv"), ("\t", "a.tsv"), ("|", "a.txt"), (",", "a.CSV")])
def test_the_header_tells_the_separator(batch_of: BatchOf, table_of: TableOf, separator: str, name: str) -> None:
    text = f'price{separator}"na,me;|"\n1,5{separator}x\n' if separator != "," else "price,b\n15,x\n"

    batch = batch_of(name, text.encode())

    assert next(iter(table_of(batch).values())) == ["1,5" if separator != "," else "15"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_a_byte_order_mark_tells_the_encoding(batch_of: BatchOf, table_of: TableOf, encoding: str) -> None:
    marked = "\ufeff" if encoding in ("utf-16-le", "utf-16-be") else ""

    batch = batch_of("a.csv", f"{marked}città,b\nnaïve 😀,2\n".encode(encoding))

    assert table_of(batch) == {"città": ["naïve 😀"], "b": ["2"]}


def test_names_that_scare_other_programs_are_plain_names(batch_of: BatchOf) -> None:
    batch = batch_of("a.csv", b"__proto__,constructor,toString\n1,2,3\n")

    assert [column.name for column in batch.columns] == ["__proto__", "constructor", "toString"]


def test_a_cell_of_a_megabyte_is_a_cell(batch_of: BatchOf, table_of: TableOf) -> None:
    batch = batch_of("a.csv", b"a,b\n1," + b"x" * 1_000_000 + b"\n")

    assert len(table_of(batch)["b"][0]) == 1_000_000


def test_bad_rows_are_refused_by_number_and_the_others_stay(
    batch_of: BatchOf, table_of: TableOf, store: MemoryStore
) -> None:
    rows = [b"1,a", b"2", b"3,c", b"4,d,e", b"\xff,f", b"6,f", b"7,\0", b"8,h", b'"9" x,i', b"10,j", b"11,k", b"12,l"]

    batch = batch_of("a.csv", b"n,x\n" + b"\n".join(rows))

    assert table_of(batch)["n"] == ["1", "3", "6", "8", "10", "11", "12"]
    refused = {reason.code: (reason.rows, reason.examples) for reason in batch.refused}
    assert refused == {
        "bad_character": (1, (7,)),
        "bad_encoding": (1, (5,)),
        "bad_quotes": (1, (9,)),
        "ragged_row": (2, (2, 4)),
    }
    (key,) = store.list("quarantine/flights/")
    quarantine = Quarantine.read(store.get(key).data, key)
    assert (quarantine.whole, quarantine.row_count, quarantine.reasons) == (False, 5, batch.refused)


def test_refused_rows_lie_in_quarantine_with_their_text(batch_of: BatchOf, store: MemoryStore, whole: App) -> None:
    batch_of("a.csv", b"a,b\n1,2\n\xe9,4\n5,6\n7\n8,9\n")

    (key,) = store.list("quarantine/flights/")
    blob = Quarantine.read(store.get(key).data, key).rows
    assert blob is not None
    said = [json.loads(line) for line in whole.blob(blob).splitlines()]
    assert [(row["row"], row["code"], row["text"]) for row in said] == [
        (2, "bad_encoding", "\\xe9,4"),
        (4, "ragged_row", "7"),
    ]


def test_numbers_of_bad_rows_count_across_blocks(batch_of: BatchOf) -> None:
    good = b"1,22222222222222222222\n" * 300_000

    batch = batch_of("a.csv", b"a,b\n" + good + b"x\n" + good + b"y,\xff\n" + b"z\n")

    refused = {reason.code: reason.examples for reason in batch.refused}
    assert refused == {"ragged_row": (300_001, 600_003), "bad_encoding": (600_002,)}
    assert batch.rows == 600_000


def test_a_file_most_of_whose_rows_are_bad_is_refused_whole(refusal_of: RefusalOf) -> None:
    refused = refusal_of("a.csv", b"a,b\n1,2\n3\n4\n")

    assert [(reason.code, reason.rows, reason.examples) for reason in refused.reasons] == [("ragged_row", 2, (2, 3))]
    assert "1 cells where the header names 2" in refused.reasons[0].why


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "empty_file"),
        (b"\n\r\n \n", "empty_file"),
        (b"\xef\xbb\xbf", "empty_file"),
        (b"a,b\n", "empty_dataset"),
        (b"a,b", "empty_dataset"),
        (b"a,,c\n1,2,3\n", "bad_column"),
        (b"a, ,c\n1,2,3\n", "bad_column"),
        ("a,b\u202ec\n1,2\n".encode(), "bad_column"),
        ("a,b\u200b\n1,2\n".encode(), "bad_column"),
        (b'a,"b\nc"\n1,2\n', "bad_column"),
        (b'a,"b"c\n1,2\n', "bad_column"),
        (b"a," + b"n" * 256 + b"\n1,2\n", "bad_column"),
        (b"a," + b"n" * 200_000 + b"\n1,2\n", "bad_column"),
        (b"a,b,a\n1,2,3\n", "duplicate_column"),
        ("café,cafe\u0301\n1,2\n".encode(), "duplicate_column"),
        (",".join(f"c{n}" for n in range(10_000)).encode() + b"\n1\n", "too_many_columns"),
        ("città,b\n1,2\n".encode("latin-1"), "bad_encoding"),
        ("a,b\n1,2\n".encode("utf-16-le"), "bad_encoding"),
        ("a,b\n1,2\n".encode("utf-32"), "bad_encoding"),
        ("a,b\n1,2\n".encode("utf-16") + b"x", "bad_encoding"),
        (b'a,"b\n1,2\n', "unclosed_quote"),
        (b'a,b\n1,2\n3,"4\n5,6\n', "unclosed_quote"),
        (b'a,b\n1,"' + b"x" * 100_000_000 + b'"\n', "row_too_long"),
        (b'a,b\n1,"' + b"2,3\n" * 5_000_000, "row_too_long"),
        (b"a" * 20_000_000, "row_too_long"),
        (b"\xff\xfe" + b"\xd8\xd8" * 10, "bad_encoding"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_whole(codes_of: CodesOf, data: bytes, code: str) -> None:
    assert codes_of("a.csv", data) == [code]


@pytest.mark.parametrize(("name", "row"), [("a.csv", b"1\n"), ("b.csv", b"\0,2\n"), ("a.jsonl", b"1\n")])
def test_reading_ends_when_too_many_rows_are_bad(
    codes_of: CodesOf, monkeypatch: pytest.MonkeyPatch, name: str, row: bytes
) -> None:
    monkeypatch.setattr(handler, "LIMITS", Limits(refused_rows=1_000, careful=100))
    good = b'{"a":1}\n' if name.endswith("jsonl") else b"a,b\n"

    codes = codes_of(name, good + row * 50_000)

    assert codes[0] == "too_many_refused"


def test_everything_wrong_with_a_header_is_said_at_once(refusal_of: RefusalOf) -> None:
    refused = refusal_of("a.csv", b"a,,a,\x07\n1,2,3,4\n")

    assert [reason.why for reason in refused.reasons] == [
        "column 2: has no name; give it one",
        "column 4: \\x07 holds control or invisible characters; rename it",
        "column 3: a is the name of column 1 too; rename one of them",
    ]


def test_an_unclosed_quote_is_found_by_its_row(refusal_of: RefusalOf) -> None:
    refused = refusal_of("a.csv", b'a,b\n1,2\n3,"4\n5,6\n')

    assert refused.reasons[0].why.startswith("row 2: opens a quote that is never closed")


def test_half_a_character_in_utf_16_costs_its_row_only(batch_of: BatchOf) -> None:
    text = "a,b\n1,2\n".encode("utf-16-le") + b"\x00\xd8" + ",4\n5,6\n".encode("utf-16-le")

    batch = batch_of("a.csv", b"\xff\xfe" + text)

    assert (batch.rows, batch.refused[0].code, batch.refused[0].examples) == (2, "bad_encoding", (2,))


def test_large_files_are_cut_into_parts(batch_of: BatchOf, table_of: TableOf, monkeypatch: pytest.MonkeyPatch) -> None:

    monkeypatch.setattr(handler, "LIMITS", Limits(block=1_000, row_group=5_000, part_rows=500, part=20_000))

    batch = batch_of("a.csv", b"n,x\n" + b"".join(b"%d,xxxx\n" % n for n in range(5_000)))

    assert len(batch.parts) > 5
    assert table_of(batch)["n"] == [str(n) for n in range(5_000)]


def test_a_byte_order_mark_in_a_cell_is_a_character(batch_of: BatchOf, table_of: TableOf) -> None:
    batch = batch_of("a.csv", "a,b\n\ufeff1,2\n".encode())

    assert table_of(batch) == {"a": ["\ufeff1"], "b": ["2"]}


def test_a_record_says_what_was_read(batch_of: BatchOf) -> None:
    batch = batch_of("a.csv", b"a,b\n1,2\n")

    assert (batch.dataset, batch.format, batch.source_size, batch.rows) == ("flights", "csv", 8, 1)
    assert batch.noted["source_key"] == "landing/flights/a.csv"
