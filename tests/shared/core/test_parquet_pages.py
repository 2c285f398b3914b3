"""Pages of Parquet are told as pyarrow writes them, and what is not written so is refused."""

import io
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samara.core.parquet_pages import DELTA_BYTE_ARRAY, DELTA_LENGTH_BYTE_ARRAY, Chunk, Page, chunks, pages

TABLE = pa.table({
    "n": [1.5, None] * 50, "word": ["a", "b"] * 50, "each": [str(n) * 9 for n in range(100)], "tags": [[1], []] * 50,
})  # fmt: skip


def parquet(table: pa.Table, **options: Any) -> bytes:
    file = io.BytesIO()
    pq.write_table(table, file, **options)
    return file.getvalue()


def told(body: bytes) -> list[tuple[Chunk, list[Page]]]:
    file = io.BytesIO(body)
    return [(chunk, list(pages(file, chunk))) for chunk in chunks(file, len(body))]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"data_page_version": "2.0", "compression": "zstd"},
        {"use_dictionary": False, "compression": "none", "write_statistics": False},
        {"row_group_size": 7, "write_page_index": True},
        {"data_page_size": 10, "compression": "gzip", "write_page_checksum": True},
    ],
)
def test_every_chunk_and_its_pages_are_found_where_pyarrow_wrote_them(options: dict[str, Any]) -> None:
    body = parquet(TABLE, **options)
    footer = pq.ParquetFile(io.BytesIO(body)).metadata
    groups = [footer.row_group(index) for index in range(footer.num_row_groups)]
    written = [(index, group.column(index)) for group in groups for index in range(footer.num_columns)]

    found = told(body)

    assert [chunk.column for chunk, _ in found] == [index for index, _ in written]
    for (chunk, inside), (_, meta) in zip(found, written, strict=True):
        heads = meta.total_uncompressed_size - sum(page.unpacked for page in inside)
        assert chunk.size == meta.total_compressed_size
        assert 0 < heads < 150 * len(inside), "the footer's size is that of the pages and their heads"


def test_a_page_tells_its_encoding() -> None:
    encoding = {"word": "DELTA_BYTE_ARRAY", "each": "DELTA_LENGTH_BYTE_ARRAY"}
    body = parquet(TABLE.select(["word", "each"]), use_dictionary=False, column_encoding=encoding)

    assert [inside[0].encodings for _, inside in told(body)] == [{DELTA_BYTE_ARRAY}, {DELTA_LENGTH_BYTE_ARRAY}]


@pytest.mark.parametrize(
    "footer",
    [
        b"\x49\x1c" + b"\x00",  # row groups that end too early
        b"\x18\xff\xff\xff\xff\xff\x01\x00",  # a text of more bytes than there can be
        b"\x15\x02\x05\x02\x02\x00",  # a field after itself
        b"\x1e\x00",  # a kind that there is not
        b"\x1c" * 100,  # structs in structs
        b"\x19\xf7\xff\xff\xff\xff\x07",  # two thousand million numbers
        b"\x49\x15\x02\x00",  # row groups that are numbers
        b"\x49\x1c\x19\x1c\x3c\x00\x00\x00\x00",  # a chunk that does not say where it is
    ],
)
def test_a_footer_written_as_none_is_refused(footer: bytes) -> None:
    body = b"PAR1" + footer + len(footer).to_bytes(4, "little") + b"PAR1"

    with pytest.raises((ValueError, LookupError)):
        told(body)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_whatever_is_changed_in_a_file_it_is_told_or_refused(data: st.DataObject) -> None:
    body = bytearray(parquet(TABLE, data_page_size=10))
    for place in data.draw(st.lists(st.integers(4, len(body) - 9), min_size=1, max_size=4)):
        body[place] = data.draw(st.integers(0, 255))

    try:
        told(bytes(body))
    except (ValueError, LookupError):
        return
