"""The dashboard as one asks for it: a request in, a page out, whatever state the bucket is in."""

import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.catalogue import CATALOGUE
from functions.dashboard import handler
from functions.dashboard.handler import NEWEST, newest_captures, run
from samara import catalogue
from samara.app import App
from samara.core import keys
from samara.core.digests import digest
from samara.core.keys import Prediction
from samara.core.records import Capture, Feedback
from samara.core.sealed import Maker
from samara.core.windows import hour
from samara.events import HttpRequest, HttpResponse
from samara.ports import Object
from samara.providers.memory import MemoryJobs, MemoryStore

Ask = Callable[..., HttpResponse]
HOSTILE = "<script>alert(1)</script>{{ 7 * 7 }}\"'><img src=x onerror=alert(1)>\u202egnp.\u200b" + "long" * 200
BLOCKS = {"td", "th", "li", "dt", "dd", "p", "h1", "h2", "title", "span", "strong", "code"}
VOID = {"meta", "br", "link", "img"}


class Structure(HTMLParser):
    """The text and the tags of a page, and that each tag is closed where it should be."""

    def __init__(self, page: HttpResponse) -> None:
        super().__init__()
        self.text = ""
        self.tags: Counter[str] = Counter()
        self.attributes: set[str] = set()
        self._open: list[str] = []
        self.feed(page.body.decode())
        assert not self._open, f"never closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes |= {name for name, _ in attrs}
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes |= {name for name, _ in attrs}

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag
        self.text += " " if tag in BLOCKS else ""

    def handle_data(self, data: str) -> None:
        if "style" not in self._open:
            self.text += data


def said(page: HttpResponse) -> str:
    """What a reader sees, in one line."""
    return " ".join(Structure(page).text.split())


def test_the_page_of_a_model_says_on_top_where_it_stands(story: Any, ask: Ask) -> None:
    story.year()

    page = said(ask("/models/late"))

    assert "late trained on flights champion v4 since 2013-12-02 00:00 UTC" in page
    assert "last window 2013-12 drifted by dest 1 run running" in page


def test_the_page_of_a_model_tells_its_whole_story(story: Any, ask: Ask) -> None:
    story.year()

    page = said(ask("/models/late"))

    assert "improvement auc 0.704 against 0.702 of the champion, 0.005 more wanted" in page
    assert "v3 was registered and held back by improvement" in page
    assert "v2 became champion in place of v4, v4 challenges rolled back by anna" in page
    assert "not trained : drifted, but 2013-07 was retrained for and 1 window cools down" in page
    assert "failed ran out of memory at 8,192 MB; ask for more drift in 2013-11" in page
    assert "301,200" in page, "labelled rows over the windows"


def test_the_page_of_a_model_says_what_its_shadow_would_have_said_and_which_batches_it_answered(
    story: Any, ask: Ask
) -> None:
    story.year()

    page = said(ask("/models/late"))

    assert "2013-12-30T06 v3 911, 3 requests left out 98.1% 0.0213 / 0.31 0.112 / 0.127 over 420 rows" in page
    assert "2013-12-30T05 v3 840 97.6% 0.0213 / 0.31 –" in page
    assert "succeeded 26,559, 12 without an answer" in page
    assert "failed ran out of memory at 4,096 MB; ask for more" in page
    assert "under way –" in page


def test_a_model_without_a_shadow_has_no_table_of_what_it_would_have_said(story: Any, ask: Ask) -> None:
    story.defined()

    page = said(ask("/models/late"))

    assert "shadow" not in page
    assert "Batches answered" not in page


def test_every_picture_is_sound_svg_with_a_sentence_for_whom_it_does_not_help(story: Any, ask: Ask) -> None:
    story.year()

    pictures = svgs(ask("/models/late").body.decode())

    assert len(pictures) == 4
    assert all(picture.get("role") == "img" and picture.get("aria-label") for picture in pictures)
    assert pictures[2].get("aria-label") == (
        "Drift of 9 columns in 12 windows; drifted in 2013-04, 2013-07, 2013-08, 2013-11, 2013-12"
    )


def svgs(page: str) -> list[ET.Element]:
    pieces = page.split('<svg class="plot"')[1:]
    return [ET.fromstring('<svg class="plot"' + piece.partition("</svg>")[0] + "</svg>") for piece in pieces]  # noqa: S314  # our own


@pytest.mark.parametrize("path", ["/", "/models/late", "/datasets/flights", "/nothing"])
def test_no_page_runs_a_script_or_loads_anything(story: Any, ask: Ask, path: str) -> None:
    story.year()

    page = ask(path)

    structure = Structure(page)
    assert not {"script", "link", "iframe", "object", "form", "img"} & set(structure.tags)
    assert not [name for name in structure.attributes if name.startswith("on") or name == "src"]
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    assert (structure.tags["h1"], structure.tags["main"], structure.tags["header"] > 0) == (1, 1, True)


def test_the_first_page_shows_every_model_and_dataset(story: Any, ask: Ask) -> None:
    story.year()

    page = said(ask("/"))

    assert "late champion v4" in page
    assert "4 versions" in page
    assert "flights 11 11 2" in page
    assert "run failed ran out of memory" in page


def test_a_dataset_of_which_every_file_was_refused_is_on_the_first_page(story: Any, ask: Ask) -> None:
    story.refused("landing/flights/notes.txt", "not CSV")

    assert 'href="/datasets/flights"' in ask("/").body.decode()


def test_an_empty_bucket_has_a_first_page(ask: Ask) -> None:
    page = ask("/")

    assert page.status == 200
    assert "No model yet" in said(page)


def test_a_model_that_was_only_defined_has_a_page(story: Any, ask: Ask) -> None:
    story.defined()

    page = ask("/models/late")

    assert page.status == 200
    assert "no champion yet no run running" in said(page)
    assert "POST to /v2/models/late/infer" in said(page)
    assert "No window with ground truth yet. Send it to /feedback" in said(page)


@pytest.mark.parametrize(
    "path", ["/models/nobody", "/datasets/nobody", "/models/", "/models/UP", "/x", "/predictions/x"]
)
def test_what_is_not_there_is_not_found(story: Any, ask: Ask, path: str) -> None:
    story.year()

    for_people, for_programs = ask(path), ask(path, accept="application/json")

    assert (for_people.status, for_programs.status) == (404, 404)
    assert "Not here" in said(for_people)
    assert b'"code":"not_found"' in for_programs.body


def test_the_dashboard_changes_nothing(story: Any, ask: Ask) -> None:
    assert ask("/", method="POST").status == 405
    entry = catalogue.named(CATALOGUE, "dashboard")
    assert (entry.creates, entry.swaps) == ((), ())


TOPICS = {
    keys.ALIASES: "/models/late",
    keys.MODELS: "/models/late",
    keys.DECISIONS: "/models/late",
    keys.RUNS: "/models/late",
    keys.RESULTS: "/models/late",
    keys.DRIFT: "/models/late",
    keys.ALERTS: "/models/late",
    keys.SHADOWS: "/models/late",
    keys.SCORINGS: "/models/late",
    keys.SCORES: "/models/late",
    keys.DATASETS: "/datasets/flights",
    keys.VALIDATIONS: "/datasets/flights",
    keys.QUARANTINE: "/datasets/flights",
}


@pytest.mark.parametrize("damage", [b"", b"null", b'{"digest": 1}', "flip"], ids=["empty", "null", "half", "flip"])
@pytest.mark.parametrize("topic", TOPICS)
def test_a_record_that_cannot_be_read_is_said_in_its_place_and_the_rest_is_shown(
    story: Any, ask: Ask, store: MemoryStore, topic: str, damage: bytes | str
) -> None:
    story.year()
    key = list(store.list(topic))[-1]

    before = store.get(key)
    flipped = before.data.replace(b"2013", b"2014").replace(b'"write_id":"w"', b'"write_id":""').replace(b":1,", b":2,")
    store.replace(key, flipped if isinstance(damage, str) else damage, before.version)

    pages = [ask(TOPICS[topic]), ask("/")]
    assert [page.status for page in pages] == [200, 200]
    assert f"Cannot be read: {key}" in said(pages[0])


def test_names_and_values_that_people_made_up_are_shown_and_never_run(story: Any, ask: Ask, whole: App) -> None:
    story.year()
    story.refused(f"landing/flights/{HOSTILE[:60]}", HOSTILE)
    story.not_trained(HOSTILE[:60], HOSTILE, datetime(2014, 1, 1, tzinfo=UTC))
    whole.alert(f"models/late {HOSTILE}", HOSTILE, HOSTILE, datetime(2014, 1, 1, tzinfo=UTC))

    for path in ("/", "/models/late", "/datasets/flights"):
        page = ask(path)

        structure = Structure(page)
        assert not {"script", "img"} & set(structure.tags)
        assert "49" not in structure.text.split(HOSTILE[:20])[1][:40], "nothing of it is evaluated"
        assert "\u202e" not in page.body.decode(), "nothing turns the text around"
        assert "long" * 190 not in structure.text, "nothing fills the page"


def test_a_hostile_path_is_shown_and_never_run(ask: Ask) -> None:
    page = ask(f"/models/{HOSTILE}")

    assert page.status == 404
    assert "script" not in Structure(page).tags


class Counting(MemoryStore):
    """Counts what is read."""

    def __init__(self) -> None:
        super().__init__(now=lambda: datetime(2014, 1, 1, tzinfo=UTC))
        self.read = 0
        self.listings = 0

    def get(self, key: str) -> Object:
        self.read += 1
        return super().get(key)

    def list(self, prefix: str, after: str = "") -> Iterator[str]:
        self.listings += 1
        return super().list(prefix, after)


@pytest.mark.parametrize("store", [Counting()])
def test_of_ten_thousand_versions_the_newest_are_shown_and_the_rest_is_counted(story: Any, store: Counting) -> None:
    story.defined()
    at = datetime(2014, 1, 1, tzinfo=UTC)
    result = story.result(story.run(story.month(1), "first", "first", at), at, auc=0.7)
    for number in range(1, 10_001):
        if number > 9_990:
            story.version(number, result, at, auc=0.7, over=None)
        else:
            store.create(keys.version("late", number), b"{}")
    store.read = store.listings = 0

    page = run(
        HttpRequest("GET", "/models/late", at, headers={"accept": "text/html"}),
        story.app.acting_as(catalogue.named(CATALOGUE, "dashboard")),
    )

    assert "10 of 10,000 are shown" in said(page)
    assert "versions 10,000" in said(page)
    assert store.read < 6 * NEWEST
    assert store.listings < 40


def captured_at(hours: list[int]) -> App:
    app = App(MemoryStore(), MemoryJobs(), Maker(function="test", code="0" * 64))
    for number, after in enumerate(hours):
        at = datetime(2013, 1, 1, tzinfo=UTC) + timedelta(hours=after)
        app.store.create(Prediction("late", hour(at), f"{number:016x}").capture, b"")
    return app


@given(st.lists(st.integers(-370_000, 200_000) | st.integers(0, 5), max_size=40), st.integers(1, 12))
def test_the_newest_captures_are_found_wherever_they_lie(hours: list[int], most: int) -> None:
    app = captured_at(hours)
    every = list(app.store.list(keys.CAPTURES))

    found = newest_captures(app, "late", datetime(2026, 1, 1, tzinfo=UTC), most)

    assert found.cut == (len(every) > most)
    assert len(found.keys) <= most
    whole_hours = {key.split("/")[2] for key in found.keys}
    older = [key for key in every if key not in found.keys and key.split("/")[2] not in whole_hours]
    assert not found.cut or found.keys
    assert all(key < min(found.keys) for key in older), "nothing newer is left out"
    assert found.cut or list(found.keys) == every


def test_what_is_no_capture_is_not_counted(whole: App) -> None:
    whole.store.create("captures/late/2013-99-99T99/0011223344556677.json", b"")
    whole.store.create("captures/late/readme.txt", b"")
    whole.store.create("captures/late/2013-01-01T00/x/y.json", b"")

    assert newest_captures(whole, "late", datetime(2014, 1, 1, tzinfo=UTC)).keys == []


def test_the_page_of_a_dataset_shows_batches_verdicts_and_reasons(story: Any, ask: Ask) -> None:
    story.year()

    page = said(ask("/datasets/flights"))

    assert "batches 11 rows accepted 294,329 rows refused 31 quarantined 2" in page
    assert "✗ between: temp: above 120 (31 rows)" in page
    assert "the whole file bad_value not CSV, JSON lines or Parquet; save it as one of these" in page
    assert "31 rows bad_value temp : temp above 120 in 31 rows" in page


def test_the_page_of_a_prediction_leads_back_to_the_uploaded_file(story: Any, ask: Ask) -> None:
    prediction = story.year()

    page = said(ask(f"/predictions/{prediction.id}"))

    assert "answered by v4 2 rows truth known lineage verified, 17 links" in page
    assert "probability output 0.4123 0.08121" in page
    assert "Uploaded file landing/flights/2013-09.csv" in page


def test_the_page_of_a_prediction_shows_of_each_row_the_truth_that_was_told_last(
    story: Any, ask: Ask, whole: App
) -> None:
    prediction = story.year()
    later = Feedback(
        made_by=whole.maker,
        model="late",
        prediction=prediction.id,
        truth=(None, False),
        noted={"at": "2014-01-01T00:00:00+00:00"},
    )
    whole.write(prediction.feedback(later.digest), later)

    assert "truth feedback true false" in said(ask(f"/predictions/{prediction.id}"))


def test_the_page_of_a_request_that_was_refused_says_why_and_waits_for_no_truth(
    story: Any, ask: Ask, whole: App
) -> None:
    prediction = story.year()
    answered = whole.read(Capture, prediction.capture)
    refused = answered.model_copy(
        update={
            "prediction": (other := prediction._replace(unique="f" * 16)).id,
            "rows": 0, "status": 400, "code": "bad_value", "inputs": {}, "outputs": {},
            "noted": {**answered.noted, "why": "hour: <b>25</b> is too late"},
        }
    )  # fmt: skip
    whole.write(other.capture, refused)

    page = said(ask(f"/predictions/{other.id}"))

    told = "not answered: status 400 bad_value: hour: <b>25</b> is too late"
    assert f"{told} lineage verified, 17 links" in page
    assert f"Capture {told}" in page
    assert "answered by" not in page
    assert "truth not known yet" not in page


def test_a_broken_lineage_names_what_is_missing(story: Any, ask: Ask, store: MemoryStore) -> None:
    prediction = story.year()
    bundle = keys.blob(digest(b"bundle"))

    store.delete(bundle, store.head(bundle).version)

    page = said(ask(f"/predictions/{prediction.id}"))
    assert "lineage broken, 1 problem" in page
    assert f"17 links, 16 verified; first problem: {bundle}: missing" in page


@pytest.mark.parametrize("most", [0, 10, 100, 2000])
def test_no_more_is_hashed_than_one_would_wait_for(
    story: Any, ask: Ask, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    prediction = story.year()
    monkeypatch.setattr(handler, "HASHED", most)

    page = said(ask(f"/predictions/{prediction.id}"))

    assert "lineage verified as far as shown" in page
    assert "Capture 2 rows, answered by v4" in page
    assert f"there are more To walk all of it: samara why {prediction.id}" in page


def test_an_altered_prediction_still_has_a_page_that_says_so(story: Any, ask: Ask, store: MemoryStore) -> None:
    prediction = story.year()

    before = store.get(prediction.capture)
    store.replace(prediction.capture, before.data.replace(b"0.412345", b"0.912345"), before.version)

    page = ask(f"/predictions/{prediction.id}")
    assert page.status == 200
    assert "its record cannot be read" in said(page)
    assert "altered since it was written" in said(page)


def test_a_prediction_that_was_never_made_is_not_found(story: Any, ask: Ask) -> None:
    story.year()

    assert ask("/predictions/late.2013-01-01T00.0123456789abcdef").status == 404


def test_the_dashboard_loads_nothing_heavy() -> None:
    heavy = "{'numpy', 'pyarrow', 'onnx', 'onnxruntime', 'yaml', 'sklearn'}"
    program = f"import sys, functions.dashboard.handler; print(sorted({heavy} & set(sys.modules)))"

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
