"""However much is in the bucket, a page shows the newest of it and says what it left out."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest

from functions.catalogue import CATALOGUE
from functions.dashboard.handler import ALERTS, BATCHES, NEWEST, run
from functions.dashboard.view import MOVES
from samara import catalogue
from samara.app import App
from samara.core import keys
from samara.core.digests import digest
from samara.core.records import Batch, Feedback, Part, Validation
from samara.events import HttpRequest, HttpResponse
from samara.ports import Object
from samara.providers.memory import MemoryStore
from tests.functions.dashboard.conftest import YEAR_END
from tests.functions.dashboard.test_dashboard_pages import said, svgs

Ask = Callable[..., HttpResponse]
SOME = digest(b"some")


@pytest.fixture
def store() -> MemoryStore:
    """A store whose clock goes on by a second with each write."""
    seconds = count()
    return MemoryStore(now=lambda: datetime(2013, 1, 1, tzinfo=UTC) + timedelta(seconds=next(seconds)))


def uploaded(app: App, number: int) -> None:
    """A batch of 100 rows, one of them refused."""
    part = Part(digest=SOME, rows=99, size=1)
    batch = Batch(
        made_by=app.maker, dataset="flights", source=digest(b"%d" % number), source_size=9, format="csv", columns=(),
        rows=100, parts=(part,), noted={"source_key": f"landing/flights/file-{number:03d}.csv"},
    )  # fmt: skip
    key = keys.batch("flights", batch.source)
    app.write(key, batch)
    validation = Validation(
        made_by=app.maker, dataset="flights", batch=key, contract=SOME, verdict="accepted", checks=(), rows=100,
        refused_rows=1, parts=(part,), profile=None,
    )  # fmt: skip
    app.write(keys.validation(key), validation)


def test_of_many_batches_the_newest_are_shown_and_the_figures_say_that_they_are_theirs(whole: App, ask: Ask) -> None:
    for number in range(150):
        uploaded(whole, number)

    page = said(ask("/datasets/flights"))

    assert [number for number in range(150) if f"file-{number:03d}.csv" in page] == list(range(150 - BATCHES, 150))
    assert f"{BATCHES} of 150 are shown" in page
    assert "rows accepted, in the batches shown 5,940 rows refused, in the batches shown 60" in page


def test_of_few_batches_all_is_counted(whole: App, ask: Ask) -> None:
    uploaded(whole, 1)

    assert "batches 1 rows accepted 99 rows refused 1 quarantined 0" in said(ask("/datasets/flights"))


@pytest.mark.parametrize("path", ["/", "/datasets/flights", "/models/late"])
def test_of_many_alerts_the_newest_are_shown_and_all_are_counted(story: Any, ask: Ask, path: str) -> None:
    story.defined()
    for number in range(100):
        at = YEAR_END + timedelta(minutes=number)
        story.app.alert(f"landing/flights/late/{number}", "given up", f"why {number:03d}", at)

    page = said(ask(path))

    assert f"{NEWEST} of 100 are shown" in page
    assert [number for number in range(100) if f"why {number:03d}" in page] == list(range(100 - NEWEST, 100))


def test_where_not_every_alert_is_read_none_found_is_not_told_as_good_news(story: Any, whole: App, ask: Ask) -> None:
    story.defined()
    whole.alert("aliases/late.json", "given up", "the oldest", YEAR_END)
    for number in range(ALERTS):
        whole.alert(f"landing/other/{number}.csv", "given up", "of another", YEAR_END + timedelta(hours=1))

    before = said(ask("/models/late"))
    whole.alert("aliases/late.json", "given up again", "the newest", YEAR_END)

    assert "alerts, not all were looked at 0" in before
    assert "the oldest" not in before
    assert "alert, not all were looked at 1" in said(ask("/models/late"))
    assert "the newest" in said(ask("/models/late"))


def test_of_a_long_alias_history_the_newest_moves_are_shown(story: Any, ask: Ask) -> None:
    story.defined()
    story.moves(*((1 + number % 2, None, YEAR_END, f"promoted by ann-{number}") for number in range(300)))

    page = said(ask("/models/late"))

    assert f"{MOVES} of 300 are shown" in page
    assert "promoted by ann-299" in page
    assert "promoted by ann-239" not in page


def test_a_truth_is_shown_however_often_another_row_was_corrected(story: Any, whole: App, ask: Ask) -> None:
    story.defined()
    result = story.result(story.run(story.month(1), "first", "first", YEAR_END), YEAR_END, auc=0.7)
    prediction = story.asked(YEAR_END, story.version(1, result, YEAR_END, auc=0.7, over=None))
    for truth in [(True, None), *((None, number) for number in range(3 * NEWEST))]:
        record = Feedback(made_by=whole.maker, model="late", prediction=prediction.id, truth=truth)
        whole.write(prediction.feedback(record.digest), record)

    assert "truth feedback true " in said(ask(f"/predictions/{prediction.id}"))


class Together(MemoryStore):
    """Gives no alert before eight are asked for."""

    def __init__(self) -> None:
        super().__init__()
        self._met = threading.Barrier(8)

    def get(self, key: str) -> Object:
        if key.startswith(keys.ALERTS):
            self._met.wait(timeout=60)
        return super().get(key)


@pytest.mark.parametrize("store", [Together()])
def test_as_many_records_are_read_at_a_time_as_may_be(whole: App) -> None:
    for number in range(8):
        whole.alert(f"aliases/late-{number}.json", "given up", "why", YEAR_END)
    app = whole._replace(at_once=8).acting_as(catalogue.named(CATALOGUE, "dashboard"))

    page = run(HttpRequest("GET", "/", YEAR_END, headers={"accept": "text/html"}), app)

    assert said(page).count("given up") == 8


@pytest.fixture
def of_forty(story: Any) -> Callable[[int, int], None]:
    """Forty versions as good as each other, of which these two are champion and challenger."""
    story.defined()
    result = story.result(story.run(story.month(1), "first", "first", YEAR_END), YEAR_END, auc=0.7)
    for number in range(1, 41):
        story.version(number, result, YEAR_END, auc=0.7, over=None)
    return lambda champion, challenger: story.moves((champion, challenger, YEAR_END, "promoted by ann"))


def test_the_champion_is_shown_however_many_versions_came_after_it(of_forty: Any, ask: Ask) -> None:
    of_forty(3, 40)

    page = said(ask("/models/late"))

    assert f"{NEWEST + 1} of 40 are shown" in page
    assert "v3 champion 2014-01-01 01:30" in page
    assert "v4 2014" not in page


def test_the_names_of_champion_and_challenger_do_not_cover_each_other(of_forty: Any, ask: Ask) -> None:
    of_forty(39, 40)

    picture = svgs(ask("/models/late").body.decode())[0]

    heights = [float(mark.get("y", "")) for mark in picture if mark.get("class") == "mark"]
    assert abs(heights[1] - heights[0]) > 20
