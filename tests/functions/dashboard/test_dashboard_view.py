"""What a page says, decided from records alone."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from functions.dashboard import figures, view
from functions.dashboard.found import Found
from functions.dashboard.predictions import by_row, spelled
from functions.dashboard.view import Chip
from samara.core import keys
from samara.core.aliases import Aliases
from samara.core.records import Alert, ColumnDrift, DriftReport, ModelVersion, Result, Run
from samara.core.sealed import Maker
from samara.core.windows import Window, hour

MAY = datetime(2013, 5, 1, tzinfo=UTC)
MAKER = Maker(function="test", code="0" * 64)


def history(*moves: tuple[int | None, int | None, str]) -> Aliases:
    aliases = Aliases()
    for day, (champion, challenger, cause) in enumerate(moves):
        aliases = aliases.moved(champion=champion, challenger=challenger, at=MAY + timedelta(days=day), cause=cause)
    return aliases


def test_each_move_is_told_in_words_newest_first() -> None:
    aliases = history((1, None, "a" * 64), (1, 2, "b" * 64), (2, None, "promoted by anna"), (2, 3, "c"), (2, None, "d"))

    told = [(row.what, row.cause) for row in view.move_rows(aliases, Found())]

    assert told == [
        ("v3 no longer challenges", "d"),
        ("v3 challenges", "c"),
        ("v2 became champion in place of v1", "promoted by anna"),
        ("v2 challenges", "version bbbbbbbbbbbb… was registered"),
        ("v1 became champion", "version aaaaaaaaaaaa… was registered"),
    ]


def test_a_champion_holds_office_since_it_last_took_over() -> None:
    aliases = history((1, None, "a"), (2, None, "b"), (1, 2, "c"), (1, 3, "d"))

    assert view.champion_since(aliases) == MAY + timedelta(days=2)


def test_a_model_without_anything_says_so_in_its_state() -> None:
    assert view.state(Aliases(), Found(), 0) == (
        Chip("no champion yet", "warn"),
        Chip("no run running"),
    )


def test_a_run_is_planned_then_running_then_succeeded_or_failed() -> None:
    succeeded = Result(made_by=MAKER, model="late", run="r", status="succeeded")
    failed = succeeded.model_copy(update={"status": "failed"})

    assert view.run_state(None, unreadable=False, submitted=False).text == "planned"
    assert view.run_state(None, unreadable=False, submitted=True).text == "running"
    assert view.run_state(succeeded, unreadable=False, submitted=True) == Chip("succeeded", "good")
    assert view.run_state(failed, unreadable=False, submitted=True) == Chip("failed", "bad")
    assert view.run_state(None, unreadable=True, submitted=True) == Chip("unreadable result", "bad")


def test_an_alert_concerns_whom_its_subject_names_as_a_whole_word() -> None:
    def about(subject: str) -> bool:
        return view.concerns(Alert(made_by=MAKER, subject=subject, what="", why=""), "late")

    assert [about(s) for s in ("late", "results/late/x.json", "config/models/late.json", "late v3", "late: auc")] == [
        True
    ] * 5
    assert [about(s) for s in ("later", "models/very-late/1.json", "")] == [False] * 3


def test_the_drawn_metric_is_the_one_the_gates_speak_of(story: Any) -> None:
    story.year()
    version = story.app.read(ModelVersion, keys.version("late", 4))

    assert figures.leading_metric([version]) == "auc"
    silent = version.model_copy(update={"gates": (), "metrics": {"mae": 1.0, "rmse": 2.0}})
    assert figures.leading_metric([silent]) == "rmse"
    assert figures.leading_metric([]) == figures.leading_metric([version.model_copy(update={"metrics": {}})]) == ""


@given(st.lists(st.integers(0, 200_000) | st.integers(0, 500), min_size=1, max_size=50))
def test_no_request_of_the_shown_windows_is_lost_or_counted_twice(after: list[int]) -> None:
    hours = [hour(MAY + timedelta(hours=hours)) for hours in after]

    period, counted = figures.per_window(hours)

    first = Window(counted[0][0]).start
    shown = [hour for hour in hours if Window(hour).start >= first]
    assert sum(many for _, many in counted) == len(shown)
    assert 1 <= len(counted) <= figures.MOST_BARS
    assert {Window(name).size for name, _ in counted} == {period}
    assert all(Window(a).end == Window(b).start for (a, _), (b, _) in pairwise(counted))


def test_a_tensor_is_split_among_its_rows() -> None:
    assert by_row([1.0, 2.5, None, 4.0], 2) == ("[1, 2.5]", "[null, 4]")
    assert by_row(["UA", "B6"], 2) == ("UA", "B6")
    assert by_row(True, 1) == ("true",)
    assert by_row([1, 2, 3], 2) == ("[1, 2, 3]",)
    assert spelled([None]) == "null"


def test_a_run_takes_from_its_plan_to_its_result(story: Any) -> None:
    at = MAY
    run = story.app.read(Run, story.run(story.month(1), "first", "why", at).key)
    ended = Result(made_by=MAKER, model="late", run=run.run, status="succeeded")

    def after(seconds: float) -> Result:
        return ended.model_copy(update={"noted": {"at": (at + timedelta(seconds=seconds)).isoformat()}})

    assert view.took(run, after(64)) == "64 s"
    assert view.took(run, after(600)) == "10 min"
    assert view.took(run, ended.model_copy(update={"noted": {"seconds": 1.25}})) == "1.2 s", "the job's own word"
    for beyond in (float("nan"), float("inf"), -3, 10**400):
        assert view.took(run, ended.model_copy(update={"noted": {"seconds": beyond}})) == "–"
    assert view.took(run, after(-1)) == view.took(run, None) == view.took(run, ended) == "–"


def test_shares_and_a_shadow_are_part_of_the_story() -> None:
    aliases = Aliases().moved(champion=1, challenger=None, at=MAY, cause="promoted by ann")
    aliases = aliases.moved(champion=1, challenger=None, weights={1: 0.9, 2: 0.1}, at=MAY, cause="routed by ann")
    aliases = aliases.moved(champion=1, challenger=None, shadow=3, at=MAY, cause="shadow set by ann")
    aliases = aliases.moved(champion=2, challenger=None, at=MAY, cause="promoted by ann")

    said = [row.what for row in view.move_rows(aliases, Found())]

    assert said == [
        "v2 became champion in place of v1, the champion answers all",
        "v3 is the shadow",
        "requests go to v1 90 %, v2 10 %",
        "v1 became champion",
    ]


def test_what_drifted_is_on_the_map_of_drift_however_little_it_strayed(story: Any, ask: Callable[..., Any]) -> None:
    story.defined()
    strayed = [ColumnDrift(name=f"c{i:02d}", rows=9, psi=0.2, ks=0.1, missing=0.0, drifted=False) for i in range(40)]
    gone = ColumnDrift(name="gone", rows=9, psi=None, ks=None, missing=1.0, drifted=True)
    report = DriftReport(
        made_by=MAKER, model="late", version=1, window="2013-05", rows=9, verdict="drifted", why="gone drifted",
        columns=(*strayed, gone),
    )  # fmt: skip
    story.app.write("drift/late/2013-05.json", report)

    assert "gone, 2013-05: PSI –, KS –, 9 rows, 100.0% missing, drifted" in ask("/models/late").body.decode()
