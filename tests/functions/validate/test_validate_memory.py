"""How much of a batch validate holds in memory: see `rows_at_once` in `functions/validate/handler.py`."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from functions.validate import handler


@pytest.mark.parametrize(
    ("columns", "rows", "letters", "at_once"),
    [(2, 100_000, 1, 25_000), (1_000, 6_000, 1, 3_000), (1, 600, 100_000, 300), (3, 0, 1, 1)],
    ids=["few columns", "many columns", "long texts", "no rows"],
)
def test_wide_rows_are_held_fewer_at_a_time_in_even_pieces(columns: int, rows: int, letters: int, at_once: int) -> None:
    random = np.random.default_rng(0)
    texts = pa.array([random.bytes(letters).hex()[:letters] for _ in range(rows)], pa.string())
    sink = io.BytesIO()
    pq.write_table(pa.table({f"c{n}": texts for n in range(columns)}), sink)

    assert handler.rows_at_once(pq.read_metadata(sink).row_group(0)) == at_once
