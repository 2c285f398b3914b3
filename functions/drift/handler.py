"""Drift: compare what was asked in each closed window with what the answering version was trained on.

Wakes on  the clock, every hour
Reads     aliases/, config/models/, the captures and feedback of each window without a report, and the training
          profile of the versions that answered
Writes    a blob that lists the captures measured
     then drift/{model}/{window}.json, which wakes `train` when it says drifted
      or  alerts/… for a model that cannot be measured

Ticked twice, late or out of order, it finds each report there and leaves it alone.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import NamedTuple

from functions.drift.gathered import Gathered, answered_most
from functions.drift.verdict import Share, judged
from samara import captures
from samara.app import App
from samara.core import keys, windows
from samara.core.aliases import Aliases
from samara.core.definition import Definition, parse
from samara.core.heads import ModelHead
from samara.core.profile import Profile
from samara.core.records import DriftReport, ModelVersion
from samara.core.windows import Size, Window
from samara.entry import on_tick
from samara.errors import NotFound, Rejected
from samara.events import Tick

MOST_CAPTURES = 50_000  # of one window: more would not change its figures, and not be read in time
MOST_ROWS = 1_000_000  # of one window, and of one request: more than any body that predict takes
LOOKBACK: dict[Size, int] = {"hour": 48, "day": 14, "month": 12}  # how late a tick may come and still find its window


def run(event: Tick, app: App) -> list[DriftReport]:
    """The reports written now. What cannot be measured is told, and does not stop the rest."""
    written = []
    for key in app.store.list(keys.ALIASES):
        model = keys.owner(key)
        with told(model, event.at, app):
            champion, definition = served(model, app)
            for window in due(definition, event.at, app) if champion else ():
                with told(model, event.at, app):
                    report = measured(definition, window, champion, event.at, app)
                    written.append(app.write(keys.drift(model, window), report))
    return written


@contextmanager
def told(model: str, at: datetime, app: App) -> Iterator[None]:
    """Turns what is broken or missing into an alert, for a person to mend."""
    try:
        yield
    except (Rejected, NotFound) as error:
        app.alert(model, f"drift cannot be measured: {error.subject}", str(error), at)


def served(model: str, app: App) -> tuple[int, Definition]:
    """The champion, 0 when there is none yet, and the definition in force."""
    aliases = app.find_head(Aliases, keys.aliases(model))
    head = app.find_head(ModelHead, keys.model_head(model))
    if head is None:
        raise Rejected(keys.model_head(model), "is missing, so its drift limits are unknown; publish its definition")
    champion = aliases.champion if aliases else None
    return champion or 0, parse(app.blob(head.definition), f"definition of {model}")


def due(definition: Definition, at: datetime, app: App) -> Iterator[Window]:
    """The closed windows that have captures and no report yet, oldest first. Listing skips those without."""
    model, size = definition.model, definition.drift.window
    reported = set(app.store.list(f"{keys.DRIFT}{model}/"))
    for window in captures.windows_with(app, model, windows.closed(at, size, LOOKBACK[size])):
        if keys.drift(model, window) not in reported:
            yield window


def measured(definition: Definition, window: Window, champion: int, at: datetime, app: App) -> DriftReport:
    model = definition.model
    seen = captured(model, window, app)

    version = answered_most(seen.gathered) or champion
    most = seen.gathered.get(version) or Gathered(baseline(model, version, app))
    found = judged(most.baseline, most.profile(), definition.drift, comparable=most.comparable, share=seen.share)

    return DriftReport(
        made_by=app.maker,
        made_from=(app.read(ModelVersion, keys.version(model, version)).link(keys.version(model, version)),),
        model=model,
        version=version,
        window=window.name,
        rows=most.rows,
        verdict=found.word,
        why=found.why,
        columns=found.columns,
        performance=most.labelled.performance(definition.task),
        labelled_rows=most.labelled.rows,
        unreadable=seen.unreadable,
        captures=app.keep("".join(sorted(most.lines)).encode()),
        noted={"at": at.isoformat()},
    )


class Seen(NamedTuple):
    """A window's answers by the version that gave them, what could not be read, and which share of all that is."""

    gathered: dict[int, Gathered]
    unreadable: int
    share: Share


def captured(model: str, window: Window, app: App) -> Seen:
    """What was asked in the window, or a fair part of it where there is more than can be read in time."""
    drawn = captures.drawn(app, model, window, MOST_CAPTURES)
    gathered: dict[int, Gathered] = {}
    looked_at = unreadable = rows = 0
    for key, capture, truth in captures.with_truths(app, model, window, drawn.keys):
        looked_at += 1
        if capture is None or capture.model != model or capture.rows > MOST_ROWS:
            unreadable += 1
        elif capture.status == 200 and capture.version is not None:
            if capture.version not in gathered:
                gathered[capture.version] = Gathered(baseline(model, capture.version, app))
            gathered[capture.version].add(key, capture, truth)
            rows += capture.rows
        if rows >= MOST_ROWS:
            break
    return Seen(gathered, unreadable, Share(looked_at, max(looked_at, drawn.there)))


def baseline(model: str, version: int, app: App) -> Profile:
    """The training profile of a version, which its record names."""
    name = app.read(ModelVersion, keys.version(model, version)).baseline
    return Profile.read(app.blob(name), keys.blob(name))


handler = on_tick(run)
