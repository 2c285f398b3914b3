"""A small world in which everything goes wrong on purpose, and the same from the same seed.

The real functions run on a real (memory) store. Around them, a seeded scheduler delivers each event twice, in
any order, late or not at all, and ends the process between any two store operations. `reconcile` ticks. What
the bucket holds when all is quiet again must not depend on the seed.
"""

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, BinaryIO

from functions.catalogue import CATALOGUE
from functions.train import job
from samara import catalogue
from samara.app import App, code_digest
from samara.core.sealed import Maker
from samara.dispatch import deliver
from samara.errors import Unavailable
from samara.events import Event, HttpRequest, HttpResponse, ObjectCreated, Tick, Wake
from samara.ports import JobStatus, Meta, Object, ObjectStore, Version
from samara.providers.memory import MemoryJobs, MemoryStore
from tests.bench import in_process

MOST_STEPS = 5_000  # of one phase: more is a livelock
TRAIN = catalogue.named(CATALOGUE, "train")


class Killed(BaseException):
    """The process ends here. Nothing may catch it but the world."""


@dataclass(slots=True, eq=False)
class Fuse:
    """Ends the process at a store operation: `left` operations from now, before or after it took effect."""

    left: int | None = None
    after: bool = False

    def around(self, operation: Callable[[], Any]) -> Any:
        if self.left is None:
            return operation()
        self.left -= 1
        if self.left > 0:
            return operation()
        if self.after:
            operation()
        raise Killed


@dataclass(frozen=True, slots=True, eq=False)
class FragileStore:
    """A store whose every operation may be the last thing the process does."""

    store: ObjectStore
    fuse: Fuse
    created: Callable[[str], None]

    def get(self, key: str) -> Object:
        found: Object = self.fuse.around(lambda: self.store.get(key))
        return found

    def head(self, key: str) -> Meta:
        found: Meta = self.fuse.around(lambda: self.store.head(key))
        return found

    def part(self, key: str, start: int, size: int) -> Object:
        found: Object = self.fuse.around(lambda: self.store.part(key, start, size))
        return found

    def list(self, prefix: str, after: str = "") -> Iterator[str]:
        return iter(self.fuse.around(lambda: list(self.store.list(prefix, after))))

    def open(self, key: str) -> BinaryIO:
        stream: BinaryIO = self.fuse.around(lambda: self.store.open(key))
        return stream

    def create(self, key: str, data: bytes) -> Version:
        version: Version = self.fuse.around(lambda: self._made(key, self.store.create(key, data)))
        return version

    def create_from(self, key: str, source: BinaryIO) -> Version:
        version: Version = self.fuse.around(lambda: self._made(key, self.store.create_from(key, source)))
        return version

    def replace(self, key: str, data: bytes, version: Version) -> Version:
        newer: Version = self.fuse.around(lambda: self.store.replace(key, data, version))
        return newer

    def delete(self, key: str, version: Version) -> None:
        self.fuse.around(lambda: self.store.delete(key, version))

    def _made(self, key: str, version: Version) -> Version:
        self.created(key)
        return version


@dataclass(slots=True)
class World:
    """One bucket, one clock, one queue of events. Without a seed nothing goes wrong."""

    seed: int | None
    now: datetime = datetime(2013, 2, 1, 12, 30, tzinfo=UTC)
    pending: list[tuple[str, Event]] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    dice: random.Random = field(init=False)
    fuse: Fuse = field(default_factory=Fuse)
    store: MemoryStore = field(init=False)
    jobs: MemoryJobs = field(default_factory=MemoryJobs)
    app: App = field(init=False)

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)  # noqa: S311  # chaos, not secrets
        self.store = MemoryStore(now=lambda: self.now)
        fragile = FragileStore(self.store, self.fuse, self._created)
        self.app = App(fragile, self.jobs, Maker(function="world", code=code_digest()))

    def upload(self, key: str, data: bytes) -> None:
        """Somebody drops a file; of such notifications some are lost."""
        self.store.create(key, data)
        self._created(key)

    def ask(self, function: str, path: str, body: object) -> HttpResponse:
        """A client that asks again until it is answered."""
        request = HttpRequest("POST", path, self.now, body=json.dumps(body).encode())
        while True:
            try:
                self._strike()
                response: HttpResponse = deliver(catalogue.named(CATALOGUE, function), request, self.app)
            except Killed:
                self._count("killed")
                continue
            finally:
                self.fuse.left = None
            return response

    def tick(self, function: str) -> None:
        self._enqueue(function, Tick(self.now))

    def settle(self) -> None:
        """Let everything happen, faults included; then go on without faults until nothing is left to do."""
        for _ in range(MOST_STEPS):
            if not self._step():
                break
        stormy, self.seed = self.seed, None
        self.tick("drift")  # a schedule that was missed comes round again
        for _ in range(MOST_STEPS):
            if self._step():
                continue
            if not self._reconcile():
                break
        else:
            raise AssertionError(f"seed {stormy}: still busy after {MOST_STEPS} steps: {self.pending[:5]}")
        self.seed = stormy

    def bucket(self) -> dict[str, bytes]:
        """Every object, without what a clock or a stopwatch had a part in."""
        return {key: timeless(self.store.get(key).data) for key in self.store.list("")}

    def _step(self) -> bool:
        """One delivery, one job or one reconcile. Whether there was anything to do."""
        if self.seed is not None and self.dice.random() < 0.05:
            self._reconcile()
        taken = self.jobs.take() if not self.pending or self._stormy(0.3) else None
        if taken is not None:
            self._run_job(taken.name, taken.arguments[0])
            return True
        if not self.pending:
            return False
        index = self.dice.randrange(len(self.pending)) if self.seed is not None else 0
        function, event = self.pending.pop(index)
        self._deliver(function, event)
        return True

    def _deliver(self, function: str, event: Event) -> Any:
        try:
            self._strike()
            return deliver(catalogue.named(CATALOGUE, function), event, self.app)
        except Killed:
            self._count("killed")
            if self._stormy(0.3):
                self._count("queue lost")
                self.pending.clear()
            else:
                self.pending.append((function, event))
        except Unavailable:
            self._count("tried again")
            self.pending.append((function, event))
        finally:
            self.fuse.left = None
        return None

    def _run_job(self, name: str, run_key: str) -> None:
        try:
            self._strike()
            job.run(run_key, self.app.acting_as_job_of(TRAIN), fit=in_process)
            self.jobs.ended(name, JobStatus.SUCCEEDED)
        except Killed:
            self._count("job killed")
            self.jobs.ended(name, JobStatus.LOST)
        finally:
            self.fuse.left = None

    def _reconcile(self) -> list[Wake]:
        self._count("reconciled")
        wakes: list[Wake] = self._deliver("reconcile", Tick(self.now)) or []
        for wake in wakes:
            self._enqueue(wake.function, ObjectCreated(wake.key, self.now))
        return wakes

    def _created(self, key: str) -> None:
        for function in catalogue.woken_by(CATALOGUE, key):
            self._enqueue(function.name, ObjectCreated(key, self.now))

    def _enqueue(self, function: str, event: Event) -> None:
        times = 1 if self.seed is None else 0 if self._stormy(0.05) else 2
        self._count("lost" if times == 0 else "delivered")
        self.pending.extend([(function, event)] * times)

    def _strike(self) -> None:
        """Maybe light the fuse for what runs next."""
        if self._stormy(0.3):
            self.fuse.left, self.fuse.after = self.dice.randint(1, 14), self.dice.random() < 0.5

    def _stormy(self, chance: float) -> bool:
        return self.seed is not None and self.dice.random() < chance

    def _count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1


CLOCKED = ("at", "seconds")  # the names under which records note instants and durations


def timeless(data: bytes) -> bytes:
    """`data` without timestamps, durations and write ids, when it is one of our JSON documents."""
    try:
        value = json.loads(data)
    except ValueError:
        return data
    if not isinstance(value, dict):
        return data
    for name in ("write_id", "earlier"):
        value.pop(name, None)
    for name in CLOCKED:
        value.get("noted", {}).pop(name, None)
    for move in value.get("moves", ()):
        move.pop("at", None)
    return json.dumps(value, sort_keys=True).encode()
