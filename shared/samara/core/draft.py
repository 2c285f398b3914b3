"""A first contract, drafted from values as people wrote them: to be read, corrected and tightened."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence

import yaml

from samara.core.spelling import SPELLING, Type


def spelt(text: str) -> Type:
    """The narrowest type that one written value could have.

    >>> [spelt(text) for text in ("12", "1.5", "true", "2013-02-14", "2013-02-14T05:00Z", "2013-02-30")]
    ['integer', 'number', 'boolean', 'date', 'timestamp', 'string']
    """
    if re.fullmatch(SPELLING["integer"], text):
        return "integer" if -(2**63) <= int(text) < 2**63 else "string"
    if re.fullmatch(SPELLING["number"], text):
        return "number" if math.isfinite(float(text)) else "string"
    for kind in ("boolean", "date", "timestamp"):
        if re.fullmatch(SPELLING[kind], text) and not text.startswith("0000"):
            return kind
    return "string"


WIDER: dict[frozenset[Type], Type] = {
    frozenset({"integer", "number"}): "number",
    frozenset({"date", "timestamp"}): "timestamp",
}


def guessed(values: Sequence[str]) -> Type:
    """The narrowest type that all written values have, empty ones aside. Nothing to go by is text.

    >>> guessed(["1", "", "2.5"]), guessed(["1", "x"]), guessed([""])
    ('number', 'string', 'string')
    """
    kinds: frozenset[Type] = frozenset(spelt(value) for value in values if value)
    if len(kinds) == 1:
        return next(iter(kinds))
    return WIDER.get(kinds, "string")


def infer(columns: Mapping[str, Sequence[str]], dataset: str) -> str:
    """A first contract for a sample of written values, as YAML to read and to tighten. `parse` accepts it."""
    lines = [
        f"# The data contract of {dataset}, guessed from a sample: read it, correct it, tighten it.",
        "# Open Data Contract Standard: https://bitol-io.github.io/open-data-contract-standard",
        "apiVersion: v3.1.0",
        "kind: DataContract",
        f"id: {quoted(dataset)}",
        f"name: {quoted(dataset)}",
        "version: 1.0.0",
        "status: draft",
        "schema:",
        f"  - name: {quoted(dataset)}",
        "    logicalType: object",
        "    properties:",
    ]
    for name, values in columns.items():
        lines += _guess(name, values)
    lines += [
        "    quality:",
        "      - metric: rowCount",
        "        mustBeGreaterThan: 0",
    ]
    return "\n".join(lines) + "\n"


def _guess(name: str, values: Sequence[str]) -> Iterator[str]:
    kind = guessed(values)
    full = bool(values) and all(values)
    yield f"      - name: {quoted(name)}"
    yield f"        logicalType: {kind}"
    yield f"        required: {'true' if full else 'false'}" + ("" if full else "  # some values were empty")
    written = [value for value in values if value]
    if kind in ("integer", "number") and written:
        seen = sorted(written, key=float)
        yield f"        # logicalTypeOptions: {{minimum: {seen[0]}, maximum: {seen[-1]}}}  # as far as the sample goes"
    elif kind == "string" and 1 < len(set(written)) <= 12 and max(map(len, written)) <= 40:
        listed = ", ".join(quoted(value) for value in sorted(set(written)))
        yield "        # quality:"
        yield f"        #   - {{metric: invalidValues, mustBe: 0, arguments: {{validValues: [{listed}]}}}}"


def quoted(text: str) -> str:
    """A YAML scalar that is text, whatever it looks like.

    >>> quoted("no"), quoted("plain")
    ('"no"', '"plain"')
    """
    return yaml.safe_dump(text, default_style='"', allow_unicode=True, width=1 << 30).strip()
