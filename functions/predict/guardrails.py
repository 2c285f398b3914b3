"""Which rows' answers are not given, because a rule of the model's policy forbids it. Pure.

`samara.core.definition.Guardrail` says what the rules mean. The first rule that a row breaks is the one it is told.
"""

from collections.abc import Iterator, Mapping, Sequence
from math import inf
from typing import Any

from functions.predict import tensors
from functions.predict.policy import Guardrail, Policy
from samara.core.sheet import Sheet
from samara.core.strict import shown
from samara.core.tensors import Value

BOOLEANS = {0: "false", 1: "true"}


def vetoes(
    policy: Policy, sheet: Sheet | None, inputs: Mapping[str, Value], outputs: Mapping[str, Value], count: int
) -> dict[int, tuple[str, str]]:
    """The rows, from 0, whose answers are not given, each with the name of the rule and why."""
    found: dict[int, tuple[str, str]] = {}
    for rule in policy.guardrails:
        for row, why in broken(rule, sheet, inputs, outputs, count):
            found.setdefault(row, (rule.name, why))
    return found


def broken(
    rule: Guardrail, sheet: Sheet | None, inputs: Mapping[str, Value], outputs: Mapping[str, Value], count: int
) -> Iterator[tuple[int, str]]:
    """The rows that break one rule, and why. What is answered must keep it; what is missing from the inputs may."""
    if rule.at_least is not None:
        return unsure(rule.at_least, outputs.get("probabilities"), count)
    if rule.output is not None:
        return answered_outside(rule, outputs.get(rule.output))
    values = column(rule.input or "", sheet, inputs)
    if rule.known:
        return unknown(rule.input or "", values, sheet)
    return asked_outside(rule, values)


def column(name: str, sheet: Sheet | None, inputs: Mapping[str, Value]) -> list[Any]:
    """The values of a column, which is an input of its own or one of several in the only input."""
    if name in inputs:
        return tensors.plain(inputs[name], name)
    names = [one.name for one in sheet.columns] if sheet else []
    if len(inputs) != 1 or name not in names:
        return []
    (only,) = inputs.values()
    return tensors.plain(only, name)[names.index(name) :: len(names)]


def unsure(least: float, value: Value | None, count: int) -> Iterator[tuple[int, str]]:
    flat = tensors.plain(value, "probabilities") if value else []
    width = len(flat) // count if count else 0
    for row in range(count if width else 0):
        surest = max(flat[row * width : (row + 1) * width])
        if not surest >= least:  # NaN is not
            yield row, f"its most probable class has {surest:.4g}; at least {least:g} is asked"


def answered_outside(rule: Guardrail, value: Value | None) -> Iterator[tuple[int, str]]:
    """Bounds of an answer; a NaN keeps none."""
    least = -inf if rule.minimum is None else rule.minimum
    most = inf if rule.maximum is None else rule.maximum
    for row, found in enumerate(tensors.plain(value, "prediction") if value else []):
        if not least <= found <= most:
            yield row, f"the model answers {found:.6g}, which is not {bounds(rule)}"


def asked_outside(rule: Guardrail, values: Sequence[Any]) -> Iterator[tuple[int, str]]:
    """Bounds of an input; a missing one breaks none."""
    least = -inf if rule.minimum is None else rule.minimum
    most = inf if rule.maximum is None else rule.maximum
    for row, found in enumerate(values):
        if isinstance(found, (int, float)) and (found < least or found > most):  # of NaN, neither holds
            yield row, f"{rule.input} is not {bounds(rule)}"


def bounds(rule: Guardrail) -> str:
    said = [] if rule.minimum is None else [f"at least {rule.minimum:g}"]
    return " and ".join([*said, *([] if rule.maximum is None else [f"at most {rule.maximum:g}"])])


def unknown(name: str, values: Sequence[Any], sheet: Sheet | None) -> Iterator[tuple[int, str]]:
    """Categories that training did not see and the contract does not list."""
    about = sheet.column(name) if sheet else None
    seen = about.seen.categories if about and about.seen and about.seen.complete else None
    if about is None or (seen is None and about.valid is None):
        return
    known = {*(seen or ()), *(spelled(value) for value in about.valid or ())}
    for row, found in enumerate(values):
        said = BOOLEANS.get(found, "") if not isinstance(found, str) else found
        if said and said not in known:
            told = "its value" if about.personal else shown(said)
            yield row, f"{told} is no {name} that training saw or the contract permits"


def spelled(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
