"""Reconcile heals what notifications lost: each test removes one successor and expects its maker to be woken."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Literal

import pytest

from functions.catalogue import CATALOGUE
from functions.reconcile import handler
from functions.reconcile.handler import LOST_FOR_GOOD_S, NEWEST_DECISIONS, run
from functions.reconcile.rules import taking_turns
from samara.app import App
from samara.catalogue import named
from samara.core import aliases, keys
from samara.core.aliases import Aliases
from samara.core.digests import digest
from samara.core.heads import ModelHead
from samara.core.records import (
    Alert,
    Batch,
    Decision,
    Link,
    ModelVersion,
    Parity,
    Plan,
    Receipt,
    Result,
    Run,
    Scores,
    Scoring,
    ScoringPlan,
    Signature,
    Submission,
    Validation,
)
from samara.core.sealed import Maker
from samara.core.windows import Window
from samara.events import Tick, Wake
from samara.ports import Job, JobStatus, Meta
from samara.providers.memory import MemoryJobs, MemoryStore
from tests.conftest import NOON

SOME = digest(b"some")
DEFINITION = b"""
model: late
dataset: flights
target: late
task: classification
gates: {metric: auc}
"""
PLAN = Plan(
    definition=SOME,
    bundle=SOME,
    validations=(Link(key="validations/flights/1.json", digest=SOME),),
    parts=(),
    holdout=(),
)
RUN_KEY = keys.run("late", PLAN.run)
PARITY = Parity(rows=1, largest_difference=0.0, tolerance=1e-4, agreed=True)


@pytest.fixture
def app(acting_as: Callable[[str], App]) -> App:
    return acting_as("reconcile")


def define(whole: App, data: bytes = DEFINITION) -> None:
    head = ModelHead(definition=whole.keep(data), bundle=SOME)
    whole.swap(ModelHead, keys.model_head("late"), lambda now: now, start=head)


def a_batch(whole: App) -> str:
    key = keys.batch("flights", SOME)
    record = Batch(
        made_by=whole.maker, dataset="flights", source=SOME, source_size=1, format="csv", columns=(), rows=0, parts=()
    )
    whole.write(key, record)
    return key


def a_validation(whole: App, verdict: Literal["accepted", "refused"] = "accepted") -> str:
    key = keys.validation(keys.batch("flights", SOME))
    record = Validation(
        made_by=whole.maker, dataset="flights", batch="1", contract=SOME, verdict=verdict, checks=(), rows=1,
        refused_rows=0, parts=(), profile=None,
    )  # fmt: skip
    whole.write(key, record)
    return key


def a_decision(whole: App) -> str:
    key = keys.decision("late", "first")
    whole.write(key, Decision(made_by=whole.maker, model="late", cause="first", why="first data", plan=PLAN))
    return key


def a_submitted_run(whole: App, **more: float) -> None:
    a_decision(whole)
    whole.write(RUN_KEY, Run(made_by=whole.maker, model="late", run=PLAN.run, cause="first", plan=PLAN))
    noted = {"handle": "late-job", "at": NOON.isoformat(), **more}
    whole.write(keys.submission(RUN_KEY), Submission(made_by=whole.maker, model="late", run=PLAN.run, noted=noted))


def a_result(whole: App) -> str:
    key = keys.result(RUN_KEY)
    whole.write(key, Result(made_by=whole.maker, model="late", run=PLAN.run, status="succeeded", artifact=SOME))
    return key


def a_version(whole: App) -> ModelVersion:
    record = ModelVersion(
        made_by=whole.maker, model="late", version=1, run=PLAN.run, artifact=SOME,
        signature=Signature(inputs=(), outputs=()), metrics={}, parity=PARITY, baseline=SOME, compared_with=None,
        compared_metrics={}, gates=(),
    )  # fmt: skip
    return whole.write(keys.version("late", 1), record)


def test_an_empty_bucket_needs_nothing(app: App) -> None:
    assert run(Tick(NOON), app) == []


def test_a_refused_batch_is_no_reason_to_train_once_a_minute_for_ever(app: App, whole: App) -> None:
    define(whole)
    a_validation(whole, "refused")

    assert run(Tick(NOON), app) == []


def test_an_upload_nobody_was_told_of_is_ingested(app: App, whole: App) -> None:
    whole.store.create("landing/flights/january.csv", b"a\n1\n")

    assert run(Tick(NOON), app) == [Wake("ingest", "landing/flights/january.csv")]


def test_an_upload_with_a_receipt_is_left_alone_until_it_is_replaced(app: App, whole: App) -> None:
    key = "landing/flights/january.csv"
    version = whole.store.create(key, b"a\n1\n")
    receipt = Receipt(made_by=whole.maker, source_key=key, outcome="batch")
    whole.write(keys.Landed(key).receipt(version), receipt)
    before = run(Tick(NOON), app)

    whole.store.replace(key, b"a\n2\n", version)

    assert before == []
    assert run(Tick(NOON), app) == [Wake("ingest", key)]


class Counting(MemoryStore):
    """A bucket that counts how often it is asked which write of an object it holds."""

    asked = 0

    def head(self, key: str) -> Meta:
        self.asked += 1
        return super().head(key)


@pytest.mark.parametrize("minutes", [1, 15], ids=["on a laptop", "in a cloud"])
def test_among_many_uploads_few_are_asked_for_at_each_tick_and_a_lost_one_is_found_all_the_same(
    minutes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handler, "AT_ONCE", 100)
    store = Counting()
    whole = App(store, MemoryJobs(), Maker(function="test", code="0" * 64))
    for number in range(800):
        key = f"landing/flights/{number}.csv"
        version = store.create(key, b"a\n1\n")
        whole.write(keys.Landed(key).receipt(version), Receipt(made_by=whole.maker, source_key=key, outcome="batch"))
    store.replace("landing/flights/7.csv", b"a\n2\n", version)

    wakes, asked = [], []
    for tick in range(8):
        store.asked = 0
        wakes += run(Tick(NOON + tick * timedelta(minutes=minutes)), whole.acting_as(named(CATALOGUE, "reconcile")))
        asked.append(store.asked)

    assert wakes == [Wake("ingest", "landing/flights/7.csv")]
    assert sum(asked) == 800, "each of them once"
    assert max(asked) < 150, "about as many as it should at once"


def test_uploads_that_come_and_go_delay_no_other_ones_turn() -> None:
    steady = [f"landing/flights/{number}.csv" for number in range(900)]

    seen = set[str]()
    for minute in range(16):
        newer = [f"landing/faults/{number}.csv" for number in range(minute)]
        seen.update(taking_turns(newer + steady, NOON + timedelta(minutes=minute), 60))

    assert seen.issuperset(steady)


def test_a_batch_without_a_validation_is_validated(app: App, whole: App) -> None:
    assert [wake.function for wake in (a_batch(whole), run(Tick(NOON), app))[1]] == ["validate"]


def test_a_defined_model_without_a_first_training_is_decided_on(app: App, whole: App) -> None:
    define(whole)
    key = a_validation(whole)

    assert run(Tick(NOON), app) == [Wake("train", key)]


def test_a_definition_that_cannot_be_read_is_an_alert_and_stops_nothing_else(app: App, whole: App) -> None:
    define(whole, b"model: [")
    whole.store.create("landing/flights/january.csv", b"a\n1\n")

    wakes = run(Tick(NOON), app)

    alerts = [whole.read(Alert, key) for key in whole.store.list(keys.ALERTS)]
    assert [alert.what for alert in alerts] == ["unreadable definition"]
    assert wakes == [Wake("ingest", "landing/flights/january.csv")]


def test_a_decision_that_never_became_a_job_is_carried_out(app: App, whole: App) -> None:
    key = a_decision(whole)

    assert run(Tick(NOON), app) == [Wake("train", key)]


def test_a_job_that_is_alive_is_left_alone(app: App, whole: App, jobs: MemoryJobs) -> None:
    a_submitted_run(whole)
    jobs.submit(Job("late-job", "m", (), 60))

    assert run(Tick(NOON), app) == []


def test_a_job_that_vanished_is_started_again(app: App, whole: App) -> None:
    a_submitted_run(whole)

    assert run(Tick(NOON), app) == [Wake("train", keys.decision("late", "first"))]


@pytest.mark.parametrize("status", [JobStatus.FAILED, JobStatus.SUCCEEDED])
def test_a_job_that_ended_without_a_result_gets_one_that_says_so(
    app: App, whole: App, jobs: MemoryJobs, status: JobStatus
) -> None:
    a_submitted_run(whole)
    jobs.submit(Job("late-job", "m", (), 60))
    jobs.ended("late-job", status)

    run(Tick(NOON), app)

    result = whole.read(Result, keys.result(RUN_KEY))
    assert result.status == "failed"
    assert status.value in result.why


def test_a_job_that_keeps_vanishing_is_given_up(app: App, whole: App) -> None:
    a_submitted_run(whole)

    wakes = run(Tick(NOON + timedelta(seconds=LOST_FOR_GOOD_S + 1)), app)

    assert wakes == []
    assert whole.read(Result, keys.result(RUN_KEY)).status == "failed"


def test_a_job_that_vanished_within_its_time_limit_is_started_again_however_long_that_is(app: App, whole: App) -> None:
    a_submitted_run(whole, time_limit_s=86_400)

    wakes = run(Tick(NOON + timedelta(hours=24)), app)

    assert wakes == [Wake("train", keys.decision("late", "first"))]


@pytest.mark.parametrize("noted", [{}, {"handle": "late-job"}, {"handle": "late-job", "at": "yesterday"}])
def test_a_claim_that_somebody_altered_stops_nothing(app: App, whole: App, noted: dict[str, Any]) -> None:
    a_decision(whole)
    whole.write(RUN_KEY, Run(made_by=whole.maker, model="late", run=PLAN.run, cause="first", plan=PLAN))
    whole.write(keys.submission(RUN_KEY), Submission(made_by=whole.maker, model="late", run=PLAN.run, noted=noted))

    assert run(Tick(NOON), app) == [Wake("train", keys.decision("late", "first"))]


def test_what_somebody_asked_for_is_not_forgotten_behind_many_windows(app: App, whole: App) -> None:
    key = keys.decision("late", f"asked {PLAN.run}")
    whole.write(key, Decision(made_by=whole.maker, model="late", cause=f"asked {PLAN.run}", why="test", plan=PLAN))
    for hour in range(NEWEST_DECISIONS):
        cause = keys.drift("late", Window(f"2013-02-{1 + hour // 24:02}T{hour % 24:02}"))
        quiet = Decision(made_by=whole.maker, model="late", cause=cause, why="stable")
        whole.write(keys.decision("late", cause), quiet)

    before = run(Tick(NOON), app)
    a_result(whole)

    assert before == [Wake("train", key)]
    assert Wake("train", key) not in run(Tick(NOON), app)


def test_a_result_without_a_version_is_registered(app: App, whole: App) -> None:
    key = a_result(whole)

    assert run(Tick(NOON), app) == [Wake("register", key)]


def test_a_version_the_aliases_have_not_heard_of_is_registered_again(app: App, whole: App) -> None:
    key = a_result(whole)
    version = a_version(whole)
    before = run(Tick(NOON), app)

    moved = aliases.registered(Aliases(), 1, passed=True, at=NOON, cause=version.digest)
    whole.swap(Aliases, keys.aliases("late"), lambda _: moved)

    assert before == [Wake("register", key)]
    assert run(Tick(NOON), app) == []


def test_an_older_version_is_not_forgotten_because_a_later_one_was_quicker(app: App, whole: App) -> None:
    key = a_result(whole)
    first = a_version(whole)
    second = whole.write(keys.version("late", 2), first.model_copy(update={"version": 2, "run": "another"}))

    moved = aliases.registered(Aliases(), 2, passed=True, at=NOON, cause=second.digest)
    whole.swap(Aliases, keys.aliases("late"), lambda _: moved)

    assert run(Tick(NOON), app) == [Wake("register", key)]


def test_aliases_that_cannot_be_read_are_an_alert_and_stop_no_other_model(app: App, whole: App) -> None:
    key = a_result(whole)
    whole.store.create(keys.aliases("early"), b"half of it")
    whole.store.create(keys.result(keys.run("early", "r")), b"")

    wakes = run(Tick(NOON), app)

    assert {whole.read(Alert, found).subject for found in whole.store.list(keys.ALERTS)} >= {"aliases/early.json"}
    assert wakes == [Wake("register", key)]


def test_read_several_at_a_time_as_from_a_cloud_it_finds_the_same(app: App, whole: App) -> None:
    result, broken = a_result(whole), keys.version("late", 2)
    first = a_version(whole)
    whole.store.create(broken, b"")
    whole.write(keys.version("late", 3), first.model_copy(update={"version": 3, "run": "another"}))

    wakes = run(Tick(NOON), app._replace(at_once=8))

    assert wakes == [Wake("register", result), Wake("register", keys.result(keys.run("late", "another")))]
    assert [whole.read(Alert, found).subject for found in whole.store.list(keys.ALERTS)] == [broken]


def test_folder_markers_and_foreign_keys_are_not_uploads(app: App, whole: App, store: MemoryStore) -> None:
    store.create("landing/flights/.keep", b"")
    whole.store.create("landing/notes.txt", b"x")

    assert [wake.key for wake in run(Tick(NOON), app)] == ["landing/flights/.keep", "landing/notes.txt"]


def test_an_altered_record_is_an_alert_and_the_rest_is_healed_all_the_same(app: App, whole: App) -> None:
    whole.store.create(keys.decision("late", "first"), b'{"kind":"Decision"}')
    key = a_result(whole)

    wakes = run(Tick(NOON), app)

    assert [whole.read(Alert, found).what for found in whole.store.list(keys.ALERTS)] == ["unreadable record"]
    assert wakes == [Wake("register", key)]


def a_scoring(whole: App) -> str:
    """A batch that somebody wants answered."""
    link = Link(key="models/late/0000000001.json", digest=SOME)
    plan = ScoringPlan(version=link, artifact=SOME, validation=link, contract=SOME, parts=())
    key = keys.scoring("late", plan.scoring)
    record = Scoring(
        made_by=whole.maker, model="late", version=1, dataset="flights", batch="1", scoring=plan.scoring, plan=plan
    )
    whole.write(key, record)
    return key


def submitted(whole: App, key: str) -> None:
    noted = {"handle": "late-scores", "at": NOON.isoformat()}
    whole.write(keys.submission(key), Submission(made_by=whole.maker, model="late", run=keys.stem(key), noted=noted))


def test_a_scoring_that_nobody_submitted_wakes_score(app: App, whole: App) -> None:
    key = a_scoring(whole)

    assert run(Tick(NOON), app) == [Wake("score", key)]


def test_a_scoring_whose_job_is_alive_is_left_alone(app: App, whole: App, jobs: MemoryJobs) -> None:
    submitted(whole, a_scoring(whole))
    jobs.submit(Job("late-scores", "functions.score.job", (), time_limit_s=1))

    assert run(Tick(NOON), app) == []


def test_a_scoring_whose_job_died_fails_with_a_reason(app: App, whole: App, jobs: MemoryJobs) -> None:
    key = a_scoring(whole)
    submitted(whole, key)
    jobs.submit(Job("late-scores", "functions.score.job", (), time_limit_s=1))
    jobs.ended("late-scores", JobStatus.FAILED)

    wakes = run(Tick(NOON), app)

    scores = whole.read(Scores, keys.scores(key))
    assert (wakes, scores.status) == ([], "failed")
    assert "failed" in scores.why
    assert run(Tick(NOON), app) == []
