"""Numbers to pictures: inline SVG that takes its colours from the page. Pure; every text in it is escaped.

A picture never speaks by colour alone: what matters has a shape as well, each mark a title, and each picture
a sentence that says what it shows.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from markupsafe import Markup

from functions.dashboard.words import visible

WIDTH, HEIGHT = 560.0, 230.0
LEFT, RIGHT, TOP, BOTTOM = 52.0, 14.0, 22.0, 30.0
LETTER = 6.2  # width of a letter of a label
ROW = 22.0  # height of a row of the heat map
NAMES = 130.0  # width of its names
MOST, LEAST = 1e15, 1e-15  # beyond them, differences drown in rounding

STEPS = (0.05, 0.1, 0.25, 0.5)
"""Where the colour of a population stability index changes: by custom 0.1 is worth a look, 0.25 a retraining."""


@dataclass(frozen=True, slots=True)
class Point:
    """`value` None is a gap. `reference` is what the value is held against; `mark` names what stands out here."""

    label: str
    value: float | None
    title: str
    reference: float | None = None
    mark: str = ""
    hollow: bool = False


@dataclass(frozen=True, slots=True)
class Bar:
    label: str
    value: int
    title: str


@dataclass(frozen=True, slots=True)
class Cell:
    """One column in one window. `value` None means nothing was measured."""

    value: float | None
    drifted: bool
    title: str


@dataclass(frozen=True, slots=True)
class Scale:
    """From values to vertical places; larger is higher."""

    low: float
    high: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 2)


def line(points: Sequence[Point], summary: str) -> Markup:
    """Values in their order, joined where they follow each other, with their references as a dashed line."""
    points = [replace(p, value=plottable(p.value), reference=plottable(p.reference)) for p in points]
    known = [value for point in points for value in (point.value, point.reference) if value is not None]
    if not known:
        return Markup("")
    scale = scaled(known)
    places = across(len(points))
    marked = sorted((point.value, at) for at, point in enumerate(points) if point.mark and point.value is not None)
    lowest = marked[0][1] if len(marked) > 1 else None
    drawn = [
        *axis(scale),
        *labels([point.label for point in points], places),
        *paths("reference", [(x, p.reference) for x, p in zip(places, points, strict=True)], scale),
        *paths("series", [(x, p.value) for x, p in zip(places, points, strict=True)], scale),
        *(dot(point, x, scale, below=at == lowest) for at, (x, point) in enumerate(zip(places, points, strict=True))),
    ]
    return picture(drawn, HEIGHT, summary)


def bars(counted: Sequence[Bar], summary: str) -> Markup:
    """Counts as bars from zero."""
    if not counted:
        return Markup("")
    scale = Scale(0, ticks(0, max(1, *(bar.value for bar in counted)))[-1])
    places = across(len(counted))
    width = round(min(44.0, 0.78 * (WIDTH - LEFT - RIGHT) / len(counted)), 2)
    marks = (
        Markup('<rect class="bar" x="{}" y="{}" width="{}" height="{}" rx="1.5"><title>{}</title></rect>').format(
            round(x - width / 2, 2), scale(bar.value), width, round(scale(0) - scale(bar.value), 2), visible(bar.title)
        )
        for x, bar in zip(places, counted, strict=True)
    )
    return picture([*axis(scale, whole=True), *labels([bar.label for bar in counted], places), *marks], HEIGHT, summary)


def heat_map(names: Sequence[str], windows: Sequence[str], cells: Sequence[Sequence[Cell]], summary: str) -> Markup:
    """One row for each name and one column for each window: the darker, the further from the baseline."""
    if not names or not windows:
        return Markup("")
    width = 2 * WIDTH
    step = min(90.0, (width - NAMES - RIGHT) / len(windows))
    places = [round(NAMES + step * (index + 0.5), 2) for index in range(len(windows))]
    drawn: list[Markup] = []
    for index, (name, row) in enumerate(zip(names, cells, strict=True)):
        top = round(index * ROW, 2)
        drawn.append(
            Markup('<text class="name" x="{}" y="{}" text-anchor="end">{}<title>{}</title></text>').format(
                NAMES - 10, top + ROW / 2 + 4, visible(name, 18), visible(name)
            )
        )
        drawn.extend(heat(cell, x, top, step) for cell, x in zip(row, places, strict=True))
    below = len(names) * ROW + 16
    drawn.extend(labels(windows, places, below))
    return picture(drawn, below + 8, summary, width)


def heat(cell: Cell, x: float, top: float, step: float) -> Markup:
    """One cell; a drifted one carries a dot, so that it stands out beyond its colour."""
    level = "none" if cell.value is None else str(sum(cell.value >= bound for bound in STEPS))
    mark = Markup('<circle class="drifted" cx="{}" cy="{}" r="3.5"/>').format(x, top + ROW / 2)
    return Markup(
        '<g><title>{}</title><rect class="heat heat-{}" x="{}" y="{}" width="{}" height="{}" rx="3"/>{}</g>'
    ).format(
        visible(cell.title),
        level,
        round(x - step / 2 + 1, 2),
        top + 1,
        round(step - 2, 2),
        ROW - 2,
        mark if cell.drifted else "",
    )


def dot(point: Point, x: float, scale: Scale, *, below: bool) -> Markup:
    """A value's place; one that stands out is larger and says why above it, or `below` where another says so above."""
    if point.value is None:
        return Markup("")
    y = scale(point.value)
    shape = Markup('<circle class="{}" cx="{}" cy="{}" r="{}"><title>{}</title></circle>').format(
        "dot hollow" if point.hollow else "dot", x, y, 6 if point.mark else 3.5, visible(point.title)
    )
    if not point.mark:
        return shape
    anchor = "start" if x < LEFT + 60 else "end" if x > WIDTH - RIGHT - 60 else "middle"
    beside = y + 20 if below or y <= TOP + 14 else y - 12
    return shape + Markup('<text class="mark" x="{}" y="{}" text-anchor="{}">{}</text>').format(
        x, round(beside, 2), anchor, visible(point.mark, 24)
    )


def paths(kind: str, places: Iterable[tuple[float, float | None]], scale: Scale) -> list[Markup]:
    """The lines through the known values, one for each run of them without a gap."""
    runs: list[list[tuple[float, float]]] = [[]]
    for x, value in places:
        if value is None:
            runs.append([])
        else:
            runs[-1].append((x, scale(value)))
    return [
        Markup('<path class="{}" d="M{}"/>').format(kind, " L".join(f"{x},{y}" for x, y in stretched(run)))
        for run in runs
        if len(run) > 1 or (run and kind == "reference")
    ]


def stretched(run: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """A line's corners; of a single one, a dash, so that it can be seen."""
    if len(run) > 1:
        return run
    ((x, y),) = run
    return [(x - 14, y), (x + 14, y)]


def axis(scale: Scale, *, whole: bool = False) -> list[Markup]:
    """The grid and what its lines stand for."""
    return [
        Markup(
            '<line class="rule" x1="{}" x2="{}" y1="{}" y2="{}"/><text x="{}" y="{}" text-anchor="end">{}</text>'
        ).format(LEFT, WIDTH - RIGHT, scale(tick), scale(tick), LEFT - 8, round(scale(tick) + 4, 2), f"{tick:,.7g}")
        for tick in ticks(scale.low, scale.high)
        if not whole or tick.is_integer()
    ]


def labels(texts: Sequence[str], places: Sequence[float], y: float = HEIGHT - 8) -> list[Markup]:
    """As many of the labels as there is room for, always with the last, which people look for first."""
    if not texts:
        return []
    room = places[1] - places[0] if len(places) > 1 else WIDTH
    every = math.ceil((LETTER * max(len(visible(text, 14)) for text in texts) + 10) / room)
    return [
        Markup('<text x="{}" y="{}" text-anchor="middle">{}</text>').format(x, y, visible(text, 14))
        for index, (text, x) in enumerate(zip(texts, places, strict=True))
        if (len(texts) - 1 - index) % every == 0
    ]


def across(many: int) -> list[float]:
    """Evenly spread horizontal places, each in the middle of its share."""
    step = (WIDTH - LEFT - RIGHT) / many
    return [round(LEFT + step * (index + 0.5), 2) for index in range(many)]


def scaled(values: Sequence[float]) -> Scale:
    """A scale with some air around the values, also when there is but one."""
    low, high = min(values), max(values)
    air = max((high - low) * 0.18, abs(high) * 1e-6) if high > low else abs(high) * 0.05 or 1.0
    return Scale(low - air, high + air)


def plottable(value: float | None) -> float | None:
    """A value a picture can hold, or the gap that stands for what it cannot."""
    if value is None or not abs(value) < MOST:  # NaN is not less than anything
        return None
    return value if abs(value) > LEAST else 0.0


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers from `low` to `high`, at most `most` and one; from zero, the last is not below `high`.

    >>> ticks(0.612, 0.741), ticks(0, 37)
    ([0.625, 0.65, 0.675, 0.7, 0.725], [0.0, 10.0, 20.0, 30.0, 40.0])
    """
    raw = (high - low) / most
    magnitude = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * magnitude for factor in (1, 2, 2.5, 5, 10) if factor * magnitude >= raw * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    if low == 0:
        last = math.ceil(high / step - 1e-9)
    digits = 2 - math.floor(math.log10(step))
    return [round(index * step, digits) for index in range(first, last + 1)]


def picture(drawn: Iterable[Markup], height: float, summary: str, width: float = WIDTH) -> Markup:
    return Markup('<svg class="plot" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        round(width, 2), round(height, 2), visible(summary, 400), Markup("").join(drawn)
    )
