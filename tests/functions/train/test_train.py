"""Train decides once for each cause, pins the plan, and submits one job for one plan."""

import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from functions.train import handler
from samara.app import App
from samara.core import keys
from samara.core.records import Decision, DriftReport, Result, Run, Submission, Validation
from samara.core.windows import Window
from samara.errors import Rejected
from samara.events import HttpRequest, HttpResponse, ObjectCreated
from samara.ports import ObjectStore, Version
from samara.providers.memory import MemoryJobs, MemoryStore
from tests.bench import NOON, Bench, coins

Acting = Callable[[str], App]
Created = Callable[[str], ObjectCreated]
AGAIN = b'{"again": true}'


def reported(app: App, window: str, verdict: Any = "drifted") -> str:
    """The key of a drift report about that window."""
    key = keys.drift("real", Window(window))
    report = DriftReport(
        made_by=app.maker,
        model="real",
        version=1,
        window=window,
        rows=500,
        verdict=verdict,
        why="weight moved",
        columns=(),
    )
    app.write(key, report)
    return key


def post(path: str = "/train/real", body: bytes = b"", method: str = "POST") -> HttpRequest:
    return HttpRequest(method, path, NOON, body=body)


def failed(app: App, run_key: str) -> Result:
    """A run's failure as `app` tells of it: the job itself, or reconcile of one that died."""
    result = Result(
        made_by=app.maker, model=keys.owner(run_key), run=keys.stem(run_key), status="failed", why="a full disk"
    )
    return app.write(keys.result(run_key), result)


def answered(request: HttpRequest, app: App) -> tuple[int, Any]:
    response = handler.run(request, app)
    assert isinstance(response, HttpResponse)
    return response.status, json.loads(response.body)


def test_the_first_accepted_batch_trains_the_first_version(
    bench: Bench, acting_as: Acting, created: Created, jobs: MemoryJobs
) -> None:
    bench.publish()
    validation = bench.accept()

    handler.run(created(validation), acting_as("train"))

    decision = bench.whole.read(Decision, keys.decision("real", "first"))
    assert decision.plan
    run_key = keys.run("real", decision.plan.run)
    assert bench.whole.read(Run, run_key).plan == decision.plan
    assert bench.whole.read(Submission, keys.submission(run_key)).noted["handle"] == f"real-{decision.plan.run}"
    (job,) = jobs.jobs.values()
    assert (job.module, job.arguments) == ("functions.train.job", (run_key,))


def test_a_refused_batch_and_another_datasets_model_train_nothing(
    bench: Bench, acting_as: Acting, created: Created, jobs: MemoryJobs
) -> None:
    bench.publish(model="other", dataset="notes")
    refused, good = bench.accept(coins(20), verdict="refused"), bench.accept(coins(30))

    handler.run(created(refused), acting_as("train"))
    handler.run(created(good), acting_as("train"))

    assert not list(bench.whole.store.list("decisions/"))
    assert not jobs.jobs


def test_a_second_batch_waits_for_drift_or_a_person(
    bench: Bench, acting_as: Acting, created: Created, jobs: MemoryJobs
) -> None:
    bench.publish()
    handler.run(created(bench.accept()), acting_as("train"))

    handler.run(created(bench.accept(coins(seed=1), hours=1)), acting_as("train"))

    assert len(jobs.jobs) == 1


def test_the_plan_pins_the_newest_batches_and_holds_out_of_the_newest(bench: Bench) -> None:
    bench.publish(train={"batches": 2})
    oldest, newest, middle = (bench.accept(coins(30, seed), hours=hours) for seed, hours in ((1, 0), (2, 9), (3, 5)))

    plan = bench.whole.read(Run, bench.asked_run()).plan

    assert [link.key for link in plan.validations] == [middle, newest]
    assert oldest not in [link.key for link in plan.validations]
    assert plan.holdout == (plan.parts[-1],)


@pytest.mark.parametrize("at", ['"yesterday"', '"2013-02-14T12:00:00"', "7", "null"])
def test_a_batch_that_does_not_know_any_more_when_it_arrived_is_as_old_as_its_validation(bench: Bench, at: str) -> None:
    bench.publish()
    key = bench.accept(coins(seed=1))
    batch = bench.whole.read(Validation, key).batch
    stored = bench.whole.store.get(batch)
    damaged = re.sub(rb'"noted":{"at":"[^"]*"}', b'"noted":{"at":%b}' % at.encode(), stored.data)
    bench.whole.store.replace(batch, damaged, stored.version)

    assert damaged != stored.data
    assert [accepted.arrived for accepted in handler.accepted("coins", bench.whole)] == [NOON]


def test_one_broken_definition_stops_no_other_model(
    bench: Bench, acting_as: Acting, created: Created, jobs: MemoryJobs
) -> None:
    bench.publish(model="broken", task="divination")
    bench.publish(model="real")
    validation = bench.accept()

    with pytest.raises(Rejected, match="task"):
        handler.run(created(validation), acting_as("train"))

    assert [job.name.rpartition("-")[0] for job in jobs.jobs.values()] == ["real"]


def test_a_drifted_window_retrains_on_the_newest_batch(
    bench: Bench, acting_as: Acting, created: Created, jobs: MemoryJobs
) -> None:
    bench.publish()
    handler.run(created(bench.accept()), acting_as("train"))
    bench.accept(coins(seed=1), hours=1)
    report = reported(bench.whole, "2013-03")

    handler.run(created(report), acting_as("train"))

    decision = bench.whole.read(Decision, keys.decision("real", report))
    assert decision.plan
    assert decision.why == "drifted: weight moved"
    assert len(jobs.jobs) == 2


def test_a_window_that_did_not_drift_is_decided_too(bench: Bench, acting_as: Acting, created: Created) -> None:
    bench.publish()
    bench.accept()
    report = reported(bench.whole, "2013-03", "stable")

    handler.run(created(report), acting_as("train"))

    decision = bench.whole.read(Decision, keys.decision("real", report))
    assert decision.plan is None
    assert decision.why == "stable: weight moved"


def test_after_a_retraining_the_next_windows_cool_down(bench: Bench, acting_as: Acting, created: Created) -> None:
    bench.publish(drift={"window": "month", "cooldown": 2})
    reasons = []

    for number in range(3, 8):
        bench.accept(coins(30, seed=number), hours=number)
        handler.run(created(report := reported(bench.whole, f"2013-{number:02}")), acting_as("train"))
        reasons.append(bench.whole.read(Decision, keys.decision("real", report)).why)

    assert reasons == [
        "drifted: weight moved",
        "cooling down for 2 windows after the training for 2013-03",
        "cooling down for 2 windows after the training for 2013-03",
        "drifted: weight moved",
        "cooling down for 2 windows after the training for 2013-06",
    ]


def test_a_report_that_comes_late_does_not_retrain(bench: Bench, acting_as: Acting, created: Created) -> None:
    bench.publish(drift={"window": "month", "cooldown": 0})
    bench.accept()
    handler.run(created(reported(bench.whole, "2013-04")), acting_as("train"))

    handler.run(created(late := reported(bench.whole, "2013-03")), acting_as("train"))

    decision = bench.whole.read(Decision, keys.decision("real", late))
    assert decision.plan is None
    assert "2013-04" in decision.why


def reasons(app: App) -> dict[str, str]:
    """What was decided about drift, window by window."""
    listed = [key for key in app.store.list("decisions/real/") if "/drift-" in key]
    return {keys.stem(key).removeprefix("drift-"): app.read(Decision, key).why for key in listed}


class Interrupted:
    """A store that lets others come first, once, before it writes a decision."""

    def __init__(self, store: ObjectStore, others: Callable[[], object]) -> None:
        self._store, self.others = store, [others]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def create(self, key: str, data: bytes) -> Version:
        if key.startswith("decisions/") and self.others:
            self.others.pop()()
        return self._store.create(key, data)


@pytest.mark.parametrize("windows", [("2013-03", "2013-04"), ("2013-04", "2013-03")])
def test_of_two_windows_that_are_decided_at_once_the_later_cools_down(
    bench: Bench, acting_as: Acting, created: Created, windows: tuple[str, str]
) -> None:
    bench.publish(drift={"window": "month", "cooldown": 1})
    bench.accept()
    train = acting_as("train")
    one, other = (created(reported(bench.whole, window)) for window in windows)

    handler.run(one, train._replace(store=Interrupted(train.store, lambda: handler.run(other, train))))

    assert reasons(bench.whole) == {
        "2013-03": "drifted: weight moved",
        "2013-04": "cooling down for 1 window after the training for 2013-03",
    }


def test_earlier_windows_are_decided_first_and_in_their_order(
    bench: Bench, acting_as: Acting, created: Created, jobs: MemoryJobs
) -> None:
    bench.publish(drift={"window": "month", "cooldown": 2})
    bench.accept()
    for window, verdict in (("2013-03", "drifted"), ("2013-05", "drifted"), ("2013-06", "stable")):
        reported(bench.whole, window, verdict)

    handler.run(created(reported(bench.whole, "2013-07")), acting_as("train"))

    (job,) = jobs.jobs.values()
    run = job.name.removeprefix("real-")
    assert reasons(bench.whole) == {
        "2013-03": "drifted: weight moved",
        "2013-05": "cooling down for 2 windows after the training for 2013-03",
        "2013-06": "stable: weight moved",
        "2013-07": f"drifted: weight moved; but run {run} has trained on all there is: "
        "wait for the next accepted batch",
    }


@pytest.mark.parametrize("verdict", ["stable", "too few rows"])
def test_a_window_that_did_not_drift_decides_about_no_other(
    bench: Bench, acting_as: Acting, created: Created, verdict: str
) -> None:
    bench.publish(drift={"window": "month"})
    reported(bench.whole, "2013-03")

    handler.run(created(reported(bench.whole, "2013-04", verdict)), acting_as("train"))

    assert list(reasons(bench.whole)) == ["2013-04"]


@pytest.mark.parametrize("altered", ["drift/real/2013-03.json", "decisions/real/drift-2013-02.json"])
def test_a_window_that_cannot_be_decided_about_keeps_no_later_one_from_training(
    bench: Bench, acting_as: Acting, created: Created, altered: str
) -> None:
    bench.publish(drift={"window": "month"})
    bench.accept()
    bench.whole.store.create(altered, b"{}")
    if altered.startswith("decisions/"):
        reported(bench.whole, "2013-03")

    handler.run(created(report := reported(bench.whole, "2013-04")), acting_as("train"))

    assert bench.whole.read(Decision, keys.decision("real", report)).plan


def test_retraining_can_be_switched_off(bench: Bench, acting_as: Acting, created: Created) -> None:
    bench.publish(drift={"retrain": False})
    bench.accept()

    handler.run(created(report := reported(bench.whole, "2013-03")), acting_as("train"))

    assert "switched off" in bench.whole.read(Decision, keys.decision("real", report)).why


def test_drift_without_new_data_says_so_instead_of_training_again(
    bench: Bench, acting_as: Acting, created: Created, jobs: MemoryJobs
) -> None:
    bench.publish()
    handler.run(created(bench.accept()), acting_as("train"))

    handler.run(created(report := reported(bench.whole, "2013-03")), acting_as("train"))

    decision = bench.whole.read(Decision, keys.decision("real", report))
    assert decision.plan is None
    assert "wait for the next accepted batch" in decision.why
    assert len(jobs.jobs) == 1


def test_drift_tries_once_more_what_died_without_a_word(
    bench: Bench, acting_as: Acting, created: Created, jobs: MemoryJobs
) -> None:
    bench.publish(drift={"window": "month", "cooldown": 0})
    bench.accept()
    first = bench.asked_run()
    died = failed(acting_as("reconcile"), first)
    reports = [created(reported(bench.whole, window)) for window in ("2013-03", "2013-04")]

    for event in (reports[0], *reports):
        handler.run(event, acting_as("train"))

    decision = bench.whole.read(Decision, keys.decision("real", reports[0].key))
    assert decision.plan
    assert (decision.plan.again, decision.plan.run != died.run) == (1, True)
    assert decision.made_from[1:] == (died.link(keys.result(first)),)
    assert reasons(bench.whole) == {
        "2013-03": f"drifted: weight moved; once more, for the job of run {died.run} died without a word",
        "2013-04": f"drifted: weight moved; but run {decision.plan.run} has trained on all there is: "
        "wait for the next accepted batch",
    }
    assert list(jobs.jobs) == [f"real-{died.run}", f"real-{decision.plan.run}"]


@pytest.mark.parametrize("windows", [("2013-03", "2013-04"), ("2013-04", "2013-03")])
def test_another_try_cools_down_whichever_window_is_heard_of_first(
    bench: Bench, acting_as: Acting, created: Created, jobs: MemoryJobs, windows: tuple[str, str]
) -> None:
    bench.publish(drift={"window": "month", "cooldown": 1})
    bench.accept()
    failed(acting_as("reconcile"), bench.asked_run())
    events = [created(reported(bench.whole, window)) for window in windows]

    for event in events * 2:
        handler.run(event, acting_as("train"))

    assert "once more" in reasons(bench.whole)["2013-03"]
    assert reasons(bench.whole)["2013-04"] == "cooling down for 1 window after the training for 2013-03"
    assert len(jobs.jobs) == 2


def test_each_window_tries_once_more_than_the_one_before(bench: Bench, acting_as: Acting, created: Created) -> None:
    bench.publish(drift={"window": "month", "cooldown": 0})
    bench.accept()
    run_key, tries = bench.asked_run(), []

    for window in ("2013-03", "2013-04", "2013-05"):
        failed(acting_as("reconcile"), run_key)
        handler.run(created(report := reported(bench.whole, window)), acting_as("train"))
        decision = bench.whole.read(Decision, keys.decision("real", report))
        assert decision.plan
        run_key = keys.run("real", decision.plan.run)
        tries.append(decision.plan.again)

    assert tries == [1, 2, 3]


def test_drift_leaves_a_training_that_said_why_it_failed_to_a_person(
    bench: Bench, acting_as: Acting, created: Created, jobs: MemoryJobs
) -> None:
    bench.publish()
    bench.accept()
    run_key = bench.asked_run()
    failed(bench.whole, run_key)

    handler.run(created(report := reported(bench.whole, "2013-03")), acting_as("train"))

    decision = bench.whole.read(Decision, keys.decision("real", report))
    assert decision.plan is None
    assert decision.why == (
        f"drifted: weight moved; but run {keys.stem(run_key)} failed on all there is: change code, data or settings, "
        'or ask with --again ("again": true) where none of these is wrong'
    )
    assert len(jobs.jobs) == 1


def test_what_failed_is_tried_once_more_for_who_asks_again(bench: Bench, acting_as: Acting, jobs: MemoryJobs) -> None:
    bench.publish()
    bench.accept()
    _, first = answered(post(), acting_as("train"))
    run_key = keys.run("real", first["run"])
    result = failed(bench.whole, run_key)

    idly, *others = (
        answered(post(body=body), acting_as("train")) for body in (b"", b'{"again": true, "why": "a new disk"}', AGAIN)
    )

    assert (idly[0], idly[1]["run"], idly[1]["status"]) == (200, first["run"], "failed")
    assert idly[1]["why"].startswith("a full disk; change code, data or settings, or ask with --again")
    (status, second), at_once = others
    assert (status, second) == at_once, "two who want another try want the same one"
    assert (status, second["status"]) == (202, "submitted")
    assert list(jobs.jobs) == [f"real-{first['run']}", f"real-{second['run']}"]
    decision = bench.whole.read(Decision, second["decision"])
    assert (decision.why, decision.made_from) == ("a new disk", (result.link(keys.result(run_key)),))
    assert answered(post(), acting_as("train")) == at_once, "and it is the one that counts from then on"


def test_what_succeeded_or_is_under_way_is_not_tried_again(bench: Bench, acting_as: Acting, jobs: MemoryJobs) -> None:
    bench.publish()
    bench.accept()

    begun, under_way = (answered(post(body=AGAIN), acting_as("train")) for _ in range(2))
    bench.result()
    status, done = answered(post(body=AGAIN), acting_as("train"))

    assert begun == under_way
    assert (status, done["run"], done["status"]) == (200, begun[1]["run"], "succeeded")
    assert len(jobs.jobs) == 1


def test_asking_twice_for_the_same_plan_is_one_run(bench: Bench, acting_as: Acting, jobs: MemoryJobs) -> None:
    bench.publish()
    bench.accept()

    answers = [answered(post(body=b'{"why": "new idea"}'), acting_as("train")) for _ in range(2)]

    assert answers[0] == answers[1]
    status, said = answers[0]
    assert status == 202
    assert bench.whole.read(Decision, said["decision"]).why == "new idea"
    assert list(jobs.jobs) == [f"real-{said['run']}"]


def test_asking_again_for_what_was_trained_says_how_that_ended(bench: Bench, acting_as: Acting) -> None:
    bench.publish()
    bench.accept()
    bench.result()

    status, said = answered(post(), acting_as("train"))

    assert (status, said["status"]) == (200, "succeeded")


@pytest.mark.parametrize(
    ("request_", "status", "words"),
    [
        (post("/train/unknown"), 404, "no such model"),
        (post("/train/real/deeper"), 400, "not a model name"),
        (post("/train/"), 400, "not a model name"),
        (post(), 409, "landing/coins/"),
        (post(body=b"{"), 400, "not JSON"),
        (post(body=b"[" * 100_000), 400, "not JSON"),
        (post(body=b"\xff\xfe"), 400, "not JSON"),
        (post(body=b"[]"), 400, "something else"),
        (post(body=b'{"why": 7}'), 400, "something else"),
        (post(body=b'{"what": "x"}'), 400, "something else"),
        (post(body=b'{"again": "yes"}'), 400, '"again": true'),
        (post(body=b'{"again": 1}'), 400, '"again": true'),
        (post(body=json.dumps({"why": "x" * 501}).encode()), 400, "500 characters"),
        (post(method="GET"), 405, "POST"),
    ],
)
def test_a_request_that_cannot_be_met_says_the_way_out(
    bench: Bench, acting_as: Acting, request_: HttpRequest, status: int, words: str
) -> None:
    bench.publish()

    found, said = answered(request_, acting_as("train"))

    assert found == status
    assert words in said["error"]
    assert not list(bench.whole.store.list("decisions/"))


def test_a_run_with_a_result_is_not_submitted_again(
    bench: Bench, acting_as: Acting, created: Created, jobs: MemoryJobs
) -> None:
    bench.publish()
    bench.accept()
    run_key = bench.asked_run()
    jobs.jobs.clear()
    failed(bench.whole, run_key)

    handler.run(created(next(bench.whole.store.list("decisions/"))), acting_as("train"))

    assert not jobs.jobs


def test_events_for_what_is_gone_do_nothing(bench: Bench, acting_as: Acting, created: Created) -> None:
    bench.publish()

    for key in ("validations/coins/0.json", "drift/real/2013-03.json", "decisions/real/first.json", "landing/x/y"):
        assert handler.run(created(key), acting_as("train")) == []


class Mortal:
    """A store that dies before its n-th write."""

    def __init__(self, store: MemoryStore, lives: int) -> None:
        self._store, self.lives = store, lives

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def create(self, key: str, data: bytes) -> Version:
        if not self.lives:
            raise KeyboardInterrupt
        self.lives -= 1
        return self._store.create(key, data)


@pytest.mark.parametrize("lives", [0, 1, 2])
def test_killed_before_any_write_and_woken_again_it_ends_the_same(
    bench: Bench, store: MemoryStore, acting_as: Acting, jobs: MemoryJobs, lives: int
) -> None:
    bench.publish()
    event = ObjectCreated(bench.accept(), NOON)
    dying = App(Mortal(store, lives), jobs, acting_as("train").maker)

    with pytest.raises(KeyboardInterrupt):
        handler.run(event, dying)
    handler.run(event, acting_as("train"))

    assert len(list(store.list("decisions/"))) == 1
    assert len(list(store.list("runs/"))) == 1
    assert len(list(store.list("jobs/"))) == 1
    assert len(jobs.jobs) == 1


@pytest.mark.parametrize("lives", range(4))
def test_killed_while_it_decides_about_an_earlier_window_it_leaves_that_to_its_own_event(
    bench: Bench, store: MemoryStore, acting_as: Acting, jobs: MemoryJobs, lives: int
) -> None:
    bench.publish(drift={"window": "month"})
    bench.accept()
    earlier, later = (ObjectCreated(reported(bench.whole, window), NOON) for window in ("2013-03", "2013-04"))
    dying = App(Mortal(store, lives), jobs, acting_as("train").maker)

    with pytest.raises(KeyboardInterrupt):
        handler.run(later, dying)
    for event in (earlier, later):
        handler.run(event, acting_as("train"))

    assert list(reasons(bench.whole).values()) == [
        "drifted: weight moved",
        "cooling down for 1 window after the training for 2013-03",
    ]
    assert len(jobs.jobs) == 1


def test_of_two_that_decide_at_once_both_carry_out_the_first_decision(
    bench: Bench, acting_as: Acting, jobs: MemoryJobs
) -> None:
    bench.publish()
    bench.accept()
    requests = [post(body=json.dumps({"why": f"idea {number}"}).encode()) for number in range(8)]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda request: answered(request, acting_as("train")), requests))

    assert all(answer == answers[0] for answer in answers)
    assert len(list(bench.whole.store.list("decisions/"))) == 1
    assert len(list(bench.whole.store.list("runs/"))) == 1
    assert len(jobs.jobs) == 1
