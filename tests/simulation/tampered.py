"""What a planted bug is made of: a store, a key or a name that is not as it should be."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, BinaryIO

from samara.core import keys
from samara.core.digests import short
from samara.errors import Conflict, Unavailable
from samara.ports import Job, Version
from tests.simulation.world import Task, here

Patch = tuple[Any, str, Any]
Bug = Callable[[], Iterator[Patch]]


class Through:
    """A store with something changed."""

    def __init__(self, store: Any) -> None:
        self.store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)


class Blind(Through):
    """`replace` over whatever is there."""

    def replace(self, key: str, data: bytes, _version: Version) -> Version:
        for _ in range(9):
            with suppress(Conflict):
                made: Version = self.store.replace(key, data, self.store.get(key).version)
                return made
        raise Unavailable(key)


class Putting(Through):
    """Puts off what is to be created under a prefix."""

    def __init__(self, store: Any, prefix: str) -> None:
        super().__init__(store)
        self.prefix = prefix
        self.put_off: list[tuple[str, bytes]] = []

    def create_from(self, key: str, source: BinaryIO) -> Version:
        return self.create(key, source.read())

    def create(self, key: str, data: bytes) -> Version:
        if not key.startswith(self.prefix):
            made: Version = self.store.create(key, data)
            return made
        self.put_off.append((key, data))
        return Version("")

    def catch_up(self) -> None:
        for key, data in self.put_off:
            with suppress(Conflict):
                self.store.create(key, data)


def last(function: Callable[..., Any], prefix: str) -> Callable[..., Any]:
    """`function` with what it writes under a prefix written after all else."""

    def other(*given: Any) -> Any:
        *before, app = given
        store = Putting(app.store, prefix)
        found = function(*before, app._replace(store=store))
        store.catch_up()
        return found

    return other


def nothing(*_: Any) -> Iterator[Any]:
    return iter(())


class Spelled:
    """The keys of the bucket, some of them spelled otherwise."""

    def __init__(self, **otherwise: Callable[..., str]) -> None:
        self.otherwise = otherwise

    def __getattr__(self, name: str) -> Any:
        return self.otherwise.get(name) or getattr(keys, name)


def whoever_runs() -> Task:
    task = here()
    assert task is not None
    return task


def named_at_random(plan: type[Any], name: str) -> Patch:
    """A plan whose name follows from who made it."""
    real = vars(plan)[name].fget
    return plan, name, property(lambda one: short(real(one), task.name if (task := here()) else ""))


def submitted_at_random(handler: Any) -> Patch:
    """A job whose name follows from who submits it."""
    real = handler.job

    def job(*given: Any) -> Job:
        wanted: Job = real(*given)
        return wanted._replace(name=f"{wanted.name}-{short(whoever_runs().name)}")

    return handler, "job", job
