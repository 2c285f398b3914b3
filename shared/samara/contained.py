"""A model that nobody trusts yet, in a process of its own that may hold only so much and run only so long.

The process (see `samara.child`) ends with its parent, when it is told to, or when it breaks a limit. Messages carry
tensors as their raw pieces.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import accumulate, pairwise
from math import prod
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any, BinaryIO

from samara import engines, ort
from samara.child import OVER_TIME, Child, Message, answering, limit_memory, limit_time, received, send
from samara.core.tensors import TEXT, WIDTH, Form, Raw, Spec, Value
from samara.errors import Rejected
from samara.ort_api import api
from samara.watchdog import WATCHDOG

START_S = 60  # for Python and the library to start, on a machine that is busy with something else
MIB = 1 << 20
PROCESS = 56 * MIB  # that it holds besides the model: measured 37 MiB with the lean engine, and 52 with the package
NO_MEMORY = ("bad_alloc", "allocate memory", "bad array new length", "std::length_error")
CODES = ("bad_model", "bad_input", "bad_output", "model_failed")
PROGRAM = "from samara.contained import main; main()"


class Ended(Rejected):
    """The model did not merely fail: it broke a limit or its process. Whoever runs it elsewhere is at risk."""


class Contained:
    """A session; see `samara.engines.Session`. Its runs are one at a time. Once ended, the next run starts it anew.

    `memory_mb` is what the model may need beyond the library itself, where the platform can limit it; `limit_s` is
    what loading and each run may take. `Rejected`, code `bad_model`, when the model cannot be loaded; `Ended`, code
    `too_slow` or `model_failed`, when it breaks a limit or its process, then or in a run.
    """

    again_bytes = 0

    def __init__(self, model: bytes, *, memory_mb: int, limit_s: float) -> None:
        self._model, self._memory_mb, self._limit_s = model, memory_mb, limit_s
        self._lock = Lock()
        self._child: Child | None = None
        self._closed = False
        try:
            said, _ = self._started()
        except BaseException:
            self._end()  # not when somebody lets go of the error, which holds us
            raise
        self.inputs = tuple(Spec(name, datatype, tuple(shape)) for name, datatype, shape in said["inputs"])
        self.outputs = tuple(Spec(name, datatype, tuple(shape)) for name, datatype, shape in said["outputs"])
        self.metadata: dict[str, str] = said["metadata"]
        self.size = len(model) + PROCESS + ort.held(model)  # the first here, and all else there

    def run(self, given: Mapping[str, Value], wanted: Sequence[str] = (), limit_s: float = 0) -> dict[str, Value]:
        """The outputs `wanted`, or all; `limit_s` can only shorten the limit that there is."""
        head, pieces = packed(given)
        within_s = min(limit_s or self._limit_s, self._limit_s)
        with self._lock:
            if self._closed:
                raise Rejected("model", "its session is closed", code="model_failed")
            if self._child is None:
                self._started()
            said, raw = self._asked({"do": "run", "wanted": list(wanted), **head}, pieces, within_s)
            try:
                return sound(unpacked(said, raw))
            except (KeyError, TypeError, ValueError) as error:
                raise self._ended("its process answers nonsense") from error

    def again(self, form: Form, numbers: Sequence[Raw], limit_s: float = 0) -> list[bytes] | None:  # noqa: ARG002
        """There is no quicker way than `run`."""
        return None

    def close(self) -> None:
        """End the process, once the run under way is over. Runs asked for later are `Rejected`."""
        with self._lock:
            self._closed = True
            self._end()

    def __enter__(self) -> "Contained":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        at_the_end = not sys or sys.is_finalizing()  # when modules are emptied, and the child ends by itself
        if not at_the_end and getattr(self, "_child", None):
            self._end()

    def _started(self) -> Message:
        """A child that has loaded the model, and what it says of it."""
        self._child = Child(PROGRAM)
        self._asked({"do": "obey", "memory": self._memory_mb * MIB}, [], START_S)
        return self._asked({"do": "load"}, [self._model], self._limit_s)

    def _asked(self, head: dict[str, Any], pieces: Sequence[Any], within_s: float) -> Message:
        """What the child answers, in time and within its limits, or `Rejected`."""
        assert self._child  # noqa: S101 - for the type checker
        child = self._child
        watch = WATCHDOG.begin(within_s, child.process.kill)
        failure: Exception | None = None
        try:
            with suppress(BrokenPipeError):  # it answers before it has heard all, when that does not fit
                send(child.asks, {**head, "within_s": within_s}, pieces)
            said, raw = received(child.says, self._memory_mb * MIB)
        except (OSError, EOFError, ValueError) as error:
            failure = error
        stopped = WATCHDOG.end(watch)
        if failure or stopped:
            raise self._ended(child.fate(), within_s if stopped else None) from failure
        if refused := said.get("refused"):
            raise self._refused(*map(str, refused))
        return said, raw

    def _refused(self, subject: str, why: str, code: str) -> Rejected:
        """What the child refused, which it may not word as it likes."""
        if any(words in why for words in NO_MEMORY):
            return self._ended(f"needs more memory than {self._memory_mb:,} MB")
        code = code if code in CODES else "model_failed"
        if code in ("bad_model", "model_failed") and subject != "model":
            subject = "model"
        return Rejected(subject[:200], why[:1000], code=code)

    def _ended(self, why: str, within_s: float | None = None) -> Ended:
        self._end()
        if within_s is not None:
            return Ended("model", f"takes longer than {within_s:g} s", code="too_slow")
        return Ended("model", why, code="too_slow" if why == OVER_TIME else "model_failed")

    def _end(self) -> None:
        child, self._child = self._child, None
        if child:
            child.end()


def packed(values: Mapping[str, Value]) -> tuple[dict[str, Any], list[Any]]:
    """Values as a head and pieces."""
    described, pieces = [], []
    for name, (datatype, shape, data) in values.items():
        try:
            lengths = list(map(len, data)) if datatype == TEXT else None
            piece = memoryview(b"".join(data) if datatype == TEXT else data)
        except TypeError as error:
            raise Rejected(name, f"is no buffer: {error}", code="bad_input") from error
        if not piece.c_contiguous:
            raise Rejected(name, "is no contiguous buffer", code="bad_input")
        described.append([name, datatype, list(shape), lengths])
        pieces.append(piece)
    return {"values": described}, pieces


def unpacked(head: dict[str, Any], pieces: Sequence[bytes]) -> dict[str, Value]:
    """`packed` undone. `KeyError`, `TypeError` or `ValueError` for what is no value."""
    values: dict[str, Value] = {}
    for (name, datatype, shape, lengths), piece in zip(head["values"], pieces, strict=True):
        if datatype == TEXT:
            texts = [piece[start:end] for start, end in pairwise([0, *accumulate(lengths)])]
            values[str(name)] = Value(TEXT, tuple(map(int, shape)), texts)
        else:
            values[str(name)] = Value(datatype, tuple(map(int, shape)), piece)
    return values


def sound(values: dict[str, Value]) -> dict[str, Value]:
    """Values that bring as much as their shapes say, or `ValueError`."""
    for value in values.values():
        brings = len(value.data) if value.datatype == TEXT else len(value.data) / WIDTH[value.datatype]
        if min(value.shape, default=0) < 0 or prod(value.shape) != brings:
            raise ValueError(value.shape)
    return values


def main() -> None:
    """The child: one request after the other, until its parent hangs up."""
    says = answering()
    requests: SimpleQueue[Message | None] = SimpleQueue()
    Thread(target=listen, args=(sys.stdin.buffer, requests), daemon=True).start()
    model = Model()
    while request := requests.get():
        try:
            said, pieces = model.do(*request)
        except Rejected as error:
            said, pieces = refused(error.subject, error.why, error.code)
        except MemoryError:
            break
        send(says, said, pieces)
    send(says, *refused("model", NO_MEMORY[0], "model_failed"))


def listen(pipe: BinaryIO, requests: "SimpleQueue[Message | None]") -> None:
    """Requests as they come, and None for one that does not fit into memory.

    In a thread of its own, so that the process ends with its parent even during a run.
    """
    while True:
        try:
            requests.put(received(pipe))
        except MemoryError:
            requests.put(None)
            return
        except BaseException:  # noqa: BLE001 - whatever it was, nobody asks any more
            os._exit(0)


def refused(subject: str, why: str, code: str) -> tuple[dict[str, Any], list[Any]]:
    return {"refused": [subject, why, code]}, []


class Model:
    """What the child holds."""

    def __init__(self) -> None:
        self.session: engines.Session | None = None

    def do(self, head: dict[str, Any], pieces: list[bytes]) -> tuple[dict[str, Any], list[Any]]:
        limit_time(head["within_s"])
        if head["do"] == "obey":
            if api() is None:  # loaded before memory is limited: the library is not the model's
                from samara import ort_package  # noqa: F401, PLC0415 - the engine where there is no such library
            limit_memory(head["memory"])
            return {}, []
        if head["do"] == "load":
            self.session = engines.load(pieces[0])
            said = {"inputs": self.session.inputs, "outputs": self.session.outputs, "metadata": self.session.metadata}
            return said, []
        assert self.session  # noqa: S101 - for the type checker
        return packed(self.session.run(unpacked(head, pieces), head["wanted"]))
