"""What the demo leaves behind: a page whose links lead somewhere, and no heading without anything below it."""

from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from threading import Event
from typing import Any, cast

import httpx
import pytest
from rich.console import Console
from rich.progress import Progress

from samara import demo
from samara.app import App
from samara.dev.platform import Platform
from samara.settings import Settings

PAGE = (
    '<a class="skip" href="#main">Skip</a><a class="home" href="/"><svg><g/></svg>Samara</a>'
    '<a href="/datasets/flights">flights</a> href="/kept <a href="/predictions/late.1">late.1</a>'
)


class Running:
    """As much of a platform as the closing needs."""

    url = "http://127.0.0.1:1"

    def __init__(self, app: App, home: Path) -> None:
        self.app, self.settings = app, Settings(home=home)


class Late:
    model = "late"


@pytest.fixture
def story(whole: App, tmp_path: Path) -> demo.Story:
    platform, definition = cast("Platform", Running(whole, tmp_path)), cast("Any", Late)
    return demo.Story(platform, demo.Calendar(datetime(2013, 1, 1, tzinfo=UTC)), definition, Event(), Progress())


def closing(story: demo.Story) -> str:
    said = StringIO()
    demo.closing(story, Console(file=said, width=200), 1.0, keep=True)
    return said.getvalue()


def test_the_saved_page_leads_only_to_itself(
    story: demo.Story, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(httpx, "get", lambda *_, **__: httpx.Response(200, text=PAGE))

    page = demo.saved(story, tmp_path / "late.html").read_text()

    assert page == (
        '<a class="skip" href="#main">Skip</a><a class="home"><svg><g/></svg>Samara</a>'
        '<a>flights</a> href="/kept <a>late.1</a>'
    )


def test_nobody_is_told_to_walk_back_predictions_that_there_are_not(story: demo.Story) -> None:
    story.months = [demo.Month("2013-01")]

    said = closing(story)

    assert "Walk predictions back" not in said
    assert "Look around:" in said


def test_one_prediction_of_the_first_and_of_the_last_month_is_named(story: demo.Story) -> None:
    story.months = [demo.Month(f"2013-0{month}", prediction=f"late.{month}") for month in range(1, 5)]

    said = closing(story)

    assert "Walk predictions back to the uploaded files" in said
    assert [line.rpartition(" ")[2] for line in said.splitlines() if " why " in line] == ["late.2", "late.4"]
