"""Servers under load: each is started, asked until it answers, loaded, measured and stopped, in every round anew."""

import json
import random
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks.predict.contenders import Contender, Place
from tests.benchmarks.predict.environments import ROOT, python_of
from tests.benchmarks.predict.load import Phase, Target, first_answer
from tests.benchmarks.predict.processes import Cpus, Server, cpu_s, memory_mb, on, started, tree
from tests.benchmarks.predict.specimen import Specimen

Figures = dict[str, float]  # by name and unit, of one contender in one round
LAST_LINES = 12  # of the log of a server that fails


@dataclass(frozen=True, slots=True)
class Failure:
    """`log` is the end of what the server wrote."""

    why: str
    log: str = ""


@dataclass(frozen=True, slots=True)
class Conditions:
    """The same for everybody. `phases` are the loads, by name."""

    subject: Specimen
    cpus: Cpus
    phases: Mapping[str, Phase]


def phases(seconds: float) -> dict[str, Phase]:
    """One client, for latency; 32, for what the server bears; and 8 that ask about 16 rows at once."""
    return {"one": Phase(1, 1, seconds), "many": Phase(32, 1, seconds), "batch": Phase(8, 16, seconds)}


def measured(contender: Contender, conditions: Conditions, folder: Path) -> Figures | Failure:
    """One contender's figures of one round. `folder` is emptied first."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    log = folder.parent / f"{folder.name}.log"
    place = Place(folder, free_port(), conditions.subject, python_of(contender.environment))
    try:
        command, env = contender.command(place)
        with started(command, env, conditions.cpus.server, log, folder) as server:
            target = Target(place.port, contender.path, contender.dialect, server.process.pid)
            return loaded(contender, target, server, conditions)
    except (Unfit, TimeoutError, OSError, subprocess.CalledProcessError) as error:
        return Failure(f"{type(error).__name__}: {error}", tail(log))


class Unfit(Exception):
    """A server that answers, but not as it should."""


def loaded(contender: Contender, target: Target, server: Server, conditions: Conditions) -> Figures:
    with on(conditions.cpus.client):
        at = first_answer(target, conditions.subject, server.at + contender.patience_s, lambda: server.alive)
    figures = {"first_s": at - server.at, "first_cpu_s": cpu_s(target.pid)}
    for name, seen in seen_by_client(target, conditions).items():
        if not seen["answers"] or seen["failures"] > seen["answers"] / 100:
            raise Unfit(f"{name}: {seen['failures']} of {seen['answers'] + seen['failures']} fail: {seen['examples']}")
        figures |= {f"{name}_{what}": value for what, value in seen.items() if isinstance(value, float | int)}
    return figures | {"memory_mb": memory_mb(target.pid), "processes": float(len(tree(target.pid)))}


def seen_by_client(target: Target, conditions: Conditions) -> dict[str, Any]:
    """By phase, what a client in a process of its own saw."""
    asked = {name: asdict(phase) for name, phase in conditions.phases.items()}
    job = {"target": asdict(target), "specimen": str(conditions.subject.path.parent), "phases": asked}
    with on(conditions.cpus.client):
        client = subprocess.run(
            [sys.executable, "-m", "tests.benchmarks.predict.load"],
            input=json.dumps(job), cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
    if client.returncode:
        raise Unfit(f"the client failed: {client.stderr[-2000:]}")
    seen: dict[str, Any] = json.loads(client.stdout)
    return seen


def free_port() -> int:
    """A port nobody listens at, with the two above it, which some peers take; below those that systems give away."""
    while True:
        first = random.randrange(20_000, 32_000)  # noqa: S311  # no secret
        if all(is_free(port) for port in range(first, first + 3)):
            return first


def is_free(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) != 0


def tail(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return "\n".join(line[:300] for line in lines[-LAST_LINES:])
