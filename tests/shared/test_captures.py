"""What is drawn of a window's captures: all of few, and of many a fair part, the same whoever draws."""

from collections import Counter
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samara import captures
from samara.app import App
from samara.core.digests import short
from samara.core.keys import Prediction
from samara.core.records import Capture, Feedback
from samara.core.sealed import Maker
from samara.core.windows import Window
from samara.ports import Object
from samara.providers.memory import MemoryJobs, MemoryStore

DAY = Window("2013-02-14")
Several = st.lists(st.integers(1, 20), max_size=300)
"""How many captures each object of a window holds."""


def window(several: list[int]) -> App:
    app = App(MemoryStore(), MemoryJobs(), Maker(function="test", code="0" * 64))
    for number, count in enumerate(several):
        app.store.create(key(number, count), b"")
    return app


def key(number: int, count: int, hour: int | None = None) -> str:
    name, of = short(str(number)), f"2013-02-14T{number % 24 if hour is None else hour:02}"
    one = Prediction("late", of, name) if count == 1 else Prediction.among("late", of, name, count)[0]
    return one.capture.partition("#")[0]


@given(Several, st.integers(1, 400))
def test_no_more_is_drawn_than_may_be_and_no_less_than_half_of_it_where_there_is_more(
    several: list[int], most: int
) -> None:
    drawn = captures.drawn(window(several), "late", DAY, most)

    held = sum(map(captures.held, drawn.keys))
    assert held <= max(most, max(several, default=0))
    assert held == sum(several) or held > most / 2 - max(several)


@given(Several, st.integers(1, 400))
def test_each_is_drawn_once_and_all_are_counted(several: list[int], most: int) -> None:
    app = window(several)

    drawn = captures.drawn(app, "late", DAY, most)

    assert len(set(drawn.keys)) == len(drawn.keys)
    assert set(drawn.keys) <= set(app.store.list("captures/late/"))
    assert drawn.there == sum(several)
    assert captures.drawn(app, "late", DAY, most) == drawn


def test_every_hour_is_drawn_from_by_its_size() -> None:
    app = window([])
    sizes = {3: 4_000, 12: 2_000, 20: 1_000}
    for hour, size in sizes.items():
        for number in range(size):
            app.store.create(key(number, 1, hour), b"")

    drawn = captures.drawn(app, "late", DAY, 1_000)

    by_hour = Counter(int(one.split("T")[1][:2]) for one in drawn.keys)
    share = len(drawn.keys) / sum(sizes.values())
    assert all(by_hour[hour] == pytest.approx(size * share, abs=1) for hour, size in sizes.items())


def test_the_beginning_of_what_was_drawn_is_of_every_hour_too() -> None:
    drawn = captures.drawn(window([1] * 24 * 64), "late", DAY, 10_000)

    assert len({one.split("T")[1][:2] for one in drawn.keys[:100]}) == 24


def test_of_a_shadows_hour_the_first_are_taken() -> None:
    app = window([])
    for number in range(100):
        app.store.create(key(number, 5, 3), b"")

    taken = captures.first(app, "late", Window("2013-02-14T03"), 12)

    assert taken == list(app.store.list("captures/late/"))[:3]


def test_what_was_said_of_others_is_not_read() -> None:
    app = window([])
    asked, other = (Prediction("late", "2013-02-14T05", short(name)) for name in ("asked", "other"))
    app.store.create(other.feedback("0" * 64), b"nobody reads this")

    said = captures.said(app, "late", DAY, [asked.capture])
    assert captures.told(app, said, [asked.capture]) == {}


class Counting(MemoryStore):
    """Remembers what was read of it."""

    def __init__(self) -> None:
        super().__init__()
        self.got: list[str] = []

    def get(self, key: str) -> Object:
        self.got.append(key)
        return super().get(key)


def answered(app: App, number: int) -> Prediction:
    """A capture of one row, whose truth is its number."""
    prediction = Prediction("late", f"2013-02-14T{number % 24:02}", short(str(number)))
    capture = Capture(
        made_by=app.maker, model="late", version=1, prediction=prediction.id, rows=1, status=200, inputs={}, outputs={}
    )
    app.write(prediction.capture, capture)
    said = Feedback(made_by=app.maker, model="late", prediction=prediction.id, truth=(number,), noted={"at": "now"})
    app.write(prediction.feedback(said.digest), said)
    return prediction


def test_each_capture_comes_with_its_truth_and_whoever_stops_early_has_had_few_read() -> None:
    store = Counting()
    app = App(store, MemoryJobs(), Maker(function="test", code="0" * 64))
    number = {answered(app, number).capture: number for number in range(3 * captures.FEW)}
    drawn = captures.drawn(app, "late", DAY, 1_000).keys

    ten = list(islice(captures.with_truths(app, "late", DAY, drawn), 10))
    read_early = len(store.got)
    everyone = list(captures.with_truths(app, "late", DAY, drawn))

    assert ten == everyone[:10]
    assert read_early <= captures.FEW + 10, "the truths of few, and ten captures"
    assert [(name, truth) for name, _, truth in everyone] == [(key, (number[key],)) for key in drawn]
