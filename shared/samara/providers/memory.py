"""A bucket in a dictionary and jobs in this process: for tests, and the model every other provider is held to.

As in the clouds, and unlike in a folder, an object at `a` may lie beside one at `a/b`.
"""

import io
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from threading import Lock
from typing import BinaryIO

from samara.core.digests import digest
from samara.core.keys import sound, sound_prefix
from samara.errors import Conflict, NotFound
from samara.events import Wake
from samara.ports import Job, JobRunner, JobStatus, Meta, Object, ObjectStore, Version
from samara.providers.sizes import small
from samara.settings import Settings

CHUNK = 1 << 20


class MemoryStore:
    """`now` stamps each write. A version is the digest of the content, as S3's entity tags are."""

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._now = now
        self._objects: dict[str, Object] = {}
        self._lock = Lock()

    def get(self, key: str) -> Object:
        try:
            return self._objects[sound(key)]
        except KeyError:
            raise NotFound(key) from None

    def head(self, key: str) -> Meta:
        found = self.get(key)
        return Meta(key, len(found.data), found.version, found.at)

    def part(self, key: str, start: int, size: int) -> Object:
        whole = self.get(key)
        return Object(whole.data[start : start + size], whole.version, whole.at)

    def list(self, prefix: str, after: str = "") -> Iterator[str]:
        with self._lock:
            ordered = sorted(self._objects)
        start = max(bisect_left(ordered, sound_prefix(prefix)), bisect_right(ordered, after) if after else 0)
        for key in ordered[start:]:
            if not key.startswith(prefix):
                return
            yield key

    def open(self, key: str) -> BinaryIO:
        return io.BytesIO(self.get(key).data)

    def create(self, key: str, data: bytes) -> Version:
        with self._lock:
            if sound(key) in self._objects:
                raise Conflict(key)
            return self._store(key, data)

    def create_from(self, key: str, source: BinaryIO) -> Version:
        return self.create(key, b"".join(iter(lambda: source.read(CHUNK), b"")))

    def replace(self, key: str, data: bytes, version: Version) -> Version:
        small(key, data)
        with self._lock:
            self._expect(key, version)
            return self._store(key, data)

    def delete(self, key: str, version: Version) -> None:
        with self._lock:
            self._expect(key, version)
            del self._objects[key]

    def _expect(self, key: str, version: Version) -> Object:
        found = self._objects.get(sound(key))
        if found is None or found.version != version:
            raise Conflict(key)
        return found

    def _store(self, key: str, data: bytes) -> Version:
        version = Version(digest(data))
        self._objects[key] = Object(bytes(data), version, self._now())
        return version


class MemoryJobs:
    """Jobs that wait until somebody takes them: `waiting` in the order they came, then `ended` as they were."""

    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}
        self._status: dict[str, JobStatus] = {}

    def submit(self, job: Job) -> str:
        if self._status.get(job.name) not in (JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.SUCCEEDED):
            self.jobs[job.name] = job
            self._status[job.name] = JobStatus.QUEUED
        return job.name

    def status(self, handle: str) -> JobStatus:
        return self._status.get(handle, JobStatus.LOST)

    def cancel(self, handle: str) -> None:
        if self.status(handle) in (JobStatus.QUEUED, JobStatus.RUNNING):
            self._status[handle] = JobStatus.FAILED

    def take(self) -> Job | None:
        """The next waiting job, which now counts as running."""
        for name, status in self._status.items():
            if status is JobStatus.QUEUED:
                self._status[name] = JobStatus.RUNNING
                return self.jobs[name]
        return None

    def ended(self, name: str, status: JobStatus) -> None:
        self._status[name] = status


def object_store(settings: Settings) -> ObjectStore:  # noqa: ARG001  # every provider takes its settings
    return MemoryStore()


def job_runner(settings: Settings) -> JobRunner:  # noqa: ARG001  # the same
    return MemoryJobs()


class MemoryBus:
    """Wakes that wait until somebody takes them from `wakes`."""

    def __init__(self) -> None:
        self.wakes: list[Wake] = []

    def wake(self, wakes: Sequence[Wake]) -> None:
        self.wakes += wakes


def bus(settings: Settings) -> MemoryBus:  # noqa: ARG001  # the same
    return MemoryBus()
