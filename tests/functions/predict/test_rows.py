"""Rows in the user's words are asked exactly as training asked them, and what is unusual is said."""

import io
import json
import subprocess
import sys
from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from struct import pack, unpack
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from functions.predict import parquet_rows, rows
from functions.predict.cells import Flag, broken_rule
from functions.predict.rows import Rows
from functions.validate.rules import violations
from functions.validate.typed import typed
from samara import scoring
from samara.core import contract
from samara.core.sheet import Column, Scalar, Seen, Sheet, Target
from samara.core.spelling import Type
from samara.core.tensors import Spec, Value
from samara.errors import Rejected

SHEET = Sheet(
    columns=(
        Column("carrier", "string", required=True, seen=Seen(categories={"AA": 5, "B6": 2}, complete=True), valid=None),
        Column("distance", "integer", minimum=1, maximum=6000, seen=Seen(minimum=100, maximum=4000)),
        Column("temp", "number", missing_values=("NA", -999), seen=Seen(missing=0.2, minimum=-5, maximum=100)),
        Column("night", "boolean", default=False),
    ),
    task="classification",
    target=Target("late", "boolean"),
    ignored=("late", "flight_id"),
    classes=(0, 1),
)
SPECS = (
    Spec("carrier", "BYTES", (-1, 1)),
    Spec("distance", "FP32", (-1, 1)),
    Spec("temp", "FP32", (-1, 1)),
    Spec("night", "FP32", (-1, 1)),
)
ROW: dict[str, Any] = {"carrier": "AA", "distance": 1089, "temp": 31.5, "night": True}


def asked(*given: dict[str, Any], sheet: Sheet | None = SHEET, specs: Sequence[Spec] = SPECS) -> Rows:
    return rows.asked("application/json", json.dumps({"rows": given}).encode(), specs, sheet)


def numbers(value: Value) -> list[float]:
    return list(unpack(f"<{value.size}f", value.data))


def codes(found: Rows) -> list[list[tuple[str, str]]]:
    return [[(flag.column, flag.code) for flag in flags] for flags in found.flags]


def refusal(body: bytes, kind: str = "application/json", sheet: Sheet | None = SHEET) -> Rejected:
    with pytest.raises(Rejected) as caught:
        rows.asked(kind, body, SPECS, sheet)
    return caught.value


PARQUET = "application/x-parquet"


def parquet(table: pa.Table, **options: Any) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, **options)
    return buffer.getvalue()


@contextmanager
def memory() -> Iterator[pa.MemoryPool]:
    """What Arrow takes from now on."""
    usual = pa.default_memory_pool()
    pa.set_memory_pool(counting := pa.proxy_memory_pool(usual))
    try:
        yield counting
    finally:
        pa.set_memory_pool(usual)


def test_a_row_becomes_one_tensor_for_each_column() -> None:
    found = asked(ROW, {**ROW, "distance": 200, "temp": None})

    assert found.size == 2
    assert found.values["carrier"] == Value("BYTES", (2, 1), [b"AA", b"AA"])
    assert numbers(found.values["distance"]) == [1089.0, 200.0]
    assert numbers(found.values["temp"])[0] == 31.5
    assert np.isnan(numbers(found.values["temp"])[1]), "missing, as training had it"
    assert numbers(found.values["night"]) == [1.0, 1.0]
    assert codes(found) == [[], []]


def test_the_same_rows_in_csv_and_parquet_are_the_same_tensors() -> None:
    said = [ROW, {**ROW, "carrier": "B6", "temp": None, "night": False}]
    csv = b"carrier;distance;temp;night\r\nAA;1089;31.5;true\r\n\r\nB6;1089;NA;0\r\n"

    found = [
        asked(*said),
        rows.asked("text/csv; charset=utf-8", csv, SPECS, SHEET),
        rows.asked("application/vnd.apache.parquet", parquet(pa.Table.from_pylist(said)), SPECS, SHEET),
    ]

    assert found[0].columns == found[1].columns == found[2].columns
    assert found[0].values == found[1].values == found[2].values


def test_the_target_and_other_columns_of_the_contract_may_stay_and_are_named() -> None:
    found = asked({**ROW, "late": True, "flight_id": "x"})

    assert found.ignored == ("late", "flight_id")
    assert set(found.values) == {"carrier", "distance", "temp", "night"}


def test_a_column_that_nobody_knows_is_refused_by_its_name() -> None:
    error = refusal(json.dumps({"rows": [ROW, {**ROW, "distnace": 3}]}).encode())

    assert (error.subject, error.code) == ("distnace", "unknown_column")
    assert "carrier, distance" in error.why


@pytest.mark.parametrize(
    ("change", "subject", "code"),
    [
        ({"distance": "1089"}, "row 2: distance", "bad_value"),
        ({"distance": 1.5}, "row 2: distance", "bad_value"),
        ({"distance": True}, "row 2: distance", "bad_value"),
        ({"distance": 2**63}, "row 2: distance", "bad_value"),
        ({"temp": [1]}, "row 2: temp", "bad_value"),
        ({"temp": "warm"}, "row 2: temp", "bad_value"),
        ({"carrier": 7}, "row 2: carrier", "bad_value"),
        ({"carrier": "A" * 40_000}, "row 2: carrier", "bad_value"),
        ({"night": 2}, "row 2: night", "bad_value"),
        ({"night": "true"}, "row 2: night", "bad_value"),
        ({"carrier": None}, "row 2: carrier", "missing_value"),
        ({"carrier": ""}, "row 2: carrier", "missing_value"),
    ],
)
def test_a_value_of_another_type_is_refused_with_its_row_and_column(
    change: dict[str, Any], subject: str, code: str
) -> None:
    error = refusal(json.dumps({"rows": [ROW, {**ROW, **change}]}).encode())

    assert (error.subject, error.code) == (subject, code)


def test_numbers_too_large_for_any_float_are_refused() -> None:
    for number in (b"1e999", b"1" + b"0" * 400, b"1e39"):
        error = refusal(b'{"rows": [{"carrier": "AA", "temp": ' + number + b"}]}")

        assert error.code in ("bad_value", "bad_input", "bad_json"), number


@pytest.mark.parametrize("wide", [False, True], ids=["an input each", "side by side"])
def test_a_number_too_large_for_the_model_is_refused_with_its_row_and_column(wide: bool) -> None:
    sheet = Sheet((Column("p", "number"), Column("q", "number")))
    each = (Spec("p", "FP32", (-1, 1)), Spec("q", "FP32", (-1, 1)))

    with pytest.raises(Rejected) as caught:
        asked({"p": 1}, {"p": 4, "q": 1e39}, sheet=sheet, specs=(Spec("all", "FP32", (-1, 2)),) if wide else each)

    assert (caught.value.subject, caught.value.why) == ("row 2: q", "is too large for FP32")
    assert caught.value.code == "bad_value"


@pytest.mark.parametrize(
    ("change", "flags"),
    [
        ({"carrier": "ZZ"}, [("carrier", "unseen_category")]),
        ({"distance": 50}, [("distance", "out_of_range")]),
        ({"distance": 5000}, [("distance", "out_of_range")]),
        ({"distance": 9000}, [("distance", "breaks_contract")]),
        ({"distance": None}, [("distance", "unseen_missing")]),
        ({"temp": -999}, []),
        ({"temp": None}, []),
        ({"night": None}, [("night", "defaulted")]),
        ({"carrier": "ZZ", "temp": 200}, [("carrier", "unseen_category"), ("temp", "out_of_range")]),
    ],
)
def test_what_is_unusual_is_scored_and_flagged(change: dict[str, Any], flags: list[tuple[str, str]]) -> None:
    found = asked(ROW, {**ROW, **change})

    assert codes(found) == [[], flags]


@pytest.mark.parametrize(
    ("column", "value", "why"),
    [
        (Column("it", "integer", multiple_of=5), 7, "7 is no multiple of 5, as the contract promises"),
        (Column("it", "number", multiple_of=0.1), 0.25, "0.25 is no multiple of 0.1, as the contract promises"),
        (
            Column("it", "number", multiple_of=0.01),
            12345678.905,
            "12345678.905 is no multiple of 0.01, as the contract",
        ),
        (Column("it", "integer", multiple_of=2.0), 1_000_000_001, "1000000001 is no multiple of 2, as the contract"),
        (Column("it", "string", min_length=3), "ab", "ab is not at least 3 letters long, as the contract promises"),
        (Column("it", "string", max_length=2), "abc", "abc is not at most 2 letters long, as the contract promises"),
        (
            Column("it", "string", max_length=2, personal=True),
            "abc",
            "it is not at most 2 letters long, as the contract",
        ),
        (Column("it", "integer", maximum=1_700_000_400), 1_700_000_401, "1700000401 is not at most 1700000400, as the"),
    ],
)
def test_what_the_contract_forbids_is_flagged_in_its_words(column: Column, value: Any, why: str) -> None:
    (found,) = flagged(column, value)

    assert (found.code, found.why[: len(why)]) == ("breaks_contract", why)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        (Column("it", "integer", multiple_of=5), -15),
        (Column("it", "number", multiple_of=0.1), 0.3),
        (Column("it", "number", multiple_of=1e-300), 1e300),
        (Column("it", "number", multiple_of=0.01), 12345678.91),
        (Column("it", "number", multiple_of=0.01), sum([0.01] * 1000)),
        (Column("it", "string", min_length=2, max_length=2), "éé"),
    ],
)
def test_what_the_contract_permits_is_not_flagged(column: Column, value: Any) -> None:
    assert flagged(column, value) == []


INTEGERS = st.integers(-(2**63), 2**63 - 1) | st.integers(0, 9).map(lambda n: 2**63 - 1 - n) | st.integers(-9, 9)
REALS = st.floats(allow_nan=False, allow_infinity=False)
MULTIPLES = st.sampled_from([0.01, 0.1, 0.25, 1.0, 2.0, 2.5, 7.0, 2.0**63, 1e-320]) | st.floats(
    0, 2.0**63, exclude_min=True
)
LIMITS = st.integers(-(2**63), 2**63) | st.floats(-(2.0**63), 2.0**63) | st.integers(-9, 9)
Case = tuple[Type, float, dict[str, Any]]


@st.composite
def measured(draw: st.DrawFn) -> Case:
    kind: Type = draw(st.sampled_from(["integer", "number"]))
    if draw(st.booleans()):
        value = draw(INTEGERS if kind == "integer" else REALS | INTEGERS.map(lambda whole: whole * 0.01))
        return kind, value, {"multiple_of": draw(MULTIPLES)}
    limit = draw(LIMITS if kind == "integer" else REALS)
    return kind, draw(INTEGERS if kind == "integer" else REALS), {draw(st.sampled_from(BOUNDS)): limit}


BOUNDS = ("minimum", "maximum", "above", "below")


@settings(max_examples=500, deadline=None)
@given(measured())
@example(("integer", 2**63 - 1, {"minimum": 2**63}))
@example(("integer", 2**63 - 1, {"below": 2.0**63}))
@example(("integer", 2**53 + 1, {"above": 0.5}))
@example(("integer", -(2**63), {"multiple_of": 2.0**63}))
@example(("number", 1e300, {"multiple_of": 1e-300}))
def test_a_prediction_is_held_to_the_contract_exactly_as_training_data_is(case: Case) -> None:
    kind, value, promise = case

    asked = broken_rule(value, Column("it", kind, **promise))

    column = contract.Column(name="it", type=kind, **promise)
    trained = [mask.tolist() for _, mask in violations(column, typed(pa.array([value, None]), column))]
    assert bool(asked) == ([True, False] in trained)


@pytest.mark.parametrize("multiple", [0.01, 0.1, 0.05, 0.3, 2.5, 1e-6])
@given(st.integers(-(10**12), 10**12))
def test_every_number_that_is_written_as_a_multiple_is_one(multiple: float, times: int) -> None:
    written = float(Decimal(str(multiple)) * times)

    assert not broken_rule(written, Column("it", "number", multiple_of=multiple))


def test_limits_of_what_training_saw_are_said_in_full() -> None:
    seen = Seen(minimum=-0.1, maximum=1_700_000_400.0)

    assert flagged(Column("it", "number", seen=seen), 1_700_000_401)[0].why.startswith(
        "1700000401 is above 1700000400,"
    )
    assert flagged(Column("it", "number", seen=seen), -0.2)[0].why.startswith("-0.2 is below -0.1,")


@pytest.mark.parametrize(
    ("kind", "value", "code"),
    [("number", 4711, "out_of_range"), ("date", "2013-02-14", "out_of_range"), ("string", "Ada", "unseen_category")],
)
def test_what_training_always_saw_missing_is_flagged_where_it_is_there(kind: Type, value: Any, code: str) -> None:
    for personal in (True, False):
        (found,) = flagged(Column("it", kind, personal=personal, seen=Seen(missing=1.0)), value)

        assert (found.code, found.why) == (code, "is there, and training always saw it missing")
    assert flagged(Column("it", kind, seen=Seen(missing=1.0)), None) == []


def flagged(column: Column, value: Any) -> list[Flag]:
    specs = (Spec("it", "BYTES" if isinstance(value, str) else "FP64", (-1, 1)),)
    (found,) = asked({"it": value}, sheet=Sheet((column,)), specs=specs).flags
    return found


def test_a_column_left_out_takes_its_default_or_is_missing_unless_it_is_required() -> None:
    found = asked({"carrier": "AA", "distance": 300})

    assert found.columns["night"] == [False]
    assert found.columns["temp"] == [None]
    assert codes(found) == [[("night", "defaulted")]]
    error = refusal(b'{"rows": [{"distance": 300}]}')
    assert (error.subject, error.code) == ("carrier", "no_column")


def test_all_columns_that_are_missing_are_named_at_once() -> None:
    needed = tuple(column._replace(required=True) for column in SHEET.columns)

    error = refusal(b'{"rows": [{"temp": 1}]}', sheet=SHEET._replace(columns=needed))

    assert str(error) == "carrier, distance: there are no such columns in the rows; the model needs them"


def test_a_long_default_is_not_repeated_into_more_than_a_request_may_hold() -> None:
    sheet = Sheet((Column("a", "number"), *(Column(f"c{n}", "string", default="x" * 300) for n in range(50))))
    specs = tuple(Spec(column.name, "FP32" if column.name == "a" else "BYTES", (-1, 1)) for column in sheet.columns)

    with pytest.raises(Rejected, match="ask for a batch") as caught:
        asked(*[{"a": 1}] * 10_000, sheet=sheet, specs=specs)

    assert (caught.value.subject, caught.value.code) == ("rows", "too_large")
    assert asked(*[{"a": 1}] * 400, sheet=sheet, specs=specs).size == 400


def test_of_a_personal_column_no_value_is_ever_said_back() -> None:
    sheet = Sheet((Column("age", "integer", personal=True, maximum=120), Column("name", "string", personal=True)))
    specs = (Spec("age", "FP32", (-1, 1)), Spec("name", "BYTES", (-1, 1)))

    found = asked({"age": 4711, "name": "Ada"}, sheet=sheet, specs=specs)
    with pytest.raises(Rejected) as caught:
        asked({"age": 47.11, "name": "Ada"}, sheet=sheet, specs=specs)

    assert codes(found) == [[("age", "breaks_contract")]]
    assert "4711" not in found.flags[0][0].why
    assert "47.11" not in str(caught.value)


def test_endless_flags_are_counted_and_not_all_told() -> None:
    found = asked(*[{**ROW, "carrier": "ZZ"}] * (rows.MOST_FLAGS + 5))

    assert sum(map(len, found.flags)) == rows.MOST_FLAGS
    assert found.left_out == 5


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "bad_json"),
        (b"[]", "bad_request"),
        (b'{"rows": []}', "bad_request"),
        (b'{"rows": {}}', "bad_request"),
        (b'{"rows": [1]}', "bad_request"),
        (b'{"rows": [[":"]]}', "bad_request"),
        (b'{"rows": [{}], "row": 1}', "unknown_field"),
        (b'{"rows": [{}], "id": 5}', "bad_id"),
        (b'{"rows": [{"temp": 1, "temp": 2}]}', "bad_json"),
        (b'{"rows": [{"temp": 1, "te\\u006dp": 2}]}', "bad_json"),
        (b'{"rows": [{"temp": NaN}]}', "bad_json"),
        (b'{"rows": [{"temp": 1}]} x', "bad_json"),
        (b'{"rows": ' + b"[" * 100 + b"]" * 100 + b"}", "too_deep"),
        (b'{"rows": [' + b"{}," * rows.MOST_ROWS + b"{}]}", "too_many_rows"),
        (b" " * (7 << 20), "too_large"),
    ],
)
def test_what_is_no_list_of_rows_is_refused(body: bytes, code: str) -> None:
    assert refusal(body).code == code


PEOPLE = [["secret@x.org", "41", "41"], ["other@x.org", "17", "3"]]


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("text/csv", "\n".join(",".join(row) for row in PEOPLE).encode()),
        ("text/csv", "\n".join(";".join(row[:2]) for row in PEOPLE).encode()),
        ("text/csv", ",".join(PEOPLE[0]).encode()),
        ("text/csv", b"secret@x.org,,41\n"),
        (PARQUET, parquet(pa.table({"secret@x.org": ["other@x.org"], "41": ["17"]}))),
    ],
)
def test_where_a_row_stands_in_place_of_the_header_none_of_it_is_said_back(kind: str, body: bytes) -> None:
    error = refusal(body, kind)

    assert (error.subject, error.code) == ("header", "unknown_column")
    assert error.why.endswith("the first line must name them: carrier, distance, temp, night")
    assert not [cell for row in PEOPLE for cell in row if cell in str(error)]


@pytest.mark.parametrize(
    ("body", "subject", "code"),
    [
        (b"", "body", "bad_csv"),
        (b"carrier,carrier\nAA,AA\n", "header", "bad_csv"),
        (b"carrier,\nAA,1\n", "header", "bad_csv"),
        (b"carrier,distance\nAA\n", "row 1", "bad_csv"),
        (b"carrier,distance\nAA,1,2\n", "row 1", "bad_csv"),
        (b'carrier\n"AA', "body", "bad_csv"),
        (b"carrier\n\xff\n", "body", "bad_csv"),
        (b"carrier\nA\0A\n", "body", "bad_csv"),
        (b"carrier\n", "rows", "bad_request"),
        (b"carrier,distance\nAA,1.0\n", "row 1: distance", "bad_value"),
        (b"carrier,distance\nAA,0x10\n", "row 1: distance", "bad_value"),
        (b"carrier,temp\nAA,nan\n", "row 1: temp", "bad_value"),
        (b"carrier,temp\nAA,1e999\n", "row 1: temp", "bad_value"),
        (b"carrier\n" + b"AA\n" * (rows.MOST_ROWS + 1), "body", "too_many_rows"),
    ],
)
def test_csv_that_cannot_be_read_says_where(body: bytes, subject: str, code: str) -> None:
    error = refusal(body, "text/csv")

    assert (error.subject, error.code) == (subject, code)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "bad_parquet"),
        (b"PAR1" + b"x" * 50 + b"PAR1", "bad_parquet"),
        (parquet(pa.table({"carrier": ["AA"], "temp": [float("nan")]})), "bad_value"),
        (parquet(pa.table({"carrier": ["AA"], "more": [1]})), "unknown_column"),
        (parquet(pa.table({"carrier": [["AA"]]})), "bad_value"),
        (parquet(pa.table({"carrier": ["A" * 30] * (rows.MOST_ROWS + 1)})), "too_many_rows"),
        (parquet(pa.table({"carrier": ["AA"]}))[:-40] + b"\0" * 32 + b"\0\0\0\0PAR1", "bad_parquet"),
    ],
)
def test_parquet_that_cannot_be_read_is_refused(body: bytes, code: str) -> None:
    assert refusal(body, "application/x-parquet").code == code


NO_TIME = "where the contract has text; write it as text"


@pytest.mark.parametrize(
    ("texts", "subject", "why"),
    [
        (["AA", None, "A\0"], "row 3: carrier", "holds a NUL character; remove it"),
        (["AA", "A" * 32_768], "row 2: carrier", "has more than 32,767 letters, the most of one cell"),
        ([date(2013, 2, 14)], "carrier", f"is a column of date32[day] {NO_TIME}"),
        ([datetime(2013, 2, 14, tzinfo=UTC)], "carrier", f"is a column of timestamp[us, tz=UTC] {NO_TIME}"),
    ],
)
def test_parquet_cells_that_no_other_form_takes_are_refused(texts: list[Any], subject: str, why: str) -> None:
    for options in ({}, {"use_dictionary": False}, {"row_group_size": 1}):
        error = refusal(parquet(pa.table({"carrier": pa.array(texts)}), **options), PARQUET)

        assert (error.subject, error.why, error.code) == (subject, why, "bad_value")


def test_the_most_letters_of_a_cell_are_taken_in_every_alphabet() -> None:
    found = rows.asked(PARQUET, parquet(pa.table({"carrier": ["é" * 32_767], "distance": [200]})), SPECS, SHEET)

    assert found.columns["carrier"] == ["é" * 32_767]


class Keys(pe.KmsClient):  # type: ignore[misc]  # pyarrow has no type hints
    """Keys for encryption, kept as they are."""

    def wrap_key(self, key: bytes, _: str) -> bytes:
        return b64encode(key)

    def unwrap_key(self, wrapped: bytes, _: str) -> bytes:
        return b64decode(wrapped)


@pytest.mark.parametrize("about", [{"uniform_encryption": True}, {"column_keys": {"k": ["carrier"]}}], ids=str)
@pytest.mark.parametrize("plain", [True, False], ids=["plain footer", "no plain footer"])
def test_encrypted_parquet_is_named_with_the_way_out(about: dict[str, Any], plain: bool) -> None:
    factory = pe.CryptoFactory(lambda _: Keys())
    how = pe.EncryptionConfiguration(footer_key="f", plaintext_footer=plain, **about)
    properties = factory.file_encryption_properties(pe.KmsConnectionConfig(), how)
    body = parquet(pa.table({"carrier": ["AA"], "distance": [200]}), encryption_properties=properties)

    assert str(refusal(body, PARQUET)) == "body: is an encrypted Parquet file; write it without encryption"


def test_a_parquet_file_that_lacks_a_part_is_refused_in_words() -> None:
    cut = parquet(pa.table({"carrier": ["AA"]}))[4:]

    assert refusal(cut, PARQUET).why.endswith("a part is missing that every file has; write it again")


LONG = "A" * 60_000


@pytest.mark.parametrize(
    "values",
    [
        pa.array([LONG.encode()] * 1000),
        pa.array([LONG.encode()] * 1000, pa.binary(len(LONG))),
        pa.array([[LONG]] * 1000),
        pa.array([{"code": LONG}] * 1000),
    ],
    ids=lambda values: str(values.type)[:20],
)
def test_parquet_columns_that_could_unpack_to_anything_are_refused_before_they_do(values: pa.Array) -> None:
    """The file keeps the value once; for each of its rows it would be copied."""
    body = parquet(pa.table({"carrier": values}))

    with memory() as taken:
        error = refusal(body, "application/x-parquet")

    assert (error.subject, error.code) == ("carrier", "bad_value")
    assert taken.max_memory() < 1_000_000, "of 60 MB"


def test_one_text_in_thousands_of_rows_of_parquet_takes_the_room_of_one() -> None:
    for texts in (pa.array([LONG[:6000]] * 1000), pa.array([LONG[:6000]] * 1000, pa.string_view())):
        (column,) = parquet_rows.Table(parquet(pa.table({"carrier": texts}))).columns(["carrier"]).values()

        assert len(column) == 1000
        assert len({id(text) for text in column}) == 1


TIMES = pa.array(range(1_000), pa.timestamp("us", "UTC"))


@pytest.mark.parametrize(
    "columns",
    [
        {"carrier": pa.array(["A" * 32_767] * 20_000)},
        {"carrier": pa.array(["A" * 32_767] * 20_000, pa.string_view())},
        {"carrier": pa.array(["A" * 32_767] * 20_000, pa.large_string()).dictionary_encode()},
        {"carrier": pa.array(["A" * 160] * 20_000), "distance": pa.array(["0" * 160] * 20_000)},
        {"carrier": pa.array(["AA"] * 99_000), **{f"at{n}": pa.array([5] * 99_000, TIMES.type) for n in range(4)}},
    ],
    ids=["text", "view", "large", "two columns", "times"],
)
def test_texts_of_parquet_are_no_longer_with_their_repeats_than_those_of_other_forms(columns: dict[str, Any]) -> None:
    """The file keeps a text once; in a capture, and to the model, each row has it."""
    sheet = Sheet((*SHEET.columns, *(Column(name, "timestamp") for name in columns if name.startswith("at"))))
    body = parquet(pa.table(columns), compression="zstd")

    with memory() as taken:
        error = refusal(body, PARQUET, sheet)

    assert (error.subject, error.code) == ("rows", "too_large")
    assert "are the most; ask for a batch" in error.why
    assert len(body) < 100_000
    assert taken.max_memory() < 10_000_000


def test_texts_that_no_row_of_a_parquet_file_has_do_not_count() -> None:
    texts = pa.array(["AA", *("A" * 30_000 + str(number) for number in range(300))]).dictionary_encode()

    found = rows.asked(PARQUET, parquet(pa.table({"carrier": texts.slice(0, 1), "distance": [200]})), SPECS, SHEET)

    assert found.columns["carrier"] == ["AA"]


def test_of_parquet_no_more_rows_are_decoded_than_its_footer_says_first() -> None:
    """How many there are in all stands before the groups of rows, each of which says its own."""
    million, one = b"\x16\x80\x89\x7a", b"\x16\x82\x80\x00"  # as Thrift writes them
    body = parquet(pa.table({"distance": pa.nulls(1_000_000, pa.int64())}))
    footer = len(body) - 8 - int.from_bytes(body[-8:-4], "little")
    table = parquet_rows.Table(body[:footer] + body[footer:].replace(million, one, 1))

    with memory() as taken, pytest.raises(Rejected) as caught:
        table.columns(["distance"])

    assert (table.count, caught.value.code) == (1, "bad_parquet")
    assert taken.max_memory() < 1_000_000, "of 8 MB"


@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_of_parquet_pages_no_more_is_unpacked_than_they_say_whatever_the_footer_says(version: str) -> None:
    texts = pa.table({"carrier": ["A" * 150_000_000]})
    body = parquet(texts, use_dictionary=False, compression="zstd", write_statistics=False, data_page_version=version)
    claimed = pq.ParquetFile(io.BytesIO(body)).metadata.row_group(0).total_byte_size
    footer = len(body) - 8 - int.from_bytes(body[-8:-4], "little")
    lie = body[footer:].replace(varint(2 * claimed), b"\x82" + b"\x80" * 3 + b"\0")
    assert pq.ParquetFile(io.BytesIO(body[:footer] + lie)).metadata.row_group(0).total_byte_size == 1

    with memory() as taken:
        error = refusal(body[:footer] + lie, "application/x-parquet")

    assert (error.subject, error.code) == ("body", "too_large")
    assert taken.max_memory() < 1_000_000, "of 150 MB"


def varint(number: int) -> bytes:
    """As Thrift writes a number that is not negative."""
    return bytes([number & 127 | 128]) + varint(number >> 7) if number > 127 else bytes([number])


@pytest.mark.parametrize("encoding", ["DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY"])
def test_parquet_text_in_an_encoding_that_is_not_read_is_named_with_the_way_out(encoding: str) -> None:
    table = pa.table({"carrier": ["AA", "UA"], "distance": [1, 2]})

    error = refusal(parquet(table, use_dictionary=False, column_encoding={"carrier": encoding}), PARQUET)

    assert (error.subject, error.code) == ("carrier", "bad_value")
    assert f"{encoding}, which is not read here; write it PLAIN or with a dictionary" in error.why


def test_a_parquet_decimal_wider_than_any_is_refused_before_it_is_read() -> None:
    """Each of the 10,000 rows would be as long as the only value in the file, before somebody saw it is no number."""
    with memory() as taken:
        error = refusal(wide_decimal(60_000, 10_000), PARQUET)

    assert (error.subject, error.code) == ("distance", "bad_value")
    assert taken.max_memory() < 1_000_000, "of 600 MB"


def wide_decimal(width: int, rows: int) -> bytes:
    values = pa.DictionaryArray.from_arrays(
        pa.array([0] * rows, pa.int32()), pa.array([b"0" * width], pa.binary(width))
    )
    body = parquet(pa.table({"distance": values}), compression="zstd", write_statistics=False, store_schema=False)
    footer = len(body) - 8 - int.from_bytes(body[-8:-4], "little")
    is_decimal = b"\x25\x0a\x15\x04\x15\x14"  # of ten digits, two of them behind the point, as Thrift writes it
    changed = body[footer:-8].replace(b"\x08distance", b"\x08distance" + is_decimal, 1)
    return body[:footer] + changed + len(changed).to_bytes(4, "little") + b"PAR1"


def test_where_there_is_no_pyarrow_parquet_is_refused_and_the_way_out_named() -> None:
    program = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "from functions.predict import rows\n"
        "try: rows.asked('application/x-parquet', b'', (), None)\n"
        "except Exception as error: print(error.code, error)"
    )

    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert said.stdout.startswith("media_type")
    assert "text/csv" in said.stdout


def test_other_forms_are_refused_by_their_media_type() -> None:
    assert refusal(b"<rows/>", "application/xml").code == "media_type"


def test_without_a_sheet_rows_are_asked_by_the_names_and_datatypes_of_the_inputs() -> None:
    specs = (Spec("a", "FP64", (-1, 1)), Spec("b", "INT64", (-1,)), Spec("c", "BOOL", (-1, 1)))

    found = asked({"a": None, "b": 2**62, "c": True}, sheet=None, specs=specs)

    assert found.values["b"] == Value("INT64", (1,), pack("<q", 2**62))
    assert found.values["c"] == Value("BOOL", (1, 1), b"\1")
    with pytest.raises(Rejected, match="the model needs it"):
        asked({"b": 1, "c": True}, sheet=None, specs=specs)
    with pytest.raises(Rejected, match="is required, and missing"):
        asked({"a": 1, "b": None, "c": True}, sheet=None, specs=specs)


def test_a_model_with_one_wide_input_gets_the_columns_side_by_side() -> None:
    sheet = Sheet((Column("b", "number"), Column("a", "integer")))
    specs = (Spec("features", "FP32", (-1, 2)),)

    found = asked({"a": 1, "b": 2}, {"a": 3, "b": None}, sheet=sheet, specs=specs)

    assert found.values["features"].shape == (2, 2)
    assert np.array_equal(numbers(found.values["features"]), [2, 1, np.nan, 3], equal_nan=True)
    with pytest.raises(Rejected, match="no columns are named for"):
        asked({"features": [1, 2]}, sheet=None, specs=specs)


def test_dates_are_text_to_a_model_and_are_read_as_the_contract_spells_them() -> None:
    sheet = Sheet((Column("day", "date", minimum="2013-01-01"), Column("at", "timestamp", maximum="2013-12-31")))
    specs = (Spec("day", "BYTES", (-1, 1)), Spec("at", "BYTES", (-1, 1)))

    found = asked({"day": "2012-02-29", "at": "2013-02-14T13:00+01:00"}, sheet=sheet, specs=specs)

    assert found.values["at"].data == [b"2013-02-14T12:00:00.000000+00:00"]
    assert codes(found) == [[("day", "breaks_contract")]]
    with pytest.raises(Rejected, match="row 1: day"):
        asked({"day": "2013-02-29", "at": None}, sheet=sheet, specs=specs)


def outputs(*pairs: tuple[float, float]) -> dict[str, Value]:
    labels = [int(high > low) for low, high in pairs]
    flat = [share for pair in pairs for share in pair]
    return {
        "label": Value("INT64", (len(pairs),), pack(f"<{len(pairs)}q", *labels)),
        "probabilities": Value("FP32", (len(pairs), 2), pack(f"<{len(flat)}f", *flat)),
    }


def test_an_answer_names_the_classes_and_says_what_was_unusual() -> None:
    found = asked(ROW, {**ROW, "carrier": "ZZ", "late": None})

    said = rows.answer(outputs((0.75, 0.25), (0.25, 0.75)), found, SHEET, {})

    assert said["predictions"] == [
        {"label": False, "probabilities": {"false": 0.75, "true": 0.25}},
        {"label": True, "probabilities": {"false": 0.25, "true": 0.75}},
    ]
    assert [[flag["code"] for flag in flags] for flags in said["flags"]] == [[], ["unseen_category"]]
    assert said["ignored"] == ["late"]


def test_a_vetoed_row_has_no_answer_and_says_which_rule_took_it() -> None:
    found = asked(ROW, ROW)

    said = rows.answer(outputs((0.75, 0.25), (float("nan"), 0.5)), found, SHEET, {1: ("confident", "it is not")})

    assert said["predictions"][0]["label"] is False
    assert said["predictions"][1] == {
        "label": None,
        "probabilities": None,
        "vetoed": {"rule": "confident", "why": "it is not"},
    }
    with pytest.raises(Rejected, match="row 2: the model answers with NaN"):
        rows.answer(outputs((0.75, 0.25), (float("nan"), 0.5)), found, SHEET, {})


def test_other_outputs_are_answered_by_their_names() -> None:
    found = asked(ROW, ROW)
    given = {
        "prediction": Value("FP32", (2, 1), pack("<2f", 1.5, 2.5)),
        "embedding": Value("INT64", (2, 2), pack("<4q", 1, 2, 3, 4)),
    }

    said = rows.answer(given, found, None, {})

    assert said["predictions"] == [
        {"prediction": 1.5, "embedding": [1, 2]},
        {"prediction": 2.5, "embedding": [3, 4]},
    ]


def test_an_output_that_is_not_row_by_row_cannot_be_answered_by_rows() -> None:
    with pytest.raises(Rejected, match="no value for each row"):
        rows.answer({"mean": Value("FP32", (1,), pack("<f", 1.5))}, asked(ROW, ROW), None, {})


def test_the_background_of_a_sheet_is_asked_as_rows_are() -> None:
    sheet = Sheet(
        SHEET.columns,
        background={"carrier": ("AA", None), "distance": (1, 2), "temp": (None, 1.5), "night": (True, False)},
    )

    found = rows.background(sheet, SPECS, 100)

    assert found["carrier"].data == [b"AA", b""]
    assert numbers(found["night"]) == [1.0, 0.0]
    assert rows.background(sheet, SPECS, 1)["distance"].shape == (1, 1)


CELLS: dict[str, st.SearchStrategy[Any]] = {
    "text": st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8),
    "whole": st.integers(-(2**63), 2**63 - 1),
    "real": st.floats(allow_nan=False, allow_infinity=False, min_value=-3e38, max_value=3e38),
    "truth": st.booleans(),
}
TABLE = pa.schema([("text", pa.string()), ("whole", pa.int64()), ("real", pa.float64()), ("truth", pa.bool_())])
PLAIN = Sheet(
    (Column("text", "string"), Column("whole", "integer"), Column("real", "number"), Column("truth", "boolean"))
)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.fixed_dictionaries({}, optional={name: st.none() | cell for name, cell in CELLS.items()}),
        min_size=1,
        max_size=8,
    )
)
def test_rows_are_asked_bit_for_bit_as_training_asks_a_table(given: list[dict[str, Any]]) -> None:
    specs = tuple(Spec(name, "BYTES" if name == "text" else "FP32", (-1, 1)) for name in CELLS)
    table = pa.Table.from_pylist(given, schema=TABLE)

    found = asked(*given, sheet=PLAIN, specs=specs)

    trained = scoring.asked(table, list(CELLS))
    assert [text.decode() for text in found.values["text"].data] == trained["text"].to_pylist()
    for name in ("whole", "real", "truth"):
        mine = np.frombuffer(found.values[name].data, dtype="<f4")
        assert np.array_equal(mine, trained[name].to_numpy(), equal_nan=True), name


FORMS = ("json", "json with a colon", "csv", "whole parquet", "parquet")


@settings(max_examples=200, deadline=None)
@given(st.integers(-(2**63), 2**63 - 1) | st.integers(0, 2**9).map(lambda n: 2**60 + 2**36 + n))
@example(2**60 + 2**36 + 1)
def test_a_whole_number_is_the_same_number_in_every_form_and_in_training(given: int) -> None:
    """Training reads numbers as doubles and asks with floats; whoever rounds once, not twice, may get another one."""
    sheet, specs = Sheet((Column("n", "number"), Column("s", "string"))), (Spec("n", "FP32", (-1, 1)),)
    body = {
        "json": json.dumps({"rows": [{"n": given}]}).encode(),
        "json with a colon": json.dumps({"rows": [{"n": given, "s": "a:"}]}).encode(),
        "csv": f"n\n{given}\n".encode(),
        "whole parquet": parquet(pa.table({"n": [given]})),
        "parquet": parquet(pa.table({"n": [float(given)]})),
    }
    kinds = dict.fromkeys(FORMS[:2], "application/json") | {"csv": "text/csv"}

    found = {form: rows.asked(kinds.get(form, PARQUET), body[form], specs, sheet) for form in FORMS}

    read = typed(pa.array([str(given)]), contract.Column(name="n", type="number")).values
    trained = scoring.asked(pa.table({"n": read}), ["n"])["n"].to_pylist()
    assert {form: numbers(one.values["n"]) for form, one in found.items()} == dict.fromkeys(FORMS, trained)


def test_a_whole_number_beyond_64_bits_is_the_same_whether_another_cell_has_a_colon_or_not() -> None:
    sheet, given = Sheet((Column("n", "number"), Column("s", "string"))), 2**64 + 2**40 + 1

    found = [asked({"n": given, "s": text}, sheet=sheet, specs=(Spec("n", "FP32", (-1, 1)),)) for text in ("a", "a:")]

    assert found[0].columns["n"] == found[1].columns["n"] == [float(given)]
    assert found[0].values == found[1].values


MEANING_NOTHING = ("-999", -999, "-999.0", -999.5, -(2**63), 2**63, 2**53 + 1, 10**400, 0, "1e3", "NA", True, None)


@pytest.mark.parametrize("kind", ["integer", "number"])
@given(st.lists(st.sampled_from(MEANING_NOTHING), max_size=3).map(tuple), st.sampled_from([*MEANING_NOTHING, -0.0]))
def test_what_means_that_nothing_is_there_means_it_in_every_form_and_in_training(
    kind: Type, missing: tuple[Scalar, ...], value: Scalar
) -> None:
    promised = contract.Column(name="n", type=kind, missing_values=missing)
    sheet = Sheet((Column("n", kind, missing_values=missing), Column("s", "string")))
    written = "" if value is None else str(value)

    trained = typed(pa.array([written]), promised)

    if trained.wrong.any():
        with pytest.raises(Rejected):
            rows.asked("text/csv", f"n,s\n{written},a\n".encode(), (Spec("n", "FP64", (-1, 1)),), sheet)
    else:
        found = rows.asked("text/csv", f"n,s\n{written},a\n".encode(), (Spec("n", "FP64", (-1, 1)),), sheet)
        assert found.columns["n"] == trained.values.to_pylist()
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            assert asked({"n": value}, sheet=sheet, specs=(Spec("n", "FP64", (-1, 1)),)).columns == {
                "n": found.columns["n"],
                "s": [None],
            }


def test_reading_rows_loads_nothing_heavy() -> None:
    heavy = ("numpy", "pydantic", "pyarrow", "pandas", "yaml", "boto3", "csv")
    program = (
        "import sys, functions.predict.rows, functions.predict.policy, functions.predict.guardrails\n"
        "import samara.core.sheet\n"
        f"print(sorted(set({heavy}) & set(sys.modules)))"
    )

    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert said.stdout.strip() == "[]"
