"""Some seeds in a row, in a process of their own."""

from tests.simulation.bugs import planted
from tests.simulation.simulation import Played, play, staged


def played_chunk(chunk: tuple[int, int, str]) -> tuple[Played | None, int, int]:
    """The first failure among some seeds, how many were played, and with how many operations."""
    first, end, bug = chunk
    operations = 0
    with staged(), planted(bug):
        for seed in range(first, end):
            played = play(seed)
            operations += played.operations
            if played.wrong:
                return played, seed - first + 1, operations
    return None, end - first, operations
