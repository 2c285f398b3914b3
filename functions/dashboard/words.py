"""How values read on a page. What people typed is shown as text, never as markup, and never invisible."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime

from pydantic import JsonValue

from samara.core.keys import unspeakable

LONGEST = 160  # letters of a value before it is cut
SENTENCE = 800  # of one that says why, whose way out comes last
WHOLE = 1000  # of it in the title that shows when one points at it
EXACT = 1e15  # from here on, not every digit that could be written is known


def visible(text: object, most: int = LONGEST) -> str:
    """`text` in one line, cut to `most` letters, with � for what one could not see.

    >>> visible("two\\nlines"), visible("evil\\u202egnp.exe"), visible("x" * 9, 5)
    ('two lines', 'evil�gnp.exe', 'xxxx…')
    """
    full = str(text)
    short = full if len(full) <= most else full[: most - 1] + "…"
    return "".join(" " if letter in "\n\t\r" else "�" if unspeakable(letter) else letter for letter in short)


def whole(text: object) -> str:
    """As much of `text` as fits a title, when `visible` had to cut it; else nothing."""
    return visible(text, WHOLE) if len(str(text)) > LONGEST else ""


def count(number: int) -> str:
    """
    >>> count(27004)
    '27,004'
    """
    return f"{number:,}"


def counted(number: int, thing: str) -> str:
    """
    >>> counted(1, "run"), counted(2, "run"), counted(0, "batch")
    ('1 run', '2 runs', '0 batches')
    """
    plural = f"{thing}es" if thing.endswith(("ch", "s", "x")) else f"{thing}s"
    return f"{number:,} {thing if number == 1 else plural}"


def rows(number: int) -> str:
    """
    >>> rows(1)
    '1 row'
    """
    return counted(number, "row")


def number(value: float | None) -> str:
    """A measurement to four significant digits.

    >>> number(0.71317), number(1234.5), number(0.0000004), number(1.5e300), number(None)
    ('0.7132', '1,234', '4e-07', '1.5e+300', '–')
    """
    if value is None or not math.isfinite(value):
        return "–"
    if 1000 <= abs(value) < EXACT:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def percent(value: float) -> str:
    """
    >>> percent(0.0213)
    '2.1%'
    """
    return f"{value:.1%}"


def size(number_of_bytes: int | None) -> str:
    """
    >>> size(512), size(20_480), size(None)
    ('512 B', '20.0 KiB', 'missing')
    """
    if number_of_bytes is None:
        return "missing"
    if number_of_bytes < 1024:
        return f"{number_of_bytes} B"
    power = min((number_of_bytes.bit_length() - 1) // 10, 4)
    return f"{number_of_bytes / 1024**power:.1f} {'KMGT'[power - 1]}iB"


def duration(seconds: float) -> str:
    """
    >>> duration(0.52), duration(64), duration(600)
    ('0.5 s', '64 s', '10 min')
    """
    if seconds < 120:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min"


def instant(at: datetime) -> str:
    """
    >>> instant(datetime(2013, 2, 14, 12, 0, tzinfo=UTC))
    '2013-02-14 12:00 UTC'
    """
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def noted_at(noted: Mapping[str, JsonValue]) -> datetime | None:
    """When a record says it was made, if it says so in a way one can read."""
    try:
        at = datetime.fromisoformat(str(noted.get("at", "")))
        return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    except (ValueError, OverflowError):  # no date, or one that leaves the calendar on its way to UTC
        return None
