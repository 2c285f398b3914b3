"""How long to stand back before one tries again."""

import random
import time


def stand_back(attempt: int, first_s: float = 0.002, most_s: float = 0.2) -> None:
    """Sleep up to `first_s` after attempt 0, doubling to `most_s`, at random so that nobody stays last."""
    time.sleep(random.uniform(0, min(first_s * 2**attempt, most_s)))  # noqa: S311  # nothing is guarded by it
