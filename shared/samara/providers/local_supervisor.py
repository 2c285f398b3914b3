"""Watches over one local job: starts its tasks, ends them at their time limit, and writes down what became of them.

A script of its own, `python -I -S local_supervisor.py FOLDER`, and nobody's child: whoever submitted the job may
die. It uses the standard library only, so that it is there in milliseconds. It inherits the lock that says the job
is alive, and so does the job.

A job is one task or many, of which as many run at once as there are processors. When one fails the others go on:
what they make is theirs, and the job has failed when all have ended.

job.json           written by whoever submits: attempt, command, tasks, time_limit_s (of each task)
group-{task}.json  attempt and process group, written by a task's process before it becomes the user's program, and
                   removed when it has ended
cancelled-{attempt}  left by whoever cancels: from now on no task becomes the user's program
exit.json          attempt, code and why, written when the job and everything it started is gone
"""

import ctypes
import json
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

GRACE_S = 2.0  # between asking a job to end and ending it
AT_ONCE = max(os.cpu_count() or 1, 2)  # one processor runs two tasks side by side, too
PR_SET_CHILD_SUBREAPER = 36


def main(folder: Path) -> None:
    if os.fork():
        os._exit(0)
    adopt_orphans()
    job = read(folder / "job.json")
    code, why = verdict(job, watched(folder, job))
    end_children()
    write(folder / "exit.json", {"attempt": job["attempt"], "code": code, "why": why})


def adopt_orphans() -> None:
    """Ask Linux to give us what the job leaves behind. Elsewhere a job's own daemons escape us."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def watched(folder: Path, job: dict[str, Any]) -> dict[int, tuple[int, bool]]:
    """How each task ended: its exit code, negative for a signal, and whether it was overdue."""
    waiting = list(range(job["tasks"]))
    running: dict[int, int] = {}
    due: dict[int, float] = {}  # when the time of a process is up, or its grace
    overdue: set[int] = set()
    ends: dict[int, tuple[int, bool]] = {}

    def ring(_number: int, _frame: FrameType | None) -> None:
        for process, at in due.items():
            if at <= time.monotonic():
                send(process, signal.SIGKILL if process in overdue else signal.SIGTERM)
                overdue.add(process)
                due[process] = time.monotonic() + GRACE_S
        wind_up(due)

    signal.signal(signal.SIGALRM, ring)
    while waiting or running:
        while waiting and len(running) < AT_ONCE:
            process = started(folder, job, waiting[0])
            running[process] = waiting.pop(0)
            due[process] = time.monotonic() + job["time_limit_s"]
            wind_up(due)
        process, status = os.waitpid(-1, 0)
        if process in running:  # else an orphan of theirs, which came to us
            due.pop(process)
            send(process, signal.SIGKILL)  # those of its group that it left running
            task = running.pop(process)
            ends[task] = os.waitstatus_to_exitcode(status), process in overdue
            (folder / f"group-{task}.json").unlink(missing_ok=True)
    return ends


def wind_up(due: dict[int, float]) -> None:
    """Let the alarm ring when the next time is up."""
    wait_s = max(min(due.values()) - time.monotonic(), 0.001) if due else 0
    signal.setitimer(signal.ITIMER_REAL, wait_s)


def started(folder: Path, job: dict[str, Any], task: int) -> int:
    """The process of a task, leader of a session and a group of its own."""
    process = os.fork()
    if process:
        return process
    try:
        os.setsid()
        write(folder / f"group-{task}.json", {"attempt": job["attempt"], "group": os.getpid()})
        if (folder / f"cancelled-{job['attempt']}").exists():  # by somebody who came too early to find our group
            os._exit(1)
        work = folder / "work" if job["tasks"] == 1 else folder / "work" / str(task)
        work.mkdir(mode=0o700, exist_ok=True)
        os.chdir(work)
        environment = {**os.environ, "TASK_INDEX": str(task), "TASK_COUNT": str(job["tasks"])}
        os.execve(job["command"][0], job["command"], environment)  # noqa: S606  # the user's program, without a shell
    except OSError as error:
        sys.stderr.write(f"cannot start: {error}\n")
    finally:
        os._exit(127)


def verdict(job: dict[str, Any], ends: dict[int, tuple[int, bool]]) -> tuple[int, str]:
    """The code of the first task that failed, and why; 0 when none did."""
    for task in range(job["tasks"]):
        which = f"task {task} " if job["tasks"] > 1 else ""
        code, overdue = ends[task]
        if overdue:
            return code or 1, f"{which}exceeded its time limit of {job['time_limit_s']:g} s"
        if code:
            return code, f"{which}{meaning(code)}"
    return 0, meaning(0)


def send(group: int, number: "signal.Signals") -> None:
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
    """
    >>> meaning(1), meaning(-9), meaning(-40)
    ('ended with exit code 1', 'ended by SIGKILL', 'ended by signal 40')
    """
    if code < 0:
        return f"ended by {signal.Signals(-code).name if -code in set(signal.Signals) else f'signal {-code}'}"
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
