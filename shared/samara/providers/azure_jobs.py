"""Jobs of Azure Container Apps, and arrays of them of Azure Batch.

A job is a Container Apps job of its own, under a name made from ours, so whoever knows the run finds it, without a
table of handles. Creating it twice changes nothing. It is started when no execution of it lives or has succeeded; two
who submit at the same instant can start two: they do the same work, and what they write is created once.

Container Apps remembers the last hundred executions. A job it knows nothing of is lost, and whether there is a result
decides. Tried against requests and answers as the reference of its REST API describes them, never against the service.
"""

import math
import re
import time
from dataclasses import dataclass

from samara.core.digests import short
from samara.errors import Misconfigured, Rejected, Unavailable, Unsupported
from samara.ports import Job, JobRunner, JobStatus
from samara.providers import azure_batch
from samara.providers.addresses import parsed
from samara.providers.azure_batch import BatchArrays
from samara.providers.azure_rest import Document, Rest, keyless
from samara.providers.starting import best, command
from samara.settings import Settings

VERSION = "2024-03-01"
MANAGEMENT = "https://management.azure.com"
SET_UP_S = 60.0  # for Azure to take in a new job; longer than it was ever said to need
STATUS = {
    "Processing": JobStatus.QUEUED,
    "Running": JobStatus.RUNNING,
    "Succeeded": JobStatus.SUCCEEDED,
    "Degraded": JobStatus.FAILED,
    "Failed": JobStatus.FAILED,
    "Stopped": JobStatus.FAILED,
}
NEEDS = {"registry": "identity", "identity": "client", "batch": "pool", "pool": "batch"}
OPTIONS = ("region", "image", "registry", "identity", "client", "profile", "batch", "pool")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")


@dataclass(frozen=True, slots=True)
class Place:
    """Where jobs run and as what. `identity` is the resource id of a managed identity and `client` its client id,
    `profile` the workload profile that has GPUs, `registry` where the image is when it is not public."""

    group: str
    environment: str
    region: str
    image: str
    registry: str = ""
    identity: str = ""
    client: str = ""
    profile: str = ""


class ContainerAppsJobs:
    """`poll_s` is how often a job that is being created is looked at."""

    def __init__(
        self, arm: Rest, place: Place, arrays: BatchArrays | None, environment: dict[str, str], poll_s: float = 2.0
    ) -> None:
        self._arm = arm
        self._place = place
        self._arrays = arrays
        self._environment = environment
        self._poll_s = poll_s

    def submit(self, job: Job) -> str:
        name = fit(job.name)
        if job.tasks > 1:
            if self._arrays is None:
                raise Unsupported(job.name, "has several tasks; name an account of Azure Batch by ?batch= and ?pool=")
            self._arrays.submit(job, name)
        elif not any(status_of(found) is not JobStatus.FAILED for found in self._runs(name)):
            self._create(job, name)
            self._arm.send(job.name, "POST", f"{self._path(name)}/start")
        return job.name

    def status(self, handle: str) -> JobStatus:
        name = fit(handle)
        known = {status_of(found) for found in self._runs(name)}
        if not known and self._arrays:
            return self._arrays.status(name)
        return best(known)

    def cancel(self, handle: str) -> None:
        name = fit(handle)
        for found in self._runs(name):
            if status_of(found) in (JobStatus.QUEUED, JobStatus.RUNNING):
                self._arm.send(handle, "POST", f"{self._path(name)}/executions/{found['name']}/stop", fine=[404])
        if self._arrays:
            self._arrays.cancel(name)

    def _runs(self, name: str) -> list[Document]:
        """Every execution that Azure remembers of a job, none when there is no such job."""
        return list(self._arm.listed(name, f"{self._path(name)}/executions"))

    def _create(self, job: Job, name: str) -> None:
        known = self._arm.send(job.name, "PUT", self._path(name), self._described(job, name))
        deadline = time.monotonic() + SET_UP_S
        while (state := known["properties"]["provisioningState"] if known else "Failed") != "Succeeded":
            if state in ("Failed", "Canceled"):
                raise Misconfigured(job.name, f"Azure could not set it up ({state}); look at {name} in the portal")
            if time.monotonic() > deadline:
                raise Unavailable(job.name, f"is being set up for more than {SET_UP_S:.0f} s; submit it again")
            time.sleep(self._poll_s)
            known = self._arm.get(job.name, self._path(name))

    def _described(self, job: Job, name: str) -> Document:
        """The job as a resource of Azure. Its tag tells people which of ours it is."""
        place = self._place
        identity = {"type": "UserAssigned", "userAssignedIdentities": {place.identity: {}}}
        return {
            "location": place.region,
            "tags": {"samara-job": job.name},
            **({"identity": identity} if place.identity else {}),
            "properties": {
                "environmentId": f"{place.group}/providers/Microsoft.App/managedEnvironments/{place.environment}",
                **({"workloadProfileName": place.profile} if job.gpus else {}),
                "configuration": {
                    "triggerType": "Manual",
                    "replicaTimeout": math.ceil(job.time_limit_s),
                    "replicaRetryLimit": 0,
                    "manualTriggerConfig": {"parallelism": 1, "replicaCompletionCount": 1},
                    "registries": [{"server": place.registry, "identity": place.identity}] if place.registry else [],
                },
                "template": {"containers": [self._container(job, name)]},
            },
        }

    def _container(self, job: Job, name: str) -> Document:
        return {
            "name": name,
            "image": self._place.image,
            "command": command(job._replace(arguments=()), self._environment),
            "args": list(job.arguments),
            "env": [{"name": key, "value": value} for key, value in self._environment.items()],
            "resources": resources(job, self._place.profile),
        }

    def _path(self, name: str) -> str:
        return f"{self._place.group}/providers/Microsoft.App/jobs/{name}"


def status_of(run: Document) -> JobStatus:
    """While Azure does not know, or has a word that we do not, it runs: nobody is to start another."""
    return STATUS.get(run["properties"]["status"], JobStatus.RUNNING)


def resources(job: Job, profile: str) -> Document:
    """Half a GiB steps. Without a GPU a vCPU comes with 2 GiB, at most 4 with 8; a machine with one has more."""
    memory = max(math.ceil(job.memory_mb / 512), 1) / 2
    if job.gpus > 1:
        raise Unsupported(job.name, f"asks for {job.gpus} GPUs; Container Apps gives one")
    if job.gpus and not profile:
        raise Misconfigured("SAMARA_JOBS", f"names no workload profile with a GPU, which {job.name} needs: ?profile=")
    if not job.gpus and memory > 8:
        raise Unsupported(job.name, f"asks for {memory:g} GiB; Container Apps gives 8 to a job without a GPU")
    cpu = max(4.0, math.ceil(memory / 10)) if job.gpus else memory / 2
    return {"cpu": cpu, "memory": f"{memory:g}Gi"}


def fit(name: str) -> str:
    """A name Azure takes, of at most 32 small letters, digits and hyphens, that is no other job's.

    >>> fit("late-9f2c"), fit("Late_9f2c")
    ('s-late-9f2c-c6e3c6240f233a28', 's-late-9f2c-9ec543360ddd2d21')
    """
    if not NAME.fullmatch(name):
        raise Rejected(ascii(name[:100])[1:-1], "not a job's name; use letters, digits, ., - and _, at most 128")
    start = re.sub("[^a-z0-9]+", "-", f"s-{name.lower()}")[:15].strip("-")
    return f"{start}-{short(name)}"


def job_runner(settings: Settings) -> JobRunner:
    """Of an address `containerapps://subscription/group/environment?region=…&image=…`.

    Also `&identity=` and `&client=` (who the jobs are), `&registry=` (a private one), `&profile=` (with GPUs), and
    `&batch=account.region&pool=` for arrays.
    """
    address = parsed(settings.jobs, *OPTIONS)
    given = {name: value for name, value in address.options.items() if name != "endpoint"}
    group, _, environment = address.path.partition("/")
    if address.scheme != "containerapps" or not group or not environment or not given.keys() >= {"region", "image"}:
        why = "not where jobs run; write containerapps://subscription/group/environment?region=…&image=…"
        raise Misconfigured(settings.jobs or "SAMARA_JOBS", why)
    for one, other in NEEDS.items():
        if one in given and other not in given:
            raise Misconfigured(settings.jobs, f"names a {one} but no {other}; add &{other}=")
    account, pool = given.pop("batch", ""), given.pop("pool", "")
    place = Place(f"/subscriptions/{address.place}/resourceGroups/{group}", environment, **given)
    known = settings.environment() | ({"AZURE_CLIENT_ID": place.client} if place.client else {})
    url = address.endpoint or MANAGEMENT
    arm = Rest(url, VERSION, keyless(), f"{url}/.default", "application/json")
    if not account:
        return ContainerAppsJobs(arm, place, None, known)
    url = f"https://{account}.batch.azure.com"
    batch = Rest(url, azure_batch.VERSION, keyless(), azure_batch.SCOPE, azure_batch.MEDIA)
    return ContainerAppsJobs(arm, place, BatchArrays(batch, pool, place.image, known), known)
