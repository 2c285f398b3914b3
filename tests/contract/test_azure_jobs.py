"""Jobs on Azure, asked for in the words of its REST reference and answered from `recorded/azure` over real HTTP.

That the service answers so has not been tried. `recorded/azure/README.md` says where the words are from.
"""

import json
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import unquote

import pytest
from azure.core.credentials import AccessToken

from samara.errors import Misconfigured, Rejected, Unavailable, Unsupported
from samara.ports import Job, JobStatus
from samara.providers import azure_batch, azure_jobs, load
from samara.providers.azure_batch import BatchArrays
from samara.providers.azure_jobs import ContainerAppsJobs, Place, fit, resources
from samara.providers.azure_rest import Rest
from samara.settings import Settings
from tests.emulators.listening import listening

RECORDED = Path(__file__).parent / "recorded/azure"
GROUP = "/subscriptions/5ab0e4c1-0000-4000-8000-000000000001/resourceGroups/mlops"
IDENTITY = f"{GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/trainer"
PLACE = Place(GROUP, "jobs", "westeurope", "acme.azurecr.io/samara:1", "acme.azurecr.io", IDENTITY)
ENVIRONMENT = {"SAMARA_PROVIDER": "azure", "SAMARA_STORE": "az://acme/mlops"}
JOB = Job("late-9f2c", "functions.train.job", ("runs/late/9f2c.json",), 3600)
ARRAY = JOB._replace(tasks=2)

Conversation = list[dict[str, Any]]


@dataclass
class Azure:
    """Gives the answers it was told, one after another, and remembers what it was asked."""

    url: str = ""
    answers: deque[dict[str, Any]] = field(default_factory=deque)
    asked: Conversation = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    media: list[str] = field(default_factory=list)

    def expects(self, conversation: Conversation) -> None:
        self.answers.extend(exchange["answered"] for exchange in conversation)


class Handler(BaseHTTPRequestHandler):
    azure: ClassVar[Azure]

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        asked = {"method": self.command, "path": unquote(self.path)}
        self.azure.asked.append({**asked, "body": json.loads(body)} if body else asked)
        self.azure.tokens.append(self.headers["Authorization"])
        self.azure.media.append(self.headers["Content-Type"])
        answer = self.azure.answers.popleft() if self.azure.answers else {"status": 418}
        data = json.dumps(answer["body"]).encode() if "body" in answer else b""
        self.send_response(answer["status"])
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_PUT = do_POST = do_PATCH = answer  # noqa: N815  # names of http.server

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def azure() -> Iterator[Azure]:
    with serving() as azure:
        yield azure


@contextmanager
def serving() -> Iterator[Azure]:
    azure = Azure()
    with listening(type("Answers", (Handler,), {"azure": azure})) as port:
        azure.url = f"http://127.0.0.1:{port}"
        yield azure


class Known:
    """A credential that names what a token was asked for."""

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        return AccessToken(f"token-for-{scopes[0]}", 1 << 40)


@pytest.fixture
def jobs(azure: Azure) -> ContainerAppsJobs:
    arm = Rest(azure.url, azure_jobs.VERSION, Known(), "https://management.azure.com/.default", "application/json")
    batch = Rest(azure.url, azure_batch.VERSION, Known(), azure_batch.SCOPE, azure_batch.MEDIA)
    arrays = BatchArrays(batch, "gpus", PLACE.image, ENVIRONMENT)
    return ContainerAppsJobs(arm, PLACE, arrays, ENVIRONMENT, poll_s=0.001)


def recorded(name: str) -> Conversation:
    conversation: Conversation = json.loads((RECORDED / name).read_text())
    return conversation


@pytest.mark.parametrize(
    ("name", "verb"),
    [
        ("submit.json", lambda jobs: jobs.submit(JOB)),
        ("cancel.json", lambda jobs: jobs.cancel("late-9f2c")),
        ("submit_array.json", lambda jobs: jobs.submit(ARRAY)),
        ("status_of_array.json", lambda jobs: jobs.status("late-9f2c")),
        ("cancel_array.json", lambda jobs: jobs.cancel("late-9f2c")),
    ],
)
def test_azure_is_asked_in_the_words_of_its_reference(
    azure: Azure, jobs: ContainerAppsJobs, name: str, verb: Callable[[ContainerAppsJobs], object]
) -> None:
    azure.expects([*recorded(name), *no_arrays()])

    verb(jobs)

    conversation = recorded(name)
    assert azure.asked[: len(conversation)] == [exchange["asked"] for exchange in conversation]


def test_each_service_gets_the_token_and_the_media_type_it_wants(azure: Azure, jobs: ContainerAppsJobs) -> None:
    azure.expects([*recorded("submit.json"), *recorded("submit_array.json")])

    jobs.submit(JOB)
    jobs.submit(ARRAY)

    assert azure.tokens == [
        *["Bearer token-for-https://management.azure.com/.default"] * 4,
        *["Bearer token-for-https://batch.core.windows.net/.default"] * 4,
    ]
    assert azure.media[1] == "application/json"
    assert azure.media[5] == "application/json; odata=minimalmetadata"


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (["Processing"], JobStatus.QUEUED),
        (["Running"], JobStatus.RUNNING),
        (["Unknown"], JobStatus.RUNNING),
        (["SomethingNew"], JobStatus.RUNNING),
        (["Succeeded"], JobStatus.SUCCEEDED),
        (["Failed"], JobStatus.FAILED),
        (["Degraded"], JobStatus.FAILED),
        (["Stopped"], JobStatus.FAILED),
        (["Failed", "Running"], JobStatus.RUNNING),
        (["Succeeded", "Failed"], JobStatus.SUCCEEDED),
    ],
)
def test_a_job_is_where_its_best_execution_is(
    azure: Azure, jobs: ContainerAppsJobs, said: Sequence[str], status: JobStatus
) -> None:
    azure.expects(executions(*said))

    assert jobs.status("late-9f2c") is status


def test_a_job_nobody_submitted_is_lost(azure: Azure, jobs: ContainerAppsJobs) -> None:
    azure.expects([recorded("submit.json")[0], *no_arrays()])

    assert jobs.status("late-9f2c") is JobStatus.LOST


@pytest.mark.parametrize("said", ["Processing", "Running", "Unknown", "Succeeded"])
def test_a_job_that_lives_or_has_succeeded_is_not_started_again(
    azure: Azure, jobs: ContainerAppsJobs, said: str
) -> None:
    azure.expects(executions(said))

    assert jobs.submit(JOB) == "late-9f2c"

    assert len(azure.asked) == 1


@pytest.mark.parametrize("said", ["Failed", "Stopped", "Degraded"])
def test_a_dead_job_is_started_again(azure: Azure, jobs: ContainerAppsJobs, said: str) -> None:
    azure.expects([*executions(said), *recorded("submit.json")[1:]])

    jobs.submit(JOB)

    assert azure.asked[-1] == recorded("submit.json")[-1]["asked"]


def test_what_has_ended_is_not_stopped(azure: Azure, jobs: ContainerAppsJobs) -> None:
    azure.expects([*executions("Succeeded"), *no_arrays()])

    jobs.cancel("late-9f2c")

    assert {asked["method"] for asked in azure.asked} == {"GET"}


def test_executions_are_read_page_by_page(azure: Azure, jobs: ContainerAppsJobs) -> None:
    first, second = executions("Failed")[0], executions("Succeeded")[0]
    first["answered"]["body"]["nextLink"] = f"{azure.url}/next?api-version=2024-03-01&token=2"
    azure.expects([first, second])

    assert jobs.status("late-9f2c") is JobStatus.SUCCEEDED
    assert azure.asked[1]["path"] == "/next?api-version=2024-03-01&token=2"


def test_a_token_does_not_follow_a_link_to_another_server(azure: Azure, jobs: ContainerAppsJobs) -> None:
    with serving() as stranger:
        page = executions("Running")[0]
        page["answered"]["body"]["nextLink"] = f"{stranger.url}/next?api-version=2024-03-01"
        azure.expects([page, {"answered": {"status": 404}}])

        assert jobs.status("late-9f2c") is JobStatus.RUNNING

        assert stranger.asked == []


def test_a_gpu_comes_with_its_profile(azure: Azure, jobs: ContainerAppsJobs) -> None:
    arm = Rest(azure.url, azure_jobs.VERSION, Known(), "scope", "application/json")
    with_gpus = ContainerAppsJobs(arm, replace(PLACE, profile="t4"), None, ENVIRONMENT, poll_s=0.001)
    azure.expects(recorded("submit.json"))

    with_gpus.submit(JOB._replace(gpus=1, memory_mb=16384))

    described = azure.asked[1]["body"]["properties"]
    assert described["workloadProfileName"] == "t4"
    assert described["template"]["containers"][0]["resources"] == {"cpu": 4.0, "memory": "16Gi"}


@pytest.mark.parametrize(
    ("memory_mb", "expected"),
    [
        (1, {"cpu": 0.25, "memory": "0.5Gi"}),
        (512, {"cpu": 0.25, "memory": "0.5Gi"}),
        (513, {"cpu": 0.5, "memory": "1Gi"}),
        (4096, {"cpu": 2.0, "memory": "4Gi"}),
        (8192, {"cpu": 4.0, "memory": "8Gi"}),
    ],
)
def test_memory_comes_with_half_as_many_processors(memory_mb: int, expected: dict[str, object]) -> None:
    assert resources(JOB._replace(memory_mb=memory_mb), "") == expected


@pytest.mark.parametrize(
    ("job", "profile", "error", "why"),
    [
        (JOB._replace(memory_mb=8193), "", Unsupported, "gives 8"),
        (JOB._replace(gpus=2), "t4", Unsupported, "gives one"),
        (JOB._replace(gpus=1), "", Misconfigured, "profile="),
    ],
)
def test_what_container_apps_do_not_have_is_refused(job: Job, profile: str, error: type[Exception], why: str) -> None:
    with pytest.raises(error, match=why):
        resources(job, profile)


def test_an_array_needs_an_account_of_azure_batch(azure: Azure) -> None:
    arm = Rest(azure.url, azure_jobs.VERSION, Known(), "scope", "application/json")

    with pytest.raises(Unsupported, match="several tasks"):
        ContainerAppsJobs(arm, PLACE, None, ENVIRONMENT).submit(ARRAY)

    assert azure.asked == []


@pytest.mark.parametrize("name", ["", "..", "../a", "a/b", "a\0b", "a b", "x" * 129])
@pytest.mark.parametrize("verb", ["submit", "status", "cancel"])
def test_an_unsound_name_is_refused(azure: Azure, jobs: ContainerAppsJobs, verb: str, name: str) -> None:
    with pytest.raises(Rejected):
        getattr(jobs, verb)(JOB._replace(name=name) if verb == "submit" else name)

    assert azure.asked == []


@pytest.mark.parametrize("name", ["late-9f2c", "9", "A.b_C", "a--b", "x" * 128])
def test_a_fit_name_is_one_azure_takes(name: str) -> None:
    fitted = fit(name)

    assert len(fitted) <= 32
    assert fitted[0].isalpha()
    assert fitted[-1].isalnum()
    assert "--" not in fitted
    assert set(fitted) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


def test_names_that_look_alike_to_azure_stay_two_jobs() -> None:
    assert len({fit(name) for name in ("late", "Late", "late-", "late_", "x" * 127, "x" * 128)}) == 6


@pytest.mark.parametrize(
    ("status", "error"),
    [(400, Misconfigured), (403, Misconfigured), (404, Misconfigured), (409, Unavailable), (429, Unavailable)],
)
def test_a_refusal_says_what_azure_says(
    azure: Azure, jobs: ContainerAppsJobs, status: int, error: type[Exception]
) -> None:
    told = {"error": {"code": "SomeCode", "message": "in its own words"}}
    azure.expects([recorded("submit.json")[0], {"answered": {"status": status, "body": told}}])

    with pytest.raises(error, match="SomeCode: in its own words"):
        jobs.submit(JOB)


def test_reading_is_tried_again_and_starting_is_not(azure: Azure, jobs: ContainerAppsJobs) -> None:
    busy = {"answered": {"status": 503}}
    azure.expects([busy, *recorded("submit.json")[:-1], busy])

    with pytest.raises(Unavailable, match="503"):
        jobs.submit(JOB)

    assert [asked["path"].count("/start") for asked in azure.asked] == [0, 0, 0, 0, 1]


def test_a_job_azure_could_not_set_up_is_a_deployment_mistake(azure: Azure, jobs: ContainerAppsJobs) -> None:
    absent, created, now, _ = recorded("submit.json")
    now["answered"]["body"]["properties"]["provisioningState"] = "Failed"
    azure.expects([absent, created, now])

    with pytest.raises(Misconfigured, match="could not set it up"):
        jobs.submit(JOB)


@pytest.mark.parametrize(
    ("found", "counts", "status"),
    [
        (("active", None), {"active": 2}, JobStatus.QUEUED),
        (("active", None), {"active": 1, "running": 1}, JobStatus.RUNNING),
        (("active", None), {"active": 1, "succeeded": 1}, JobStatus.RUNNING),
        (("active", None), {"running": 1, "failed": 1}, JobStatus.RUNNING),
        (("active", None), {}, JobStatus.QUEUED),
        (("active", None), {"succeeded": 2}, JobStatus.SUCCEEDED),
        (("completed", "AllTasksComplete"), {"succeeded": 2}, JobStatus.SUCCEEDED),
        (("completed", "AllTasksComplete"), {"succeeded": 1, "failed": 1}, JobStatus.FAILED),
        (("completed", "AllTasksComplete"), {"succeeded": 1}, JobStatus.RUNNING),  # the counts come late
        (("completed", "cancelled"), {"succeeded": 1}, JobStatus.FAILED),
    ],
)
def test_an_array_is_where_its_tasks_are(
    jobs: ContainerAppsJobs, azure: Azure, found: tuple[str, str | None], counts: dict[str, int], status: JobStatus
) -> None:
    azure.expects(array(*found, counts))

    assert jobs.status("late-9f2c") is status


def test_a_failed_array_starts_again_under_the_next_number(azure: Azure, jobs: ContainerAppsJobs) -> None:
    _, listed, counted = array("completed", "AllTasksComplete", {"succeeded": 1, "failed": 1})
    azure.expects([listed, counted, *recorded("submit_array.json")[1:]])

    jobs.submit(ARRAY)

    assert azure.asked[2]["body"]["id"].endswith("_0002")


def test_an_array_that_lives_is_not_started_again(azure: Azure, jobs: ContainerAppsJobs) -> None:
    azure.expects(recorded("status_of_array.json")[1:])

    jobs.submit(ARRAY)

    assert {asked["method"] for asked in azure.asked} == {"GET"}


def test_an_array_whose_submission_was_interrupted_gets_the_tasks_it_lacks(
    azure: Azure, jobs: ContainerAppsJobs
) -> None:
    _, listed, counted = array("active", None, {"active": 1})
    listed["answered"]["body"]["value"][0]["onAllTasksComplete"] = "noaction"
    _, _, added, told_to_end = recorded("submit_array.json")
    added["answered"]["body"]["value"][0] = {
        "status": "clienterror",
        "taskId": "00000",
        "error": {"code": "TaskExists"},
    }
    azure.expects([listed, counted, added, told_to_end])

    jobs.submit(ARRAY)

    assert [asked["method"] for asked in azure.asked] == ["GET", "GET", "POST", "PATCH"]


def test_a_task_azure_does_not_take_is_reported(azure: Azure, jobs: ContainerAppsJobs) -> None:
    absent, created, added, _ = recorded("submit_array.json")
    refused = {"status": "clienterror", "taskId": "00001", "error": {"code": "InvalidPropertyValue"}}
    added["answered"]["body"]["value"][1] = refused
    azure.expects([absent, created, added])

    with pytest.raises(Misconfigured, match="did not take task 00001: InvalidPropertyValue"):
        jobs.submit(ARRAY)


def test_many_tasks_are_added_a_hundred_at_a_time(azure: Azure, jobs: ContainerAppsJobs) -> None:
    absent, created, added, told_to_end = recorded("submit_array.json")
    azure.expects([absent, created, added, added, added, told_to_end])

    jobs.submit(JOB._replace(tasks=250))

    assert [len(asked["body"]["value"]) for asked in azure.asked[2:5]] == [100, 100, 50]


def test_an_array_two_have_begun_at_once_is_one(azure: Azure, jobs: ContainerAppsJobs) -> None:
    absent, created, *rest = recorded("submit_array.json")
    created["answered"] = {"status": 409, "body": {"code": "JobExists", "message": {"lang": "en-US", "value": "…"}}}
    azure.expects([absent, created, *rest])

    jobs.submit(ARRAY)

    assert azure.asked[-1]["method"] == "PATCH"


ADDRESS = "containerapps://5ab0/mlops/jobs?region=westeurope&image=samara:1"


@pytest.mark.parametrize(
    "address",
    [
        "",
        "batch://queue",
        "containerapps://5ab0/mlops",
        "containerapps://5ab0/mlops/jobs",
        f"{ADDRESS}&pool=gpus",
        f"{ADDRESS}&registry=acme.azurecr.io",
        f"{ADDRESS}&colour=red",
        f"{ADDRESS}&endpoint=http://elsewhere",
    ],
)
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(Misconfigured):
        load("azure").job_runner(Settings(provider="azure", jobs=address))


def test_jobs_run_where_the_address_says() -> None:
    address = f"{ADDRESS}&batch=acme.westeurope&pool=gpus&profile=t4"

    assert isinstance(load("azure").job_runner(Settings(provider="azure", jobs=address)), ContainerAppsJobs)


def executions(*said: str) -> Conversation:
    (exchange, _) = recorded("cancel.json")
    (one,) = exchange["answered"]["body"]["value"]
    exchange["answered"]["body"]["value"] = runs = [deepcopy(one) for _ in said]
    for run, status in zip(runs, said, strict=True):
        run["properties"]["status"] = status
    return [exchange]


def array(state: str, reason: str | None, counts: dict[str, int]) -> Conversation:
    conversation = recorded("status_of_array.json")
    (found,) = conversation[1]["answered"]["body"]["value"]
    found["state"] = state
    if reason:
        found["executionInfo"]["terminateReason"] = reason
    nothing = {"active": 0, "running": 0, "completed": 0, "succeeded": 0, "failed": 0}
    conversation[2]["answered"]["body"]["taskCounts"] = {**nothing, **counts}
    return conversation


def no_arrays() -> Conversation:
    return recorded("submit_array.json")[:1]
