"""A tiny project in a bucket: a dataset of coins, a definition, training code, and what has been accepted so far."""

import io
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from functions.train import fit, job
from functions.train import handler as train
from samara import bundle
from samara.app import App
from samara.core import keys, profile
from samara.core.digests import digest
from samara.core.heads import ModelHead
from samara.core.profile import Profile
from samara.core.records import Batch, Decision, Part, Result, Validation

NOON = datetime(2013, 2, 14, 12, 0, tzinfo=UTC)

LOGISTIC = """
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder


def train(table, *, features, target, seed, strength=1.0):
    text = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    columns = ColumnTransformer([("text", text, ["metal"])], remainder="passthrough")
    model = make_pipeline(columns, LogisticRegression(C=strength, random_state=seed))
    return model.fit(table.select(features), table[target].to_numpy())
"""


def in_process(work: Path, time_limit_s: float) -> job.Ended:  # nobody stops a process from within
    """The training program in this process: the same code, sooner, for training code that can be trusted."""
    fit.fit(work)
    return job.Ended()


def coins(rows: int = 300, seed: int = 0, noise: float = 0.5) -> Any:
    """Coins of a metal and a weight; the heavy ones are real, more or less."""
    random = np.random.default_rng(seed)
    weight = random.normal(10, 2, rows)
    metal = random.choice(["gold", "tin"], rows)
    real = weight + (metal == "gold") + random.normal(0, noise, rows) > 10.5
    serial = np.arange(rows)
    return pa.table({"serial": serial, "metal": metal, "weight": weight, "real": real})


def parquet(table: Any) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


def profiled(column: Any) -> Any:
    known = column.drop_null()
    if pa.types.is_string(column.type):
        return profile.categories(known.to_pylist(), column.null_count)
    numbers = known.cast(pa.int32()) if pa.types.is_date(column.type) else known
    return profile.numeric(np.asarray(numbers.to_numpy()).astype(np.float64), column.null_count)


@dataclass(frozen=True)
class Bench:
    """What a test prepares before it lets the functions run. `whole` is the app without any scope."""

    whole: App

    def publish(self, code: str = LOGISTIC, model: str = "real", **changes: Any) -> ModelHead:
        """Put the definition and the training code into the bucket, as `samara apply` does."""
        definition = {
            "model": model,
            "dataset": "coins",
            "target": "real",
            "task": "classification",
            "features": ["metal", "weight"],
            "gates": {"metric": "auc", "at_least": 0.6},
            "train": {},
            **changes,
        }
        with TemporaryDirectory() as folder:
            (Path(folder) / "train.py").write_text(code)
            packed = bundle.pack(Path(folder))
        head = ModelHead(
            write_id="test",
            definition=self.whole.keep(yaml.safe_dump(definition).encode()),
            bundle=self.whole.keep(packed),
        )
        self.unpublish(model)
        self.whole.store.create(keys.model_head(model), head.to_bytes())
        return head

    def unpublish(self, model: str) -> None:
        for key in list(self.whole.store.list(keys.model_head(model))):
            self.whole.store.delete(key, self.whole.store.get(key).version)

    def accept(self, table: Any = None, *, hours: int = 0, verdict: Any = "accepted") -> str:
        """A batch that arrived `hours` after noon and was measured against its contract. Gives its validation."""
        data = parquet(coins() if table is None else table)
        table = pq.read_table(io.BytesIO(data))
        part = Part(digest=self.whole.keep(data), rows=table.num_rows, size=len(data))
        key = keys.batch("coins", digest(data))
        batch = Batch(
            made_by=self.whole.maker,
            dataset="coins",
            source=part.digest,
            source_size=part.size,
            format="parquet",
            columns=(),
            rows=part.rows,
            parts=(part,),
            noted={"at": (NOON + timedelta(hours=hours)).isoformat()},
        )
        measured = Profile(
            rows=part.rows,
            columns={name: profiled(table[name]) for name in table.column_names if name != "real"},
        )
        validation = Validation(
            made_by=self.whole.maker,
            made_from=(self.whole.write(key, batch).link(key),),
            dataset="coins",
            batch=key,
            contract="0" * 64,
            verdict=verdict,
            checks=(),
            rows=part.rows,
            refused_rows=0,
            parts=(part,) if verdict == "accepted" else (),
            profile=self.whole.keep(measured.to_bytes()) if verdict == "accepted" else None,
        )
        self.whole.write(keys.validation(key), validation)
        return keys.validation(key)

    def asked_run(self, model: str = "real") -> str:
        """The key of a run planned from what is there now, without anybody's permission."""
        known = train.defined(model, self.whole)
        assert known
        pinned = train.planned(*known, self.whole)
        assert pinned
        cause = f"asked {pinned.run}"
        decision = Decision(made_by=self.whole.maker, model=model, cause=cause, why="test", plan=pinned)
        train.carried_out(self.whole.write(keys.decision(model, cause), decision), NOON, self.whole)
        return keys.run(model, pinned.run)

    def result(self, model: str = "real") -> Result:
        """What training on all there is comes to, in this process."""
        return job.run(self.asked_run(model), self.whole, in_process)
