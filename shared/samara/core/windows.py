"""Calendar windows whose name is a prefix of every hour they hold, so that a window is a key prefix.

>>> Window("2013-02").holds("2013-02-14T05")
True
"""

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Literal, NamedTuple, Self

from samara.errors import Rejected

Size = Literal["hour", "day", "month"]
FORMATS: dict[Size, str] = {"hour": "%Y-%m-%dT%H", "day": "%Y-%m-%d", "month": "%Y-%m"}
LENGTHS: dict[Size, int] = {"hour": 13, "day": 10, "month": 7}  # of a name, which is how ISO 8601 begins
BY_LENGTH: dict[int, Size] = {length: size for size, length in LENGTHS.items()}


def hour(at: datetime) -> str:
    """The hour of an instant, as keys spell it.

    >>> hour(datetime(2013, 2, 14, 5, 59, tzinfo=UTC))
    '2013-02-14T05'
    """
    utc = at if at.tzinfo is UTC else at.astimezone(UTC)
    return spelled(utc.date(), utc.hour)


@lru_cache(64)
def spelled(day: date, number: int) -> str:
    return f"{day}T{number:02}"


class Window(NamedTuple("Named", [("name", str)])):
    """An hour, a day or a month in UTC, by its name: `2013-02-14T05`, `2013-02-14` or `2013-02`."""

    __slots__ = ()

    def __new__(cls, name: str) -> Self:
        self = super().__new__(cls, name)
        if self.start.isoformat()[: len(self.name)] != self.name:
            raise Rejected(self.name, "not a window; write 2013-02, 2013-02-14 or 2013-02-14T05")
        try:
            _ = self.end
        except OverflowError as error:
            raise Rejected(self.name, "not a window: it ends after the last day there is") from error
        return self

    @property
    def size(self) -> Size:
        return BY_LENGTH.get(len(self.name), "hour")

    @property
    def start(self) -> datetime:
        try:
            return datetime.strptime(self.name, FORMATS[self.size]).replace(tzinfo=UTC)
        except ValueError as error:
            why = "not a window; write 2013-02, 2013-02-14 or 2013-02-14T05"
            raise Rejected(self.name, why) from error

    @property
    def end(self) -> datetime:
        """The first instant after it."""
        if self.size == "month":
            return (self.start + timedelta(days=32)).replace(day=1)
        return self.start + (timedelta(days=1) if self.size == "day" else timedelta(hours=1))

    @property
    def previous(self) -> "Window":
        return window(self.start - timedelta(seconds=1), self.size)

    def holds(self, name_of_hour: str) -> bool:
        return name_of_hour.startswith(self.name)


def window(at: datetime, size: Size) -> Window:
    """The window of that size in which the instant lies.

    >>> window(datetime(2013, 2, 14, tzinfo=UTC), "month").end.isoformat()
    '2013-03-01T00:00:00+00:00'
    """
    return Window(at.astimezone(UTC).isoformat()[: LENGTHS[size]])


def closed(at: datetime, size: Size, lookback: int) -> list[Window]:
    """The last `lookback` windows that ended at or before `at`, oldest first."""
    windows = [window(at, size).previous]
    while len(windows) < lookback:
        windows.append(windows[-1].previous)
    return windows[::-1]
