"""Which rows' answers are not given, because a rule of the model's policy forbids it. Pure.

`samara.core.definition.Guardrail` says what the rules mean. The first rule that a row breaks is the one it is told.
"""

from collections.abc import Iterator, Mapping, Sequence
from math import inf
from typing import Any

from functions.predict import cells, tensors
from functions.predict.policy import Guardrail, Policy
from samara.core.sheet import Column, Sheet
from samara.core.strict import shown
from samara.core.tensors import TEXT, Value
from samara.errors import Rejected

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
    datatype, values = column(rule.input or "", sheet, inputs)
    if rule.known:
        return unknown(values, datatype, sheet.column(rule.input or "") if sheet else None)
    return asked_outside(rule, values, datatype)


def column(name: str, sheet: Sheet | None, inputs: Mapping[str, Value]) -> tuple[str, list[Any]]:
    """The datatype and values of a column, which is an input of its own or one of several in the only input."""
    if name in inputs:
        return inputs[name].datatype, legible(inputs[name], name)
    names = [one.name for one in sheet.columns] if sheet else []
    if len(inputs) != 1 or name not in names:
        return "", []
    (only,) = inputs.values()
    return only.datatype, legible(only, name)[names.index(name) :: len(names)]


def legible(value: Value, name: str) -> list[Any]:
    """The values of an input, which a rule must be able to read."""
    try:
        return [text.decode() for text in value.data] if value.datatype == TEXT else tensors.plain(value, name)
    except UnicodeDecodeError as error:
        why = "has bytes that are not UTF-8, and a guardrail of the model reads it; send its text as UTF-8"
        raise Rejected(shown(name), why, code="bad_input") from error


def unsure(least: float, value: Value | None, count: int) -> Iterator[tuple[int, str]]:
    if value is None or not count:
        return
    flat, bound = tensors.plain(value, "probabilities"), held(least, value.datatype)
    width = len(flat) // count
    for row in range(count if width else 0):
        surest = max(flat[row * width : (row + 1) * width])
        if not surest >= bound:  # NaN is not
            yield row, f"its most probable class has {surest:.4g}; at least {least:g} is asked"


def answered_outside(rule: Guardrail, value: Value | None) -> Iterator[tuple[int, str]]:
    """Bounds of an answer; a NaN keeps none."""
    if value is None:
        return
    least, most = limits(rule, value.datatype)
    for row, found in enumerate(tensors.plain(value, "prediction")):
        if not least <= found <= most:
            yield row, f"the model answers {found:.6g}, which is not {bounds(rule)}"


def asked_outside(rule: Guardrail, values: Sequence[Any], datatype: str) -> Iterator[tuple[int, str]]:
    """Bounds of an input; a missing one breaks none."""
    least, most = limits(rule, datatype)
    for row, found in enumerate(values):
        if isinstance(found, (int, float)) and (found < least or found > most):  # of NaN, neither holds
            yield row, f"{rule.input} is not {bounds(rule)}"


def limits(rule: Guardrail, datatype: str) -> tuple[float, float]:
    """Between which numbers of that datatype the rule is kept."""
    least = -inf if rule.minimum is None else held(rule.minimum, datatype)
    return least, inf if rule.maximum is None else held(rule.maximum, datatype)


def held(number: float, datatype: str) -> float:
    """The number as a tensor of that datatype holds it, so that a value on its bound does not lie beyond.

    >>> held(0.7, "FP32"), held(0.7, "FP64"), held(0.5, "INT8")
    (0.699999988079071, 0.7, 0.5)
    """
    if datatype not in tensors.FLOATS:
        return number
    try:
        (found,) = tensors.plain(Value(datatype, (1,), tensors.written([number], datatype)), "bound")
    except OverflowError:  # it lies beyond all that such a tensor holds, and as it is
        return number
    return float(found)


def bounds(rule: Guardrail) -> str:
    said = [] if rule.minimum is None else [f"at least {rule.minimum:g}"]
    return " and ".join([*said, *([] if rule.maximum is None else [f"at most {rule.maximum:g}"])])


def unknown(values: Sequence[Any], datatype: str, about: Column | None) -> Iterator[tuple[int, str]]:
    """What training did not see and the contract does not list, as far as a version remembers what training saw."""
    seen = about.seen.categories if about and about.seen and about.seen.complete else None
    if about is None or (seen is None and about.valid is None):
        return
    numbers = (held(value, datatype) for value in about.valid or () if isinstance(value, (int, float)))
    valid = {*map(cells.category, about.valid or ()), *numbers}
    for row, found in enumerate(values):
        value = BOOLEANS.get(found, found) if about.type == "boolean" else found
        if value == "" or value != value or value in valid:  # noqa: PLR0124 - of NaN, the second holds
            continue
        if seen is None or cells.never_seen(cells.category(value), seen):
            told = "its value" if about.personal else shown(cells.category(value))
            yield row, f"{told} is no {about.name} that training saw or the contract permits"
