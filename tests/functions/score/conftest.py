"""A model of the coins that was trained on them, live, and batches of coins to be answered."""

import io
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from samara.app import App
from samara.core import keys
from samara.core.aliases import Aliases
from samara.core.digests import digest
from samara.core.records import Batch, ModelVersion, Part, Scores, Validation
from tests.bench import NOON, Bench, parquet

CONTRACT = b"""
apiVersion: v3.1.0
kind: DataContract
id: coins
version: 1.0.0
status: active
schema:
  - name: coins
    logicalType: object
    properties:
      - {name: serial, logicalType: integer, unique: true}
      - {name: metal, logicalType: string}
      - {name: weight, logicalType: number}
      - {name: real, logicalType: boolean}
"""


@dataclass
class Mint:
    """What a test of whole batches prepares: versions of a model, and coins in batches of several parts."""

    whole: App

    def live(self, artifact: bytes | None = None, number: int = 1) -> ModelVersion:
        """A version as champion: the model in these bytes, or one trained on coins."""
        trained = Bench(self.whole)
        trained.publish()
        trained.accept()
        result = trained.result()
        version = ModelVersion(
            made_by=self.whole.maker,
            made_from=(result.link(keys.result(keys.run("real", result.run))),),
            model="real",
            version=number,
            run=result.run,
            artifact=self.whole.keep(artifact) if artifact else result.artifact or "",
            signature=result.signature,
            metrics=result.metrics,
            parity=result.parity,
            baseline=digest(b"baseline"),
            compared_with=None,
            compared_metrics={},
            gates=(),
        )
        key = keys.version("real", number)
        self.whole.swap(
            Aliases,
            keys.aliases("real"),
            lambda head: head.moved(champion=number, challenger=None, at=NOON, cause=f"test {number}"),
        )
        return self.whole.write(key, version)

    def batch(self, *tables: Any, verdict: Any = "accepted", at: datetime = NOON + timedelta(hours=1)) -> str:
        """A validated batch of these parts. Gives the key of its validation."""
        data = [parquet(table) for table in tables]
        parts = tuple(
            Part(digest=self.whole.keep(one), rows=table.num_rows, size=len(one))
            for one, table in zip(data, tables, strict=True)
        )
        key = keys.batch("coins", digest(b"".join(data)))
        batch = Batch(
            made_by=self.whole.maker, dataset="coins", source=digest(b"".join(data)), source_size=1, format="parquet",
            columns=(), rows=sum(part.rows for part in parts), parts=parts, noted={"at": at.isoformat()},
        )  # fmt: skip
        validation = Validation(
            made_by=self.whole.maker, made_from=(self.whole.write(key, batch).link(key),), dataset="coins", batch=key,
            contract=self.whole.keep(CONTRACT), verdict=verdict, checks=(), rows=batch.rows, refused_rows=0,
            parts=parts if verdict == "accepted" else (), profile=None,
        )  # fmt: skip
        self.whole.write(keys.validation(key), validation)
        return keys.validation(key)

    def answers(self, scores: Scores) -> Any:
        """All that was written, as one table."""
        return pa.concat_tables(pq.read_table(io.BytesIO(self.whole.blob(part.digest))) for part in scores.parts)


@pytest.fixture
def mint(whole: App) -> Mint:
    return Mint(whole)
