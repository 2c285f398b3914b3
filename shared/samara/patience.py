"""How long to stand back before one tries again: at random, so that nobody stays last, and longer each time."""

import time

SHORTEST_S, LONGEST_S = 0.002, 5.0


def stand_back(attempt: int, first_s: float = SHORTEST_S, most_s: float = LONGEST_S) -> None:
    """Sleep up to `first_s` after attempt 0, doubling to `most_s`."""
    from random import uniform  # noqa: PLC0415  # few ever need it, and each start would wait for it

    time.sleep(uniform(0, min(first_s * 2**attempt, most_s)))  # noqa: S311  # nothing is guarded by it


class Queue:
    """For those who write at one place at once. What an attempt takes, others need too, so that is what one waits for.

    It measures what it takes on a laptop, across an ocean, and while sixty others are at it.
    """

    def __init__(self) -> None:
        self._attempt = 0
        self._began = time.perf_counter()

    def lose(self) -> None:
        """Stand back after an attempt that came too late."""
        took = time.perf_counter() - self._began
        stand_back(self._attempt, max(took, SHORTEST_S))
        self._attempt += 1
        self._began = time.perf_counter()
