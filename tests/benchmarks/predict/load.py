"""A client that keeps a server busy: connections that stay, each asking again once it has its answer.

`python -m tests.benchmarks.predict.load` reads a job as JSON and writes what it saw as JSON. Every answer is read to
its numbers and held against the right ones. One thread, sockets and `select` alone: what it costs for each request
must stay below what a server costs, or it is itself what is measured; so it says how busy it was.
"""

import json
import re
import selectors
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.benchmarks.predict.dialects import DIALECTS, Dialect, Wrong
from tests.benchmarks.predict.processes import cpu_s
from tests.benchmarks.predict.specimen import Specimen, specimen

BODIES = 64  # different requests, asked in turn
SILENCE_S = 10.0  # without any answer, after which a server counts as hanging
WARM = 0.3  # of a phase's seconds, before it, in which nothing is counted
LARGEST_READ = 1 << 18


@dataclass(frozen=True, slots=True)
class Target:
    """Where to ask, in which dialect, and the process whose tree's CPU is to be counted."""

    port: int
    path: str
    dialect: str
    pid: int


@dataclass(frozen=True, slots=True)
class Phase:
    clients: int
    batch: int
    seconds: float


@dataclass(slots=True)
class Seen:
    """One phase: `answers` are right ones. Latencies in µs, as a client waits for them; `busy` is the client's own
    share of its CPU."""

    answers: int = 0
    failures: int = 0
    examples: list[str] = field(default_factory=list)
    seconds: float = 0.0
    cpu_us: float = 0.0
    p50_us: float = 0.0
    p95_us: float = 0.0
    p99_us: float = 0.0
    per_second: float = 0.0
    busy: float = 0.0

    def fail(self, why: str) -> None:
        self.failures += 1
        if len(self.examples) < 3:
            self.examples.append(why)


LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)")


def parsed(read: bytes) -> tuple[int, bytes, bytes] | None:
    """Status, head in lower case and body of an answer, or None while some of it is still to come."""
    end = read.find(b"\r\n\r\n")
    if end < 0:
        return None
    head, body = read[:end].lower(), read[end + 4 :]
    if length := LENGTH.search(head):
        whole = len(body) >= int(length[1])
    elif b"transfer-encoding: chunked" in head:
        whole, body = body.endswith(b"0\r\n\r\n"), joined(body)
    else:
        whole = True
    return (int(head[9:12]), head, body) if whole else None


def joined(chunks: bytes) -> bytes:
    """A body that came in chunks, as far as it is there."""
    whole = b""
    while chunks:
        size, _, rest = chunks.partition(b"\r\n")
        length = int(size or b"0", 16)
        whole, chunks = whole + rest[:length], rest[length + 2 :] if length else b""
    return whole


class Connection:
    """One client. `next` is the number of its next request."""

    def __init__(self, asked: list[tuple[bytes, list[float]]], dialect: Dialect, port: int, first: int) -> None:
        self.asked, self.dialect, self.port, self.next = asked, dialect, port, first
        self.open()

    def open(self) -> None:
        self.socket = socket.create_connection(("127.0.0.1", self.port), timeout=SILENCE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self) -> None:
        request, self.expected = self.asked[self.next % len(self.asked)]
        self.next += 1
        self.read = b""
        self.at = time.perf_counter()
        self.socket.sendall(request)

    def hear(self) -> bool:
        """Whether the answer is there, and right; `Wrong` when it is not, `OSError` when the connection ended."""
        data = self.socket.recv(LARGEST_READ)
        if not data:
            raise ConnectionResetError("the server closed the connection in place of an answer")
        self.read += data
        answer = parsed(self.read)
        if answer is None:
            return False
        self.dialect.check(*answer, self.expected)
        return True


def requests(target: Target, batch: int, subject: Specimen) -> list[tuple[bytes, list[float]]]:
    """Requests, each with the numbers that are its right answer."""
    dialect = DIALECTS[target.dialect]
    batches = [subject.batch(batch, number) for number in range(BODIES)]
    return [
        (dialect.request(target.path, rows), [value for row in answers for value in row]) for rows, answers in batches
    ]


def kept_busy(target: Target, phase: Phase, subject: Specimen) -> Seen:
    """The server under that load, from when it is warm."""
    asked = requests(target, phase.batch, subject)
    dialect = DIALECTS[target.dialect]
    connections = [Connection(asked, dialect, target.port, number * 7) for number in range(phase.clients)]
    with selectors.DefaultSelector() as selector:
        for connection in connections:
            selector.register(connection.socket, selectors.EVENT_READ, connection)
            connection.ask()
        loop(selector, time.perf_counter() + WARM * phase.seconds, Seen())
        seen, cpu, mine, at = Seen(), cpu_s(target.pid), time.process_time(), time.perf_counter()
        took = loop(selector, at + phase.seconds, seen)
        seen.seconds = time.perf_counter() - at
        seen.busy = (time.process_time() - mine) / seen.seconds
        spent = cpu_s(target.pid) - cpu
    for connection in connections:
        connection.socket.close()
    return summed(seen, took, spent)


def loop(selector: selectors.BaseSelector, until: float, seen: Seen) -> list[float]:
    """Seconds each right answer took. Lasts until anything was heard at all, on a machine too busy to answer before."""
    took: list[float] = []
    heard = now = time.perf_counter()
    while now < until or not (took or seen.failures):
        for key, _ in selector.select(0.1):
            connection: Connection = key.data
            try:
                if not connection.hear():
                    continue
                took.append(time.perf_counter() - connection.at)
            except Wrong as error:
                seen.fail(str(error))
            except OSError as error:
                seen.fail(str(error))
                selector.unregister(connection.socket)
                connection.socket.close()
                connection.open()
                selector.register(connection.socket, selectors.EVENT_READ, connection)
            heard = now
            connection.ask()
        now = time.perf_counter()
        if now - heard > SILENCE_S:
            seen.fail(f"no answer for {SILENCE_S:.0f} s")
            break
    return took


def summed(seen: Seen, took: list[float], cpu: float) -> Seen:
    ordered = sorted(took)
    seen.answers = len(ordered)
    if ordered:
        seen.p50_us, seen.p95_us, seen.p99_us = (
            ordered[int(len(ordered) * share)] * 1e6 for share in (0.5, 0.95, 0.99)
        )
        seen.per_second = len(ordered) / seen.seconds
        seen.cpu_us = cpu / len(ordered) * 1e6
    return seen


def first_answer(target: Target, subject: Specimen, until: float, alive: Callable[[], bool]) -> float:
    """The moment of the first right answer, asking as soon as the port is open; `TimeoutError` after `until`, or
    when the server is not alive any more."""
    request, expected = requests(target, 1, subject)[0]
    why = "the port never opened"
    while (now := time.perf_counter()) < until:
        try:
            with socket.create_connection(("127.0.0.1", target.port), timeout=max(until - now, 0.1)) as connection:
                connection.sendall(request)
                read, answer = b"", None
                while answer is None and (data := connection.recv(LARGEST_READ)):
                    read += data
                    answer = parsed(read)
            DIALECTS[target.dialect].check(*(answer or (0, b"", read)), expected)
            return time.perf_counter()
        except (OSError, Wrong) as error:
            why = str(error)
            if not alive():
                raise TimeoutError("the process ended") from error
            time.sleep(0.002 if isinstance(error, ConnectionRefusedError) else 0.02)
    raise TimeoutError(why)


def main(job: dict[str, Any]) -> dict[str, Any]:
    target, subject = Target(**job["target"]), specimen(Path(job["specimen"]))
    return {name: asdict(kept_busy(target, Phase(**phase), subject)) for name, phase in job["phases"].items()}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(json.load(sys.stdin))))
