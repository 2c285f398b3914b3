"""Batch inference: a version is asked about every row of a batch, once, and the answers are Parquet."""

import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from onnx import TensorProto, helper, numpy_helper

from functions.catalogue import CATALOGUE
from functions.predict import scoring_requests
from functions.predict.protocol import Route
from functions.score import handler, job
from samara import admin, catalogue, loading, scoring
from samara.app import App
from samara.core import keys
from samara.core.records import Scores, Scoring, Submission
from samara.errors import NotFound, Rejected
from samara.events import HttpRequest, ObjectCreated
from samara.providers.memory import MemoryJobs
from tests.bench import coins
from tests.conftest import NOON
from tests.functions.score.conftest import Mint

ASK = json.dumps({"dataset": "coins"}).encode()
Acting = Callable[[str], App]


def ask(acting_as: Acting, body: bytes = ASK, version: str = "") -> dict[str, Any]:
    return scoring_requests.submitted("real", version, body, NOON, acting_as("predict"))


def carried_out(said: dict[str, Any], whole: App) -> Scores:
    """The scores, by the job with the permissions it has."""
    key = keys.scoring(said["model"], said["scoring"])
    return job.run(key, whole.acting_as_job_of(catalogue.named(CATALOGUE, "score")))


def graph(nodes: list[Any], inputs: list[Any], outputs: list[Any], weights: list[Any]) -> bytes:
    made = helper.make_graph(nodes, "coins", inputs, outputs, weights)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    data: bytes = model.SerializeToString()
    return data


def fragile() -> bytes:
    """prediction = prices[weight], for weights 0 … 9; it fails on any other, and says NaN of 3."""
    number, wide = TensorProto.FLOAT, [None, 1]
    prices = np.arange(10, dtype=np.float32)
    prices[3] = np.nan
    return graph(
        [
            helper.make_node("Cast", ["weight"], ["place"], to=TensorProto.INT64),
            helper.make_node("Gather", ["prices", "place"], ["prediction"]),
        ],
        [helper.make_tensor_value_info("weight", number, wide)],
        [helper.make_tensor_value_info("prediction", number, wide)],
        [numpy_helper.from_array(prices, "prices")],
    )


def test_every_row_of_a_batch_is_answered_as_the_gates_are(acting_as: Acting, mint: Mint, whole: App) -> None:
    version = mint.live()
    rows = coins(500, seed=5)
    mint.batch(rows.slice(0, 300), rows.slice(300))
    expected = scoring.answers(loading.session(whole.blob(version.artifact)), rows, "classification")

    scores = carried_out(ask(acting_as), whole)

    answers = mint.answers(scores)
    assert (scores.status, scores.rows, scores.refused_rows, len(scores.parts)) == ("succeeded", 500, 0, 2)
    assert answers.column_names == ["row", "serial", "label", "probability_0", "probability_1"]
    assert answers["row"].to_pylist() == list(range(1, 501))
    assert answers["serial"].to_pylist() == rows["serial"].to_pylist()
    assert answers["label"].to_pylist() == expected.labels.tolist()  # type: ignore[union-attr]  # a classifier's
    assert np.array_equal(answers["probability_1"].to_numpy(), expected.scores[:, 1])


def test_the_file_says_who_answered(acting_as: Acting, mint: Mint, whole: App) -> None:
    mint.live(number=3)
    mint.batch(coins(20, seed=5))
    said = ask(acting_as)

    scores = carried_out(said, whole)

    written = pq.read_schema(io.BytesIO(whole.blob(scores.parts[0].digest))).metadata
    assert {name: written[name] for name in (b"samara.model", b"samara.version", b"samara.scoring")} == {
        b"samara.model": b"real",
        b"samara.version": b"3",
        b"samara.scoring": said["scoring"].encode(),
    }


def test_more_rows_than_are_asked_at_once_are_answered_alike(
    acting_as: Acting, mint: Mint, whole: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    mint.live()
    mint.batch(coins(100, seed=5))
    said = ask(acting_as)
    at_once = mint.answers(carried_out(said, whole))
    whole.store.delete(said["scores"], whole.store.get(said["scores"]).version)

    monkeypatch.setattr(job, "ROWS", 7)

    assert mint.answers(carried_out(said, whole)).equals(at_once)


def test_rows_on_which_the_model_fails_are_left_empty_and_counted(acting_as: Acting, mint: Mint, whole: App) -> None:
    mint.live(fragile())
    weights = [1.0, 2.0, 77.0, 3.0, 4.0, -99.0, 5.0]
    mint.batch(pa.table({"serial": range(7), "weight": weights}))

    scores = carried_out(ask(acting_as), whole)

    assert mint.answers(scores)["prediction"].to_pylist() == [1.0, 2.0, None, None, 4.0, None, 5.0]
    assert (scores.status, scores.rows, scores.refused_rows) == ("succeeded", 7, 3)


def test_rows_with_values_too_large_to_be_asked_are_left_empty_as_they_are_refused_one_by_one(
    acting_as: Acting, mint: Mint, whole: App
) -> None:
    mint.live(fragile())
    mint.batch(pa.table({"serial": range(4), "weight": [1.0, 1e300, 2.0, -1e39]}))

    scores = carried_out(ask(acting_as), whole)

    assert mint.answers(scores)["prediction"].to_pylist() == [1.0, None, 2.0, None]
    assert (scores.status, scores.refused_rows) == ("succeeded", 2)


def test_a_model_that_fails_on_every_row_has_no_scores_but_a_reason(acting_as: Acting, mint: Mint, whole: App) -> None:
    mint.live(fragile())
    mint.batch(pa.table({"serial": range(2), "weight": [50.0, 60.0]}))

    scores = carried_out(ask(acting_as), whole)

    assert (scores.status, scores.parts) == ("failed", ())
    assert scores.why


def test_a_batch_without_a_column_the_model_takes_is_refused_with_its_name(
    acting_as: Acting, mint: Mint, whole: App
) -> None:
    mint.live()
    mint.batch(coins(10).drop(["metal"]))

    scores = carried_out(ask(acting_as), whole)

    assert scores.status == "failed"
    assert scores.why.startswith("metal: there is no such column")


def test_an_altered_part_is_no_result_but_an_error(acting_as: Acting, mint: Mint, whole: App) -> None:
    mint.live()
    mint.batch(coins(10))
    said = ask(acting_as)
    (part,) = whole.read(Scoring, keys.scoring("real", said["scoring"])).plan.parts
    key = keys.blob(part.digest)
    whole.store.delete(key, whole.store.get(key).version)
    whole.store.create(key, b"something else")

    with pytest.raises(Rejected, match="altered"):
        carried_out(said, whole)

    assert whole.find(Scores, said["scores"]) is None


def test_a_model_that_is_gone_is_a_failure_that_names_it(acting_as: Acting, mint: Mint, whole: App) -> None:
    key = keys.blob(mint.live().artifact)
    mint.batch(coins(10))
    said = ask(acting_as)
    whole.store.delete(key, whole.store.get(key).version)

    scores = carried_out(said, whole)

    assert scores.status == "failed"
    assert f"{key}: nothing is stored there, though the plan pins it" in scores.why


def test_asked_for_twice_it_is_one_scoring_and_one_job(
    acting_as: Acting, mint: Mint, whole: App, jobs: MemoryJobs
) -> None:
    mint.live()
    mint.batch(coins(10))
    before = set(jobs.jobs)

    first, second = ask(acting_as), ask(acting_as)
    for _ in range(2):
        handler.run(ObjectCreated(keys.scoring("real", first["scoring"]), NOON), acting_as("score"))

    (submitted,) = set(jobs.jobs) - before
    assert first == second
    assert submitted == f"real-{first['scoring']}"
    assert jobs.jobs[submitted].arguments == (keys.scoring("real", first["scoring"]),)
    assert whole.find(Submission, keys.submission(keys.scoring("real", first["scoring"])))


def test_what_failed_is_tried_once_more_for_who_asks_again(acting_as: Acting, mint: Mint, whole: App) -> None:
    mint.live(fragile())
    mint.batch(pa.table({"serial": range(2), "weight": [50.0, 60.0]}))
    once_more = json.dumps({"dataset": "coins", "again": True}).encode()
    first = ask(acting_as)
    failed = carried_out(first, whole)

    idly, second, at_once = ask(acting_as), ask(acting_as, once_more), ask(acting_as, once_more)

    assert failed.status == "failed"
    assert (idly["scoring"], idly["status"]) == (first["scoring"], "failed")
    assert '"again": true' in idly["why"]
    assert second == at_once, "two who want another try want the same one"
    assert (second["scoring"] != first["scoring"], second["status"]) == (True, "submitted")
    assert ask(acting_as) == second, "and it is the one that counts from then on"
    scoring = whole.read(Scoring, keys.scoring("real", second["scoring"]))
    assert failed.link(first["scores"]) in scoring.made_from


def test_what_succeeded_is_not_tried_again(acting_as: Acting, mint: Mint, whole: App) -> None:
    mint.live()
    mint.batch(coins(10))
    said = ask(acting_as)
    carried_out(said, whole)

    assert ask(acting_as, b'{"dataset": "coins", "again": true}')["scoring"] == said["scoring"]


def test_what_has_its_scores_is_not_submitted_again(
    acting_as: Acting, mint: Mint, whole: App, jobs: MemoryJobs
) -> None:
    mint.live()
    mint.batch(coins(10))
    said = ask(acting_as)
    scores = carried_out(said, whole)
    before = dict(jobs.jobs)

    submitted = handler.run(ObjectCreated(keys.scoring("real", said["scoring"]), NOON), acting_as("score"))

    assert submitted is None
    assert jobs.jobs == before
    assert carried_out(said, whole) == scores


def test_the_state_tells_where_the_answers_are(acting_as: Acting, mint: Mint, whole: App) -> None:
    mint.live()
    mint.batch(coins(10))
    said = ask(acting_as)
    before = scoring_requests.state("real", said["scoring"], acting_as("predict"))

    scores = carried_out(said, whole)

    after = scoring_requests.state("real", said["scoring"], acting_as("predict"))
    assert (before["status"], after["status"]) == ("submitted", "succeeded")
    assert after["parts"] == [
        {"key": keys.blob(scores.parts[0].digest), "rows": 10, "size": scores.parts[0].size},
    ]


def test_over_http_it_is_202_until_there_are_scores(acting_as: Acting, mint: Mint, whole: App) -> None:
    mint.live()
    mint.batch(coins(10))
    app, route = acting_as("predict"), Route("batch", "real")
    post = HttpRequest("POST", "/v2/models/real/batch", NOON, body=ASK)

    begun, said = scoring_requests.answered(route, post, app)
    carried_out(said, whole)
    again, done = scoring_requests.answered(route, post, app)
    looked, state = scoring_requests.answered(
        route, HttpRequest("GET", f"/v2/models/real/batch/{said['scoring']}", NOON), app
    )

    assert (begun, again, looked) == (202, 200, 200)
    assert done == state
    assert done["status"] == "succeeded"


def test_another_version_is_another_scoring(acting_as: Acting, mint: Mint) -> None:
    mint.live(number=1)
    mint.live(number=2)
    mint.batch(coins(10))

    champion, named = ask(acting_as), ask(acting_as, version="1")

    assert (champion["version"], named["version"]) == (2, 1)
    assert champion["scoring"] != named["scoring"]


def test_the_answers_lead_back_to_the_version_and_the_data(acting_as: Acting, mint: Mint, whole: App) -> None:
    mint.live()
    mint.batch(coins(10))
    said = ask(acting_as)
    carried_out(said, whole)

    trail = admin.why(whole, said["scores"])

    kinds = {step.kind for step in trail.steps if step.verified}
    assert {"Scores", "Scoring", "ModelVersion", "Result", "Run", "Validation", "Batch", "answers", "model"} <= kinds


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", 'send {"dataset"'),
        (b"[]", 'send {"dataset"'),
        (b'{"dataset": 1}', 'send {"dataset"'),
        (b'{"dataset": "coins", "rows": "5"}', 'send {"dataset"'),
        (b'{"dataset": "coins", "again": "yes"}', 'send {"dataset"'),
        (b'{"batch": "0123456789abcdef"}', "has no dataset"),
        (b'{"dataset": "../runs"}', "not a dataset name"),
        (b'{"dataset": "coins", "batch": "../../x"}', "not a batch name"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(acting_as: Acting, mint: Mint, body: bytes, why: str) -> None:
    with pytest.raises(Rejected, match=why):
        ask(acting_as, body)


def test_what_is_not_there_is_said_to_be_missing(acting_as: Acting, mint: Mint) -> None:
    with pytest.raises(NotFound, match="real champion: there is none yet"):
        ask(acting_as)

    mint.live()

    with pytest.raises(NotFound, match="real v9: no such version"):
        ask(acting_as, version="9")
    with pytest.raises(NotFound, match="shells: has no accepted batch"):
        ask(acting_as, b'{"dataset": "shells"}')
    with pytest.raises(NotFound, match="batch 0123456789abcdef of coins: there is none"):
        ask(acting_as, b'{"dataset": "coins", "batch": "0123456789abcdef"}')
    with pytest.raises(NotFound, match="real scoring 0123456789abcdef: there is none"):
        scoring_requests.state("real", "0123456789abcdef", acting_as("predict"))


def test_a_refused_batch_is_not_answered(acting_as: Acting, mint: Mint) -> None:
    mint.live()
    refused = keys.stem(mint.batch(coins(10), verdict="refused"))

    with pytest.raises(Rejected, match="was refused by its contract"):
        ask(acting_as, json.dumps({"dataset": "coins", "batch": refused}).encode())
