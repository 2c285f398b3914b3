"""Hundreds of thousands of requests while the champion changes fifty times: none is lost, and each is answered by a
version that was live when it was asked, or within the staleness that is promised."""

import asyncio
import json
import multiprocessing
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from onnx import TensorProto, helper

from functions.catalogue import CATALOGUE
from functions.predict.by_heart import Known
from samara.app import App
from samara.core import keys
from samara.core.definition import Captured, Serve
from samara.core.heads import ModelHead
from samara.core.records import Signature
from samara.events import HttpResponse
from samara.hosts.server import Routes, Server, serve
from samara.ports import ObjectStore
from samara.providers.local import LocalStore
from tests.functions.predict.conftest import LATENESS, ROWWISE, Point, Publish, lateness

CLIENTS, PIPELINED = 25, 40
MOVES, VERSIONS = 50, 5
STALE_S = 0.05
"""What the policy promises here."""


class Answered(NamedTuple):
    """When a request was sent and its answer had come, which version said it answered, and what it multiplied by."""

    sent: float
    received: float
    version: int
    factor: float


class Way(NamedTuple):
    """How often it is asked and how, and what an answer looks like. What is captured also repeats a text of its
    question in the answer; the rest is soon known by heart, and takes a quarter of the time."""

    captured: bool
    requests: int
    model: Callable[[int], bytes]
    signature: Signature
    inputs: Callable[[int], list[dict[str, Any]]]
    said: "re.Pattern[bytes]"


def product(factor: int) -> bytes:
    """score = factor × distance."""
    graph = helper.make_graph(
        [helper.make_node("Mul", ["distance", "factor"], ["score"])],
        "product",
        [helper.make_tensor_value_info("distance", TensorProto.FLOAT, [None, 1])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, [None, 1])],
        [helper.make_tensor("factor", TensorProto.FLOAT, [1], [float(factor)])],
    )
    whole = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(whole.SerializeToString())


def distance(number: int) -> dict[str, Any]:
    return {"name": "distance", "shape": [1, 1], "datatype": "FP32", "data": [float(number)]}


def carrier(number: int) -> dict[str, Any]:
    return {"name": "carrier", "shape": [1, 1], "datatype": "BYTES", "data": [str(number)]}


WAYS = {
    "captured": Way(
        True,
        100_000,
        lateness,
        LATENESS,
        lambda number: [distance(number), carrier(number)],
        re.compile(
            rb'.*"model_version":"(?P<version>[0-9]+)".*"data":\[(?P<score>[0-9.]+)\]'
            rb'.*"data":\["(?P<carrier>[0-9]+)"\].*'
        ),
    ),
    "by heart": Way(
        False,
        350_000,
        product,
        Signature(inputs=LATENESS.inputs[:1], outputs=LATENESS.outputs[:1]),
        lambda number: [distance(number)],
        re.compile(rb'.*"model_version":"(?P<version>[0-9]+)".*"data":\[(?P<score>[0-9.]+)\].*'),
    ),
}


@pytest.fixture(params=WAYS)
def name(request: pytest.FixtureRequest) -> str:
    """Of a way, by which another process knows it too."""
    return str(request.param)


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return LocalStore(tmp_path)


@pytest.fixture
def server(whole: App, publish: Publish, point: Point, name: str) -> Iterator[Server]:
    way = WAYS[name]
    for version in range(1, VERSIONS + 1):
        publish(version, data=way.model(version), signature=way.signature, sheet=ROWWISE)
    serving = whole.keep(Serve(stale_s=STALE_S, capture=Captured(share=float(way.captured))).to_bytes())
    head = ModelHead(write_id="one", definition="0" * 64, bundle="0" * 64, serving=serving)
    whole.store.create(keys.model_head("late"), head.to_bytes())
    point(champion=1)
    with serve(Routes(CATALOGUE, whole, lambda: datetime.now(UTC))) as running:
        yield running


def request(number: int, way: Way) -> bytes:
    body = json.dumps({"inputs": way.inputs(number)}).encode()
    head = f"POST /v2/models/late/infer HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def client(port: int, numbers: range, way: Way) -> list[Answered]:
    """Ask for each of these, some at a time on one connection, and hold each answer against its question."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answers = []
    for start in range(numbers.start, numbers.stop, PIPELINED):
        some = range(start, min(start + PIPELINED, numbers.stop))
        sent = time.monotonic()
        writer.write(b"".join([request(number, way) for number in some]))
        for number in some:
            said = await response(reader, way)
            assert int(said.get("carrier", number)) == number, "each answer is the one to its question"
            answers.append(Answered(sent, time.monotonic(), int(said["version"]), float(said["score"]) / number))
    writer.close()
    return answers


async def response(reader: asyncio.StreamReader, way: Way) -> dict[str, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 "), head
    length = LENGTH.search(head)
    assert length, head
    said = way.said.fullmatch(await reader.readexactly(int(length[1])))
    assert said, "an answer that reads otherwise"
    return said.groupdict()


LENGTH = re.compile(rb"(?i)content-length: *([0-9]+)")


async def everybody(port: int, way: Way) -> list[Answered]:
    each = way.requests // CLIENTS
    asked = (client(port, range(1 + number * each, 1 + (number + 1) * each), way) for number in range(CLIENTS))
    return [answer for answers in await asyncio.gather(*asked) for answer in answers]


def asked_by_another_process(port: int, name: str) -> list[Answered]:
    """The clock that both processes read is the machine's."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(everyone, port, name).result()


def everyone(port: int, name: str) -> list[Answered]:
    return asyncio.run(everybody(port, WAYS[name]))


class Mover(threading.Thread):
    """Promotes another version again and again, and writes down from when until when each may have been live."""

    def __init__(self, point: Point) -> None:
        super().__init__()
        self._point = point
        self.moves = [(0.0, 0.0, 1)]
        self.done = threading.Event()

    def run(self) -> None:
        for number in range(1, MOVES + 1):
            champion = number % VERSIONS + 1
            before = time.monotonic()
            self._point(champion=champion)
            self.moves.append((before, time.monotonic(), champion))
            self.done.wait(0.3)

    def live(self) -> Iterator[tuple[float, float, int]]:
        """From when until when, at most, each version was champion."""
        for (begun, _, champion), (_, ended, _) in pairwise([*self.moves, (0.0, float("inf"), 0)]):
            yield begun, ended, champion


@pytest.mark.timeout(300)
def test_no_request_is_lost_and_none_is_answered_by_a_version_that_was_not_live(
    server: Server, point: Point, whole: App, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    way, by_heart, told = WAYS[name], [0], Known.told

    def counted(*given: Any) -> HttpResponse | None:
        by_heart[0] += 1
        return told(*given)

    monkeypatch.setattr(Known, "told", counted)
    mover = Mover(point)
    mover.start()

    answers = asked_by_another_process(server.port, name)
    mover.done.set()
    mover.join()

    assert len(answers) == way.requests
    assert by_heart[0] == 0 if way.captured else by_heart[0] > 0.5 * way.requests
    assert len(mover.moves) == MOVES + 1
    live = list(mover.live())
    for answer in answers:
        assert answer.factor == answer.version, "each version multiplies by its own number"
        spans = [(begun, ended) for begun, ended, champion in live if champion == answer.version]
        asked_from = answer.sent - STALE_S - LOADING_S
        assert any(begun <= answer.received and ended >= asked_from for begun, ended in spans), answer
    assert {answer.version for answer in answers} == set(range(1, VERSIONS + 1))
    captures = sum(whole.store.get(key).data.count(b'"status":200') for key in whole.store.list(keys.CAPTURES))
    assert captures == (way.requests if way.captured else 0)


LOADING_S = 0.25  # a new champion is loaded before anybody is sent to it, on a machine that is busy with this test
