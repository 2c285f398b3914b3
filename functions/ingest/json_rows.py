"""JSON lines as tables of text: one object, one row.

A text stays as it is; a number, `true` or `false` as its JSON spelling; an object or array as its canonical JSON;
`null` and what is missing are null. The columns are all names in the order they first appear.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import pyarrow as pa

from functions.ingest import columns
from functions.ingest.limits import Limits
from functions.ingest.refusals import Block, Refusal, Unfit, excerpt
from functions.ingest.streams import Stream

REFUSED_AT_ONCE = 10_000  # bad rows held before they are handed on: a line may be two bytes long
Row = dict[str, str | None]


class Number(str):
    """A number as it was written."""

    __slots__ = ()


class BadRow(Exception):
    """Why one line cannot be a row."""

    def __init__(self, code: str, why: str) -> None:
        super().__init__(code, why)
        self.code = code
        self.why = why


def blocks(stream: Stream, spool: BinaryIO, limits: Limits) -> Iterator[Block]:
    """The refused rows as they are met, then the others; `Unfit` when the file as a whole is not usable.

    Which columns there are is known at the end only, so tables wait in `spool`, an empty file that can be read back.
    """
    names = Names(limits)
    waiting = Waiting(spool)
    for number, line in lines(stream, limits):
        if waiting.is_large(len(names.found), limits):
            yield waiting.spooled(list(names.found))
        try:
            row = parsed(line, limits)
            before = len(names.found)
            names.admit(row)
        except BadRow as bad:
            waiting.refused.append(Refusal(number, bad.code, bad.why, excerpt(line)))
            waiting.size += len(line)
            continue
        if len(names.found) > before and waiting.is_large(len(names.found), limits):
            yield waiting.spooled(list(names.found)[:before])  # these rows know nothing of the new names
        waiting.rows.append(row)
        waiting.size += len(line)
    yield waiting.spooled(list(names.found))
    if names.found:
        yield from nameless(waiting.nameless, names)
    spool.seek(0)
    for _ in range(waiting.tables):
        yield from widened(read_back(spool), names)


@dataclass(slots=True)
class Waiting:
    """Rows not yet written to `spool`, where `tables` are already, and rows refused on the way.

    Rows before any column is known are only counted, as `nameless`: a table without columns has no rows.
    """

    spool: BinaryIO
    tables: int = 0
    nameless: int = 0
    rows: list[Row] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    size: int = 0

    def is_large(self, width: int, limits: Limits) -> bool:
        if len(self.refused) >= REFUSED_AT_ONCE:
            return True
        return self.size >= limits.block or (len(self.rows) > 0 and len(self.rows) * width >= limits.table_cells)

    def spooled(self, names: list[str]) -> Block:
        """Write the rows to the file; what is refused goes on at once."""
        schema = pa.schema([(name, pa.string()) for name in names])
        if names:
            self._write(schema)
        else:
            self.nameless += len(self.rows)
        block = Block(schema.empty_table(), tuple(self.refused))
        self.rows, self.refused, self.size = [], [], 0
        return block

    def _write(self, schema: Any) -> None:
        arrays = [pa.array([row.get(name) for row in self.rows], pa.string()) for name in schema.names]
        with pa.ipc.new_stream(self.spool, schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as writer:
            writer.write_table(pa.table(arrays, schema=schema))
        self.tables += 1


class Names:
    """The columns found so far, in the order they first appeared."""

    def __init__(self, limits: Limits) -> None:
        self.found: dict[str, None] = {}
        self.limits = limits
        self._twins: set[str] = set()

    @property
    def rows_at_once(self) -> int:
        """How many rows of all columns fit in memory."""
        return max(1, 4 * self.limits.table_cells // len(self.found))

    def admit(self, row: Row) -> None:
        """Take in the names of `row`, or refuse the row for one of them."""
        if row.keys() <= self.found.keys():
            return
        fresh = [name for name in row if name not in self.found]
        for name in fresh:
            if why := columns.problem(name, self.limits):
                raise BadRow("bad_column", f"a name in it {why}")
        twins = self._twins.union(columns.same(name) for name in fresh)
        if len(twins) < len(self._twins) + len(fresh):
            why = "has a name that differs from another one only in its Unicode form; write both alike"
            raise BadRow("duplicate_column", why)
        self._twins = twins
        self.found.update(dict.fromkeys(fresh))
        columns.too_many(len(self.found), self.limits)


def read_back(spool: BinaryIO) -> pa.Table:
    with pa.ipc.open_stream(spool) as reader:
        return reader.read_all()


def nameless(rows: int, names: Names) -> Iterator[Block]:
    """So many rows that have nothing under any column, in blocks that fit in memory."""
    for start in range(0, rows, names.rows_at_once):
        nulls = pa.nulls(min(names.rows_at_once, rows - start), pa.string())
        yield Block(pa.table(dict.fromkeys(names.found, nulls)))


def widened(table: pa.Table, names: Names) -> Iterator[Block]:
    """`table` under all columns, those it did not know yet null, in slices that fit in memory."""
    schema = pa.schema([(name, pa.string()) for name in names.found])
    for start in range(0, table.num_rows, names.rows_at_once):
        part = table.slice(start, names.rows_at_once)
        known = dict(zip(part.column_names, part.columns, strict=True))
        nulls = pa.nulls(part.num_rows, pa.string())
        yield Block(pa.table([known.get(name, nulls) for name in names.found], schema=schema))


def lines(stream: Stream, limits: Limits) -> Iterator[tuple[int, bytes]]:
    """Each line that is not blank, numbered from 1."""
    rest, number = b"", 0
    ended = False
    while not ended:
        piece = stream.read(limits.block)
        ended = not piece
        *whole, rest = (rest + (piece or b"\n")).split(b"\n")
        for line in whole:
            if bare := line.strip(b" \t\r"):
                number += 1
                yield number, bare
        if len(rest) > limits.row:
            raise Unfit(f"row {number + 1:,}", f"is longer than {limits.row:,} bytes; split it", code="row_too_long")
    if not number:
        raise Unfit("file", "is empty; write one JSON object on each line", code="empty_file")


def parsed(line: bytes, limits: Limits) -> Row:
    """One row, every value as text, or `BadRow`."""
    try:
        text = line.decode()
        row: Any
        row, end = FLAT.raw_decode(text)
        if end < len(text):
            raise BadRow("bad_json", f"has more after its object, from character {end + 1}; write one on each line")
        if not isinstance(row, dict):
            raise BadRow("bad_json", 'is not a JSON object; write {"name": value, …}')
        if b"[" in line or line.count(b"{") > 1:
            row, _ = NESTED.raw_decode(text)
    except UnicodeDecodeError as error:
        raise BadRow("bad_encoding", "is not UTF-8; save the file as UTF-8") from error
    except RecursionError as error:
        raise too_deep(limits) from error
    except ValueError as error:
        raise BadRow("bad_json", f"is not JSON ({error}); write one whole object on each line") from error
    for name, value in row.items():
        if value is not None and value.__class__ is not str:
            row[name] = spelled(value, limits)
    if b"\\u" in line:
        refuse_unspeakable(row)
    said: Row = row
    return said


def refuse_unspeakable(row: Row) -> None:
    """Only escapes can bring in what no UTF-8 text holds."""
    for part in (*row, *row.values()):
        if part is None:
            continue
        if "\0" in part:
            raise BadRow("bad_character", "holds a NUL character; remove it")
        if not part.isascii() and any("\ud800" <= letter <= "\udfff" for letter in part):
            raise BadRow("bad_character", "holds half a character (a lone surrogate); write it whole")


def spelled(value: Any, limits: Limits) -> str:
    """A value as the text of a cell."""
    return str(value) if isinstance(value, str) else nested(value, limits, 1)


def nested(value: Any, limits: Limits, depth: int) -> str:
    """Canonical JSON: sorted names, no spaces, numbers as they were written."""
    if depth > limits.depth:
        raise too_deep(limits)
    match value:
        case None | True | False:
            return json.dumps(value)
        case Number():
            return str(value)
        case str():
            return json.dumps(value, ensure_ascii=False)
        case list():
            return f"[{','.join(nested(item, limits, depth + 1) for item in value)}]"
    pairs = (
        f"{json.dumps(name, ensure_ascii=False)}:{nested(value[name], limits, depth + 1)}" for name in sorted(value)
    )
    return f"{{{','.join(pairs)}}}"


def too_deep(limits: Limits) -> BadRow:
    return BadRow("bad_json", f"is nested more than {limits.depth} deep; flatten it")


def only_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise BadRow("bad_json", "has a name twice in one object; which value is meant?")
    return found


def no_constant(name: str) -> Any:
    raise BadRow("bad_json", f"holds {name}, which is not JSON; write null")


def decoder(number: type[str]) -> json.JSONDecoder:
    return json.JSONDecoder(
        object_pairs_hook=only_once, parse_float=number, parse_int=number, parse_constant=no_constant
    )


FLAT = decoder(str)
NESTED = decoder(Number)  # slower, and only needed where numbers must be told from texts
