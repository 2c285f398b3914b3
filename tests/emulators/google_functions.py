"""Functions of Cloud Run on loopback: each its own zip, unpacked, behind the real server of Google's framework.

A process sees its zip, what Google's buildpack installs for the zip's requirements.txt, and Python's own; of our
environment it sees nothing.
"""

import atexit
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from infra import dists
from tests.emulators import processes
from tests.infra import packages

PROGRAM = """
import sys
sys.path[:0] = sys.argv.pop(1).split(":")
from functions_framework._cli import _cli
_cli()
"""
MORTAL = (sys.executable, "-I", "-S", processes.MORTAL)
PIN = re.compile(r"^(\S+==[^\s;]+)", re.MULTILINE)


@dataclass(frozen=True)
class Instance:
    """A function that was started, and may not listen yet."""

    name: str
    port: int
    process: "subprocess.Popen[bytes]"
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ready(self) -> None:
        deadline = time.monotonic() + processes.PATIENCE_S
        while not processes.listening(self.port):
            assert self.process.poll() is None, f"{self.name} ended at once: {self.log.read_text()[-2000:]}"
            assert time.monotonic() < deadline, f"{self.name} does not listen; see {self.log}"
            time.sleep(0.05)

    def stop(self) -> None:
        processes.stop(self.process, self.log)


def start(name: str, package: Path, entry: str, environment: Mapping[str, str], folder: Path) -> Instance:
    """Unpack it into `folder` and run it with nothing but `environment`, and what Cloud Run adds to that."""
    home = folder / name
    zipfile.ZipFile(package).extractall(home)
    path = os.pathsep.join([str(home), str(installed((home / "requirements.txt").read_text()))])
    port = processes.free_port()
    log = folder / f"{name}.log"
    options = ("--target", entry, "--source", str(home / "main.py"), "--host", "127.0.0.1", "--port", str(port))
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*MORTAL, python(), "-I", "-S", "-c", PROGRAM, path, *options],
            env={"K_SERVICE": name, "FUNCTION_TARGET": entry, "PORT": str(port), **environment},
            cwd=home, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
        )  # fmt: skip
    instance = Instance(name, port, process, log)
    atexit.register(instance.stop)
    return instance


def python() -> str:
    """The Python that the packages are for."""
    return dists.interpreter(packages.here("gcp").python)


@cache
def installed(requirements: str) -> Path:
    """Where a buildpack would have installed these, at exactly those versions and digests."""
    folder = Path(tempfile.mkdtemp(prefix="samara-buildpack-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for pin in PIN.findall(requirements):
        part = dists.part(pin, packages.here("gcp"), python())
        zipfile.ZipFile(part.path).extractall(folder)
    return folder
