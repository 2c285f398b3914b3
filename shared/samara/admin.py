"""What people do to a running loop: look, promote, roll back, ask why, replay. Each a function of an app."""

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from samara import catalogue
from samara.app import AnyRecord, App
from samara.core import aliases, keys, lineage
from samara.core.aliases import Aliases
from samara.core.definition import parse
from samara.core.heads import ModelHead
from samara.core.records import DriftReport, ModelVersion, Result, Scores, Validation
from samara.dispatch import deliver
from samara.errors import NotFound, Rejected, SamaraError
from samara.events import ObjectCreated


def promote(app: App, model: str, version: int, *, expect: int | None, at: datetime, by: str) -> Aliases:
    """`version` as champion; `Conflict` when the champion is not the one `expect` names."""
    servable(app, model, version)
    return app.swap(
        Aliases,
        keys.aliases(model),
        lambda now: aliases.promoted(now, model, version, expect=expect, at=at, by=by),
    )


def servable(app: App, model: str, version: int) -> None:
    """Refuse a version that there is not, whose model is gone, or that did not pass what each version must."""
    record = app.find(ModelVersion, keys.version(keys.named(model, "model"), version))
    if record is None:
        there = keys.versions(model, app.store.list(f"{keys.MODELS}{model}/"))
        have = ", ".join(f"v{keys.number(key)}" for key in there) or "none"
        raise NotFound(f"{model} v{version}", f"no such version; there is {have}")
    if not record.sound:
        unsound = "; ".join(f"{gate.name}: {gate.why}" for gate in record.gates if not gate.passed)
        raise Rejected(f"{model} v{version}", f"cannot be served: {unsound}", code="unsound")
    artifact = keys.blob(record.artifact)
    try:
        app.store.head(artifact)
    except NotFound as error:
        why = f"its model, {artifact}, is gone; restore it from the bucket's object versions, or choose another version"
        raise NotFound(f"{model} v{version}", why) from error


def route(app: App, model: str, weights: Mapping[int, float], *, at: datetime, by: str) -> Aliases:
    """Share requests among versions; none gives all of them back to the champion."""
    for version in weights:
        servable(app, model, version)
    key = keys.aliases(keys.named(model, "model"))
    return app.swap(Aliases, key, lambda now: aliases.routed(now, model, weights, at=at, by=by))


def shadow(app: App, model: str, version: int | None, *, at: datetime, by: str) -> Aliases:
    """The version that is asked afterwards what others answered, or none."""
    key = keys.aliases(keys.named(model, "model"))
    if version is not None:
        servable(app, model, version)
    elif app.find_head(Aliases, key) is None:
        raise NotFound(model, "has no version yet, so no shadow to stop")
    return app.swap(Aliases, key, lambda now: aliases.shadowed(now, version, at=at, by=by))


def roles(app: App, model: str) -> dict[int, str]:
    """What each version is to the requests that come now, in words."""
    return aliases.roles(app.find_head(Aliases, keys.aliases(keys.named(model, "model"))) or Aliases())


def rollback(app: App, model: str, *, at: datetime, by: str) -> Aliases:
    """The champion before this one, as champion again."""
    key = keys.aliases(keys.named(model, "model"))
    seen = app.find_head(Aliases, key)
    if seen is None:
        raise NotFound(model, "has no champion yet, so there is nothing to go back to")
    back = aliases.rolled_back(seen, model, seen.champion, at=at, by=by)
    if back.champion is not None:
        servable(app, model, back.champion)
    return app.swap(Aliases, key, lambda now: aliases.rolled_back(now, model, seen.champion, at=at, by=by))


def why(app: App, text: str) -> lineage.Trail:
    """The trail from a prediction id, or from the key of any record, back to the uploaded files."""
    key = text if "/" in text else keys.Prediction.parse(text).capture
    return lineage.walk(key, app.said, app.digest_of)


def dataset_of(app: App, model: str) -> str:
    """The dataset that a model is trained on, by the definition in force."""
    key = keys.model_head(keys.named(model, "model"))
    head = app.find_head(ModelHead, key)
    if head is None:
        raise NotFound(model, "no such model; publish a definition of it first, or name the dataset")
    return parse(app.blob(head.definition), key).dataset


def answers(app: App, scores: Scores, folder: Path) -> list[Path]:
    """The answers to a batch as Parquet files in `folder`, one for each part, each verified while it was copied.

    A part that is there already is left as it is. So is a folder that holds others, which would be read with these.
    """
    parts = {f"part-{number:05d}.parquet": part.digest for number, part in enumerate(scores.parts, start=1)}
    folder.mkdir(parents=True, exist_ok=True)
    there = {path.name: digest_of(path) for path in folder.glob("part-*.parquet")}
    if others := sorted(there.items() - parts.items()):
        why = "has other answers, which would be read with these; name another folder, or remove its part-*.parquet"
        raise Rejected(str(folder / others[0][0]), why, code="other_answers")
    for name in sorted(parts.keys() - there.keys()):
        with app.fetched(parts[name]) as fetched:
            put(fetched, folder / name)
    return [folder / name for name in parts]


def digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def put(source: Path, path: Path) -> None:
    """A copy of `source` at `path`, whole or not at all."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        shutil.copyfile(source, unfinished)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def replay(app: App, functions: catalogue.Catalogue, prefix: str, at: datetime) -> Iterator[tuple[str, str, str]]:
    """Deliver the event of every object under `prefix` again, to every function it wakes.

    Yields (key, function, what came of it). What was done stays as it is: only what is missing is made.
    """
    if not any(prefix.startswith(p) or p.startswith(prefix) for f in functions for p in f.wakes_on):
        waking = ", ".join(dict.fromkeys(p for f in functions for p in f.wakes_on))
        raise Rejected(prefix, f"wakes nothing; replay what does: {waking}", code="wakes_nothing")
    for key in list(app.store.list(prefix)):
        for function in catalogue.woken_by(functions, key):
            try:
                deliver(function, ObjectCreated(key, at), app)
                yield key, function.name, "ok"
            except SamaraError as error:
                yield key, function.name, str(error)


@dataclass(frozen=True, slots=True)
class DatasetStatus:
    name: str
    uploads: int
    batches: int
    accepted: int
    refused: int
    quarantined: int


@dataclass(frozen=True, slots=True)
class ModelStatus:
    name: str
    champion: int | None
    challenger: int | None
    versions: int
    runs: int
    failed: int
    pending: int
    drift: str
    problem: str = ""


def datasets(app: App) -> list[DatasetStatus]:
    """Every dataset that anything is known of, with what became of its uploads."""
    counted: dict[str, dict[str, int]] = {}
    for topic in (keys.LANDING, keys.DATASETS, keys.VALIDATIONS, keys.QUARANTINE):
        for key in app.store.list(topic):
            if not keys.NAME.fullmatch(keys.owner(key)):
                continue  # a stray file at the top of landing/, which is in quarantine with its reason
            by_topic = counted.setdefault(keys.owner(key), {})
            by_topic[topic] = by_topic.get(topic, 0) + 1
    return [
        DatasetStatus(
            name=name,
            uploads=counts.get(keys.LANDING, 0),
            batches=counts.get(keys.DATASETS, 0),
            accepted=(accepted := accepted_batches(app, name)),
            refused=counts.get(keys.VALIDATIONS, 0) - accepted,
            quarantined=counts.get(keys.QUARANTINE, 0),
        )
        for name, counts in sorted(counted.items())
    ]


def accepted_batches(app: App, dataset: str) -> int:
    validations = sound(app, Validation, app.store.list(f"{keys.VALIDATIONS}{dataset}/"))
    return sum(validation.verdict == "accepted" for validation in validations)


def sound(app: App, kind: type[AnyRecord], listed: Iterable[str]) -> Iterator[AnyRecord]:
    """The records at these keys. One that was altered has its alert, and must not hide the others."""
    for key in listed:
        with suppress(Rejected, NotFound):
            yield app.read(kind, key)


def models(app: App) -> list[ModelStatus]:
    """Every defined model, with where it stands."""
    return [model_status(app, keys.stem(key)) for key in app.store.list(f"{keys.CONFIG}models/")]


def model_status(app: App, model: str) -> ModelStatus:
    head, problem = Aliases(), ""
    try:
        head = app.find_head(Aliases, keys.aliases(model)) or head
    except Rejected as error:  # which must not hide the other models
        problem = str(error)
    runs = list(app.store.list(f"{keys.RUNS}{model}/"))
    results = list(sound(app, Result, app.store.list(f"{keys.RESULTS}{model}/")))
    reports = reversed(list(app.store.list(f"{keys.DRIFT}{model}/")))
    latest = next(sound(app, DriftReport, reports), None)
    return ModelStatus(
        name=model,
        champion=head.champion,
        challenger=head.challenger,
        versions=len(keys.versions(model, app.store.list(f"{keys.MODELS}{model}/"))),
        runs=len(runs),
        failed=sum(result.status == "failed" for result in results),
        pending=len(runs) - len(results),
        drift=f"{latest.window} {latest.verdict}" if latest else "no window yet",
        problem=problem,
    )


def versions(app: App, model: str) -> list[ModelVersion]:
    """Every version of a model, oldest first."""
    return list(sound(app, ModelVersion, app.store.list(f"{keys.MODELS}{keys.named(model, 'model')}/")))
