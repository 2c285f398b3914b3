"""What the handler adds to onnxruntime's own call, without any server: `python -m tests.benchmarks.predict.in_process`.

Reads a job as JSON and writes what it saw as JSON. Contenders take turns in blocks of calls, on one thread whose CPU
time is counted, so that what else the machine does is seen by none of them.
"""

import json
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import orjson

from functions.catalogue import CATALOGUE
from functions.predict.handler import run
from samara import catalogue, engines
from samara.app import App
from samara.core.tensors import Value
from samara.events import HttpRequest, HttpResponse
from samara.providers.memory import MemoryStore
from tests.benchmarks.predict import ours
from tests.benchmarks.predict.dialects import DIALECTS
from tests.benchmarks.predict.specimen import INPUT, OUTPUT, Row, Specimen, specimen

BATCHES = (1, 16, 256)
BLOCK_US = 400  # about how long the calls of one block take together: less than a machine needs to change its pace
CALLS = 10  # at least: the first of a block finds the processor busy with something else
RUN = "onnxruntime's call"
PATH = "/v2/models/model/infer"


@dataclass(frozen=True, slots=True)
class Side:
    """One way to an answer. `prepared` gives what each call of a block takes, outside of what is counted."""

    call: Callable[[Any], Any]
    prepared: Callable[[int], list[Any]]


def sides(subject: Specimen, batch: int) -> dict[str, Side]:
    """All ways to the answers about the same rows; each is held against the right ones first."""
    rows, answers = subject.batch(batch, 0)
    expected = [value for row in answers for value in row]
    return {**bare(subject, rows), **by_hand(subject, rows), **by_samara(subject, rows, expected)}


def bare(subject: Specimen, rows: list[Row]) -> dict[str, Side]:
    """The model and nothing around it: by the package, and by the engine that Samara serves with."""
    session, engine, array = session_of(subject.path), engine_of(subject.path), np.array(rows, dtype=np.float32)
    value = Value("FP32", array.shape, array.tobytes())
    return {
        RUN: Side(lambda given: session.run([OUTPUT], {INPUT: given}), lambda calls: [array] * calls),
        "Samara's engine": Side(lambda given: engine.run({INPUT: given}, [OUTPUT]), lambda calls: [value] * calls),
    }


def by_hand(subject: Specimen, rows: list[Row]) -> dict[str, Side]:
    """orjson, numpy and onnxruntime, bytes to bytes, with nothing checked."""
    session = session_of(subject.path)
    text, (_, binary) = DIALECTS["v2"].said(rows)[1], DIALECTS["v2 binary"].said(rows)
    size = binary.index(b"}]}") + 3

    def in_json(body: bytes) -> bytes:
        tensor = orjson.loads(body)["inputs"][0]
        given = np.array(tensor["data"], dtype=np.float32).reshape(tensor["shape"])
        found = session.run([OUTPUT], {INPUT: given})[0]
        output = {"name": OUTPUT, "shape": found.shape, "datatype": "FP32", "data": found.ravel()}
        said: bytes = orjson.dumps({"model_name": "model", "outputs": [output]}, option=orjson.OPT_SERIALIZE_NUMPY)
        return said

    def in_binary(body: bytes) -> bytes:
        tensor = orjson.loads(body[:size])["inputs"][0]
        given = np.frombuffer(body, dtype="<f4", offset=size).reshape(tensor["shape"])
        found = session.run([OUTPUT], {INPUT: given})[0]
        data: bytes = found.tobytes()
        described = {"name": OUTPUT, "shape": found.shape, "parameters": {"binary_data_size": len(data)}}
        said: bytes = orjson.dumps({"model_name": "model", "outputs": [described]})
        return said + data

    return {
        "by hand, JSON": Side(in_json, lambda calls: [text] * calls),
        "by hand, binary": Side(in_binary, lambda calls: [binary] * calls),
    }


def by_samara(subject: Specimen, rows: list[Row], expected: list[float]) -> dict[str, Side]:
    app = served(subject)
    made = {}
    for name, dialect in {"Samara, JSON": "v2", "Samara, binary": "v2 binary"}.items():
        lines, body = DIALECTS[dialect].said(rows)
        headers = dict(line.split(": ") for line in lines.decode().splitlines())
        event = HttpRequest("POST", PATH, datetime.now(UTC), headers=headers, body=body)
        checked(run(event, app), dialect, expected)
        made[name] = Side(lambda event: run(event, app), moments(event))
    return made


def served(subject: Specimen) -> App:
    """The app of `predict` on a bucket in memory, with nothing captured."""
    return ours.publish(MemoryStore(), subject, captured=False).acting_as(catalogue.named(CATALOGUE, "predict"))


def checked(response: HttpResponse, dialect: str, expected: list[float]) -> None:
    head = "".join(f"\r\n{name}:{value}" for name, value in response.headers.items())
    DIALECTS[dialect].check(response.status, head.encode(), response.body, expected)


def moments(event: HttpRequest) -> Callable[[int], list[HttpRequest]]:
    """The same request at one microsecond after another: to a clock that stands still nothing is kept."""
    passed = iter(range(1, 1 << 40))
    return lambda calls: [event._replace(at=event.at + timedelta(microseconds=next(passed))) for _ in range(calls)]


@cache
def session_of(path: Path) -> Any:
    """The package's, which all share: several copies of a model would keep each other out of the processor's cache."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


@cache
def engine_of(path: Path) -> engines.Session:
    return engines.load(path.read_bytes())


def took_us(side: Side, calls: int) -> float:
    """CPU time of one call, in a block of so many."""
    given, call = side.prepared(calls), side.call
    started = time.thread_time()
    for one in given:
        call(one)
    return (time.thread_time() - started) / calls * 1e6


def measured(subject: Specimen, repetitions: int, chance: random.Random) -> dict[str, dict[str, list[float]]]:
    """For each batch size, µs of each side in each repetition, in which all take their turn."""
    there = {(batch, name): side for batch in BATCHES for name, side in sides(subject, batch).items()}
    for side in there.values():
        took_us(side, CALLS)  # which loads what is loaded on demand
    calls = {which: max(CALLS, int(BLOCK_US / took_us(side, CALLS))) for which, side in there.items()}
    seen: dict[str, dict[str, list[float]]] = {str(batch): {} for batch in BATCHES}
    for batch, name in there:
        seen[str(batch)][name] = []
    for _ in range(repetitions):
        for batch, name in chance.sample(list(there), len(there)):
            seen[str(batch)][name].append(took_us(there[batch, name], calls[batch, name]))
    return seen


def main(job: dict[str, Any]) -> dict[str, Any]:
    subject = specimen(Path(job["specimen"]))
    return measured(subject, job["repetitions"], random.Random(job["seed"]))  # noqa: S311  # no secret


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(json.load(sys.stdin))))
