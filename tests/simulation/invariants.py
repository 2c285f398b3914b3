"""What must be true whatever went wrong: of each write when it is made, and of the whole bucket when all is quiet."""

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime

from functions.reconcile.handler import ENDED
from samara import admin
from samara.core import keys, lineage
from samara.core.aliases import Aliases
from samara.core.records import (
    Alert,
    Batch,
    Capture,
    Feedback,
    ModelVersion,
    Quarantine,
    Receipt,
    Result,
    Scores,
    Submission,
    Validation,
)
from samara.ports import Job, JobStatus
from tests.simulation import answers, champions, drifted
from tests.simulation.found import HEADS, Found
from tests.simulation.people import MODEL, People
from tests.simulation.suite import Suite

LOST = ENDED.format(JobStatus.LOST.value)


def watched(suite: Suite) -> Callable[[str, bytes | None, bytes], None]:
    """Looks at each write as it is made."""

    def look(key: str, before: bytes | None, after: bytes) -> None:
        if before is not None and not key.startswith(HEADS):
            suite.world.wrong.append(f"{key} never changes, and was overwritten")
        if key.startswith(keys.ALIASES):
            was = Aliases.read(before, key).moves if before is not None else ()
            moves = Aliases.read(after, key).moves
            if moves[: len(was)] != was or len(moves) != len(was) + 1:
                suite.world.wrong.append(
                    f"{key}: its history had {len(was)} moves, and a write made other {len(moves)}"
                )
            if [move.number for move in moves] != list(range(1, len(moves) + 1)):
                suite.world.wrong.append(f"{key}: its moves are not numbered from 1 without gaps")

    return look


def claimed(suite: Suite, job: Job) -> None:
    """Looks at each job as it is handed over."""
    if suite.bucket.find(keys.submission(job.arguments[0])) is None:
        suite.world.wrong.append(f"job {job.name} was handed over before anybody claimed it")


def every_upload_is_accounted_for(found: Found) -> Iterator[str]:
    for key in found.all:
        if key.startswith(keys.LANDING):
            receipt = found.at(keys.Landed(key).receipt(found.app.store.head(key).version))
            if not isinstance(receipt, Receipt):
                yield f"the upload {key} has no receipt"
                continue
            came = found.at(receipt.made_from[0].key)
            if not isinstance(came, (Batch, Quarantine)):
                yield f"the receipt of {key} names {receipt.made_from[0].key}, which is not there"
            elif isinstance(came, Quarantine) and not came.reasons:
                yield f"the upload {key} is in quarantine without a reason"
            elif isinstance(came, Batch) and came.refused and not quarantined(found, came.source):
                yield f"the rows refused of {key} are nowhere"


def quarantined(found: Found, source: str) -> bool:
    return any(isinstance(r, Quarantine) and r.source == source and r.reasons for r in found.records.values())


def every_batch_is_measured(found: Found) -> Iterator[str]:
    for key, batch in found.records.items():
        if isinstance(batch, Batch) and keys.contract_head(batch.dataset) in found.all:
            validation = found.at(keys.validation(key))
            if not isinstance(validation, Validation):
                yield f"the batch {key} has no validation"
            elif validation.refused_rows and not quarantined(found, batch.source):
                yield f"the rows refused of {key} are nowhere"


def every_cause_has_one_decision_and_every_decision_one_run(found: Found) -> Iterator[str]:
    accepted = [r for r in found.records.values() if isinstance(r, Validation) and r.verdict == "accepted"]
    if accepted and found.defined and keys.decision(MODEL, "first") not in found.decisions:
        yield "there is an accepted batch, and nobody decided about the first training"
    for cause, count in Counter(decision.cause for decision in found.decisions.values()).items():
        if count > 1:
            yield f"there are {count} decisions about {cause}"
    wanted = {d.plan.run for d in found.decisions.values() if d.plan}
    there = Counter(run.run for run in found.runs.values())
    if set(there) != wanted or len(there) != len(found.runs):
        yield f"the runs {sorted(there)} are not those that were decided, {sorted(wanted)}"
    for cause, count in Counter(run.cause for run in found.runs.values()).items():
        if count > 1:
            yield f"there are {count} runs because of {cause}"


def every_job_was_wanted_and_came_to_an_end(found: Found) -> Iterator[str]:
    ends = ends_of_jobs(found)
    names = {f"{keys.owner(key)}-{keys.stem(key)}" for key in ends}
    if set(found.suite.service.jobs) - names:
        yield f"there are jobs that nobody wanted: {sorted(set(found.suite.service.jobs) - names)}"
    for key, end in ends.items():
        if not isinstance(found.at(keys.submission(key)), Submission):
            yield f"{key} was never claimed"
        if end not in found.records:
            yield f"{key} never came to an end"


def ends_of_jobs(found: Found) -> dict[str, str]:
    """Each run and scoring with what its job is to come to."""
    return {**{key: keys.result(key) for key in found.runs}, **{key: keys.scores(key) for key in found.scorings}}


def a_lost_job_is_waited_for(found: Found) -> Iterator[str]:
    """A job nobody knows of is started again, and given up only when it could have ended an hour ago."""
    for key, end in ends_of_jobs(found).items():
        claim, ended = found.at(keys.submission(key)), found.at(end)
        if isinstance(claim, Submission) and isinstance(ended, (Result, Scores)) and ended.why == LOST:
            waited = datetime.fromisoformat(str(ended.noted["at"])) - datetime.fromisoformat(str(claim.noted["at"]))
            due_s = float(str(claim.noted["time_limit_s"])) + 3600.0
            if waited.total_seconds() < due_s:
                yield f"{key} was given up {waited} after it was claimed, and was to be waited for {due_s:.0f} s"


def versions_are_numbered_without_gaps_one_for_each_run(found: Found) -> Iterator[str]:
    numbers = [version.version for version in found.versions.values()]
    if numbers != list(range(1, len(numbers) + 1)) or any(
        key != keys.version(MODEL, version.version) for key, version in found.versions.items()
    ):
        yield f"the versions are numbered {numbers}"
    succeeded = sorted(result.run for result in found.results.values() if result.status == "succeeded")
    registered = sorted(version.run for version in found.versions.values())
    if registered != succeeded:
        yield f"the runs {succeeded} succeeded, and {registered} are versions"


def what_was_given_up_is_told(found: Found) -> Iterator[str]:
    """Unless who tells people could not do its work on that either."""
    told = {(alert.subject, alert.what) for alert in found.of(Alert).values()}
    for lost in found.suite.given_up:
        alert = (lost.subject or lost.function, f"{lost.function} {lost.what}")
        if alert not in told and lost not in found.suite.untold:
            yield f"{lost.function} could not do its work on {lost.subject or 'a tick'}, and nobody was told"


def every_record_names_what_is_there(found: Found) -> Iterator[str]:
    """Each link of each record, once: together these are the trails from all of them."""
    known: set[tuple[str, str | None]] = set()
    for key, record in found.records.items():
        for wanted in lineage.names(record):
            identity = (wanted.key, wanted.digest)
            if identity in known:
                continue
            known.add(identity)
            step, _ = lineage.examined(wanted, lambda name: found.app.store.get(name).data, found.app.digest_of)
            if not step.verified and step.problem != lineage.REPLACED:
                yield f"{key} names {step.kind} {step.key}, and it is {step.problem}"


def a_trail_is_whole(found: Found) -> Iterator[str]:
    """The walk itself, from the last that can be asked about."""
    starts = [key for key, record in found.records.items() if isinstance(record, (Feedback, Capture, ModelVersion))]
    for key in starts[:1]:
        trail = admin.why(found.app, key)
        wrong = [step for step in trail.problems if step.problem != lineage.REPLACED]
        if wrong or trail.cut:
            yield f"the trail of {key}: {trail.summary}"


INVARIANTS: tuple[Callable[[Found], Iterator[str]], ...] = (
    every_upload_is_accounted_for,
    every_batch_is_measured,
    every_cause_has_one_decision_and_every_decision_one_run,
    every_job_was_wanted_and_came_to_an_end,
    a_lost_job_is_waited_for,
    versions_are_numbered_without_gaps_one_for_each_run,
    champions.the_aliases_have_a_linear_history,
    champions.the_champion_earned_it,
    champions.a_rollback_brings_the_champion_before,
    champions.who_else_answers_is_as_people_said,
    champions.what_people_were_told_is_true,
    answers.no_acknowledged_answer_is_lost,
    answers.no_truth_is_kept_more_often_than_it_was_said,
    answers.every_batch_asked_about_is_answered_once,
    drifted.every_report_counts_what_it_lists,
    drifted.every_report_is_about_who_answered_most,
    drifted.the_last_word_counts,
    drifted.every_drift_leads_to_one_training_or_a_reason,
    drifted.a_training_cools_down,
    drifted.a_training_waits_for_what_is_decided_about_earlier_windows,
    answers.every_hour_is_asked_of_the_shadow_once,
    what_was_given_up_is_told,
    every_record_names_what_is_there,
    a_trail_is_whole,
)


def broken(suite: Suite, people: People) -> Iterator[str]:
    """Everything that is not as it must be, in words."""
    found = Found(suite, people)
    for invariant in INVARIANTS:
        yield from invariant(found)
