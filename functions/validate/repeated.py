"""Which rows repeat a key that an earlier row has. Pure, and small: eight bytes for each row."""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

Hashes = np.ndarray[Any, np.dtype[np.uint64]]
Mask = np.ndarray[Any, np.dtype[np.bool_]]


class Seen:
    """The values of one key met so far, by their fingerprints, in sorted runs that double in length."""

    def __init__(self) -> None:
        self.runs: list[Hashes] = []

    def knows(self, marks: Hashes) -> Mask:
        known = np.zeros(marks.size, dtype=np.bool_)
        for run in self.runs:
            places = np.searchsorted(run, marks).clip(max=run.size - 1)
            known |= run[places] == marks
        return known

    def remember(self, fresh: Hashes) -> None:
        """Add fingerprints that are all different, and none of them known."""
        if fresh.size:
            self.runs.append(np.sort(fresh))
        while len(self.runs) > 1 and self.runs[-1].size * 2 > self.runs[-2].size:
            last = self.runs.pop()
            self.runs[-1] = np.sort(np.concatenate([self.runs[-1], last]), kind="stable")


def repeats(seen: Sequence[Seen], keys: Sequence[Sequence[Any]], eligible: Mask) -> list[Mask]:
    """For each of the keys, given by its columns, the rows that repeat a row before, in this call or an earlier one.

    Only `eligible` rows repeat and are repeated, and a row that repeats one key holds none of the others. A key with
    a null in it repeats nothing, as in SQL.
    """
    marks = [fingerprints(columns) for columns in keys]
    whole = [eligible & complete(columns) for columns in keys]
    known = [there & one.knows(found) for one, found, there in zip(seen, marks, whole, strict=True)]
    again = [before | later(found, there) for before, found, there in zip(known, marks, whole, strict=True)]
    if len(keys) > 1 and any(mask.any() for mask in again):
        again = in_turn(known, marks, whole, again)
    stays = ~np.logical_or.reduce([~eligible, *again])
    for one, found, there in zip(seen, marks, whole, strict=True):
        one.remember(found[there & stays])
    return again


def complete(columns: Sequence[Any]) -> Mask:
    there: Mask = np.logical_and.reduce([pc.is_valid(c).to_numpy(zero_copy_only=False) for c in columns])
    return there


def later(marks: Hashes, whole: Mask) -> Mask:
    """The rows but the first of those that share a mark."""
    found = whole.copy()
    rows = np.flatnonzero(whole)
    found[rows[np.unique(marks[rows], return_index=True)[1]]] = False
    return found


def in_turn(known: list[Mask], marks: list[Hashes], whole: list[Mask], suspects: list[Mask]) -> list[Mask]:
    """What repeats, row by row: of several keys, whether a row holds its own depends on all rows before it."""
    again = [mask.copy() for mask in known]
    held: list[set[int]] = [set() for _ in marks]
    shared = [there & np.isin(mark, mark[mask]) for mark, there, mask in zip(marks, whole, suspects, strict=True)]
    for row in np.flatnonzero(np.logical_or.reduce(shared)):
        own = [(number, int(mark[row])) for number, mark in enumerate(marks) if whole[number][row]]
        for number, mark in own:
            again[number][row] |= mark in held[number]
        if not any(mask[row] for mask in again):
            for number, mark in own:
                held[number].add(mark)
    return again


def fingerprints(columns: Sequence[Any]) -> Hashes:
    """64 bits for each row. A single column that is not text has no two values with the same one; otherwise the
    chance that any of ten million different keys meet is three in a million."""
    marks = np.zeros(len(columns[0]), dtype=np.uint64)
    for column in columns:
        marks = mixed(marks * np.uint64(0x9E3779B97F4A7C15) + bits(column))
    return marks


def bits(column: Any) -> Hashes:
    """Each value as 64 bits: numbers and instants as they are, texts by their digest."""
    if pa.types.is_string(column.type):
        coded = column.dictionary_encode()
        if isinstance(coded, pa.ChunkedArray):
            coded = coded.combine_chunks()
        digests = [hashed(text) for text in coded.dictionary.to_pylist()] or [0]
        places = pc.fill_null(coded.indices, 0).to_numpy(zero_copy_only=False)
        marks: Hashes = np.array(digests, dtype=np.uint64)[places]
        return marks
    if pa.types.is_floating(column.type):
        floats = pc.fill_null(column, 0.0).to_numpy(zero_copy_only=False) + 0.0  # −0 and 0 are one key
        as_bits: Hashes = floats.view(np.uint64)
        return as_bits
    narrow = pc.cast(column, pa.int32()) if pa.types.is_date(column.type) else column
    numbers = pc.fill_null(pc.cast(narrow, pa.int64()), 0).to_numpy(zero_copy_only=False)
    whole: Hashes = np.ascontiguousarray(numbers).view(np.uint64)
    return whole


def hashed(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest())


def mixed(marks: Hashes) -> Hashes:
    """A bijection that spreads every bit. Source: splitmix64, Steele, Lea & Flood, OOPSLA 2014."""
    marks = (marks ^ (marks >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    marks = (marks ^ (marks >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return marks ^ (marks >> np.uint64(31))
