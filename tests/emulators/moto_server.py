"""moto's server, whose jobs of AWS Batch are processes of this machine instead of containers. `moto_server.py PORT`.

The image of a job definition is not pulled: `python` is ours, and finds what we find, or the one that JOB_PYTHON names.
A minute of a time limit lasts half a second, or 60 / HASTE, for Batch takes no limit below a minute. An array's parent
ends as its tasks do, which moto leaves out. S3 looks and writes at once; moto does one after the other, so here only
one request at a time may do both.
"""

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from functools import wraps
from typing import Any

from moto.batch import models
from moto.s3.responses import S3Response
from moto.server import main

HASTE = float(os.environ.get("HASTE", "120"))
PYTHON = os.environ.get("JOB_PYTHON", sys.executable)
POLL_S = 0.02
ALONE = threading.RLock()
ENDED = ("SUCCEEDED", "FAILED")


def run(job: Any) -> None:
    """Replaces the method of moto's job that needs a Docker engine."""
    job.job_started_at, job.status = datetime.now(), "RUNNING"  # noqa: DTZ005  # as moto has it
    command = job._add_parameters_to_command(job._get_container_property("command", []))
    given = {each["name"]: each["value"] for each in job._get_container_property("environment", [])}
    if "index" in job.array_properties:
        given["AWS_BATCH_JOB_ARRAY_INDEX"] = str(job.array_properties["index"])
    command = [PYTHON if word == "python" else word for word in command]
    with tempfile.TemporaryDirectory() as folder:
        job.exit_code = watched(job, command, {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **given}, folder)
    job._mark_stopped(success=job.exit_code == 0)
    end_with_tasks(job)


def watched(job: Any, command: list[str], environment: dict[str, str], folder: str) -> int:
    """The exit code of the job, which is ended when somebody asks for it or its time is up."""
    inside = subprocess.Popen(
        [sys.executable, "-m", "tests.emulators.container", *command], env=environment, cwd=folder
    )
    deadline = time.monotonic() + (job._get_attempt_duration() or 3600) / HASTE
    while inside.poll() is None:
        if job.stop or time.monotonic() > deadline:
            inside.terminate()
            with suppress(subprocess.TimeoutExpired):
                inside.wait(timeout=10)
        time.sleep(POLL_S)
    return inside.returncode


def end_with_tasks(task: Any) -> None:
    parent = task.all_jobs.get(task.job_id.partition(":")[0])
    statuses = [each.status for each in (parent and parent._child_jobs) or ()]
    if statuses and all(status in ENDED for status in statuses):
        parent.status = "FAILED" if "FAILED" in statuses else "SUCCEEDED"


def terminate(job: Any, reason: str) -> None:
    """Replaces moto's, which forgets the tasks of an array."""
    for each in job._child_jobs or [job]:
        if not each.stop and each.status not in ENDED:
            each.job_stopped_reason = reason
            each.stop = True


def alone(method: Callable[..., Any]) -> Callable[..., Any]:
    """`method`, while no other that is alone runs."""

    @wraps(method)
    def run_alone(*given: Any, **named: Any) -> Any:
        with ALONE:
            return method(*given, **named)

    return run_alone


for writing in ("put_object", "delete_object", "_key_response_post"):
    setattr(S3Response, writing, alone(getattr(S3Response, writing)))
models.Job.run = run  # type: ignore[method-assign, assignment]  # which is the point
models.Job.terminate = terminate  # type: ignore[method-assign, assignment]  # the same

if __name__ == "__main__":
    main(["-H", "127.0.0.1", "-p", sys.argv[1]])
