"""What validate does with a batch: see `functions/validate/handler.py`."""

import io
import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.validate import handler
from functions.validate.handler import run
from functions.validate.repeated import Seen, repeats
from samara.app import App
from samara.core import keys
from samara.core.digests import digest
from samara.core.heads import ContractHead
from samara.core.profile import MomentProfile, NumericProfile, Profile
from samara.core.records import Alert, Batch, Column, Part, Quarantine, Validation
from samara.core.sealed import Maker
from samara.errors import Misconfigured, Unavailable
from samara.events import ObjectCreated
from samara.providers.memory import MemoryStore

HEAD = """
apiVersion: v3.1.0
kind: DataContract
id: people
version: 1.0.0
schema:
  - name: people
    properties:
"""
AGE = """
      - name: age
        logicalType: integer
        required: true
        logicalTypeOptions: {minimum: 0, maximum: 120}
"""
NAME = """
      - name: name
        logicalType: string
        logicalTypeOptions: {maxLength: 5, pattern: '[a-z]+'}
"""
KEY = "datasets/people/0011223344556677.json"

Created = Callable[[str], ObjectCreated]


@pytest.fixture
def app(acting_as: Callable[[str], App]) -> App:
    return acting_as("validate")


def agree(whole: App, text: str, dataset: str = "people") -> str:
    """Put a contract in force."""
    name = whole.keep(text.encode())
    whole.store.create(keys.contract_head(dataset), ContractHead(contract=name, write_id="test").to_bytes())
    return name


def parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def arrive(whole: App, *tables: pa.Table, key: str = KEY) -> Batch:
    """A batch as ingest writes it."""
    data = [parquet(table) for table in tables]
    parts = tuple(Part(digest=whole.keep(d), rows=t.num_rows, size=len(d)) for d, t in zip(data, tables, strict=True))
    batch = Batch(
        made_by=Maker(function="ingest", code="0" * 64),
        dataset="people",
        source=digest(b"file"),
        source_size=4,
        format="csv",
        columns=tuple(Column(name=field.name, type=str(field.type)) for field in tables[0].schema),
        rows=sum(table.num_rows for table in tables),
        parts=parts,
        noted={"source_key": "landing/people/monday.csv"},
    )
    return whole.write(key, batch)


def text(**columns: list[str | None]) -> pa.Table:
    return pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})


def validated(whole: App) -> Validation:
    return whole.read(Validation, keys.validation(KEY))


def accepted(whole: App) -> dict[str, list[Any]]:
    tables = [pq.read_table(io.BytesIO(whole.blob(part.digest))) for part in validated(whole).parts]
    found: dict[str, list[Any]] = pa.concat_tables(tables).to_pydict()
    return found


def quarantined(whole: App) -> list[Quarantine]:
    return [whole.read(Quarantine, key) for key in whole.store.list(keys.QUARANTINE)]


def refused_rows(whole: App) -> dict[int, list[str]]:
    """The numbers of refused rows and the codes of their reasons."""
    (record,) = quarantined(whole)
    lines = [json.loads(line) for line in whole.blob(record.rows or "").splitlines()]
    return {line["row"]: [reason["code"] for reason in line["reasons"]] for line in lines}


def failed(validation: Validation) -> dict[tuple[str, str | None], int]:
    return {(check.name, check.column): check.failed_rows for check in validation.checks if not check.passed}


def test_a_batch_that_keeps_its_contract_is_accepted_with_typed_columns(whole: App, app: App, created: Created) -> None:
    contract = agree(whole, HEAD + AGE + NAME)
    batch = arrive(whole, text(age=["30", "41"], name=["ann", None]))

    run(created(KEY), app)

    validation = validated(whole)
    assert (validation.verdict, validation.rows, validation.refused_rows) == ("accepted", 2, 0)
    assert validation.contract == contract
    assert validation.made_from == (batch.link(KEY),)
    assert accepted(whole) == {"age": [30, 41], "name": ["ann", None]}
    assert not list(whole.store.list(keys.QUARANTINE))


def test_refused_rows_are_quarantined_with_all_their_reasons_and_the_others_are_kept(
    whole: App, app: App, created: Created
) -> None:
    agree(whole, HEAD + AGE + NAME)
    arrive(whole, text(age=["30", "x", "", "200", "5"], name=["ann", "BOB", "cyd", "toolong", "eve"]))

    run(created(KEY), app)

    validation = validated(whole)
    assert failed(validation) == {
        ("type", "age"): 1,
        ("required", "age"): 1,
        ("range", "age"): 1,
        ("length", "name"): 1,
        ("pattern", "name"): 1,
        ("refused_rows", None): 3,
    }
    assert refused_rows(whole) == {
        2: ["type", "pattern"],
        3: ["required"],
        4: ["range", "length"],
    }
    assert accepted(whole) == {"age": [30, 5], "name": ["ann", "eve"]}


def test_a_check_says_which_rows_in_words_but_never_their_values(whole: App, app: App, created: Created) -> None:
    agree(whole, HEAD + AGE)
    arrive(whole, text(age=["1", "secret", "3", "4"]))

    run(created(KEY), app)

    (check,) = [check for check in validated(whole).checks if check.name == "type"]
    assert check.detail == "is no integer: row 2"
    assert "secret" not in whole.store.get(keys.validation(KEY)).data.decode()


def test_refused_rows_keep_their_values_as_they_were_written(whole: App, app: App, created: Created) -> None:
    agree(whole, HEAD + AGE)
    arrive(whole, text(age=["1", "１２", "2"], more=["a", "=cmd|' /C calc'!A0", "c"]))

    run(created(KEY), app)

    (record,) = quarantined(whole)
    assert (record.whole, record.row_count, record.source_key) == (False, 1, "landing/people/monday.csv")
    (line,) = whole.blob(record.rows or "").splitlines()
    assert json.loads(line)["values"] == {"age": "１２", "more": "=cmd|' /C calc'!A0"}


def test_a_batch_without_a_required_column_is_refused_whole(whole: App, app: App, created: Created) -> None:
    agree(whole, HEAD + AGE + NAME)
    arrive(whole, text(name=["ann", "bob"]))

    run(created(KEY), app)

    validation = validated(whole)
    assert (validation.verdict, validation.refused_rows, validation.parts) == ("refused", 2, ())
    assert failed(validation) == {("missing_column", "age"): 2}
    (record,) = quarantined(whole)
    assert record.whole
    assert record.reasons[0].column == "age"


def test_an_optional_column_that_is_missing_is_read_as_missing(whole: App, app: App, created: Created) -> None:
    agree(whole, HEAD + AGE + NAME)
    arrive(whole, text(age=["1"]))

    run(created(KEY), app)

    assert accepted(whole) == {"age": [1], "name": [None]}


def test_a_column_the_contract_does_not_know_is_noted_and_kept_out(whole: App, app: App, created: Created) -> None:
    agree(whole, HEAD + AGE)
    arrive(whole, text(age=["1"], surprise=["<script>"]))

    run(created(KEY), app)

    (check,) = [check for check in validated(whole).checks if check.name == "unknown_column"]
    assert (check.column, check.passed) == ("surprise", True)
    assert accepted(whole) == {"age": [1]}


@pytest.mark.parametrize("ages", [["x", "x", "x"], ["1", "x", "x"], []])
def test_a_batch_with_no_rows_left_or_more_wrong_than_right_is_refused(
    ages: list[str | None], whole: App, app: App, created: Created
) -> None:
    agree(whole, HEAD + AGE)
    arrive(whole, text(age=ages))

    run(created(KEY), app)

    assert validated(whole).verdict == "refused"
    (record,) = quarantined(whole)
    assert record.whole


def test_half_of_the_rows_wrong_is_still_a_batch(whole: App, app: App, created: Created) -> None:
    agree(whole, HEAD + AGE)
    arrive(whole, text(age=["1", "x"]))

    run(created(KEY), app)

    assert validated(whole).verdict == "accepted"


WRONG: dict[str, list[str]] = {
    "integer": ["1.0", "1e3", "0x10", "１２", "1_000", " 1", "+1", "9223372036854775808", "9" * 5000, "NaN", "--1"],
    "number": ["NaN", "inf", "-Infinity", "1e400", "0x10", "１２", "1_000", "1,5", "1 000", "1e", ".", "Ⅻ"],
    "boolean": ["yes", "no", "t", "2", "10", "-0"],
    "date": ["2023-02-30", "2023-02-29", "0000-00-00", "0000-01-01", "10000-01-01", "2013-2-3", "14.02.2013"],
    "timestamp": ["2023-02-30T00:00:00Z", "9999-12-31T23:59:60Z", "2013-02-14T25:00Z", "2013-02-14T05:00:00.1234567Z",
                  "0001-01-01T00:00:00+10:00", "9999-12-31T23:00:00-05:00", "1360818000", "2013-02-14T05"],
}  # fmt: skip


@pytest.mark.parametrize(("kind", "value"), [(kind, value) for kind, values in WRONG.items() for value in values])
def test_what_is_not_exactly_of_its_type_is_refused(
    kind: str, value: str, whole: App, app: App, created: Created
) -> None:
    agree(whole, HEAD + f"      - {{name: it, logicalType: {kind}}}")
    arrive(whole, text(it=[value, None, None]))

    run(created(KEY), app)

    assert failed(validated(whole)) == {("type", "it"): 1}


RIGHT: dict[str, dict[str, str]] = {
    "integer": {"-9223372036854775808": "-9223372036854775808", "007": "7", "-0": "0", "0" * 20 + "1": "1"},
    "number": {"-0": "-0.0", "1e3": "1000.0", ".5": "0.5", "5.": "5.0", "+1": "1.0", "1e-400": "0.0"},
    "boolean": {"true": "True", "FALSE": "False", "1": "True", "0": "False"},
    "string": {"=cmd|' /C calc'!A0": "=cmd|' /C calc'!A0", " x ": " x ", "e\u0301": "e\u0301", "NA": "NA"},
    "date": {"2000-02-29": "2000-02-29", "0001-01-01": "0001-01-01", "9999-12-31": "9999-12-31"},
    "timestamp": {
        "2013-02-14T05:00:00Z": "2013-02-14 05:00:00+00:00",
        "2013-03-10T02:30:00": "2013-03-10 02:30:00+00:00",
        "2013-02-14 05:00:00.123456+02:00": "2013-02-14 03:00:00.123456+00:00",
        "2013-02-14T05:00-0130": "2013-02-14 06:30:00+00:00",
        "2013-02-14": "2013-02-14 00:00:00+00:00",
        "9999-12-31T23:59:59.999999Z": "9999-12-31 23:59:59.999999+00:00",
    },
}


@pytest.mark.parametrize(("kind", "pair"), [(kind, pair) for kind, pairs in RIGHT.items() for pair in pairs.items()])
def test_what_is_merely_odd_is_read_rightly(
    kind: str, pair: tuple[str, str], whole: App, app: App, created: Created
) -> None:
    value, expected = pair
    agree(whole, HEAD + f"      - {{name: it, logicalType: {kind}}}")
    arrive(whole, text(it=[value, "", None]))

    run(created(KEY), app)

    values = accepted(whole)["it"]
    assert str(values[0]) == expected
    assert values[1:] == [None, None], "what is empty is missing"


@pytest.mark.parametrize("kind", ["integer", "number"])
def test_numbers_that_mean_nothing_is_there_may_be_of_any_size_and_written_as_text(
    kind: str, whole: App, app: App, created: Created
) -> None:
    nothing = "[-9223372036854775808, 100000000000000000000, '-999', -7.5, 0]"
    rule = f"{{metric: missingValues, mustBeLessThan: 9, arguments: {{missingValues: {nothing}}}}}"
    agree(whole, HEAD + f"      - {{name: it, logicalType: {kind}, quality: [{rule}]}}")
    arrive(whole, text(it=["-9223372036854775808", "-999", "-7", "0", "-0", None]), text(it=["8"]))

    run(created(KEY), app)

    assert accepted(whole)["it"] == [None, None, -7, None, None, None, 8]


def test_typed_parquet_columns_are_held_to_the_contract_too(whole: App, app: App, created: Created) -> None:
    agree(
        whole,
        HEAD
        + """
      - {name: whole, logicalType: integer}
      - {name: share, logicalType: number}
      - {name: flag, logicalType: boolean}
      - {name: day, logicalType: date}
      - {name: at, logicalType: timestamp}
      - {name: code, logicalType: string}
""",
    )
    table = pa.table(
        {
            "whole": pa.array([1.0, 1.5, None, 2.0**60], pa.float64()),
            "share": pa.array([0.5, float("nan"), None, float("inf")], pa.float32()),
            "flag": pa.array([1, 2, None, 0], pa.int8()),
            "day": pa.array([0, 1, None, 86_400], pa.timestamp("s")),
            "at": pa.array([0, 2**62, None, 1], pa.timestamp("ms")),
            "code": pa.array(["a", "b", None, "c"]).dictionary_encode(),
        }
    )
    arrive(whole, table, table.slice(0, 1), table.slice(0, 1), table.slice(2, 1))

    run(created(KEY), app)

    assert failed(validated(whole)) == {
        ("type", "whole"): 2,
        ("type", "share"): 2,
        ("type", "flag"): 1,
        ("type", "day"): 1,
        ("type", "at"): 1,
    }
    assert accepted(whole)["whole"] == [1, None, 1, 1, None]
    assert accepted(whole)["code"] == ["a", None, "a", "a", None]


@pytest.mark.parametrize(
    "array",
    [
        pa.array([[1], [2]]),
        pa.array([{"a": 1}, {"a": 2}]),
        pa.array([b"\xff", b"x"]),
        pa.array([1, 2], pa.duration("s")),
        pa.array([1, 2], pa.time32("s")),
        pa.array([2**64 - 1, 2**63], pa.uint64()),
    ],
)
def test_a_column_of_quite_another_type_is_refused_row_by_row(
    array: pa.Array, whole: App, app: App, created: Created
) -> None:
    agree(whole, HEAD + "      - {name: it, logicalType: integer}")
    arrive(whole, pa.table({"it": array}))

    run(created(KEY), app)

    assert validated(whole).verdict == "refused"
    assert refused_rows(whole) == {1: ["type"], 2: ["type"]}


def test_a_key_occurs_once_and_the_first_row_with_it_stays(whole: App, app: App, created: Created) -> None:
    agree(
        whole,
        HEAD
        + """
      - {name: day, logicalType: date, primaryKey: true, primaryKeyPosition: 1}
      - {name: flight, logicalType: string, primaryKey: true, primaryKeyPosition: 2}
      - {name: size, logicalType: integer}
""",
    )
    first = text(day=["2013-01-01"] * 3, flight=["A", "B", "A"], size=["x", "2", "3"])
    second = text(day=["2013-01-01", "2013-01-02", "2013-01-02"], flight=["B", "B", "C"], size=["4", "5", "6"])
    arrive(whole, first, second)

    run(created(KEY), app)

    assert refused_rows(whole) == {1: ["type"], 4: ["unique"]}
    assert accepted(whole)["size"] == [2, 3, 5, 6], "a row refused for another reason does not hold its key"


def test_a_row_that_occurs_twice_is_refused_once(whole: App, app: App, created: Created) -> None:
    agree(whole, HEAD + "      - {name: it, logicalType: number, unique: true}")
    arrive(whole, text(it=["0", "-0", "1", "", ""]))

    run(created(KEY), app)

    assert refused_rows(whole) == {2: ["unique"]}, "and missing values repeat nothing"


def test_a_row_that_repeats_one_key_does_not_hold_its_others(whole: App, app: App, created: Created) -> None:
    agree(whole, HEAD + "".join(f"      - {{name: {name}, logicalType: integer, unique: true}}\n" for name in "xy"))
    arrive(whole, text(x=["1", "2", "2"], y=["1", "1", "3"]))

    run(created(KEY), app)

    assert refused_rows(whole) == {2: ["unique"]}, "the third repeats only what the second did not keep"


CELL = st.none() | st.integers(0, 4)


@given(st.lists(st.tuples(CELL, CELL, st.booleans()), max_size=20), st.integers(1, 20))
def test_keys_are_held_row_by_row_however_the_rows_arrive(rows: list[tuple[Any, Any, bool]], size: int) -> None:
    found: list[tuple[bool, ...]] = []
    seen = [Seen(), Seen()]
    for block in (rows[start : start + size] for start in range(0, len(rows), size)):
        columns = [[pa.array([row[place] for row in block], pa.int64())] for place in (0, 1)]
        eligible = np.array([row[2] for row in block], dtype=np.bool_)
        found += zip(*(mask.tolist() for mask in repeats(seen, columns, eligible)), strict=True)

    held: list[set[int]] = [set(), set()]
    for (*row, eligible_row), again in zip(rows, found, strict=True):
        assert again == tuple(eligible_row and value in mine for value, mine in zip(row, held, strict=True))
        if eligible_row and not any(again):
            for value, mine in zip(row, held, strict=True):
                mine.update({value} - {None})


HUGE = 2**53 + 1


@pytest.mark.parametrize(
    ("rules", "cells", "refused"),
    [
        ("logicalType: integer, logicalTypeOptions: {minimum: 0.5}", [f"{HUGE}", "1", "0"], [3]),
        (f"logicalType: integer, logicalTypeOptions: {{minimum: {HUGE}.0}}", [f"{HUGE}", f"{HUGE - 1}", "1"], [3]),
        (f"logicalType: integer, logicalTypeOptions: {{maximum: {2**63}}}", [f"{2**63 - 1}", "1"], []),
        (f"logicalType: integer, logicalTypeOptions: {{exclusiveMaximum: {2**63}}}", [f"{2**63 - 1}", "1"], []),
        (f"logicalType: integer, logicalTypeOptions: {{minimum: {2**63}}}", [f"{2**63 - 1}", "1"], [1, 2]),
        (f"logicalType: number, logicalTypeOptions: {{maximum: {HUGE}}}", ["1e17", f"{HUGE}", "1"], [1]),
        (f"logicalType: number, logicalTypeOptions: {{maximum: {10**19}}}", ["1e20", "1e19", "1"], [1]),
        (f"logicalType: number, enum: [{{value: {HUGE}}}, {{value: {10**20}}}]", [f"{HUGE}", "1e20", "1"], [3]),
        ("logicalType: number, logicalTypeOptions: {multipleOf: 0.01}", ["12345678.905", "12345678.91", "1"], [1]),
        ("logicalType: integer, logicalTypeOptions: {multipleOf: 2}", ["1000000001", f"{2**63 - 2}", "", "0"], [1]),
        (f"logicalType: string, logicalTypeOptions: {{maxLength: {2**63 - 1}}}", ["a"], []),
    ],
)
def test_large_numbers_are_held_to_large_limits_exactly(
    *, rules: str, cells: list[str | None], refused: list[int], whole: App, app: App, created: Created
) -> None:
    agree(whole, HEAD + "      - {name: it, " + rules + "}")
    arrive(whole, text(it=cells))

    run(created(KEY), app)

    assert validated(whole).refused_rows == len(refused)
    assert not refused or list(refused_rows(whole)) == refused


@pytest.mark.parametrize(("most", "word"), [(4, "accepted"), (3, "refused")])
def test_a_rule_that_is_written_twice_counts_each_row_once(
    most: int, word: str, whole: App, app: App, created: Created
) -> None:
    rule = f"{{metric: rowCount, mustBeLessThan: {most}}}"
    agree(whole, HEAD + AGE + f"    quality: [{rule}, {rule}]")
    arrive(whole, text(age=["1", "2", "3"]))

    run(created(KEY), app)

    assert validated(whole).verdict == word


RULED = """
      - name: unit
        logicalType: string
        quality:
          - {metric: invalidValues, arguments: {validValues: [kg, lb]}, mustBe: 0}
          - {metric: missingValues, arguments: {missingValues: [N/A]}, mustBeLessThan: 50, unit: percent}
"""


def test_permitted_values_refuse_rows_and_tolerated_gaps_are_measured(whole: App, app: App, created: Created) -> None:
    agree(whole, HEAD + RULED)
    arrive(whole, text(unit=["kg", "N/A", "stone", "lb", ""]))

    run(created(KEY), app)

    validation = validated(whole)
    assert validation.verdict == "refused"
    assert failed(validation) == {("valid_values", "unit"): 1, ("missing_values", "unit"): 2}
    assert "missingValues is 50 percent and must be less than 50 percent" in [c.detail for c in validation.checks]


@pytest.mark.parametrize(("rule", "verdict"), [("", "refused"), (", severity: warning", "accepted")])
def test_a_rule_about_the_whole_decides_unless_it_is_only_a_warning(
    rule: str, verdict: str, whole: App, app: App, created: Created
) -> None:
    quality = "    quality: [{metric: rowCount, mustBeGreaterThan: 2" + rule + "}]"
    agree(whole, HEAD + AGE + quality)
    arrive(whole, text(age=["1", "2"]))

    run(created(KEY), app)

    assert validated(whole).verdict == verdict
    assert ("row_count", None) in failed(validated(whole))


def test_duplicates_and_patterns_with_a_tolerance_are_measured_on_the_rows_that_remain(
    whole: App, app: App, created: Created
) -> None:
    agree(
        whole,
        HEAD
        + """
      - name: it
        logicalType: string
        quality:
          - {metric: duplicateValues, mustBeLessOrEqualTo: 1}
          - {metric: invalidValues, arguments: {pattern: '[a-z]'}, mustBeBetween: [0, 1]}
""",
    )
    arrive(whole, text(it=["a", "a", "a", "B", "C"]))

    run(created(KEY), app)

    assert failed(validated(whole)) == {("duplicate_values", "it"): 2, ("invalid_values", "it"): 2}


def test_the_profile_is_of_the_accepted_rows_alone(whole: App, app: App, created: Created) -> None:
    agree(whole, HEAD + AGE + "      - {name: at, logicalType: timestamp}\n      - {name: ok, logicalType: boolean}")
    arrive(
        whole,
        text(age=["10", "900"], at=["2013-02-14T00:00Z", None], ok=["true", None]),
        text(age=["20"], at=[None], ok=["0"]),
    )

    run(created(KEY), app)

    profile = Profile.read(whole.blob(validated(whole).profile or ""))
    assert profile.rows == 2
    age, at = profile.columns["age"], profile.columns["at"]
    assert isinstance(age, NumericProfile)
    assert isinstance(at, MomentProfile)
    assert (age.count, age.minimum, age.maximum, age.mean) == (2, 10.0, 20.0, 15.0)
    assert (at.count, at.missing, at.first) == (1, 1, 1360800000.0)
    assert profile.columns["ok"].model_dump()["counts"] == {"false": 1, "true": 1}


def test_enormous_values_leave_a_finite_profile(whole: App, app: App, created: Created) -> None:
    agree(whole, HEAD + "      - {name: it, logicalType: number}")
    arrive(whole, text(it=["1e308", "-1e308", "1.7976931348623157e308"]), text(it=["1e308", "5e-324", "-1e308"]))

    run(created(KEY), app)

    profile = Profile.read(whole.blob(validated(whole).profile or ""))
    assert profile.columns["it"].count == 6


def test_without_a_contract_the_batch_waits_and_a_person_is_told_once(whole: App, app: App, created: Created) -> None:
    arrive(whole, text(age=["1"]))

    assert run(created(KEY), app) is None
    assert run(created(KEY), app) is None

    (key,) = whole.store.list(keys.ALERTS)
    alert = whole.read(Alert, key)
    assert (alert.subject, alert.what) == ("people", "has no data contract")
    assert not list(whole.store.list(keys.VALIDATIONS))

    agree(whole, HEAD + AGE)
    run(created(KEY), app)

    assert validated(whole).verdict == "accepted"


BROKEN = {
    "not YAML": "a: [",
    "not a contract": "a: 1",
    "an anchors bomb": "a: &a [x]\nb: [*a, *a]",
    "a regex RE2 cannot run": HEAD
    + "      - {name: it, logicalType: string, logicalTypeOptions: {pattern: 'a{9999}'}}",
}


@pytest.mark.parametrize("contract", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_contract_is_told_and_the_batch_waits(contract: str, whole: App, app: App, created: Created) -> None:
    agree(whole, contract)
    arrive(whole, text(age=["1"]))

    run(created(KEY), app)

    assert len(list(whole.store.list(keys.ALERTS))) == 1
    assert not list(whole.store.list(keys.VALIDATIONS))


def test_a_contract_head_edited_by_hand_is_told(whole: App, app: App, created: Created) -> None:
    whole.store.create(keys.contract_head("people"), b'{"contract": "%s"}' % (b"0" * 64))
    arrive(whole, text(age=["1"]))

    run(created(KEY), app)

    (key,) = whole.store.list(keys.ALERTS)
    assert "edited by hand" in whole.read(Alert, key).why


def test_a_regular_expression_that_would_backtrack_for_ever_does_not(whole: App, app: App, created: Created) -> None:
    agree(whole, HEAD + "      - {name: it, logicalType: string, logicalTypeOptions: {pattern: '(a+)+$'}}")
    arrive(whole, text(it=["a" * 50 + "!", "aaa"]))

    run(created(KEY), app)

    assert refused_rows(whole) == {1: ["pattern"]}


def test_an_event_for_a_batch_that_never_existed_does_nothing(store: MemoryStore, app: App, created: Created) -> None:
    assert run(created("datasets/people/ffffffffffffffff.json"), app) is None

    assert not list(store.list(""))


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data.replace(b'"rows":1', b'"rows":2'),
        lambda data: data.replace(b'"schema":1', b'"schema":9'),
        lambda data: data[:40],
        lambda _: b'{"schema": 1, "schema": 1}',
    ],
)
def test_an_altered_or_later_batch_record_is_told_and_never_validated(
    damage: Callable[[bytes], bytes], whole: App, app: App, store: MemoryStore, created: Created
) -> None:
    agree(whole, HEAD + AGE)
    arrive(whole, text(age=["1"]))
    record = store.get(KEY)
    store.replace(KEY, damage(record.data), record.version)

    run(created(KEY), app)

    assert len(list(store.list(keys.ALERTS))) == 1
    assert not list(store.list(keys.VALIDATIONS))


def test_altered_data_is_told_and_never_trained_on(whole: App, app: App, store: MemoryStore, created: Created) -> None:
    agree(whole, HEAD + AGE)
    batch = arrive(whole, text(age=["1"]))
    key = keys.blob(batch.parts[0].digest)
    store.replace(key, store.get(key).data + b"x", store.get(key).version)

    run(created(KEY), app)

    (alert,) = store.list(keys.ALERTS)
    assert "altered" in whole.read(Alert, alert).why
    assert not list(store.list(keys.VALIDATIONS))


def test_a_part_that_is_not_there_yet_is_tried_again(
    whole: App, app: App, store: MemoryStore, created: Created
) -> None:
    agree(whole, HEAD + AGE)
    batch = arrive(whole, text(age=["1"]))
    key = keys.blob(batch.parts[0].digest)
    store.delete(key, store.get(key).version)

    with pytest.raises(Unavailable):
        run(created(KEY), app)


def test_delivered_twice_it_ends_in_the_same_bucket(whole: App, app: App, store: MemoryStore, created: Created) -> None:
    agree(whole, HEAD + AGE)
    arrive(whole, text(age=["1", "x", "3"]))
    run(created(KEY), app)
    before = {key: store.get(key).data for key in store.list("")}

    run(created(KEY), app)

    assert {key: store.get(key).data for key in store.list("")} == before


class Dying:
    """A store that dies before its nth write."""

    def __init__(self, store: MemoryStore, writes: int) -> None:
        self._store, self._left = store, writes

    def __getattr__(self, name: str) -> Any:
        if name.startswith("create"):
            if not self._left:
                raise Misconfigured("test", "the process dies here")
            self._left -= 1
        return getattr(self._store, name)


def test_killed_before_any_write_and_run_again_it_ends_in_the_same_bucket(
    whole: App, store: MemoryStore, created: Created
) -> None:
    def bucket(app: App, *, deaths: int) -> Iterator[tuple[str, bytes]]:
        agree(app, HEAD + AGE)
        arrive(app, text(age=["1", "x", "3"]))
        try:
            run(created(KEY), App(Dying(store, deaths), app.jobs, app.maker))
        except Misconfigured:
            assert not list(store.list(keys.VALIDATIONS)), "the record that says it is done comes last"
            run(created(KEY), app)
        yield from [(key, store.get(key).data) for key in store.list("")]
        for key in list(store.list("")):
            store.delete(key, store.get(key).version)

    undisturbed = list(bucket(whole, deaths=99))

    assert len(undisturbed) > 5
    for deaths in range(5):
        assert list(bucket(whole, deaths=deaths)) == undisturbed


def test_rows_are_numbered_through_all_parts_and_chunks(
    whole: App, app: App, created: Created, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handler, "ROWS", 2)
    monkeypatch.setattr(handler, "MOST_LINES", 2)
    agree(whole, HEAD + "      - {name: it, logicalType: integer, unique: true}")
    arrive(whole, text(it=["1", "2", "x", "4", "1"]), text(it=["6", "y", "8", "9"]))

    run(created(KEY), app)

    assert refused_rows(whole) == {3: ["type"], 5: ["unique"]}, "as many lines as there is room for"
    (record,) = quarantined(whole)
    assert record.row_count == 3
    assert {reason.code: reason.examples for reason in record.reasons} == {"type": (3, 7), "unique": (5,)}
