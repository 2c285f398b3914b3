"""How a catalogue is written: functions, what wakes them, and what each may touch.

The dispatcher, the permissions, the infrastructure and the pictures are derived from these values.
"""

import importlib
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from samara.errors import Misconfigured


class Created(NamedTuple):
    """An object appears under `prefix`."""

    prefix: str


class Http(NamedTuple):
    """A request for `path` or what lies below it."""

    path: str
    methods: tuple[str, ...] = ("GET",)


class Every(NamedTuple):
    """The clock: once in each of these periods. Where each time is billed, once in each that `billed` names, if any."""

    period: Literal["minute", "hour"]
    billed: Literal["quarter", "hour"] | None = None

    @property
    def in_a_cloud(self) -> Literal["minute", "quarter", "hour"]:
        """How often a cloud wakes the function: a quarter is that of an hour."""
        return self.billed or self.period


class Failed:
    """An event that was tried often enough and given up: what every cloud calls a dead letter."""


Trigger = Created | Http | Every | Failed


class JobSpec(NamedTuple):
    """The batch job a function submits, with permissions of its own."""

    module: str
    reads: tuple[str, ...]
    creates: tuple[str, ...]
    memory_mb: int
    time_limit_s: int


class Function(NamedTuple):
    """One stateless function. Prefixes end with a slash; what is not named here is refused.

    `zip_mb` is the most its package may weigh, in units of 10**6 bytes, and `modules` the most that importing its
    handler may load: what a cold start has to fetch and run. A `lean` one is waited for by people, and
    takes nothing but requests and ticks: where a cloud's bucket can be reached without its SDK, it does without.
    """

    name: str
    on: tuple[Trigger, ...]
    does: str
    reads: tuple[str, ...] = ()
    creates: tuple[str, ...] = ()
    swaps: tuple[str, ...] = ()
    memory_mb: int = 512
    timeout_s: int = 60
    job: JobSpec | None = None
    zip_mb: int = 30
    modules: int = 900
    lean: bool = False

    @property
    def wakes_on(self) -> tuple[str, ...]:
        """The prefixes whose new objects wake it."""
        return tuple(trigger.prefix for trigger in self.on if isinstance(trigger, Created))

    @property
    def writes(self) -> tuple[str, ...]:
        """Every prefix under which it, or its job, makes objects appear."""
        return self.creates + self.swaps + (self.job.creates if self.job else ())


Catalogue = Sequence[Function]


def load(where: str = "functions.catalogue") -> Catalogue:
    """The checked catalogue in the module of that name.

    Samara never imports the functions it runs: this name is the one thread from here to there.
    """
    try:
        catalogue: Catalogue = importlib.import_module(where).CATALOGUE
    except ModuleNotFoundError as error:
        if not f"{where}.".startswith(f"{error.name}."):  # it is there, and lacks something itself
            raise
        raise Misconfigured(where, "no such module; SAMARA_CATALOGUE names the one that lists the functions") from error
    check(catalogue)
    return catalogue


def named(catalogue: Catalogue, name: str) -> Function:
    """The function of that name, or `Misconfigured`."""
    for function in catalogue:
        if function.name == name:
            return function
    raise Misconfigured(name, f"no such function; there are {', '.join(f.name for f in catalogue)}")


def woken_by(catalogue: Catalogue, key: str) -> list[Function]:
    """The functions that an object at `key` wakes."""
    return [f for f in catalogue if any(key.startswith(prefix) for prefix in f.wakes_on)]


def told_of_failures(catalogue: Catalogue) -> list[Function]:
    """The functions that hear of every event that was given up."""
    return [f for f in catalogue if any(isinstance(trigger, Failed) for trigger in f.on)]


def answering(catalogue: Catalogue, path: str) -> Function | None:
    """The function that answers requests for `path`: the one whose route is the longest that fits."""
    found, longest = None, -1
    for function in catalogue:
        for trigger in function.on:
            if isinstance(trigger, Http) and len(trigger.path) > longest and fits(path, trigger.path):
                found, longest = function, len(trigger.path)
    return found


def fits(path: str, route: str) -> bool:
    """Whether `path` is `route` or lies below it.

    >>> fits("/v2/models", "/v2"), fits("/v20", "/v2"), fits("/anything", "/")
    (True, False, True)
    """
    return path == route or path.startswith(route.rstrip("/") + "/")


def submitter(catalogue: Catalogue) -> Function:
    """The first function that submits jobs, with a job that may touch what any job may and has room for each.

    A cloud has one place for all jobs, with one identity and one package: they come from the same code, and none of
    them hands its permissions on to the code of users. It is named for this function.
    """
    functions = [function for function in catalogue if function.job]
    if not functions:
        raise Misconfigured("catalogue", "no function submits a job")
    specs = [function.job for function in functions if function.job]
    whole = JobSpec(
        module=specs[0].module,
        reads=tuple(dict.fromkeys(prefix for spec in specs for prefix in spec.reads)),
        creates=tuple(dict.fromkeys(prefix for spec in specs for prefix in spec.creates)),
        memory_mb=max(spec.memory_mb for spec in specs),
        time_limit_s=max(spec.time_limit_s for spec in specs),
    )
    return functions[0]._replace(job=whole)


def edges(catalogue: Catalogue) -> Iterator[tuple[str, str, str]]:
    """(who writes, under which prefix, whom that wakes), in catalogue order."""
    for writer in catalogue:
        for written in dict.fromkeys(writer.writes):
            for woken in catalogue:
                if any(overlap(written, prefix) for prefix in woken.wakes_on):
                    yield writer.name, written, woken.name


def overlap(one: str, other: str) -> bool:
    return one.startswith(other) or other.startswith(one)


def check(catalogue: Catalogue) -> None:
    """Refuse a catalogue that could wake itself: no function writes where it listens, and there is no cycle."""
    wakes: dict[str, dict[str, str]] = {}
    for function in catalogue:
        for prefix in (*function.reads, *function.writes, *function.wakes_on):
            if not prefix.endswith("/") or prefix.startswith("/"):
                raise Misconfigured(function.name, f"prefix {prefix!r} must end with a slash and not start with one")
    for writer, prefix, woken in edges(catalogue):
        if writer == woken:
            raise Misconfigured(writer, f"writes under {prefix}, which wakes it again: it would never stop")
        wakes.setdefault(writer, {})[woken] = prefix
    for function in catalogue:
        trail = cycle_from(function.name, wakes, [function.name])
        if trail:
            raise Misconfigured(function.name, f"wakes itself through {' → '.join(trail)}; break the circle")


def cycle_from(name: str, wakes: dict[str, dict[str, str]], trail: list[str]) -> list[str]:
    """The way from `name` back to the start of `trail`, or nothing."""
    for woken in wakes.get(name, {}):
        if woken == trail[0]:
            return [*trail, woken]
        if woken not in trail and (found := cycle_from(woken, wakes, [*trail, woken])):
            return found
    return []
