"""What came of an event, in one word and one line, wherever it ran."""

import gc
import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from typing import Any
from weakref import ref

import pytest

from samara.app import App
from samara.entry import Handler, JsonLine, log
from samara.errors import Conflict, Misconfigured, NotFound, Rejected, Unavailable, Unknown
from samara.events import Event, HttpRequest, ObjectCreated
from tests.conftest import NOON

CREATED = ObjectCreated("landing/late/a.csv", NOON, "7")
ASKED = HttpRequest("GET", "/v2/models", NOON)


class Heard(logging.Handler):
    """What was logged, whatever else happens to the log in this process."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def heard() -> Iterator[Heard]:
    handler, level = Heard(), log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    yield handler
    log.removeHandler(handler)
    log.setLevel(level)


@pytest.fixture
def line(whole: App, heard: Heard) -> Callable[[Event, Exception | None], dict[str, Any]]:
    def one(event: Event, error: Exception | None) -> dict[str, Any]:
        def run(_event: Event, _app: App) -> None:
            if error:
                raise error

        with pytest.raises(type(error)) if error else nullcontext():
            Handler(run, (type(event),))(event, whole)
        (record,) = heard.records
        return {**json.loads(record.getMessage()), "level": record.levelname}

    return one


@pytest.mark.parametrize(
    ("event", "error", "outcome", "level"),
    [
        (CREATED, None, "ok", "INFO"),
        (CREATED, Rejected("x"), "dead", "ERROR"),
        (CREATED, Conflict("x"), "conflict", "WARNING"),
        (CREATED, Unavailable("x"), "retry", "WARNING"),
        (CREATED, Unknown("x"), "retry", "WARNING"),
        (CREATED, Misconfigured("x"), "retry", "WARNING"),
        (CREATED, ZeroDivisionError(), "retry", "WARNING"),
        (ASKED, None, "ok", "INFO"),
        (ASKED, NotFound("x"), "refused", "INFO"),
        (ASKED, Rejected("x", code="no_model"), "refused", "INFO"),
        (ASKED, Rejected("x", code="altered"), "failed", "ERROR"),
        (ASKED, Unavailable("x"), "failed", "ERROR"),
        (ASKED, ZeroDivisionError(), "failed", "ERROR"),
    ],
    ids=str,
)
def test_one_word_says_whether_it_is_tried_again(
    line: Callable[..., dict[str, Any]], event: Event, error: Exception | None, outcome: str, level: str
) -> None:
    said = line(event, error)

    assert (said["outcome"], said["level"]) == (outcome, level)
    assert said.get("error") == (type(error).__name__ if error else None)


@pytest.mark.parametrize("error", [Rejected, ZeroDivisionError])
def test_what_a_failed_event_held_is_freed_before_anybody_looks_for_garbage(whole: App, error: type[Exception]) -> None:
    class Body:
        """What was sent."""

    held = []

    def run(_event: Event, _app: App) -> None:
        body = Body()
        held.append(ref(body))
        raise error("x")

    gc.disable()
    try:
        with suppress(error):
            Handler(run, (HttpRequest,))(ASKED, whole)

        assert held[0]() is None
    finally:
        gc.enable()


def test_a_line_names_the_write_it_is_about(line: Callable[..., dict[str, Any]]) -> None:
    assert line(CREATED, None)["event"] == "landing/late/a.csv@7"


@pytest.mark.parametrize(
    ("header", "value", "trace"),
    [
        ("traceparent", f"00-{'4bf9' * 8}-00f067aa0ba902b7-01", "4bf9" * 8),
        ("x-cloud-trace-context", f"{'4bf9' * 8}/1027871334010811884;o=1", "4bf9" * 8),
        ("traceparent", "00-zz-00f067aa0ba902b7-01", None),
        ("accept", "4bf9" * 8, None),
    ],
)
def test_a_line_names_the_trace_it_is_part_of(
    line: Callable[..., dict[str, Any]], header: str, value: str, trace: str | None
) -> None:
    said = line(HttpRequest("GET", "/", NOON, headers={header: value}), None)

    assert said.get("trace") == trace


COLD = "from samara.entry import cold; print(cold(), cold())"


def test_only_the_first_event_of_a_process_is_cold() -> None:
    assert subprocess.check_output([sys.executable, "-c", COLD], text=True) == "{'cold': True} {}\n"


def record(message: str, error: BaseException | None = None) -> logging.LogRecord:
    told = (type(error), error, None) if error else None
    return logging.LogRecord("samara", logging.ERROR, "", 0, message, None, told)


def test_a_cloud_reads_severity_time_and_trace_beside_what_is_said() -> None:
    said = json.loads(JsonLine("logging.googleapis.com/trace", "acme").format(record('{"trace": "4bf9", "ms": 1.5}')))

    assert (said["severity"], said["ms"], said["trace"]) == ("ERROR", 1.5, "4bf9")
    assert said["logging.googleapis.com/trace"] == "projects/acme/traces/4bf9"
    assert said["time"].endswith("+00:00")


def test_plain_words_and_tracebacks_stay_one_line() -> None:
    text = JsonLine("trace", "").format(record("two\nlines", ValueError("why")))

    assert "\n" not in text
    assert json.loads(text)["message"] == "two\nlines"
    assert "ValueError: why" in json.loads(text)["exception"]
