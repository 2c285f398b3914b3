"""What the functions need from a cloud: a place to keep objects, and a machine to run long jobs on."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from enum import StrEnum
from typing import BinaryIO, NamedTuple, NewType, Protocol

from samara.events import Wake

Version = NewType("Version", str)
"""Which write of an object this is. Opaque: compare it, never read it."""


LARGEST_HEAD = 1 << 20
"""Bytes up to which an object can be replaced: heads are small."""


class Meta(NamedTuple):
    """What a store knows about an object without reading it. `at` is the instant of its last write, UTC."""

    key: str
    size: int
    version: Version
    at: datetime


class Object(NamedTuple):
    data: bytes
    version: Version
    at: datetime


class ObjectStore(Protocol):
    """A flat map from key to bytes, with versions one can compare-and-swap.

    There are two kinds of write and no third: `create` for what never changes, `replace` for the few small
    heads that do. Both are atomic: a reader sees the old object, the new one, or none, never a part.
    Every verb refuses an unsound key (`samara.core.keys.flaw`) with `Rejected`.

    A write either returns, and then it is ours; or raises `Conflict`, and then somebody else's is there; or
    raises `Unknown`, when no answer came and none could be found out. Threads may share a store.
    """

    def get(self, key: str) -> Object:
        """The object at `key`, or `NotFound`."""

    def head(self, key: str) -> Meta:
        """What is known about the object at `key`, or `NotFound`."""

    def part(self, key: str, start: int, size: int) -> Object:
        """At most `size` bytes of the object at `key` from the byte `start` on; none beyond its end. Or `NotFound`."""

    def list(self, prefix: str, after: str = "") -> Iterator[str]:
        """Every key that starts with `prefix` and sorts after `after`, in ascending order."""

    def open(self, key: str) -> BinaryIO:
        """A stream over the object at `key`, for what does not fit in memory, or `NotFound`.

        Close it. It reads one write to its end, even when the object is replaced meanwhile.
        """

    def create(self, key: str, data: bytes) -> Version:
        """Write only if absent, else `Conflict`."""

    def create_from(self, key: str, source: BinaryIO) -> Version:
        """`create` from a stream in bounded memory. Nothing appears at `key` until all of it is there."""

    def replace(self, key: str, data: bytes, version: Version) -> Version:
        """Write only over `version`, else `Conflict`, also when nothing is there any more.

        `Rejected` when `data` is larger than `LARGEST_HEAD`.
        """

    def delete(self, key: str, version: Version) -> None:
        """Remove only `version`, else `Conflict`, also when nothing is there any more."""


class JobStatus(StrEnum):
    """One vocabulary for every batch service."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    LOST = "lost"  # the service knows nothing of it, or nothing any more


class Job(NamedTuple):
    """A program to run once. `name` is its identity: submitted again under the same name, it is the same job.

    With `tasks` above one it is an array: the program runs that often, side by side, and `samara.tasks` tells each
    run which one it is. The job has succeeded when all of them have, and has failed when one of them did.
    """

    name: str
    module: str
    arguments: tuple[str, ...]
    time_limit_s: float
    memory_mb: int = 4096
    gpus: int = 0
    tasks: int = 1


class JobRunner(Protocol):
    """Starts programs that outlive a function, and says what became of them."""

    def submit(self, job: Job) -> str:
        """Start `job` unless it is alive or has succeeded. A dead one starts again. Its name is its handle."""

    def status(self, handle: str) -> JobStatus:
        """Where the job of this handle is."""

    def cancel(self, handle: str) -> None:
        """See to it that it stops with everything it started. Cancelling what has ended does nothing."""


class Bus(Protocol):
    """Carries wakes to the functions they name, as the bucket's notifications are carried: at least once."""

    def wake(self, wakes: Iterable[Wake]) -> None:
        """Have each of these functions run soon for the object it names. `Unavailable` when not all were taken."""
