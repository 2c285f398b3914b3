"""The bucket and the batch service of a simulated world, as one process reaches them: over a bad line."""

import io
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator
from typing import BinaryIO, TypeVar

from samara.core import keys
from samara.core.digests import digest
from samara.errors import Conflict, NotFound, SamaraError, Unknown
from samara.ports import Job, JobStatus, Meta, Object, Version
from tests.simulation.weather import ANSWER_LOST, FALSE_CONFLICT, KILLED_AFTER, LANDS_LATE
from tests.simulation.world import World, here

T = TypeVar("T")
LAST = "\U0010ffff"  # sorts after whatever continues a prefix


def heedless(*_: object) -> None:
    """Nobody looks."""


class Bucket:
    """What is stored, and who is told of it. Watched: some mistakes show only in the moment they are made."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.created: Callable[[str], None] = heedless
        self.watch: Callable[[str, bytes | None, bytes], None] = heedless
        self._objects: dict[str, Object] = {}
        self._ordered: list[str] = []

    def copy(self) -> dict[str, Object]:
        return dict(self._objects)

    def restore(self, objects: dict[str, Object]) -> None:
        self._objects, self._ordered = dict(objects), sorted(objects)

    def get(self, key: str) -> Object:
        try:
            return self._objects[keys.sound(key)]
        except KeyError:
            raise NotFound(key) from None

    def find(self, key: str) -> bytes | None:
        found = self._objects.get(key)
        return found.data if found else None

    def list(self, prefix: str, after: str = "") -> list[str]:
        start = max(bisect_left(self._ordered, prefix), bisect_right(self._ordered, after) if after else 0)
        end = bisect_left(self._ordered, prefix + LAST, lo=start) if prefix else None
        return self._ordered[start:end]

    def create(self, key: str, data: bytes) -> Version:
        if keys.sound(key) in self._objects:
            raise Conflict(key)
        insort(self._ordered, key)
        return self._put(key, None, data)

    def replace(self, key: str, data: bytes, version: Version) -> Version:
        found = self._objects.get(keys.sound(key))
        if found is None or found.version != version:
            raise Conflict(key)
        return self._put(key, found.data, data)

    def delete(self, key: str, version: Version) -> None:
        found = self._objects.get(keys.sound(key))
        if found is None or found.version != version:
            raise Conflict(key)
        self._ordered.remove(key)
        del self._objects[key]

    def _put(self, key: str, before: bytes | None, data: bytes) -> Version:
        version = Version(digest(data))  # as S3's entity tags are: the same bytes, the same version
        self._objects[key] = Object(data, version, self.world.at)
        self.watch(key, before, data)
        self.created(key)
        return version


class Line:
    """One process's way to the bucket. Every verb is a moment at which others may come first, or all may end."""

    __slots__ = ("bucket", "world")

    def __init__(self, world: World, bucket: Bucket) -> None:
        self.world = world
        self.bucket = bucket

    def get(self, key: str) -> Object:
        return self._read("get", key, lambda: self.bucket.get(key))

    def head(self, key: str) -> Meta:
        found = self._read("head", key, lambda: self.bucket.get(key))
        return Meta(key, len(found.data), found.version, found.at)

    def part(self, key: str, start: int, size: int) -> Object:
        found = self._read("get", key, lambda: self.bucket.get(key))
        return Object(found.data[start : start + size], found.version, found.at)

    def list(self, prefix: str, after: str = "") -> Iterator[str]:
        return iter(self._read("list", prefix, lambda: self.bucket.list(prefix, after)))

    def open(self, key: str) -> BinaryIO:
        return io.BytesIO(self._read("open", key, lambda: self.bucket.get(key)).data)

    def create(self, key: str, data: bytes) -> Version:
        return self._write("create", key, lambda: self.bucket.create(key, data))

    def create_from(self, key: str, source: BinaryIO) -> Version:
        data = source.read()
        return self._write("create", key, lambda: self.bucket.create(key, data))

    def replace(self, key: str, data: bytes, version: Version) -> Version:
        return self._write("replace", key, lambda: self.bucket.replace(key, data, version))

    def delete(self, key: str, version: Version) -> None:
        self._write("delete", key, lambda: self.bucket.delete(key, version))

    def _read(self, did: str, key: str, effect: Callable[[], T]) -> T:
        task = here()
        if task is None:
            return effect()
        self.world.struck(task, self.world.weather.on_read, did, key)
        return effect()

    def _write(self, did: str, key: str, effect: Callable[[], T]) -> T:
        task = here()
        if task is None:
            return effect()
        what = self.world.struck(task, self.world.weather.on_write, did, key)
        if what == LANDS_LATE:
            self.world.note(task.name, did, key, what)
            self.world.later(task.dice.about(20.0), lambda: self._land(task.name, did, key, effect))
            raise Unknown(key)
        return befell(self.world, did, key, effect, what)

    def _land(self, who: str, did: str, key: str, effect: Callable[[], T]) -> None:
        try:
            effect()
        except Conflict:
            self.world.note(who, f"late {did}", key, "too late: somebody else wrote first")
        else:
            self.world.note(who, f"late {did}", key, "done")


def befell(world: World, did: str, key: str, effect: Callable[[], T], what: str) -> T:
    """The effect of a write or a submission, and what its author hears of it."""
    task = here()
    assert task is not None
    try:
        made, refusal = [effect()], None
    except SamaraError as error:
        made, refusal = [], error
    outcome = "done" if made else type(refusal).__name__
    world.note(task.name, did, key, f"{outcome}; {what}" if what else outcome)
    if what == KILLED_AFTER:
        world.kill(task)
    if what in (ANSWER_LOST, FALSE_CONFLICT):
        world.sleep(task, task.pace.about(5.0))  # nobody knows at once that no answer will come
    if what == ANSWER_LOST:
        raise Unknown(key)
    if what == FALSE_CONFLICT:
        raise Conflict(key)
    if refusal is not None:
        raise refusal
    return made[0]


class BatchService:
    """What the batch service of a cloud knows. Starting a program is the suite's business."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.status: dict[str, JobStatus] = {}
        self.jobs: dict[str, Job] = {}
        self.start: Callable[[Job], None] = heedless
        self.watch: Callable[[Job], None] = heedless

    def submitted(self, job: Job) -> str:
        if self.status.get(job.name) not in (JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.SUCCEEDED):
            self.watch(job)
            self.jobs[job.name] = job
            self.status[job.name] = JobStatus.QUEUED
            self.start(job)
        return job.name


class Counter:
    """One process's way to the batch service."""

    __slots__ = ("service", "world")

    def __init__(self, world: World, service: BatchService) -> None:
        self.world = world
        self.service = service

    def submit(self, job: Job) -> str:
        task = here()
        if task is None:
            return self.service.submitted(job)
        what = self.world.struck(task, self.world.weather.on_submit, "submit", job.name)
        return befell(self.world, "submit", job.name, lambda: self.service.submitted(job), what)

    def status(self, handle: str) -> JobStatus:
        task = here()
        if task is not None:
            self.world.struck(task, self.world.weather.on_read, "status", handle)
        return self.service.status.get(handle, JobStatus.LOST)

    def cancel(self, handle: str) -> None:
        task = here()
        if task is not None:
            self.world.struck(task, self.world.weather.on_submit, "cancel", handle)
        if self.service.status.get(handle) in (JobStatus.QUEUED, JobStatus.RUNNING):
            self.service.status[handle] = JobStatus.FAILED
