"""Mistakes one could make in this code, each planted on purpose, to see whether the simulation finds it.

A simulation that finds nothing proves nothing until it has found these. The first line of each says what would go
wrong.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from typing import Any
from unittest.mock import patch

from functions.ingest import handler as ingest
from functions.reconcile import handler as reconcile
from functions.reconcile import rules
from functions.register import handler as register
from functions.train import handler as train
from functions.validate import handler as validate
from samara.app import App
from samara.core import aliases, keys
from samara.core.heads import Head
from samara.core.records import ModelVersion, Plan, Result
from samara.errors import Conflict, Unavailable
from tests.simulation import bugs_of_answers
from tests.simulation.tampered import Blind, Bug, Patch, last, named_at_random, nothing, submitted_at_random


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


def newest_decision_only() -> Iterator[Patch]:
    """A decision about a window is forgotten, carried out or not, as soon as there is one about a later window."""
    yield reconcile, "NEWEST_DECISIONS", 1


def lost_jobs_given_up_at_once() -> Iterator[Patch]:
    """A job that the batch service forgot is not started again."""
    yield reconcile, "LOST_FOR_GOOD_S", float("-inf")


def training_without_cooldown() -> Iterator[Patch]:
    """Each window that drifts trains, before the last training could show what it is worth."""
    yield train, "windows_trained", nothing


def windows_decided_one_by_one() -> Iterator[Patch]:
    """Two windows that one late tick reports both train, for who decides about one does not know of the other."""
    yield train, "waiting", nothing


def rollback_to_the_first_champion() -> Iterator[Patch]:
    """Who takes back the last champion gets the one that all began with."""
    real = aliases.succession
    yield aliases, "succession", lambda now: [*real(now)[:1], *real(now)[1:][-1:]]


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
    yield named_at_random(Plan, "run")


def job_named_at_random() -> Iterator[Patch]:
    """A run handed over twice is trained twice."""
    yield submitted_at_random(train)


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
        uploads_not_reconciled,
        batches_not_reconciled,
        causes_not_reconciled,
        jobs_not_reconciled,
        newest_decision_only,
        lost_jobs_given_up_at_once,
        training_without_cooldown,
        windows_decided_one_by_one,
        rollback_to_the_first_champion,
        results_not_reconciled,
        moves_not_reconciled,
        version_number_by_clock,
        version_number_by_counting,
        run_named_at_random,
        job_named_at_random,
        claim_after_the_job,
        decision_not_pinned,
        receipt_before_the_batch,
        quarantine_after_the_validation,
        bugs_of_answers.capture_after_the_response,
        bugs_of_answers.capture_as_best_effort,
        bugs_of_answers.truth_as_best_effort,
        bugs_of_answers.truth_kept_once,
        bugs_of_answers.scoring_named_at_random,
        bugs_of_answers.scoring_job_named_at_random,
        bugs_of_answers.scoring_claimed_after_the_job,
        bugs_of_answers.scorings_not_reconciled,
        bugs_of_answers.scores_before_the_answers,
        bugs_of_answers.drift_counts_a_row_too_many,
        bugs_of_answers.drift_counts_a_capture_twice,
        bugs_of_answers.first_truth_counts,
        bugs_of_answers.drift_episode_named_by_time,
        bugs_of_answers.shadow_report_named_by_time,
        bugs_of_answers.shadow_asked_about_the_last_hour_only,
        bugs_of_answers.shadow_put_out_by_a_new_version,
        bugs_of_answers.shares_outlive_their_champion,
        bugs_of_answers.alert_named_by_its_kind,
    )
}


@contextmanager
def planted(name: str) -> Iterator[None]:
    """The bug of that name in the code while this lasts; without a name none."""
    with ExitStack() as stack:
        for owner, what, put in BUGS[name]() if name else ():
            stack.enter_context(patch.object(owner, what, put))
        yield
