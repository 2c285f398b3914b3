"""A rule that a row breaks takes that row's answer back, and says which rule it was."""

from struct import pack

import pytest

from functions.predict.guardrails import vetoes
from functions.predict.policy import Guardrail, Policy
from samara.core.sheet import Column, Seen, Sheet
from samara.core.tensors import Value

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
