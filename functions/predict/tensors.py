"""JSON lists to raw values and back, by Open Inference Protocol datatype, value for value. Pure.

A number must be a number: no boolean or string is converted, nothing wraps round or becomes infinite. What JSON
cannot say, NaN and infinity and bytes that are no text, is refused on the way out, and a missing number is null on
the way in.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from math import isfinite, isinf, nan, prod
from struct import Struct, pack, unpack
from struct import error as StructError  # noqa: N812  # it is an error, and the module names it in lower case
from types import NoneType
from typing import Any

from samara.core.strict import shown
from samara.core.tensors import TEXT, Value
from samara.errors import Rejected

CODES: dict[str, str] = {
    "BOOL": "?",
    "INT8": "b", "INT16": "h", "INT32": "i", "INT64": "q",
    "UINT8": "B", "UINT16": "H", "UINT32": "I", "UINT64": "Q",
    "FP16": "e", "FP32": "f", "FP64": "d",
}  # fmt: skip
"""How `struct` writes one value of each datatype, but for BF16 and BYTES, which it does not know."""


@lru_cache(256)
def layout(datatype: str, count: int) -> Struct:
    """Of so many values. In native order, `struct` would make infinities of what is too large."""
    return Struct(f"<{count}{CODES[datatype]}")


FLOATS = ("FP16", "FP32", "FP64", "BF16")


def flat(data: Any, shape: Sequence[int], name: str) -> list[Any]:
    """The values of a tensor in row-major order. `data` may be flat or nested exactly as `shape` says."""
    if type(data) is not list:
        raise Rejected(shown(name), "its data must be a list of values", code="bad_input")
    values = data
    if data and type(data[0]) is list:
        for size in shape[1:]:
            if set(map(type, values)) - {list} or set(map(len, values)) - {size}:
                why = f"its lists are not nested as its shape {list(shape)} says"
                raise Rejected(shown(name), why, code="bad_input")
            values = list(chain.from_iterable(values))
    if len(values) != prod(shape):
        raise Rejected(shown(name), miscounted(len(values), shape), code="bad_input")
    return values


def miscounted(found: int, shape: Sequence[int]) -> str:
    if max(shape, default=0) >= 10**15:
        return f"has {found:,} values, but its shape has enormous sizes"
    return f"has {found:,} values, but its shape {list(shape)} holds {prod(shape):,}"


def decode(values: list[Any], datatype: str, name: str) -> Any:
    """The values as they travel inside: raw and little-endian, or for BYTES a list of byte strings.

    A null is NaN where the datatype has one.

    >>> decode([1, None], "FP16", "x")
    b'\\x00<\\x00~'
    """
    kinds = set(map(type, values))
    if datatype in PACKED and kinds <= PACKED[datatype]:
        try:
            data = layout(datatype, len(values)).pack(*values)
            if isfinite(sum(values)):  # then each of them is
                return data
        except (OverflowError, StructError):
            pass
    return carefully(values, kinds, datatype, name)


def carefully(values: list[Any], kinds: set[type], datatype: str, name: str) -> Any:
    """`decode` for what it does not see at once to be right."""
    kind = KINDS.get(datatype)
    if kind is None:
        raise not_served(name, datatype)
    if not kinds <= ACCEPTED[kind]:
        raise Rejected(shown(name), strangers(values, kinds - ACCEPTED[kind], datatype), code="bad_input")
    if kind == "string":
        return [value.encode() for value in values]
    if NoneType in kinds:
        values = [nan if value is None else value for value in values]
    if (data := fitting(values, datatype)) is None:
        why = outside(datatype) if kind == "int" else f"value {misfit(values, datatype):,} is too large for {datatype}"
        raise Rejected(shown(name), why, code="bad_input")
    return data


def fitting(values: Sequence[float], datatype: str) -> bytes | None:
    """The values `written`, or None if that datatype has no number so large as one of them. NaN is none, and fits."""
    try:
        data = written(values, datatype)
    except (OverflowError, StructError):
        return None
    return None if any(map(isinf, values)) else data


def misfit(values: Sequence[float], datatype: str) -> int:
    """Which value is the first that does not fit, counted from 1, if one does not. Halving what is left takes no longer
    than to try all of them once more."""
    start, end = 0, len(values)
    while end - start > 1:
        middle = (start + end) // 2
        if fitting(values[start:middle], datatype) is None:
            end = middle
        else:
            start = middle
    return end


def not_served(name: str, datatype: str) -> Rejected:
    why = f"has datatype {shown(datatype)}, which is not served; send one of {', '.join(KINDS)}"
    return Rejected(shown(name), why, code="bad_input")


KINDS: dict[str, str] = {
    **dict.fromkeys(FLOATS, "float"),
    **{f"{sign}INT{bits}": "int" for sign in ("", "U") for bits in (8, 16, 32, 64)},
    "BOOL": "bool",
    TEXT: "string",
}
ACCEPTED: dict[str, set[type]] = {
    "float": {int, float, NoneType},
    "int": {int},
    "bool": {bool},
    "string": {str},
}
PACKED: dict[str, set[type]] = {
    datatype: {int, float} if KINDS[datatype] == "float" else ACCEPTED[KINDS[datatype]] for datatype in CODES
}
NEEDED = {"float": "numbers, or null where one is missing", "int": "integers", "bool": "booleans", "string": "strings"}
JSON_WORDS: dict[type, str] = {
    bool: "booleans",
    int: "integers",
    float: "numbers with a fraction",
    str: "strings",
    list: "lists",
    dict: "objects",
    NoneType: "null",
}


def strangers(values: list[Any], kinds: set[type], datatype: str) -> str:
    """Why values of these kinds are refused. Integers beyond 64 bits may come as floats from a fast JSON reader."""
    kind = KINDS[datatype]
    if kind == "int" and kinds == {float} and all(abs(value) >= 2.0**63 for value in values if type(value) is float):
        return outside(datatype)
    words = ", ".join(sorted(JSON_WORDS.get(kind, "something else") for kind in kinds))
    return f"has {words} where {datatype} needs {NEEDED[kind]}"


def outside(datatype: str) -> str:
    bits = int(datatype.removeprefix("U").removeprefix("INT"))
    lowest, highest = (0, 2**bits - 1) if datatype.startswith("U") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return f"has integers outside {lowest} … {highest}"


def written(values: Sequence[float], datatype: str) -> bytes:
    """The numbers in that datatype, each rounded to the nearest, ties to even. `OverflowError` past the largest."""
    if datatype == "BF16":
        return pack(f"<{len(values)}H", *brains(values))
    return layout(datatype, len(values)).pack(*values)


def brains(numbers: Sequence[float]) -> list[int]:
    """`brain` of each; it is asked only where a float32 is halfway between two of them, or may round to infinity."""
    count = len(numbers)
    singles = unpack(f"<{count}I", pack(f"<{count}f", *numbers))
    return [
        brain(number)
        if bits & 0xFFFF == 0x8000 or bits & LARGEST_BRAIN == LARGEST_BRAIN
        else (bits + 0x7FFF + (bits >> 16 & 1)) >> 16
        for bits, number in zip(singles, numbers, strict=True)
    ]


LARGEST_BRAIN = 0x7F7F0000  # that is finite, as the upper half of a float32


def brain(number: float) -> int:
    """The bits of the bfloat16 nearest to `number`: the upper half of a float32, rounded once.

    >>> hex(brain(1.0)), hex(brain(1 + 2**-8)), hex(brain(1 + 2**-8 + 2**-40))
    ('0x3f80', '0x3f80', '0x3f81')
    """
    bits: int = unpack("<I", pack("<f", number))[0]
    if bits & 0xFFFF == 0x8000:  # halfway, but perhaps only since it was rounded to a float32
        single = unpack("<f", pack("<I", bits))[0]
        bits += (abs(number) > abs(single)) - (abs(number) < abs(single))
    bits = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16
    if bits & 0x7FFF == 0x7F80 and not isinf(number):
        raise OverflowError
    return bits


def encode(value: Value, name: str) -> list[Any]:
    """The values in row-major order as JSON has them. `decode` gives back the same, bit for bit.

    JSON has no NaN and no infinity, so an answer that holds one is refused as `not_finite`; and strings are text,
    so bytes that are not UTF-8 are refused as `not_text`.
    """
    values = plain(value, name)
    if value.datatype in FLOATS and not isfinite(sum(values)) and not all(map(isfinite, values)):
        why = f"the model answers with NaN or infinity, which JSON cannot carry; {WAY_OUT}"
        raise Rejected(shown(name), why, code="not_finite")
    return values


WAY_OUT = 'ask for it raw, by "binary_data": true in the parameters of this output'


def plain(value: Value, name: str) -> list[Any]:
    """The values in row-major order as Python has them: NaN and infinities as they are, strings as text."""
    if value.datatype == TEXT:
        try:
            return [text.decode() for text in value.data]
        except UnicodeDecodeError as error:
            why = f"has bytes that are not UTF-8, which JSON cannot carry; {WAY_OUT}"
            raise Rejected(shown(name), why, code="not_text") from error
    count = value.size
    if value.datatype == "BF16":
        halves = unpack(f"<{count}H", value.data)
        return list(unpack(f"<{count}f", pack(f"<{count}I", *[half << 16 for half in halves])))
    return list(layout(value.datatype, count).unpack(value.data))
