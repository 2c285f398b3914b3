"""An ensemble is trained, gated, served and traced like any other model; its members are pinned when it is planned."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from functions.catalogue import CATALOGUE
from functions.train import handler, job
from samara import admin, catalogue, loading, scoring
from samara import app as apps
from samara.app import App
from samara.core import keys
from samara.core.aliases import Aliases
from samara.core.records import Decision, Link, ModelVersion, Part, Plan, Result, Run
from samara.core.sealed import Maker
from samara.dispatch import deliver
from samara.errors import Rejected
from samara.events import HttpRequest, HttpResponse, ObjectCreated
from samara.ports import JobStatus
from samara.providers.memory import MemoryJobs
from samara.settings import Settings
from tests.bench import LOGISTIC, NOON, Bench, coins, in_process

Acting = Callable[[str], App]
Created = Callable[[str], ObjectCreated]

BOTH = {"how": "mean", "members": ["real@champion", "other@1"]}


def registered(bench: Bench, result: Result) -> ModelVersion:
    version = deliver(
        catalogue.named(CATALOGUE, "register"),
        ObjectCreated(keys.result(keys.run(result.model, result.run)), NOON),
        bench.whole,
    )
    assert isinstance(version, ModelVersion)
    return version


def trained(bench: Bench, model: str, **changes: Any) -> ModelVersion:
    """The next version of a model of the coins there are."""
    bench.publish(LOGISTIC, model, **changes)
    return registered(bench, bench.result(model))


def members(bench: Bench) -> tuple[ModelVersion, ModelVersion]:
    """Two models of one batch; the second is of another strength."""
    bench.accept()
    return trained(bench, "real"), trained(bench, "other", train={"parameters": {"strength": 0.01}})


def model_of(bench: Bench, version: ModelVersion) -> Any:
    return loading.session(bench.whole.blob(version.artifact))


def asked(app: App, model: str = "both") -> tuple[int, Any]:
    response = handler.run(HttpRequest("POST", f"/train/{model}", NOON), app)
    assert isinstance(response, HttpResponse)
    return response.status, json.loads(response.body)


def test_members_are_pinned_by_version_and_digest_when_the_run_is_planned(bench: Bench, acting_as: Acting) -> None:
    real, other = members(bench)
    bench.publish(model="both", ensemble=BOTH)

    status, said = asked(acting_as("train"))

    assert status == 202
    run = bench.whole.read(Run, keys.run("both", said["run"]))
    pinned = (real.link(keys.version("real", 1)), other.link(keys.version("other", 1)))
    assert run.plan.members == pinned
    assert set(pinned) <= set(run.made_from)


def test_a_member_that_has_a_new_champion_is_another_plan(bench: Bench, acting_as: Acting) -> None:
    members(bench)
    bench.publish(model="both", ensemble=BOTH)
    _, before = asked(acting_as("train"))
    trained(bench, "real", train={"parameters": {"strength": 2.0}})
    admin.promote(bench.whole, "real", 2, expect=1, at=NOON, by="test")

    _, after = asked(acting_as("train"))

    assert after["run"] != before["run"]
    plan = bench.whole.read(Run, keys.run("both", after["run"])).plan
    assert [link.key for link in plan.members] == [keys.version("real", 2), keys.version("other", 1)]


def test_plans_without_members_keep_the_runs_they_had() -> None:
    part = Part(digest="3" * 64, rows=10, size=100)
    plan = Plan(
        definition="1" * 64,
        bundle="2" * 64,
        validations=(Link(key="validations/coins/a.json", digest="4" * 64),),
        parts=(part,),
        holdout=(part,),
    )

    with_members = plan.model_copy(update={"members": (Link(key=keys.version("real", 1), digest="5" * 64),)})

    run = Run(made_by=Maker(function="t", code="0" * 64), model="m", run=plan.run, cause="first", plan=plan)
    assert plan.run == "ca0f61b14d2ead8a", "as it was before there were ensembles"
    assert run.digest == "0747364035fdaba9decab41410ad460f5a57549fca50542860ffc7701e2f2ee5", "the same"
    assert with_members.run != plan.run


def test_the_first_batch_waits_for_the_members_and_then_trains(
    bench: Bench, acting_as: Acting, created: Created, jobs: MemoryJobs
) -> None:
    bench.publish(model="both", ensemble=BOTH)
    validation = bench.accept()

    assert handler.run(created(validation), acting_as("train")) == []
    assert not list(bench.whole.store.list("decisions/both/"))
    trained(bench, "real")
    trained(bench, "other")
    handler.run(created(validation), acting_as("train"))

    decision = bench.whole.read(Decision, keys.decision("both", "first"))
    assert decision.plan
    assert f"both-{decision.plan.run}" in jobs.jobs


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ("real@2", "real@2: there is no such version; train real first"),
        ("real@challenger", "real@challenger: there is no such version"),
        ("nobody@champion", "nobody@champion: there is no such version; train nobody first"),
    ],
)
def test_a_member_that_is_not_there_is_named(bench: Bench, acting_as: Acting, named: str, words: str) -> None:
    members(bench)
    bench.publish(model="both", ensemble={"how": "mean", "members": ["other@1", named]})

    status, said = asked(acting_as("train"))

    assert status == 400
    assert words in said["error"]
    assert not list(bench.whole.store.list("runs/both/"))


def test_a_member_that_may_not_be_served_may_not_be_a_member(bench: Bench, acting_as: Acting) -> None:
    members(bench)
    strict = {"metric": "auc", "parity": 1e-12}
    assert not trained(bench, "wrong", gates=strict).sound
    bench.publish(model="both", ensemble={"how": "mean", "members": ["real@1", "wrong@1"]})

    status, said = asked(acting_as("train"))

    assert status == 400
    assert "wrong@1: v1 did not pass" in said["error"]


@pytest.mark.parametrize("member", ["both@champion", "around@1"])
def test_a_member_that_is_itself_made_of_the_model_is_refused_for_it_would_grow_with_each_training(
    bench: Bench, acting_as: Acting, created: Created, member: str
) -> None:
    members(bench)
    trained(bench, "both", ensemble=BOTH)
    trained(bench, "around", ensemble={"how": "mean", "members": ["other@1", "both@1"]})
    bench.publish(model="real", ensemble={"how": "mean", "members": ["other@champion", member]})
    before = list(bench.whole.store.list("runs/real/"))

    status, said = asked(acting_as("train"), "real")

    assert (status, said["code"]) == (400, "made_of_itself")
    assert f"{member}: is itself made of real, so both would grow with each training" in said["error"]
    assert list(bench.whole.store.list("runs/real/")) == before


def test_ensembles_that_share_a_member_are_made_of_it_and_not_of_each_other(bench: Bench, acting_as: Acting) -> None:
    members(bench)
    trained(bench, "both", ensemble=BOTH)
    bench.publish(model="third", ensemble={"how": "mean", "members": ["real@1", "both@1"]})

    status, _ = asked(acting_as("train"), "third")

    assert status == 202


@pytest.mark.parametrize("how", ["mean", "vote", "stacked"])
def test_an_ensemble_goes_through_its_gates_and_says_what_its_members_say(bench: Bench, how: str) -> None:
    real, other = members(bench)

    both = trained(bench, "both", ensemble={**BOTH, "how": how})

    assert both.passed, both.gates
    assert both.parity.rows == 60
    said = [
        scoring.answers(model_of(bench, version), coins(50, seed=5), "classification")
        for version in (real, other, both)
    ]
    assert said[2].classes == said[0].classes
    if how == "mean":
        assert said[2].scores == pytest.approx((said[0].scores + said[1].scores) / 2, abs=1e-6)


def test_an_ensemble_of_estimates_is_one_too(bench: Bench) -> None:
    ridge = """
from sklearn.linear_model import Ridge
def train(table, *, features, target, seed, alpha):
    return Ridge(alpha).fit(table.select(features), table[target].to_numpy())
"""
    estimates = {"target": "weight", "task": "regression", "features": ["serial"], "gates": {"metric": "rmse"}}
    bench.accept()
    for model, alpha in (("one", 0.1), ("two", 1e7)):
        bench.publish(ridge, model, train={"parameters": {"alpha": alpha}}, **estimates)
        registered(bench, bench.result(model))
    weighted = {"how": "weighted", "members": ["one@1", "two@champion"], "weights": [0.3, 0.7]}

    both = trained(bench, "both", ensemble=weighted, **estimates)

    assert both.passed, both.gates
    assert [tensor.name for tensor in both.signature.outputs] == ["prediction"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"features": []}, "no member takes serial; name what they take: metal, weight"),
        ({"features": ["weight"]}, "real@champion: takes 'metal', which is no feature of the ensemble"),
        (
            {"task": "regression", "target": "serial", "gates": {"metric": "rmse"}},
            "real@champion: cannot be a member: model: has no output named prediction",
        ),
    ],
)
def test_members_that_do_not_fit_the_definition_are_a_failed_result(
    bench: Bench, changes: dict[str, Any], words: str
) -> None:
    members(bench)
    bench.publish(model="both", ensemble=BOTH, **changes)

    result = bench.result("both")

    assert result.status == "failed"
    assert words in result.why


@pytest.mark.parametrize(
    ("share", "split", "status"), [(0.3, "last", "failed"), (0.2, "random", "failed"), (0.1, "last", "succeeded")]
)
def test_a_member_that_knows_the_rows_it_would_be_measured_by_is_no_member(
    bench: Bench, share: float, split: str, status: str
) -> None:
    members(bench)
    bench.publish(model="both", ensemble=BOTH, train={"holdout": share, "split": split})

    result = bench.result("both")

    assert result.status == status
    assert status == "succeeded" or "real@1: was trained on rows that the ensemble is measured by" in result.why


def test_members_trained_before_the_newest_batch_have_not_seen_it(bench: Bench) -> None:
    members(bench)
    bench.accept(coins(seed=7), hours=1)
    bench.publish(model="both", ensemble={**BOTH, "how": "stacked"}, train={"holdout": 0.5})

    result = bench.result("both")

    assert result.status == "succeeded", result.why


def test_members_of_other_classes_are_a_failed_result(bench: Bench) -> None:
    bench.accept(coins().append_column("grade", pa.array(np.arange(300) % 3)))
    trained(bench, "real")
    trained(bench, "other", target="grade", features=["metal", "weight"], gates={"metric": "log_loss"})
    bench.publish(model="both", ensemble=BOTH)

    result = bench.result("both")

    assert result.status == "failed"
    assert "other@1: tells apart 0, 1, 2, where real@champion tells apart 0, 1" in result.why


def test_a_member_that_was_replaced_since_is_an_error_and_no_result(bench: Bench) -> None:
    real, _ = members(bench)
    bench.publish(model="both", ensemble=BOTH)
    run_key = bench.asked_run("both")
    key = keys.version("real", 1)
    another = real.model_copy(update={"metrics": {"auc": 1.0}})
    bench.whole.store.replace(key, another.to_bytes(), bench.whole.store.get(key).version)

    with pytest.raises(Rejected, match="not the version that the plan pinned"):
        job.run(run_key, bench.whole, in_process)

    assert not list(bench.whole.store.list("results/both/"))


def test_the_trail_of_an_ensemble_leads_to_its_members_and_their_data(bench: Bench) -> None:
    real, other = members(bench)
    trained(bench, "both", ensemble=BOTH)

    trail = admin.why(bench.whole, keys.version("both", 1))

    reached = {step.key for step in trail.steps if step.verified}
    for member, model in ((real, "real"), (other, "other")):
        run_key = keys.run(model, member.run)
        assert {keys.version(model, 1), run_key, keys.result(run_key), keys.blob(member.artifact)} <= reached
        assert {keys.blob(part.digest) for part in bench.whole.read(Run, run_key).plan.parts} <= reached


def lived(bench: Bench, model: str, **changes: Any) -> ModelVersion:
    """A model of a laptop: published, asked for, trained by a process of its own, and registered."""
    bench.publish(LOGISTIC, model, **changes)
    request = HttpRequest("POST", f"/train/{model}", NOON)
    answer = deliver(catalogue.named(CATALOGUE, "train"), request, bench.whole)
    assert answer.status == 202, answer.body
    run = json.loads(answer.body)["run"]
    deadline = time.monotonic() + 120
    while bench.whole.jobs.status(f"{model}-{run}") is JobStatus.RUNNING:
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.1)
    return registered(bench, bench.whole.read(Result, keys.result(keys.run(model, run))))


def test_on_a_laptop_members_and_their_ensemble_are_trained_registered_and_served(tmp_path: Path) -> None:
    bench = Bench(apps.build(Settings(home=tmp_path)))
    bench.accept()
    lived(bench, "real")
    lived(bench, "other", train={"parameters": {"strength": 0.01}})
    weighted = {"how": "weighted", "members": ["real@1", "other@champion"], "weights": [0.7, 0.3]}

    version = lived(bench, "both", ensemble=weighted)

    head = bench.whole.find_head(Aliases, keys.aliases("both"))
    assert head
    assert head.champion == version.version
    inputs = [
        {"name": "metal", "datatype": "BYTES", "shape": [1, 1], "data": ["gold"]},
        {"name": "weight", "datatype": "FP32", "shape": [1, 1], "data": [14.0]},
    ]
    body = json.dumps({"inputs": inputs}).encode()
    said = {}
    for model in ("real", "other", "both"):
        request = HttpRequest("POST", f"/v2/models/{model}/infer", NOON, body=body)
        answer = deliver(catalogue.named(CATALOGUE, "predict"), request, bench.whole)
        assert answer.status == 200, answer.body
        said[model] = {output["name"]: output["data"] for output in json.loads(answer.body)["outputs"]}
    expected = 0.7 * np.array(said["real"]["probabilities"]) + 0.3 * np.array(said["other"]["probabilities"])
    assert said["both"]["probabilities"] == pytest.approx(expected.tolist(), abs=1e-6)
    assert said["both"]["label"] == [1]
