"""Jobs that behave in one way each: `python -m tests.contract.sample_job WAY …`. Hardly an import: quick to start."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from samara import tasks


def succeed() -> None:
    pass


def fail() -> None:
    sys.exit(3)


def say(*words: str) -> None:
    sys.stdout.write(" ".join(words) + "\n")
    sys.stderr.write("and complain\n")


def note(file: str) -> None:
    """Add a line, so that one can count how often we ran."""
    with Path(file).open("a") as notes:
        notes.write("ran\n")


def note_and_fail(file: str) -> None:
    note(file)
    fail()


def tell_where(file: str) -> None:
    """Write down our home, our folder and our process group's leader."""
    Path(file).write_text(f"{os.environ['SAMARA_HOME']}\n{Path.cwd()}\n{os.getpgid(0) == os.getpid()}")


def hang(file: str) -> None:
    """Write down who we are, and wait for ever."""
    publish(file, os.getpid())
    signal.pause()


def hang_stubbornly(file: str) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    hang(file)


def wait_for(file: str) -> None:
    while not Path(file).exists():
        time.sleep(0.01)


def leave_children(file: str, go: str) -> None:
    """End, once `go` is there, while a child and a daemon in a session of its own go on."""
    child = subprocess.Popen(["sleep", "1000"])
    daemon = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    publish(file, child.pid, daemon.pid)
    wait_for(go)
    os._exit(0)


def hang_with_children(file: str) -> None:
    child = subprocess.Popen(["sleep", "1000"])
    daemon = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    publish(file, os.getpid(), child.pid, daemon.pid)
    signal.pause()


def kill_ourselves() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def note_task(folder: str) -> None:
    """Write down which task we are, and of how many."""
    with (Path(folder) / str(tasks.index())).open("a") as notes:
        notes.write(f"of {tasks.count()}\n")


def fail_in_task(folder: str, which: str) -> None:
    note_task(folder)
    if tasks.index() == int(which):
        fail()


def wait_in_task(folder: str, go: str) -> None:
    note_task(folder)
    wait_for(go)


def meet(folder: str) -> None:
    """End only when all of us are there."""
    note_task(folder)
    for task in range(tasks.count()):
        wait_for(str(Path(folder) / str(task)))


def hang_in_task(folder: str) -> None:
    hang(str(Path(folder) / str(tasks.index())))


def publish(file: str, *processes: int) -> None:
    unfinished = Path(file).with_suffix(".part")
    unfinished.write_text(" ".join(map(str, processes)))
    unfinished.replace(file)


WAYS: dict[str, Callable[..., None]] = {
    way.__name__: way
    for way in (
        succeed, fail, say, note, note_and_fail, tell_where, hang, hang_stubbornly, wait_for, leave_children,
        hang_with_children, kill_ourselves, note_task, fail_in_task, wait_in_task, meet, hang_in_task,
    )
}  # fmt: skip

if __name__ == "__main__":
    WAYS[sys.argv[1]](*sys.argv[2:])
