"""A rule that a row breaks takes that row's answer back, and says which rule it was."""

from struct import pack
from typing import Any

import pytest

from functions.predict import tensors
from functions.predict.cells import LONGEST_CATEGORY
from functions.predict.guardrails import vetoes
from functions.predict.policy import Guardrail, Policy
from samara.core import profile
from samara.core.sheet import Column, Seen, Sheet
from samara.core.tensors import Value
from samara.errors import Rejected

NAN = float("nan")
SHEET = Sheet(
    (
        Column("carrier", "string", valid=("UA",), seen=Seen(categories={"AA": 2, "B6": 1}, complete=True)),
        Column("distance", "number"),
        Column("night", "boolean", seen=Seen(categories={"false": 3}, complete=True)),
    )
)


def floats(*values: float, width: int = 1) -> Value:
    return Value("FP32", (len(values) // width, width), pack(f"<{len(values)}f", *values))


def numbers(datatype: str, *values: float) -> Value:
    return Value(datatype, (len(values), 1), tensors.written(values, datatype))


def texts(*values: str) -> Value:
    return Value("BYTES", (len(values), 1), [value.encode() for value in values])


def vetoed(rule: Guardrail, *, sheet: Sheet | None = SHEET, count: int = 3, **named: Value) -> list[int]:
    """The rows that the rule takes back; outputs and inputs are told apart by their names."""
    outputs = {name: value for name, value in named.items() if name in ("prediction", "probabilities")}
    inputs = {name: value for name, value in named.items() if name not in outputs}
    return sorted(vetoes(Policy(guardrails=(rule,)), sheet, inputs, outputs, count))


def test_an_answer_outside_its_bounds_is_taken_back_and_so_is_one_that_is_no_number() -> None:
    rule = Guardrail("plausible", output="prediction", minimum=-60, maximum=1440)

    assert vetoed(rule, prediction=floats(-60, 1441, NAN)) == [1, 2]


rounding = pytest.mark.parametrize("datatype", ["FP16", "BF16", "FP32", "FP64"])


@rounding
@pytest.mark.parametrize("bound", [0.7, 1.1, -0.3, 1e39])
def test_what_lies_on_a_bound_lies_within_it_however_a_tensor_rounds_it(datatype: str, bound: float) -> None:
    at = bound if datatype == "FP64" or bound < 2 else 2.0
    least, most = (
        Guardrail("least", input="distance", minimum=bound),
        Guardrail("most", input="distance", maximum=bound),
    )
    answer = Guardrail("answer", output="prediction", minimum=bound, maximum=bound)

    assert vetoed(most, distance=numbers(datatype, at)) == []
    assert vetoed(least, distance=numbers(datatype, at)) == ([0] if at < bound else [])
    assert vetoed(answer, prediction=numbers(datatype, at)) == ([0] if at < bound else [])


@rounding
def test_what_is_just_as_sure_as_asked_is_sure_enough(datatype: str) -> None:
    rule = Guardrail("confident", output="probabilities", at_least=0.7)

    assert vetoed(rule, probabilities=numbers(datatype, 0.7, 0.69), count=2) == [1]


def test_a_bound_between_two_whole_numbers_tells_them_apart() -> None:
    rule = Guardrail("sane", input="distance", minimum=0.5, maximum=1.5)

    assert vetoed(rule, distance=numbers("INT64", 0, 1, 2)) == [0, 2]


@pytest.mark.parametrize(("least", "rows"), [(0.5, [2]), (0.9, [0, 2]), (0.25, [2])])
def test_an_answer_that_is_not_sure_enough_is_taken_back(least: float, rows: list[int]) -> None:
    rule = Guardrail("confident", output="probabilities", at_least=least)

    assert vetoed(rule, probabilities=floats(0.75, 0.25, 0.0625, 0.9375, NAN, NAN, width=2)) == rows


def test_what_was_asked_outside_the_bounds_is_not_answered_and_what_is_missing_is() -> None:
    rule = Guardrail("sane", input="distance", minimum=0, maximum=6000)

    assert vetoed(rule, distance=floats(-1, NAN, 6000)) == [0]


def test_a_category_is_known_when_training_saw_it_or_the_contract_permits_it() -> None:
    rule = Guardrail("known", input="carrier", known=True)

    assert vetoed(rule, carrier=texts("AA", "UA", "ZZ"), count=3) == [2]
    assert vetoed(rule, carrier=texts("", "B6", "aa"), count=3) == [2], "what is missing breaks no rule"


def test_a_truth_value_asked_as_a_number_is_known_by_its_word() -> None:
    rule = Guardrail("known", input="night", known=True)

    assert vetoed(rule, night=floats(0, 1, NAN)) == [1]


@pytest.mark.parametrize("datatype", ["BOOL", "INT64", "FP32"])
def test_a_truth_value_is_known_by_its_word_whatever_tensor_holds_it(datatype: str) -> None:
    rule = Guardrail("known", input="night", known=True)

    assert vetoed(rule, night=numbers(datatype, False, True)) == [1]


@pytest.mark.parametrize(
    ("kind", "datatype", "valid", "asked"),
    [
        ("integer", "INT64", (1, 2, 3), (1, 7, 3)),
        ("integer", "FP32", (1, 2, 3), (1, 7, NAN)),
        ("number", "FP32", (0.7, 1.1), (0.7, 0.8, 1.1)),
    ],
)
def test_a_number_is_known_when_the_contract_lists_it(kind: Any, datatype: str, valid: Any, asked: Any) -> None:
    sheet = Sheet((Column("gate", kind, valid=valid),))
    rule = Guardrail("known", input="gate", known=True)

    found = vetoes(Policy(guardrails=(rule,)), sheet, {"gate": numbers(datatype, *asked)}, {}, 3)

    assert list(found) == [1]
    assert "is no gate that training saw or the contract permits" in found[1][1]


def test_of_numbers_without_a_list_nobody_can_tell_whether_they_are_known() -> None:
    sheet = Sheet((Column("gate", "integer", seen=Seen(minimum=1, maximum=3)),))

    assert vetoed(Guardrail("known", input="gate", known=True), sheet=sheet, gate=numbers("INT64", 7)) == []


def test_a_category_so_long_that_a_profile_shortens_it_may_be_known() -> None:
    long = "x" * (LONGEST_CATEGORY + 1)
    seen = Seen(categories=profile.categories([long]).counts, complete=True)
    rule = Guardrail("known", input="name", known=True)
    asked = texts(long, "x" * LONGEST_CATEGORY)

    assert long not in (seen.categories or ())
    assert vetoed(rule, sheet=Sheet((Column("name", "string", seen=seen),)), name=asked) == [1]
    assert vetoed(rule, sheet=Sheet((Column("name", "string", valid=("x",)),)), name=asked) == [0, 1], "it lists all"


@pytest.mark.parametrize("rule", [{"known": True}, {"maximum": 1.0}])
def test_text_that_is_none_is_refused_by_the_name_of_its_input_with_the_way_out(rule: Any) -> None:
    with pytest.raises(Rejected, match="carrier: has bytes that are not UTF-8") as refused:
        vetoed(Guardrail("legible", input="carrier", **rule), carrier=Value("BYTES", (1, 1), [b"\xff"]))

    assert refused.value.code == "bad_input"
    assert "send its text as UTF-8" in refused.value.why
    assert "output" not in refused.value.why


def test_a_column_is_found_among_several_in_one_input() -> None:
    sheet = Sheet((Column("a", "number"), Column("b", "number")))
    rule = Guardrail("sane", input="b", maximum=10)

    assert vetoed(rule, sheet=sheet, features=floats(99, 1, 0, 11, width=2), count=2) == [1]


def test_a_version_that_remembers_no_categories_cannot_be_asked_whether_one_is_known() -> None:
    rule = Guardrail("known", input="carrier", known=True)

    assert vetoed(rule, sheet=None, carrier=texts("ZZ"), count=1) == []


def test_a_row_is_told_the_first_rule_it_breaks_and_why() -> None:
    rules = (Guardrail("low", output="prediction", maximum=1), Guardrail("lower", output="prediction", maximum=0))

    found = vetoes(Policy(guardrails=rules), SHEET, {}, {"prediction": floats(2.5, 0.5, 0)}, 3)

    assert {row: rule for row, (rule, _) in found.items()} == {0: "low", 1: "lower"}
    assert found[0][1] == "the model answers 2.5, which is not at most 1"


def test_why_never_says_a_personal_value() -> None:
    sheet = Sheet((Column("name", "string", personal=True, valid=("Ada",)),))
    rule = Guardrail("known", input="name", known=True)

    found = vetoes(Policy(guardrails=(rule,)), sheet, {"name": texts("Grace")}, {}, 1)

    assert found[0][0] == "known"
    assert "Grace" not in found[0][1]
