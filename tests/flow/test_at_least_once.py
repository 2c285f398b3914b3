"""At least once is enough: whatever is delivered twice, late, shuffled or cut off, the bucket comes out the same.

Each seed lives through three days: a first upload trains the champion, predictions are asked for and answered,
a second upload is labelled, the weather turns, and drift leads to a second training.
"""

import csv
import io
import random
from collections import Counter
from datetime import timedelta
from functools import cache
from pathlib import Path

import pytest

from samara import project
from samara.admin import why
from samara.core import keys
from samara.core.aliases import Aliases
from samara.core.records import Batch, Capture, Quarantine, Run
from tests.flow.world import World

SEEDS = 200
IN_ONE_TEST = 10
FOLDER = Path(__file__).parent / "project"
REQUESTS = 12
ROWS = 20


def leaves(seed: int, rows: int, grown: float = 0.0) -> list[dict[str, object]]:
    """Maples are longer and redder; `grown` is what the season adds to every length."""
    dice = random.Random(seed)  # noqa: S311  # data, not secrets
    found: list[dict[str, object]] = []
    for _ in range(rows):
        maple = dice.random() < 0.5
        length = round(dice.gauss(9.0 if maple else 7.0, 1.5) + grown, 3)
        colour = dice.choice(["red", "red", "green"] if maple else ["green", "green", "red"])
        found.append({"length": length, "colour": colour, "maple": str(maple).lower()})
    return found


def written(rows: list[dict[str, object]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, ["length", "colour", "maple"])
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def lived(seed: int | None) -> World:
    """A world after three days, and quiet."""
    world = World(seed)
    calm, world.seed = world.seed, None
    project.publish(project.read(FOLDER), world.app)
    world.seed = calm

    first = leaves(1, 300)
    first[7]["length"] = "long"
    world.upload("landing/leaves/monday.csv", written(first))
    world.upload("landing/leaves/broken.csv.gz", b"\x1f\x8b\x08 not a gzip file")
    world.settle()
    world.upload("landing/leaves/again.csv", written(first))
    world.settle()

    for number in range(REQUESTS):
        rows = leaves(100 + number, ROWS, grown=6.0)
        inputs = [
            {"name": "length", "shape": [ROWS, 1], "datatype": "FP32", "data": [row["length"] for row in rows]},
            {"name": "colour", "shape": [ROWS, 1], "datatype": "BYTES", "data": [row["colour"] for row in rows]},
        ]
        answer = world.ask("predict", "/v2/models/maple/infer", {"id": f"request-{number}", "inputs": inputs})
        assert answer.status == 200, answer.body
        truth = [row["maple"] == "true" for row in rows]
        told = world.ask("feedback", "/feedback", {"prediction": answer.headers["samara-prediction"], "truth": truth})
        assert told.status == 200, told.body
    world.now += timedelta(hours=6)
    world.upload("landing/leaves/tuesday.csv", written(leaves(2, 300, grown=6.0)))
    world.settle()

    world.now += timedelta(days=1)
    world.tick("drift")
    world.tick("drift")
    world.settle()
    return world


@cache
def undisturbed() -> World:
    return lived(None)


@pytest.mark.parametrize("first", range(0, SEEDS, IN_ONE_TEST))
def test_the_bucket_is_the_same_whatever_went_wrong(first: int) -> None:
    calm = undisturbed().bucket()
    for seed in range(first, first + IN_ONE_TEST):
        stormy = lived(seed).bucket()

        different = {key for key in stormy.keys() | calm.keys() if stormy.get(key) != calm.get(key)}
        assert not different, f"seed {seed}: {sorted(different)[:5]}"


def test_what_went_wrong_did_go_wrong() -> None:
    counts: Counter[str] = sum((Counter(lived(seed).counts) for seed in range(5)), Counter())

    assert counts["killed"] > 10
    assert counts["delivered"] > 50
    assert counts["lost"] + counts["queue lost"] > 3


def test_there_is_one_run_and_one_version_for_what_should_be_one() -> None:
    app = undisturbed().app

    causes = [app.read(Run, key).cause for key in app.store.list(keys.RUNS)]
    assert sorted(causes) == ["drift/maple/2013-02-01.json", "first"]
    versions = [keys.number(key) for key in app.store.list(keys.MODELS)]
    assert versions == [1, 2]
    head = app.find_head(Aliases, keys.aliases("maple"))
    assert head is not None
    assert [move.number for move in head.moves] == [1, 2]


def test_every_upload_is_a_batch_or_in_quarantine_with_its_reasons() -> None:
    app = undisturbed().app

    batches = [app.read(Batch, key) for key in app.store.list(keys.DATASETS)]
    refused = [app.read(Quarantine, key) for key in app.store.list(keys.QUARANTINE)]
    assert len(list(app.store.list(keys.RECEIPTS))) == len(list(app.store.list(keys.LANDING))) == 4
    assert len(batches) == 2, "the same bytes under two names are one batch"
    assert {quarantine.whole for quarantine in refused} == {True, False}
    assert all(quarantine.reasons for quarantine in refused)


def test_every_acknowledged_prediction_walks_back_to_its_upload_with_every_digest_verified() -> None:
    app = undisturbed().app

    captures = [app.read(Capture, key) for key in app.store.list(keys.CAPTURES)]
    assert len(captures) == REQUESTS
    for capture in captures:
        trail = why(app, capture.prediction)
        assert trail.whole, trail.summary
        assert any(step.key == "landing/leaves/monday.csv" for step in trail.steps)
