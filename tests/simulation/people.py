"""What people do in a seed: publish, upload, ask, say the truth, want a training, promote and roll back.

They are as impatient as people are: who gets no answer asks again. What they were told is written down, for that is
what must turn out to be true.
"""

import csv
import io
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path

from samara import admin, project
from samara.core import keys
from samara.core.aliases import Aliases
from samara.errors import Conflict, NotFound, Rejected, Unavailable, Unknown
from samara.events import HttpResponse
from tests.simulation import weather
from tests.simulation.dice import Dice
from tests.simulation.suite import Suite
from tests.simulation.weather import Twist
from tests.simulation.world import Killed, Task, World

FOLDER = Path(__file__).parent / "project"
MODEL = "maple"
GOOD = 4  # of the files are fit to train on, and the first of them
HOUR_S = 3600.0
STORM_S = 3 * HOUR_S
PATIENCE = 5  # times somebody tries
DONE, NOT_DONE, NOT_KNOWN = "done", "not done", "not known"


def leaves(seed: int, rows: int = 24, grown: float = 0.0, guessed: bool = False) -> list[dict[str, object]]:
    """Maples are longer; `grown` is what the season adds; who guesses cannot tell them."""
    dice = random.Random(seed)  # noqa: S311  # data, not secrets
    found: list[dict[str, object]] = []
    for _ in range(rows):
        maple = dice.random() < 0.5
        told = dice.random() < 0.5 if guessed else maple
        found.append({"length": round(dice.gauss(9.0 if maple else 7.0, 1.0) + grown, 2), "maple": str(told).lower()})
    return found


def written(rows: list[dict[str, object]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, ["length", "maple"])
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


@cache
def files() -> dict[str, bytes]:
    """What may be uploaded, by what it is."""
    return {
        "few leaves": written(leaves(1, 8)),
        "more leaves": written(leaves(2, 16)),
        "many leaves": written(leaves(3, 32)),
        "summer leaves": written(leaves(8, 32, grown=4.0)),
        "guessed leaves": written(leaves(4, guessed=True)),
        "cursed leaves": written([*leaves(5), {"length": 95.0, "maple": "true"}]),
        "smudged leaves": written([*leaves(6), {"length": "long", "maple": "true"}]),
        "no leaves": written([{**row, "length": "long"} for row in leaves(1)]),
        "half a file": b"\x1f\x8b\x08 not a gzip file",
    }


@cache
def published() -> project.Project:
    return project.read(FOLDER)


def asked(identity: str | None, grown: bool) -> bytes:
    lengths = [row["length"] for row in leaves(7, 8, grown=6.0 if grown else 0.0)]
    inputs = [{"name": "length", "shape": [8, 1], "datatype": "FP32", "data": lengths}]
    return json.dumps({"inputs": inputs, **({"id": identity} if identity else {})}).encode()


@dataclass(slots=True)
class Order:
    """A person's word about who is champion: how often they gave it, and what they were told last."""

    who: str
    cause: str
    version: int | None
    told: str = NOT_DONE


@dataclass(eq=False)
class People:
    """Everybody outside, with what they did and what they were told."""

    suite: Suite
    dice: Dice = field(init=False)
    count: int = 0
    predictions: dict[str, HttpResponse] = field(default_factory=dict)
    truths: list[tuple[str, list[bool]]] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    waiting: list[Callable[[], None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.dice = Dice(self.world.seed, "people")
        self.suite.bucket.created = self.created

    @property
    def words(self) -> tuple[tuple[str, Callable[[str], None]], ...]:
        return ("promotes", self.promote), ("rolls back", self.roll_back)

    @property
    def world(self) -> World:
        return self.suite.world

    def plan(self) -> None:
        """Choose what happens in the hours of the storm."""
        plans = {
            weather.QUARREL: self._plan_a_quarrel,
            weather.TOGETHER: self._plan_uploads_at_once,
            weather.REFUSED_ROWS: self._plan_refused_rows,
            weather.ANSWERS: self._plan_answers,
        }
        plans.get(self.world.weather.theme, self._plan_anything)()
        if self.dice.chance(0.3):
            self._perhaps(
                "the clock of reconcile strikes", self.dice.between(0.0, HOUR_S), partial(self.strike, "reconcile", 2)
            )

    def _plan_anything(self) -> None:
        """Much of it happens around the same moments."""
        dice = self.dice
        moments = [dice.between(0.0, 2 * HOUR_S) for _ in range(dice.whole(1, 2))]

        def some_time() -> float:
            return dice.among(moments) + dice.about(4.0) if dice.chance(0.7) else dice.between(0.0, 2 * HOUR_S)

        if not self.suite.bucket.list(keys.CONFIG):
            self._perhaps("somebody publishes the project", some_time(), self.publish)
        for _ in range(dice.among((0, 1, 1, 2) if self.suite.bucket.list(keys.MODELS) else (1, 1, 2))):
            self._upload(dice.among("ab"), dice.among(list(files())[: GOOD if dice.chance(0.6) else None]), some_time())
        for number in range(dice.among((0, 1, 1, 2))):
            self._question(number, some_time())
        for _ in range(dice.among((0, 0, 1, 2))):
            self._perhaps("somebody asks for a training", some_time(), self.train)
        for number in range(dice.among((0, 1, 2))):
            self._word(number, some_time() + dice.among((0.0, dice.about(30.0))))
        for _ in range(dice.among((0, 1, 2))):
            self._perhaps(
                "the clock of drift strikes", some_time() + HOUR_S, partial(self.strike, "drift", dice.whole(1, 2))
            )

    def _plan_a_quarrel(self) -> None:
        """Several people and perhaps a new version want another champion, all at the same time."""
        dice = self.dice
        if dice.chance(0.7):
            self._upload("c", dice.among(("many leaves", "summer leaves")), 0.0)
            self._perhaps("somebody asks for a training", 30.0, self.train)
        start = dice.among((40.0, 50.0, 60.0, 90.0))
        for number in range(dice.whole(2, 4)):
            if dice.chance(0.4):
                self._perhaps(f"person {number} waits for a new version", 0.0, partial(self.wait_for_version, number))
            else:
                self._word(number, start + dice.among((0.0, 0.0, dice.about(15.0))))

    def wait_for_version(self, number: int) -> None:
        """Give a word as soon as there is another version, which may not have taken its place yet."""
        _, act = Dice(self.world.seed, f"person {number}").among(self.words)
        self.waiting.append(partial(act, f"person {number}"))

    def created(self, key: str) -> None:
        """Whoever waits for a version hears of it as everybody does."""
        if key.startswith(keys.MODELS):
            for act in self.waiting:
                self.world.later(self.dice.about(1.0), act)
            self.waiting.clear()
        self.suite.created(key)

    def _plan_uploads_at_once(self) -> None:
        """What is decided depends on who has seen which batch."""
        dice = self.dice
        first = dice.whole(0, GOOD - 1)
        for number in range(dice.whole(2, 3)):
            self._upload("abc"[number], list(files())[(first + number) % GOOD], dice.about(1.0))
        for _ in range(dice.among((0, 1, 2))):
            self._perhaps("somebody asks for a training", dice.between(3.0, 20.0), self.train)

    def _plan_refused_rows(self) -> None:
        for name in "ab"[: self.dice.whole(1, 2)]:
            self._upload(name, self.dice.among(list(files())[GOOD:]), self.dice.about(5.0))

    def _plan_answers(self) -> None:
        """Questions, the truth about them, and clocks that strike when an hour is over."""
        dice = self.dice
        if dice.chance(0.5):
            self._upload("c", "many leaves", 0.0)
        for number in range(dice.whole(1, 3)):
            self._question(number, dice.between(0.0, HOUR_S))
        for _ in range(dice.whole(1, 3)):
            after = HOUR_S * dice.whole(1, 2) + dice.about(10.0)
            self._perhaps("the clock of drift strikes", after, partial(self.strike, "drift", dice.whole(1, 2)))

    def _upload(self, name: str, what: str, after_s: float) -> None:
        key = f"{keys.LANDING}leaves/{name}.csv"
        self._perhaps(f"somebody uploads {what} as {key}", after_s, partial(self.upload, key, what))

    def _question(self, number: int, after_s: float) -> None:
        identity = f"request-{number}" if self.dice.chance(0.7) else None
        body = asked(identity, grown=self.dice.chance(0.6))
        act = partial(self.predict, number, body, again=self.dice.chance(0.3))
        self._perhaps(f"somebody asks for a prediction as {identity or 'nobody'}", after_s, act)

    def _word(self, number: int, after_s: float) -> None:
        verb, act = self.dice.among(self.words)
        self._perhaps(f"person {number} {verb}", after_s, partial(act, f"person {number}"))

    def strike(self, function: str, times: int) -> None:
        for _ in range(times):
            self.suite.tick(function)

    def _perhaps(self, what: str, after_s: float, act: Callable[[], object]) -> None:
        self.count += 1
        if self.world.happens(Twist(what, self.count, "it happens")):

            def begun() -> None:
                self.world.note("people", what, "", "")
                act()

            self.world.later(after_s, begun)

    def publish(self) -> None:
        def body(task: Task) -> None:
            try:
                project.publish(published(), self.suite.app())
            except (Killed, Unavailable):
                self.world.begin(60.0, "publisher", body)

        self.world.begin(0.0, "publisher", body)

    def upload(self, key: str, what: str) -> None:
        data, bucket = files()[what], self.suite.bucket
        if bucket.find(key) is None:
            bucket.create(key, data)
        else:
            bucket.replace(key, data, bucket.get(key).version)

    def predict(self, number: int, body: bytes, *, again: bool = False) -> None:
        """Ask until there is an answer; then say the truth about it, perhaps."""
        name = f"predict for client {number}"

        def answered(response: HttpResponse | None, left: int) -> None:
            if response is not None and response.status == 200:
                prediction = response.headers["samara-prediction"]
                self.predictions[prediction] = response
                if Dice(self.world.seed, f"truth of {name}").chance(0.5):
                    self.feedback(number, prediction)
            elif left:
                self.suite.request(name, PATH, body, lambda r: answered(r, left - 1), 120.0)

        for _ in range(1 + again):
            self.suite.request(name, PATH, body, lambda r: answered(r, PATIENCE), 0.0)

    def feedback(self, number: int, prediction: str) -> None:
        truth = [row["maple"] == "true" for row in leaves(7, 8)]
        body = json.dumps({"prediction": prediction, "truth": truth}).encode()

        def answered(response: HttpResponse | None, left: int) -> None:
            if response is not None and response.status == 200:
                self.truths.append((prediction, truth))
            elif left:
                self.suite.request(
                    f"feedback of client {number}", "/feedback", body, lambda r: answered(r, left - 1), 60.0
                )

        self.suite.request(f"feedback of client {number}", "/feedback", body, lambda r: answered(r, PATIENCE), 5.0)

    def train(self) -> None:
        def answered(response: HttpResponse | None, left: int) -> None:
            if left and (response is None or response.status >= 400):
                self.suite.request("train for somebody", f"/train/{MODEL}", b"", lambda r: answered(r, left - 1), 300.0)

        self.suite.request("train for somebody", f"/train/{MODEL}", b"", lambda r: answered(r, PATIENCE), 0.0)

    def promote(self, who: str) -> None:
        self._order(who, "promoted", self._promoted)

    def roll_back(self, who: str) -> None:
        self._order(who, "rolled back", self._rolled_back)

    def _promoted(self, order: Order, task: Task) -> None:
        app = self.suite.app()
        if order.version is None:
            versions = [version.version for version in admin.versions(app, MODEL) if version.sound]
            if not versions:
                raise NotFound(MODEL)
            order.version = task.dice.among(versions)
        seen = app.find_head(Aliases, keys.aliases(MODEL))
        expect = seen.champion if seen and task.dice.chance(0.5) else None
        admin.promote(app, MODEL, order.version, expect=expect, at=self.world.at, by=order.who)

    def _rolled_back(self, order: Order, _task: Task) -> None:
        admin.rollback(self.suite.app(), MODEL, at=self.world.at, by=order.who)

    def _order(self, who: str, verb: str, act: Callable[[Order, Task], None]) -> None:
        """Give a word until it is known what became of it. Who is told that nothing was done gives it again."""
        order = Order(who, f"{verb} by {who}", None)
        self.orders.append(order)

        def body(task: Task, left: int) -> None:
            order.told = NOT_KNOWN
            try:
                act(order, task)
            except (Killed, Unknown):
                return
            except (Conflict, Unavailable, NotFound, Rejected) as error:
                order.told = NOT_DONE
                self.world.note(task.name, "is told", order.cause, str(error))
                if left and task.dice.chance(0.5):
                    self.world.begin(600.0, f"{who} {verb}", lambda again: body(again, left - 1))
            else:
                order.told = DONE
                self.world.note(task.name, "is told", order.cause, DONE)

        self.world.begin(0.0, f"{who} {verb}", lambda task: body(task, PATIENCE))


PATH = f"/v2/models/{MODEL}/infer"
