"""Rows in Parquet, for those who have them in it. Pure, and imported on demand: pyarrow takes longer than an answer.

Texts are decoded once for each different one, however many rows repeat it, so that a small file stays small. For the
same reason no other values are read that can be long: bytes, lists, structs; and none in an encoding that keeps the
lengths of texts apart, which can claim to be any number. Nothing is unpacked before its pages have said to what, and
no text becomes Python's before it is known what all of them come to, with every repeat: to no more than JSON may hold.
"""

import io
from collections.abc import Container, Iterator, Sequence
from contextlib import suppress
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from functions.predict.cells import LONGEST
from samara.core import parquet_pages, strict
from samara.core.parquet_pages import DELTA_BYTE_ARRAY, DELTA_LENGTH_BYTE_ARRAY, TAIL, Compact
from samara.core.strict import shown
from samara.errors import Rejected

LARGEST = 64 << 20  # bytes that the pages say they unpack to: as many numbers as there may be, and some more
MOST_PAGES = 20_000  # each takes longer to look at than its rows, if they are few
DAY, INSTANT = len("2013-02-14"), len("2013-02-14T12:00:00Z")  # what times come to as text
ENCRYPTION = 8  # the field of a footer that names an algorithm
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
            raise broken(error, body) from error
        if len(set(self.names)) < len(self.names):
            raise Rejected("body", "has two columns of one name", code="bad_parquet")
        self._body = body

    def columns(self, names: Sequence[str], texts: Container[str] = ()) -> dict[str, list[Any]]:
        """The values of these columns, as text, numbers, truth values, or null. Those among `texts` are no times."""
        kinds = {name: self._file.schema_arrow.field(name).type for name in names}
        for name, kind in kinds.items():
            if why := self._flaws.get(name) or unfit(kind, text=name in texts):
                raise Rejected(shown(name), why, code="bad_value")
        try:
            written = [name for name, kind in kinds.items() if textual(kind)]
            file = pq.ParquetFile(pa.BufferReader(self._body), read_dictionary=written)
            batches = list(self._batches(file, names))
            bounded(batches)
            return {name: [value for batch in batches for value in plain(batch.column(name))] for name in names}
        except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
            raise broken(error, self._body) from error

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


def broken(error: Exception, body: bytes) -> Rejected:
    if encrypted(body):
        return Rejected("body", "is an encrypted Parquet file; write it without encryption", code="bad_parquet")
    first = (str(error).splitlines() or [type(error).__name__])[0][:200]
    if isinstance(error, LookupError):
        first = "a part is missing that every file has; write it again"
    return Rejected("body", f"is not a Parquet file that can be read: {first}", code="bad_parquet")


def encrypted(body: bytes) -> bool:
    """Whether a file, or some of its columns, cannot be read without a key, as far as its end can be read."""
    with suppress(ValueError, LookupError):
        start = len(body) - TAIL - int.from_bytes(body[-TAIL:][:4], "little")
        footer = Compact(io.BytesIO(body[max(start, 0) :]))
        return body.endswith(b"PARE") or ENCRYPTION in footer.struct({ENCRYPTION: footer.skip})
    return False


def unfit(kind: Any, *, text: bool) -> str:
    """Why a column of this kind is not read, or nothing."""
    if not (textual(kind) or short(kind)):
        return f"is a column of {shown(str(kind))}; send text, numbers, truth values or times"
    if text and letters_of_time(kind):
        return f"is a column of {shown(str(kind))} where the contract has text; write it as text"
    return ""


def textual(kind: Any) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def short(kind: Any) -> bool:
    """Whether no value of this kind takes more than a few bytes."""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_null(kind) or pa.types.is_primitive(kind) or pa.types.is_decimal(kind))


def letters_of_time(kind: Any) -> int:
    """How many letters a time of this kind has as text, 0 if it is none."""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return DAY if pa.types.is_date(kind) else INSTANT if pa.types.is_timestamp(kind) else 0


def bounded(batches: Sequence[Any]) -> None:
    """Refuses texts that are too long, each or, as often as rows repeat them, all together."""
    size = row = 0
    for batch in batches:
        for name, values in zip(batch.schema.names, batch.columns, strict=True):
            size += spelt(values, name, row)
        row += batch.num_rows
    if size > strict.LARGEST:
        why = f"come to {size:,} bytes of text, repeats and all; {strict.LARGEST:,} are the most; ask for a batch"
        raise Rejected("rows", why, code="too_large")


def spelt(values: Any, name: str, before: int) -> int:
    """What a batch's column comes to as text, in bytes; `Rejected` naming the row of one that no other form takes."""
    if not textual(values.type):
        return int(len(values) - values.null_count) * letters_of_time(values.type)
    texts, places = values.dictionary, values.indices
    for flawed, why in (
        (pc.greater(pc.utf8_length(texts), LONGEST), f"has more than {LONGEST:,} letters, the most of one cell"),
        (pc.match_substring(texts, "\0"), "holds a NUL character; remove it"),
    ):
        row = pc.index(pc.take(flawed, places), value=True).as_py()
        if row >= 0:
            raise Rejected(f"row {before + row + 1}: {shown(name)}", why, code="bad_value")
    return int(pc.sum(pc.take(pc.binary_length(texts), places)).as_py() or 0)


def plain(values: Any) -> list[Any]:
    """The values of a batch's column as Python's; equal texts are one object."""
    if textual(values.type):
        values = values.dictionary_decode().dictionary_encode()  # of the texts, only those that a row has
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
