"""CSV as tables of text: every cell as it was written.

A cell without quotes and without content is null; `""` is the empty text. A row ends with LF, CR or CRLF; blank
lines are no rows. The separator is told from the header: tab if it holds one (no name may), else comma, `;` or `|`.
What we mean by quotes is RFC 4180; a quote inside an unquoted cell is a character like any other.
"""

import codecs
import csv
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from pyarrow import csv as arrow_csv

from functions.ingest import columns
from functions.ingest.limits import Limits
from functions.ingest.refusals import Block, Refusal, Unfit, excerpt
from functions.ingest.streams import Stream

SEPARATORS = ("\t", ",", ";", "|")
QUOTED = r'"[^"]*+(?:""[^"]*+)*+"'
RAGGED = "has {} cells where the header names {}; quote cells that hold the separator"
BAD_ENCODING = "is not UTF-8; save the file as UTF-8"
NUL = "holds a NUL character; remove it"
BAD_QUOTES = 'has text after a closing quote; double the quotes inside a cell ("")'


@dataclass(frozen=True, slots=True)
class Grammar:
    """What rows are, between separators. `strict` and `loose` match as many whole rows as there are; `loose`
    lets text follow a closing quote, so that such a row can be told from the next. No pattern ever backtracks."""

    separator: str
    strict: re.Pattern[bytes]
    loose: re.Pattern[bytes]
    row: re.Pattern[bytes]
    """One row, loosely, without its end."""

    @classmethod
    def of(cls, separator: str) -> "Grammar":
        border = re.escape(separator) + r"\r\n"
        plain, inner = r'[^"\r\n]++', rf'(?<=[^{border}])"'
        opened = rf"(?<![^{border}])" + QUOTED
        strict = rf"(?:{plain}|{opened}(?=[{border}])|{inner})*+"
        loose = rf"(?:{plain}|{opened}|{inner})*+"
        end = r"(?:\r\n?|\n)"
        return cls(
            separator,
            re.compile(rf"(?:{strict}{end})*+".encode()),
            re.compile(rf"(?:{loose}{end})*+".encode()),
            re.compile(rf"({loose}){end}".encode()),
        )

    def whole(self, data: bytes) -> tuple[int, bool]:
        """Where the last whole row of `data` ends, 0 when there is none, and whether all of them are strict."""
        if b'"' not in data:
            return max(data.rfind(b"\n"), data.rfind(b"\r")) + 1, True
        strictly = reach(self.strict, data, 0)
        loosely = reach(self.loose, data, strictly)
        return loosely, loosely == strictly

    def is_strict(self, row: bytes) -> bool:
        return reach(self.strict, row, 0) == len(row)


def reach(pattern: re.Pattern[bytes], data: bytes, start: int) -> int:
    match = pattern.match(data, start)
    return match.end() if match else start


GRAMMARS = tuple(Grammar.of(separator) for separator in SEPARATORS)
COMMA = GRAMMARS[SEPARATORS.index(",")]


def told(text: bytes) -> tuple[Grammar, bytes, int] | None:
    """The grammar that the first row of `text` tells, that row, and where it ends; None when it does not end."""
    for grammar in GRAMMARS:
        match = grammar.row.match(text)
        if match and grammar.separator.encode() in re.sub(QUOTED.encode(), b"", match[1]):
            return grammar, match[1], match.end()
    match = COMMA.row.match(text)
    return (COMMA, match[1], match.end()) if match else None


@dataclass(slots=True)
class Rows:
    """Rows looked at one by one: those that can be parsed, with their numbers, and the others."""

    good: list[bytes] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    size: int = 0


class Reader:
    """Reads one CSV text to its end. `row` is the number of rows seen so far."""

    def __init__(self, stream: Stream, limits: Limits) -> None:
        self._stream = stream
        self._limits = limits
        self._rest = b""
        self._names: list[str] = []
        self._grammar = COMMA
        self.row = 0

    def blocks(self) -> Iterator[Block]:
        """The rows in order, block by block; `Unfit` when the file as a whole is not usable."""
        self._read_header()
        for data, strict in self._whole_rows():
            if data.strip(b"\r\n"):
                yield from self._blocks(data, strict=strict)

    def _read_header(self) -> None:
        """Take the first row off the text: it names the columns and tells the separator."""
        line = self._first_line()
        if b"\0" in line:
            why = "has NUL in its first line: binary, or UTF-16 without a byte order mark; save it as UTF-8"
            raise Unfit("file", why, code="bad_encoding")
        try:
            header = line.decode()
        except UnicodeDecodeError as error:
            raise Unfit("header", BAD_ENCODING, code="bad_encoding") from error
        separator = self._grammar.separator
        columns.too_many(re.sub(QUOTED, "", header).count(separator) + 1, self._limits)
        try:
            (names,) = csv.reader([header], delimiter=separator, strict=True)
        except (csv.Error, ValueError) as error:
            why = f"cannot be read ({error}); write one name for each column"
            raise Unfit("header", why, code="bad_column") from error
        self._names = columns.checked(names, self._limits)

    def _first_line(self) -> bytes:
        while True:
            data = self._stream.read(self._limits.block)
            self._rest = (self._rest + data).lstrip(b"\r\n")
            if not self._rest and not data:
                raise Unfit("file", "is empty; upload a header and at least one row", code="empty_file")
            if found := told(self._rest if data else self._rest + b"\n"):
                self._grammar, line, end = found
                self._rest = self._rest[end:]
                return line
            if not data:
                raise Unfit("header", "opens a quote that is never closed; close it", code="unclosed_quote")
            self._refuse_long("header")

    def _whole_rows(self) -> Iterator[tuple[bytes, bool]]:
        """The text in pieces that end where a row ends, and whether their quotes are as they should be."""
        while piece := self._stream.read(self._limits.block):
            data = self._rest + piece
            end, strict = self._grammar.whole(data)
            self._rest = data[end:]
            if end:
                yield data[:end], strict
            self._refuse_long(f"row {self.row + 1:,}")
        if not self._rest.strip(b"\r\n"):
            return
        data = self._rest + b"\n"
        end, strict = self._grammar.whole(data)
        if end:
            yield data[:end], strict
        if end < len(data):
            why = "opens a quote that is never closed, so all that follows would be one cell; close it"
            raise Unfit(f"row {self.row + 1:,}", why, code="unclosed_quote")

    def _refuse_long(self, what: str) -> None:
        if len(self._rest) > self._limits.row:
            why = f"is longer than {self._limits.row:,} bytes; is a quote opened there and never closed?"
            raise Unfit(what, why, code="row_too_long")

    def _blocks(self, data: bytes, *, strict: bool) -> Iterator[Block]:
        """The rows in `data`: at once when they are sound, else in pieces and row by row."""
        if strict and b"\0" not in data and is_utf8(data):
            table = None
            with suppress(pa.ArrowInvalid):  # a row is not as wide as the header: below it is found out which
                table = self._table(data)
            if table is not None:
                self.row += table.num_rows
                yield Block(table)
                return
        pending = Rows()
        for match in self._grammar.row.finditer(data):
            if not match[1]:
                continue
            self.row += 1
            pending.size += len(match[0])
            if problem := self._problem(match[0]):
                pending.refused.append(Refusal(self.row, *problem, excerpt(match[1])))
            else:
                pending.numbers.append(self.row)
                pending.good.append(match[0])
            if pending.size >= self._limits.careful:
                yield self._parsed_carefully(pending)
                pending = Rows()
        yield self._parsed_carefully(pending)

    def _problem(self, row: bytes) -> tuple[str, str] | None:
        """Why a row cannot be read as it stands: code and reason."""
        if b"\0" in row:
            return "bad_character", NUL
        if not is_utf8(row):
            return "bad_encoding", BAD_ENCODING
        if b'"' in row and not self._grammar.is_strict(row):
            return "bad_quotes", BAD_QUOTES
        return None

    def _parsed_carefully(self, rows: Rows) -> Block:
        ragged: list[Any] = []

        def skip(row: Any) -> str:
            ragged.append(row)
            return "skip"

        table = self._table(b"".join(rows.good), skip)
        for row in ragged:
            why = RAGGED.format(row.actual_columns, row.expected_columns)
            rows.refused.append(Refusal(rows.numbers[row.number - 1], "ragged_row", why, excerpt(row.text)))
        return Block(table, tuple(sorted(rows.refused, key=lambda one: one.row)))

    def _table(self, data: bytes, on_ragged: Callable[[Any], str] | None = None) -> pa.Table:
        """The rows in `data`, all of them UTF-8; a ragged one is for `on_ragged`, or an error."""
        schema = pa.schema([(name, pa.string()) for name in self._names])
        if not data:
            return schema.empty_table()
        if data.startswith(codecs.BOM_UTF8):  # pyarrow would take it off the first cell
            data = b"\n" + data
        return arrow_csv.read_csv(
            pa.BufferReader(data),
            arrow_csv.ReadOptions(column_names=self._names, use_threads=False, block_size=len(data) + 1),
            arrow_csv.ParseOptions(
                delimiter=self._grammar.separator, newlines_in_values=True, invalid_row_handler=on_ragged
            ),
            arrow_csv.ConvertOptions(
                column_types=schema,
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
                check_utf8=False,
            ),
        )


def blocks(stream: Stream, limits: Limits) -> Iterator[Block]:
    return Reader(stream, limits).blocks()


def is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
