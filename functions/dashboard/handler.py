"""Dashboard: show what is in the bucket, a page for each model, dataset and prediction.

Wakes on  HTTP GET /, /models/{model}, /datasets/{dataset}, /predictions/{id}
Reads     the heads and the newest records of every topic; captures by their keys alone, but for the one asked for
Writes    nothing

Delivered twice, it shows the same. What cannot be read is said in its place, and the page goes on beside it. However
much is in the bucket, it reads a bounded number of records and says what it left out.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from importlib import resources
from itertools import islice, takewhile
from typing import Any, TypeVar

import jinja2

from functions.dashboard import datasets, plots, predictions, view, words
from functions.dashboard.found import DatasetFound, Found, GlanceFound, Keys, ModelFound, Problem
from samara.ahead import ahead
from samara.alerts import WAY_OUT, holding
from samara.app import App
from samara.core import keys, lineage, windows
from samara.core.aliases import Aliases
from samara.core.keys import Prediction
from samara.core.records import (
    Alert,
    Batch,
    Capture,
    Decision,
    DriftReport,
    Feedback,
    ModelVersion,
    Quarantine,
    Record,
    Result,
    Run,
    Scores,
    Scoring,
    ShadowReport,
    Validation,
)
from samara.entry import on_http, refusal
from samara.errors import NotFound, Rejected
from samara.events import HttpRequest, HttpResponse

NEWEST = 24  # records of each kind on a page: a screen or two, and a second or two of reading
WINDOWS = 36  # three years of months, or five weeks of days
BATCHES = 60
CAPTURES = 10_000  # keys, ten pages of a cloud's listing
ALERTS = 200  # they are not named by subject, so those of one model are found by reading
LOOKED = 500  # records not named by time that are asked for their age: some seconds on the smallest machine of a cloud
MOST = 50  # models, and datasets, on the first page
LISTED = 100_000  # keys of one topic that are counted before we say "or more"
STEPS = 500  # of a prediction's lineage
HASHED = 256 << 20  # bytes of its payloads: some seconds on the smallest machine of a cloud
EPOCH, HOUR = datetime(1970, 1, 1, tzinfo=UTC), timedelta(hours=1)
LAST_HOUR = (datetime.max.replace(tzinfo=UTC) - EPOCH) // HOUR
HEADERS = {
    "content-type": "text/html; charset=utf-8",
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}

R = TypeVar("R", bound=Record)


def run(event: HttpRequest, app: App) -> HttpResponse:
    if event.method not in ("GET", "HEAD"):
        why = "only GET and HEAD here: the dashboard shows and changes nothing"
        return refusal(405, "bad_method", why, {"allow": "GET, HEAD"})
    what, _, name = event.path.strip("/").partition("/")
    try:
        match what:
            case "" if not name:
                values = index(app)
            case "models" if name:
                values = model(name, event.at, app)
            case "datasets" if name:
                values = dataset(name, app)
            case "predictions" if name:
                values = prediction(name, app)
            case _:
                raise NotFound(event.path, "there is no such page; start from /")  # noqa: TRY301  # told as any other absence
    except (NotFound, Rejected) as error:
        return missing(event, f"{words.visible(error.subject)}: {error.why}")
    return page(f"{what or 'index'}.html", event.at, **values)


def missing(event: HttpRequest, why: str) -> HttpResponse:
    """404, as a page for people and as JSON for programs."""
    if "text/html" in event.headers.get("accept", ""):
        return page("missing.html", event.at, status=404, why=why)
    return refusal(404, "not_found", why)


def page(template: str, at: datetime, *, status: int = 200, **values: Any) -> HttpResponse:
    text = pages().get_template(template).render(at=at, **values)
    return HttpResponse(status, text.encode(), HEADERS)


@cache
def pages() -> jinja2.Environment:
    """The templates of this package, each value in them escaped, each name that is missing an error."""
    folder = resources.files("functions.dashboard") / "templates"
    sources = {file.name: file.read_text("utf-8") for file in folder.iterdir() if file.name.endswith((".html", ".css"))}
    environment = jinja2.Environment(
        loader=jinja2.DictLoader(sources),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(visible=words.visible, whole=words.whole, instant=words.instant, rows=words.rows)
    environment.globals.update(steps=plots.STEPS, sentence=words.SENTENCE, way_out=WAY_OUT)
    return environment


def index(app: App) -> dict[str, Any]:
    """Every model and every dataset at a glance."""
    models = sorted({*owners(app, keys.ALIASES), *owners(app, f"{keys.CONFIG}models/"), *folders(app, keys.MODELS)})
    uploaded = (name for topic in (keys.DATASETS, keys.QUARANTINE) for name in folders(app, topic))
    named = sorted({*owners(app, f"{keys.CONFIG}contracts/"), *uploaded})
    return {
        "models": [view.glance(one) for _, one in ahead(partial(at_a_glance, app), models[:MOST], app.at_once)],
        "models_left": max(0, len(models) - MOST),
        "datasets": [one for _, one in ahead(partial(counts, app), named[:MOST], app.at_once)],
        "datasets_left": max(0, len(named) - MOST),
        **alerts_card(app),
    }


def at_a_glance(app: App, name: str) -> GlanceFound:
    """The little one needs to see where a model stands: three records and some listings."""
    aliases, problems = standing(app, name)
    versions = listed(app, f"{keys.MODELS}{name}/")
    champion = [key for key in versions.keys if aliases.champion and key == keys.version(name, aliases.champion)]
    return GlanceFound(
        model=name,
        aliases=aliases,
        problems=problems,
        versions=found(app, ModelVersion, replace(versions, keys=champion), total=len(versions.keys)),
        running=len(pending(app, name)),
        drift=found(app, DriftReport, listed(app, f"{keys.DRIFT}{name}/"), 1),
    )


def counts(app: App, name: str) -> dict[str, str]:
    """How much there is of a dataset."""
    topics = {"batches": keys.DATASETS, "validations": keys.VALIDATIONS, "quarantined": keys.QUARANTINE}
    return {"name": name} | {what: listed(app, f"{topic}{name}/").count for what, topic in topics.items()}


def model(name: str, at: datetime, app: App) -> dict[str, Any]:
    """All that is shown of one model."""
    keys.named(name, "model")
    traces = (keys.model_head(name), keys.aliases(name), f"{keys.MODELS}{name}/", f"{keys.RUNS}{name}/")
    if not any(next(app.store.list(trace), None) for trace in traces):
        raise NotFound(name, "no such model; the first page lists what there is")
    aliases, problems = standing(app, name)
    versions = versions_of(app, name, aliases)
    decisions = found(app, Decision, by_age(app, f"{keys.DECISIONS}{name}/"))
    runs = newest_runs(app, name, versions, decisions)
    scorings = found(app, Scoring, by_age(app, f"{keys.SCORINGS}{name}/"))
    gathered = ModelFound(
        model=name,
        at=at,
        aliases=aliases,
        problems=problems,
        versions=versions,
        sizes={version.artifact: size(app, version.artifact) for version in versions.records.values()},
        decisions=decisions,
        runs=runs,
        results=found(app, Result, Keys([keys.result(key) for key in runs.records])),
        running=len(pending(app, name)),
        submitted=frozenset(listed(app, f"{keys.JOBS}{name}/").keys),
        drift=found(app, DriftReport, listed(app, f"{keys.DRIFT}{name}/"), WINDOWS),
        alerts=alerts(app, name),
        captures=newest_captures(app, name, at),
        shadows=found(app, ShadowReport, listed(app, f"{keys.SHADOWS}{name}/")),
        scorings=scorings,
        scores=found(app, Scores, Keys([keys.scores(key) for key in scorings.records])),
    )
    return {"found": gathered, "page": view.model_page(gathered)}


def dataset(name: str, app: App) -> dict[str, Any]:
    """All that is shown of one dataset."""
    keys.named(name, "dataset")
    batches = found(app, Batch, by_age(app, f"{keys.DATASETS}{name}/", BATCHES), BATCHES)
    quarantine = found(app, Quarantine, by_age(app, f"{keys.QUARANTINE}{name}/", BATCHES), BATCHES)
    if not batches.total and not quarantine.total and not next(app.store.list(keys.contract_head(name)), None):
        raise NotFound(name, "no such dataset; the first page lists what there is")
    gathered = DatasetFound(
        dataset=name,
        batches=batches,
        validations=found(app, Validation, Keys([keys.validation(key) for key in batches.records]), BATCHES),
        quarantine=quarantine,
    )
    return {"found": gathered, "page": datasets.dataset_page(gathered), **alerts_card(app, name)}


def prediction(text: str, app: App) -> dict[str, Any]:
    """What was asked and answered, and where the answer came from, verified while one waits."""
    asked = Prediction.parse(text)
    try:
        capture = app.read(Capture, asked.capture)
    except NotFound as error:
        raise NotFound(text, lineage.UNKNOWN) from error
    except Rejected:  # the trail says what is wrong with it
        capture = None
    feedback = found(app, Feedback, listed(app, asked.truths), LOOKED)
    trail = verified(app, asked.capture)
    return {"page": predictions.prediction_page(asked, capture, feedback, trail), "feedback": feedback}


def verified(app: App, start: str) -> lineage.Trail:
    """The trail from the record at `start`, as far as its payloads can be hashed while one waits."""
    known = dict[str, str]()
    most, begun, left = STEPS, 0, HASHED

    def get(key: str) -> bytes:
        nonlocal begun
        begun += 1
        return app.said(key)

    def digest_of(key: str) -> str:
        nonlocal begun, left
        begun += 1
        if key not in known:
            left -= app.store.head(key).size
            if left < 0:
                raise TooLong
            known[key] = app.digest_of(key)
        return known[key]

    while True:
        try:
            return lineage.walk(start, get, digest_of, most=most)
        except TooLong:  # once more, to the step before
            most, begun = begun - 1, 0


class TooLong(Exception):
    """Nobody should wait for the next payload."""


def standing(app: App, name: str) -> tuple[Aliases, tuple[Problem, ...]]:
    """Who answers for a model; nobody, when that cannot be read or is not decided yet."""
    try:
        return app.find_head(Aliases, keys.aliases(name)) or Aliases(), ()
    except Rejected as error:
        return Aliases(), (Problem(error.subject, error.why),)


def alerts(app: App, name: str = "") -> Found[Alert]:
    """The newest alerts that hold; with a name, those about that model or dataset. `cut` when not all were read."""
    some = found(app, Alert, by_age(app, keys.ALERTS, ALERTS), ALERTS)
    mine = {key: alert for key, alert in some.records.items() if not name or view.concerns(alert, name)}
    held = holding(app, mine)
    return Found(
        records=dict(islice(held.items(), NEWEST)),
        problems=some.problems,
        total=len(held) + len(some.problems),
        cut=some.total > ALERTS or some.cut,
    )


def alerts_card(app: App, name: str = "") -> dict[str, Any]:
    some = alerts(app, name)
    return {"alerts_found": some, "alerts": tuple(view.alert_rows(some))}


def found(app: App, kind: type[R], listing: Keys, newest: int = NEWEST, total: int | None = None) -> Found[R]:
    """The last of the listed records, as far as they can be read. What is gone meanwhile is left out."""
    records: dict[str, R] = {}
    problems: list[Problem] = []
    for key, one in ahead(partial(read, app, kind), listing.keys[-newest:], app.at_once):
        if isinstance(one, Problem):
            problems.append(one)
        elif one is not None:
            records[key] = one
    return Found(records, tuple(problems), len(listing.keys) if total is None else total, listing.cut)


def read(app: App, kind: type[R], key: str) -> R | Problem | None:
    """The record at `key`, or why it cannot be read, or None when it is gone."""
    try:
        return app.find(kind, key)
    except Rejected as error:
        return Problem(key, error.why)


def listed(app: App, prefix: str) -> Keys:
    """The keys of the records below `prefix`."""
    some = [key for key in islice(app.store.list(prefix), LISTED + 1) if key.endswith(".json")]
    return Keys(some[:LISTED], cut=len(some) > LISTED)


def by_age(app: App, prefix: str, most: int = NEWEST) -> Keys:
    """As `listed`, what was written last at the end: for records not named by time. Of more than LOOKED, these are the
    last by name, which may be any."""
    listing = listed(app, prefix)
    if len(listing.keys) <= most:
        return listing
    asked = listing.keys[-LOOKED:]
    ages = dict(ahead(partial(written, app), asked, app.at_once))
    return replace(listing, keys=[*listing.keys[:-LOOKED], *sorted(asked, key=ages.__getitem__)])


def written(app: App, key: str) -> datetime:
    """When the object at `key` was written; long ago, when it is gone."""
    try:
        return app.store.head(key).at
    except NotFound:
        return EPOCH


def owners(app: App, prefix: str) -> Iterator[str]:
    """The models or datasets that have a head directly below `prefix`."""
    return (keys.stem(key) for key in listed(app, prefix).keys if keys.NAME.fullmatch(keys.stem(key)))


def folders(app: App, prefix: str) -> Iterator[str]:
    """The models or datasets that have records below `prefix`, without listing the records."""
    after = ""
    while key := next(app.store.list(prefix, after), None):
        name = keys.owner(key)
        if keys.NAME.fullmatch(name):
            yield name
        after = f"{prefix}{name}0"  # the letter after the slash


def pending(app: App, name: str) -> list[str]:
    """The runs that have no result yet."""
    ended = frozenset(listed(app, f"{keys.RESULTS}{name}/").keys)
    return [key for key in listed(app, f"{keys.RUNS}{name}/").keys if keys.result(key) not in ended]


def versions_of(app: App, name: str, aliases: Aliases) -> Found[ModelVersion]:
    """The newest versions, and those that have a name, however old."""
    listing = listed(app, f"{keys.MODELS}{name}/")
    named = {keys.version(name, one) for one in (aliases.champion, aliases.challenger, aliases.shadow) if one}
    shown = sorted({*listing.keys[-NEWEST:], *named.intersection(listing.keys)})
    return found(app, ModelVersion, replace(listing, keys=shown), len(shown), total=len(listing.keys))


def newest_runs(app: App, name: str, versions: Found[ModelVersion], decisions: Found[Decision]) -> Found[Run]:
    """The runs still to end, then those of the newest versions and decisions, then any: runs are not named by time."""
    listing = listed(app, f"{keys.RUNS}{name}/")
    exist = frozenset(listing.keys)
    plans = (decision.plan for _, decision in decisions.newest_first)
    spoken_of = (
        *(version.run for version in reversed(versions.records.values())),
        *(plan.run for plan in plans if plan),
    )
    wanted = [*pending(app, name)[:NEWEST], *(keys.run(name, run) for run in spoken_of), *listing.keys]
    chosen = [key for key in dict.fromkeys(wanted) if key in exist][:NEWEST]
    return found(app, Run, Keys(chosen, listing.cut), total=len(listing.keys))


def newest_captures(app: App, name: str, at: datetime, most: int = CAPTURES) -> Keys:
    """The keys of the newest predictions without listing the old ones: the last hour, then back in strides.

    A stride that holds too many is halved, and doubled again where little was asked.
    """
    prefix = f"{keys.CAPTURES}{name}/"
    first = next(app.store.list(prefix), None)
    if first is None:
        return Keys()
    top = start = last_hour(app, prefix, at)
    end, stride = f"{prefix}~", 1
    kept: list[str] = []
    while True:
        room = most - len(kept)
        some = between(app, prefix, bound(prefix, start), end, room + 1)
        if len(some) <= room:
            kept = some + kept
            end, top, stride = bound(prefix, start), start, stride * 2
            if start == 0 or end <= first:
                return Keys(captures_in(kept), cut=first < end)
        elif stride == 1:
            return Keys(captures_in(some[:room] + kept), cut=True)
        else:
            stride //= 2
        start = max(0, top - stride)


def between(app: App, prefix: str, after: str, end: str, most: int) -> list[str]:
    """The first keys after one and before the other."""
    return list(islice(takewhile(lambda key: key < end, app.store.list(prefix, after)), most))


def last_hour(app: App, prefix: str, at: datetime) -> int:
    """The last hour, counted from `EPOCH`, in or after which something was captured."""
    now = (at - EPOCH) // HOUR + 1
    hours = range(now) if nothing_after(app, prefix, now) else range(now, LAST_HOUR)  # clocks do go wrong
    return max(0, hours.start + bisect_left(hours, x=True, key=lambda hour: nothing_after(app, prefix, hour)) - 1)


def nothing_after(app: App, prefix: str, hour: int) -> bool:
    return next(app.store.list(prefix, bound(prefix, hour)), None) is None


def bound(prefix: str, hour: int) -> str:
    """What sorts before every capture of that hour and after every earlier one."""
    return f"{prefix}{windows.hour(EPOCH + hour * HOUR)}"


def captures_in(found: Sequence[str]) -> list[str]:
    """The keys of the captures in these objects; what else lies there is not counted."""
    return [one.capture for key in found if key.count("/") == 3 for one in keys.predictions_at(key) if sound(one, key)]


def sound(one: keys.Prediction, key: str) -> bool:
    """Whether the object at `key` is where this prediction is captured."""
    spoken = re.fullmatch(keys.PREDICTION, one.id) is not None and real_hour(one.hour)
    return spoken and one.capture.partition("#")[0] == key


@cache
def real_hour(name: str) -> bool:
    try:
        return windows.Window(name).size == "hour"
    except Rejected:
        return False


def size(app: App, artifact: str) -> int | None:
    """The bytes of a model, or None when it is gone."""
    try:
        return app.store.head(keys.blob(artifact)).size
    except NotFound:
        return None


handler = on_http(run)
