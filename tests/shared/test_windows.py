"""Windows: hours, days and months that tile time without a gap or an overlap."""

from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samara.core import windows
from samara.core.windows import Size, Window, window
from samara.errors import Rejected

INSTANTS = st.datetimes(datetime(4, 1, 1), datetime(9990, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  # hypothesis adds it
SIZES = st.sampled_from(get_args(Size))


@given(INSTANTS, SIZES)
def test_every_instant_lies_in_its_window_and_in_no_neighbour(at: datetime, size: Size) -> None:
    found = window(at, size)
    following = window(found.end, size)

    assert found.start <= at < found.end
    assert found.holds(windows.hour(at))
    assert not found.previous.holds(windows.hour(at))
    assert not following.holds(windows.hour(at))
    assert found.size == size


@given(INSTANTS, SIZES)
def test_neighbours_touch_and_name_each_other(at: datetime, size: Size) -> None:
    found = window(at, size)

    assert found.previous.end == found.start
    assert window(found.end, size).previous == found
    assert found.previous.name < found.name < window(found.end, size).name, "names sort as time goes"


@pytest.mark.parametrize(
    ("name", "previous", "end"),
    [
        ("2014-01", "2013-12", datetime(2014, 2, 1, tzinfo=UTC)),
        ("2013-12", "2013-11", datetime(2014, 1, 1, tzinfo=UTC)),
        ("2012-02", "2012-01", datetime(2012, 3, 1, tzinfo=UTC)),
        ("2014-01-01", "2013-12-31", datetime(2014, 1, 2, tzinfo=UTC)),
        ("2012-02-29", "2012-02-28", datetime(2012, 3, 1, tzinfo=UTC)),
        ("2014-01-01T00", "2013-12-31T23", datetime(2014, 1, 1, 1, tzinfo=UTC)),
    ],
)
def test_windows_follow_each_other_over_the_ends_of_years_and_months(name: str, previous: str, end: datetime) -> None:
    assert (Window(name).previous.name, Window(name).end) == (previous, end)


@given(INSTANTS, SIZES)
def test_a_window_is_known_by_its_name(at: datetime, size: Size) -> None:
    found = window(at, size)

    assert Window(found.name) == found


@given(INSTANTS, SIZES, st.integers(-14, 14))
def test_the_place_on_earth_does_not_matter(at: datetime, size: Size, offset: int) -> None:
    there = at.astimezone(timezone(timedelta(hours=offset)))

    assert window(there, size) == window(at, size)


@given(INSTANTS, SIZES, st.integers(1, 30))
def test_closed_windows_are_adjacent_and_end_with_the_last_that_is_over(at: datetime, size: Size, many: int) -> None:
    found = windows.closed(at, size, many)

    assert len(found) == many
    assert found[-1].end <= at < window(at, size).end
    assert window(at, size).previous == found[-1]
    assert all(one.end == next_one.start for one, next_one in pairwise(found))


@given(INSTANTS)
def test_an_hour_lies_in_one_day_and_a_day_in_one_month(at: datetime) -> None:
    hour, day, month = (window(at, size) for size in get_args(Size))

    assert hour.name.startswith(day.name)
    assert day.name.startswith(month.name)
    assert month.start <= day.start <= hour.start < hour.end <= day.end <= month.end


@pytest.mark.parametrize(
    "name",
    ["", "2013", "2013-13", "2013-00", "2013-2", "2013-02-30", "2013-02-14T24", "2013-02-14 05", "2013-02-14T05:00",
     "x" * 7, "2013-02\n", "٢٠١٣-02", "13-02", " 2013-02"],
)  # fmt: skip
def test_what_is_no_window_is_refused_with_examples(name: str) -> None:
    with pytest.raises(Rejected, match="write 2013-02, 2013-02-14 or 2013-02-14T05"):
        Window(name)


@pytest.mark.parametrize("name", ["9999-12", "9999-12-31", "9999-12-31T23"])
def test_the_window_that_would_never_end_is_refused(name: str) -> None:
    with pytest.raises(Rejected, match="ends after the last day there is"):
        Window(name)
