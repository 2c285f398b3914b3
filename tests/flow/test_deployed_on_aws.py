"""Samara deployed by its own program to AWS, and driven from outside by clients that know nothing of its functions.

The program's resources are created on LocalStack and moto with the inputs it gave; the zips it uploads are the code
that runs, as Lambda functions and as jobs of AWS Batch, each a process with nothing but its package to import.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from samara import app
from samara.app import App
from samara.core import keys
from samara.core.records import Alert, Quarantine
from samara.settings import Settings
from tests.emulators import localstack
from tests.flow import deployed
from tests.flow.deployed import BROKEN, POISON, UPLOADED, until
from tests.infra import apply, graph, packages
from tests.infra.graph import Graph


@dataclass(frozen=True)
class Deployment:
    """A stack that is up: what it exports, and its bucket as a person with the right keys sees it."""

    applied: apply.Applied
    world: App
    environment: dict[str, str]

    @property
    def bucket(self) -> str:
        return str(self.applied.exports["bucket"])

    def put(self, key: str, data: bytes) -> None:
        localstack.client("s3").put_object(Bucket=self.bucket, Key=key, Body=data)

    def asked(self, function: str, method: str, path: str, body: Any = None) -> httpx.Response:
        """A request at the URL of a function, whose host name only AWS resolves."""
        host = httpx.URL(self.applied.exports["urls"][function]).netloc.decode()
        here = localstack.endpoints()[0]
        return httpx.request(method, f"{here}{path}", headers={"host": host}, json=body, timeout=60)

    def tick(self, function: str, at: datetime) -> None:
        """Have the schedule that wakes a function strike."""
        (clock,) = (
            one["arn"]
            for name, one in self.applied.outputs.items()
            if name.startswith(f"samara-{function}-") and "scheduleExpression" in one
        )
        localstack.fire(clock, f"{at:%Y-%m-%dT%H:%M:%SZ}")

    def samara(self, *words: str) -> str:
        done = deployed.samara(self.environment, *words)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def stack() -> Deployment:
    """The whole program, applied with packages for the Python that is here."""
    program = graph.record("aws", localstack.REGION, packages.manifest("aws"), protect=False)
    applied = apply.apply(for_this_python(program))
    here = localstack.endpoints()[0]
    environment = {
        "PATH": os.environ["PATH"],
        "SAMARA_STORE": applied.exports["store"],
        "AWS_ENDPOINT_URL": here,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
    }
    world = app.build(Settings(provider="aws", store=f"{applied.exports['store']}&endpoint={here}"))
    return Deployment(applied, world, environment)


def for_this_python(program: Graph) -> Graph:
    """The one thing in which the emulator differs from Lambda: it runs functions in the Python that there is."""
    for one in program.of("aws:lambda/function:Function"):
        program = program.editing(one.name, lambda inputs: inputs.update(runtime=localstack.runtime()))
    return program


@pytest.fixture(scope="module")
def made(stack: Deployment, project: Path, january: bytes) -> dict[str, str]:
    """The records from an upload to a champion, after nothing but the upload. Beside it lay what nobody can read."""
    stack.samara("publish", str(project))
    stack.put(BROKEN, deployed.UNREADABLE)
    stack.put(POISON, b"{")

    stack.put(UPLOADED, january)

    until("a champion", lambda: deployed.champion(stack.world))
    return deployed.chain(stack.world)


@pytest.mark.usefixtures("made")
def test_an_upload_becomes_a_champion_without_any_further_call(stack: Deployment) -> None:
    assert deployed.champion(stack.world) == 1
    assert "champion" in stack.samara("models", "late")
    assert "flights" in stack.samara("status")


@pytest.fixture(scope="module")
def prediction(stack: Deployment, made: dict[str, str], january: bytes) -> str:
    """The id of an answer about two hundred and fifty flights."""
    assert made
    told = stack.asked("predict", "GET", "/v2/models/late").json()
    wanted = deployed.asking(told, deployed.part(january, 250))

    answered = stack.asked("predict", "POST", "/v2/models/late/infer", wanted)

    assert answered.status_code == 200, answered.text
    assert answered.headers["samara-version"] == "1"
    assert answered.json()["outputs"][0]["shape"][0] == 250
    return answered.headers["samara-prediction"]


def test_an_answer_is_captured_and_walks_back_to_the_uploaded_file(stack: Deployment, prediction: str) -> None:
    assert stack.world.store.get(keys.Prediction.parse(prediction).capture)
    assert UPLOADED in stack.samara("why", prediction)


def test_the_clock_has_drift_looked_for(stack: Deployment, prediction: str) -> None:
    hour = datetime.strptime(keys.Prediction.parse(prediction).hour, "%Y-%m-%dT%H").replace(tzinfo=UTC)

    stack.tick("drift", hour + timedelta(hours=2, minutes=30))

    report = until("a drift report", lambda: next(stack.world.store.list(f"{keys.DRIFT}late/"), None))
    assert stack.samara("why", report)


@pytest.mark.usefixtures("made")
def test_a_file_that_nobody_can_read_is_in_quarantine_with_the_reason(stack: Deployment) -> None:
    listed = stack.world.store.list(f"{keys.QUARANTINE}flights/")
    records = [stack.world.read(Quarantine, key) for key in listed if key.endswith(".json")]

    assert any("broken.csv" in str(record) for record in records)


@pytest.mark.usefixtures("made")
def test_an_event_that_nobody_can_do_is_a_dead_letter_and_an_alert(stack: Deployment) -> None:
    alerts = until("an alert", lambda: [
        alert for key in stack.world.store.list(keys.ALERTS)
        if (alert := stack.world.read(Alert, key)).subject == POISON
    ])  # fmt: skip
    queue = stack.applied.exports["dead_letters"]
    letters = localstack.client("sqs").receive_message(QueueUrl=queue, WaitTimeSeconds=5)

    assert alerts[0].what == "register Rejected"
    assert any(POISON in letter["Body"] for letter in letters["Messages"])


@pytest.mark.usefixtures("made")
def test_an_upload_whose_notification_got_lost_is_found_by_the_clock(stack: Deployment, january: bytes) -> None:
    s3 = localstack.client("s3")
    told = s3.get_bucket_notification_configuration(Bucket=stack.bucket)["EventBridgeConfiguration"]
    s3.put_bucket_notification_configuration(Bucket=stack.bucket, NotificationConfiguration={})
    stack.put("landing/flights/missed.csv", deployed.part(january, 300))
    s3.put_bucket_notification_configuration(
        Bucket=stack.bucket, NotificationConfiguration={"EventBridgeConfiguration": told}
    )
    before = set(stack.world.store.list(f"{keys.DATASETS}flights/"))

    stack.tick("reconcile", datetime.now(UTC))

    until("a batch", lambda: set(stack.world.store.list(f"{keys.DATASETS}flights/")) - before)


@pytest.fixture
def at_home(tmp_path: Path, project: Path, january: bytes) -> Iterator[App]:
    with deployed.laptop(tmp_path, project, january) as world:
        yield world


def test_the_cloud_and_a_laptop_make_the_same_records(made: dict[str, str], at_home: App) -> None:
    assert made == deployed.chain(at_home)
    assert {key.split("/")[0] for key in made} == {topic.rstrip("/") for topic in deployed.CHAIN}
