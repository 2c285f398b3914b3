"""Pictures: whatever the numbers, sound SVG that stays in its frame and shows text as text."""

import re
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.dashboard import plots
from functions.dashboard.plots import HEIGHT, WIDTH, Bar, Cell, Point

ANY_FLOAT = st.floats(allow_nan=True, allow_infinity=True)
ANY_TEXT = st.text(max_size=60)
POINTS = st.lists(
    st.builds(
        Point,
        label=ANY_TEXT,
        value=st.none() | ANY_FLOAT,
        title=ANY_TEXT,
        reference=st.none() | ANY_FLOAT,
        mark=ANY_TEXT,
        hollow=st.booleans(),
    ),
    max_size=30,
)
BARS = st.lists(st.builds(Bar, label=ANY_TEXT, value=st.integers(0, 10**9), title=ANY_TEXT), max_size=80)
HOSTILE = "</title></svg><script>alert(1)</script>{{ 7 * 7 }}\"'\u202e\u0000"


def parsed(svg: str) -> ET.Element:
    return ET.fromstring(svg)  # noqa: S314  # our own


def numbers(svg: str) -> list[float]:
    """Every coordinate in a picture's marks."""
    found = re.findall(r' (?:cx|cy|x|y|x1|x2|y1|y2|width|height)="([^"]*)"', svg)
    corners = re.findall(r"[ML]([^ML\"]*)", " ".join(re.findall(r' d="([^"]*)"', svg)))
    return [float(text) for text in (*found, *(part for corner in corners for part in corner.split(",")))]


@given(POINTS)
def test_a_line_stays_in_its_frame_whatever_the_values(points: list[Point]) -> None:
    svg = plots.line(points, "a line")

    if svg:
        parsed(svg)
        assert all(-20 <= number <= WIDTH + 20 for number in numbers(svg))
        marks = [float(y) for y in re.findall(r' cy="([^"]*)"', svg)]
        assert all(0 <= y <= HEIGHT for y in marks)


@given(BARS)
def test_bars_stand_on_zero_and_are_as_many_as_the_counts(counted: list[Bar]) -> None:
    svg = plots.bars(counted, "bars")

    if svg:
        bars = list(parsed(svg).iter("rect"))
        feet = {round(float(bar.attrib["y"]) + float(bar.attrib["height"]), 1) for bar in bars}
        assert len(bars) == len(counted)
        assert feet == {200.0}


@given(st.lists(ANY_TEXT, min_size=1, max_size=8), st.lists(ANY_TEXT, min_size=1, max_size=40), st.data())
def test_a_heat_map_has_a_titled_cell_for_each_name_and_window(
    names: list[str], windows: list[str], data: st.DataObject
) -> None:
    cell = st.builds(Cell, value=st.none() | st.floats(0, 100), drifted=st.booleans(), title=ANY_TEXT)
    cells = [[data.draw(cell) for _ in windows] for _ in names]

    picture = parsed(plots.heat_map(names, windows, cells, "a map"))

    assert len(list(picture.iter("rect"))) == len(names) * len(windows)
    assert len(list(picture.iter("circle"))) == sum(cell.drifted for row in cells for cell in row)
    assert all(group.find("title") is not None for group in picture.iter("g"))


@pytest.mark.parametrize(
    ("psi", "level"), [(0.0, 0), (0.049, 0), (0.05, 1), (0.1, 2), (0.25, 3), (0.5, 4), (99.0, 4), (None, "none")]
)
def test_a_cell_is_coloured_by_how_far_it_strayed(psi: float | None, level: object) -> None:
    svg = plots.heat_map(["temp"], ["2013-04"], [[Cell(psi, drifted=False, title="")]], "")

    assert f'class="heat heat-{level}"' in svg


def test_text_is_shown_as_text_wherever_it_comes_from() -> None:
    svgs = (
        plots.line([Point(HOSTILE, 1.0, HOSTILE, mark=HOSTILE)], HOSTILE),
        plots.bars([Bar(HOSTILE, 1, HOSTILE)], HOSTILE),
        plots.heat_map([HOSTILE], [HOSTILE], [[Cell(1.0, drifted=True, title=HOSTILE)]], HOSTILE),
    )

    for svg in svgs:
        assert not list(parsed(svg).iter("script"))
        assert "\u202e" not in svg


def test_nothing_to_show_is_no_picture() -> None:
    assert plots.line([], "") == plots.line([Point("v1", None, "")], "") == ""
    assert plots.bars([], "") == plots.heat_map([], ["2013"], [], "") == plots.heat_map(["temp"], [], [[]], "") == ""


def test_a_gap_breaks_the_line() -> None:
    points = [Point(str(index), value, "") for index, value in enumerate([1.0, 2.0, None, 3.0, 4.0])]

    assert plots.line(points, "").count('class="series"') == 2


def test_of_crowded_labels_the_last_is_always_shown() -> None:
    svg = plots.bars([Bar(f"2013-01-{day:02d}", day, "") for day in range(1, 31)], "")

    shown = re.findall(r">(2013-01-\d\d)</text>", svg)
    assert shown[-1] == "2013-01-30"
    assert len(shown) < 10


@given(st.floats(-1e14, 1e14), st.floats(1e-6, 1e14))
def test_ticks_are_few_and_lie_between_the_ends(low: float, span: float) -> None:
    high = low + max(span, abs(low) * 1e-6)

    found = plots.ticks(low, high)

    assert len(found) <= 8
    step = (high - low) / 6 * 2.5  # at most: where a sixth is just above a round number, the next one is taken
    slack = (high - low) * 1e-6
    assert all(low - slack <= tick < high + (step if low == 0 else slack) for tick in found)
