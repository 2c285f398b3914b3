"""How a job starts, on whatever machine a batch service finds for it, and which of several starts speaks for it."""

from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path

from samara.ports import Job, JobStatus

BEST_FIRST = (JobStatus.SUCCEEDED, JobStatus.RUNNING, JobStatus.QUEUED, JobStatus.FAILED)


def best(statuses: Collection[JobStatus]) -> JobStatus:
    """How a job is that was started several times: as well as the best of them. Lost, when it never was.

    >>> best([JobStatus.FAILED, JobStatus.RUNNING])
    <JobStatus.RUNNING: 'running'>
    """
    return next((status for status in BEST_FIRST if status in statuses), JobStatus.LOST)


def command(job: Job, environment: Mapping[str, str]) -> list[str]:
    """What the machine runs. A job whose code is in the bucket, by `SAMARA_CODE`, fetches it first (`samara.boot`)."""
    start = ["-c", boot()] if environment.get("SAMARA_CODE") else ["-m"]
    return ["python", *start, job.module, *job.arguments]


@cache
def boot() -> str:
    """The source of the program, which needs nothing that a machine with Python has not."""
    return (Path(__file__).parents[1] / "boot.py").read_text()
