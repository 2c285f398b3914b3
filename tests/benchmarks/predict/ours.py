"""Samara's bucket as `register` leaves it: the model as version 1, its champion, and how much of it is captured."""

from datetime import UTC, datetime
from pathlib import Path

from samara.app import App
from samara.core import keys
from samara.core.aliases import Aliases
from samara.core.definition import Captured, Serve
from samara.core.digests import digest
from samara.core.heads import ModelHead
from samara.core.records import ModelVersion, Parity, Signature, Tensor
from samara.core.sealed import Maker
from samara.core.sheet import Column, Sheet
from samara.ports import ObjectStore
from samara.providers.local import LocalStore
from samara.providers.nowhere import NoJobs
from tests.benchmarks.predict.specimen import FEATURES, INPUT, OUTPUT, Specimen

MODEL = "model"
SIGNATURE = Signature(
    inputs=(Tensor(name=INPUT, datatype="FP32", shape=(-1, FEATURES)),),
    outputs=(
        Tensor(name="label", datatype="INT64", shape=(-1,)),
        Tensor(name=OUTPUT, datatype="FP32", shape=(-1, 2)),
    ),
)
SHEET = Sheet(
    columns=tuple(Column(name=f"feature_{number}", type="number", required=True) for number in range(FEATURES)),
    task="classification",
    classes=(0, 1),
    rowwise=True,
)


def in_folder(home: Path, subject: Specimen, *, captured: bool) -> None:
    """Publish into the local provider's bucket under `home`."""
    (home / "bucket").mkdir(parents=True)
    publish(LocalStore(home / "bucket"), subject, captured=captured)


def publish(store: ObjectStore, subject: Specimen, *, captured: bool) -> App:
    """Write all that `predict` reads, and give the app that wrote it. What is `captured` is every answer, or none."""
    app = App(store, NoJobs(), Maker(function="benchmark", code=digest(b"benchmark")))
    serve = Serve(capture=Captured(share=float(captured)))
    head = ModelHead(definition=app.keep(b"definition"), bundle=app.keep(b"bundle"), serving=app.keep(serve.to_bytes()))
    version = ModelVersion(
        made_by=app.maker,
        model=MODEL,
        version=1,
        run="0123456789abcdef",
        artifact=app.keep(subject.path.read_bytes()),
        signature=SIGNATURE,
        metrics={"accuracy": 1.0},
        parity=Parity(rows=1, largest_difference=0.0, tolerance=1e-4, agreed=True),
        baseline=digest(b"baseline"),
        compared_with=None,
        compared_metrics={},
        gates=(),
        sheet=app.keep(SHEET.to_bytes()),
    )
    app.swap(ModelHead, keys.model_head(MODEL), lambda _: head, start=head)
    app.write(keys.version(MODEL, 1), version)
    at = datetime.now(UTC)
    app.swap(
        Aliases,
        keys.aliases(MODEL),
        lambda aliases: aliases.moved(champion=1, challenger=None, at=at, cause="benchmark"),
    )
    return app
