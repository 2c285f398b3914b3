"""Waiting for other processes: until something is so, and not for ever."""

import time
from collections.abc import Callable
from pathlib import Path

import psutil

from samara.ports import JobRunner, JobStatus

PATIENCE_S = 60


def until(true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, f"waited {PATIENCE_S} s in vain for {what}"
        time.sleep(0.01)


def ended(runner: JobRunner, handle: str) -> JobStatus:
    """How the job has ended, once it has."""
    until(lambda: runner.status(handle) not in (JobStatus.QUEUED, JobStatus.RUNNING), f"the end of {handle}")
    return runner.status(handle)


def appeared(file: Path) -> list[psutil.Process]:
    """The processes whose ids a job writes into `file`, once it has."""
    until(file.exists, str(file))
    return [psutil.Process(int(process)) for process in file.read_text().split()]


def gone(processes: list[psutil.Process]) -> bool:
    """Whether all of them are dead. A corpse that its parent has not fetched yet is."""
    return all(not alive(process) for process in processes)


def alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
