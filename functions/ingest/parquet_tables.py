"""Parquet as tables, types kept. The footer is judged before any data is read, and nothing it says is believed.

A text that a column chunk keeps once may stand in each of its rows, so a small file can hold very much. How many
rows are decoded at once therefore depends on the longest text in the dictionary of each chunk. INT96 times become
timestamps in microseconds: nanoseconds only reach from 1677 to 2262, and past that they would silently wrap around.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from functions.ingest import columns
from functions.ingest.limits import MB, Limits
from functions.ingest.refusals import Block, Refusal, Unfit

TAIL = 8  # footer length, little-endian, and the magic
AGAIN = "write the file again and upload all of it"


def blocks(file: BinaryIO, size: int, limits: Limits) -> Iterator[Block]:
    """The rows of a seekable file of `size` bytes in a good frame, block by block; `Unfit` when it is not usable."""
    footer = reading(lambda: pq.read_metadata(file))
    reading(partial(refuse_bad_footer, footer, size, limits))
    yield from rows(file, footer, max(limits.ratio_from, limits.ratio * size), limits)


def rows(file: BinaryIO, footer: Any, budget: int, limits: Limits) -> Iterator[Block]:
    """Every row, as long as no more than `budget` bytes come of it."""
    seen = 0
    for batch in batches(file, footer, limits):
        table = plain(batch, limits)
        budget -= table.nbytes
        if budget < 0:
            raise bomb(limits)
        yield without_nul(table, seen)
        seen += table.num_rows
    if seen != footer.num_rows:
        raise Unfit("file", f"says {footer.num_rows:,} rows and holds {seen:,}; {AGAIN}", code="bad_parquet")


def batches(file: BinaryIO, footer: Any, limits: Limits) -> Iterator[Any]:
    """The rows as Arrow decodes them, few enough at once to fit in memory."""
    texts = [field.name for field in schema_of(footer) if is_text(field.type)]
    coded = reading(lambda: pq.ParquetFile(file, metadata=footer, read_dictionary=texts))
    opened = reading(lambda: pq.ParquetFile(file, metadata=footer, buffer_size=MB, coerce_int96_timestamp_unit="us"))
    for index in range(footer.num_row_groups):
        size = batch_rows(footer.row_group(index), longest(coded, index, texts), limits)
        found = opened.iter_batches(batch_size=size, row_groups=[index], use_threads=False)
        while (batch := reading(partial(next, found, None))) is not None:
            yield batch


def longest(coded: Any, index: int, texts: list[str]) -> int:
    """The bytes of a row that has the longest text of each column's dictionary in one row group."""
    found = (reading(partial(dictionaries, coded, index, name)) for name in texts)
    return sum(longest_text(dictionary) for each in found for dictionary in each)


def dictionaries(coded: Any, index: int, name: str) -> list[Any]:
    """The dictionary of a column of text. In a DELTA encoding it has none, and pyarrow fails to look for one.

    It fails so over broken pages, too: these will fail again when the rows are read.
    """
    found = coded.iter_batches(batch_size=1, row_groups=[index], columns=[name], use_threads=False)
    try:
        first = next(found, None)
    except OSError:
        return []
    return [] if first is None else [c.dictionary for c in first.columns if pa.types.is_dictionary(c.type)]


def longest_text(texts: Any) -> int:
    return int(pc.max(pc.binary_length(texts)).as_py() or 0)


def bomb(limits: Limits) -> Unfit:
    why = f"unpacks to more than {limits.ratio} times its size; upload it as CSV if it is really a table"
    return Unfit("file", why, code="parquet_ratio")


def refuse_bad_frame(file: BinaryIO, size: int, limits: Limits) -> None:
    """What can be told from the last bytes alone."""
    if size < TAIL + 4:
        raise Unfit("file", f"is Parquet cut short; {AGAIN}", code="bad_parquet")
    file.seek(size - TAIL)
    tail = file.read(TAIL)
    file.seek(0)
    if tail[4:] == b"PARE":
        raise Unfit("file", "is an encrypted Parquet file; write it without encryption", code="unsupported_format")
    length = int.from_bytes(tail[:4], "little")
    if tail[4:] != b"PAR1" or not 0 < length <= size - TAIL - 4:
        raise Unfit("file", f"is Parquet without a whole footer; {AGAIN}", code="bad_parquet")
    if length > limits.footer:
        why = f"has a footer of {length:,} bytes; write fewer columns or row groups"
        raise Unfit("file", why, code="bad_parquet")


def refuse_bad_footer(footer: Any, size: int, limits: Limits) -> None:
    """What the footer says against what one upload may cost."""
    columns.too_many(footer.num_columns, limits)
    if not footer.num_columns:
        raise Unfit("file", "has no columns; write a table", code="empty_dataset")
    if footer.num_row_groups > limits.row_groups:
        why = f"has {footer.num_row_groups:,} row groups and {limits.row_groups:,} are the most; write larger ones"
        raise Unfit("file", why, code="bad_parquet")
    groups = [footer.row_group(index) for index in range(footer.num_row_groups)]
    if footer.num_rows < 0 or any(group.num_rows < 0 for group in groups):
        raise Unfit("file", f"says it has fewer than no rows; {AGAIN}", code="bad_parquet")
    if footer.num_rows > limits.rows or footer.num_rows * footer.num_columns > limits.cells:
        why = f"has {footer.num_rows:,} rows of {footer.num_columns:,} columns; split it"
        raise Unfit("file", why, code="too_many_rows")
    chunks = [group.column(index) for group in groups for index in range(group.num_columns)]
    if sum(max(0, chunk.total_uncompressed_size) for chunk in chunks) > max(limits.ratio_from, limits.ratio * size):
        raise bomb(limits)
    for chunk in chunks:
        refuse_unbounded(chunk, limits)
    schema = schema_of(footer)
    for field in schema:
        refuse_type(field)
    columns.checked(schema.names, limits)


def refuse_unbounded(chunk: Any, limits: Limits) -> None:
    """Each text in DELTA_BYTE_ARRAY may repeat all of the one before it: nothing tells how much that makes."""
    worst = chunk.num_values * chunk.total_uncompressed_size
    if "DELTA_BYTE_ARRAY" in chunk.encodings and worst > limits.ratio_from:
        why = "uses the encoding DELTA_BYTE_ARRAY, whose size cannot be told before reading; write it PLAIN"
        raise Unfit(columns.shown(chunk.path_in_schema), why, code="unsupported_type", column=chunk.path_in_schema)


def schema_of(footer: Any) -> Any:
    return footer.schema.to_arrow_schema()


def refuse_type(field: Any) -> None:
    name, kind = columns.shown(field.name), field.type
    if b"ARROW:extension:name" in (field.metadata or {}) or isinstance(kind, pa.BaseExtensionType):
        raise Unfit(name, "has an extension type; write its plain values", code="unsupported_type", column=name)
    tests = (
        is_text, pa.types.is_boolean, pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal,
        pa.types.is_date, pa.types.is_timestamp, pa.types.is_null,
    )  # fmt: skip
    if not any(test(kind) for test in tests):
        shown = str(kind)[:80]
        why = f"has the type {shown}; write truth values, numbers, texts, dates or timestamps"
        raise Unfit(name, why, code="unsupported_type", column=name)


def is_text(kind: Any) -> bool:
    if pa.types.is_dictionary(kind):
        return is_text(kind.value_type)
    return any(test(kind) for test in (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view))


def batch_rows(group: Any, longest_row: int, limits: Limits) -> int:
    """How many rows of a row group to decode at once, by the widths it claims and by that of its longest texts."""
    claimed = group.total_byte_size // max(1, group.num_rows)
    by_width = limits.row_group // max(1, 4 * claimed, longest_row)
    by_cells = 4 * limits.table_cells // max(1, group.num_columns)
    return int(max(1, min(65_536, by_width, by_cells)))


def plain(batch: Any, limits: Limits) -> pa.Table:
    """The rows of a batch in the types we keep, every text known to be UTF-8."""
    return pa.table(
        [kept(field, column, limits) for field, column in zip(batch.schema, batch.columns, strict=True)],
        names=batch.schema.names,
    )


def kept(field: Any, column: Any, limits: Limits) -> Any:
    name = columns.shown(field.name)
    as_text = is_text(field.type) or pa.types.is_null(field.type)
    values = reading(partial(column.cast, pa.string())) if as_text else column
    try:
        values.validate(full=True)
    except pa.ArrowInvalid as error:
        why = f"holds what its type cannot ({error}); write texts in UTF-8"
        raise Unfit(name, why, code="bad_encoding", column=name) from error
    if as_text and longest_text(values) > limits.row:
        why = f"holds a text longer than {limits.row:,} bytes; split it"
        raise Unfit(name, why, code="row_too_long", column=name)
    return values


def without_nul(table: pa.Table, seen: int) -> Block:
    """The rows without those whose texts hold NUL; `seen` rows came before them."""
    bad = None
    for column in table.columns:
        if pa.types.is_string(column.type):
            here = pc.fill_null(pc.match_substring(column, "\0"), False)
            if pc.any(here).as_py():
                bad = here if bad is None else pc.or_(bad, here)
    if bad is None:
        return Block(table)
    numbers = [seen + 1 + index for index, is_bad in enumerate(bad.to_pylist()) if is_bad]
    refused = tuple(Refusal(n, "bad_character", "holds a NUL character; remove it", "") for n in numbers)
    return Block(table.filter(pc.invert(bad)), refused)


def reading(step: Callable[[], Any]) -> Any:
    """What `step` gives; whatever pyarrow finds wrong with the file is the file's fault."""
    try:
        return step()
    except MemoryError:  # pyarrow's is one of those below too
        raise
    except (pa.ArrowException, OSError, ValueError, OverflowError, LookupError) as error:
        first = str(error).partition("\n")[0][:200]
        raise Unfit("file", f"is broken Parquet ({first}); {AGAIN}", code="bad_parquet") from error
