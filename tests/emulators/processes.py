"""Emulators as processes of ours: started when first needed, on loopback only, and gone when we are."""

import atexit
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

PATIENCE_S = 90
MORTAL = str(Path(__file__).with_name("mortal.py"))


def free_port() -> int:
    """A port nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def start(name: str, command: Sequence[str], port: int, environment: Mapping[str, str] | None = None) -> None:
    """Run `command` until we end, and come back once it listens on `port`."""
    log = Path(tempfile.gettempdir()) / f"samara-{name}-{os.getpid()}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", MORTAL, *command],
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    atexit.register(stop, process, log)
    deadline = time.monotonic() + PATIENCE_S
    while not listening(port):
        assert process.poll() is None, f"{name} ended at once; it said: {log.read_text()[-2000:]}"
        assert time.monotonic() < deadline, f"{name} does not listen after {PATIENCE_S} s; see {log}"
        time.sleep(0.05)


def listening(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def stop(process: "subprocess.Popen[bytes]", log: Path) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    log.unlink(missing_ok=True)
