"""What happens in the hours of a storm: chosen before any of it happens, by what the seed is about."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from samara.core import keys
from tests.simulation import weather
from tests.simulation.dice import Dice
from tests.simulation.leaves import DATASET, GOOD, asked, files
from tests.simulation.people import MODEL, People
from tests.simulation.suite import Period, Suite
from tests.simulation.weather import Twist

HOUR_S = 3600.0
STORM_S = 3 * HOUR_S
PAGES = ("/", f"/models/{MODEL}", f"/datasets/{DATASET}")
VERSIONS = ("", "", "/versions/champion", "/versions/shadow", "/versions/1")  # by whom a whole batch may be answered


@dataclass(eq=False)
class Plans:
    """Who does what and when. Everything planned is a twist: a seed is shrunk by leaving some of it out."""

    people: People
    count: int = 0

    @property
    def suite(self) -> Suite:
        return self.people.suite

    @property
    def dice(self) -> Dice:
        return self.people.dice

    def make(self) -> None:
        plans = {
            weather.QUARREL: self._a_quarrel,
            weather.TOGETHER: self._uploads_at_once,
            weather.REFUSED_ROWS: self._refused_rows,
            weather.ANSWERS: self._answers,
            weather.BATCHES: self._whole_batches,
            weather.SUMMER: self._a_summer,
        }
        plans.get(self.suite.world.weather.theme, self._anything)()
        if self.dice.chance(0.3):
            self._strike("minute", self.dice.between(0.0, HOUR_S), 2)
        if self.dice.chance(0.1):
            page = self.dice.among(PAGES)
            look = partial(self.people.look, page)
            self._perhaps(f"somebody looks at {page}", self.dice.between(0.0, HOUR_S), look)

    def _anything(self) -> None:
        """Much of it happens around the same moments."""
        dice, bucket = self.dice, self.suite.bucket
        moments = [dice.between(0.0, 2 * HOUR_S) for _ in range(dice.whole(1, 2))]

        def some_time() -> float:
            return dice.among(moments) + dice.about(4.0) if dice.chance(0.7) else dice.between(0.0, 2 * HOUR_S)

        if not bucket.list(keys.CONFIG):
            self._perhaps("somebody publishes the project", some_time(), self.people.publish)
        for _ in range(dice.among((0, 1, 1, 2) if bucket.list(keys.MODELS) else (1, 1, 2))):
            self._upload(dice.among("ab"), dice.among(list(files())[: GOOD if dice.chance(0.6) else None]), some_time())
        for number in range(dice.among((0, 1, 1, 2))):
            self._question(number, some_time())
        for _ in range(dice.among((0, 0, 1, 2))):
            self._perhaps("somebody asks for a training", some_time(), self.people.train)
        for number in range(dice.among((0, 1, 2))):
            self._word(number, some_time() + dice.among((0.0, dice.about(30.0))))
        for _ in range(dice.among((0, 1, 2))):
            self._strike("hour", some_time() + HOUR_S, dice.whole(1, 2))
        for number in range(dice.among((0, 0, 1))):
            self._batch(number, some_time())

    def _a_quarrel(self) -> None:
        """Several people and perhaps a new version want another champion, all at the same time."""
        dice = self.dice
        if dice.chance(0.7):
            self._upload("c", dice.among(("many leaves", "summer leaves")), 0.0)
            self._perhaps("somebody asks for a training", 30.0, self.people.train)
        start = dice.among((40.0, 50.0, 60.0, 90.0))
        for number in range(dice.whole(2, 4)):
            if dice.chance(0.4):
                wait = partial(self.people.wait_for_version, number)
                self._perhaps(f"person {number} waits for a new version", 0.0, wait)
            else:
                self._word(number, start + dice.among((0.0, 0.0, dice.about(15.0))))

    def _uploads_at_once(self) -> None:
        """What is decided depends on who has seen which batch."""
        dice = self.dice
        first = dice.whole(0, GOOD - 1)
        for number in range(dice.whole(2, 3)):
            self._upload("abc"[number], list(files())[(first + number) % GOOD], dice.about(1.0))
        for _ in range(dice.among((0, 1, 2))):
            self._perhaps("somebody asks for a training", dice.between(3.0, 20.0), self.people.train)

    def _refused_rows(self) -> None:
        for name in "ab"[: self.dice.whole(1, 2)]:
            self._upload(name, self.dice.among(list(files())[GOOD:]), self.dice.about(5.0))

    def _answers(self) -> None:
        """Questions, the truth about them, a shadow that is asked them too, and a clock that strikes the hours."""
        dice = self.dice
        if dice.chance(0.5):
            self._upload("c", "many leaves", 0.0)
        for number in range(dice.whole(1, 3)):
            self._question(number, dice.between(0.0, HOUR_S))
        if dice.chance(0.7):
            name = partial(self.people.name_shadow, "person 0")
            self._perhaps("person 0 names a shadow", dice.between(0.0, HOUR_S), name)
        for _ in range(dice.whole(1, 3)):
            self._strike("hour", HOUR_S * dice.whole(1, 2) + dice.about(10.0), dice.whole(1, 2))

    def _whole_batches(self) -> None:
        """Several people want the same batch answered, while another one comes and others move the aliases."""
        dice = self.dice
        for number in range(dice.whole(1, 3)):
            self._batch(number, dice.about(5.0))
        if dice.chance(0.4):
            self._upload("c", dice.among(list(files())[:GOOD]), 0.0)
        for number in range(dice.among((0, 1))):
            self._word(number, dice.about(10.0))

    def _a_summer(self) -> None:
        """Each hour is drift, is asked about, and has something new to train on: a training, then a cool-down.

        Perhaps the first tick is an hour late, and what is new comes while both hours are decided about.
        """
        dice = self.dice
        late = dice.chance(0.5)
        for number in range(2):
            start = number * HOUR_S
            uploaded = 2 * HOUR_S + dice.between(-20.0, 20.0) if late else start + dice.between(0.0, HOUR_S / 2)
            self._upload("cd"[number], list(files())[GOOD - 1 - number], uploaded)
            self._question(number, start + dice.between(0.0, HOUR_S / 2), grown=1.0)
            struck = 2 * HOUR_S if late else start + HOUR_S
            self._strike("hour", struck + dice.about(10.0), dice.whole(1, 2))

    def _upload(self, name: str, what: str, after_s: float) -> None:
        key = f"{keys.LANDING}{DATASET}/{name}.csv"
        self._perhaps(f"somebody uploads {what} as {key}", after_s, partial(self.people.upload, key, what))

    def _question(self, number: int, after_s: float, grown: float = 0.6) -> None:
        """Ask about leaves, which the season has made longer at this rate."""
        identity = f"request-{number}" if self.dice.chance(0.7) else None
        body = asked(identity, grown=self.dice.chance(grown))
        act = partial(self.people.predict, number, body, again=self.dice.chance(0.3))
        self._perhaps(f"somebody asks for a prediction as {identity or 'nobody'}", after_s, act)

    def _word(self, number: int, after_s: float) -> None:
        verb, act = self.dice.among(self.people.words)
        self._perhaps(f"person {number} {verb}", after_s, partial(act, f"person {number}"))

    def _batch(self, number: int, after_s: float) -> None:
        version = self.dice.among(VERSIONS)
        what = f"client {number} asks {version.rpartition('/')[2] or 'whoever answers'} for a whole batch"
        ask = partial(self.people.score, number, version, again=self.dice.chance(0.5))
        self._perhaps(what, after_s, ask)

    def _strike(self, period: Period, after_s: float, times: int) -> None:
        def struck() -> None:
            for _ in range(times):
                self.suite.strike(period)

        self._perhaps(f"the clock strikes the {period}", after_s, struck)

    def _perhaps(self, what: str, after_s: float, act: Callable[[], object]) -> None:
        world = self.suite.world
        self.count += 1
        if world.happens(Twist(what, self.count, "it happens")):

            def begun() -> None:
                world.note("people", what, "", "")
                act()

            world.later(after_s, begun)
