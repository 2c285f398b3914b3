"""What the page of a model says, from what was found about it. Pure: records in, words and pictures out."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice, pairwise
from typing import Literal

from functions.dashboard.figures import Figure, figures, gates_words
from functions.dashboard.found import Found, GlanceFound, ModelFound, Problem
from functions.dashboard.words import count, counted, duration, instant, noted_at, number, percent, size
from samara.core import keys
from samara.core.aliases import Aliases, Move, shares
from samara.core.records import Alert, DriftReport, ModelVersion, Parity, Result, Run, Scores

Tone = Literal["good", "warn", "bad", "calm"]
MOVES = 60  # of the aliases, the newest
LONGEST = 1e9  # seconds of a run that can be true
VERDICT: dict[str, Tone] = {"stable": "good", "drifted": "bad", "too few rows": "calm"}


@dataclass(frozen=True, slots=True)
class Chip:
    """A few words with a tone; the words alone say it too."""

    text: str
    tone: Tone = "calm"


@dataclass(frozen=True, slots=True)
class Tile:
    value: str
    label: str
    tone: Tone = "calm"
    hint: str = ""


@dataclass(frozen=True, slots=True)
class VersionRow:
    number: int
    at: datetime | None
    role: str
    run: str
    metrics: tuple[tuple[str, str], ...]
    gates: tuple[tuple[bool, str, str], ...]
    compared: str
    parity: str
    agreed: bool
    size: str


@dataclass(frozen=True, slots=True)
class MoveRow:
    number: int
    at: datetime
    what: str
    cause: str


@dataclass(frozen=True, slots=True)
class DecisionRow:
    at: datetime | None
    cause: str
    why: str
    run: str


@dataclass(frozen=True, slots=True)
class RunRow:
    run: str
    at: datetime | None
    state: Chip
    cause: str
    rows: str
    took: str
    why: str


@dataclass(frozen=True, slots=True)
class ShadowRow:
    """What a shadow would have said in an hour. The errors are those of who answered, and of the shadow."""

    hour: str
    version: int
    rows: str
    equal: str
    difference: str
    errors: str


@dataclass(frozen=True, slots=True)
class ScoringRow:
    scoring: str
    at: datetime | None
    version: int
    dataset: str
    batch: str
    state: Chip
    rows: str
    why: str


@dataclass(frozen=True, slots=True)
class AlertRow:
    key: str
    at: datetime | None
    subject: str
    what: str
    why: str


@dataclass(frozen=True, slots=True)
class ModelPage:
    name: str
    datasets: tuple[str, ...]
    state: tuple[Chip, ...]
    tiles: tuple[Tile, ...]
    figures: tuple[Figure, ...]
    versions: tuple[VersionRow, ...]
    moves: tuple[MoveRow, ...]
    moves_left: str
    decisions: tuple[DecisionRow, ...]
    runs: tuple[RunRow, ...]
    alerts: tuple[AlertRow, ...]
    recent: tuple[str, ...]
    shadows: tuple[ShadowRow, ...]
    scorings: tuple[ScoringRow, ...]


def model_page(found: ModelFound) -> ModelPage:
    return ModelPage(
        name=found.model,
        datasets=datasets_of(found),
        state=state(found.aliases, found.drift, found.running, known=not found.problems),
        tiles=tiles(found),
        figures=figures(found),
        versions=tuple(version_rows(found)),
        moves=tuple(islice(move_rows(found.aliases, found.versions), MOVES)),
        moves_left=f"{MOVES} of {count(moves)} are shown" if (moves := len(found.aliases.moves)) > MOVES else "",
        decisions=tuple(decision_rows(found)),
        runs=tuple(run_rows(found)),
        alerts=tuple(alert_rows(found.alerts)),
        recent=tuple(keys.prediction_of(key).id for key in found.captures.keys[:-11:-1]),
        shadows=tuple(shadow_rows(found)),
        scorings=tuple(scoring_rows(found)),
    )


def datasets_of(found: ModelFound) -> tuple[str, ...]:
    """The datasets its runs were trained on."""
    links = (link for run in found.runs.records.values() for link in run.plan.validations)
    return tuple(sorted({keys.owner(link.key) for link in links if link.key.startswith(keys.VALIDATIONS)}))


def state(aliases: Aliases, drift: Found[DriftReport], running: int, *, known: bool = True) -> tuple[Chip, ...]:
    """Where a model stands, in one line. Aliases name nobody at first, and where they are not `known`."""
    chips = [Chip("no champion yet", "warn") if known else Chip("its aliases cannot be read", "bad")]
    if aliases.champion is not None:
        since = champion_since(aliases)
        chips = [Chip(f"champion v{aliases.champion}" + (f" since {instant(since)}" if since else ""), "good")]
    if aliases.challenger is not None:
        chips.append(Chip(f"challenger v{aliases.challenger}"))
    if aliases.shadow is not None:
        chips.append(Chip(f"shadow v{aliases.shadow}"))
    if aliases.weights:
        chips.append(Chip(shares(aliases.weights)))
    if latest := newest_report(drift):
        chips.append(Chip(f"last window {latest.window} {verdict_words(latest)}", VERDICT[latest.verdict]))
    chips.append(Chip(f"{counted(running, 'run')} running", "warn") if running else Chip("no run running"))
    return tuple(chips)


def champion_since(aliases: Aliases) -> datetime | None:
    """When today's champion last took over."""
    since: datetime | None = None
    for move in reversed(aliases.moves):
        if move.champion != aliases.champion:
            break
        since = move.at
    return since


def newest_report(drift: Found[DriftReport]) -> DriftReport | None:
    return drift.records[max(drift.records)] if drift.records else None


def verdict_words(report: DriftReport) -> str:
    """The verdict, and the columns that caused it when some did."""
    if report.verdict == "too few rows":
        return "had too few rows"
    strayed = [column.name for column in report.columns if column.drifted]
    named = ", ".join(strayed[:3]) + (f" and {len(strayed) - 3} more" if len(strayed) > 3 else "")
    return f"{report.verdict} by {named}" if strayed and report.verdict == "drifted" else report.verdict


def tiles(found: ModelFound) -> tuple[Tile, ...]:
    reports = found.drift.records.values()
    latest = newest_report(found.drift)
    told = found.alerts.total - len(found.alerts.problems)
    return (
        Tile(
            found.captures.count,
            "prediction requests",
            hint="the newest; older ones are left out" if found.captures.cut else "",
        ),
        Tile(
            count(sum(report.labelled_rows for report in reports)),
            "labelled rows",
            hint="in the windows shown" if found.drift.note else "",
        ),
        Tile(found.versions.count, "version" if found.versions.total == 1 else "versions"),
        Tile(
            latest.verdict if latest else "none yet",
            f"drift in {latest.window}" if latest else "drift verdict",
            VERDICT[latest.verdict] if latest else "calm",
        ),
        Tile(
            count(told),
            "alert" if told == 1 else "alerts",
            "bad" if told else "calm" if found.alerts.cut else "good",
            hint="not all were looked at" if found.alerts.cut else "",
        ),
    )


def version_rows(found: ModelFound) -> Iterator[VersionRow]:
    aliases = found.aliases
    named = {aliases.shadow: "shadow", aliases.challenger: "challenger", aliases.champion: "champion"}
    for version in sorted(found.versions.records.values(), key=lambda version: -version.version):
        yield VersionRow(
            number=version.version,
            at=noted_at(version.noted),
            role=named.get(version.version, ""),
            run=version.run,
            metrics=tuple((name, number(value)) for name, value in version.metrics.items()),
            gates=tuple((gate.passed, gate.name, gate.why) for gate in version.gates),
            compared=compared(version),
            parity=parity_words(version.parity),
            agreed=version.parity.agreed,
            size=size(found.sizes.get(version.artifact)),
        )


def compared(version: ModelVersion) -> str:
    if version.compared_with is None:
        return "nobody"
    theirs = ", ".join(f"{name} {number(value)}" for name, value in version.compared_metrics.items())
    return f"v{version.compared_with}" + (f": {theirs}" if theirs else "")


def parity_words(parity: Parity) -> str:
    return f"{parity.largest_difference:.1e} of {parity.tolerance:.0e} over {counted(parity.rows, 'row')}"


def move_rows(aliases: Aliases, versions: Found[ModelVersion]) -> Iterator[MoveRow]:
    """The alias history, newest first, each move in words."""
    by_digest = {version.digest: version for version in versions.records.values()}
    nobody = Move(number=0, at=aliases.moves[0].at, champion=None, challenger=None, cause="") if aliases.moves else None
    for before, move in reversed(list(pairwise([nobody, *aliases.moves]))):
        if before and move:
            yield MoveRow(move.number, move.at, moved_words(before, move), cause_words(move.cause, by_digest))


def moved_words(before: Move, move: Move) -> str:
    said = []
    if move.champion != before.champion:
        instead = f" in place of v{before.champion}" if before.champion is not None else ""
        said.append(f"v{move.champion} became champion{instead}" if move.champion is not None else "no champion")
    if move.challenger != before.challenger:
        if move.challenger is not None:
            said.append(f"v{move.challenger} challenges")
        elif before.challenger != move.champion:
            said.append(f"v{before.challenger} no longer challenges")
    if move.shadow != before.shadow:
        said.append(f"v{move.shadow} is the shadow" if move.shadow is not None else "no shadow")
    if move.weights != before.weights:
        said.append(f"requests go to {shares(move.weights)}" if move.weights else "the champion answers all")
    return ", ".join(said) or "nothing changed"


def cause_words(cause: str, by_digest: dict[str, ModelVersion]) -> str:
    if cause in by_digest:
        version = by_digest[cause]
        return f"v{version.version} was registered and {gates_words(version)}"
    return f"version {cause[:12]}… was registered" if re.fullmatch("[0-9a-f]{64}", cause) else cause


def decision_rows(found: ModelFound) -> Iterator[DecisionRow]:
    for _, decision in found.decisions.newest_first:
        run = decision.plan.run if decision.plan else ""
        yield DecisionRow(noted_at(decision.noted), occasion(decision.cause), decision.why, run)


def occasion(cause: str) -> str:
    """A cause in words.

    >>> occasion("drift/late/2013-04.json"), occasion("first")
    ('drift in 2013-04', 'first')
    """
    return f"drift in {keys.stem(cause)}" if cause.startswith(keys.DRIFT) else cause


def run_rows(found: ModelFound) -> Iterator[RunRow]:
    for key, run in found.runs.newest_first:
        result = found.results.records.get(keys.result(key))
        unreadable = keys.result(key) in {problem.key for problem in found.results.problems}
        yield RunRow(
            run=run.run,
            at=noted_at(run.noted),
            state=run_state(result, unreadable=unreadable, submitted=keys.submission(key) in found.submitted),
            cause=occasion(run.cause),
            rows=count(sum(part.rows for part in run.plan.parts)),
            took=took(run, result),
            why=result.why if result else "",
        )


def run_state(result: Result | None, *, unreadable: bool, submitted: bool) -> Chip:
    if unreadable:
        return Chip("unreadable result", "bad")
    return ended(result, Chip("running", "warn") if submitted else Chip("planned"))


def ended(record: Result | Scores | None, meanwhile: Chip) -> Chip:
    """How a job ended, or how it is said to be until it has."""
    if record is None:
        return meanwhile
    return Chip("succeeded", "good") if record.status == "succeeded" else Chip("failed", "bad")


def took(run: Run, result: Result | None) -> str:
    """What the job noted, else from plan to result as far as both say when they were made."""
    if result is None:
        return "–"
    seconds = result.noted.get("seconds")
    planned, ended = noted_at(run.noted), noted_at(result.noted)
    if isinstance(seconds, int | float) and 0 <= seconds < LONGEST:
        return duration(seconds)
    return duration((ended - planned).total_seconds()) if planned and ended and ended >= planned else "–"


def shadow_rows(found: ModelFound) -> Iterator[ShadowRow]:
    """The hours in which a shadow was compared, newest first."""
    for _, report in sorted(found.shadows.records.items(), reverse=True):
        left_out = f", {count(report.left_out)} requests left out" if report.left_out else ""
        differences = (report.mean_difference, report.largest_difference)
        errors = f"{number(report.answered_error)} / {number(report.shadow_error)}"
        yield ShadowRow(
            hour=report.hour,
            version=report.version,
            rows=f"{count(report.rows)}{left_out}",
            equal="–" if report.equal is None else percent(report.equal),
            difference="–" if None in differences else " / ".join(map(number, differences)),
            errors=f"{errors} over {counted(report.labelled_rows, 'row')}" if report.labelled_rows else "–",
        )


def scoring_rows(found: ModelFound) -> Iterator[ScoringRow]:
    """Batches that were answered as a whole, newest first."""
    for key, scoring in found.scorings.newest_first:
        scores = found.scores.records.get(keys.scores(key))
        unreadable = keys.scores(key) in {problem.key for problem in found.scores.problems}
        refused = f", {count(scores.refused_rows)} without an answer" if scores and scores.refused_rows else ""
        yield ScoringRow(
            scoring=scoring.scoring,
            at=noted_at(scoring.noted),
            version=scoring.version,
            dataset=scoring.dataset,
            batch=scoring.batch,
            state=Chip("unreadable scores", "bad") if unreadable else ended(scores, Chip("under way", "warn")),
            rows=f"{count(scores.rows)}{refused}" if scores and scores.status == "succeeded" else "–",
            why=scores.why if scores else "",
        )


def alert_rows(alerts: Found[Alert]) -> Iterator[AlertRow]:
    for key, alert in alerts.newest_first:
        yield AlertRow(key, noted_at(alert.noted), alert.subject, alert.what, alert.why)


def concerns(alert: Alert, name: str) -> bool:
    """Whether an alert is about the model or dataset of that name, which its subject holds as a whole word.

    Of a key, the first word is its topic, and names nobody.
    """
    topic, slash, rest = alert.subject.partition("/")
    return name in {part.removesuffix(".json") for part in re.split(r"[/\s:]", rest if slash else topic)}


@dataclass(frozen=True, slots=True)
class Glance:
    """A model on the first page."""

    name: str
    state: tuple[Chip, ...]
    metrics: tuple[tuple[str, str], ...]
    versions: str
    problems: tuple[Problem, ...]


def glance(found: GlanceFound) -> Glance:
    versions = found.versions.records.values()
    shown = next((version for version in versions if version.version == found.aliases.champion), None)
    return Glance(
        found.model,
        state(found.aliases, found.drift, found.running, known=not found.problems),
        tuple((name, number(value)) for name, value in shown.metrics.items())[:3] if shown else (),
        found.versions.count,
        (*found.problems, *found.versions.problems, *found.drift.problems),
    )
