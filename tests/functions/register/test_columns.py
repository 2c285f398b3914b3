"""A sheet says what an answer needs to know of the columns, and of people's values nothing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow as pa
import pytest
from onnx import TensorProto, helper

from functions.register import columns, handler
from samara import loading
from samara.app import App
from samara.core import definition, keys, odcs, profile
from samara.core.contract import Contract
from samara.core.definition import Definition
from samara.core.profile import Profile
from samara.core.records import ModelVersion
from samara.core.sheet import Column, Seen, Sheet, Target
from samara.events import ObjectCreated
from tests.bench import NOON, Bench

Acting = Callable[[str], App]

FLIGHTS = Path(__file__).parents[3] / "examples/flights"
DEFINITION = definition.parse((FLIGHTS / "model.yaml").read_bytes())
CONTRACT = odcs.parse((FLIGHTS / "flights.odcs.yaml").read_bytes())


def flights(rows: int = 200) -> pa.Table:
    random = np.random.default_rng(7)
    return pa.table(
        {
            "flight_id": [f"f{row}" for row in range(rows)],
            "carrier": random.choice(["AA", "B6"], rows),
            "origin": random.choice(["EWR", "JFK"], rows),
            "dest": ["ORD"] * rows,
            "hour": np.arange(rows) % 24,
            "distance": random.integers(100, 2000, rows),
            "temp": pa.array([None if row % 4 == 0 else float(row) for row in range(rows)]),
            "wind_speed": np.linspace(0, 30, rows),
            "precip": np.zeros(rows),
            "visib": np.full(rows, 10.0),
            "late": random.random(rows) < 0.3,
        }
    )


def seen(table: pa.Table) -> Profile:
    measured: dict[str, profile.Column] = {}
    for name in DEFINITION.features:
        known = table[name].drop_null()
        missing = table[name].null_count
        text = pa.types.is_string(known.type)
        measured[name] = (
            profile.categories(known.to_pylist(), missing) if text else profile.numeric(known.to_numpy(), missing)
        )
    return Profile(rows=table.num_rows, columns=measured)


def sheet(contract: Contract | None = CONTRACT, about: Definition = DEFINITION) -> Sheet:
    table = flights()
    return columns.sheet(about, contract, seen(table), table, about.features, classes=(0, 1), rowwise=True)


def column(name: str, of: Sheet) -> Column:
    found = of.column(name)
    assert found
    return found


def classified(name: str, word: str) -> Contract:
    changed = tuple(c.model_copy(update={"classification": word}) if c.name == name else c for c in CONTRACT.columns)
    return CONTRACT.model_copy(update={"columns": changed})


def test_a_sheet_has_the_promises_of_the_contract_and_what_training_saw() -> None:
    made = sheet()

    assert [one.name for one in made.columns] == list(DEFINITION.features)
    assert column("distance", made).minimum == 1
    assert column("origin", made).valid == ("EWR", "JFK", "LGA")
    temp = column("temp", made).seen
    assert temp
    assert (temp.missing, temp.minimum, temp.maximum) == (0.25, 1, 199)
    assert temp.low == pytest.approx(2, abs=1)
    assert temp.high == pytest.approx(198, abs=2)
    carriers = column("carrier", made).seen
    assert carriers
    assert carriers.complete
    assert set(carriers.categories or ()) == {"AA", "B6"}
    assert made.target == Target("late", "boolean")
    assert {"flight_id", "date", "late"} == set(made.ignored)


def test_a_sheet_has_the_steps_and_lengths_of_the_contract_and_is_no_longer_where_there_are_none() -> None:
    update: dict[str, dict[str, Any]] = {
        "distance": {"multiple_of": 5.0},
        "carrier": {"min_length": 2, "max_length": 3},
    }
    changed = tuple(one.model_copy(update=update.get(one.name, {})) for one in CONTRACT.columns)

    made = sheet(CONTRACT.model_copy(update={"columns": changed}))

    assert column("distance", made).multiple_of == 5
    assert (column("carrier", made).min_length, column("carrier", made).max_length) == (2, 3)
    assert b"multiple_of" not in sheet().to_bytes()
    assert b"_length" not in sheet().to_bytes()


def test_a_sheet_written_and_read_is_the_same() -> None:
    made = sheet()

    assert Sheet.read(made.to_bytes()) == made
    assert made.to_bytes() == Sheet.read(made.to_bytes()).to_bytes()


def test_without_a_contract_types_are_those_of_the_data() -> None:
    made = sheet(contract=None)

    assert {one.name: one.type for one in made.columns}["distance"] == "integer"
    assert {one.name: one.type for one in made.columns}["temp"] == "number"
    assert made.target == Target("late", "boolean")
    assert not any(one.required for one in made.columns)


@pytest.mark.parametrize(("name", "word"), [("carrier", "PII"), ("distance", "restricted")])
def test_of_a_personal_column_nothing_is_kept_but_how_much_was_missing(name: str, word: str) -> None:
    made = sheet(classified(name, word))

    assert column(name, made).personal
    assert column(name, made).seen == Seen(missing=0.0)
    assert set(made.background[name]) == {None}
    assert "B6" not in made.to_bytes().decode() or name != "carrier"


def test_the_background_is_rows_from_first_to_last() -> None:
    made = sheet()

    assert made.background_rows == columns.BACKGROUND
    assert made.background["hour"][0] == 0
    assert made.background["hour"][-1] == 199 % 24
    assert None in made.background["temp"], "what was missing stays missing"


def test_a_registered_version_has_a_sheet(whole: App, acting_as: Acting) -> None:
    bench = Bench(whole)
    bench.publish()
    bench.accept()
    result = bench.result()
    event = ObjectCreated(keys.result(keys.run("real", result.run)), NOON)

    version = handler.run(event, acting_as("register"))

    assert version
    assert version.sheet
    made = Sheet.read(whole.blob(version.sheet))
    assert sorted(one.name for one in made.columns) == ["metal", "weight"]
    assert (made.task, made.classes, made.rowwise) == ("classification", (0, 1), True)
    assert [one.name for one in made.columns] == [tensor.name for tensor in version.signature.inputs]


def test_a_model_that_must_not_be_served_has_no_sheet(whole: App, acting_as: Acting) -> None:
    bench = Bench(whole)
    bench.publish()
    bench.accept()
    result = bench.result()
    key = keys.result(keys.run("real", result.run))
    whole.store.delete(key, whole.store.get(key).version)
    whole.write(key, result.model_copy(update={"artifact": whole.keep(b"no model")}))

    version = handler.run(ObjectCreated(key, NOON), acting_as("register"))

    assert version
    assert version.sheet is None


def test_a_version_written_before_there_were_sheets_keeps_its_digest(whole: App, acting_as: Acting) -> None:
    bench = Bench(whole)
    bench.publish()
    bench.accept()
    result = bench.result()
    version = handler.run(ObjectCreated(keys.result(keys.run("real", result.run)), NOON), acting_as("register"))
    assert version
    before = version.model_copy(update={"sheet": None})

    assert b"sheet" not in before.to_bytes()
    assert ModelVersion.read(before.to_bytes(), "models/real/1.json").digest == before.digest


def answering(*nodes: onnx.NodeProto) -> bytes:
    """A regression of one column, `x`."""
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 1])
    gives = helper.make_tensor_value_info("prediction", TensorProto.FLOAT, [None, 1])
    graph = helper.make_graph(list(nodes), "g", [given], [gives])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    data: bytes = model.SerializeToString()
    return data


ALONE = answering(helper.make_node("Exp", ["x"], ["prediction"]))
BY_THE_BATCH = answering(
    helper.make_node("ReduceMean", ["x"], ["mean"], axes=[0], keepdims=1),
    helper.make_node("Sub", ["x", "mean"], ["prediction"]),
)


@pytest.mark.parametrize(("model", "alone"), [(ALONE, True), (BY_THE_BATCH, False)])
def test_rows_may_be_asked_together_only_if_that_changes_nothing(model: bytes, alone: bool) -> None:
    rows = pa.table({"x": np.linspace(-1, 1, 100, dtype=np.float32)})

    assert columns.rowwise(loading.session(model), rows, "regression") is alone
