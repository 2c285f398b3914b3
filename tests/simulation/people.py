"""What people do in a seed: publish, upload, ask, say the truth, want a training or a whole batch, move the aliases.

They are as impatient as people are: who gets no answer asks again. What they were told is written down, for that is
what must turn out to be true.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from itertools import islice
from pathlib import Path
from typing import Any

from functions.feedback.truth import names
from samara import admin, project
from samara.core import keys
from samara.core.aliases import Aliases
from samara.errors import Conflict, NotFound, Rejected, Unavailable, Unknown
from samara.events import HttpRequest, HttpResponse
from tests.simulation.dice import Dice
from tests.simulation.leaves import DATASET, Truth, files, second_thoughts, truth
from tests.simulation.suite import Suite
from tests.simulation.world import BEGIN, Killed, Task, World

FOLDER = Path(__file__).parent / "project"
MODEL = "maple"
PATH = f"/v2/models/{MODEL}"
PATIENCE = 5  # times somebody tries
SECOND_THOUGHTS_S = 300.0  # after which somebody says otherwise: longer than any two clocks differ
DONE, NOT_DONE, NOT_KNOWN = "done", "not done", "not known"


@cache
def published() -> project.Project:
    return project.read(FOLDER)


def post(path: str, said: Any = None) -> HttpRequest:
    body = said if isinstance(said, bytes) else json.dumps(said).encode() if said else b""
    return HttpRequest("POST", path, BEGIN, body=body)


@dataclass(slots=True)
class Order:
    """A person's word about who answers, and what they were told last.

    Where it names who is to be what, `role` is a field of the aliases and `wanted` what is to stand there.
    """

    who: str
    cause: str
    role: str = ""
    wanted: object = None
    told: str = NOT_DONE


Act = Callable[[Order, Task], object]


@dataclass(eq=False)
class People:
    """Everybody outside, with what they did and what they were told."""

    suite: Suite
    dice: Dice = field(init=False)
    predictions: dict[str, HttpResponse] = field(default_factory=dict)
    said: dict[str, tuple[Truth, ...]] = field(default_factory=dict)
    truths: list[tuple[str, Sequence[Truth]]] = field(default_factory=list)
    scorings: list[dict[str, Any]] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    waiting: list[Callable[[], None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.dice = Dice(self.world.seed, "people")
        self.suite.bucket.created = self.created

    @property
    def world(self) -> World:
        return self.suite.world

    @property
    def words(self) -> tuple[tuple[str, Callable[[str], None]], ...]:
        """What may be said of the aliases; most is about the champion."""
        of_champions = ("promotes", self.promote), ("rolls back", self.roll_back)
        return (*of_champions, *of_champions, ("names a shadow", self.name_shadow), ("shares requests", self.share))

    def created(self, key: str) -> None:
        """Whoever waits for a version hears of it as everybody does."""
        if key.startswith(keys.MODELS):
            for act in self.waiting:
                self.world.later(self.dice.about(1.0), act)
            self.waiting.clear()
        self.suite.created(key)

    def wait_for_version(self, number: int) -> None:
        """Give a word as soon as there is another version, which may not have taken its place yet."""
        _, act = Dice(self.world.seed, f"person {number}").among(self.words)
        self.waiting.append(partial(act, f"person {number}"))

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

    def insist(
        self,
        name: str,
        request: HttpRequest,
        taken: Callable[[HttpResponse], object],
        pause_s: float,
        *,
        delay_s: float = 0.0,
        left: int = PATIENCE,
    ) -> None:
        """Ask until there is an answer, or no patience left."""

        def answered(response: HttpResponse | None) -> None:
            if response is not None and response.status < 400:
                taken(response)
            elif left:
                self.insist(name, request, taken, pause_s, delay_s=pause_s, left=left - 1)

        self.suite.request(name, request, answered, delay_s)

    def predict(self, number: int, body: bytes, *, again: bool = False) -> None:
        """Ask until there is an answer; then say the truth about it, perhaps, and perhaps only at the second try."""
        name = f"predict for client {number}"

        def taken(response: HttpResponse) -> None:
            prediction = response.headers["samara-prediction"]
            self.predictions[prediction] = response
            if words := self._words(name):
                if len(words) == 1 or prediction not in self.said:
                    self.feedback(number, prediction, words)
                self.said[prediction] = words

        for _ in range(1 + again):
            self.insist(name, post(f"{PATH}/infer", body), taken, 120.0)

    def _words(self, name: str) -> tuple[Truth, ...]:
        dice = Dice(self.world.seed, f"truth of {name}")
        if not dice.chance(0.5):
            return ()
        words = second_thoughts() if dice.chance(0.4) else (truth(),)
        return (*words, words[0]) if dice.chance(0.3) else words

    def feedback(
        self, number: int, prediction: str, words: Sequence[Truth], *, said: int = 0, delay_s: float = 5.0
    ) -> None:
        """Say the truth, and when that was taken and there are second thoughts, say those, or the first again."""

        def taken(_: HttpResponse) -> None:
            self.truths.append((prediction, words[: said + 1]))
            if said + 1 < len(words):
                self.feedback(number, prediction, words, said=said + 1, delay_s=SECOND_THOUGHTS_S)

        request = post("/feedback", {"prediction": prediction, "truth": words[said]})
        self.insist(f"feedback of client {number}", request, taken, 60.0, delay_s=delay_s)

    def train(self) -> None:
        self.insist("train for somebody", post(f"/train/{MODEL}"), lambda _: None, 300.0)

    def look(self, page: str) -> None:
        self.insist("dashboard for somebody", HttpRequest("GET", page, BEGIN), lambda _: None, 60.0)

    def score(self, number: int, version: str, *, again: bool) -> None:
        """Ask for a whole batch to be answered, `again` if that failed; later look what came of it, once."""
        name = f"score for client {number}"

        def told(response: HttpResponse) -> str:
            self.scorings.append(json.loads(response.body))
            return str(self.scorings[-1]["scoring"])

        def taken(response: HttpResponse) -> None:
            look = HttpRequest("GET", f"{PATH}/batch/{told(response)}", BEGIN)
            later_s = Dice(self.world.seed, name).about(900.0)
            self.insist(f"{name}, later", look, told, 60.0, delay_s=later_s)

        self.insist(name, post(f"{PATH}{version}/batch", {"dataset": DATASET, "again": again}), taken, 120.0)

    def promote(self, who: str) -> None:
        self._order(who, "promoted", self._promoted)

    def roll_back(self, who: str) -> None:
        self._order(who, "rolled back", self._rolled_back)

    def name_shadow(self, who: str) -> None:
        self._order(who, "shadow set", self._shadow_set)

    def share(self, who: str) -> None:
        self._order(who, "routed", self._routed)

    def _promoted(self, order: Order, task: Task) -> None:
        if not order.role:
            order.role, order.wanted = "champion", self._some_version(task)
        seen = self._champion()
        expect = seen if task.dice.chance(0.5) else None
        admin.promote(self.suite.app(), MODEL, chosen(order), expect=expect, at=self.world.at, by=order.who)

    def _rolled_back(self, order: Order, _task: Task) -> None:
        admin.rollback(self.suite.app(), MODEL, at=self.world.at, by=order.who)

    def _shadow_set(self, order: Order, task: Task) -> None:
        if not order.role:
            order.role, order.wanted = "shadow", self._some_version(task, but=self._champion())
        admin.shadow(self.suite.app(), MODEL, chosen(order), at=self.world.at, by=order.who)

    def _routed(self, order: Order, task: Task) -> None:
        """Share requests between the champion as it is seen now and another version."""
        champion = self._champion()
        if champion is None:
            raise NotFound(MODEL)
        other = self._some_version(task, but=champion)
        shares = {champion: 0.5, other: 0.5} if other != champion else {}
        order.role, order.wanted = "weights", shares
        admin.route(self.suite.app(), MODEL, shares, at=self.world.at, by=order.who)

    def _champion(self) -> int | None:
        return (self.suite.app().find_head(Aliases, keys.aliases(MODEL)) or Aliases()).champion

    def _some_version(self, task: Task, but: int | None = None) -> int:
        """One that may answer, and another than that one if there is."""
        versions = [version.version for version in admin.versions(self.suite.app(), MODEL) if version.sound]
        if not versions:
            raise NotFound(MODEL)
        return task.dice.among([version for version in versions if version != but] or versions)

    def _order(self, who: str, verb: str, act: Act) -> None:
        """Give a word until it is known what became of it. Who is told that nothing was done gives it again."""
        order = Order(who, f"{verb} by {who}")
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


def feedback(prediction: str, words: Sequence[Truth]) -> str:
    """Where the last of these words about a prediction is kept."""
    *before, truth = words
    times = sum(word == truth != after for word, after in zip(before, words[1:], strict=True))
    return keys.Prediction.parse(prediction).feedback(next(islice(names(truth), times, None)))


def chosen(order: Order) -> int:
    assert isinstance(order.wanted, int)
    return order.wanted
