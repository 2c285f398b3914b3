"""Mistakes one could make in this code, each planted on purpose, to see whether the simulation finds it.

A simulation that finds nothing proves nothing until it has found these. The first line of each says what would go
wrong.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from typing import Any
from unittest.mock import patch

from functions.drift import handler as drift
from functions.ingest import handler as ingest
from functions.predict import capturing
from functions.predict import handler as predict
from functions.reconcile import handler as reconcile
from functions.reconcile import rules
from functions.register import handler as register
from functions.train import handler as train
from functions.train import plan
from functions.validate import handler as validate
from samara.app import App
from samara.core import aliases, keys, windows
from samara.core.digests import short
from samara.core.heads import Head
from samara.core.records import ModelVersion, Plan, Result
from samara.errors import Conflict, SamaraError, Unavailable
from samara.ports import Job, Version
from tests.simulation.world import here

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


def swap_knows_no_write_ids() -> Iterator[Patch]:
    """A lost answer to a swap is taken for a lost race: a person's word is carried out twice, or denied."""
    yield Head, "holds", lambda *_: False
    yield Head, "remembers", lambda *_: True


def swap_forgets_earlier_writes() -> Iterator[Patch]:
    """A lost answer is recognised only until somebody else writes; then the change is made a second time."""
    yield Head, "holds", lambda head, write_ids: head.write_id in set(write_ids)
    yield Head, "remembers", lambda *_: True


def head_overwritten_blindly() -> Iterator[Patch]:
    """Of two who change a head at once, one is forgotten."""
    real = App.swap
    yield App, "swap", lambda app, *given, **named: real(app._replace(store=Blind(app.store)), *given, **named)


def moved_without_looking_for_the_cause() -> Iterator[Patch]:
    """An event that comes twice moves the aliases twice."""
    yield aliases.Aliases, "caused", lambda *_: False


def champion_without_comparison() -> Iterator[Patch]:
    """A version that beat an earlier champion takes the place of a later one that it never met."""
    real = aliases.registered
    yield register, "registered", lambda now, *given, **named: real(now, *given, **{**named, "over": now.champion})


def capture_after_the_response() -> Iterator[Patch]:
    """Who is killed between answer and capture has answered and left no trace."""
    real = capturing.captured

    def captured(works: Any, app: App) -> None:
        store, task = Putting(app.store, keys.CAPTURES), here()
        real(works, app._replace(store=store))
        assert task is not None
        task.afterwards.append(store.catch_up)

    yield predict, "captured", captured


def capture_as_best_effort() -> Iterator[Patch]:
    """A capture that cannot be written is let go for the sake of the answer."""
    real, keep, keep_named = App.write, capturing.keep, capturing.keep_named

    def write(app: App, key: str, record: Any) -> Any:
        try:
            return real(app, key, record)
        except SamaraError:
            if not key.startswith(keys.FEEDBACK):
                raise
            return record

    def kept(works: Any, app: App) -> None:
        before = [work.error for work in works]
        keep(works, app)
        for work, error in zip(works, before, strict=True):
            work.error, work.capture = error, work.capture or "nowhere"

    def kept_named(work: Any, app: App) -> None:
        keep_named(work, app)
        work.error, work.capture = None, work.capture or "nowhere"

    yield App, "write", write
    yield capturing, "keep", kept
    yield capturing, "keep_named", kept_named


def uploads_not_reconciled() -> Iterator[Patch]:
    """An upload whose notification is lost is never read."""
    yield rules, "unread", nothing


def batches_not_reconciled() -> Iterator[Patch]:
    """A batch whose notification is lost is never validated."""
    yield rules, "unvalidated", nothing


def causes_not_reconciled() -> Iterator[Patch]:
    """A validation or a drift report whose notification is lost never leads to a training."""
    yield rules, "undecided", nothing


def jobs_not_reconciled() -> Iterator[Patch]:
    """A decision whose author was killed, or whose job died, never comes to a result."""
    yield reconcile, "unsubmitted", nothing


def results_not_reconciled() -> Iterator[Patch]:
    """A result whose notification is lost never becomes a version."""
    yield rules, "unregistered", nothing


def moves_not_reconciled() -> Iterator[Patch]:
    """A version whose author was killed before the aliases heard of it is never served."""
    yield rules, "unmoved", nothing


def version_number_by_clock() -> Iterator[Patch]:
    """Versions have gaps, and two instances whose clocks differ give one run two numbers."""

    def numbered(key: str, result: Result, at: datetime, app: App) -> ModelVersion:
        versions = list(app.store.list(f"{keys.MODELS}{result.model}/"))
        if done := register.version_of(result, versions, app):
            return done
        judged = register.unnumbered(register.candidate(key, result, app), at, app)
        version = judged.model_copy(update={"version": int(at.timestamp())})
        return app.write(keys.version(result.model, version.version), version)

    yield register, "numbered", numbered


def version_number_by_counting() -> Iterator[Patch]:
    """Who loses a number takes the next without looking again: one run becomes two versions."""

    def numbered(key: str, result: Result, at: datetime, app: App) -> ModelVersion:
        versions = list(app.store.list(f"{keys.MODELS}{result.model}/"))
        if done := register.version_of(result, versions, app):
            return done
        judged = register.unnumbered(register.candidate(key, result, app), at, app)
        for number in range(len(versions) + 1, len(versions) + 100):
            version = judged.model_copy(update={"version": number})
            with suppress(Conflict):
                app.store.create(keys.version(result.model, number), version.to_bytes())
                return version
        raise Unavailable(result.model)

    yield register, "numbered", numbered


def run_named_at_random() -> Iterator[Patch]:
    """The same plan, carried out twice, is two runs and two jobs."""
    real = vars(Plan)["run"].fget
    yield Plan, "run", property(lambda plan: short(real(plan), task.name if (task := here()) else ""))


def job_named_at_random() -> Iterator[Patch]:
    """A run handed over twice is trained twice."""
    real = plan.job

    def job(*given: Any) -> Job:
        wanted, task = real(*given), here()
        assert task is not None
        return wanted._replace(name=f"{wanted.name}-{short(task.name)}")

    yield train, "job", job


def claim_after_the_job() -> Iterator[Patch]:
    """A job runs that nobody has claimed, and could end unseen."""
    yield train, "carried_out", last(train.carried_out, keys.JOBS)


def decision_not_pinned() -> Iterator[Patch]:
    """Two instances that saw different batches carry out each its own decision: one cause, two runs."""
    real = App.write

    def write(app: App, key: str, record: Any) -> Any:
        found = real(app, key, record)
        return record if key.startswith(keys.DECISIONS) else found

    yield App, "write", write


def drift_episode_named_by_time() -> Iterator[Patch]:
    """Each tick measures the same window again under another name, and each may lead to a training."""

    class Keys:
        def __getattr__(self, name: str) -> Any:
            return getattr(keys, name)

        def drift(self, model: str, _window: windows.Window) -> str:
            task = here()
            assert task is not None
            return keys.drift(model, windows.window(task.world.at, "hour"))

    yield drift, "keys", Keys()


def receipt_before_the_batch() -> Iterator[Patch]:
    """Who is killed between receipt and batch has lost an upload, for its receipt says that it was read."""
    yield ingest, "receipt", last(ingest.receipt, keys.DATASETS)


def quarantine_after_the_validation() -> Iterator[Patch]:
    """Who is killed between validation and quarantine has refused rows without saying which or why."""
    yield validate, "measured", last(validate.measured, keys.QUARANTINE)


BUGS: dict[str, Bug] = {
    bug.__name__: bug
    for bug in (
        swap_knows_no_write_ids,
        swap_forgets_earlier_writes,
        head_overwritten_blindly,
        moved_without_looking_for_the_cause,
        champion_without_comparison,
        capture_after_the_response,
        capture_as_best_effort,
        uploads_not_reconciled,
        batches_not_reconciled,
        causes_not_reconciled,
        jobs_not_reconciled,
        results_not_reconciled,
        moves_not_reconciled,
        version_number_by_clock,
        version_number_by_counting,
        run_named_at_random,
        job_named_at_random,
        claim_after_the_job,
        decision_not_pinned,
        drift_episode_named_by_time,
        receipt_before_the_batch,
        quarantine_after_the_validation,
    )
}


@contextmanager
def planted(name: str) -> Iterator[None]:
    """The bug of that name in the code while this lasts; without a name none."""
    with ExitStack() as stack:
        for owner, what, put in BUGS[name]() if name else ():
            stack.enter_context(patch.object(owner, what, put))
        yield
