"""Watches over one local job: starts it, ends it at its time limit, and writes down what became of it.

A script of its own, `python -I -S local_supervisor.py FOLDER`, and nobody's child: whoever submitted the job may
die. It uses the standard library only, so that it is there in milliseconds. It inherits the lock that says the job
is alive, and so does the job.

job.json    written by whoever submits: attempt, command, time_limit_s
group.json  attempt and process group, written by the job's process before it becomes the user's program
exit.json   attempt, code and why, written when the job and everything it started is gone
"""

import ctypes
import json
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

GRACE_S = 2.0  # between asking a job to end and ending it
PR_SET_CHILD_SUBREAPER = 36


def main(folder: Path) -> None:
    if os.fork():
        os._exit(0)
    adopt_orphans()
    job = read(folder / "job.json")
    code, overdue = watched(started(folder, job), job["time_limit_s"])
    end_children()
    why = f"exceeded its time limit of {job['time_limit_s']:g} s" if overdue else meaning(code)
    write(folder / "exit.json", {"attempt": job["attempt"], "code": code or int(overdue), "why": why})


def adopt_orphans() -> None:
    """Ask Linux to give us what the job leaves behind. Elsewhere a job's own daemons escape us."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def started(folder: Path, job: dict[str, Any]) -> int:
    """The process of the job, leader of a session and a group of its own."""
    process = os.fork()
    if process:
        return process
    try:
        os.setsid()
        write(folder / "group.json", {"attempt": job["attempt"], "group": os.getpid()})
        os.chdir(folder / "work")
        os.execv(job["command"][0], job["command"])  # noqa: S606  # the user's program, without a shell
    except OSError as error:
        sys.stderr.write(f"cannot start: {error}\n")
    finally:
        os._exit(127)


def watched(process: int, limit_s: float) -> tuple[int, bool]:
    """The exit code of the job, negative for a signal, and whether we ended it for being overdue."""
    overdue: list[int] = []

    def ring(number: int, _frame: FrameType | None) -> None:
        send(process, signal.SIGKILL if overdue else signal.SIGTERM)
        overdue.append(number)
        signal.setitimer(signal.ITIMER_REAL, GRACE_S)

    signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, max(limit_s, 0.001))
    _, status = os.waitpid(process, 0)
    signal.setitimer(signal.ITIMER_REAL, 0)
    send(process, signal.SIGKILL)  # those of its group that it left running
    return os.waitstatus_to_exitcode(status), bool(overdue)


def send(group: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):  # macOS says the latter of a group of zombies
        os.killpg(group, number)


def end_children() -> None:
    """End what the job started outside its group, which is ours now, and what that had started in turn."""
    while left := children():
        for process in left:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        for process in left:
            with suppress(ChildProcessError):
                os.waitpid(process, 0)


def children() -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/self/task/{os.getpid()}/children").read_text("ascii").split()]
    except OSError:
        return []


def meaning(code: int) -> str:
    if code < 0:
        return f"ended by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"


def read(path: Path) -> dict[str, Any]:
    """The document at `path`, empty when there is none."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write(path: Path, document: dict[str, Any]) -> None:
    """Write durably, all or nothing."""
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    with temporary.open("w") as file:
        json.dump(document, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
