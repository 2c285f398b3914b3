"""What is particular about Google Batch: its ids, its requests, its states. That jobs run is asked in `test_jobs`."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest

from samara import providers
from samara.errors import Misconfigured, Unavailable
from samara.ports import Job, JobRunner, JobStatus
from samara.providers import certainty
from samara.providers.gcp_jobs import STATUS, identities, machines_of, request
from samara.settings import Settings
from tests.emulators.google_batch import Batch, address, recorded, served, strange
from tests.emulators.unreliable import Fault, network

JOBS = "projects/acme-ml/locations/europe-west4/jobs"
TRAIN = Job("late-1", "functions.train.job", ("runs/late/1.json",), time_limit_s=3599.5, memory_mb=8192)


@pytest.fixture
def batch() -> Batch:
    """A service that runs nothing: its jobs are as a test says."""
    return Batch()


@pytest.fixture
def runner(batch: Batch) -> Iterator[JobRunner]:
    with served(batch) as at:
        yield runner_at(address(at))


@pytest.fixture
def in_haste(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certainty, "FIRST_S", 0.001)
    monkeypatch.setattr(certainty, "MOST_S", 0.01)


def runner_at(jobs: str) -> JobRunner:
    return providers.load("gcp").job_runner(Settings(provider="gcp", store="gs://flights", jobs=jobs))


def test_a_job_is_asked_for_as_google_describes_it(runner: JobRunner, batch: Batch) -> None:
    runner.submit(TRAIN)

    ((verb, path, query, body),) = batch.asked
    assert (verb, path, query["jobId"]) == ("POST", f"/v1/{JOBS}", "late-1")
    assert UUID(query["requestId"]).int
    (group,) = body["taskGroups"]
    variables = group["taskSpec"].pop("environment")["variables"]
    assert variables.items() >= {"SAMARA_PROVIDER": "gcp", "SAMARA_STORE": "gs://flights", "TASK_COUNT": "1"}.items()
    assert body == {
        "taskGroups": [
            {
                "taskCount": "1",
                "parallelism": "1",
                "taskSpec": {
                    "runnables": [
                        {
                            "container": {
                                "imageUri": "python:3.13",
                                "commands": ["python", "-m", "functions.train.job", "runs/late/1.json"],
                            }
                        }
                    ],
                    "computeResource": {"memoryMib": "8192"},
                    "maxRunDuration": "3600s",
                },
            }
        ],
        "allocationPolicy": {
            "location": {"allowedLocations": ["regions/europe-west4"]},
            "instances": [{"policy": {"provisioningModel": "STANDARD"}}],
            "labels": {"samara-job": "late-1"},
        },
        "labels": {"samara-job": "late-1"},
        "logsPolicy": {"destination": "CLOUD_LOGGING"},
    }


def asked_for(job: Job, options: str) -> dict[str, Any]:
    """The request for a job on the machines of an address, which knows nothing that Google does not."""
    machines, _ = machines_of(f"batch://acme-ml/europe-west4?image=python:3.13{options}")
    document = request(job, machines, {})
    assert strange(document, "Job", recorded("batch-v1")) == ""
    return document


def test_a_job_with_a_gpu_gets_a_machine_with_one_and_its_drivers() -> None:
    job = Job("late-1", "functions.train.job", (), time_limit_s=60, gpus=2)

    document = asked_for(job, "&machine=e2-standard-4&gpu=nvidia-l4&gpu-machine=g2-standard-24")

    assert document["allocationPolicy"]["instances"] == [
        {
            "installGpuDrivers": True,
            "policy": {
                "provisioningModel": "STANDARD",
                "machineType": "g2-standard-24",
                "accelerators": [{"type": "nvidia-l4", "count": "2"}],
            },
        }
    ]
    assert document["taskGroups"][0]["taskCountPerNode"] == "1"


def test_a_machine_may_have_its_gpus_built_in() -> None:
    job = Job("late-1", "functions.train.job", (), time_limit_s=60, gpus=1)

    (instance,) = asked_for(job, "&gpu-machine=a2-highgpu-1g")["allocationPolicy"]["instances"]

    assert instance["policy"] == {"provisioningModel": "STANDARD", "machineType": "a2-highgpu-1g"}


def test_a_job_without_gpus_pays_for_none() -> None:
    (instance,) = asked_for(TRAIN, "&machine=e2-standard-4&gpu=nvidia-l4")["allocationPolicy"]["instances"]

    assert instance == {"policy": {"provisioningModel": "STANDARD", "machineType": "e2-standard-4"}}


def test_a_spot_machine_that_is_taken_away_is_replaced_and_a_program_that_fails_is_not_repeated() -> None:
    document = asked_for(TRAIN, "&spot=true&account=jobs@acme-ml.iam.gserviceaccount.com")

    policy = document["allocationPolicy"]
    assert policy["instances"] == [{"policy": {"provisioningModel": "SPOT"}}]
    assert policy["serviceAccount"] == {"email": "jobs@acme-ml.iam.gserviceaccount.com"}
    spec = document["taskGroups"][0]["taskSpec"]
    assert spec["maxRetryCount"] == 5
    assert spec["lifecyclePolicies"] == [{"action": "RETRY_TASK", "actionCondition": {"exitCodes": [50001]}}]


def test_an_array_is_one_group_of_tasks_that_run_side_by_side() -> None:
    job = Job("sweep-1", "functions.train.job", (), time_limit_s=60, tasks=20)

    (group,) = asked_for(job, "")["taskGroups"]

    assert (group["taskCount"], group["parallelism"]) == ("20", "20")
    assert group["taskSpec"]["environment"]["variables"] == {"TASK_COUNT": "20"}


def test_a_field_that_google_does_not_have_would_be_noticed() -> None:
    document = asked_for(TRAIN, "")
    document["taskGroups"][0]["taskSpec"]["timeLimit"] = "60s"

    assert strange(document, "Job", recorded("batch-v1")) == "Unknown name 'timeLimit' at TaskSpec"
    assert strange({"taskGroups": [{"taskCount": 1}]}, "Job", recorded("batch-v1")) == "1 is no int64"


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("late-1", "late-1"),
        ("l", "l"),
        ("x" * 58, "x" * 58),
        ("Late_1", "late-1-de98d6f4cbe146fa"),
        ("late-1-r2", "late-1-r2-39385845b2a62bb5"),
        ("x" * 63, f"{'x' * 39}-284f36d05af5e107"),
        ("9a", "job-7d019c2513ef349d"),
        ("ü", "job-25430e7ac849b692"),
    ],
)
def test_a_jobs_id_tells_its_name_as_far_as_google_allows(name: str, first: str) -> None:
    ids = identities(name)

    assert [next(ids), next(ids), next(ids)] == [first, f"{first}-r2", f"{first}-r3"]


def test_every_state_google_has_is_one_of_ours() -> None:
    states = recorded("batch-v1")["JobStatus"]["state"]["enum"]

    assert set(STATUS) == set(states) - {"STATE_UNSPECIFIED"}


@pytest.mark.parametrize(("state", "status"), [*STATUS.items(), ("SOMETHING_NEW", JobStatus.QUEUED)])
def test_a_jobs_state_is_told_in_our_words(runner: JobRunner, batch: Batch, state: str, status: JobStatus) -> None:
    handle = runner.submit(TRAIN)

    batch.state(f"{JOBS}/late-1", state)

    assert runner.status(handle) is status


@pytest.mark.parametrize("state", ["QUEUED", "SCHEDULED", "RUNNING", "SUCCEEDED"])
def test_a_job_that_is_alive_or_has_succeeded_is_found_not_started(runner: JobRunner, batch: Batch, state: str) -> None:
    runner.submit(TRAIN)
    batch.state(f"{JOBS}/late-1", state)

    runner.submit(TRAIN)

    assert list(batch.jobs) == [f"{JOBS}/late-1"]


@pytest.mark.parametrize("state", ["FAILED", "CANCELLED", "CANCELLATION_IN_PROGRESS", "DELETION_IN_PROGRESS"])
def test_a_dead_job_stays_and_the_next_start_has_an_id_of_its_own(runner: JobRunner, batch: Batch, state: str) -> None:
    handle = runner.submit(TRAIN)
    batch.state(f"{JOBS}/late-1", state)

    runner.submit(TRAIN)
    runner.submit(TRAIN)

    assert list(batch.jobs) == [f"{JOBS}/late-1", f"{JOBS}/late-1-r2"]
    assert runner.status(handle) is JobStatus.QUEUED, "which is that of the last start"
    batch.state(f"{JOBS}/late-1-r2", "FAILED")
    assert runner.status(handle) is JobStatus.FAILED


def test_what_is_cancelled_is_the_last_start(runner: JobRunner, batch: Batch) -> None:
    handle = runner.submit(TRAIN)
    batch.state(f"{JOBS}/late-1", "FAILED")
    runner.submit(TRAIN)

    runner.cancel(handle)

    verb, path, _, body = batch.asked[-1]
    assert (verb, path, list(body)) == ("POST", f"/v1/{JOBS}/late-1-r2:cancel", ["requestId"])
    assert runner.status(handle) is JobStatus.FAILED


@pytest.mark.usefixtures("in_haste")
@pytest.mark.parametrize("fault", [Fault.LOST, Fault.BUSY, Fault.RESET])
def test_a_submission_whose_answer_is_lost_starts_one_job(batch: Batch, fault: Fault) -> None:
    faults = iter([fault])
    with served(batch) as at, network(at) as net:
        net.plan = lambda _: next(faults, None)
        runner_at(net.through(address(at))).submit(TRAIN)

    assert net.faults == [fault]
    assert list(batch.jobs) == [f"{JOBS}/late-1"]
    assert len({query["requestId"] for _, _, query, _ in batch.asked}) == 1, "by which Google knows it again"


@pytest.mark.usefixtures("in_haste")
def test_a_service_that_cannot_be_reached_is_unavailable(batch: Batch) -> None:
    with served(batch) as at, network(at) as net:
        net.plan = lambda _: Fault.RESET
        runner = runner_at(net.through(address(at)))

        with pytest.raises(Unavailable, match="late-1"):
            runner.submit(TRAIN)
        with pytest.raises(Unavailable, match="late-1"):
            runner.status("late-1")


def test_a_request_google_refuses_is_a_mistake_of_the_deployment(batch: Batch) -> None:
    with served(batch) as at, pytest.raises(Misconfigured, match="late-1: asks for a GPU and SAMARA_JOBS names none"):
        runner_at(address(at)).submit(Job("late-1", "functions.train.job", (), time_limit_s=60, gpus=1))

    assert batch.asked == []


@pytest.mark.parametrize(
    ("jobs", "why"),
    [
        ("", "SAMARA_JOBS: is not set"),
        ("flights", "not an address"),
        ("s3://acme-ml/europe-west4?image=x", "not an address of Google Batch"),
        ("batch://Acme/europe-west4?image=x", "not the id of a project"),
        ("batch://acme-ml?image=x", "names no region"),
        ("batch://acme-ml/europe?image=x", "names no region"),
        ("batch://acme-ml/europe-west4", "names no image"),
        ("batch://acme-ml/europe-west4?image=", "names no image"),
        ("batch://acme-ml/europe-west4?image=x&machine=", "has no value"),
        ("batch://acme-ml/europe-west4?image=x&spot=yes", "spot is true or false"),
        ("batch://acme-ml/europe-west4?image=x&zone=a", "no such option: zone"),
        ("batch://acme-ml/europe-west4?image=x&endpoint=http://batch.example", "https://"),
    ],
)
def test_an_address_that_cannot_be_meant_is_refused(jobs: str, why: str) -> None:
    with pytest.raises(Misconfigured, match=why):
        runner_at(jobs)
