"""A process of our own making that may hold only so much memory and take only so much time, and messages with it.

The process knows no secrets (its environment is empty) and may write no file. Messages go over two pipes: a head of
JSON, and raw pieces.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from math import ceil
from pathlib import Path
from signal import Signals
from struct import Struct
from typing import Any, BinaryIO

if sys.platform != "win32":  # which has no limits of this kind
    import resource

SPARE_S = 2  # of processor time beyond the limit, so that it is the parent's clock that ends a run
LONGEST_HEAD = 64 << 20  # bytes; the lengths of a million texts fit
SIZE = Struct("<Q")
KEPT = ("LD_LIBRARY_PATH", "PYTHONHOME", "SYSTEMROOT")  # without which Python may not start
OVER_TIME = "takes more processor time than it may"
FAULTS = ("SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGSEGV")  # signals by which a program ends itself

Message = tuple[dict[str, Any], list[bytes]]


class Child:
    """The process, which runs a `program`: a few lines of Python that import the rest."""

    def __init__(self, program: str) -> None:
        environment = {name: os.environ[name] for name in KEPT if name in os.environ}
        environment["PYTHONPATH"] = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
        environment["MALLOC_ARENA_MAX"] = "1"  # each arena reserves addresses, which count as memory
        self.process = subprocess.Popen(  # noqa: S603 - this Python, our own program
            [sys.executable, "-S", "-P", "-B", "-c", program],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment,
        )  # fmt: skip
        assert self.process.stdin  # noqa: S101 - for the type checker
        assert self.process.stdout  # noqa: S101 - the same
        self.asks: Any = self.process.stdin
        self.says: Any = self.process.stdout

    def fate(self) -> str:
        """How it came to its end, which it has or is now brought to."""
        try:
            status = self.process.wait(1)
        except subprocess.TimeoutExpired:
            return "its process answers nonsense"
        if status >= 0:
            return f"its process ended by itself, with status {status}"
        name = signal_name(-status)
        return OVER_TIME if name == "SIGXCPU" else f"its process died of {name}"

    @property
    def failed(self) -> bool:
        """Whether it ended itself by a fault of what it was working on."""
        status = self.process.poll()
        return status is not None and status < 0 and signal_name(-status) in FAULTS

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.asks, self.says):
            with suppress(OSError):  # what was not written yet never will be
                pipe.close()


def signal_name(number: int) -> str:
    return Signals(number).name if number in set(Signals) else f"signal {number}"


def answering() -> BinaryIO:
    """In the child: where it answers. Whatever prints shall not write into an answer."""
    says = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return says


def send(pipe: BinaryIO, head: dict[str, Any], pieces: Sequence[Any]) -> None:
    """A message: the length of its head, the head with the lengths of its pieces, the pieces."""
    text = json.dumps({**head, "pieces": [memoryview(piece).nbytes for piece in pieces]}).encode()
    pipe.write(SIZE.pack(len(text)) + text)
    pipe.writelines(pieces)
    pipe.flush()


def received(pipe: BinaryIO, most: int | None = None) -> Message:
    """The next message. `EOFError` at the end, `ValueError` for what is none or brings more than `most` bytes."""
    (size,) = SIZE.unpack(exactly(pipe, SIZE.size))
    if size > LONGEST_HEAD:
        raise ValueError(size)
    head = json.loads(exactly(pipe, size))
    if not isinstance(head, dict) or not isinstance(lengths := head.get("pieces"), list):
        raise ValueError("no head")  # noqa: TRY004 - what a stranger sends is a value
    if not all(isinstance(length, int) and length >= 0 for length in lengths):
        raise ValueError("no lengths")
    if most is not None and sum(lengths) > most:
        raise ValueError("too long")
    return head, [exactly(pipe, length) for length in lengths]


def exactly(pipe: BinaryIO, size: int) -> bytes:
    data = pipe.read(size)
    if len(data) < size:
        raise EOFError
    return data


def limit_memory(memory: int) -> None:
    """From here on, no more memory than that, no files, and no core dump."""
    if sys.platform == "win32":
        return
    try:
        held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except OSError:  # not on Linux
        held = 0
    for limit, most in (("RLIMIT_CORE", 0), ("RLIMIT_FSIZE", 0), ("RLIMIT_AS", held + memory)):
        lower(limit, most, most)


def limit_time(within_s: float) -> None:
    """That much processor time for what comes next. It also ends what outlives a parent that was killed."""
    if sys.platform == "win32":
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    lower("RLIMIT_CPU", ceil(used.ru_utime + used.ru_stime + within_s + SPARE_S), resource.RLIM_INFINITY)


def lower(limit: str, soft: int, hard: int) -> None:
    """Set a limit, where there is one of that name and the platform lets us."""
    if sys.platform == "win32":
        return
    with suppress(AttributeError, ValueError, OSError):
        resource.setrlimit(getattr(resource, limit), (soft, hard))
