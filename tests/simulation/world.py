"""Time, tasks and chance: who goes on when, and what happens to them. The same from the same seed.

A task is plain synchronous code in a greenlet. It stops at every operation on the store or the batch service, and
goes on when the world comes round to it; so any two tasks meet between any two of their operations. There are no
threads, and no time passes but here.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from typing import Any

from greenlet import getcurrent, greenlet  # type: ignore[import-untyped]  # ships no marker for its hints

from samara.errors import Unavailable
from tests.simulation.dice import Dice
from tests.simulation.weather import COUNTS_FOR, INTERLEAVED, KILLED_BEFORE, REFUSED, STALLS, Twist, Weather

BEGIN = datetime(2013, 2, 1, 12, 0, tzinfo=UTC)
MOST_STEPS = 5_000  # things that come round in one seed: more is a livelock
Line = tuple[float, str, str, str, str]
"""When, who, did what, to what, and what came of it."""


class Killed(BaseException):
    """The process ends here. Nothing may catch it but the world."""


class Task(greenlet):  # type: ignore[misc]  # untyped, as above
    """One process doing one thing. `left` counts the operations until something happens to one."""

    def __init__(self, world: "World", name: str, body: Callable[["Task"], None]) -> None:
        super().__init__(body)
        self.world = world
        self.name = name
        self.dice = Dice(world.seed, name)
        self.fate = Dice(world.seed, f"{name}: fate")  # of its own, so that a fault left out moves no other
        self.step = 0
        self.left = self.fate.until(world.weather.strikes)
        self.gone = False
        self.memory: dict[int, Any] = {}
        self.afterwards: list[Callable[[], None]] = []  # what it still does once its response is on the way
        self.pace = Dice(world.seed, f"{name}: pace")
        self.interleaved = self.pace.chance(world.weather.interleaved) and world.happens(Twist(name, 0, INTERLEAVED))


def here() -> Task | None:
    """The task that runs now; None in the world's own main loop."""
    current = getcurrent()
    return current if isinstance(current, Task) else None


class World:
    """`only`, when given, are the twists that may happen: a seed is shrunk by taking some away."""

    def __init__(self, seed: int, only: frozenset[Twist] | None = None) -> None:
        self.seed = seed
        self.weather = Weather.of(Dice(seed, "weather"))
        self.now = 0.0
        self.calm = False
        self.over = False
        self.only = only
        self.twists: list[Twist] = []
        self.story: list[Line] = []
        self.wrong: list[str] = []
        self.operations = 0
        self._main = getcurrent()
        self._next: list[tuple[float, int, Callable[[], Any]]] = []
        self._count = 0
        self._names: dict[str, int] = {}
        self._left = MOST_STEPS

    @property
    def at(self) -> datetime:
        return self.instant(0.0)

    def instant(self, skew_s: float) -> datetime:
        """Now, by a clock that goes wrong by so much."""
        return BEGIN + timedelta(seconds=round(self.now + skew_s, 3))

    def later(self, delay_s: float, what: Callable[[], Any]) -> None:
        self._count += 1
        heappush(self._next, (self.now + delay_s, self._count, what))

    def begin(self, delay_s: float, name: str, body: Callable[[Task], None]) -> None:
        """A new task, in a while. Its name is its own: the second of a name is told by its number."""
        number = self._names[name] = self._names.get(name, 0) + 1
        called = f"{name} #{number}" if number > 1 else name
        self.later(delay_s, lambda: self._start(called, body))

    def _start(self, name: str, body: Callable[[Task], None]) -> None:
        task = Task(self, name, body)
        task.switch(task)

    def run(self, until_s: float = float("inf")) -> None:
        """Let happen what is to happen, up to an instant or until nothing is left."""
        while self._next and self._next[0][0] <= until_s:
            self._left -= 1
            if self._left < 0:
                self.wrong.append(f"never comes to rest: still busy after {MOST_STEPS:,} steps")
                return
            self.now, _, what = heappop(self._next)
            what()
        if until_s != float("inf"):
            self.now = until_s

    @property
    def exhausted(self) -> bool:
        return self._left < 0

    def end(self) -> None:
        """Whoever still waits is dropped, and does nothing more."""
        self.over = True
        self._next.clear()

    def sleep(self, task: Task, seconds: float) -> None:
        if self.over:
            raise Killed
        self.later(seconds, task.switch)
        self._main.switch()
        if self.over:
            raise Killed

    def happens(self, twist: Twist) -> bool:
        """Whether a turn that the dice chose is taken."""
        if self.calm or (self.only is not None and twist not in self.only):
            return False
        self.twists.append(twist)
        return True

    def note(self, who: str, did: str, what: str, outcome: str) -> None:
        self.story.append((self.now, who, did, what, outcome))

    def struck(self, task: Task, kinds: tuple[str, ...], did: str, key: str) -> str:
        """What goes wrong with the operation that a task is about to do; what prevents it is raised here."""
        if task.gone or self.over:
            raise Killed
        self.operations += 1
        task.step += 1
        if task.interleaved and not self.calm:
            self.sleep(task, task.pace.about(0.5))
        task.left -= COUNTS_FOR if key.startswith(self.weather.aimed) else 1
        if task.left > 0:
            return ""
        task.left = task.fate.until(self.weather.strikes)
        what, stood_s = task.fate.among(kinds) if kinds else "", task.fate.between(30.0, 900.0)
        if not what or not self.happens(Twist(task.name, task.step, what)):
            return ""
        if what in (KILLED_BEFORE, REFUSED):
            self.note(task.name, did, key, what)
            if what == REFUSED:
                raise Unavailable(key)
            self.kill(task)
        if what == STALLS:
            self.note(task.name, did, key, what)
            self.sleep(task, stood_s)
            return ""
        return what

    def kill(self, task: Task) -> None:
        task.gone = True
        raise Killed
