"""What may name a column."""

import unicodedata
from collections.abc import Sequence

from functions.ingest.limits import Limits
from functions.ingest.refusals import Unfit
from samara.core.keys import unspeakable
from samara.core.records import Reason


def checked(names: Sequence[str], limits: Limits) -> list[str]:
    """`names` as they are, or `Unfit` with everything that is wrong with them."""
    too_many(len(names), limits)
    reasons = [
        Reason(code="bad_column", why=f"column {number}: {why}", column=shown(name))
        for number, name in enumerate(names, 1)
        if (why := problem(name, limits))
    ]
    reasons += twins(names)
    if reasons:
        raise Unfit.together(reasons[:100])
    return list(names)


def too_many(count: int, limits: Limits) -> None:
    if count > limits.columns:
        why = f"has {count:,} columns and {limits.columns:,} are the most; put what belongs together into rows"
        raise Unfit("file", why, code="too_many_columns")


def problem(name: str, limits: Limits) -> str | None:
    """What is wrong with one column's name, and the way out."""
    if not name.strip():
        return "has no name; give it one"
    if len(name) > limits.name:
        return f"has a name of {len(name):,} characters and {limits.name} are the most; shorten it"
    if any(unspeakable(letter) for letter in name):
        return f"{shown(name)} holds control or invisible characters; rename it"
    return None


def twins(names: Sequence[str]) -> list[Reason]:
    """A reason for every name that another one before it has, be it in another Unicode form."""
    seen: dict[str, int] = {}
    reasons = []
    for number, name in enumerate(names, 1):
        first = seen.setdefault(same(name), number)
        if first != number and name.strip():
            why = f"column {number}: {shown(name)} is the name of column {first} too; rename one of them"
            reasons.append(Reason(code="duplicate_column", why=why, column=shown(name)))
    return reasons


def same(name: str) -> str:
    """What two names that look alike have in common."""
    return unicodedata.normalize("NFC", name)


def shown(name: str) -> str:
    """A name as one can print it.

    >>> shown("tail\\u202enum")
    'tail\\\\u202enum'
    """
    cut = name[:80]
    return cut if cut.isprintable() else ascii(cut)[1:-1]
