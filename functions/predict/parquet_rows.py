"""Rows in Parquet, for those who have them in it. Pure, and imported on demand: pyarrow takes longer than an answer.

Texts are decoded once for each different one, however many rows repeat it, so that a small file stays small. For the
same reason no other values are read that can be long: bytes, lists, structs; and none in an encoding that keeps the
lengths of texts apart, which can claim to be any number. Nothing is unpacked before its pages have said to what.
"""

import io
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from samara.core import parquet_pages
from samara.core.parquet_pages import DELTA_BYTE_ARRAY, DELTA_LENGTH_BYTE_ARRAY
from samara.core.strict import shown
from samara.errors import Rejected

LARGEST = 256 << 20  # bytes that the pages say they unpack to
MOST_PAGES = 20_000  # each takes longer to look at than its rows, if they are few
WIDEST = 32  # bytes of one decimal, which pyarrow reads at whatever width a file says before it finds it too wide
TOO_WIDE = f"has values of more than {WIDEST} bytes each; send text, numbers, truth values or times"
APART = {
    encoding: f"has the encoding {name}, which is not read here; write it PLAIN or with a dictionary"
    for encoding, name in ((DELTA_LENGTH_BYTE_ARRAY, "DELTA_LENGTH_BYTE_ARRAY"), (DELTA_BYTE_ARRAY, "DELTA_BYTE_ARRAY"))
}


class Table:
    """A Parquet file whose footer has been read, and none of its data."""

    def __init__(self, body: bytes) -> None:
        try:
            flaws = unbounded(body)
            self._file = pq.ParquetFile(pa.BufferReader(body))
            schema = self._file.schema
            self._flaws = {schema.column(place).path: flaw for place, flaw in flaws.items()}
            self._flaws |= {one.path: TOO_WIDE for one in map(schema.column, range(len(schema))) if one.length > WIDEST}
            self.count, self.names = self._file.metadata.num_rows, list(self._file.schema_arrow.names)
        except (pa.ArrowException, OSError, ValueError, LookupError) as error:
            raise broken(error) from error
        if len(set(self.names)) < len(self.names):
            raise Rejected("body", "has two columns of one name", code="bad_parquet")
        self._body = body

    def columns(self, names: Sequence[str]) -> dict[str, list[Any]]:
        """The values of these columns, as text, numbers, truth values, or null."""
        kinds = {name: self._file.schema_arrow.field(name).type for name in names}
        for name, kind in kinds.items():
            if not (textual(kind) or short(kind)):
                why = f"is a column of {shown(str(kind))}; send text, numbers, truth values or times"
                raise Rejected(shown(name), why, code="bad_value")
            if name in self._flaws:
                raise Rejected(shown(name), self._flaws[name], code="bad_value")
        texts = [name for name, kind in kinds.items() if textual(kind)]
        try:
            file = pq.ParquetFile(pa.BufferReader(self._body), read_dictionary=texts)
            batches = list(self._batches(file, names))
            return {name: [value for batch in batches for value in plain(batch.column(name))] for name in names}
        except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
            raise broken(error) from error

    def _batches(self, file: Any, names: Sequence[str]) -> Iterator[Any]:
        """The rows, and no more are decoded than the footer says there are: its parts may say something else."""
        left = self.count
        for batch in file.iter_batches(max(left, 1), columns=list(names), use_threads=False):
            batch.validate(full=True)
            left -= batch.num_rows
            if left < 0:
                break
            yield batch
        if left and names:
            raise Rejected("body", "does not hold the rows that its footer says", code="bad_parquet")


def unbounded(body: bytes) -> dict[int, str]:
    """What is wrong with columns, by their places, whose encoding bounds nothing. Refuses what unpacks to too much."""
    file = io.BytesIO(body)
    found: dict[int, str] = {}
    size = count = 0
    for chunk in parquet_pages.chunks(file, len(body)):
        for page in parquet_pages.pages(file, chunk):
            size, count = size + page.unpacked, count + 1
            if size > LARGEST:
                raise Rejected("body", f"unpacks to more than {LARGEST:,} bytes", code="too_large")
            if count > MOST_PAGES:
                raise Rejected("body", f"has more than {MOST_PAGES:,} pages; write larger ones", code="too_large")
            for encoding in page.encodings & APART.keys():
                found[chunk.column] = APART[encoding]
    return found


def broken(error: Exception) -> Rejected:
    first = (str(error).splitlines() or [type(error).__name__])[0][:200]
    return Rejected("body", f"is not a Parquet file that can be read: {first}", code="bad_parquet")


def textual(kind: Any) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def short(kind: Any) -> bool:
    """Whether no value of this kind takes more than a few bytes."""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_null(kind) or pa.types.is_primitive(kind) or pa.types.is_decimal(kind))


def plain(values: Any) -> list[Any]:
    """The values of a batch's column as Python's; equal texts are one object."""
    if pa.types.is_dictionary(values.type):
        texts = values.dictionary.to_pylist()
        return [None if place is None else texts[place] for place in values.indices.to_pylist()]
    if pa.types.is_decimal(values.type) or pa.types.is_temporal(values.type):
        return [said(value) for value in values.to_pylist()]
    return list(values.to_pylist())


def said(value: Any) -> Any:
    """What JSON would have said of it."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value.isoformat() if isinstance(value, (date, datetime)) else value
