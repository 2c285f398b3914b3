"""What a deployment on Google Cloud is, read from the graph that the program would hand to Pulumi."""

from pathlib import Path
from typing import Any

import pytest

from functions.catalogue import CATALOGUE
from samara.providers.gcp_jobs import machines_of
from tests.infra.graph import Graph, record, stand_ins
from tests.infra.planted_aws import Planted
from tests.infra.planted_gcp import PLANTED
from tests.infra.policies import broken
from tests.infra.policies_gcp import FUNCTION, OBJECT, SCHEDULE, SUBSCRIPTION, rules, settings

REGION, PROJECT = "europe-west3", "acme-flights"


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stand_ins(tmp_path_factory.mktemp("packages"))


@pytest.fixture(scope="module")
def graph(packages: Path) -> Graph:
    return record("gcp", REGION, packages, project=PROJECT)


def test_a_deployment_breaks_no_rule(graph: Graph) -> None:
    assert broken(graph, rules()) == {}


@pytest.mark.parametrize(
    "choices",
    [
        {"python": "3.14", "name": "a-b-c-d-e-f-g-h-i-j-k-l-m-n-o-p", "jobs": {"spot": False}, "concurrency": 5},
        {"budget": {"usd": 20, "email": "ops@example.com"}, "tags": {"team": "delay"}, "protect": False},
        {"callers": ["group:analysts@example.com"], "keep_days": 7, "log_days": 90},
    ],
    ids=", ".join,
)
def test_no_choice_breaks_a_rule(packages: Path, choices: dict[str, Any]) -> None:
    assert broken(record("gcp", REGION, packages, project=PROJECT, **choices), rules()) == {}


@pytest.mark.parametrize("planted", PLANTED, ids=str)
def test_a_planted_mistake_is_found_by_the_rules_for_it(graph: Graph, planted: Planted) -> None:
    found = broken(planted.plant(graph), rules())

    assert tuple(sorted(found)) == planted.found_by, found


def test_every_function_of_the_catalogue_is_deployed_as_its_entry_says(graph: Graph) -> None:
    deployed = {settings(one)["SAMARA_FUNCTION"]: one.inputs for one in graph.of(FUNCTION)}

    for spec in CATALOGUE:
        service, build = deployed[spec.name]["serviceConfig"], deployed[spec.name]["buildConfig"]
        assert service["availableMemory"] == f"{spec.memory_mb}Mi"
        assert service["timeoutSeconds"] == spec.timeout_s
        assert service["minInstanceCount"] == 0
        assert (build["runtime"], build["entryPoint"]) == ("python313", "function")
    assert len(deployed) == len(CATALOGUE)


def test_a_function_is_told_no_more_than_it_needs(graph: Graph) -> None:
    plain = {"SAMARA_PROVIDER", "SAMARA_FUNCTION", "SAMARA_STORE"}

    jobs = {"SAMARA_JOBS", "SAMARA_CODE"}

    assert set(settings(graph.named("samara-feedback"))) == {*plain, "SAMARA_PRIVATE"}
    assert set(settings(graph.named("samara-predict"))) == {*plain, "SAMARA_CALLER", "SAMARA_PRIVATE"}
    assert set(settings(graph.named("samara-ingest"))) == {*plain, "SAMARA_CALLER"}
    assert set(settings(graph.named("samara-train"))) == {*plain, "SAMARA_CALLER", "SAMARA_PRIVATE", *jobs}
    assert set(settings(graph.named("samara-score"))) == {*plain, "SAMARA_CALLER", *jobs}
    assert settings(graph.named("samara-reconcile"))["SAMARA_BUS"] == f"pubsub://{PROJECT}/samara-objects"


@pytest.mark.parametrize("gpu", ["none", "t4", "h100"])
def test_the_address_of_jobs_is_one_that_the_provider_reads(packages: Path, gpu: str) -> None:
    deployed = record("gcp", REGION, packages, project=PROJECT, jobs={"gpu": gpu})
    address = settings(deployed.named("samara-train"))["SAMARA_JOBS"]

    machines, endpoint = machines_of(address.replace("${samara-train-job-account#email}", "job@acme.example"))

    assert (machines.project, machines.region, machines.account) == (PROJECT, REGION, "job@acme.example")
    assert machines.image == "public.ecr.aws/docker/library/python:3.13-slim"
    assert machines.spot
    assert endpoint is None
    assert bool(machines.gpu or machines.gpu_machine) == (gpu != "none")


def test_code_lies_where_its_content_says(graph: Graph) -> None:
    listed = {one.inputs["name"]: one.inputs["source"]["file"] for one in graph.of(OBJECT)}

    assert len(listed) == len(CATALOGUE) + 1, "a package for each function, and the job's"
    for one in graph.of(FUNCTION):
        source = one.inputs["buildConfig"]["source"]["storageSource"]["object"]
        assert listed[source].endswith(f"/{settings(one)['SAMARA_FUNCTION']}.zip")
    assert listed[settings(graph.named("samara-train"))["SAMARA_CODE"]].endswith("/train-job.zip")


def test_a_filter_lets_through_new_objects_and_the_wakes_that_name_its_function(graph: Graph) -> None:
    assert graph.named("samara-train-events").inputs["filter"] == (
        '(attributes.eventType="OBJECT_FINALIZE" AND '
        '(hasPrefix(attributes.objectId,"validations/") OR hasPrefix(attributes.objectId,"drift/")))'
        ' OR attributes.wake="train"'
    )


def test_an_event_is_waited_for_as_long_as_pubsub_can(graph: Graph) -> None:
    waits = {one.name: one.inputs["ackDeadlineSeconds"] for one in graph.of(SUBSCRIPTION)}

    assert waits["samara-ingest-events"] == 600, "ingest may take longer; then the event comes again"
    assert waits["samara-train-events"] == 130


def test_the_clock_calls_as_many_functions_as_it_calls_for_nothing(graph: Graph) -> None:
    assert {one.inputs["httpTarget"]["uri"] for one in graph.of(SCHEDULE)} == {
        "${samara-drift#serviceConfig.uri}/_events/tick",
        "${samara-predict#serviceConfig.uri}/_events/tick",
        "${samara-reconcile#serviceConfig.uri}/_events/tick",
    }


def test_everybody_is_no_caller(packages: Path) -> None:
    with pytest.raises(RuntimeError, match="allUsers is everybody"):
        record("gcp", REGION, packages, project=PROJECT, callers=["allUsers"])


def test_people_are_told_where_to_go_next(graph: Graph) -> None:
    assert set(graph.outputs["urls"]) == {"train", "predict", "feedback", "dashboard"}
    assert graph.outputs["store"] == "gs://acme-flights-samara"
    assert graph.outputs["next"][0] == "export SAMARA_STORE=gs://acme-flights-samara"
