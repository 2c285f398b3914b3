"""Samara deployed by its own program to Azure, and driven from outside by clients that know nothing of its functions.

The zips that the program puts up are the code that runs, each under Azure's own worker or as a job, in a process with
nothing but its package to import. Their identities get the tokens, and the graph's subscriptions the events.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from functions.catalogue import CATALOGUE
from samara.catalogue import Every, Http
from samara.core import keys
from samara.core.records import Alert, Quarantine
from samara.hosts.azure import SCHEDULES
from tests.flow import deployed, on_azure
from tests.flow.deployed import BROKEN, POISON, UPLOADED, until
from tests.flow.on_azure import Deployment
from tests.infra import graph, packages
from tests.infra.graph import Graph
from tests.infra.policies_azure import QUEUE, SUBSCRIPTION, settings
from tests.infra.policies_azure import deployed as deployed_apps

REGION, PROJECT = "westeurope", "11111111-2222-3333-4444-555555555555"


@pytest.fixture(scope="module")
def program() -> Graph:
    """What the program asks of Azure, with packages for the Python that is here."""
    return graph.record("azure", REGION, packages.manifest("azure"), project=PROJECT, protect=False)


@pytest.fixture(scope="module")
def deployment(program: Graph, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with on_azure.up(program, tmp_path_factory.mktemp("azure")) as up:
        yield up


def declared(deployment: Deployment, kind: str) -> list[tuple[str, dict[str, Any]]]:
    """Every trigger or output of that kind in the code that was put up, with the function whose app it is in."""
    return [(name, one) for name, app in deployment.host.apps.items() for _, one in app.bindings(kind)]


def test_every_app_declares_the_triggers_of_its_entry(deployment: Deployment) -> None:
    for spec in CATALOGUE:
        kinds = [binding["type"] for _, binding in deployment.host.apps[spec.name].bindings()]
        assert kinds.count("queueTrigger") == (len(woken()) if spec.name == "deadletter" else bool(spec.wakes_on))
        assert kinds.count("timerTrigger") == sum(isinstance(trigger, Every) for trigger in spec.on)
        assert kinds.count("httpTrigger") == any(isinstance(trigger, Http) for trigger in spec.on)
    assert {one["schedule"] for _, one in declared(deployment, "timerTrigger")} <= set(SCHEDULES.values())


def woken() -> set[str]:
    return {spec.name for spec in CATALOGUE if spec.wakes_on}


def test_every_queue_that_the_code_names_is_there_and_its_app_knows_in_which_account(
    deployment: Deployment, program: Graph
) -> None:
    there = {one.inputs["queueName"] for one in program.of(QUEUE)}
    known = deployed_apps(program)

    for function, one in [*declared(deployment, "queueTrigger"), *declared(deployment, "queue")]:
        told = settings(known[function])
        assert one["queueName"] in there
        assert (
            told[f"{one['connection']}__queueServiceUri"]
            == "https://${samara-data-account#name}.queue.core.windows.net"
        )
        assert told[f"{one['connection']}__credential"] == "managedidentity"
        assert told[f"{one['connection']}__clientId"] == f"${{samara-{function}-identity#clientId}}"


def test_every_subscription_leads_to_a_queue_that_wakes_the_function_it_is_for(
    deployment: Deployment, program: Graph
) -> None:
    wakes = {one["queueName"]: function for function, one in declared(deployment, "queueTrigger")}

    assert {one.queue: wakes[one.queue] for one in deployment.topic.subscriptions} == {name: name for name in woken()}
    assert len(deployment.topic.subscriptions) == len(program.of(SUBSCRIPTION))


def test_whoever_has_a_url_takes_every_path_with_a_key(deployment: Deployment) -> None:
    routes = dict(declared(deployment, "httpTrigger"))

    assert set(routes) == set(deployment.exports["urls"])
    assert {(one["route"], one["authLevel"]) for one in routes.values()} == {("{*path}", "FUNCTION")}


def test_each_app_tells_the_host_how_its_queues_and_paths_are_meant(deployment: Deployment) -> None:
    for app in deployment.host.apps.values():
        assert app.host["version"] == "2.0"
        assert app.host["extensionBundle"]["id"] == "Microsoft.Azure.Functions.ExtensionBundle"
        assert app.host["extensions"]["queues"] == {"maxDequeueCount": 5, "messageEncoding": "base64"}
        assert app.host["extensions"]["http"] == {"routePrefix": ""}


@pytest.fixture(scope="module")
def made(deployment: Deployment, project: Path, january: bytes) -> dict[str, str]:
    """The records there are once a version is live after nothing but an upload. Beside it lay what nobody can read."""
    deployment.samara("publish", str(project))
    deployment.put(BROKEN, deployed.UNREADABLE)
    deployment.put(POISON, b"{")

    deployment.put(UPLOADED, january)

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


@pytest.mark.usefixtures("champion")
def test_a_training_is_one_run_of_one_job_under_the_identity_of_jobs(deployment: Deployment, program: Graph) -> None:
    ((known, job),) = deployment.azure.jobs.items()
    (run,) = deployment.azure.runs[known]
    (identity,) = job["identity"]["userAssignedIdentities"]

    assert run.status == "Succeeded"
    assert identity == on_azure.outputs(program.named("samara-train-job-identity"))["id"]


@pytest.fixture(scope="module")
def prediction(deployment: Deployment, champion: int, january: bytes) -> str:
    """The id of an answer about two hundred and fifty flights."""
    told = deployment.asked("predict", "GET", "/v2/models/late").json()
    wish = deployed.asking(told, deployed.part(january, 250))

    named = "somebody@else.example"
    answered = deployment.asked("predict", "POST", "/v2/models/late/infer", wish, x_ms_client_principal_name=named)

    assert answered.status_code == 200, answered.text
    assert answered.headers["samara-version"] == str(champion)
    assert answered.json()["outputs"][0]["shape"][0] == 250
    return answered.headers["samara-prediction"]


def test_an_answer_is_captured_and_walks_back_to_the_uploaded_file(deployment: Deployment, prediction: str) -> None:
    assert deployment.world.store.get(keys.Prediction.parse(prediction).capture)
    assert UPLOADED in deployment.samara("why", prediction)


def test_who_asked_by_a_key_is_not_known_whatever_they_say(deployment: Deployment, prediction: str) -> None:
    capture = json.loads(deployment.world.store.get(keys.Prediction.parse(prediction).capture).data)

    assert "caller" not in capture["noted"]


def test_who_has_no_key_gets_no_answer(deployment: Deployment) -> None:
    assert deployment.asked("predict", "GET", "/v2/models/late", key="none of ours").status_code == 401


@pytest.mark.usefixtures("champion")
def test_the_dashboard_shows_the_model(deployment: Deployment) -> None:
    shown = deployment.asked("dashboard", "GET", "/")

    assert (shown.status_code, "late" in shown.text) == (200, True)


def test_the_clock_has_drift_looked_for(deployment: Deployment, prediction: str) -> None:
    hour = datetime.strptime(keys.Prediction.parse(prediction).hour, "%Y-%m-%dT%H").replace(tzinfo=UTC)

    deployment.host.fire("drift", hour + timedelta(hours=2, minutes=30))

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
    (letter,) = until("a dead letter", lambda: deployment.account.waiting("dead-letters"))

    assert (alerts[0].what, "tried 5 times" in alerts[0].why) == ("register Poisoned", True)
    assert json.loads(letter)["subject"].endswith(f"/blobs/{POISON}")


@pytest.mark.usefixtures("champion")
def test_an_upload_whose_notification_got_lost_is_found_by_the_clock(deployment: Deployment, january: bytes) -> None:
    with deployment.topic.losing():
        deployment.put("landing/flights/missed.csv", deployed.part(january, 300))
    before = set(deployment.world.store.list(f"{keys.DATASETS}flights/"))

    deployment.host.fire("reconcile", datetime.now(UTC))

    until("a batch", lambda: set(deployment.world.store.list(f"{keys.DATASETS}flights/")) - before)


def test_the_cloud_and_a_laptop_make_the_same_records(
    made: dict[str, str], project: Path, january: bytes, tmp_path: Path
) -> None:
    with deployed.laptop(tmp_path, project, january) as at_home:
        assert made == deployed.chain(at_home)
