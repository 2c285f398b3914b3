"""Rows in CSV: a header, and every cell as it was written. Pure.

The separator is told from the header, as it is for uploads: tab if it holds one, else comma, `;` or `|`. Blank lines
are no rows.
"""

import csv
import re
from io import StringIO

from samara.core.strict import shown
from samara.errors import Rejected

SEPARATORS = ("\t", ",", ";", "|")


def lines(body: bytes, most_rows: int) -> tuple[list[str], list[list[str]]]:
    """The header, and the cells of each row."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Rejected("body", f"is not UTF-8 at byte {error.start}", code="bad_csv") from error
    if "\0" in text:
        raise Rejected("body", "holds a NUL character; remove it", code="bad_csv")
    reader = csv.reader(StringIO(text, newline=""), delimiter=separator(text), strict=True)
    rows: list[list[str]] = []
    try:
        for row in reader:
            if row:
                rows.append(row)
            if len(rows) > most_rows + 1:
                raise Rejected("body", f"has more than {most_rows:,} rows", code="too_many_rows")
    except csv.Error as error:
        raise Rejected("body", f"is not CSV in line {reader.line_num}: {error}", code="bad_csv") from error
    if not rows:
        raise Rejected("body", "is empty; send a line that names the columns, then the rows", code="bad_csv")
    return rows[0], rows[1:]


def separator(text: str) -> str:
    first = re.search(r"[^\r\n]+", text)
    header = re.sub(r'"[^"]*"', "", first[0]) if first else ""
    return next((one for one in SEPARATORS if one in header), ",")


def by_name(names: list[str], rows: list[list[str]]) -> dict[str, list[str]]:
    """The cells by column."""
    if "" in names:
        raise Rejected("header", "has a column without a name", code="bad_csv")
    if len(set(names)) < len(names):
        seen: set[str] = set()
        twice = next(name for name in names if name in seen or seen.add(name))  # type: ignore[func-returns-value]  # add gives None, which is the point
        raise Rejected("header", f"names {shown(twice)} twice", code="bad_csv")
    for number, row in enumerate(rows, 1):
        if len(row) != len(names):
            why = f"has {len(row)} cells where the header names {len(names)}; quote cells that hold the separator"
            raise Rejected(f"row {number}", why, code="bad_csv")
    return {name: [row[place] for row in rows] for place, name in enumerate(names)}
