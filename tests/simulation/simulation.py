"""One seed, from the first upload to the last reconcile: a storm of some hours, then calm, then the question whether
everything is as it must be.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import chain

from samara import project
from tests.simulation import invariants, weather
from tests.simulation.dice import Dice
from tests.simulation.edges import simulated
from tests.simulation.people import People, published
from tests.simulation.plans import STORM_S, Plans
from tests.simulation.remembered import quickly
from tests.simulation.suite import Snapshot, Suite
from tests.simulation.weather import Twist
from tests.simulation.world import Line, World

DAY_S = 86_400.0
MOST_RECONCILES = 20  # in the calm, before it is called a livelock


@dataclass(frozen=True, slots=True)
class Played:
    """What became of a seed. `wrong` says in words what is not as it must be; `twists` what was done to it."""

    seed: int
    wrong: tuple[str, ...]
    twists: tuple[Twist, ...]
    story: tuple[Line, ...]
    operations: int

    @property
    def digest(self) -> str:
        """The same when everything went the same."""
        return hashlib.sha256(repr((self.wrong, self.twists, self.story)).encode()).hexdigest()


def play(seed: int, only: frozenset[Twist] | None = None) -> Played:
    """The life of a seed; of its twists only some, where `only` says so."""
    world = World(seed, only)
    suite = Suite(world)
    past = Dice(seed, "past").among(PASTS[world.weather.theme])
    suite.begin_from(before(past))
    world.note("the past", past, "", "")
    people = People(suite)
    suite.bucket.watch = invariants.watched(suite)
    suite.service.watch = lambda job: invariants.claimed(suite, job)
    try:
        Plans(people).make()
        world.run(until_s=STORM_S)
        settle(world, suite)
        if not world.wrong:
            world.wrong += invariants.broken(suite, people)
    finally:
        world.end()
    return Played(seed, tuple(dict.fromkeys(world.wrong)), tuple(world.twists), tuple(world.story), world.operations)


PASTS: dict[str, tuple[str, ...]] = {
    "": ("nothing", "a project", "a project", "a champion", "two versions", "two versions"),
    weather.QUARREL: ("two versions",),
    weather.TOGETHER: ("a project",),
    weather.REFUSED_ROWS: ("a project",),
    weather.ANSWERS: ("a champion", "two versions", "two versions"),
    weather.BATCHES: ("a champion", "two versions"),
    weather.SUMMER: ("two versions",),
}
"""How far a bucket had come before the storm. Far along is where people's words, drift and new versions meet."""

UPLOADED = {"a champion": {"a": "few leaves"}, "two versions": {"a": "few leaves", "b": "more leaves"}}


@cache
def before(past: str) -> Snapshot:
    """The bucket at the beginning, made by the same functions on a calm day."""
    world = World(0, frozenset())
    world.now = -DAY_S
    suite = Suite(world)
    people = People(suite)
    if past != "nothing":
        project.publish(published(), suite.app())
    for name, what in UPLOADED.get(past, {}).items():
        people.upload(f"landing/leaves/{name}.csv", what)
        world.run()
        people.train()
        world.run()
    world.end()
    return suite.snapshot()


@contextmanager
def staged() -> Iterator[None]:
    """What playing takes: simulated edges, remembered work, and the pasts made before anybody plants a bug."""
    with simulated(), quickly():
        for past in dict.fromkeys(chain.from_iterable(PASTS.values())):
            before(past)
        yield


def settle(world: World, suite: Suite) -> None:
    """No more faults: reconcile ticks until it finds nothing to do; then the hour strikes, and it ticks again."""
    world.calm = True
    world.run()
    reconciled(world, suite)
    suite.strike("hour", 3700.0)
    world.run()
    reconciled(world, suite)


def reconciled(world: World, suite: Suite) -> None:
    for _ in range(MOST_RECONCILES):
        suite.wanting = 0
        suite.strike("minute", 60.0)
        world.run()
        if not suite.wanting or world.exhausted:
            return
    world.wrong.append(f"reconcile still finds something to do after {MOST_RECONCILES} times")
