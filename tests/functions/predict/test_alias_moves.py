"""A hundred thousand requests while the champion changes fifty times: none is lost, and each is answered by a version
that was live when it was asked, or within the staleness that is promised."""

import asyncio
import json
import multiprocessing
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest

from functions.catalogue import CATALOGUE
from samara.app import App
from samara.core import keys
from samara.core.definition import Serve
from samara.core.heads import ModelHead
from samara.hosts.server import Routes, Server, serve
from samara.ports import ObjectStore
from samara.providers.local import LocalStore
from tests.functions.predict.conftest import ROWWISE, Point, Publish

REQUESTS, CLIENTS, PIPELINED = 100_000, 25, 40
MOVES, VERSIONS = 50, 5
STALE_S = 0.05
"""What the policy promises here."""


class Answered(NamedTuple):
    """When a request was sent and its answer had come, which version said it answered, and what it answered to 1."""

    sent: float
    received: float
    version: int
    score: float


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return LocalStore(tmp_path)


@pytest.fixture
def server(whole: App, publish: Publish, point: Point) -> Iterator[Server]:
    for version in range(1, VERSIONS + 1):
        publish(version, sheet=ROWWISE)
    serving = whole.keep(Serve(stale_s=STALE_S).to_bytes())
    head = ModelHead(write_id="one", definition="0" * 64, bundle="0" * 64, serving=serving)
    whole.store.create(keys.model_head("late"), head.to_bytes())
    point(champion=1)
    with serve(Routes(CATALOGUE, whole, lambda: datetime.now(UTC))) as running:
        yield running


def request(number: int) -> bytes:
    inputs = [
        {"name": "distance", "shape": [1, 1], "datatype": "FP32", "data": [1.0]},
        {"name": "carrier", "shape": [1, 1], "datatype": "BYTES", "data": [str(number)]},
    ]
    body = json.dumps({"inputs": inputs}).encode()
    head = f"POST /v2/models/late/infer HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def client(port: int, numbers: range) -> list[Answered]:
    """Ask for each of these, some at a time on one connection, and hold each answer against its question."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answers = []
    for start in range(numbers.start, numbers.stop, PIPELINED):
        some = range(start, min(start + PIPELINED, numbers.stop))
        sent = time.monotonic()
        writer.write(b"".join(map(request, some)))
        for number in some:
            said = await response(reader)
            assert said.carrier == number, "each answer is the one to its question"
            answers.append(Answered(sent, time.monotonic(), said.version, said.score))
    writer.close()
    return answers


async def response(reader: asyncio.StreamReader) -> "Said":
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 "), head
    length = LENGTH.search(head)
    assert length, head
    said = SAID.fullmatch(await reader.readexactly(int(length[1])))
    assert said, "an answer that reads otherwise"
    return Said(int(said["version"]), float(said["score"]), int(said["carrier"]))


LENGTH = re.compile(rb"(?i)content-length: *([0-9]+)")
SAID = re.compile(
    rb'.*"model_version":"(?P<version>[0-9]+)".*"data":\[(?P<score>[0-9.]+)\].*"data":\["(?P<carrier>[0-9]+)"\].*'
)


class Said(NamedTuple):
    version: int
    score: float
    carrier: int


async def everybody(port: int) -> list[Answered]:
    each = REQUESTS // CLIENTS
    asked = (client(port, range(number * each, (number + 1) * each)) for number in range(CLIENTS))
    return [answer for answers in await asyncio.gather(*asked) for answer in answers]


def asked_by_another_process(port: int) -> list[Answered]:
    """The clock that both processes read is the machine's."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(everyone, port).result()


def everyone(port: int) -> list[Answered]:
    return asyncio.run(everybody(port))


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
    server: Server, point: Point, whole: App
) -> None:
    mover = Mover(point)
    mover.start()

    answers = asked_by_another_process(server.port)
    mover.done.set()
    mover.join()

    assert len(answers) == REQUESTS
    assert len(mover.moves) == MOVES + 1
    live = list(mover.live())
    for answer in answers:
        assert answer.score == answer.version, "each version multiplies by its own number"
        spans = [(begun, ended) for begun, ended, champion in live if champion == answer.version]
        asked_from = answer.sent - STALE_S - LOADING_S
        assert any(begun <= answer.received and ended >= asked_from for begun, ended in spans), answer
    assert {answer.version for answer in answers} == set(range(1, VERSIONS + 1))
    assert sum(whole.store.get(key).data.count(b'"status":200') for key in whole.store.list(keys.CAPTURES)) == REQUESTS


LOADING_S = 0.25  # a new champion is loaded before anybody is sent to it, on a machine that is busy with this test
