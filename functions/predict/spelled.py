"""Canonical JSON of what is captured, at a tenth of what the standard library takes for many numbers. Pure.

orjson spells everything as `canonical` does but for floats with an exponent, and those just too large to have one.
So floats come as `number` and `numbers` spell them, and everything else as it is.
"""

from types import NoneType
from typing import Any

import orjson

from samara.core.digests import canonical

FLOATS = {float, int, NoneType}


def spelled(value: Any) -> bytes:
    """The same bytes as `canonical` makes of it, if its floats are spelled already."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def number(value: float) -> orjson.Fragment:
    """One that is finite."""
    return orjson.Fragment(repr(value))


def numbers(values: Any) -> Any:
    """A tensor's values as a capture holds them, its floats spelled."""
    if type(values) is not list:
        return values
    kinds = set(map(type, values))
    if float not in kinds:
        return values
    if kinds <= FLOATS:
        said = orjson.dumps(values)
        lost = b"null" in said and said.count(b"null") != values.count(None)  # NaN or infinity: `canonical` refuses
        if not (lost or b"e" in said or b"0.0000" in said):
            return orjson.Fragment(said)
    return orjson.Fragment(canonical(values))
