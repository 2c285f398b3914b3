"""How a batch is cut into Parquet parts: by its content alone, so that the same upload gives the same bytes."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from functions.ingest.limits import Limits
from functions.ingest.refusals import Block, Tally, Unfit


@dataclass(frozen=True, slots=True)
class Group:
    """Rows that are written at once. `full` says that the part they go into is then complete."""

    table: pa.Table
    full: bool


def grouped(blocks: Iterable[Block], tally: Tally, limits: Limits) -> Iterator[Group]:
    """The accepted rows of `blocks`, whose refused rows go to `tally`; `Unfit` when they are too many."""
    pending: list[pa.Table] = []
    rows = part_rows = part_size = size = 0
    for block in blocks:
        tally.add(block.refused)
        rows += block.table.num_rows
        refuse_many(rows + tally.rows, block.table.num_columns, limits)
        if tally.rows > limits.refused_rows:
            why = f"has more than {limits.refused_rows:,} bad rows; mend what wrote it"
            raise Unfit("file", why, code="too_many_refused")
        if not block.table.num_rows:
            continue
        if size >= limits.row_group:  # held back until now, so that the last group is known to be the last
            full = part_rows >= limits.part_rows or part_size >= limits.part
            yield Group(pa.concat_tables(pending), full)
            part_rows, part_size = (0, 0) if full else (part_rows, part_size)
            pending, size = [], 0
        pending.append(block.table)
        part_rows += block.table.num_rows
        size += block.table.nbytes
        part_size += block.table.nbytes
    if pending:
        yield Group(pa.concat_tables(pending), full=True)


def refuse_many(rows: int, columns: int, limits: Limits) -> None:
    if rows > limits.rows or rows * columns > limits.cells:
        why = f"has at least {rows:,} rows of {columns:,} columns; split it"
        raise Unfit("file", why, code="too_many_rows")


def refuse_mostly_refused(rows: int, tally: Tally, limits: Limits) -> None:
    """`Unfit` for a file without rows, or one most of whose rows are refused."""
    if not rows and not tally.rows:
        why = "has no rows of data; upload it again when it has some"
        raise Unfit("file", why, code="empty_dataset")
    if tally.rows > limits.refused_share * (rows + tally.rows):
        raise Unfit.together(tally.reasons)


def writer(path: str, schema: Any) -> Any:
    """Writes a part to `path`. Nothing but the rows and the versions of Parquet and its library shows in it."""
    return pq.ParquetWriter(path, schema, compression="zstd", compression_level=3, version="2.6")
