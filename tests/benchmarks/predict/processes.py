"""Server processes: on which CPU they run, what they cost, and their end."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

PATIENCE_S = 5.0  # for a server to end when asked


@dataclass(frozen=True, slots=True)
class Cpus:
    """Where servers and clients run: apart, where there are two CPUs to be had and a system that can say so."""

    server: frozenset[int]
    client: frozenset[int]


def cpus() -> Cpus:
    if not hasattr(os, "sched_getaffinity"):
        return Cpus(frozenset(), frozenset())
    mine = sorted(os.sched_getaffinity(0))
    return Cpus(frozenset(mine[:1]), frozenset(mine[1:2] or mine[:1]))


@contextmanager
def on(chosen: frozenset[int]) -> Iterator[None]:
    """This thread, and what it starts meanwhile, on those CPUs. Nothing where none are named."""
    if not chosen:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, chosen)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def tree(pid: int) -> list[psutil.Process]:
    """The process and everything it has started that is alive."""
    with suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    return []


def cpu_s(pid: int) -> float:
    """CPU seconds of the tree, in user and in kernel mode, with those of children that have ended."""
    total = 0.0
    for process in tree(pid):
        with suppress(psutil.Error):
            total += sum(process.cpu_times()[:4])
    return total


def memory_mb(pid: int) -> float:
    """What the tree holds, pages shared with others in equal parts (PSS); where the system cannot say, what is
    its own (USS)."""
    total = 0
    for process in tree(pid):
        with suppress(psutil.Error):
            full = process.memory_full_info()
            total += getattr(full, "pss", full.uss)
    return total / 1e6


@dataclass(frozen=True, slots=True)
class Server:
    """`at` is the moment before it was started, by `time.perf_counter`."""

    process: subprocess.Popen[bytes]
    at: float

    @property
    def alive(self) -> bool:
        return self.process.poll() is None


@contextmanager
def started(
    command: list[str], env: dict[str, str], chosen: frozenset[int], log: Path, folder: Path
) -> Iterator[Server]:
    """A server; ended, and all of its tree, when that is left."""
    with log.open("wb") as output:
        with on(chosen):
            at = time.perf_counter()
            server = subprocess.Popen(
                command, env=env, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )
        try:
            yield Server(server, at)
        finally:
            end(server)


def end(server: subprocess.Popen[bytes]) -> None:
    members = tree(server.pid)
    server.terminate()
    with suppress(subprocess.TimeoutExpired):
        server.wait(PATIENCE_S)
    for process in members:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    server.wait()
    psutil.wait_procs(members, timeout=PATIENCE_S)
