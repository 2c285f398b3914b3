"""Small real models, written into the bucket as `register` writes them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from functions.catalogue import CATALOGUE
from functions.predict import served
from functions.predict.warm import Kept
from samara import engines
from samara.app import App
from samara.core import keys
from samara.core.aliases import Aliases
from samara.core.definition import Captured, Serve
from samara.core.digests import digest
from samara.core.heads import ModelHead
from samara.core.records import ModelVersion, Parity, Signature, Tensor
from samara.core.sealed import Maker
from samara.core.sheet import Column, Sheet
from samara.hosts.server import Routes, Server, serve
from samara.providers.memory import MemoryJobs, MemoryStore


@pytest.fixture(scope="module", autouse=True)
def _sessions() -> Iterator[None]:
    """The memory for models of each module's own: with it, models and the processes that contain some of them go."""
    with patch.object(served, "SESSIONS", Kept(1 << 30, lambda session: session.size)):
        yield


Publish = Callable[..., ModelVersion]
Point = Callable[..., Aliases]

LATENESS = Signature(
    inputs=(
        Tensor(name="distance", datatype="FP32", shape=(-1, 1)),
        Tensor(name="carrier", datatype="BYTES", shape=(-1, 1)),
    ),
    outputs=(
        Tensor(name="score", datatype="FP32", shape=(-1, 1)),
        Tensor(name="airline", datatype="BYTES", shape=(-1, 1)),
    ),
)


ROWWISE = Sheet(
    columns=(Column(name="distance", type="number", required=True), Column(name="carrier", type="string")),
    rowwise=True,
)


def lateness(factor: float) -> bytes:
    """score = factor × distance; airline = carrier."""
    nodes = [
        helper.make_node("Mul", ["distance", "factor"], ["score"]),
        helper.make_node("Identity", ["carrier"], ["airline"]),
    ]
    graph = helper.make_graph(
        nodes,
        "lateness",
        [
            helper.make_tensor_value_info("distance", TensorProto.FLOAT, [None, 1]),
            helper.make_tensor_value_info("carrier", TensorProto.STRING, [None, 1]),
        ],
        [
            helper.make_tensor_value_info("score", TensorProto.FLOAT, [None, 1]),
            helper.make_tensor_value_info("airline", TensorProto.STRING, [None, 1]),
        ],
        [numpy_helper.from_array(np.array([factor], dtype=np.float32), "factor")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    data: bytes = model.SerializeToString()
    return data


@pytest.fixture
def publish(whole: App) -> Publish:
    """Write version `number` of a model and give its record."""

    def write(
        number: int,
        factor: float | None = None,
        *,
        data: bytes | None = None,
        signature: Signature = LATENESS,
        sheet: Sheet | None = None,
        **more: Any,
    ) -> ModelVersion:
        artifact = whole.keep(data if data is not None else lateness(factor if factor is not None else number))
        version = ModelVersion(
            made_by=whole.maker,
            model="late",
            version=number,
            run="0123456789abcdef",
            artifact=artifact,
            signature=signature,
            metrics={"rmse": 1.0},
            parity=Parity(rows=1, largest_difference=0.0, tolerance=1e-4, agreed=True),
            baseline=digest(b"baseline"),
            compared_with=None,
            compared_metrics={},
            gates=more.pop("gates", ()),
            sheet=whole.keep(sheet.to_bytes()) if sheet else None,
            **more,
        )
        return whole.write(keys.version("late", number), version)

    return write


@pytest.fixture
def point(whole: App) -> Point:
    """Move the aliases of the model."""

    def move(champion: int | None, challenger: int | None = None, **more: Any) -> Aliases:
        at = datetime.fromisoformat("2013-02-14T12:00:00+00:00")
        return whole.swap(
            Aliases,
            keys.aliases("late"),
            lambda head: head.moved(champion=champion, challenger=challenger, at=at, cause="test", **more),
        )

    return move


@dataclass(frozen=True)
class Online:
    """A real server with a bucket of its own."""

    server: Server
    app: App

    def add(self, name: str, data: bytes, *, captured: bool = True) -> Signature:
        """Put a model behind it, as version 1 and champion under that name. `Rejected` if it cannot be loaded."""
        session = engines.load(data)
        inputs, outputs = (
            tuple(Tensor(name=spec.name, datatype=spec.datatype, shape=spec.shape) for spec in specs)
            for specs in (session.inputs, session.outputs)
        )
        session.close()
        version = ModelVersion(
            made_by=self.app.maker,
            model=name,
            version=1,
            run="0123456789abcdef",
            artifact=self.app.keep(data),
            signature=Signature(inputs=inputs, outputs=outputs),
            metrics={},
            parity=Parity(rows=1, largest_difference=0.0, tolerance=1e-4, agreed=True),
            baseline=digest(b"baseline"),
            compared_with=None,
            compared_metrics={},
            gates=(),
        )
        self.app.write(keys.version(name, 1), version)
        serving = self.app.keep(Serve(capture=Captured(share=float(captured))).to_bytes())
        head = ModelHead(write_id=name, definition="0" * 64, bundle="0" * 64, serving=serving)
        self.app.store.create(keys.model_head(name), head.to_bytes())
        aliases = Aliases().moved(champion=1, challenger=None, at=datetime.now(UTC), cause="test")
        self.app.swap(Aliases, keys.aliases(name), lambda _: aliases)
        return version.signature


@pytest.fixture(scope="module")
def online() -> Iterator[Online]:
    app = App(MemoryStore(), MemoryJobs(), Maker(function="test", code="0" * 64))
    with serve(Routes(CATALOGUE, app, lambda: datetime.now(UTC))) as server:
        yield Online(server, app)
