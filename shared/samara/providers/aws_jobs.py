"""Jobs of AWS Batch. A job's name is Samara's own, so whoever knows the run finds the job, without a table of handles.

Batch does not tell two submissions of one name apart, so a name is looked up first. Two who submit at the same
instant can start two jobs: they do the same work, and what they write is created once.

Batch remembers an ended job for about a week. After that it counts as lost, and whether there is a result decides.
"""

import math
import re
from functools import partial
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

from samara.errors import Misconfigured, Rejected
from samara.ports import Job, JobRunner, JobStatus
from samara.providers.addresses import parsed
from samara.providers.aws_errors import translated, unready
from samara.providers.certainty import patiently
from samara.providers.starting import best, command
from samara.settings import Settings

if TYPE_CHECKING:
    from types_boto3_batch import BatchClient
    from types_boto3_batch.type_defs import ContainerOverridesTypeDef, JobSummaryTypeDef

STATUS = {
    "SUBMITTED": JobStatus.QUEUED,
    "PENDING": JobStatus.QUEUED,
    "RUNNABLE": JobStatus.QUEUED,
    "STARTING": JobStatus.QUEUED,
    "RUNNING": JobStatus.RUNNING,
    "SUCCEEDED": JobStatus.SUCCEEDED,
    "FAILED": JobStatus.FAILED,
}
SHORTEST_S = 60  # Batch takes no shorter time limit


class BatchJobs:
    """`queue` and `definition` are those of AWS Batch; the definition brings the image, its vCPUs and its retries."""

    def __init__(self, batch: "BatchClient", queue: str, definition: str, environment: dict[str, str]) -> None:
        self._batch = batch
        self._queue = queue
        self._definition = definition
        self._environment = environment

    def submit(self, job: Job) -> str:
        name = fit(job.name)
        if not any(found["status"] != "FAILED" for found in self._found(name)):
            with asked(name):
                self._batch.submit_job(
                    jobName=name,
                    jobQueue=self._queue,
                    jobDefinition=self._definition,
                    containerOverrides=self._container(job),
                    arrayProperties={"size": job.tasks} if job.tasks > 1 else {},
                    timeout={"attemptDurationSeconds": max(math.ceil(job.time_limit_s), SHORTEST_S)},
                    propagateTags=True,
                )
        return name

    def status(self, handle: str) -> JobStatus:
        return best({self._status(one) for one in self._found(fit(handle))})

    def cancel(self, handle: str) -> None:
        for found in self._found(fit(handle)):
            if STATUS[found["status"]] in (JobStatus.QUEUED, JobStatus.RUNNING):
                with asked(handle):
                    self._batch.terminate_job(jobId=found["jobId"], reason="cancelled")

    def _found(self, name: str) -> "list[JobSummaryTypeDef]":
        """Every job of that name that Batch remembers. It matches case-insensitively, and here tasks are no jobs."""
        return patiently(lambda: self._listed(name))

    def _listed(self, name: str) -> "list[JobSummaryTypeDef]":
        with asked(name):
            pages = self._batch.get_paginator("list_jobs").paginate(
                jobQueue=self._queue, filters=[{"name": "JOB_NAME", "values": [name]}]
            )
            found = [one for page in pages for one in page["jobSummaryList"]]
        return [one for one in found if one["jobName"] == name and ":" not in one["jobId"]]

    def _status(self, found: "JobSummaryTypeDef") -> JobStatus:
        """An array counts as pending until all its tasks have ended, so its tasks are asked."""
        status = STATUS[found["status"]]
        if status is not JobStatus.QUEUED or "arrayProperties" not in found:
            return status
        with asked(found["jobName"]):
            (whole,) = self._batch.describe_jobs(jobs=[found["jobId"]])["jobs"]
        begun = {STATUS[name] for name, count in whole["arrayProperties"]["statusSummary"].items() if count}
        return JobStatus.QUEUED if begun <= {JobStatus.QUEUED} else JobStatus.RUNNING

    def _container(self, job: Job) -> "ContainerOverridesTypeDef":
        """What this job asks for beyond its definition."""
        needs = [("MEMORY", job.memory_mb)] + ([("GPU", job.gpus)] if job.gpus else [])
        environment = {**self._environment, "TASK_COUNT": str(job.tasks)}
        return {
            "command": command(job, self._environment),
            "environment": [{"name": name, "value": value} for name, value in environment.items()],
            "resourceRequirements": [{"type": kind, "value": str(amount)} for kind, amount in needs],  # type: ignore[typeddict-item]  # mypy takes both names for any string
        }


NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")


def fit(name: str) -> str:
    """`name`, if Batch takes it for a job's."""
    if not NAME.fullmatch(name):
        raise Rejected(ascii(name[:100])[1:-1], "not a job's name; use letters, digits, - and _, at most 128")
    return name


BUSY = ("TooManyRequestsException", "ThrottlingException", "ServerException", "RequestTimeout")
asked = partial(translated, service="AWS Batch", busy=BUSY)


def job_runner(settings: Settings) -> JobRunner:
    """Of an address `batch://queue/definition`, with `?region=`."""
    address = parsed(settings.jobs, "region")
    if address.scheme != "batch" or not address.path:
        raise Misconfigured(settings.jobs or "SAMARA_JOBS", "names no queue; write batch://queue/definition")
    once = Config(retries={"total_max_attempts": 1})  # a submission sent twice would be two jobs
    region = address.options.get("region")
    with unready(settings.jobs.partition("?")[0]):
        batch = boto3.client("batch", endpoint_url=address.endpoint, region_name=region, config=once)
    return BatchJobs(batch, address.place, address.path, settings.environment())
