"""The pictures of a model's page and the sentences under them. Pure."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from functions.dashboard import plots
from functions.dashboard.found import ModelFound, Problem
from functions.dashboard.words import count, counted, number, percent
from samara.core import keys, windows
from samara.core.records import ColumnDrift, DriftReport, ModelVersion
from samara.core.windows import Size, Window

PREFERRED = ("auc", "accuracy", "rmse", "mae", "log_loss")
LOWER_IS_BETTER = ("rmse", "mae", "log_loss")
MOST_BARS = 60
MOST_COLUMNS = 25  # of the heat map, those that drifted or strayed furthest


@dataclass(frozen=True, slots=True)
class Figure:
    """A picture, the sentence under it, and its numbers for whom a picture does not help."""

    title: str
    svg: Markup
    caption: str
    headers: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    wide: bool = False
    legend: bool = False
    problems: tuple[Problem, ...] = ()


def figures(found: ModelFound) -> tuple[Figure, ...]:
    metric = leading_metric(list(found.versions.records.values()))
    return (versions_figure(found, metric), performance_figure(found, metric), drift_figure(found), asked(found))


def leading_metric(versions: Sequence[ModelVersion]) -> str:
    """The metric that is drawn: the one the newest measured version's gates speak of, else the first we know."""
    measured = [version for version in versions if version.metrics]
    if not measured:
        return ""
    newest = max(measured, key=lambda version: version.version)
    said = " ".join(f"{gate.name} {gate.why}" for gate in newest.gates)
    gated = [name for name in newest.metrics if re.search(rf"\b{re.escape(name)}\b", said)]
    known = [name for name in PREFERRED if name in newest.metrics]
    return next(iter([*gated, *known, *newest.metrics]), "")


def better(metric: str) -> str:
    return "lower is better" if metric in LOWER_IS_BETTER else "higher is better"


def versions_figure(found: ModelFound, metric: str) -> Figure:
    """The leading metric over the versions: a ring for what its gates held back, the champion named."""
    versions = sorted(found.versions.records.values(), key=lambda version: version.version)
    named = {found.aliases.challenger: "challenger", found.aliases.champion: "champion"}
    points = [
        plots.Point(
            f"v{version.version}",
            version.metrics.get(metric),
            f"v{version.version}: {metric} {number(version.metrics.get(metric))}, {gates_words(version)}",
            mark=f"{named[version.version]} v{version.version}" if version.version in named else "",
            hollow=not version.passed,
        )
        for version in versions
    ]
    caption = f"On each run's own holdout, {better(metric)}. A ring is a version that its gates held back."
    return Figure(
        f"{metric or 'Metric'} over versions",
        plots.line(points, f"{metric} of {counted(len(versions), 'version')}, {better(metric)}"),
        caption if points else "No version yet. One appears when a run has succeeded.",
        ("version", metric, "gates"),
        tuple((p.label, number(p.value), gates_words(v)) for p, v in zip(points, versions, strict=True)),
        problems=found.versions.problems,
    )


def gates_words(version: ModelVersion) -> str:
    failed = [gate.name for gate in version.gates if not gate.passed]
    return f"held back by {', '.join(failed)}" if failed else "passed its gates"


def performance_figure(found: ModelFound, metric: str) -> Figure:
    """What the truth said about each window's answers, against what the holdout had promised."""
    reports = [report for _, report in sorted(found.drift.records.items()) if report.performance]
    if metric not in {name for report in reports for name in report.performance}:
        metric = next((name for report in reports for name in report.performance), metric)
    promised = {version.version: version.metrics.get(metric) for version in found.versions.records.values()}
    points = [
        plots.Point(
            report.window,
            report.performance.get(metric),
            f"{report.window}: {metric} {number(report.performance.get(metric))} over "
            f"{count(report.labelled_rows)} labelled rows, v{report.version}",
            promised.get(report.version),
        )
        for report in reports
    ]
    return Figure(
        f"Live {metric}" if reports else "Live performance",
        plots.line(points, f"Live {metric} in {counted(len(points), 'window')} against the holdout's"),
        "From ground truth sent to /feedback. The dashed line is the holdout metric of the version that answered."
        if reports
        else "No window with ground truth yet. Send it to /feedback with the prediction's id: it counts when its "
        "window has closed.",
        ("window", f"live {metric}", "holdout", "labelled rows"),
        tuple(
            (point.label, number(point.value), number(point.reference), count(report.labelled_rows))
            for point, report in zip(points, reports, strict=True)
        ),
    )


def drift_figure(found: ModelFound) -> Figure:
    """Every column in every window, those on top that drifted, then those that strayed furthest."""
    reports = [report for _, report in sorted(found.drift.records.items())]
    measured = {(column.name, report.window): column for report in reports for column in report.columns}
    furthest: dict[str, tuple[bool, float]] = {}
    for (name, _), column in measured.items():
        strayed = (column.drifted, max(column.psi or 0.0, column.ks or 0.0))
        furthest[name] = max(furthest.get(name, strayed), strayed)
    names = sorted(sorted(furthest), key=furthest.__getitem__, reverse=True)
    grid = [[heat_cell(name, report, measured) for report in reports] for name in names[:MOST_COLUMNS]]
    drifted = [report.window for report in reports if report.verdict == "drifted"]
    left_out = len(names) - MOST_COLUMNS
    return Figure(
        "Drift",
        plots.heat_map(
            names[:MOST_COLUMNS],
            [report.window for report in reports],
            grid,
            f"Drift of {counted(len(grid), 'column')} in {counted(len(reports), 'window')}; "
            f"drifted in {', '.join(drifted[-6:]) or 'none'}",
        ),
        drift_caption(found, left_out),
        ("window", "rows", "version", "verdict", "why"),
        tuple((r.window, count(r.rows), f"v{r.version}", r.verdict, r.why) for r in reversed(reports)),
        wide=True,
        legend=bool(grid),
        problems=found.drift.problems,
    )


def drift_caption(found: ModelFound, left_out: int) -> str:
    if not found.drift.total:
        return "No window yet. Each is measured when it has closed and somebody has asked for predictions in it."
    said = [
        "Colour: the population stability index of each column, per window, against what the version was trained on.",
        "A ring: beyond a limit in model.yaml, by KS for numbers, by PSI for categories, or by what is missing.",
    ]
    if left_out > 0:
        said.append(f"{counted(left_out, 'calmer column')} left out.")
    if found.drift.note:
        said.append(f"{found.drift.note}.")
    return " ".join(said)


def heat_cell(name: str, report: DriftReport, measured: dict[tuple[str, str], ColumnDrift]) -> plots.Cell:
    column = measured.get((name, report.window))
    if column is None:
        return plots.Cell(None, drifted=False, title=f"{name}, {report.window}: not measured")
    title = (
        f"{name}, {report.window}: PSI {number(column.psi)}, KS {number(column.ks)}, {count(column.rows)} rows, "
        f"{percent(column.missing)} missing{', drifted' if column.drifted else ''}"
    )
    return plots.Cell(column.psi if column.psi is not None else column.ks, drifted=column.drifted, title=title)


def asked(found: ModelFound) -> Figure:
    """How often predictions were asked for, counted from the keys of the captures."""
    period, counted_by = per_window([keys.prediction_of(key).hour for key in found.captures.keys])
    earlier = len(found.captures.keys) - sum(many for _, many in counted_by)
    newest = f", the newest {MOST_BARS} only: {counted(earlier, 'earlier request')} left out" if earlier else ""
    more = " The newest ones only; there are more." if found.captures.cut else ""
    return Figure(
        "Prediction requests",
        plots.bars(
            [plots.Bar(name, many, f"{name}: {counted(many, 'request')}") for name, many in counted_by],
            f"Prediction requests per {period}",
        ),
        f"Per {period}{newest}.{more}" if counted_by else f"Nobody has asked. POST to /v2/models/{found.model}/infer.",
        (period, "requests"),
        tuple((name, count(many)) for name, many in counted_by),
    )


def per_window(hours: Sequence[str]) -> tuple[Size, list[tuple[str, int]]]:
    """Counts per hour, day or month, whichever keeps the bars few; without gaps, the newest at most."""
    if not hours:
        return "hour", []
    first, last = Window(min(hours)).start, Window(max(hours)).start
    days = (last - first).days
    period: Size = "hour" if days < 2 else "day" if days < MOST_BARS else "month"
    tally = Counter[str]()
    for hour, many in Counter(hours).items():
        tally[windows.window(Window(hour).start, period).name] += many
    window, shown = windows.window(last, period), list[tuple[str, int]]()
    while len(shown) < MOST_BARS and window.end > first:
        shown.append((window.name, tally[window.name]))
        window = window.previous
    return period, shown[::-1]
