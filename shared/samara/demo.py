"""The whole loop on real data, as a story: a year of flights out of New York, replayed month by month.

January trains the first version. Each later month is predicted over HTTP, labelled when it is over, and
compared with what the champion was trained on; when the weather has become another, retraining follows, and
the challenger becomes champion only through its gates. Nothing here is simulated but the calendar.
"""

import importlib.util
import json
import os
import re
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import httpx
import pyarrow as pa
from pyarrow import csv
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from samara import project
from samara.console import platform_address
from samara.core import keys
from samara.core.aliases import Aliases, succession
from samara.core.definition import Definition
from samara.core.records import Alert, Decision, DriftReport, ModelVersion, Result, Validation
from samara.core.windows import Window
from samara.dev.platform import Platform
from samara.errors import Conflict, SamaraError, Unavailable
from samara.settings import HOME, Settings

T = TypeVar("T")
MARK = "demo.json"  # says that a home is the demo's own, to be begun anew
EVERY = 5  # of the flights of a month, one in so many is asked about
ROWS = 500  # in one request
PATIENCE_S = 120.0
MONTHS = 9  # until September: quiet, drifted, better, refused have all been seen
NUMBERS = ("rows", "refused", "asked", "auc")
DONE = "✓"


@dataclass(slots=True)
class Calendar:
    """The clock of the replay: it stands where the story is."""

    at: datetime

    def __call__(self) -> datetime:
        return self.at


@dataclass(slots=True)
class Month:
    """One row of the story."""

    name: str
    rows: str = ""
    refused: str = ""
    predicted: str = ""
    live: str = ""
    drift: str = ""
    outcome: str = ""
    prediction: str = ""


@dataclass(slots=True)
class Story:
    """What has happened so far, and what is happening now."""

    platform: Platform
    calendar: Calendar
    definition: Definition
    stopped: threading.Event
    progress: Progress
    months: list[Month] = field(default_factory=list)


class Stopped(Exception):  # nothing went wrong: somebody pressed Ctrl-C
    """The demo was asked to end."""


def run(settings: Settings, stopped: threading.Event, *, keep: bool, months: int = MONTHS) -> None:
    """Run the demo in `settings.home`. With `keep`, go on serving the dashboard until stopped."""
    begin_anew(settings)
    out = Console(highlight=False, width=None if sys.stdout and sys.stdout.isatty() else 100)
    example = where()
    copied = settings.home / "project"
    shutil.copytree(example, copied, ignore=shutil.ignore_patterns("__pycache__"))
    out.print("[bold]Samara[/]  every flight out of New York in 2013, month by month")
    out.print(f"[dim]model: will it arrive more than 15 minutes late?   project: {escape(shown(copied))}[/]\n")
    started = time.monotonic()
    calendar = Calendar(datetime(2013, 1, 31, 23, tzinfo=UTC))
    log = (settings.home / "functions.log").open("w")
    with log, quiet(log.fileno()), Platform(settings, clock=calendar) as platform:
        found = project.read(copied)
        project.publish(found, platform.app)
        definition = next(iter(found.definitions.values()))[0]
        progress = Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        story = Story(platform, calendar, definition, stopped, progress)
        try:
            flights = loaded(copied / "flights.py").months(settings.home / "months")
            told(story, islice(flights, months), months, out)
            elapsed = time.monotonic() - started
            closing(story, out, elapsed, keep=keep)
            if keep:
                stopped.wait()
        except Stopped:
            out.print("stopped")


def told(story: Story, files: Iterable[tuple[str, Path]], total: int, out: Console) -> None:
    """Live through the months, showing each as it passes."""
    bar = story.progress.add_task("reading the flights", total=total)
    with Live(console=out, get_renderable=lambda: screen(story), refresh_per_second=8, vertical_overflow="visible"):
        for number, (name, path) in enumerate(files):
            month = Month(name)
            story.months.append(month)
            if number:
                say(story, f"{name}  predicting flights over HTTP")
                predict_month(story, month, path)
            say(story, f"{name}  uploading, validating")
            upload_month(story, month, path)
            if number:
                say(story, f"{name}  comparing with the training data")
                close_month(story, month)
            else:
                first_version(story, month)
            story.progress.advance(bar)
        story.progress.remove_task(bar)


def predict_month(story: Story, month: Month, path: Path) -> None:
    """Ask for every fifth flight in the order of their days, and tell the truth about each when it is over."""
    rows = csv.read_csv(path)
    rows = rows.take(list(range(0, rows.num_rows, EVERY)))
    with httpx.Client(base_url=story.platform.url, timeout=30) as client:
        for start in range(0, rows.num_rows, ROWS):
            some = rows.slice(start, ROWS)
            story.calendar.at = datetime.combine(some["date"][0].as_py(), datetime.min.time(), UTC) + timedelta(hours=5)
            answer = asked(client, f"/v2/models/{story.definition.model}/infer", {"inputs": tensors(story, some)})
            month.prediction = answer["parameters"]["prediction"]
            truth = some[story.definition.target].to_pylist()
            asked(client, "/feedback", {"prediction": month.prediction, "truth": truth})
            check(story)
    month.predicted = f"{rows.num_rows:,}"


def tensors(story: Story, rows: pa.Table) -> list[dict[str, Any]]:
    """The features of some rows as the inputs of Open Inference Protocol v2."""
    return [
        {
            "name": name,
            "shape": [rows.num_rows, 1],
            "datatype": "BYTES" if pa.types.is_string(rows.schema.field(name).type) else "FP32",
            "data": rows[name].to_pylist(),
        }
        for name in story.definition.features
    ]


def asked(client: httpx.Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
    reply = client.post(path, content=json.dumps(body), headers={"content-type": "application/json"})
    answer: dict[str, Any] = reply.json()
    if reply.status_code != 200:
        raise Unavailable(path, f"answered {reply.status_code}: {answer.get('error')}")
    return answer


def upload_month(story: Story, month: Month, path: Path) -> None:
    """Drop the labelled month into the bucket, and wait for what validation makes of it."""
    app, dataset = story.platform.app, story.definition.dataset
    before = set(app.store.list(f"{keys.VALIDATIONS}{dataset}/"))
    with path.open("rb") as file:
        app.store.create_from(f"{keys.LANDING}{dataset}/{path.name}", file)
    fresh = until(story, lambda: set(app.store.list(f"{keys.VALIDATIONS}{dataset}/")) - before)
    validation = app.read(Validation, fresh.pop())
    month.rows = f"{validation.rows - validation.refused_rows:,}"
    month.refused = f"{validation.refused_rows:,}"


def first_version(story: Story, month: Month) -> None:
    say(story, f"{month.name}  training the first version")
    version = registered(story, month)
    month.outcome = f"v{version.version} {outcome(version)}"


def close_month(story: Story, month: Month) -> None:
    """The month is over: its window is compared, and what follows from that is awaited."""
    app, model, window = story.platform.app, story.definition.model, Window(month.name)
    story.calendar.at = window.end + timedelta(minutes=10)
    report_key = keys.drift(model, window)
    report = until(story, lambda: app.find(DriftReport, report_key))
    drifted = [column for column in report.columns if column.drifted]
    month.live = f"{report.performance.get('auc', float('nan')):.3f}"
    worst = max(drifted, key=lambda column: column.ks or column.psi or 0.0, default=None)
    month.drift = (
        "quiet" if worst is None else f"{worst.name} {'KS' if worst.ks is not None else 'PSI'} {strayed(worst)}"
    )
    decision = until(story, lambda: app.find(Decision, keys.decision(model, report_key)))
    if decision.plan is None:
        month.outcome = "" if worst is None else "cooling down"
        return
    say(story, f"{month.name}  drifted: retraining")
    month.outcome = f"v{(version := registered(story, month, decision)).version} {outcome(version)}"


def strayed(column: Any) -> str:
    return f"{column.ks if column.ks is not None else column.psi:.2f}"


def registered(story: Story, month: Month, decision: Decision | None = None) -> ModelVersion:
    """Wait until the run of this month is a version and the aliases have heard of it."""
    app, model = story.platform.app, story.definition.model
    decision = decision or until(story, lambda: app.find(Decision, keys.decision(model, "first")))
    run_key = keys.run(model, decision.plan.run if decision.plan else "")
    result = until(story, lambda: app.find(Result, keys.result(run_key)))
    if result.status == "failed":
        raise Unavailable(f"run {result.run}", result.why)
    say(story, f"{month.name}  putting the model through its gates")
    mine = until(story, lambda: next((v for v in all_versions(story) if v.run == result.run), None))
    until(story, lambda: (app.find_head(Aliases, keys.aliases(model)) or Aliases()).caused(mine.digest))
    return mine


def all_versions(story: Story) -> Iterator[ModelVersion]:
    app = story.platform.app
    return (app.read(ModelVersion, key) for key in app.store.list(f"{keys.MODELS}{story.definition.model}/"))


def outcome(version: ModelVersion) -> str:
    """How a version fared, in a few words."""
    score = version.metrics["auc"]
    if version.compared_with is None:
        return f"{score:.3f}: champion"
    against = f"{score:.3f} against v{version.compared_with}'s {version.compared_metrics['auc']:.3f}"
    return f"{against}: {'champion' if version.passed else 'refused'}"


def until(story: Story, condition: Callable[[], T | None]) -> T:
    """What `condition` gives as soon as it gives something."""
    deadline = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        check(story)
        if time.monotonic() > deadline:
            app = story.platform.app
            alerts = [app.read(Alert, key) for key in app.store.list(keys.ALERTS)]
            said = "; ".join(f"{alert.subject}: {alert.why}" for alert in alerts) or "nothing was reported"
            raise Unavailable("demo", f"waited {PATIENCE_S:.0f} s for the next step; {said}")
        time.sleep(0.03)
    return found


def check(story: Story) -> None:
    if story.stopped.is_set():
        raise Stopped


def say(story: Story, what: str) -> None:
    story.progress.update(story.progress.task_ids[0], description=what)


def screen(story: Story) -> Table:
    """The months so far above the progress bar."""
    page = Table.grid()
    page.add_row(table(story.months))
    page.add_row(story.progress)
    return page


def table(months: list[Month]) -> Table:
    shown_months = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("month", "rows", "refused", "asked", "auc", "drift", "retrained"):
        shown_months.add_column(column, justify="right" if column in NUMBERS else "left", no_wrap=True)
    for month in months:
        quiet_month = month.drift == "quiet"
        drift = Text(month.drift, style="dim" if quiet_month else "yellow")
        style = "green" if "champion" in month.outcome else "red" if "refused" in month.outcome else "dim"
        row = (
            month.name,
            month.rows,
            month.refused,
            month.predicted,
            month.live,
            drift,
            Text(month.outcome, style=style),
        )
        shown_months.add_row(*row)
    return shown_months


def closing(story: Story, out: Console, elapsed: float, *, keep: bool) -> None:
    """The one screen that is left: what came of it, and what to try next."""
    app, model = story.platform.app, story.definition.model
    head = app.find_head(Aliases, keys.aliases(model)) or Aliases()
    line = " → ".join(f"v{version}" for version in succession(head))
    out.print(f"\n{DONE} {elapsed:.0f} s   champions: {line}")
    home = story.platform.settings.home
    here = "" if home == Path.cwd() / HOME else f" --home {shown(home)}"
    samara = shown(Path(sys.executable).parent / "samara") + here
    said = ["", *walks(samara, story.months)]
    said += ["Look around:", *(f"  {samara} {verb}" for verb in ("status", f"models {model}", f"rollback {model}"))]
    if keep:
        said += [f"Dashboard (Ctrl-C ends it):  {story.platform.url}/models/{model}"]
    else:
        said += [f"Dashboard, as it is now:  {saved(story, home / f'{model}.html').as_uri()}"]
        said += [f"and live again with:  {samara} dev --project {shown(home / 'project')}"]
    for line in said:
        out.print(line, soft_wrap=True, markup=False)


def walks(samara: str, months: Sequence[Month]) -> list[str]:
    """How to walk a prediction back of the first and of the last month in which some were asked."""
    asked = [month.prediction for month in (*months[1:2], *months[2:][-1:])]
    head = "Walk predictions back to the uploaded files, every digest verified:"
    return [head, *(f"  {samara} why {prediction}" for prediction in asked)] if asked else []


def saved(story: Story, path: Path) -> Path:
    """The model's page as a file, for when nobody stays to serve it."""
    page = httpx.get(f"{story.platform.url}/models/{story.definition.model}", timeout=30).text
    path.write_text(alone(page), "utf-8")
    return path


def alone(page: str) -> str:
    """A page without its links to others of the dashboard: in a file they would lead nowhere.

    >>> alone('<a class="home" href="/">Samara</a> <a href="#main">Skip</a> <a href="/models/late">late</a>')
    '<a class="home">Samara</a> <a href="#main">Skip</a> <a>late</a>'
    """
    return re.sub(r'(<a\b[^>]*?) href="/[^"]*"', r"\1", page)


def begin_anew(settings: Settings) -> None:
    """Clear the home of an earlier demo; refuse to clear anything else."""
    home = settings.home
    if home.exists() and any(home.iterdir()):
        if not (home / MARK).is_file():
            raise Conflict(str(home), "holds a project that is not the demo's; use --home with a new folder")
        if platform_address(settings):
            raise Conflict(str(home), "a demo is running on it already; stop that one first")
        shutil.rmtree(home)
    (home / "bucket").mkdir(parents=True)
    (home / MARK).write_text(json.dumps({"demo": "flights"}))


def where() -> Path:
    """The example's folder: in a checkout beside the sources, in an installation within the package."""
    here = Path(__file__).parent
    for folder in (here / "examples" / "flights", here.parents[1] / "examples" / "flights"):
        if (folder / "model.yaml").is_file():
            return folder
    raise SamaraError("examples/flights", "is missing from this installation; install samara again")


def loaded(path: Path) -> ModuleType:
    """The example's own module that makes the monthly files."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise SamaraError(str(path), "cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def shown(path: Path) -> str:
    """A path as one would type it here."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


@contextmanager
def quiet(log: int) -> Iterator[None]:
    """Send standard error, and that of every child, into a file: the functions' log lines would tear the display."""
    kept = os.dup(2)
    os.dup2(log, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
