"""Rows in Parquet, for those who have them in it. Pure, and imported on demand: pyarrow takes longer than an answer.

Texts are decoded once for each different one, however many rows repeat it, so that a small file stays small.
"""

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from samara.errors import Rejected

LARGEST = 256 << 20  # bytes that the columns say they unpack to


class Table:
    """A Parquet file whose footer has been read, and none of its data."""

    def __init__(self, body: bytes) -> None:
        try:
            self._file = pq.ParquetFile(pa.BufferReader(body))
            footer = self._file.metadata
            self.count, self.names = footer.num_rows, list(self._file.schema_arrow.names)
            size = sum(footer.row_group(group).total_byte_size for group in range(footer.num_row_groups))
            self._texts = [field.name for field in self._file.schema_arrow if textual(field.type)]
        except (pa.ArrowException, OSError, ValueError) as error:
            raise broken(error) from error
        if len(set(self.names)) < len(self.names):
            raise Rejected("body", "has two columns of one name", code="bad_parquet")
        if size > LARGEST:
            raise Rejected("body", f"unpacks to more than {LARGEST:,} bytes", code="too_large")
        self._body = body

    def columns(self, names: Sequence[str]) -> dict[str, list[Any]]:
        """The values of these columns, as text, numbers, truth values, or null."""
        try:
            file = pq.ParquetFile(pa.BufferReader(self._body), read_dictionary=self._texts)
            table = file.read(columns=list(names), use_threads=False)
            table.validate(full=True)
            found = {name: plain(table.column(name)) for name in names}
        except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
            raise broken(error) from error
        if any(len(values) != self.count for values in found.values()):
            raise Rejected("body", "does not hold the rows that its footer says", code="bad_parquet")
        return found


def broken(error: Exception) -> Rejected:
    first = (str(error).splitlines() or [type(error).__name__])[0][:200]
    return Rejected("body", f"is not a Parquet file that can be read: {first}", code="bad_parquet")


def textual(kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def plain(column: Any) -> list[Any]:
    """A column as Python's values; equal texts are one object."""
    values: list[Any] = []
    for chunk in column.chunks:
        if pa.types.is_dictionary(chunk.type):
            texts = chunk.dictionary.to_pylist()
            values += [None if place is None else texts[place] for place in chunk.indices.to_pylist()]
        elif pa.types.is_decimal(chunk.type) or pa.types.is_temporal(chunk.type):
            values += [said(value) for value in chunk.to_pylist()]
        else:
            values += chunk.to_pylist()
    return values


def said(value: Any) -> Any:
    """What JSON would have said of it."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value.isoformat() if isinstance(value, (date, datetime)) else value
