"""What is waiting to be done, each thing once, and never twice at a time."""

import queue
import threading
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Task:
    """One function to run for one event; `key` is empty for a tick."""

    function: str
    key: str
    at: datetime
    attempt: int = 1

    @property
    def identity(self) -> tuple[str, str]:
        return self.function, self.key


@dataclass(slots=True)
class Pending:
    """A queue in which a task that waits already is not added again, and one that runs already waits its turn.

    An event that comes while its function runs must have it run once more: it may be news of something that the
    run has not seen. Two at once would do the same work twice.
    """

    _queue: "queue.Queue[Task | None]" = field(default_factory=queue.Queue)
    _waiting: set[tuple[str, str]] = field(default_factory=set)
    _running: set[tuple[str, str]] = field(default_factory=set)
    _after: dict[tuple[str, str], Task] = field(default_factory=dict)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def add(self, task: Task) -> None:
        with self._guard:
            if task.identity in self._waiting:
                return
            if task.identity in self._running:
                self._after[task.identity] = task
                return
            self._waiting.add(task.identity)
            self._queue.put(task)

    def take(self, timeout_s: float) -> Task | None:
        """The next task, which counts as running until it is `done`; None to stop; `queue.Empty` after a while."""
        task = self._queue.get(timeout=timeout_s)
        if task is not None:
            with self._guard:
                self._waiting.discard(task.identity)
                self._running.add(task.identity)
        return task

    def done(self, task: Task) -> None:
        with self._guard:
            self._running.discard(task.identity)
            again = self._after.pop(task.identity, None)
        if again:
            self.add(again)

    def stop(self, takers: int) -> None:
        for _taker in range(takers):
            self._queue.put(None)
