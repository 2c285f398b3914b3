"""Programs that tests start as processes of their own, to kill them or to let many of them race.

`python -m tests.contract.programs NAME PLACE …`. Each forks from one small process with a single thread, which is
quick and safe; pytest itself has threads.
"""

import io
import itertools
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from samara import providers
from samara.app import App
from samara.core import keys
from samara.core.heads import Head
from samara.core.sealed import Maker
from samara.errors import Conflict, Unknown
from samara.patience import Queue
from samara.ports import Job, ObjectStore
from samara.providers.local import LocalJobs, LocalStore
from samara.providers.memory import MemoryJobs
from samara.settings import Settings

HEAD = "aliases/late.json"
FRESH = "models/late/0000000001.json"
OLD = b"old " * 10_000
NEW = b"new " * 50_000

WRITES: dict[str, Callable[[LocalStore], object]] = {
    "create": lambda store: store.create(FRESH, NEW),
    "create_from": lambda store: store.create_from(FRESH, io.BytesIO(NEW)),
    "replace": lambda store: store.replace(HEAD, NEW, store.head(HEAD).version),
    "delete": lambda store: store.delete(HEAD, store.head(HEAD).version),
}
TOUCHES_THE_DISK = {"open", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "fcntl.flock"}


def killed_everywhere(folder: str, name: str) -> None:
    """Leave one home for each system call that the write `name` makes: killed by -9 just before that call."""
    for number in itertools.count(1):
        home = Path(folder) / f"{number:03d}"
        store = LocalStore(home / "bucket")
        store.create(HEAD, OLD)
        child = os.fork()
        if not child:
            kill_before(number)
            WRITES[name](store)
            os._exit(0)
        if os.waitpid(child, 0)[1] == 0:
            home.rename(Path(folder) / "unharmed")
            return


def kill_before(number: int) -> None:
    left = itertools.count(number - 1, -1)

    def hook(event: str, _arguments: tuple[Any, ...]) -> None:
        if event in TOUCHES_THE_DISK and next(left) == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


class Ledger(Head):
    """A head that is nothing but its history."""

    writes: tuple[str, ...] = ()


def swaps(address: str, processes: str, each: str) -> None:
    """Many processes that each write into one head a number of times."""
    app = App(unused(address), MemoryJobs(), Maker(function="test", code="0" * 64))

    def swap(process: int) -> None:
        for number in range(int(each)):
            surely(app, f"{process}-{number}")

    together(int(processes), swap)


def surely(app: App, write: str) -> None:
    """`write` in the head, once. Where nobody can tell whether it is there (an answer got lost on a busy machine, and
    more than a head remembers wrote since), this head can: it holds all of its history."""
    while True:
        try:
            app.swap(Ledger, HEAD, partial(with_one_more, write))
        except Unknown:
            head = app.find_head(Ledger, HEAD)
            if head is None or write not in head.writes:
                continue
        return


def unused(address: str) -> ObjectStore:
    """A store made once, before the processes part. It has no connection yet that they could share."""
    return providers.store_at(address)


def with_one_more(write: str, now: Ledger) -> Ledger:
    return now.model_copy(update={"writes": (*now.writes, write)})


def numbers(address: str, processes: str, each: str) -> None:
    """Many processes that each take the next free number of versions a number of times.

    They tell each other how far they have come, which is quicker than listing. Who gets a number is up to the store.
    """
    store, known = unused(address), multiprocessing.Value("q", 0, lock=False)

    def take(process: int) -> None:
        last = 0
        for number in range(int(each)):
            queue = Queue()
            while not created(store, last := max(last, known.value) + 1, b"%d-%d" % (process, number)):
                queue.lose()
            known.value = max(last, known.value)

    together(int(processes), take)


def created(store: ObjectStore, number: int, data: bytes) -> bool:
    try:
        store.create(keys.version("late", number), data)
    except Conflict:
        return False
    except Unknown:  # nobody replaces these, so a look tells
        return store.get(keys.version("late", number)).data == data
    return True


def together(count: int, work: Callable[[int], None]) -> None:
    """Run `work` in that many processes, which start together, and fail when one of them does."""
    waiting, start = os.pipe()
    children = [child_of(work, number, waiting, start) for number in range(count)]
    os.close(start)
    statuses = [os.waitpid(child, 0)[1] for child in children]
    if any(statuses):
        sys.exit(f"processes ended with {statuses}")


def child_of(work: Callable[[int], None], number: int, waiting: int, start: int) -> int:
    child = os.fork()
    if child:
        return child
    try:
        os.close(start)
        os.read(waiting, 1)  # ends when the last writing end is closed
        work(number)
        os._exit(0)
    finally:
        sys.excepthook(*sys.exc_info())
        os._exit(1)


def submit_and_die(folder: str, job: str, *arguments: str) -> None:
    """Submit a job and be killed together with everything of our process group."""
    runner = LocalJobs(Settings(home=Path(folder)))
    runner.submit(Job(job, "tests.contract.sample_job", arguments, time_limit_s=60))
    os.killpg(0, signal.SIGKILL)


def submit_together(folder: str, processes: str, job: str, *arguments: str) -> None:
    """Many processes that submit the same job at once."""

    def submit(_: int) -> None:
        LocalJobs(Settings(home=Path(folder))).submit(Job(job, "tests.contract.sample_job", arguments, time_limit_s=60))

    together(int(processes), submit)


PROGRAMS: dict[str, Callable[..., None]] = {
    program.__name__: program for program in (killed_everywhere, swaps, numbers, submit_and_die, submit_together)
}

if __name__ == "__main__":
    PROGRAMS[sys.argv[1]](*sys.argv[2:])
