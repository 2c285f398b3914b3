"""How a handler is woken: the right event, the right permissions, one structured log line for each event."""

import json
import logging
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from samara.app import App
from samara.errors import Misconfigured, SamaraError
from samara.events import Event, GivenUp, HttpRequest, HttpResponse, ObjectCreated, Tick

log = logging.getLogger("samara")

E = TypeVar("E", bound=Event)


@dataclass(frozen=True, slots=True)
class Handler(Generic[E]):
    """A function's `run` and the kinds of event it takes."""

    run: Callable[[E, App], Any]
    takes: tuple[type, ...]

    def __call__(self, event: Event, app: App) -> Any:
        if not isinstance(event, self.takes):
            raise Misconfigured(app.maker.function, f"is not woken by {type(event).__name__}")
        started = time.perf_counter()
        outcome = "ok"
        try:
            return self.run(event, app)  # type: ignore[arg-type]  # checked against `takes` above
        except BaseException as error:
            outcome = type(error).__name__
            raise
        finally:
            said = {"function": app.maker.function, **subject(event), "outcome": outcome}
            log.info(json.dumps({**said, "ms": round((time.perf_counter() - started) * 1000, 1)}))


def on_object_created(run: Callable[[ObjectCreated, App], Any]) -> Handler[ObjectCreated]:
    return Handler(run, (ObjectCreated,))


def on_tick(run: Callable[[Tick, App], Any]) -> Handler[Tick]:
    return Handler(run, (Tick,))


def on_given_up(run: Callable[[GivenUp, App], Any]) -> Handler[GivenUp]:
    return Handler(run, (GivenUp,))


def on_http(run: Callable[[HttpRequest, App], HttpResponse]) -> Handler[HttpRequest]:
    return Handler(run, (HttpRequest,))


def on_created_or_http(
    run: Callable[[ObjectCreated | HttpRequest, App], Any],
) -> Handler[ObjectCreated | HttpRequest]:
    return Handler(run, (ObjectCreated, HttpRequest))


def subject(event: Event) -> dict[str, str]:
    """What an event is about, for the log: a key, a path or an instant."""
    match event:
        case ObjectCreated():
            return {"key": event.key, "event": event.id}
        case GivenUp():
            return {"key": event.subject, "of": event.function}
        case HttpRequest():
            return {"path": event.path[:200], "method": event.method[:10]}
        case Tick():
            return {"at": event.at.isoformat()}


STATUS: dict[str, int] = {
    "NotFound": 404,
    "Conflict": 409,
    "Rejected": 400,
    "Unavailable": 503,
    "Unsupported": 501,
    "Misconfigured": 500,
}
BY_CODE: dict[str, int] = {
    "unknown_path": 404,
    "unknown_model": 404,
    "unknown_version": 404,
    "unknown_prediction": 404,
    "bad_method": 405,
    "slow": 408,
    "too_large": 413,
    "too_many_rows": 413,
    "long_path": 414,
    "media_type": 415,
    "not_finite": 422,
    "model_failed": 422,
    "long_headers": 431,
    "cross_site": 403,
    "no_model": 503,
    "model_unavailable": 503,
    "busy": 503,
    "timeout": 503,
}
"""Codes of `Rejected` that HTTP has a better word for than 400."""

OURS = ("altered", "bad_record", "bad_head", "unknown_schema")
"""Codes that say the bucket is broken: whoever asked did nothing wrong."""


def json_response(status: int, value: Any, headers: dict[str, str] | None = None) -> HttpResponse:
    body = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    return HttpResponse(status, body, {"content-type": "application/json", **(headers or {})})


def refusal(status: int, code: str, why: str, headers: dict[str, str] | None = None) -> HttpResponse:
    """The one shape of every HTTP error: `{"error": …, "code": …}`; `error` is what Open Inference v2 reads."""
    return json_response(status, {"error": why, "code": code}, headers)


def refused(error: SamaraError) -> HttpResponse:
    """An error as a response. What is the deployment's fault is logged, not told to strangers."""
    status = STATUS[next(name for name in (c.__name__ for c in type(error).__mro__) if name in STATUS)]
    code = getattr(error, "code", type(error).__name__.lower())
    if code in OURS:
        status, code = 503, "unavailable"
    if status >= 500:
        log.error(json.dumps({"refused": type(error).__name__, "why": str(error)}))
        return refusal(status, code, "the service cannot answer just now; its log says why")
    return refusal(BY_CODE.get(code, status), code, str(error))


def log_to_stderr(level: int = logging.INFO) -> None:
    """One JSON line for each event, as every cloud's log service reads them."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    log.handlers[:] = [handler]
    log.setLevel(level)
    log.propagate = False
