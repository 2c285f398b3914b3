"""The edge of a simulated process: its clock, its sleep, its dice, its memory. Nothing of ours is replaced."""

import os
import random
import tempfile
import time
import uuid
from collections.abc import Callable, Hashable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch
from uuid import UUID

import samara.app
from functions.predict import by_heart, capturing, served, ticks
from functions.predict import handler as predict
from functions.predict.warm import Kept
from functions.score import job as score_job
from functions.train import job as train_job
from samara import entry, patience
from tests.simulation.world import here

FAST = "/dev/shm"  # noqa: S108  # a disk in memory, where there is one; what is put there is put by tempfile


class Clock:
    """What `time` is to a task."""

    @staticmethod
    def sleep(seconds: float) -> None:
        task = here()
        if task is None:
            time.sleep(seconds)
        else:
            task.world.sleep(task, seconds)

    @staticmethod
    def perf_counter() -> float:
        task = here()
        return time.perf_counter() if task is None else task.world.now

    monotonic = perf_counter


DRAWN = random.uniform  # as it is before a simulation replaces it


def uniform(least: float, most: float) -> float:
    task = here()
    return DRAWN(least, most) if task is None else task.dice.between(least, most)


def uuid4() -> UUID:
    task = here()
    return uuid.uuid4() if task is None else task.dice.uuid()


def unique() -> str:
    task = here()
    return os.urandom(8).hex() if task is None else task.dice.uuid().hex[:16]


class Memory:
    """What a module keeps while its process is warm: of each instance its own."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._elsewhere: Kept[Any, Any] = Kept(most)

    def get(self, key: Hashable, make: Callable[[], Any]) -> Any:
        return self._kept().get(key, make)

    def peek(self, key: Hashable) -> Any:
        return self._kept().peek(key)

    def put(self, key: Hashable, value: Any) -> Any:
        return self._kept().put(key, value)

    def _kept(self) -> Kept[Any, Any]:
        task = here()
        if task is None:
            return self._elsewhere
        kept: Kept[Any, Any] | None = task.memory.get(id(self))
        if kept is None:
            kept = task.memory[id(self)] = Kept(self._most)
        return kept


@contextmanager
def simulated() -> Iterator[None]:
    """Tasks have simulated edges while this lasts; whoever is no task has those of the real process."""
    with ExitStack() as stack:
        for owner, name, put in (
            *((module, "time", Clock) for module in (patience, predict, ticks, train_job, score_job)),
            (random, "uniform", uniform),
            (predict, "unique", unique),
            (capturing, "unique", unique),
            (by_heart, "unique", unique),
            (samara.app, "uuid4", uuid4),
            (served, "SESSIONS", Memory(8)),
            (served, "VERSIONS", Memory(64)),
            (served, "LIVE", Memory(64)),
            (tempfile, "tempdir", FAST if Path(FAST).is_dir() else None),
            (entry.log, "disabled", True),
        ):
            stack.enter_context(patch.object(owner, name, put))
        yield
