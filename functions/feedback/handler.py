"""Feedback: take the truth about a prediction, now or months later.

Wakes on  HTTP POST /feedback: {"prediction": id, "truth": …}, a list of such, or JSON lines
Reads     captures/{model}/{hour}/{unique}.json, and where the same was said before, all that was said
Writes    feedback/{model}/{hour}/{unique}/{digest}.json

Sent twice, the same truth is one object. Another truth for the same prediction is another object, and so is the first
one when it is said again after that: all are kept, and of each row the last word counts.

The answer counts what was accepted, what was refused for what it says, and what failed for a capture that is broken
here: that one may be sent again when it is mended, and alone it is answered with a 503.
"""

import json
from collections.abc import Iterable
from typing import Any

from functions.feedback.truth import item, names, truth
from samara import captures
from samara.app import App
from samara.core import strict
from samara.core.digests import canonical
from samara.core.keys import Prediction
from samara.core.records import Capture, Feedback
from samara.entry import BY_CODE, OURS, json_response, log, on_http, refusal, refused_with
from samara.errors import Conflict, Rejected
from samara.events import HttpRequest, HttpResponse

MOST = 1_000  # items in one request: each is a read and a write, and a request has 30 seconds
LINES = ("application/json", "application/x-ndjson", "application/jsonl")


def run(event: HttpRequest, app: App) -> HttpResponse:
    if event.path.rstrip("/") != "/feedback":
        raise Rejected(strict.shown(event.path), "no such address; post to /feedback", code="unknown_path")
    if event.method != "POST":
        return refusal(405, "bad_method", "use POST here", {"allow": "POST"})
    given = items(event)

    if len(given) == 1:
        return alone(taken(given[0], event, app))

    results = [taken_among_others(one, event, app) for one in given]

    return counted(results)


def items(event: HttpRequest) -> list[Any]:
    """What the body holds, one entry for each prediction; a line that cannot be read is its own `Rejected`."""
    if strict.media_type(event.headers, *LINES) == "application/json":
        given = strict.asked(event.headers, event.body)
        return few(given if isinstance(given, list) else [given])
    lines = [line for line in strict.sized(event.headers, event.body).split(b"\n") if line.strip()]
    return [readable(line, number) for number, line in enumerate(few(lines), start=1)]


def few(given: list[Any]) -> list[Any]:
    if not given:
        raise Rejected("body", "is empty; send at least one item", code="bad_request")
    if len(given) > MOST:
        raise Rejected("body", f"has {len(given):,} items; send at most {MOST:,} at once", code="too_many_rows")
    return given


def readable(line: bytes, number: int) -> Any:
    try:
        return strict.value(line, f"line {number}")
    except Rejected as error:
        return error


def alone(result: dict[str, Any]) -> HttpResponse:
    """The answer about the only item."""
    if result["status"] == "refused":
        return refusal(BY_CODE.get(result["code"], 400), result["code"], result["why"])
    return counted([result])


def counted(results: list[dict[str, Any]]) -> HttpResponse:
    became = [result["status"] for result in results]
    accepted, refused, failed = (became.count(status) for status in ("recorded", "refused", "failed"))
    return json_response(200, {"accepted": accepted, "refused": refused, "failed": failed, "results": results})


def taken_among_others(given: Any, event: HttpRequest, app: App) -> dict[str, Any]:
    """What became of one item of several. What is broken here is logged, and keeps no others from being taken."""
    try:
        return taken(given, event, app)
    except Rejected as error:
        log.error(json.dumps({"failed": type(error).__name__, "why": str(error)}))
        why = "the service cannot take this just now; its log says why"
        return {**named(given), "status": "failed", "code": refused_with(error)[1], "why": why}


def named(given: Any) -> dict[str, str | None]:
    """The prediction that an item says it is about."""
    said = given.get("prediction") if isinstance(given, dict) else None
    return {"prediction": said if isinstance(said, str) and len(said) <= 200 else None}


def taken(given: Any, event: HttpRequest, app: App) -> dict[str, Any]:
    """What became of one item. A bad one is reported; `Rejected` is what is no fault of who sent it."""
    try:
        if isinstance(given, Rejected):
            raise given
        prediction, record = judged(given, event, app)
    except Rejected as error:
        if error.code in OURS:
            raise
        return {**named(given), "status": "refused", "code": error.code, "why": str(error)}
    keep(record, prediction, app)
    return {**named(given), "status": "recorded"}


def judged(given: Any, event: HttpRequest, app: App) -> tuple[Prediction, Feedback]:
    """The feedback record of one item, or `Rejected`."""
    said, raw = item(given)
    prediction = Prediction.parse(said)
    capture = captured(prediction, app)
    record = Feedback(
        made_by=app.maker,
        made_from=(capture.link(prediction.capture),),
        model=prediction.model,
        prediction=prediction.id,
        truth=truth(raw, capture),
        noted={"at": event.at.isoformat()},
    )
    return prediction, record


def captured(prediction: Prediction, app: App) -> Capture:
    capture = app.find(Capture, prediction.capture)
    if capture is None:
        why = "no such prediction; send the id that came with the answer"
        raise Rejected(prediction.id, why, code="unknown_prediction")
    if capture.prediction != prediction.id:
        raise Rejected(prediction.capture, f"holds another prediction, {capture.prediction[:120]}", code="altered")
    return capture


def keep(said: Feedback, prediction: Prediction, app: App) -> None:
    """Keep what is said, unless it was said before and still holds.

    Somebody who says again what has been corrected since means it, for all we know. It may be a client that sends
    once more what was taken long ago.
    """
    before: dict[str, Feedback | None] = {}
    for key in map(prediction.feedback, names(said.truth)):
        if key not in before:
            if created(key, said, app):
                return
            before = dict(captures.feedback(app, app.store.list(prediction.truths)))
            if holds(said, before.values()):
                return


def created(key: str, said: Feedback, app: App) -> bool:
    """Whether it could be written there; not if something had been."""
    try:
        app.store.create(key, said.to_bytes())
    except Conflict:
        return False
    return True


def holds(said: Feedback, before: Iterable[Feedback | None]) -> bool:
    """Whether what was said before comes to the same without it."""
    words = [captures.word(one) for one in before if one is not None]
    return canonical(captures.known(words)) == canonical(captures.known([*words, captures.word(said)]))


handler = on_http(run)
