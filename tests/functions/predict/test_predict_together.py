"""Many requests at once, also while aliases move."""

import json
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import cycle
from threading import Event
from typing import Any

import pytest

from functions.predict import handler
from samara.app import App
from samara.core import keys
from samara.core.aliases import Aliases
from samara.core.keys import Prediction
from samara.core.records import Capture
from samara.events import HttpRequest
from samara.ports import Object
from samara.providers.memory import MemoryStore

NOON = datetime(2013, 2, 14, 12, 0, tzinfo=UTC)
THREADS, EACH, VERSIONS = 16, 25, 4


class Counting(MemoryStore):
    """Remembers what was read."""

    def __init__(self) -> None:
        super().__init__()
        self.read: Counter[str] = Counter()

    def get(self, key: str) -> Object:
        self.read[key] += 1
        return super().get(key)


@pytest.fixture
def store() -> Counting:
    return Counting()


def request(number: int, at: datetime) -> HttpRequest:
    inputs = [
        {"name": "distance", "shape": [2], "datatype": "FP32", "data": [number, number + 0.5]},
        {"name": "carrier", "shape": [2], "datatype": "BYTES", "data": ["UA", str(number)]},
    ]
    return HttpRequest("POST", "/v2/models/late/infer", at, body=json.dumps({"inputs": inputs}).encode())


def ask(app: App, number: int) -> dict[str, Any]:
    event = request(number, NOON + timedelta(milliseconds=number))
    said: dict[str, Any] = json.loads(handler.run(event, app).body)
    return said


def test_every_answer_is_by_a_version_that_was_live_and_is_captured_as_it_was_given(
    acting_as: Callable[[str], App], store: MemoryStore, whole: App, publish: Any, point: Any
) -> None:
    for version in range(1, VERSIONS + 1):
        publish(version)
    point(champion=1)
    app, done = acting_as("predict"), Event()

    def move() -> None:
        for champion in cycle(range(1, VERSIONS + 1)):
            point(champion=champion)
            if done.is_set():
                return

    def many(thread: int) -> list[dict[str, Any]]:
        return [ask(app, thread * EACH + number) for number in range(EACH)]

    with ThreadPoolExecutor(THREADS + 1) as pool:
        mover = pool.submit(move)
        answers = [said for some in pool.map(many, range(THREADS)) for said in some]
        done.set()
        mover.result()

    head = whole.find_head(Aliases, keys.aliases("late"))
    assert head is not None
    live = {move.champion for move in head.moves}
    assert len(answers) == len(list(store.list("captures/"))) == THREADS * EACH
    for said in answers:
        capture = whole.read(Capture, Prediction.parse(said["id"]).capture)
        version = int(said["model_version"])
        assert version in live
        assert capture.version == version
        assert capture.outputs == {output["name"]: output["data"] for output in said["outputs"]}
        assert capture.outputs["score"] == [value * version for value in capture.inputs["distance"]]  # type: ignore[operator,union-attr]  # lists of numbers


def test_who_is_live_is_looked_up_once_for_all_who_come_together(
    acting_as: Callable[[str], App], store: Counting, publish: Any, point: Any
) -> None:
    publish(1)
    point(champion=1)
    app = acting_as("predict")

    for second in (0, 2, 4):
        at = NOON + timedelta(seconds=second)
        store.read.clear()
        responses = handler.together([request(number, at) for number in range(50)], app)

        assert [response.status for response in responses] == [200] * 50
        assert store.read[keys.aliases("late")] == 1
