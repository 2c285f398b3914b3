"""Jobs as processes of this machine. A job belongs to the folder `{home}/jobs/{name}`, not to who submitted it.

Its supervisor and the job hold the folder's lock while they live, so any process can ask how it is, and kill -9 of
any of them is seen. `log` holds what the job said, `work` is its current directory. Limits of memory and the number
of GPUs are the clouds' business: here a job gets what the machine has. The tasks of one job share its log; each has
a folder of its own below `work`.
"""

import os
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from samara.core.keys import sound
from samara.errors import Rejected, Unavailable
from samara.ports import Job, JobStatus
from samara.providers import local_supervisor as supervisor
from samara.providers.local_files import locked, private, private_folders, taken, translated
from samara.settings import Settings

LAST_S = 10.0  # for the kernel to end what was killed
POLL_S = 0.01


class LocalJobs:
    def __init__(self, settings: Settings) -> None:
        self._environment = settings.environment()
        self._jobs = settings.home.absolute() / "jobs"

    def submit(self, job: Job) -> str:
        folder = self._folder(job.name)
        with translated(job.name):
            private_folders(self._jobs.parent, self._jobs, folder, folder / "work")
            with locked(folder / "door", job.name):
                lock = private(folder / "lock", os.O_RDWR | os.O_CREAT)
                try:
                    if taken(lock) and self._outcome(folder) is not JobStatus.SUCCEEDED:
                        self._start(job, folder, lock)
                finally:
                    os.close(lock)  # not unlocked: who inherited it holds it
        return job.name

    def status(self, handle: str) -> JobStatus:
        folder = self._folder(handle)
        if not (folder / "job.json").exists():
            return JobStatus.LOST
        with translated(handle):
            if self._alive(folder):
                return JobStatus.RUNNING
        return self._outcome(folder)

    def cancel(self, handle: str) -> None:
        self._end([handle])

    def stop_all(self) -> None:
        """End every job of this home. None has failed by that: they count as lost, and may be submitted again."""
        if self._jobs.is_dir():
            for handle in self._end(sorted(folder.name for folder in self._jobs.iterdir())):
                if self.status(handle) is JobStatus.FAILED:
                    (self._folder(handle) / "job.json").unlink()

    def why(self, handle: str) -> str:
        """How the job ended, in words; empty when nobody wrote that down."""
        return str(of_last_attempt(self._folder(handle), "exit.json").get("why", ""))

    def log(self, handle: str) -> Path:
        """The file with everything the job has said, over all attempts."""
        return self._folder(handle) / "log"

    def _start(self, job: Job, folder: Path, lock: int) -> None:
        import subprocess  # noqa: PLC0415  # predict starts no job, and each of its own starts would wait for this

        command = [sys.executable, "-P", "-m", job.module, *job.arguments]
        plan = {
            "attempt": os.urandom(16).hex(),
            "command": command,
            "tasks": job.tasks,
            "time_limit_s": job.time_limit_s,
        }
        supervisor.write(folder / "job.json", plan)
        with open(folder / "log", "ab", opener=private) as log:
            launched = subprocess.run(  # noqa: S603  # our own program
                [sys.executable, "-I", "-S", supervisor.__file__, str(folder)],
                env={**os.environ, **self._environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[lock],
                start_new_session=True,
                check=False,
            )
        if launched.returncode:
            raise Unavailable(job.name, f"its supervisor did not start; see {folder / 'log'}")

    def _outcome(self, folder: Path) -> JobStatus:
        """How the last attempt ended."""
        last = of_last_attempt(folder, "exit.json")
        if not last:
            return JobStatus.LOST
        return JobStatus.FAILED if last["code"] else JobStatus.SUCCEEDED

    def _alive(self, folder: Path) -> bool:
        """Whether somebody holds the lock. Asking takes it for a moment, hence the door that submitters use too."""
        with locked(folder / "door", folder.name):
            lock = private(folder / "lock", os.O_RDWR | os.O_CREAT)
            try:
                return not taken(lock)
            finally:
                os.close(lock)

    def _end(self, handles: Iterable[str]) -> list[str]:
        """Ask all of them to end, end those that do not, and come back with those that ran when all are gone."""
        running = left = [handle for handle in handles if self.status(handle) is JobStatus.RUNNING]
        for handle in left:
            (self._folder(handle) / f"cancelled-{attempt_of(self._folder(handle))}").touch()
        for number, patience_s in ((signal.SIGTERM, supervisor.GRACE_S), (signal.SIGKILL, LAST_S)):
            told: set[int] = set()
            deadline = time.monotonic() + patience_s
            while left and time.monotonic() < deadline:
                left = [handle for handle in left if self.status(handle) is JobStatus.RUNNING]
                for group in {group for handle in left for group in groups_of(self._folder(handle))} - told:
                    supervisor.send(group, number)
                    told.add(group)
                time.sleep(POLL_S if left else 0)
        if left:
            raise Unavailable(left[0], "does not end though it was killed; is it waiting for a disk?")
        return running

    def _folder(self, name: str) -> Path:
        if "/" in sound(name):
            raise Rejected(name, "a job's name has no slash; use - instead", code="bad_name")
        return self._jobs / name


def groups_of(folder: Path) -> list[int]:
    """The process groups of its running tasks. A task has none in its first milliseconds."""
    notes = [of_last_attempt(folder, file.name) for file in folder.glob("group-*.json")]
    return [note["group"] for note in notes if note]


def of_last_attempt(folder: Path, name: str) -> dict[str, Any]:
    """A document of the supervisor's, or nothing when it tells of an earlier attempt."""
    found = supervisor.read(folder / name)
    return found if found.get("attempt") == attempt_of(folder) else {}


def attempt_of(folder: Path) -> str | None:
    return supervisor.read(folder / "job.json").get("attempt")
