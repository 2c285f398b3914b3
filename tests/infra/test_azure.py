"""What a deployment on Azure is, read from the graph that the program would hand to Pulumi."""

from pathlib import Path
from typing import Any

import pytest

from functions.catalogue import CATALOGUE
from samara.providers.azure_jobs import job_runner
from samara.settings import Settings
from tests.infra.graph import Graph, record, stand_ins
from tests.infra.planted_aws import Planted
from tests.infra.planted_azure import PLANTED
from tests.infra.policies import broken
from tests.infra.policies_azure import APP, ASSIGNMENT, deployed, queues, rules, settings

REGION, SUBSCRIPTION = "westeurope", "11111111-2222-3333-4444-555555555555"


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stand_ins(tmp_path_factory.mktemp("packages"))


@pytest.fixture(scope="module")
def graph(packages: Path) -> Graph:
    return record("azure", REGION, packages, project=SUBSCRIPTION)


def test_a_deployment_breaks_no_rule(graph: Graph) -> None:
    assert broken(graph, rules()) == {}


@pytest.mark.parametrize(
    "choices",
    [
        {"python": "3.12", "name": "a-b-c-d-e-f-g-h-i-j-k-l-m-n-o-p", "keep_days": 7, "log_days": 90},
        {"budget": {"usd": 20, "email": "ops@example.com"}, "tags": {"team": "delay"}, "protect": False},
    ],
    ids=", ".join,
)
def test_no_choice_breaks_a_rule(packages: Path, choices: dict[str, Any]) -> None:
    assert broken(record("azure", REGION, packages, project=SUBSCRIPTION, **choices), rules()) == {}


@pytest.mark.parametrize("planted", PLANTED, ids=str)
def test_a_planted_mistake_is_found_by_the_rules_for_it(graph: Graph, planted: Planted) -> None:
    found = broken(planted.plant(graph), rules())

    assert sorted(found) == sorted(planted.found_by), found


def test_every_function_of_the_catalogue_is_deployed_as_its_entry_says(graph: Graph) -> None:
    for spec in CATALOGUE:
        config = deployed(graph)[spec.name].inputs["functionAppConfig"]
        assert config["scaleAndConcurrency"]["instanceMemoryMB"] >= spec.memory_mb
        assert config["runtime"] == {"name": "python", "version": "3.13"}
    assert len(graph.of(APP)) == len(CATALOGUE)


def test_a_function_is_told_no_more_than_it_needs(graph: Graph) -> None:
    ours = {name: {key for key in settings(app) if key.startswith("SAMARA_")} for name, app in deployed(graph).items()}
    plain = {"SAMARA_PROVIDER", "SAMARA_FUNCTION", "SAMARA_STORE"}

    assert ours["ingest"] == plain
    assert ours["train"] == {*plain, "SAMARA_JOBS", "SAMARA_CODE"}
    assert ours["reconcile"] == {*plain, "SAMARA_JOBS", "SAMARA_CODE", "SAMARA_BUS"}


@pytest.mark.parametrize("gpu", ["none", "t4"])
def test_the_address_of_jobs_is_one_that_the_provider_reads(packages: Path, gpu: str) -> None:
    apps = deployed(record("azure", REGION, packages, project=SUBSCRIPTION, jobs={"gpu": gpu}))
    address = settings(apps["train"])["SAMARA_JOBS"]
    known = {
        "${samara-jobs-group#name}": "samara-jobs",
        "${samara-jobs-environment#name}": "samara-jobs",
        "${samara-train-job-identity#id}": f"/subscriptions/{SUBSCRIPTION}/x/samara-train-job-identity",
        "${samara-train-job-identity#clientId}": "99999999-2222-3333-4444-555555555555",
    }
    for token, value in known.items():
        address = address.replace(token, value)

    assert "${" not in address
    assert job_runner(Settings(provider="azure", jobs=address))


def test_a_queue_for_each_function_that_objects_wake_and_for_what_it_gives_up(graph: Graph) -> None:
    assert set(queues(graph).values()) == {
        "dead-letters",
        *(f"{spec.name}{end}" for spec in CATALOGUE if spec.wakes_on for end in ("", "-poison", "-poison-poison")),
    }


def test_a_condition_says_where_in_one_container(graph: Graph) -> None:
    said = graph.named("samara-deadletter-creates").inputs

    blobs = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs"
    assert said["condition"] == (
        f"((!(ActionMatches{{'{blobs}/add/action'}})) OR (@Resource[{blobs}:path] StringStartsWith 'alerts/'))"
    )
    assert said["scope"] == "${samara-bucket#id}"


def test_every_condition_fits(graph: Graph) -> None:
    longest = max(len(one.inputs.get("condition", "")) for one in graph.of(ASSIGNMENT))

    assert longest < 8192


def test_callers_are_refused_since_keys_let_one_in(packages: Path) -> None:
    with pytest.raises(RuntimeError, match="name no callers"):
        record("azure", REGION, packages, project=SUBSCRIPTION, callers=["somebody"])


def test_one_script_puts_up_all_code_and_stops_at_the_first_failure(graph: Graph) -> None:
    first, upload, *apps = graph.outputs["publish"].splitlines()

    assert first == "set -e"
    assert upload.startswith("az storage blob upload --auth-mode login ")
    assert f" --name {settings(deployed(graph)['train'])['SAMARA_CODE']} " in upload, (
        "the job's, where jobs look for it"
    )
    assert [Path(line.rpartition(" --src ")[2]).stem for line in apps] == [spec.name for spec in CATALOGUE]
    assert all(line.startswith("az functionapp deployment source config-zip ") for line in apps)


def test_people_are_told_where_to_go_next(graph: Graph) -> None:
    assert set(graph.outputs["urls"]) == {"train", "predict", "feedback", "dashboard"}
    assert any("SAMARA_PROVIDER=azure" in line for line in graph.outputs["next"])
