"""Jobs of Google Batch, which starts machines for each and removes them afterwards.

It is spoken to over REST: its SDK would bring gRPC and a second of imports for four requests. They have been held
against Google's description of its API, and run against a server that answers as that says; not yet against Google.

A job's id is made of its name, and Google creates an id once. So of two who submit one name, one finds what the
other has started; and who lost the answer to a submission finds its own. A dead job stays as it is, for people to
look at, and the next start of its name has the next id: `late-1`, then `late-1-r2`. After two months Google forgets
what has ended. Then the job counts as lost, and whether there is a result decides.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any
from uuid import uuid4

from samara.core.digests import short
from samara.core.keys import sound
from samara.errors import Conflict, Misconfigured, NotFound, Rejected, Unavailable
from samara.ports import Job, JobStatus
from samara.providers.addresses import parsed
from samara.providers.certainty import patiently
from samara.providers.gcp_http import CONNECT_S, READ_S, checked, session, translated
from samara.providers.starting import command
from samara.settings import Settings

GOOGLE = "https://batch.googleapis.com"
PLAIN = re.compile(r"[a-z]([a-z0-9-]{0,56}[a-z0-9])?")  # leaves room for a -r2 within Google's 63 letters
RESTARTED = re.compile(r".*-r[0-9]+")
PROJECT = re.compile(r"[a-z][a-z0-9-]{4,28}[a-z0-9]")
REGION = re.compile(r"[a-z]+-[a-z]+[0-9]+")
SPOT_LOST = 50001  # the exit code of a task whose machine was taken away
SPOT_RETRIES = 5

STATUS = {
    "QUEUED": JobStatus.QUEUED,
    "SCHEDULED": JobStatus.QUEUED,
    "RUNNING": JobStatus.RUNNING,
    "SUCCEEDED": JobStatus.SUCCEEDED,
    "FAILED": JobStatus.FAILED,
    "CANCELLATION_IN_PROGRESS": JobStatus.FAILED,  # it will not succeed any more
    "CANCELLED": JobStatus.FAILED,
    "DELETION_IN_PROGRESS": JobStatus.FAILED,
}
ALIVE = (JobStatus.QUEUED, JobStatus.RUNNING)


@dataclass(frozen=True, slots=True)
class Machines:
    """Where jobs run, and on what. Where no machine is named, Batch chooses one that is large enough.

    GPUs of the kind `gpu` are added to the machine of a job that asks for some, unless `gpu_machine` has its own.
    """

    project: str
    region: str
    image: str
    machine: str = ""
    gpu: str = ""
    gpu_machine: str = ""
    account: str = ""
    spot: bool = False


class GoogleBatch:
    """`environment` is that of every job. `endpoint` is Google's own, unless a test says otherwise."""

    def __init__(self, machines: Machines, environment: Mapping[str, str], endpoint: str | None = None) -> None:
        self._machines = machines
        self._environment = dict(environment)
        self._session = session(endpoint)
        self._jobs = f"{endpoint or GOOGLE}/v1/projects/{machines.project}/locations/{machines.region}/jobs"

    def submit(self, job: Job) -> str:
        wish = request(job, self._machines, self._environment)
        for identity in identities(job.name):
            if self._created(job.name, identity, wish):
                break
            status = self._status(job.name, identity)
            if status is JobStatus.LOST:
                raise Unavailable(job.name, "was deleted just now; submit it again")
            if status is not JobStatus.FAILED:
                break
        return job.name

    def status(self, handle: str) -> JobStatus:
        return self._last(handle)[1]

    def cancel(self, handle: str) -> None:
        identity, status = self._last(handle)
        if status not in ALIVE:
            return
        try:
            self._call(handle, "POST", f"/{identity}:cancel", {400: Conflict}, json={"requestId": str(uuid4())})
        except Conflict as error:
            if self.status(handle) in ALIVE:
                raise Unavailable(handle, "cannot be cancelled just now") from error

    def _last(self, name: str) -> tuple[str, JobStatus]:
        """The last start of a job, and how it is."""
        last, status = "", JobStatus.LOST
        for identity in identities(name):
            found = self._status(name, identity)
            if found is JobStatus.LOST:
                break
            last, status = identity, found
            if status is not JobStatus.FAILED:
                break
        return last, status

    def _created(self, name: str, identity: str, wish: Mapping[str, Any]) -> bool:
        """Whether this has created a job of that id, rather than found one."""
        query = {"jobId": identity, "requestId": str(uuid4())}  # the second tells Google a request sent twice
        meaning = {400: Misconfigured, 404: Misconfigured, 409: Conflict}
        try:
            self._call(name, "POST", "", meaning, params=query, json=wish)
        except Conflict:
            return False
        return True

    def _status(self, name: str, identity: str) -> JobStatus:
        try:
            said = self._call(name, "GET", f"/{identity}", {}).get("status", {}).get("state")
        except NotFound:
            return JobStatus.LOST
        return STATUS.get(said, JobStatus.QUEUED)  # what we don't know is not dead, as far as we know

    def _call(self, name: str, verb: str, path: str, meaning: Mapping[int, type[Exception]], **more: Any) -> Any:
        """The answer to a request that one may send twice."""

        def call() -> Any:
            with translated(name, meaning):
                where = self._jobs + path
                reply = self._session.request(verb, where, timeout=(CONNECT_S, READ_S), **more)  # type: ignore[no-untyped-call]  # half typed
                return checked(reply, 200).json()

        return patiently(call)


def identities(name: str) -> Iterator[str]:
    """The id of a job's first start, of its second and so on."""
    if "/" in sound(name):
        raise Rejected(name, "a job's name has no slash; use - instead", code="bad_name")
    first = name
    if not PLAIN.fullmatch(name) or RESTARTED.fullmatch(name):
        letters = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
        first = f"{letters[:39].strip('-')}-{short(name)}" if letters[:1].isalpha() else f"job-{short(name)}"
    yield first
    yield from (f"{first}-r{number}" for number in count(2))


def request(job: Job, machines: Machines, environment: Mapping[str, str]) -> dict[str, Any]:
    """The job as Google wants it told. Its 64-bit integers travel as strings."""
    label = {"samara-job": next(identities(job.name))}
    return {
        "taskGroups": [task_group(job, machines, environment)],
        "allocationPolicy": {
            "location": {"allowedLocations": [f"regions/{machines.region}"]},
            "instances": [instance(job, machines)],
            "labels": label,
            **({"serviceAccount": {"email": machines.account}} if machines.account else {}),
        },
        "labels": label,
        "logsPolicy": {"destination": "CLOUD_LOGGING"},
    }


def task_group(job: Job, machines: Machines, environment: Mapping[str, str]) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "runnables": [{"container": {"imageUri": machines.image, "commands": command(job, environment)}}],
        "computeResource": {"memoryMib": str(job.memory_mb)},
        "maxRunDuration": f"{max(math.ceil(job.time_limit_s), 1)}s",
        "environment": {"variables": {**environment, "TASK_COUNT": str(job.tasks)}},
    }
    if machines.spot:  # with this policy, Batch repeats nothing else
        spec["maxRetryCount"] = SPOT_RETRIES
        spec["lifecyclePolicies"] = [{"action": "RETRY_TASK", "actionCondition": {"exitCodes": [SPOT_LOST]}}]
    alone = {"taskCountPerNode": "1"} if job.gpus else {}  # a machine's GPUs are not shared out among its tasks
    return {"taskCount": str(job.tasks), "parallelism": str(job.tasks), **alone, "taskSpec": spec}


def instance(job: Job, machines: Machines) -> dict[str, Any]:
    if job.gpus and not (machines.gpu or machines.gpu_machine):
        raise Misconfigured(job.name, "asks for a GPU and SAMARA_JOBS names none; add &gpu=nvidia-l4, for example")
    machine = (machines.gpu_machine if job.gpus else "") or machines.machine
    policy: dict[str, Any] = {"provisioningModel": "SPOT" if machines.spot else "STANDARD"}
    if machine:
        policy["machineType"] = machine
    if job.gpus and machines.gpu:
        policy["accelerators"] = [{"type": machines.gpu, "count": str(job.gpus)}]
    return {"policy": policy, **({"installGpuDrivers": True} if job.gpus else {})}


def machines_of(address: str) -> tuple[Machines, str | None]:
    """What an address `batch://project/region?image=…` says, and its endpoint."""
    found = parsed(address, "image", "machine", "gpu", "gpu-machine", "account", "spot")
    given = {name.replace("-", "_"): value for name, value in found.options.items() if name != "endpoint"}
    spot = given.pop("spot", "false")
    for wrong, why in (
        (found.scheme != "batch", "not an address of Google Batch; write batch://project/region?image=…"),
        (not PROJECT.fullmatch(found.place), "its first part is not the id of a project of Google Cloud"),
        (not REGION.fullmatch(found.path), "names no region; write batch://project/europe-west4?image=…"),
        (not given.get("image"), "names no image; add ?image= with one that has Python and the model's framework"),
        (spot not in ("true", "false"), "spot is true or false"),
        ("" in given.values(), "an option has no value; give it one or leave it out"),
    ):
        if wrong:
            raise Misconfigured(address, why)
    return Machines(found.place, found.path, **given, spot=spot == "true"), found.endpoint


def google_batch(settings: Settings) -> GoogleBatch:
    if not settings.jobs:
        raise Misconfigured("SAMARA_JOBS", "is not set; write batch://project/region?image=…")
    machines, endpoint = machines_of(settings.jobs)
    return GoogleBatch(machines, settings.environment(), endpoint)
