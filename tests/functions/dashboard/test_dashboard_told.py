"""A page counts what can be used, says what it left out, and shows no alert whose cause was mended."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from functions.dashboard import datasets, figures, view
from functions.dashboard.found import DatasetFound, Found, Keys, ModelFound
from samara.core import keys
from samara.core.digests import digest
from samara.core.keys import Prediction
from samara.core.records import Alert, Batch, Capture, Part, Quarantine, Reason, Validation
from samara.core.sealed import Maker
from samara.core.windows import hour
from samara.events import HttpResponse
from samara.providers.memory import MemoryStore
from tests.functions.dashboard.conftest import YEAR_END
from tests.functions.dashboard.test_dashboard_pages import said

MAKER = Maker(function="test", code="0" * 64)
SOME = digest(b"some")
Ask = Callable[..., HttpResponse]


def batch(rows: int) -> Batch:
    return Batch(
        made_by=MAKER, dataset="leafs", source=digest(b"%d" % rows), source_size=9, format="csv", columns=(), rows=rows,
        parts=(),
    )  # fmt: skip


def validation(name: str, verdict: Any, *, rows: int, refused: int) -> Validation:
    part = Part(digest=SOME, rows=rows - refused, size=1)
    return Validation(
        made_by=MAKER, dataset="leafs", batch=name, contract=SOME, verdict=verdict, checks=(), rows=rows,
        refused_rows=refused, parts=(part,), profile=None,
    )  # fmt: skip


def test_rows_of_a_file_that_was_refused_as_a_whole_are_not_accepted() -> None:
    good, bad = "datasets/leafs/good.json", "datasets/leafs/bad.json"
    validations = {
        keys.validation(good): validation(good, "accepted", rows=302, refused=2),
        keys.validation(bad): validation(bad, "refused", rows=4, refused=3),
    }
    found = DatasetFound("leafs", Found({good: batch(302), bad: batch(4)}), Found(validations), Found())

    page = datasets.dataset_page(found)

    assert [(tile.value, tile.label) for tile in page.tiles[1:3]] == [("300", "rows accepted"), ("6", "rows refused")]
    assert {row.batch: row.accepted for row in page.batches} == {"good": "300", "bad": "0"}


@pytest.mark.parametrize(("examples", "said"), [((3,), ("row 3",)), ((3, 7, 9), ("rows 3", "7", "9")), ((), ())])
def test_examples_say_that_they_are_rows(examples: tuple[int, ...], said: tuple[str, ...]) -> None:
    reason = Reason(code="bad_value", why="above 120", column="temp", rows=len(examples), examples=examples)
    record = Quarantine(
        made_by=MAKER, dataset="leafs", source_key="landing/leafs/bad.csv", source=SOME, whole=False, reasons=(reason,)
    )

    (row,) = datasets.quarantine_row(record).reasons

    assert row.examples == said


def test_the_page_says_such_as_row(story: Any, ask: Ask) -> None:
    story.refused("landing/flights/bad.csv", "above 120", rows=1)

    assert "(1 row, such as row 17)" in ask("/datasets/flights").body.decode()


def asked(*days: int) -> figures.Figure:
    """The picture of requests, one at the beginning of each of these days."""
    begin = datetime(2003, 1, 1, tzinfo=UTC)
    hours = [hour(begin + timedelta(days=day)) for day in days]
    captures = [Prediction("late", name, "0" * 16).capture for name in hours]
    nothing: Any = Found()
    return figures.asked(
        ModelFound(
            "late", begin, nothing, (), nothing, {}, nothing, nothing, nothing, 0, frozenset(), nothing, nothing,
            Keys(captures), nothing, nothing, nothing,
        )
    )  # fmt: skip


def test_requests_before_the_months_that_are_drawn_are_told() -> None:
    assert asked(0, 1, 3650).caption == "Per month, the newest 60 only: 2 earlier requests left out."


def test_nothing_is_told_to_be_left_out_where_all_is_drawn() -> None:
    assert asked(0, 30, 400).caption == "Per month."
    assert asked(0).caption == "Per hour."


def test_the_map_of_drift_says_what_a_colour_and_a_ring_mean(story: Any, ask: Ask) -> None:
    story.year()

    page = ask("/models/late").body.decode()

    assert "Colour: the population stability index" in page
    assert "A ring: beyond a limit in model.yaml, by KS for numbers, by PSI for categories, or by what is" in page


def test_an_alert_whose_cause_is_mended_is_not_shown(story: Any, ask: Ask) -> None:
    for dataset in ("flights", "leafs"):
        story.app.alert(dataset, "has no data contract", "its batches wait for one", YEAR_END)
    story.app.alert("results/late/x.json", "run failed", "out of memory", datetime(2013, 9, 1, tzinfo=UTC))
    story.app.alert("results/late/y.json", "run failed", "out of memory", YEAR_END)
    story.defined()
    story.versions({month: story.month(month) for month in range(1, 12)})

    first, dataset, model = (ask(path).body.decode() for path in ("/", "/datasets/flights", "/models/late"))

    assert "leafs" in first, "which still has no contract"
    assert "has no data contract" not in dataset
    for page in (first, model):
        assert "results/late/y.json" in page
        assert "results/late/x.json" not in page, "a later version was registered"


def test_a_time_beyond_the_calendar_is_not_told_and_breaks_no_page(story: Any, ask: Ask, store: MemoryStore) -> None:
    story.defined()
    for number, at in enumerate(("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00")):
        alert = Alert(made_by=MAKER, subject="aliases/late.json", what=f"what {number}", why="why", noted={"at": at})
        store.create(keys.alert(alert.subject, alert.what), alert.to_bytes())

    assert [ask(path).body.decode().count("<bdi>what ") for path in ("/", "/models/late")] == [2, 2]


def test_the_way_out_at_the_end_of_a_long_sentence_is_shown(story: Any, ask: Ask) -> None:
    story.defined()
    why = f"training: {'the code failed: ' * 12}mend it, then publish and train again"
    run = story.run(story.month(1), "first", why, YEAR_END)
    story.result(run, YEAR_END, failed=why)
    story.refused("landing/flights/notes.txt", why)
    story.app.alert(run.key, "run failed", why, YEAR_END)

    pages = [ask(path).body.decode() for path in ("/", "/models/late", "/datasets/flights")]

    assert [page.count("then publish and train again</bdi>") for page in pages] == [1, 3, 1]


def test_an_input_that_was_not_kept_is_named(story: Any, ask: Ask) -> None:
    prediction = story.year()
    answered = story.app.read(Capture, prediction.capture)
    other = prediction._replace(unique="f" * 16)
    masked = answered.model_copy(update={"prediction": other.id, "masked": ("passenger",)})
    story.app.write(other.capture, masked)

    assert "passenger input not kept not kept" in said(ask(f"/predictions/{other.id}"))


def test_of_a_prediction_that_is_not_captured_the_page_says_why_that_may_be(ask: Ask) -> None:
    page = said(ask("/predictions/late.2013-01-01T00.0123456789abcdef"))

    assert "late.2013-01-01T00.0123456789abcdef: missing: the id may be mistyped, or the model's policy" in page


@pytest.mark.parametrize("path", ["/models", "/datasets", "/predictions", "/models/"])
def test_a_page_without_a_name_is_told_as_one_that_is_not_there(ask: Ask, path: str) -> None:
    assert f"{path}: there is no such page; start from /" in said(ask(path))


def test_an_alert_says_which_object_it_is_and_how_it_ends(story: Any, ask: Ask) -> None:
    story.defined()
    story.app.alert("aliases/late.json", "unreadable aliases", "why", YEAR_END)

    for path in ("/", "/models/late"):
        page = said(ask(path))
        assert keys.alert("aliases/late.json", "unreadable aliases") in page
        assert "removed its object from the bucket" in page


def test_a_model_that_is_named_like_a_topic_gets_no_alerts_of_others() -> None:
    alert = Alert(made_by=MAKER, subject="results/late/x.json", what="run failed", why="why")

    assert [view.concerns(alert, name) for name in ("late", "results")] == [True, False]


@pytest.mark.parametrize("path", ["/", "/models/late"])
def test_of_aliases_that_cannot_be_read_it_is_not_said_that_there_is_no_champion(
    story: Any, ask: Ask, store: MemoryStore, path: str
) -> None:
    story.defined()
    store.create(keys.aliases("late"), b"{}")

    page = said(ask(path))

    assert "its aliases cannot be read" in page
    assert "champion yet" not in page
