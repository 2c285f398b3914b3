"""Arrays of tasks on Azure Batch, since the tasks of a Container Apps job do not know their numbers.

An array is a Batch job named for Samara's and the attempt, so two who submit at once create the same one. Its tasks
are added, which again may happen twice, and then it is told to end with them: Batch bounds how many have not ended.

Tried against requests and answers as the reference of its REST API describes them, never against the service.
"""

import math
import shlex
from collections.abc import Iterator

from samara.errors import Misconfigured, Unavailable
from samara.ports import Job, JobStatus
from samara.providers.azure_rest import Document, Rest
from samara.providers.starting import command

VERSION = "2024-07-01.20.0"
SCOPE = "https://batch.core.windows.net/.default"
MEDIA = "application/json; odata=minimalmetadata"
AT_ONCE = 100  # tasks that Batch takes in one request
ENDED = "AllTasksComplete"
CONFLICT = 409  # it is there already, or has ended already


class BatchArrays:
    """`pool` is one of Azure Batch that runs containers; it decides which machines there are, and scales to zero."""

    def __init__(self, batch: Rest, pool: str, image: str, environment: dict[str, str]) -> None:
        self._batch = batch
        self._pool = pool
        self._image = image
        self._environment = environment

    def submit(self, job: Job, name: str) -> None:
        last = self._last(name)
        if last is None or self._status(name, last) is JobStatus.FAILED:
            last = self._begun(job, name, 1 + (attempt_of(last) if last else 0))
        if last["onAllTasksComplete"] == "noaction":  # whoever began it may have been interrupted
            self._fill(job, name, f"/jobs/{last['id']}")

    def status(self, name: str) -> JobStatus:
        last = self._last(name)
        return self._status(name, last) if last else JobStatus.LOST

    def cancel(self, name: str) -> None:
        last = self._last(name)
        if last and self._status(name, last) in (JobStatus.QUEUED, JobStatus.RUNNING):
            reason = {"terminateReason": "cancelled"}
            self._batch.send(name, "POST", f"/jobs/{last['id']}/terminate", reason, fine=[CONFLICT])

    def _last(self, name: str) -> Document | None:
        attempts = self._batch.listed(name, f"/jobs?$filter=startswith(id,'{name}_')")
        return max(attempts, key=attempt_of, default=None)

    def _status(self, name: str, attempt: Document) -> JobStatus:
        counted = self._batch.get(name, f"/jobs/{attempt['id']}/taskcounts")
        counts = counted["taskCounts"] if counted else {"active": 0, "running": 0, "succeeded": 0, "failed": 0}
        wanted = next(int(known["value"]) for known in attempt["metadata"] if known["name"] == "tasks")
        if counts["succeeded"] >= wanted:
            return JobStatus.SUCCEEDED
        if attempt["state"] != "active":
            reason = attempt.get("executionInfo", {}).get("terminateReason", ENDED)
            return JobStatus.FAILED if counts["failed"] or reason != ENDED else JobStatus.RUNNING  # counts come late
        begun = counts["running"] or counts["succeeded"] or counts["failed"]
        return JobStatus.RUNNING if begun else JobStatus.QUEUED

    def _begun(self, job: Job, name: str, number: int) -> Document:
        attempt = {
            "id": f"{name}_{number:04d}",
            "poolInfo": {"poolId": self._pool},
            "onAllTasksComplete": "noaction",  # else it would end before it has any
            "metadata": [{"name": "tasks", "value": str(job.tasks)}],
        }
        self._batch.send(name, "POST", "/jobs", attempt, fine=[CONFLICT])
        return {**attempt, "state": "active"}

    def _fill(self, job: Job, name: str, path: str) -> None:
        tasks = list(self._tasks(job))
        for start in range(0, len(tasks), AT_ONCE):
            added = {"value": tasks[start : start + AT_ONCE]}
            reply = self._batch.send(name, "POST", f"{path}/addtaskcollection", added) or {"value": []}
            for result in reply["value"]:
                checked(name, result)
        self._batch.send(name, "PATCH", path, {"onAllTasksComplete": "terminatejob"})

    def _tasks(self, job: Job) -> Iterator[Document]:
        for number in range(job.tasks):
            environment = {**self._environment, "TASK_INDEX": str(number), "TASK_COUNT": str(job.tasks)}
            container = {"imageName": self._image, "containerRunOptions": "--gpus all" if job.gpus else ""}
            yield {
                "id": f"{number:05d}",
                "commandLine": shlex.join(command(job, self._environment)),
                "containerSettings": container,
                "environmentSettings": [{"name": key, "value": value} for key, value in environment.items()],
                "constraints": {"maxWallClockTime": f"PT{math.ceil(job.time_limit_s)}S", "maxTaskRetryCount": 0},
            }


def attempt_of(job: Document) -> int:
    return int(job["id"].rpartition("_")[2])


def checked(name: str, result: Document) -> None:
    """Nothing, if this task has been added, now or before."""
    why = result.get("error", {}).get("code", "")
    if result["status"] == "success" or why == "TaskExists":
        return
    refused = Misconfigured if result["status"].lower() == "clienterror" else Unavailable
    raise refused(name, f"Azure Batch did not take task {result['taskId']}: {why}")
