"""Predict: answer by Open Inference Protocol v2 or by rows, and capture each answer before it is given.

Wakes on  HTTP /v2…: metadata, health, POST /v2/models/{model}[/versions/{version}]/infer, …/rows, …/explain, …/batch
          the hour, to ask a shadow what others answered
Reads     aliases/{model}.json, config/models/{model}.json, models/{model}/{version}.json, the blobs they name
Writes    captures/{model}/{hour}/{unique}.json, one for each request, or {unique}.{count}.jsonl for several that came
          together; scorings/{model}/{scoring}.json, which wakes score; shadows/{model}/{hour}.json

Delivered twice under the same client id, a request meets its first answer. Without an id, each is its own.
"""

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from importlib import import_module
from typing import TYPE_CHECKING, Any

from functions.predict import protocol, routing, served, wire
from functions.predict.capturing import captured, unique
from functions.predict.policy import Policy
from functions.predict.protocol import Route
from functions.predict.work import (
    AGE,
    MILLISECOND,
    Live,
    Version,
    Work,
    fit,
    groups,
    id_of,
    inflated,
    judge,
    receipt_of,
)
from samara import __version__, engines
from samara.app import App
from samara.core import keys, windows
from samara.core.digests import digest, short
from samara.core.keys import Prediction
from samara.core.tensors import Raw, Value, cut, joined
from samara.engines import Session
from samara.entry import json_response, log, on_tick_or_http, refusal, refused
from samara.errors import NotAtOnce, Rejected, SamaraError
from samara.events import HttpRequest, HttpResponse, Tick

if TYPE_CHECKING:
    from functions.predict.by_heart import Known
    from functions.predict.explain import Ask

KEY = "samara-key"  # the header by which who asks is always sent to the same version

PATIENCE_S = 30.0  # for the model to answer all who came together; then the server has told them to come again

MOST_BY_HEART = 64  # requests of one model: who says something else each time is answered the ordinary way

Answer = HttpResponse | SamaraError
Lives = dict[tuple[str, datetime], Live]  # who answers for each model, looked up once for all who came at one instant


def run(event: Tick | HttpRequest, app: App) -> Any:
    if isinstance(event, Tick):
        return on_demand("ticks").compared(event, app)
    answer = recited(event, app) or answered([event], app)[0]
    if isinstance(answer, SamaraError):
        raise answer
    return answer


def together(events: Sequence[HttpRequest], app: App) -> list[HttpResponse]:
    """The answers to requests that came together: those that fit share a run of the model, and all a capture."""
    try:
        answers = several(events, app) if len(events) > 1 else [recited(events[0], app) or answered(events, app)[0]]
        return [refused(answer) if isinstance(answer, SamaraError) else answer for answer in answers]
    except NotAtOnce:
        raise
    except Exception as error:  # noqa: BLE001  # a bug that one of them met must not be felt by the others
        if len(events) > 1:
            return [response for event in events for response in together([event], app)]
        return [crashed(error)]


def answered(events: Sequence[HttpRequest], app: App) -> list[Answer]:
    lives: Lives = {}
    begun = [begin(event, app, lives) for event in events]
    works = [work for work in begun if type(work) is Work]

    due = time.monotonic() + PATIENCE_S
    for group in groups(works):
        ask(group, app, due)
    for work in works:
        judge(work)
        explain(work, app)

    captured(works, app)
    return [alone(work, app) if isinstance(work, Work) else work for work in begun]


def on_demand(name: str) -> Any:
    """A part of this function that few requests need and all would wait for: it brings numpy or pydantic."""
    return import_module(f"functions.predict.{name}")


def begin(event: HttpRequest, app: App, lives: Lives) -> Work | Answer:
    """A request as far as it can be taken before the model is asked, or its answer if that is all."""
    try:
        route = protocol.route(event.path)
        if event.method != route.method:
            return refusal(405, "bad_method", f"use {route.method} here", {"allow": route.method})
        if route.what not in ("infer", "rows", "explain"):
            return json_response(*other(route, event, app))
        place = (route.model, event.at)
        live = lives.get(place) or lives.setdefault(place, served.live(*place, app))
    except SamaraError as error:
        return error
    work = Work(event, route, live, Prediction(route.model, windows.hour(event.at), unique()))
    try:
        read(work, app)
    except SamaraError as error:
        work.error = error
        if not work.id and route.what != "infer":
            named(work, id_of(work))
    return work


def by_heart(event: HttpRequest, app: App) -> "tuple[Known, list[Raw]] | None":
    """How to answer it by heart and for which numbers, if anybody knows. Nothing is looked up for that."""
    try:
        live = served.LIVE.peek((app.store, protocol.route(event.path).model))
    except Rejected:
        return None
    if live is None or not live.by_heart or event.method != "POST":
        return None
    known = live.by_heart.get(wire.likeness(event))
    numbers = known.numbers(event) if known else None
    return (known, numbers) if known and numbers is not None else None


def recited(event: HttpRequest, app: App) -> Answer | None:
    """The answer by heart, or None where it is found the ordinary way."""
    found = by_heart(event, app)
    if found is None:
        return None
    known, numbers = found
    try:
        return known.answer(event, numbers)
    except SamaraError as error:
        return failed(error, known.version, known.policy)


def several(events: Sequence[HttpRequest], app: App) -> list[Answer]:
    """The answers to all of these, by heart where that can be."""
    known = recited_together(events, app)
    others = iter(answered([event for event, answer in zip(events, known, strict=True) if not answer], app))
    return [answer or next(others) for answer in known]


def recited_together(events: Sequence[HttpRequest], app: App) -> list[Answer | None]:
    """The answers by heart. Requests that are alike share a run of the model."""
    answers: list[Answer | None] = [None] * len(events)
    alike: dict[int, tuple[Known, list[tuple[int, list[Raw]]]]] = {}
    said: Sequence[Answer | None]
    for place, event in enumerate(events):
        if found := by_heart(event, app):
            known, numbers = found
            alike.setdefault(id(known), (known, []))[1].append((place, numbers))
    for known, group in alike.values():
        for start in range(0, len(group), known.together):
            places, given = zip(*group[start : start + known.together], strict=True)
            asked = [events[place] for place in places]
            try:
                said = known.answers(asked, given) if len(asked) > 1 else [known.answer(asked[0], given[0])]
            except SamaraError as error:  # it takes too long: so all others are asked the ordinary way, which ends
                if len(asked) == 1:
                    answers[places[0]] = failed(error, known.version, known.policy)
                return answers
            for place, answer in zip(places, said, strict=True):
                answers[place] = answer
    return answers


def read(work: Work, app: App) -> None:
    """What is asked, and of which version."""
    if work.route.what == "infer":
        work.asked = wire.asked(work.event.headers, work.event.body, work.model)
        named(work, work.asked.id)
        fit(work, version_for(work, app))
    else:
        fit(work, version_for(work, app))
        named(work, work.rows.id if work.rows else "")


def named(work: Work, client_id: str) -> None:
    """Give what comes under a client's id a name that follows from it, so that it is found when it comes again. Not
    from how it was compressed: gzip writes the time into what it makes."""
    if not client_id:
        return
    work.id = client_id
    name = short(work.model, work.route.what, work.route.version, work.id, digest(inflated(work)))
    work.prediction = Prediction(work.model, work.prediction.hour, name)


def version_for(work: Work, app: App) -> Version:
    """The version that is to answer. Shares go by the caller's key, else by chance, or by the id."""
    live, alias = work.live, work.route.version
    if alias.isdigit():
        return numbered(int(alias), work, app)
    standing = live.standing
    work.move = standing.move
    found = live.by_alias.get(alias)
    if found is None:
        key = work.event.headers.get(KEY) or work.prediction.unique
        found = numbered(routing.chosen(standing, work.route.model, alias, key), work, app)
        if alias or not standing.weights:
            live.by_alias[alias] = found
    return found


def numbered(number: int, work: Work, app: App) -> Version:
    versions = work.live.versions
    if number not in versions:
        versions[number] = served.masked(served.version(work.route.model, number, app), work.policy)
    return versions[number]


def ask(group: Sequence[Work], app: App, due: float) -> None:
    """Run the model for all of these at once. When it fails on them, each is asked alone: one of them is to blame, or
    they were too many. Who might not be answered by `due` any more has to come again."""
    first, version = group[0], group[0].version
    if version is None:
        return
    if time.monotonic() > due - min(first.policy.limit_s, PATIENCE_S / 2):
        for work in group:
            work.error = Rejected(work.model, "others that came just before took too long; ask again", code="busy")
        return
    started = time.perf_counter()
    try:
        session = served.session(version, first.policy, app)
        given = first.values
        if len(group) > 1:
            given = {name: joined([work.values[name] for work in group]) for name in given}
        outputs = session.run(given, version.names, limit_s=first.policy.limit_s)
    except SamaraError as error:
        to_blame = isinstance(error, Rejected) and error.code in ("model_failed", "bad_input", "too_slow")
        for work in group:
            if to_blame and len(group) > 1:
                ask([work], app, due)
            else:
                work.error = failed(error, version, work.policy)
        return
    seconds = time.perf_counter() - started
    if len(group) == 1:
        first.outputs, first.seconds = outputs, seconds
        return
    counts = [work.count for work in group]
    pieces = {name: cut(value, counts) for name, value in outputs.items()}
    for place, work in enumerate(group):
        work.outputs = {name: parts[place] for name, parts in pieces.items()}
        work.seconds = seconds


def failed(error: SamaraError, version: Version, policy: Policy) -> SamaraError:
    """What strangers are told of a model that fails. What went wrong inside it is for the log."""
    if not isinstance(error, Rejected) or error.code not in ("model_failed", "too_slow"):
        return error
    log.warning(json.dumps({"model": version.model, "version": version.number, "failed": str(error)[:1000]}))
    why = f"version {version.number} failed on these inputs"
    if error.code == "too_slow":
        why = f"version {version.number} took longer than {policy.limit_s:g} seconds; ask about fewer rows at once"
    return Rejected(version.model, why, code=error.code)


def explain(work: Work, app: App) -> None:
    """Why each row got its answer, where that is asked. What cannot be explained is refused, and captured as that."""
    version = work.version
    if work.route.what != "explain" or work.error or version is None or "explanations" in work.said:
        return
    try:
        session = served.session(version, work.policy, app)
        told = on_demand("explained").explained(work, version, within(work.policy.limit_s, session))
        work.said = {**work.said, "explanations": told}
    except SamaraError as error:
        work.error = failed(error, version, work.policy)


def within(limit_s: float, session: Session) -> "Ask":
    """How the model is asked, as often as an explanation needs, in no more time altogether than one answer may take."""
    due = time.monotonic() + limit_s

    def ask(values: dict[str, Value]) -> Mapping[str, Value]:
        left = due - time.monotonic()
        if left <= 0:
            raise Rejected("model", f"takes longer than {limit_s:g} s", code="too_slow")
        return session.run(values, limit_s=left)

    return ask


def alone(work: Work, app: App) -> Answer:
    """The answer. A bug that it meets here is not felt by the others: what they are told is written down already."""
    try:
        return told(work, app)
    except Exception as error:  # noqa: BLE001  # as the docstring says
        return crashed(error)


def crashed(error: Exception) -> HttpResponse:
    log.error(json.dumps({"function": "predict", "outcome": "crashed"}), exc_info=error)
    return refusal(500, "internal", "something went wrong here; the log says what")


def told(work: Work, app: App) -> Answer:
    """The answer with its receipt."""
    explain(work, app)  # again where it came before, and met its first answer
    version = work.version
    prediction = work.prediction.id
    headers = {"samara-prediction": prediction} if work.capture else {}
    if work.error or version is None:
        error = work.error or Rejected(work.model, "has no answer", code="no_model")
        return with_headers(refused(error), headers) if headers else error
    number = headers["samara-version"] = str(version.number)
    headers[AGE] = str(max(0, (work.event.at - work.live.at) // MILLISECOND))
    if work.asked:
        answer = wire.answer(
            work.asked,
            model=work.model,
            version=number,
            id=work.asked.id or prediction,
            parameters=receipt_of(work, version, prediction),
            outputs=work.outputs,
            accept_encoding=work.event.headers.get("accept-encoding", ""),
            headers=headers,
            listed=work.listed,
        )
        if not work.policy.capture.share:
            heard(work, answer)
        return answer
    said = {"model_name": work.model, "model_version": number, **work.said}
    return json_response(200, {**said, "receipt": receipt_of(work, version, prediction)}, headers)


def heard(work: Work, answer: HttpResponse) -> None:
    """Learn by heart what is asked for the second time. The first time, whoever asks has waited long enough."""
    likeness, by_heart = wire.likeness(work.event), work.live.by_heart
    if likeness in by_heart:
        if by_heart[likeness] is None:
            by_heart[likeness] = on_demand("by_heart").learned(work, answer)
    elif len(by_heart) < MOST_BY_HEART:
        by_heart[likeness] = None


def with_headers(response: HttpResponse, headers: dict[str, str]) -> HttpResponse:
    return HttpResponse(response.status, response.body, {**response.headers, **headers})


def other(route: Route, event: HttpRequest, app: App) -> tuple[int, Any]:
    """What is answered without asking a model, and under which status."""
    if route.what in ("batch", "batch state"):
        return on_demand("scoring_requests").answered(route, event, app)  # type: ignore[no-any-return]  # as here
    return 200, about(route, event, app) if route.model else of_server(route, event.at, app)


def of_server(route: Route, at: datetime, app: App) -> Any:
    match route.what:
        case "server":
            return protocol.server(__version__)
        case "live":
            return {"live": True}
        case "ready":
            next(app.store.list(keys.ALIASES), None)
            return {"ready": True}
        case "index":
            return protocol.index(listed(at, app))
    return {"models": [{"name": keys.owner(key)} for key in app.store.list(keys.ALIASES)]}


def about(route: Route, event: HttpRequest, app: App) -> dict[str, Any]:
    """What a model is, in the version that is asked for."""
    version = version_of(route, event.at, app)
    if route.what == "model ready":
        served.session(version, served.live(route.model, event.at, app).policy, app)
        return {"name": route.model, "ready": True}
    if route.what == "config":
        return protocol.config(route.model, version.inputs, version.outputs)
    versions = keys.versions(route.model, app.store.list(f"{keys.MODELS}{route.model}/"))
    live = {"version": version.number, "digest": version.artifact}
    return protocol.metadata(route.model, [*map(keys.number, versions)], version.inputs, version.outputs, **live)


def version_of(route: Route, at: datetime, app: App) -> Version:
    if route.version.isdigit():
        return served.version(route.model, int(route.version), app)
    standing = served.live(route.model, at, app).standing
    return served.version(route.model, routing.chosen(standing, route.model, route.version or "champion", ""), app)


def listed(at: datetime, app: App) -> Iterable[tuple[str, int, str]]:
    """Each model with its champion, or with why it has none."""
    for key in app.store.list(keys.ALIASES):
        model = keys.owner(key)
        try:
            yield model, routing.chosen(served.live(model, at, app).standing, model, "champion", ""), ""
        except Rejected as error:
            yield model, 0, error.why


handler = on_tick_or_http(run, together, engines.warm, lasting=("/explain", "/batch"))
