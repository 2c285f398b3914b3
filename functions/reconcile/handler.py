"""Reconcile: find what has no successor, and ask for the function that should have made it.

Wakes on  the clock, every minute on a laptop and every quarter of an hour in a cloud
Reads     the listings of landing/ … drift/, and the few records that say whether something is still to come
Writes    results/{model}/{run}.json for a job that died without one, which wakes `register`
      or  scores/{model}/{scoring}.json, likewise
     and  alerts/… for what only a person can mend
Returns   the wakes it asks the platform for

Delivered twice, it asks twice, and whoever is woken finds the work done. With nothing to mend it lists, and asks of
about a thousand uploads whether they have been replaced: of many more, each has its turn within some ticks.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime

from functions.reconcile import rules
from samara.ahead import ahead
from samara.app import AnyRecord, App
from samara.core import keys
from samara.core.aliases import Aliases
from samara.core.definition import Definition, parse
from samara.core.heads import ModelHead
from samara.core.records import Decision, ModelVersion, Result, Run, Scores, Scoring, Submission, Validation
from samara.entry import on_tick
from samara.errors import NotFound, Rejected
from samara.events import Tick, Wake
from samara.ports import JobStatus

AT_ONCE = 1_000  # uploads asked for at one tick, each of which takes a request: in all a twentieth of the time there is
NEWEST_DECISIONS = 50  # about windows of a model: older ones have long led to their run
ALIVE = (JobStatus.QUEUED, JobStatus.RUNNING)
ENDED = "the batch service says {}, and there is no result; the job's log says more"
LOST_FOR_GOOD_S = 3600.0  # a job nobody knows of, beyond its time limit, before we stop starting it again


def run(event: Tick, app: App) -> list[Wake]:
    definitions = list(defined(app, event.at))
    uploads = rules.taking_turns(app.store.list(keys.LANDING), event.at, AT_ONCE)
    landed = {key: receipt for key in uploads if (receipt := expected_receipt(app, key))}
    batches, validations = list(app.store.list(keys.DATASETS)), list(app.store.list(keys.VALIDATIONS))
    decisions, results = list(app.store.list(keys.DECISIONS)), list(app.store.list(keys.RESULTS))
    reports, scorings = app.store.list(keys.DRIFT), app.store.list(keys.SCORINGS)

    wakes = [
        *rules.unread(landed, frozenset(app.store.list(keys.RECEIPTS))),
        *rules.unvalidated(batches, frozenset(validations)),
        *worth_training(app, rules.undecided(definitions, validations, reports, frozenset(decisions)), event.at),
        *unsubmitted(app, decisions, frozenset(results), event.at),
        *unscored(app, rules.unanswered(scorings, frozenset(app.store.list(keys.SCORES))), event.at),
        *unfinished_registrations(app, results, event.at),
    ]

    return list(dict.fromkeys(wakes))


def expected_receipt(app: App, key: str) -> str | None:
    """The receipt that the present write of an upload should have, or None when it is gone or a folder marker."""
    if key.endswith("/"):
        return None
    try:
        return keys.Landed(key).receipt(app.store.head(key).version)
    except (NotFound, Rejected):
        return None


def intact(app: App, kind: type[AnyRecord], found: Iterable[str], at: datetime) -> Iterator[tuple[str, AnyRecord]]:
    """The records at these keys; one that was altered is a person's business, and does not stop the others."""

    def read(key: str) -> AnyRecord | NotFound | Rejected:
        try:
            return app.read(kind, key)
        except (NotFound, Rejected) as error:
            return error

    for key, record in ahead(read, found, app.at_once):
        if isinstance(record, NotFound | Rejected):
            app.alert(key, "unreadable record", str(record), at)
        else:
            yield key, record


def defined(app: App, at: datetime) -> Iterator[Definition]:
    """Every model's definition; one that cannot be read is said so, and does not stop the others."""
    for key in app.store.list(f"{keys.CONFIG}models/"):
        try:
            head = app.find_head(ModelHead, key)
            if head is not None:
                yield parse(app.blob(head.definition), key)
        except (NotFound, Rejected) as error:
            app.alert(key, "unreadable definition", str(error), at)


def worth_training(app: App, wakes: Iterable[Wake], at: datetime) -> Iterator[Wake]:
    """Without those for refused batches, which train would look at once a minute, for ever, and leave alone."""
    for wake in wakes:
        found = intact(app, Validation, [wake.key] if wake.key.startswith(keys.VALIDATIONS) else [], at)
        if not wake.key.startswith(keys.VALIDATIONS) or any(record.verdict == "accepted" for _, record in found):
            yield wake


def unsubmitted(app: App, decisions: list[str], results: frozenset[str], at: datetime) -> Iterator[Wake]:
    """Decisions to train whose job never started or vanished. A job that died for good gets its `Result` here."""
    for model in dict.fromkeys(keys.owner(key) for key in decisions):
        mine = [key for key in decisions if keys.owner(key) == model]
        for key, decision in intact(app, Decision, rules.recent(mine, results, NEWEST_DECISIONS), at):
            if decision.plan is not None:
                run_key = keys.run(model, decision.plan.run)
                if keys.result(run_key) not in results and not under_way(app, run_key, at):
                    yield Wake("train", key)


def under_way(app: App, run_key: str, at: datetime) -> bool:
    """Whether a run needs no help: its job is alive, or has just been given the `Result` of the dead."""
    planned = next(intact(app, Run, existing(app, run_key), at), None)
    status = of_job(app, run_key, at)
    if planned is None or status is None:
        return False
    if status not in ALIVE:
        app.write(keys.result(run_key), died(app, planned[1], run_key, status, at))
    return True


def unscored(app: App, scorings: Iterable[str], at: datetime) -> Iterator[Wake]:
    """Scorings whose job never started or vanished. One whose job died for good gets its `Scores` here."""
    for key, scoring in intact(app, Scoring, scorings, at):
        status = of_job(app, key, at)
        if status is None:
            yield Wake("score", key)
        elif status not in ALIVE:
            app.write(keys.scores(key), unanswerable(app, scoring, key, status, at))


def of_job(app: App, key: str, at: datetime) -> JobStatus | None:
    """How the job of this run or scoring is; None when it has none, or lost it so lately that it should start again."""
    submission = next(intact(app, Submission, existing(app, keys.submission(key)), at), None)
    if submission is None:
        return None
    noted = submission[1].noted
    try:
        waited_s = (at - datetime.fromisoformat(str(noted["at"]))).total_seconds()
        patience_s = float(str(noted.get("time_limit_s", 0))) + LOST_FOR_GOOD_S
        status = app.jobs.status(str(noted["handle"]))
    except (KeyError, TypeError, ValueError):  # no digest guards what is noted; to start a job again changes nothing
        return None
    return None if status is JobStatus.LOST and waited_s < patience_s else status


def existing(app: App, key: str) -> Iterator[str]:
    return (found for found in app.store.list(key) if found == key)


def died(app: App, planned: Run, run_key: str, status: JobStatus, at: datetime) -> Result:
    """The result of a job that ended without one. Written create-only: one that came after all stays."""
    return Result(
        made_by=app.maker,
        made_from=(planned.link(run_key),),
        model=planned.model,
        run=planned.run,
        status="failed",
        why=ENDED.format(status.value),
        noted={"at": at.isoformat()},
    )


def unanswerable(app: App, scoring: Scoring, key: str, status: JobStatus, at: datetime) -> Scores:
    """The scores of a job that ended without any, written create-only as above."""
    return Scores(
        made_by=app.maker,
        made_from=(scoring.link(key), scoring.plan.version, scoring.plan.validation),
        model=scoring.model,
        version=scoring.version,
        scoring=scoring.scoring,
        status="failed",
        why=ENDED.format(status.value),
        noted={"at": at.isoformat()},
    )


def unfinished_registrations(app: App, results: list[str], at: datetime) -> Iterator[Wake]:
    """Results without a version, and versions the aliases have not heard of."""
    for model in dict.fromkeys(keys.owner(key) for key in results):
        mine = intact(app, Result, (key for key in results if keys.owner(key) == model), at)
        succeeded = [key for key, result in mine if result.status == "succeeded"]
        versions = [version for _, version in intact(app, ModelVersion, app.store.list(f"{keys.MODELS}{model}/"), at)]
        yield from rules.unregistered(succeeded, versions)
        yield from unmoved(app, model, versions, at)


def unmoved(app: App, model: str, versions: list[ModelVersion], at: datetime) -> Iterator[Wake]:
    """Versions that a model's aliases have not heard of; aliases that cannot be read do not stop other models."""
    key = keys.aliases(model)
    try:
        aliases = app.find_head(Aliases, key) or Aliases()
    except Rejected as error:
        app.alert(key, "unreadable aliases", str(error), at)
        return
    yield from rules.unmoved(versions, aliases)


handler = on_tick(run)
