"""From a seed that fails to the few turns of events it takes."""

from collections.abc import Callable

from tests.simulation.simulation import Played, play
from tests.simulation.weather import Twist

MOST_PLAYS = 400


def shrunk(failed: Played) -> Played:
    """The same failure with as few twists as can be found by leaving some out, larger parts first."""
    reason = kind(failed)
    best, plays = failed, 0

    def fails(twists: tuple[Twist, ...]) -> bool:
        nonlocal best, plays
        plays += 1
        again = play(failed.seed, frozenset(twists))
        if kind(again) != reason:
            return False
        best = again
        return True

    size = max(len(best.twists) // 2, 1)
    while plays < MOST_PLAYS:
        if not without_some(lambda: best.twists, size, fails):
            if size == 1:
                break
            size = max(size // 2, 1)
    return best


def without_some(
    twists: Callable[[], tuple[Twist, ...]], size: int, fails: Callable[[tuple[Twist, ...]], bool]
) -> bool:
    """Leave out each part of that size in turn, the last first. Whether any could be left out for good."""
    shorter, start = False, len(twists()) - size
    while start > -size:
        now = twists()
        left = now[: max(start, 0)] + now[max(start, 0) + size + min(start, 0) :]
        if len(left) < len(now) and fails(left):
            shorter = True
        start = min(start - size, len(twists()) - size)
    return shorter


def kind(played: Played) -> str:
    """What failed, without the names and numbers that differ from play to play."""
    return "".join(letter for letter in (played.wrong or ("",))[0] if not letter.isdigit())[:40]
