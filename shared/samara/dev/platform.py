"""The local platform: what a cloud does around the functions, on a laptop.

It delivers each new object to the functions it wakes, fires the schedules, answers HTTP, tries again what was
only busy, and puts what cannot be done into `alerts/`. It keeps no state of its own: kill it at any moment,
start it again, and `reconcile` finds what was left.
"""

import fcntl
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from samara import catalogue
from samara.app import App, build
from samara.catalogue import Created, Every, Function, Http
from samara.dev.pending import Pending, Task
from samara.dev.watch import FolderWatch
from samara.dispatch import deliver
from samara.errors import Misconfigured, SamaraError
from samara.events import GivenUp
from samara.hosts.server import Routes, serve
from samara.providers.local import LocalJobs
from samara.settings import Settings

Clock = Callable[[], datetime]
WORKERS = 2
IDLE_S = 10.0  # a worker without work ends after this long, and its memory with it
LOOK_S = 0.25  # between two looks at the folders that others write into
ATTEMPTS = 5  # deliveries of one event before a person hears of it
LONGEST_WAIT_S = 60.0  # between two of them
PERIOD_S = {"minute": 60, "hour": 3600}


def wall_clock() -> datetime:
    return datetime.now(UTC)


class Platform:
    """Runs the catalogue on one folder. Use it as a context: leaving it leaves no process behind."""

    def __init__(self, settings: Settings, *, clock: Clock = wall_clock, port: int = 0) -> None:
        self.settings = settings
        self.functions = catalogue.load(settings.catalogue)
        self.app: App = build(settings)
        self.clock = clock
        self._port = port
        self._pending = Pending()
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._later: set[threading.Timer] = set()

    def __enter__(self) -> "Platform":
        self._lock = only_one(self.settings)
        self._watches = [FolderWatch(self.settings.bucket, prefix) for prefix in written_by_others(self.functions)]
        self._server = serve(Routes(self.functions, self.app, self.clock), port=self._port)
        (self.settings.home / "platform.json").write_text(json.dumps({"url": self.url, "pid": os.getpid()}))
        self._threads = [threading.Thread(target=self._work, name=f"worker-{n}") for n in range(WORKERS)]
        self._threads.append(threading.Thread(target=self._look_and_tick, name="clock"))
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._pending.stop(WORKERS)
        self._server.stop()
        for thread in self._threads:
            thread.join()
        for timer in tuple(self._later):  # no thread is left to add one
            timer.cancel()
        if isinstance(self.app.jobs, LocalJobs):
            self.app.jobs.stop_all()
        (self.settings.home / "platform.json").unlink(missing_ok=True)
        self._lock.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.port}"

    def wake(self, function: str, key: str, at: datetime | None = None, attempt: int = 1) -> None:
        """Deliver an event soon. The same one waiting already is enough."""
        self._pending.add(Task(function, key, at or self.clock(), attempt))

    def created(self, key: str) -> None:
        """An object appeared: wake whoever listens."""
        for function in catalogue.woken_by(self.functions, key):
            self.wake(function.name, key)

    def tick(self, at: datetime) -> None:
        """Fire every schedule for that instant."""
        for function, _ in scheduled(self.functions):
            self.wake(function.name, "", at)

    def _look_and_tick(self) -> None:
        last: dict[str, int] = {}
        while not self._stopping.wait(LOOK_S):
            for watch in self._watches:
                for key in watch.news():
                    self.created(key)
            at = self.clock()
            for function, trigger in scheduled(self.functions):
                if last.get(function.name) != (now := period(at, trigger)):
                    last[function.name] = now
                    self.wake(function.name, "", at)

    def _work(self) -> None:
        """One worker: a process while there is work, none while there is not."""
        worker: Worker | None = None
        while not self._stopping.is_set():
            try:
                task = self._pending.take(IDLE_S)
            except queue.Empty:
                if worker:
                    worker.end()
                worker = None
                continue
            if task is None:
                break
            answer: dict[str, Any] | None = None
            with suppress(OSError):  # the machine has no process or pipe left for us
                worker = worker or Worker(self.settings)
                answer = worker.perform(task, catalogue.named(self.functions, task.function))
            if answer is None and worker:
                worker.end()
                worker = None
            self._follow(task, answer)
        if worker:
            worker.end()

    def _follow(self, task: Task, answer: dict[str, Any] | None) -> None:
        """Pass on what a task created and asked for; try again, or tell a person, when it failed."""
        answer = answer or {"error": ["Crashed", f"{task.function} crashed or ran out of its time; its log says more"]}
        for key in answer.get("created", ()):
            self.created(key)
        for function, key in answer.get("wakes", ()):
            self.wake(function, key)
        if "error" in answer and not self._stopping.is_set():
            self._failed(task, *answer["error"], final=answer.get("final", False))
        self._pending.done(task)

    def _failed(self, task: Task, what: str, why: str, *, final: bool) -> None:
        if (final or task.attempt >= ATTEMPTS) and self._told(task, what, why):
            return
        again = Task(task.function, task.key, task.at, task.attempt + 1)
        timer = threading.Timer(min(0.25 * 2**task.attempt, LONGEST_WAIT_S), lambda: self._again(again, timer))
        self._later.add(timer)
        timer.start()

    def _told(self, task: Task, what: str, why: str) -> bool:
        """Whether people will hear of it. While even that cannot be written down, nothing is given up."""
        given_up = GivenUp(task.function, task.key, what, why, task.at)
        try:
            for function in catalogue.told_of_failures(self.functions):
                deliver(function, given_up, self.app)
        except (SamaraError, OSError):
            return False
        return True

    def _again(self, task: Task, timer: threading.Timer) -> None:
        self.wake(task.function, task.key, task.at, task.attempt)
        self._later.discard(timer)


def scheduled(functions: catalogue.Catalogue) -> Iterator[tuple[Function, Every]]:
    """Every function that wakes on the clock, with its schedule."""
    for function in functions:
        for trigger in function.on:
            if isinstance(trigger, Every):
                yield function, trigger


def period(at: datetime, trigger: Every) -> int:
    """Which of the schedule's periods the instant lies in."""
    return int(at.timestamp()) // PERIOD_S[trigger.period]


def written_by_others(functions: catalogue.Catalogue) -> list[str]:
    """The waking prefixes that no worker writes alone: people write them, jobs, or functions that answer HTTP."""
    ours = {prefix for function in functions if not answers(function) for prefix in function.creates}
    jobs = {prefix for function in functions if function.job for prefix in function.job.creates}
    waking = [trigger.prefix for function in functions for trigger in function.on if isinstance(trigger, Created)]
    return [prefix for prefix in waking if prefix not in ours or prefix in jobs]


def answers(function: Function) -> bool:
    """Whether it answers HTTP, which it does outside the workers, and perhaps outside this process."""
    return any(isinstance(trigger, Http) for trigger in function.on)


def only_one(settings: Settings) -> Any:
    """The lock that keeps a second platform from the same folder; it goes with the process, however it ends."""
    settings.home.mkdir(parents=True, exist_ok=True)
    lock = (settings.home / "platform.lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        raise Misconfigured(str(settings.home), "a platform is running on it already; stop that one first") from error
    return lock


def line_of(task: Task) -> str:
    return json.dumps({"function": task.function, "key": task.key, "at": task.at.isoformat()}) + "\n"


class Worker:
    """One worker process and the pipe to it."""

    def __init__(self, settings: Settings) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "samara.dev.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **settings.environment()},
            text=True,
        )

    def perform(self, task: Task, function: Function) -> dict[str, Any] | None:
        """What came of the task, or None when the process ended instead of answering, or had to be ended."""
        assert self._process.stdin is not None  # noqa: S101  # asked for above
        assert self._process.stdout is not None  # noqa: S101  # the same
        overdue = threading.Timer(function.timeout_s, self._process.kill)
        overdue.start()
        try:
            self._process.stdin.write(line_of(task))
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            overdue.cancel()
        answer: dict[str, Any] | None = json.loads(line) if line.endswith("\n") else None
        return answer

    def end(self) -> None:
        """Let it finish what it does, then be gone."""
        with self._process as process:
            if process.stdin:
                with suppress(BrokenPipeError):  # it was gone before it had read all that we said
                    process.stdin.close()
            deadline = time.monotonic() + 5
            while process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.01)
            process.kill()
