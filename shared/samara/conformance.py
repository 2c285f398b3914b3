"""Does a store keep what Samara relies on? Asked of the store itself, under a prefix that is cleaned up again.

What a service promises in its documents and what it does are two things: some emulators and S3-compatible services
accept a condition and ignore it, which loses data without a word. A broken promise is named with what it rules out.
"""

import io
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from statistics import median
from threading import Barrier, Lock
from uuid import uuid4

from samara.errors import Conflict, NotFound, SamaraError, Unsupported
from samara.ports import ObjectStore, Version
from samara.providers import store_at
from samara.providers.addresses import provider_of
from samara.settings import Settings

PREFIX = "samara-doctor/"
WRITERS = 64
LARGE = 20 << 20  # bytes: more than any store takes in one piece here
ROUNDS = 20


class Broken(Exception):
    """A promise was not kept. Its words say what happened instead."""


@dataclass(slots=True)
class Probe:
    """A store, and a place in it that nobody else uses."""

    store: ObjectStore
    prefix: str = field(default_factory=lambda: f"{PREFIX}{uuid4().hex[:12]}/")
    made: set[str] = field(default_factory=set)
    _lock: Lock = field(default_factory=Lock)

    def key(self, name: str) -> str:
        """A key below our prefix, to be removed in the end."""
        with self._lock:
            self.made.add(self.prefix + name)
        return self.prefix + name

    def cleaned(self) -> list[str]:
        """Remove everything. What could not be removed is told."""
        left = []
        for key in sorted(self.made):
            try:
                self.store.delete(key, self.store.head(key).version)
            except NotFound:
                continue
            except SamaraError:
                left.append(key)
        for place in (self.prefix, PREFIX):
            self._swept(place.rstrip("/"))
        return left

    def _swept(self, place: str) -> None:
        """Where a bucket is a folder, an object takes the place of empty folders: with it they are gone."""
        with suppress(SamaraError):  # others are at it, or it cannot be written: then nothing of ours is there
            self.store.delete(place, self.store.create(place, b""))


@dataclass(frozen=True, slots=True)
class Promise:
    """`needed_for` is what a store cannot be used for that breaks it; `kept` says what was seen, or raises."""

    name: str
    needed_for: str
    kept: Callable[[Probe], str]


@dataclass(frozen=True, slots=True)
class Verdict:
    promise: Promise
    fine: bool
    says: str


def at(address: str) -> ObjectStore:
    """The store at an address. A folder that is not there is refused: to examine it would be to make it."""
    if provider_of(address) == "local" and not (folder := Settings(store=address).bucket).is_dir():
        raise NotFound(address, f"there is no such folder: {folder.absolute()}; create it, or correct the address")
    return store_at(address)


def examined(store: ObjectStore) -> Iterator[Verdict]:
    """Every promise, one after the other. Nothing is left behind, or the last verdict says what.

    A store that cannot be reached at all, or is not there, is an error and has no verdicts.
    """
    probe = Probe(store)
    list(store.list(probe.prefix))
    return verdicts(probe)


def verdicts(probe: Probe) -> Iterator[Verdict]:
    try:
        for promise in PROMISES:
            verdict = judged(promise, probe)
            yield verdict
            if verdict.promise is CONDITIONS:
                return
    finally:
        left = probe.cleaned()
    if left:
        yield Verdict(CLEAN, False, f"{len(left)} objects could not be removed, for example {left[0]}")


def judged(promise: Promise, probe: Probe) -> Verdict:
    try:
        return Verdict(promise, True, promise.kept(probe))
    except Unsupported as error:
        return Verdict(CONDITIONS, False, error.why)
    except (Broken, SamaraError) as error:
        return Verdict(promise, False, str(error))
    except Exception as error:  # noqa: BLE001  # whatever a strange service makes of us is what we are here to see
        return Verdict(promise, False, f"answered in a way that nobody understands ({type(error).__name__}: {error})")


def creates_once(probe: Probe) -> str:
    key = probe.key("created")
    probe.store.create(key, b"first")
    refused(lambda: probe.store.create(key, b"second"), "wrote over an object that was there")
    holds(probe, key, b"first")
    return "a second write at the same key is refused"


def replaces_only_what_was_read(probe: Probe) -> str:
    key = probe.key("replaced")
    first = probe.store.create(key, b"1")
    second = probe.store.replace(key, b"2", first)
    if second == first:
        raise Broken("gave two writes one version")
    refused(lambda: probe.store.replace(key, b"3", first), "wrote over a newer version than the one that was read")
    holds(probe, key, b"2")
    absent = probe.key("absent")
    refused(lambda: probe.store.replace(absent, b"x", first), "replaced an object that was not there")
    return "a write over an older version is refused"


def deletes_only_what_was_read(probe: Probe) -> str:
    key = probe.key("deleted")
    first = probe.store.create(key, b"1")
    second = probe.store.replace(key, b"2", first)
    refused(lambda: probe.store.delete(key, first), "removed a newer version than the one that was read")
    holds(probe, key, b"2")
    probe.store.delete(key, second)
    missing(probe, key)
    return "a removal of an older version is refused"


def commits_large_objects_once(probe: Probe) -> str:
    key = probe.key("large")
    probe.store.create_from(key, io.BytesIO(b"a" * LARGE))
    refused(lambda: probe.store.create_from(key, io.BytesIO(b"b" * LARGE)), "wrote over a large object that was there")
    if probe.store.head(key).size != LARGE or probe.store.part(key, LARGE - 2, 9).data != b"aa":
        raise Broken("does not hold what was uploaded in parts")
    return f"{LARGE >> 20} MiB in parts appear at once, and only where nothing was"


def lets_one_of_many_win(probe: Probe) -> str:
    key = probe.key("raced")
    alone(race(lambda number: probe.store.create(key, b"%d" % number)), "created one object")
    now = probe.store.get(key)
    alone(race(lambda number: probe.store.replace(key, b"new %d" % number, now.version)), "replaced one version")
    return f"of {WRITERS} who write at once exactly one wins"


def shows_what_was_written(probe: Probe) -> str:
    for number in range(ROUNDS):
        key = probe.key(f"listed/{number:03d}")
        version = probe.store.create(key, b"%d" % number)
        if key not in set(probe.store.list(probe.prefix)):
            raise Broken("does not list what has just been written")
        if number % 2:
            probe.store.delete(key, version)
            missing(probe, key)
    found = list(probe.store.list(f"{probe.prefix}listed/", after=f"{probe.prefix}listed/003"))
    if found != [f"{probe.prefix}listed/{number:03d}" for number in range(4, ROUNDS, 2)]:
        raise Broken("does not list keys in their order, or not after a given one")
    return "each write and removal shows in the next listing, in order"


def tells_what_went_wrong(probe: Probe) -> str:
    missing(probe, probe.key("never written"))
    if list(probe.store.list(f"{probe.prefix}nothing/")):
        raise Broken("lists what is not there")
    odd = probe.key("odd/ä b+%20&?#日")
    probe.store.create(odd, b"")
    holds(probe, odd, b"")
    if odd not in set(probe.store.list(probe.prefix)):
        raise Broken(f"lists {odd} under another name")
    return "absent is told from forbidden, and odd names stay as they are"


def answers_in_time(probe: Probe) -> str:
    """Not a promise but a figure: what one pays for each step."""
    key, head = probe.key("timed"), probe.key("timed head")
    version = probe.store.create(head, b"0")
    took: dict[str, list[float]] = {"create": [], "get": [], "replace": [], "list": []}
    for number in range(ROUNDS):
        fresh = probe.key(f"timed/{number}")
        timed(took["create"], lambda fresh=fresh: probe.store.create(fresh, b"x" * 1024))  # type: ignore[misc]  # mypy cannot infer it
        timed(took["get"], lambda fresh=fresh: probe.store.get(fresh))  # type: ignore[misc]  # the same
        timed(took["list"], lambda: list(probe.store.list(key)))
        started = time.perf_counter()
        version = probe.store.replace(head, b"%d" % number, version)
        took["replace"].append(time.perf_counter() - started)
    return ", ".join(f"{verb} {median(times) * 1000:.1f} ms" for verb, times in took.items())


def refused(write: Callable[[], object], instead: str) -> None:
    with suppress(Conflict):
        write()
        raise Broken(instead)


def holds(probe: Probe, key: str, data: bytes) -> None:
    if probe.store.get(key).data != data:
        raise Broken(f"does not hold at {key} what was written there last")


def missing(probe: Probe, key: str) -> None:
    with suppress(NotFound):
        probe.store.get(key)
        raise Broken(f"still holds {key}, which was removed or never written")


def race(write: Callable[[int], Version]) -> int:
    """How many of the writers, who start together, were told that they had won."""
    start = Barrier(WRITERS)

    def won(number: int) -> bool:
        start.wait(timeout=60)
        try:
            write(number)
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(WRITERS) as writers:
        return sum(writers.map(won, range(WRITERS)))


def alone(winners: int, what: str) -> None:
    if winners != 1:
        raise Broken(f"{winners} of {WRITERS} writers at once were told that they had {what}")


def timed(times: list[float], verb: Callable[[], object]) -> None:
    started = time.perf_counter()
    verb()
    times.append(time.perf_counter() - started)


QUICK = (
    Promise("create-if-absent", "anything: records and payloads would overwrite each other", creates_once),
    Promise("replace", "aliases, contracts and definitions: promotions would get lost", replaces_only_what_was_read),
    Promise("delete", "retention and compaction: it could remove what it has not read", deletes_only_what_was_read),
)
PROMISES = (
    *QUICK,
    Promise("multipart commit", "objects above 8 MiB: datasets and models", commits_large_objects_once),
    Promise(f"{WRITERS}-writer race", "more than one function at a time", lets_one_of_many_win),
    Promise("list-after-write", "reconcile, which finds unfinished work by listing", shows_what_was_written),
    Promise("errors", "telling what is absent from what is forbidden", tells_what_went_wrong),
    Promise("latency", "anything, as long as it does not answer", answers_in_time),
)
CONDITIONS = Promise("conditions on writes", "anything but taking in from and copying to", lambda _: "")
CLEAN = Promise("clean-up", "trying it out again at no cost", lambda _: "")
