"""A sheet is small, reads back as it was written, and keeps no personal value from being left out."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samara.core.sheet import Column, Seen, Sheet, Target
from samara.errors import Rejected

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
numbers = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | numbers | texts
bounds = st.none() | numbers | texts
seen = st.builds(
    Seen,
    missing=st.floats(0, 1),
    low=st.none() | numbers,
    high=st.none() | numbers,
    minimum=st.none() | numbers,
    maximum=st.none() | numbers,
    categories=st.none() | st.dictionaries(texts, st.integers(1, 9), max_size=3),
    complete=st.booleans(),
)
columns = st.builds(
    Column,
    name=texts,
    type=st.sampled_from(["string", "integer", "number", "boolean", "date", "timestamp"]),
    required=st.booleans(),
    minimum=bounds,
    maximum=bounds,
    above=bounds,
    below=bounds,
    multiple_of=st.none() | numbers,
    min_length=st.none() | st.integers(0, 9),
    max_length=st.none() | st.integers(0, 9),
    valid=st.none() | st.lists(scalars, max_size=3).map(tuple),
    missing_values=st.lists(scalars, max_size=3).map(tuple),
    default=scalars,
    personal=st.booleans(),
    seen=st.none() | seen,
)
sheets = st.builds(
    Sheet,
    columns=st.lists(columns, max_size=3).map(tuple),
    task=st.sampled_from([None, "classification", "regression"]),
    target=st.none() | st.builds(Target, texts, st.just("number")),
    ignored=st.lists(texts, max_size=3).map(tuple),
    classes=st.lists(texts | st.integers(), max_size=3).map(tuple),
    rowwise=st.booleans(),
    background=st.dictionaries(texts, st.lists(scalars, max_size=3).map(tuple), max_size=3),
)


@given(sheets)
def test_every_sheet_reads_back_as_it_was_written(sheet: Sheet) -> None:
    assert Sheet.read(sheet.to_bytes()) == sheet


def test_what_is_as_usual_is_not_written() -> None:
    written = json.loads(Sheet((Column("a", "string", seen=Seen()),)).to_bytes())

    assert written == {"columns": [{"name": "a", "seen": {}, "type": "string"}], "schema": 1}


def test_personal_inputs_are_left_out_and_named() -> None:
    sheet = Sheet((Column("name", "string", personal=True), Column("age", "number")))

    assert sheet.masked({"age": 1, "name": 2}) == ({"age": 1}, ("name",))


def test_an_input_of_several_columns_is_left_out_when_one_of_them_is_personal() -> None:
    plain, personal = Column("age", "number"), Column("income", "number", personal=True)

    assert Sheet((plain, personal)).masked({"features": 1}) == ({}, ("features",))
    assert Sheet((plain,)).masked({"features": 1}) == ({"features": 1}, ())


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ([], "bad_record"),
        ({}, "bad_record"),
        ({"schema": 1}, "bad_record"),
        ({"schema": 1, "columns": [{"name": "a"}]}, "bad_record"),
        ({"schema": 1, "columns": [], "more": 1}, "bad_record"),
        ({"schema": 2, "columns": []}, "unknown_schema"),
    ],
)
def test_what_is_no_sheet_is_refused(said: Any, code: str) -> None:
    with pytest.raises(Rejected) as caught:
        Sheet.read(json.dumps(said).encode())

    assert caught.value.code == code
