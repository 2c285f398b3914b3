"""The example's model, trained and registered, answers rows as it answered the table that it was measured on."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import yaml

from functions.predict import rows
from functions.register import handler
from samara import loading, scoring
from samara.app import App
from samara.core import keys
from samara.core.records import ModelVersion
from samara.core.sheet import Sheet
from samara.core.tensors import TEXT, Spec, Value
from samara.events import ObjectCreated
from tests.bench import NOON, Bench

FLIGHTS = Path(__file__).parents[3] / "examples/flights"
DEFINITION = yaml.safe_load((FLIGHTS / "model.yaml").read_bytes())
FEATURES = DEFINITION["features"]


def flights(count: int = 1500) -> Any:
    """Flights as the contract has them; in the afternoon, and against the wind, they are late."""
    random = np.random.default_rng(7)
    hour, wind = random.integers(5, 23, count), random.normal(10, 4, count).clip(0)
    return pa.table(
        {
            "carrier": random.choice(["AA", "B6", "UA", "DL"], count),
            "origin": random.choice(["EWR", "JFK", "LGA"], count),
            "dest": random.choice(["ORD", "BOS", "LAX"], count),
            "hour": hour,
            "distance": random.integers(100, 2500, count),
            "temp": pa.array([None if row % 9 == 0 else 30 + row / 40 for row in range(count)]),
            "wind_speed": pa.array(wind, mask=np.arange(count) % 9 == 0),
            "precip": np.zeros(count),
            "visib": np.full(count, 10.0),
            "late": hour / 20 + wind / 20 + random.normal(0, 0.3, count) > 1.4,
        }
    )


@pytest.fixture
def version(whole: App, acting_as: Callable[[str], App]) -> ModelVersion:
    bench = Bench(whole)
    bench.publish(
        (FLIGHTS / "train.py").read_text(),
        model="late",
        target="late",
        features=FEATURES,
        train={"parameters": {"trees": 10, "leaves": 8}},
    )
    bench.accept(flights())
    result = bench.result("late")
    registered = handler.run(ObjectCreated(keys.result(keys.run("late", result.run)), NOON), acting_as("register"))
    assert registered
    return registered


def run(loaded: Any, values: dict[str, Value]) -> dict[str, Value]:
    """The model's answers, by the onnxruntime that training measured it with."""
    feeds = {
        name: np.array([text.decode() for text in value.data], dtype=object).reshape(value.shape)
        if value.datatype == TEXT
        else np.frombuffer(value.data, dtype="<f4").reshape(value.shape)
        for name, value in values.items()
    }
    label, shares = loaded.run(["label", "probabilities"], feeds)
    return {
        "label": Value("INT64", label.shape, label.tobytes()),
        "probabilities": Value("FP32", shares.shape, shares.tobytes()),
    }


def bodies(table: Any) -> dict[str, bytes]:
    csv, parquet = io.BytesIO(), io.BytesIO()
    pyarrow.csv.write_csv(table, csv)
    pq.write_table(table, parquet)
    return {
        "application/json": json.dumps({"rows": table.to_pylist()}).encode(),
        "text/csv": csv.getvalue(),
        "application/vnd.apache.parquet": parquet.getvalue(),
    }


def test_in_every_form_rows_get_the_answers_that_training_got(whole: App, version: ModelVersion) -> None:
    assert version.sheet
    sheet = Sheet.read(whole.blob(version.sheet))
    specs = [Spec(tensor.name, tensor.datatype, tensor.shape) for tensor in version.signature.inputs]
    loaded = loading.session(whole.blob(version.artifact))
    table = flights(120)
    trained = scoring.answers(loaded, table, "classification")
    assert trained.labels is not None

    for kind, body in bodies(table).items():
        asked = rows.asked(kind, body, specs, sheet)
        said = rows.answer(run(loaded, asked.values), asked, sheet, {})

        assert asked.ignored == ("late",), kind
        assert [one["label"] for one in said["predictions"]] == [bool(label) for label in trained.labels], kind
        assert [list(one["probabilities"].values()) for one in said["predictions"]] == trained.scores.tolist(), kind
        assert not any(said["flags"]), "these are rows that training saw"


def test_the_sheet_knows_what_the_training_rows_were(whole: App, version: ModelVersion) -> None:
    assert version.sheet
    sheet = Sheet.read(whole.blob(version.sheet))
    specs = [Spec(tensor.name, tensor.datatype, tensor.shape) for tensor in version.signature.inputs]
    strange = {**flights(1).to_pylist()[0], "carrier": "ZZ", "distance": 5000, "hour": None}

    asked = rows.asked("application/json", json.dumps({"rows": [strange]}).encode(), specs, sheet)

    assert sheet.rowwise
    assert sheet.background_rows == 100
    assert [(flag.column, flag.code) for flag in asked.flags[0]] == [
        ("carrier", "unseen_category"),
        ("hour", "unseen_missing"),
        ("distance", "out_of_range"),
    ]
    assert run(loading.session(whole.blob(version.artifact)), rows.background(sheet, specs, 100))["label"].size == 100
