"""`samara doctor` looks at all that has a digest, and claims no more than it looked at."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from samara import app, doctor
from samara.app import App
from samara.cli import main
from samara.core import keys
from samara.core.digests import digest
from samara.core.heads import ContractHead
from samara.core.keys import Prediction
from samara.core.records import Capture, Feedback
from samara.settings import Settings

NOON = datetime(2013, 2, 14, 12, tzinfo=UTC)
ALONE, *TOGETHER = (
    Prediction("late", "2013-02-14T05", "0" * 16),
    *Prediction.among("late", "2013-02-14T05", "1" * 16, 2),
)


@dataclass(frozen=True)
class Bucket:
    """A project's bucket, and how its objects are altered behind its back."""

    folder: Path
    app: App

    def alter(self, key: str, before: bytes, after: bytes) -> None:
        path = self.folder / key
        data = path.read_bytes()
        assert before in data
        path.write_bytes(data.replace(before, after))


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """A model's payload, three predictions, two of them captured together, and the truth about one."""
    monkeypatch.chdir(tmp_path)
    whole = app.build(Settings(home=tmp_path / ".samara"))
    whole.keep(b"a model")
    whole.write(ALONE.capture, captured(whole, ALONE))
    lines = [captured(whole, one).to_bytes() for one in TOGETHER]
    whole.store.create(TOGETHER[0].capture.partition("#")[0], b"\n".join(lines))
    truth = Feedback(made_by=whole.maker, model="late", prediction=ALONE.id, truth=(True,))
    whole.write(ALONE.feedback(truth.digest), truth)
    return Bucket(tmp_path / ".samara/bucket", whole)


def captured(whole: App, one: Prediction) -> Capture:
    return Capture(
        made_by=whole.maker, model="late", version=1, prediction=one.id, rows=1, status=200, inputs={"temp": [41.5]},
        outputs={"probability": [0.25]}, noted={"at": NOON.isoformat()},
    )  # fmt: skip


@pytest.fixture
def samara() -> Callable[..., Result]:
    return lambda *words: CliRunner().invoke(main, [str(word) for word in words], catch_exceptions=False)


Samara = Callable[..., Result]


def test_the_doctor_counts_what_it_looked_at(samara: Samara, bucket: Bucket) -> None:
    said = samara("doctor").output

    assert "✓ records    1 looked at, every digest as it should be" in said
    assert "✓ captures   3 looked at, every digest as it should be" in said
    assert "✓ payloads   1 looked at, every digest as it should be" in said


@pytest.mark.parametrize("which", [ALONE, *TOGETHER])
def test_the_doctor_names_a_capture_that_was_altered(samara: Samara, bucket: Bucket, which: Prediction) -> None:
    told = json.dumps(which.id).encode()
    bucket.alter(which.capture.partition("#")[0], told, told.replace(b"late.", b"soon."))

    ended = samara("doctor")

    assert ended.exit_code == 1
    assert f"✗ captures   {which.capture}: " in ended.output
    assert "✓ records" in ended.output


def test_the_doctor_names_a_truth_that_was_altered(samara: Samara, bucket: Bucket) -> None:
    key = next(bucket.app.store.list(keys.FEEDBACK))
    bucket.alter(key, b"true", b"false")

    ended = samara("doctor")

    assert ended.exit_code == 1
    assert f"✗ records    {key}: altered since it was written" in ended.output


def test_the_doctor_names_a_payload_of_which_one_byte_was_altered(samara: Samara, bucket: Bucket) -> None:
    key = keys.blob(digest(b"a model"))
    bucket.alter(key, b"model", b"mxdel")

    ended = samara("doctor")

    assert ended.exit_code == 1
    assert f"✗ payloads   {key}: altered: its bytes do not have the digest they are named for" in ended.output


@pytest.mark.parametrize(
    "topic",
    [
        keys.RECEIPTS, keys.DATASETS, keys.QUARANTINE, keys.VALIDATIONS, keys.DECISIONS, keys.RUNS, keys.JOBS,
        keys.RESULTS, keys.MODELS, keys.DRIFT, keys.SCORINGS, keys.SCORES, keys.SHADOWS, keys.FEEDBACK, keys.ALERTS,
    ],
)  # fmt: skip
def test_the_doctor_looks_at_the_records_of_every_topic(samara: Samara, bucket: Bucket, topic: str) -> None:
    bucket.app.store.create(f"{topic}late/x.json", b"{}")

    assert f"✗ records    {topic}late/x.json: not a record" in samara("doctor").output


def test_what_takes_too_long_is_left_out_and_said_to_be(
    samara: Samara, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "PATIENCE_S", -1.0)

    said = samara("doctor").output

    assert "captures   0 looked at" in said
    assert "there are more; `samara why` looks at all that one of them comes from" in said


def test_the_doctor_leaves_no_folder_of_its_own(samara: Samara, bucket: Bucket) -> None:
    assert samara("doctor").exit_code == 0

    assert {path.name for path in bucket.folder.iterdir()} == {"blobs", "captures", "feedback"}


def test_an_alert_whose_cause_is_mended_no_longer_ails(samara: Samara, bucket: Bucket) -> None:
    bucket.app.alert("leafs", "has no data contract", "its batches wait for one", NOON)

    before = samara("doctor")
    contract = ContractHead(write_id="w", contract=bucket.app.keep(b"contract")).to_bytes()
    bucket.app.store.create(keys.contract_head("leafs"), contract)
    after = samara("doctor")

    assert before.exit_code == 1
    assert "✗ alerts     1; the newest of 2013-02-14 12:00 UTC, leafs: has no data contract" in before.output
    assert "An alert ends by itself once" in before.output
    assert after.exit_code == 0
    assert "✓ alerts     none" in after.output
