"""The command that becomes a job, on whatever machine a batch service finds for it."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from samara.ports import Job


def command(job: Job, environment: Mapping[str, str]) -> list[str]:
    """What the machine runs. A job whose code is in the bucket, by `SAMARA_CODE`, fetches it first (`samara.boot`)."""
    start = ["-c", boot()] if environment.get("SAMARA_CODE") else ["-m"]
    return ["python", *start, job.module, *job.arguments]


@cache
def boot() -> str:
    """The source of the program, which needs nothing that a machine with Python has not."""
    return (Path(__file__).parents[1] / "boot.py").read_text()
