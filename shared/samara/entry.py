"""How a handler is woken: the right event, the right permissions, one structured log line for each event.

What is worth trying again is decided here, by what a line calls the outcome, and carried out by each platform:

| outcome | after | locally | Lambda | Pub/Sub | storage queues |
|---|---|---|---|---|---|
| ok | – | done | done | done | done |
| conflict, retry | `Conflict`; `Unavailable`, a crash and all else | 5 tries | 3 tries | 5 tries | 5 tries |
| dead | `Rejected` | given up at once | 3 tries | 5 tries | 5 tries |

Only the local platform sees why something failed; to the others any failure is one, so they try also what is dead,
which changes nothing. Then all of them give it up: the event goes to the dead letters, and `deadletter` tells people.
HTTP is never tried again: a request is refused by a 4xx or has failed by a 5xx, and whoever asked knows.
"""

import json
import logging
import re
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Generic, NamedTuple, TypeVar

from samara.app import App
from samara.errors import Conflict, Misconfigured, Rejected, SamaraError
from samara.events import Event, GivenUp, HttpRequest, HttpResponse, ObjectCreated, Tick

log = logging.getLogger("samara")

E = TypeVar("E", bound=Event)


class Line(dict[str, Any]):
    """What a line of the log says: JSON, unless whoever writes it adds fields of its own first."""

    def __str__(self) -> str:
        return json.dumps(self)

    @classmethod
    def of(cls, record: logging.LogRecord) -> "Line | None":
        """What a record says in fields, if it does."""
        if isinstance(record.msg, Line):
            return record.msg
        try:
            said = json.loads(record.getMessage())
        except ValueError:
            return None
        return Line(said) if isinstance(said, dict) else None


class Handler(NamedTuple, Generic[E]):
    """A function's `run` and the kinds of event it takes.

    `together` answers several requests that have already arrived, one response for each in their order, where that
    costs less than one after the other. It raises nothing: what is wrong with one is that one's response.
    `warm` begins to load what only the first event would otherwise load, and does not wait for it. `lasting` are the
    ends of the addresses that take their time, for which nobody else shall wait.
    """

    run: Callable[[E, App], Any]
    takes: tuple[type, ...]
    together: Callable[[Sequence[HttpRequest], App], list[HttpResponse]] | None = None
    warm: Callable[[], None] = lambda: None
    lasting: tuple[str, ...] = ()

    def __call__(self, event: Event, app: App) -> Any:
        if not isinstance(event, self.takes):
            raise Misconfigured(app.maker.function, f"is not woken by {type(event).__name__}")
        started = time.perf_counter()
        try:
            found = self.run(event, app)  # type: ignore[arg-type]  # checked against `takes` above
        except BaseException as error:
            tell(event, app, started, error)
            raise
        tell(event, app, started)
        return found

    def gathers(self, method: str, path: str) -> bool:
        """Whether such a request goes together with others: what asks for work, but for what lasts."""
        return self.together is not None and method == "POST" and not path.endswith(self.lasting)

    def answers(self, requests: Sequence[HttpRequest], app: App) -> list[HttpResponse]:
        """The responses to requests that came together, with one line of log for all of them."""
        if self.together is None:
            raise Misconfigured(app.maker.function, "answers one request at a time")
        started = time.perf_counter()
        responses = self.together(requests, app)
        worst = max([response.status for response in responses])
        came = "failed" if worst >= 500 else "ok"
        if log.isEnabledFor(level(came)):
            took_ms = round((time.perf_counter() - started) * 1000, 1)
            said = {"function": app.maker.function, "requests": len(requests), "outcome": came, "status": worst}
            log.log(level(came), Line({**said, "ms": took_ms, **cold()}))
        return responses


def tell(event: Event, app: App, started: float, error: BaseException | None = None) -> None:
    """The line of log for one event."""
    said = {"function": app.maker.function, **subject(event), **outcome(event, error)}
    took_ms = round((time.perf_counter() - started) * 1000, 1)
    log.log(level(said["outcome"]), Line({**said, "ms": took_ms, **cold()}))


def on_object_created(run: Callable[[ObjectCreated, App], Any]) -> Handler[ObjectCreated]:
    return Handler(run, (ObjectCreated,))


def on_tick(run: Callable[[Tick, App], Any]) -> Handler[Tick]:
    return Handler(run, (Tick,))


def on_given_up(run: Callable[[GivenUp, App], Any]) -> Handler[GivenUp]:
    return Handler(run, (GivenUp,))


def on_http(run: Callable[[HttpRequest, App], HttpResponse]) -> Handler[HttpRequest]:
    return Handler(run, (HttpRequest,))


def on_tick_or_http(
    run: Callable[[Tick | HttpRequest, App], Any],
    together: Callable[[Sequence[HttpRequest], App], list[HttpResponse]] | None = None,
    warm: Callable[[], None] = lambda: None,
    lasting: tuple[str, ...] = (),
) -> Handler[Tick | HttpRequest]:
    return Handler(run, (Tick, HttpRequest), together, warm, lasting)


def on_created_or_http(
    run: Callable[[ObjectCreated | HttpRequest, App], Any],
) -> Handler[ObjectCreated | HttpRequest]:
    return Handler(run, (ObjectCreated, HttpRequest))


def subject(event: Event) -> dict[str, str]:
    """What an event is about, for the log: a key, a path or an instant; and the trace it is part of."""
    match event:
        case ObjectCreated():
            return {"key": event.key, "event": event.id}
        case GivenUp():
            return {"key": event.subject, "of": event.function}
        case HttpRequest():
            return {"path": event.path[:200], "method": event.method[:10], **trace(event)}
        case Tick():
            return {"at": event.at.isoformat()}


TRACES = (
    ("traceparent", r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}"),  # W3C's
    ("x-cloud-trace-context", r"([0-9a-f]{32})(?:/.*)?"),  # Google's
)


def trace(request: HttpRequest) -> dict[str, str]:
    for header, form in TRACES:
        if (said := request.headers.get(header)) and (found := re.fullmatch(form, said)):
            return {"trace": found[1]}
    return {}


def outcome(event: Event, error: BaseException | None) -> dict[str, str]:
    """One word for what came of an event, the same in every cloud, and the kind of error if there was one."""
    if error is None:
        return {"outcome": "ok"}
    if isinstance(event, HttpRequest):
        status, code = refused_with(error) if isinstance(error, SamaraError) else (500, "internal")
        word = "refused" if status < 500 or code in BY_CODE else "failed"
    elif isinstance(error, Rejected):
        word = "dead"
    else:
        word = "conflict" if isinstance(error, Conflict) else "retry"
    return {"outcome": word, "error": type(error).__name__}


WORSE = {"dead": logging.ERROR, "failed": logging.ERROR, "retry": logging.WARNING, "conflict": logging.WARNING}


def level(outcome: str) -> int:
    return WORSE.get(outcome, logging.INFO)


_first = iter(({"cold": True},))


def cold() -> dict[str, bool]:
    """Said of the first event of a process, which waited for it to start."""
    return next(_first, {})


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
    "not_text": 422,
    "model_failed": 422,
    "vetoed": 422,
    "no_background": 422,
    "no_rows": 422,
    "not_explainable": 422,
    "long_headers": 431,
    "cross_site": 403,
    "not_ours": 403,
    "no_model": 503,
    "model_unavailable": 503,
    "too_slow": 503,
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
    forget_frames(error)
    status, code = refused_with(error)
    if status >= 500 and code not in BY_CODE:
        log.error(json.dumps({"refused": type(error).__name__, "why": str(error)}))
        return refusal(status, code, "the service cannot answer just now; its log says why")
    return refusal(status, code, str(error))


def forget_frames(error: BaseException) -> None:
    """Let go of the frames that an error came through. They hold the request, which may hold the error: with them, no
    body of what is refused would be freed before somebody looks for garbage."""
    link: BaseException | None = error
    while link is not None:
        link.__traceback__ = None
        link = link.__cause__ or link.__context__


def refused_with(error: SamaraError) -> tuple[int, str]:
    """The status and the code that an error has over HTTP."""
    status = STATUS[next(name for name in (c.__name__ for c in type(error).__mro__) if name in STATUS)]
    code = getattr(error, "code", type(error).__name__.lower())
    return (503, "unavailable") if code in OURS else (BY_CODE.get(code, status), code)


def log_to_stderr(level: int = logging.INFO) -> None:
    """One JSON line for each event, as every cloud's log service reads them."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    log.handlers[:] = [handler]
    log.setLevel(level)
    log.propagate = False


class JsonLine(logging.Formatter):
    """A line as cloud log services read it, with its severity and time. `trace_field` is what they call the trace."""

    def __init__(self, trace_field: str, project: str) -> None:
        super().__init__()
        self._trace_field = trace_field
        self._traces = f"projects/{project}/traces/" if project else ""

    def format(self, record: logging.LogRecord) -> str:
        line = Line(Line.of(record) or {"message": record.getMessage()})
        if "trace" in line:
            line[self._trace_field] = self._traces + line["trace"]
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        at = datetime.fromtimestamp(record.created, UTC).isoformat()
        return json.dumps({"time": at, "severity": record.levelname, **line}, default=str)


def log_as_json(trace_field: str = "trace", project: str = "") -> None:
    log_to_stderr()
    log.handlers[0].setFormatter(JsonLine(trace_field, project))
