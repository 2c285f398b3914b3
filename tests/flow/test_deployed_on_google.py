"""Samara deployed by its own program to Google Cloud, and driven from outside by clients that know nothing of it.

The zips that the program uploads are the code that runs, as functions and as jobs, each a process with nothing but its
package to import. What wakes them is what the program asks for: its notification, subscriptions, filters and schedules.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from cloudevents.conversion import to_binary
from cloudevents.http import CloudEvent

from samara import app
from samara.app import App
from samara.core import keys
from samara.core.records import Alert, Quarantine
from samara.settings import Settings
from tests.flow import deployed, on_google
from tests.flow.deployed import BROKEN, POISON, UPLOADED, until
from tests.flow.on_google import Project
from tests.infra import graph, packages

REGION, PROJECT = "europe-west3", "acme-flights"
ANALYST = "user:analyst@acme.example"
POSTMAN = f"serviceAccount:samara-events@{PROJECT}.iam.gserviceaccount.com"


@dataclass(frozen=True)
class Deployment:
    """A stack that is up, and its bucket as a person with the right keys sees it."""

    google: Project
    world: App
    environment: dict[str, str]

    def asked(self, function: str, method: str, path: str, body: Any = None, who: str = ANALYST) -> httpx.Response:
        return self.google.asked(who, method, f"{self.google.functions[f'samara-{function}'].url}{path}", json=body)

    def samara(self, *words: str) -> str:
        done = deployed.samara(self.environment, *words)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def batches(self) -> set[str]:
        return set(self.world.store.list(f"{keys.DATASETS}flights/"))


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """The whole program, with packages for the Python that is here."""
    program = graph.record("gcp", REGION, packages.manifest("gcp"), project=PROJECT, protect=False, callers=[ANALYST])
    with on_google.deployed(program, tmp_path_factory.mktemp("functions"), strict=True) as up:
        environment = {"PATH": os.environ["PATH"], "SAMARA_STORE": up.store}
        yield Deployment(up, app.build(Settings(provider="gcp", store=up.store)), environment)


@pytest.fixture(scope="module")
def made(deployment: Deployment, project: Path, january: bytes) -> dict[str, str]:
    """The records there are once a version is live after nothing but an upload. Beside it lay what nobody can read."""
    deployment.samara("publish", str(project))
    deployment.google.put(BROKEN, deployed.UNREADABLE)
    deployment.google.put(POISON, b"{")

    deployment.google.put(UPLOADED, january)

    until("a champion", lambda: deployed.champion(deployment.world))
    return deployed.chain(deployment.world)


@pytest.fixture(scope="module")
def champion(deployment: Deployment, made: dict[str, str]) -> int:
    """The version that is live."""
    assert made
    return deployed.champion(deployment.world) or 0


def test_an_upload_becomes_a_champion_without_any_further_call(deployment: Deployment, champion: int) -> None:
    assert champion == 1
    assert "late" in deployment.samara("status")


@pytest.fixture(scope="module")
def prediction(deployment: Deployment, champion: int, january: bytes) -> str:
    """The id of an answer about two hundred and fifty flights."""
    told = deployment.asked("predict", "GET", "/v2/models/late").json()
    wish = deployed.asking(told, deployed.part(january, 250))

    answered = deployment.asked("predict", "POST", "/v2/models/late/infer", wish)

    assert answered.status_code == 200, answered.text
    assert answered.headers["samara-version"] == str(champion)
    assert answered.json()["outputs"][0]["shape"][0] == 250
    return answered.headers["samara-prediction"]


def test_an_answer_is_captured_and_walks_back_to_the_uploaded_file(deployment: Deployment, prediction: str) -> None:
    assert deployment.world.store.get(keys.Prediction.parse(prediction).capture)
    assert UPLOADED in deployment.samara("why", prediction)


def test_what_cloud_run_knows_of_who_asked_is_captured(deployment: Deployment, prediction: str) -> None:
    capture = json.loads(deployment.world.store.get(keys.Prediction.parse(prediction).capture).data)

    assert f"user:{capture['noted']['caller']}" == ANALYST


def test_who_is_no_caller_of_this_stack_gets_no_answer(deployment: Deployment) -> None:
    assert deployment.asked("predict", "GET", "/v2/models/late", who="user:somebody@else.example").status_code == 403


@pytest.mark.usefixtures("champion")
def test_the_dashboard_shows_the_model(deployment: Deployment) -> None:
    shown = deployment.asked("dashboard", "GET", "/")

    assert (shown.status_code, "late" in shown.text) == (200, True)


def test_the_clock_has_drift_looked_for(deployment: Deployment, prediction: str) -> None:
    hour = datetime.strptime(keys.Prediction.parse(prediction).hour, "%Y-%m-%dT%H").replace(tzinfo=UTC)

    answered = deployment.google.fire("samara-drift", hour + timedelta(hours=2, minutes=30))

    assert answered.status_code == 204, answered.text
    report = next(deployment.world.store.list(f"{keys.DRIFT}late/"))
    assert deployment.samara("why", report)


@pytest.mark.usefixtures("champion")
def test_a_file_that_nobody_can_read_is_in_quarantine_with_the_reason(deployment: Deployment) -> None:
    records = [
        deployment.world.read(Quarantine, key)
        for key in deployment.world.store.list(f"{keys.QUARANTINE}flights/")
        if key.endswith(".json")
    ]

    assert any(BROKEN in str(record) for record in records)


@pytest.mark.usefixtures("champion")
def test_an_event_that_nobody_can_do_is_a_dead_letter_and_an_alert(deployment: Deployment) -> None:
    alerts = until("an alert", lambda: [
        alert for key in deployment.world.store.list(keys.ALERTS)
        if (alert := deployment.world.read(Alert, key)).subject == POISON
    ])  # fmt: skip
    letters = deployment.google.pubsub.subscriptions["samara-dead-letters"].kept
    tried = [key for key, _ in deployment.google.pubsub.subscriptions["samara-register-events"].answers]

    assert alerts[0].what == "register Undelivered"
    assert {letter["attributes"]["objectId"] for letter in letters} == {POISON}
    assert tried.count(POISON) == 5 * len(letters)


@pytest.mark.usefixtures("champion")
def test_what_is_delivered_twice_changes_nothing(deployment: Deployment) -> None:
    until("quiet", lambda: deployment.google.pubsub.quiet)
    before = list(deployment.world.store.list(""))

    deployment.google.pubsub.again(deployment.google.objects)

    until("quiet", lambda: deployment.google.pubsub.quiet)
    assert list(deployment.world.store.list("")) == before


@pytest.mark.usefixtures("champion")
def test_an_upload_whose_notification_got_lost_is_found_by_the_clock(deployment: Deployment, january: bytes) -> None:
    before = deployment.batches()
    with deployment.google.silent():
        deployment.google.put("landing/flights/missed.csv", deployed.part(january, 300))

    answered = deployment.google.fire("samara-reconcile", datetime.now(UTC))

    assert answered.status_code == 204, answered.text
    until("a batch", lambda: deployment.batches() - before)


@pytest.mark.usefixtures("champion")
def test_eventarc_may_bring_events_too(deployment: Deployment, january: bytes) -> None:
    before, url = deployment.batches(), deployment.google.functions["samara-ingest"].url
    with deployment.google.silent():
        told = deployment.google.put("landing/flights/by-eventarc.csv", deployed.part(january, 200))
    headers, body = to_binary(CloudEvent({
        "type": "google.cloud.storage.object.v1.finalized",
        "source": f"//storage.googleapis.com/projects/_/buckets/{deployment.google.bucket}",
        "subject": f"objects/{told['name']}",
        "datacontenttype": "application/json",
    }, told))  # fmt: skip

    answered = deployment.google.asked(POSTMAN, "POST", f"{url}/_events/objects", content=body, headers=headers)

    assert answered.status_code == 204, answered.text
    assert deployment.batches() - before


def test_the_cloud_and_a_laptop_make_the_same_records(
    made: dict[str, str], project: Path, january: bytes, tmp_path: Path
) -> None:
    with deployed.laptop(tmp_path, project, january) as at_home:
        assert made == deployed.chain(at_home)
