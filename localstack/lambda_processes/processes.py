"""The process that a function runs in: how it starts, what it says, how much memory it may use, how it ends."""

import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

import psutil

RUNTIME = str(Path(__file__).with_name("runtime.py"))
BOOTSTRAP = "/var/runtime/bootstrap.py"  # by which Lambda starts its client: here a word, for which runtime.py stands
TASK_ROOT = "/var/task/"  # where functions believe their package to be
LOOK_S = 0.1  # how often its memory is measured
MB = 1 << 20


class Process:
    """A running command and everything that it starts. It ends when LocalStack does."""

    def __init__(
        self, command: Sequence[str], variables: Mapping[str, str], *, folder: Path, memory_mb: int, package: str
    ) -> None:
        self._log = folder / "log"
        self._read = self._log.stat().st_size if self._log.exists() else 0
        self._memory_mb = memory_mb
        self._too_much = False
        self.most_mb = 0
        with self._log.open("ab") as log:
            self._running = subprocess.Popen(  # noqa: S603  # which is what we are for
                command,
                cwd=package,
                env=dict(variables),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        threading.Thread(target=self._watch, daemon=True).start()

    @property
    def alive(self) -> bool:
        return self._running.poll() is None

    def wait(self) -> str:
        """Why it ended, in Lambda's words."""
        code = self._running.wait()
        if self._too_much:
            return f"signal: killed (it used more than its {self._memory_mb} MB)"
        return f"signal: {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"

    def end(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._running.pid, signal.SIGKILL)
        self._running.wait()

    def said(self) -> str:
        """What it has said since it was last asked, to the end of a line."""
        with self._log.open("rb") as log:
            log.seek(self._read)
            new = log.read().decode(errors="replace")
            self._read = log.tell()
        return new if not new or new.endswith("\n") else f"{new}\n"

    def everything_said(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def last_words(self) -> str:
        return self.everything_said()[-2000:]

    def _watch(self) -> None:
        """Lambda kills what uses more memory than it has. Address space says little of that, so this measures."""
        with suppress(psutil.NoSuchProcess):
            measured = psutil.Process(self._running.pid)
            while self.alive:
                used = measured.memory_info().rss // MB
                self.most_mb = max(self.most_mb, used)
                if used > self._memory_mb:
                    self._too_much = True
                    self.end()
                time.sleep(LOOK_S)


def command(package: str, wrapper: str, folder: Path) -> list[str]:
    """What Lambda starts for a function: the client in its interpreter, or a `wrapper` that is given both.

    A shell starts the wrapper, as Lambda's does, and so says what is wrong with one that is missing or no program.
    https://docs.aws.amazon.com/lambda/latest/dg/runtimes-modify.html#runtime-wrapper
    """
    runtime = [interpreter(), "-I", "-u", RUNTIME, package]
    if not wrapper:
        return [*runtime, BOOTSTRAP]
    python = folder / "python"  # what the wrapper is told is Lambda's, and finds no more than that would
    python.write_text(f'#!/bin/sh\nexec {shlex.join(runtime)} "$@"\n')
    python.chmod(0o755)
    here = f"{package}/{wrapper.removeprefix(TASK_ROOT)}" if wrapper.startswith(TASK_ROOT) else wrapper
    return ["/bin/sh", "-c", 'exec "$0" "$@"', here, str(python), BOOTSTRAP]


def interpreter() -> str:
    return os.environ.get("LAMBDA_PROCESS_PYTHON") or sys.executable


@cache
def version() -> str:
    """Of the interpreter, as Lambda names it: 3.13."""
    asked = [interpreter(), "-I", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603  # the user's


@cache
def extra() -> dict[str, str]:
    """What every function gets besides its own: the addresses of other emulators, for example."""
    given: dict[str, str] = json.loads(os.environ.get("LAMBDA_PROCESS_ENVIRONMENT") or "{}")
    return given


def inherited() -> dict[str, str]:
    return {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL") if name in os.environ}
