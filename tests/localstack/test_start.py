"""`python localstack/start.py`: what it promises whoever starts it."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil

from tests.emulators import localstack, processes


def started(folder: Path) -> "tuple[subprocess.Popen[str], int]":
    port = processes.free_port()
    command = [sys.executable, str(localstack.START), "--port", str(port), "--folder", str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True), port


def test_it_says_how_to_use_it_listens_on_loopback_alone_and_leaves_nothing_behind(tmp_path: Path) -> None:
    running, port = started(tmp_path)
    assert running.stdout
    with running, running.stdout as output:
        said = next(line for line in output if "AWS_ENDPOINT_URL=" in line)
        inside = psutil.Process(running.pid).children(recursive=True)
        addresses: list[Any] = [each.laddr for each in psutil.net_connections("tcp") if each.laddr]
        listening = {ip for ip, at in addresses if at == port}

        os.kill(running.pid, signal.SIGKILL)

    assert f"AWS_ENDPOINT_URL=http://127.0.0.1:{port} " in said
    assert listening == {"127.0.0.1"}
    assert inside
    assert psutil.wait_procs(inside, timeout=30)[1] == [], "LocalStack outlives who started it"
