"""Which rows are kept from training. Pure."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from samara.core.definition import Train
from samara.core.records import Part, Plan

Rows = NDArray[np.bool_]
Split = Literal["last", "random"]


def held_out(parts: Sequence[Part], share: float, split: Split) -> Iterator[tuple[str, Rows]]:
    """For each part of one batch its digest and a mask over its rows, true for those that are held out.

    `last` keeps the end of the batch apart: what came later is foretold from what came before. `random` draws
    the rows of each part, by its digest alone, for files in an order that means nothing. Either way the same
    batch always gives up the same rows, and a larger share the same and more, so no champion is compared by
    rows it was trained on while its batch was the newest.
    """
    total, start = sum(part.rows for part in parts), 0
    for part in parts:
        mask = drawn(part, share) if split == "random" else np.arange(part.rows) + start >= total - round(total * share)
        yield part.digest, mask
        start += part.rows


def has_seen(theirs: Plan, their: Train, ours: Plan, our: Train) -> bool:
    """Whether a model of their plan was trained on rows that ours holds out, as far as the plans tell."""
    if {part.digest for part in theirs.parts}.isdisjoint(part.digest for part in ours.holdout):
        return False
    return theirs.holdout != ours.holdout or their.split != our.split or their.holdout < our.holdout


def drawn(part: Part, share: float) -> Rows:
    """
    >>> drawn(Part(digest="0" * 64, rows=10, size=0), 0.2).sum()
    np.int64(2)
    """
    generator: Any = np.random.Generator(np.random.PCG64(int(part.digest, 16)))
    mask = np.zeros(part.rows, dtype=np.bool_)
    mask[generator.permutation(part.rows)[: round(part.rows * share)]] = True
    return mask
