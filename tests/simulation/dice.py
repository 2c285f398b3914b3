"""Chance that can be told again: a stream of numbers for each name under a seed, the same on every machine.

Each task draws from its own stream, so what happens to one shifts nothing for the others. Not `random.Random`,
whose seeding takes ten microseconds, because a seed has a hundred streams.
"""

import math
from collections.abc import Sequence
from typing import TypeVar
from uuid import UUID
from zlib import crc32

T = TypeVar("T")
WORD = (1 << 64) - 1


class Dice:
    """SplitMix64, started from a seed and a name."""

    __slots__ = ("_state",)

    def __init__(self, seed: int, name: str) -> None:
        self._state = (seed * 0xD1342543DE82EF95 + (crc32(name.encode()) << 20) + len(name)) & WORD

    def word(self) -> int:
        """64 bits."""
        self._state = state = (self._state + 0x9E3779B97F4A7C15) & WORD
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & WORD
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & WORD
        return state ^ (state >> 31)

    def share(self) -> float:
        """From 0 up to, and never, 1."""
        return (self.word() >> 11) * 2.0**-53

    def chance(self, of: float) -> bool:
        return self.share() < of

    def among(self, things: Sequence[T]) -> T:
        return things[self.word() % len(things)]

    def whole(self, least: int, most: int) -> int:
        return least + self.word() % (most - least + 1)

    def between(self, least: float, most: float) -> float:
        return least + (most - least) * self.share()

    def about(self, mean: float) -> float:
        """Any length of time, short ones more often, with this mean."""
        return -mean * math.log(1.0 - self.share())

    def until(self, rate: float) -> int:
        """How many tries up to the one that hits, when each does at this rate."""
        if rate <= 0.0:
            return 1 << 60
        return 1 + int(math.log(1.0 - self.share()) / math.log(1.0 - rate))

    def uuid(self) -> UUID:
        return UUID(int=self.word() << 64 | self.word(), version=4)
