"""Predict: answer by Open Inference Protocol v2, and capture each answer before it is given.

Wakes on  HTTP /v2…: server and model metadata, health, POST /v2/models/{model}[/versions/{version}]/infer
Reads     aliases/{model}.json, models/{model}/{version}.json, the model's blob
Writes    captures/{model}/{hour}/{unique}.json, one for each answered request

Delivered twice under the same client id, it answers from the first capture. Without an id, each request is its own.
"""

import json
import time
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from functions.predict import protocol, serving, tensors
from functions.predict.protocol import Asked, Route, Rows
from functions.predict.serving import Kept
from samara import __version__, loading
from samara.app import App
from samara.core import keys, strict, windows
from samara.core.aliases import Aliases
from samara.core.digests import digest, short
from samara.core.heads import ModelHead
from samara.core.keys import Prediction
from samara.core.records import Capture, ModelVersion
from samara.entry import json_response, log, on_http, refusal
from samara.errors import NotFound, Rejected
from samara.events import HttpRequest, HttpResponse
from samara.ports import ObjectStore

STALE = timedelta(seconds=1)  # how old an alias may be: one read a second under load, and a rollback is that quick
RETRY = timedelta(minutes=10)  # how late a client may repeat a request in the next hour and meet its first answer

SESSIONS: Kept[str, Any] = Kept(8)
VERSIONS: Kept[tuple[ObjectStore, str], ModelVersion] = Kept(64)
HEADS: Kept[tuple[ObjectStore, str], tuple[Aliases, datetime]] = Kept(64)


def run(event: HttpRequest, app: App) -> HttpResponse:
    route = protocol.route(event.path)
    if event.method != route.method:
        return refusal(405, "bad_method", f"use {route.method} here", {"allow": route.method})
    if route.what == "infer":
        return infer(route, event, app)
    return json_response(200, told(route, event.at, app))


def told(route: Route, at: datetime, app: App) -> dict[str, Any]:
    """What a GET answers."""
    match route.what:
        case "server":
            return {"name": "samara", "version": __version__, "extensions": []}
        case "live":
            return {"live": True}
        case "ready":
            next(app.store.list(keys.ALIASES), None)
            return {"ready": True}
        case "models":
            return {"models": [{"name": keys.owner(key)} for key in app.store.list(keys.ALIASES)]}
    version, _ = version_for(route, at, app)
    if route.what == "model ready":
        loaded(version, app)
        return {"name": route.model, "ready": True}
    numbers = [keys.number(key) for key in app.store.list(f"{keys.MODELS}{route.model}/")]
    return protocol.metadata(version, numbers)


def infer(route: Route, event: HttpRequest, app: App) -> HttpResponse:
    if "inference-header-content-length" in event.headers:
        raise protocol.binary()
    request = protocol.asked(strict.asked(event.headers, event.body), route.model)
    unique = short(route.model, route.version, request.id, digest(event.body)) if request.id else uuid4().hex[:16]
    prediction = Prediction(route.model, windows.hour(event.at), unique)
    earlier = answered_before(prediction, event.at, app) if request.id else None
    if earlier:
        return answer(earlier, request, app)
    version, move = version_for(route, event.at, app)
    rows = protocol.fitted(request, version.signature)

    started = time.perf_counter()
    outputs = outcome(version, rows, app)
    took = time.perf_counter() - started

    key = keys.version(version.model, version.version)
    noted = {
        "at": event.at.isoformat(),
        "seconds": round(took, 6),
        "id": request.id or None,
        "traceparent": protocol.traceparent(event.headers),
        "move": move,
    }
    capture = Capture(
        made_by=app.maker,
        made_from=(version.link(key),),
        model=version.model,
        version=version.version,
        prediction=prediction.id,
        rows=rows.count,
        status=200,
        inputs=rows.values,
        outputs={name: tensors.encode(array, datatype, name) for name, (array, datatype) in outputs.items()},
        shapes={**rows.shapes, **{name: array.shape for name, (array, _) in outputs.items()}},
        noted={name: value for name, value in noted.items() if value is not None},
    )
    return answer(app.write(prediction.capture, capture), request, app)


def answered_before(prediction: Prediction, at: datetime, app: App) -> Capture | None:
    """The capture of the same request under the same id, in this hour or just before it."""
    for hour in dict.fromkeys((prediction.hour, windows.hour(at - RETRY))):
        found = app.find(Capture, Prediction(prediction.model, hour, prediction.unique).capture)
        if found:
            return found
    return None


def answer(capture: Capture, request: Asked, app: App) -> HttpResponse:
    version = version_at(capture.model, capture.version or 0, app)
    headers = {"samara-prediction": capture.prediction, "samara-version": str(version.version)}
    return json_response(200, protocol.answer(capture, version, request), headers)


def outcome(version: ModelVersion, rows: Rows, app: App) -> dict[str, tuple[tensors.Array, str]]:
    """What the model answers, each output with its datatype. What goes wrong inside it is for the log."""
    session = loaded(version, app)
    try:
        arrays = serving.outputs(session, version.signature, rows.tensors)
    except Rejected:
        raise
    except Exception as error:  # onnxruntime's errors share no base class
        log.warning(json.dumps({"model": version.model, "version": version.version, "failed": str(error)[:1000]}))
        why = f"version {version.version} failed on these inputs"
        raise Rejected(version.model, why, code="model_failed") from error
    return {tensor.name: (arrays[tensor.name], tensor.datatype) for tensor in version.signature.outputs}


def version_for(route: Route, at: datetime, app: App) -> tuple[ModelVersion, int | None]:
    """The version that answers this route, and the number of the alias move that made it so."""
    if route.version.isdigit():
        return version_at(route.model, int(route.version), app), None
    head = aliases(route.model, at, app)
    alias = route.version or "champion"
    number = head.challenger if alias == "challenger" else head.champion
    if number is None:
        why = f"has no {alias}; promote a version, or train one that passes its gates"
        raise Rejected(route.model, why, code="no_model")
    return version_at(route.model, number, app), len(head.moves)


def aliases(model: str, at: datetime, app: App) -> Aliases:
    """Who answers for a model, as it was at most `STALE` ago. A clock that stands still keeps nothing."""
    kept = HEADS.peek((app.store, model))
    if kept and timedelta(0) < at - kept[1] <= STALE:
        return kept[0]
    head = app.find_head(Aliases, keys.aliases(model))
    if head is None and app.find_head(ModelHead, keys.model_head(model)) is None:
        raise Rejected(model, "no such model; /v2/models lists what there is", code="unknown_model")
    if head is None:
        raise Rejected(model, "has no version yet; train one first", code="no_model")
    return HEADS.put((app.store, model), (head, at))[0]


def version_at(model: str, number: int, app: App) -> ModelVersion:
    key = keys.version(model, number)
    try:
        return VERSIONS.get((app.store, key), lambda: app.read(ModelVersion, key))
    except NotFound as error:
        raise Rejected(f"{model} version {number}", "there is none", code="unknown_version") from error


def loaded(version: ModelVersion, app: App) -> Any:
    """The session of a version, by the digest of its model: equal models are loaded once."""
    try:
        return SESSIONS.get(version.artifact, lambda: loading.session(app.blob(version.artifact)))
    except (NotFound, Rejected) as error:
        log.error(json.dumps({"model": version.model, "version": version.version, "failed": str(error)[:1000]}))
        why = f"version {version.version} cannot be loaded; promote another one"
        raise Rejected(version.model, why, code="model_unavailable") from error


handler = on_http(run)
