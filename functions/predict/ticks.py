"""The shadow: once an hour, ask a version what others were asked, and write down how its answers differ.

It works on what was captured, after the fact: so it can neither delay an answer nor fail one. An hour without
captures costs a listing, and a model without a shadow costs the reading of its aliases.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from functions.predict import receipt, served
from functions.predict.shadow import Comparison
from functions.predict.work import Version
from samara import captures
from samara.app import App
from samara.core import keys, windows
from samara.core.records import Capture, Link, ShadowReport
from samara.core.tensors import Value
from samara.core.windows import Window
from samara.engines import Session
from samara.errors import NotFound, Rejected
from samara.events import Tick

LOOKBACK = 48  # hours: how late a tick may come and still find its hour
MOST_ROWS = 10_000  # of one hour
BUDGET_S = 15.0  # after which no further hour is begun: the next tick goes on with those that are left
HOUR_S = 10.0  # after which an hour's sample is large enough as it is: both together fit into the function's time


def compared(event: Tick, app: App) -> list[ShadowReport]:
    """The reports written now. A shadow that cannot be asked is told, and does not stop the others."""
    until = time.monotonic() + BUDGET_S
    written: list[ShadowReport] = []
    for key in app.store.list(keys.ALIASES):
        model = keys.owner(key)
        with told(model, event.at, app):
            number = served.standing_of(model, app).shadow
            for hour in due(model, event.at, app) if number else ():
                if time.monotonic() > until:
                    return written
                found = report(served.version(model, number or 0, app), hour, event.at, app)
                written.append(app.write(keys.shadow(model, hour.name), found))
    return written


@contextmanager
def told(model: str, at: datetime, app: App) -> Iterator[None]:
    """Turns what is broken or missing into an alert, for a person to mend."""
    try:
        yield
    except (Rejected, NotFound) as error:
        app.alert(model, f"its shadow cannot be asked: {error.subject}", str(error), at)


def due(model: str, at: datetime, app: App) -> Iterator[Window]:
    """The closed hours that have captures and no report yet, oldest first."""
    reported = set(app.store.list(f"{keys.SHADOWS}{model}/"))
    for hour in captures.windows_with(app, model, windows.closed(at, "hour", LOOKBACK)):
        if keys.shadow(model, hour.name) not in reported:
            yield hour


def report(shadow: Version, hour: Window, at: datetime, app: App) -> ShadowReport:
    """What the shadow says about an hour's captures, each asked as it was asked then."""
    policy = served.policy_of(shadow.model, app)
    session = served.session(shadow, policy, app)
    asked = captures.first(app, shadow.model, hour, MOST_ROWS)
    found, seconds, until = Comparison(), 0.0, time.monotonic() + HOUR_S
    for _, capture, truth in captures.with_truths(app, shadow.model, hour, asked):
        given = inputs(capture, shadow, session) if capture else None
        started = time.perf_counter()
        outputs = answers(session, given, policy.limit_s) if given else None
        if capture is None or outputs is None:
            found.left_out += 1
        else:
            seconds += time.perf_counter() - started
            values = {name: receipt.captured(value, capture.rows) for name, value in outputs.items()}
            datatypes = {name: value.datatype for name, value in outputs.items()}
            found.add(capture.outputs, values, datatypes, capture.rows, truth)
        if max(found.rows, found.left_out) >= MOST_ROWS or time.monotonic() > until:
            break
    return ShadowReport(
        made_by=app.maker,
        made_from=(Link(key=shadow.link[0], digest=shadow.link[1]),),
        model=shadow.model,
        version=shadow.number,
        hour=hour.name,
        noted={"at": at.isoformat(), "seconds_per_row": round(seconds / max(found.rows, 1), 9)},
        **found.said(),
    )


def inputs(capture: Capture, shadow: Version, session: Session) -> dict[str, Value] | None:
    """What was asked, as the shadow takes it; None where that is not known, or it answered itself, or nobody did."""
    if capture.status != 200 or capture.model != shadow.model or capture.version in (None, shadow.number):
        return None
    given = {}
    for spec in session.inputs:
        said, shape = capture.inputs.get(spec.name), capture.shapes.get(spec.name)
        if said is None or shape is None or spec.name in capture.masked:
            return None
        try:
            given[spec.name] = receipt.value(spec.datatype, list(shape), said, spec.name)
        except (Rejected, ValueError, TypeError, KeyError):  # it was another kind of input then
            return None
    return given


def answers(session: Session, given: dict[str, Value], limit_s: float) -> dict[str, Value] | None:
    """What the shadow answers; None where it fails."""
    try:
        return dict(session.run(given, limit_s=limit_s))
    except Rejected:
        return None
