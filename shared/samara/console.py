"""What the commands show: tables, trails and progress in a terminal, plain lines elsewhere."""

import json
import re
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterable
from datetime import UTC, datetime
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import quote

from rich.console import Console
from rich.live import Live
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from samara import admin, alerts, bundle, catalogue, costs, project
from samara.app import App, build
from samara.conformance import Verdict
from samara.core import keys, lineage
from samara.core.records import Alert, ModelVersion, Quarantine, Scores
from samara.dev.platform import Platform
from samara.dispatch import deliver
from samara.doctor import Finding
from samara.errors import Misconfigured, NotFound, Rejected, SamaraError, Unavailable
from samara.events import HttpRequest
from samara.settings import Settings

terminal = sys.stdout and sys.stdout.isatty()  # it is None when it was closed
out = Console(highlight=False, markup=False, width=None if terminal else 120)
err = Console(stderr=True, highlight=False, markup=False)
FINE, WRONG = Text("✓", style="green"), Text("✗", style="red")
LOOK_S = 0.5  # between two looks whether a scoring is done
NEWEST = 5  # of what is in quarantine: the dashboard shows more
LOOKS = 10  # and then one whether anybody still works on it
PUBLISH_S = 1.0  # between two looks at the project's files


def started(url: str, settings: Settings) -> None:
    err.print(Text.assemble(("samara", "bold"), f" is running on {settings.home}"), soft_wrap=True)
    err.print(f"  dashboard   {url}/")
    err.print(f"  predict     {url}/v2/models/…/infer")
    landing = settings.bucket / "landing"
    err.print(f"  drop files  {landing}/{{dataset}}/   or: samara upload FILE --dataset …", soft_wrap=True)
    err.print("  Ctrl-C stops it")


def republish(folder: Path, running: Platform, stopped: threading.Event) -> None:
    """Publish the project now and whenever it changes, until stopped. What is wrong with it is said once."""
    complaint, seen = "", None
    while not stopped.is_set():
        try:
            looks = {path: path.stat().st_mtime_ns for path in bundle.sources(folder)}
            if looks != seen or complaint:  # what stood in the way may be gone without any change of the project
                seen = looks
                for change in project.publish(any_project(folder), running.app):
                    err.print(f"  published {change}")
                running.tick(running.clock())
                complaint = ""
        except (SamaraError, OSError) as error:  # a file may be gone, or not for us to read, when we come to it
            if str(error) != complaint:
                err.print(Text.assemble(WRONG, f" not published: {error}"), soft_wrap=True)
            complaint = str(error)
        stopped.wait(PUBLISH_S)


def any_project(folder: Path) -> project.Project:
    """The project in `folder`; `NotFound` when it holds none, so that nobody waits for what never comes."""
    found = project.read(folder)
    if not found.contracts:
        raise NotFound(str(folder), f"holds no {project.CONTRACTS}; name the project's folder with --project")
    return found


def status(app: App, settings: Settings) -> None:
    address = platform_address(settings) if settings.provider == "local" else f"in {settings.store}"
    out.print(f"platform  {address or 'not running (samara dev starts it)'}")
    datasets = table("dataset", "uploads", "batches", "accepted", "refused", "quarantined")
    for item in admin.datasets(app):
        counts = (item.uploads, item.batches, item.accepted, item.refused, item.quarantined)
        datasets.add_row(Text(item.name), *map(str, counts))
    out.print(datasets)
    show_quarantine(app)
    show_models(admin.models(app))
    show_alerts(app)


def show_quarantine(app: App) -> None:
    """What was refused last, and the first reason for it; the object named behind has them all."""
    found = {key: one for key in app.store.list(keys.QUARANTINE) for one in admin.sound(app, Quarantine, [key])}
    newest = sorted(found.items(), key=lambda item: alerts.said_at(item[1]), reverse=True)
    for key, one in newest[:NEWEST]:
        about = one.source_key if one.whole else f"{one.row_count:,} rows of {one.source_key}"
        whys = [f"{reason.column}: {reason.why}" if reason.column else reason.why for reason in one.reasons]
        others = f"; and {len(whys) - 1} more" if len(whys) > 1 else ""
        said = f" {alerts.when(one)}  {about}: {''.join(whys[:1]).removeprefix(f'{one.source_key}: ')}{others}"
        out.print(Text.assemble(WRONG, printable(said), (f"  {key}", "dim")), soft_wrap=True)


def printable(said: str) -> str:
    r"""For a line of a terminal, what may hold a stranger's words.

    >>> printable("a\nb\x1b[31mc")
    'a b [31mc'
    """
    return "".join(letter if letter.isprintable() else " " for letter in said)


def show_models(models: Iterable[admin.ModelStatus]) -> None:
    shown = table("model", "champion", "challenger", "versions", "runs", "failed", "running", "last drift window")
    models = list(models)
    for item in models:
        aliases = (f"v{item.champion}" if item.champion else "–", f"v{item.challenger}" if item.challenger else "–")
        counts = (item.versions, item.runs, item.failed, item.pending)
        shown.add_row(Text(item.name), *aliases, *map(str, counts), Text(item.drift))
    out.print(shown)
    for item in models:
        if item.problem:
            out.print(Text.assemble(WRONG, f" {item.problem}"))


def show_alerts(app: App) -> None:
    """Those that hold, newest first, each with the key of its object; and how they end."""
    told = {key: alert for key in app.store.list(keys.ALERTS) for alert in admin.sound(app, Alert, [key])}
    found = alerts.holding(app, told)
    for key, alert in found.items():
        said = f" {alerts.when(alert)}  {alert.subject}: {alert.what}: {alert.why}"
        out.print(Text.assemble(WRONG, printable(said), (f"  {key}", "dim")), soft_wrap=True)
    if found:
        out.print(alerts.WAY_OUT, style="dim", soft_wrap=True)


def models(app: App, model: str | None) -> None:
    if model is None:
        show_models(admin.models(app))
        return
    found = admin.versions(app, model)
    if not found:
        raise NotFound(model, "no version is registered; `samara status` shows runs on their way, and what failed")
    named = admin.roles(app, model)
    shown = table("version", "alias", "run", "metrics on its holdout", "champion then", "gates")
    for version in found:
        alias = named.get(version.version, "").replace(", ", "\n")
        shown.add_row(
            f"v{version.version}", alias, version.run, metrics(version.metrics), compared(version), gates(version)
        )
    out.print(shown)


def metrics(values: dict[str, float]) -> str:
    return "\n".join(f"{name} {value:.4f}" for name, value in sorted(values.items()))


def compared(version: ModelVersion) -> str:
    if version.compared_with is None:
        return "none yet"
    return f"v{version.compared_with}\n{metrics(version.compared_metrics)}"


def gates(version: ModelVersion) -> Text:
    """Those not passed with the reason, or that all were."""
    failed = [gate for gate in version.gates if not gate.passed]
    if not failed:
        return Text.assemble(FINE, f" all {len(version.gates)}")
    return Text("\n").join(Text.assemble(WRONG, f" {gate.name}: {gate.why}") for gate in failed)


def trail(found: lineage.Trail, subject: str) -> bool:
    """Show a trail as an indented list. Whether all of it is verified."""
    out.print(Text(subject, style="bold"))
    for depth, step in found.outline():
        line = Text.assemble("  " * depth, FINE if step.verified else WRONG, " ", (step.kind, "bold"), f"  {step.key}")
        if step.digest:
            line.append(f"  {step.digest[:12]}", style="dim")
        for said, style in ((step.problem, "red"), (step.note, "dim")):
            if said:
                line.append(f"  {said}", style=style)
        out.print(line, soft_wrap=True)
    out.print(Text.assemble(FINE if found.whole else WRONG, f" {found.summary}"), soft_wrap=True)
    return found.whole


def replayed(outcomes: Iterable[tuple[str, str, str]]) -> None:
    count = 0
    for key, function, outcome in outcomes:
        count += 1
        mark = FINE if outcome == "ok" else WRONG
        out.print(Text.assemble(mark, f" {function}  {key}" + ("" if outcome == "ok" else f"  {outcome}")))
    out.print(f"{count} events delivered again")


def checks(findings: Iterable[Finding]) -> bool:
    """Show each check as it is made. Whether all were fine."""
    fine = True
    with out.status("looking"):
        for finding in findings:
            fine = fine and finding.fine
            mark = FINE if finding.fine else WRONG
            out.print(Text.assemble(mark, f" {finding.subject:<10} {finding.says}"), soft_wrap=True)
    return fine


def promises(address: str, verdicts: Iterable[Verdict]) -> bool:
    """Show each promise of a store as it is examined, and what a broken one rules out. Whether all were kept."""
    table = Table("", "promise", "what was seen", box=None, pad_edge=False)
    broken: list[Verdict] = []
    with Live(table, console=out, refresh_per_second=4):
        for verdict in verdicts:
            table.add_row(FINE if verdict.fine else WRONG, verdict.promise.name, verdict.says)
            broken += [] if verdict.fine else [verdict]
    out.print()
    if not broken:
        out.print(f"{address} keeps every promise Samara relies on.", soft_wrap=True)
    for verdict in broken:
        ruled_out = f"{address} breaks {verdict.promise.name}, so it cannot be used for {verdict.promise.needed_for}."
        out.print(Text.assemble(WRONG, f" {ruled_out}"), soft_wrap=True)
    return not broken


def platform_address(settings: Settings) -> str | None:
    """Where the platform of this home answers, or None when none does."""
    try:
        address = str(json.loads((settings.home / "platform.json").read_text())["url"])
        with urllib.request.urlopen(f"{address}/v2/health/live", timeout=2):  # noqa: S310  # our own loopback address
            return address
    except (OSError, ValueError, KeyError):
        return None


def ask_for_training(settings: Settings, model: str, reason: str, *, again: bool) -> bool:
    """Ask for a training, and say where it stands. Whether it has not failed."""
    wanted = ({"why": reason} if reason else {}) | ({"again": True} if again else {})
    body = json.dumps(wanted).encode()
    path = f"/train/{keys.named(model, 'model')}"
    answer = (asked_here if settings.provider == "local" else decided_here)(settings, path, body)
    if "error" in answer:
        raise refusal(model, answer["error"])
    fine = bool(answer["status"] != "failed")
    out.print(Text.assemble(FINE if fine else WRONG, f" run {answer['run']} of {model} {stands(answer)}"))
    return fine


def stands(answer: dict[str, Any]) -> str:
    """Where a run stands that somebody asked for, as `train` tells it."""
    match answer["status"]:
        case "submitted":
            return "is on its way; `samara status` shows it"
        case "failed":
            return f"was this very plan, and failed: {answer['why']}"
        case status:
            return f"was this very plan, and {status}; change code, data or settings"


def ask_for_scores(
    settings: Settings, model: str, dataset: str, batch: str, version: str, *, again: bool
) -> dict[str, Any]:
    """Have a batch answered. Gives where that stands, as `predict` tells it."""
    wanted: dict[str, Any] = {"dataset": dataset or admin.dataset_of(build(settings), model), "again": again}
    wanted |= {"batch": batch} if batch else {}
    which = f"/versions/{quote(version, safe='')}" if version else ""
    path = f"/v2/models/{keys.named(model, 'model')}{which}/batch"
    answer = (asked_here if settings.provider == "local" else decided_here)(settings, path, json.dumps(wanted).encode())
    if "error" in answer:
        raise refusal(model, answer["error"])
    said = f" {answer['model']} v{answer['version']} over {answer['asked_rows']:,} rows, batch {answer['batch']} of"
    out.print(Text.assemble(FINE, f"{said} {answer['dataset']}: scoring {answer['scoring']}, {answer['status']}"))
    return answer


def wait_for_scores(app: App, settings: Settings, answer: dict[str, Any], folder: Path | None) -> bool:
    """Show how long it takes until a scoring is done, and what came of it. Whether it succeeded."""
    looks = 0
    said = TextColumn("answering {task.total:,} rows")
    with Progress(SpinnerColumn(), said, TimeElapsedColumn(), console=err, transient=True) as progress:
        progress.add_task("", total=answer["asked_rows"])
        while (scores := app.find(Scores, answer["scores"])) is None:
            looks += 1
            if settings.provider == "local" and not looks % LOOKS and platform_address(settings) is None:
                why = "the platform has stopped; `samara dev` goes on with it, and the same command waits for it"
                raise Unavailable(f"scoring {answer['scoring']}", why)
            time.sleep(LOOK_S)
    if scores.status == "failed":
        out.print(Text.assemble(WRONG, f" failed: {scores.why}; --again has it tried once more"))
        return False
    seconds = scores.noted.get("seconds")
    left = f", {scores.refused_rows:,} of them without an answer" if scores.refused_rows else ""
    out.print(Text.assemble(FINE, f" {scores.rows:,} rows in {seconds} s{left}; `samara why {answer['scores']}`"))
    for path in admin.answers(app, scores, folder) if folder else ():
        out.print(f"  {path}", soft_wrap=True)
    return True


def refusal(model: str, why: str) -> Rejected:
    """What a function answered, about the model; where it says itself that it is, only once."""
    subject, _, rest = why.partition(": ")
    return Rejected(subject, rest) if subject.split(" ")[0] == model else Rejected(model, why)


def charges(lines: Iterable[costs.Line]) -> bool:
    """Show what each resource costs while nothing happens. Whether all of it is nothing."""
    shown = table("resource", "name", "USD a month", "billed by")
    lines = list(lines)
    for line in lines:
        usd = "?" if line.usd is None else f"{line.usd:.2f}"
        shown.add_row(Text(re.sub("/[^:]+", "", line.type)), Text(line.name), usd, Text(line.why))
    out.print(shown)
    fine = all(line.usd == 0 for line in lines)
    said = f" {len(lines)} resources, {costs.total(lines):.2f} USD a month while nothing happens"
    out.print(Text.assemble(FINE if fine else WRONG, said))
    return fine


def asked_here(settings: Settings, path: str, body: bytes) -> dict[str, Any]:
    """What the platform of this machine answers."""
    address = platform_address(settings)
    if address is None:
        raise Unavailable(str(settings.home), "no platform is running on it; start one with `samara dev`")
    request = urllib.request.Request(  # noqa: S310  # our own loopback address
        f"{address}{path}", data=body, headers={"content-type": "application/json"}, method="POST"
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as reply:  # noqa: S310  # the same
            answer: dict[str, Any] = json.load(reply)
    except urllib.error.HTTPError as error:
        answer = json.load(error)
    except (OSError, HTTPException) as error:
        raise Unavailable(address, "stopped answering; look at `samara status`, then ask again") from error
    return answer


def decided_here(settings: Settings, path: str, body: bytes) -> dict[str, Any]:
    """What the function answers when it runs here, on the cloud's bucket, with the permissions of whoever asks."""
    functions = catalogue.load(settings.catalogue)
    function = catalogue.answering(functions, path)
    if function is None:
        raise Misconfigured(path, "no function of the catalogue answers it")
    headers = {"content-type": "application/json"}
    request = HttpRequest("POST", path, datetime.now(UTC), headers=headers, body=body)
    answer: dict[str, Any] = json.loads(deliver(function, request, build(settings)).body)
    return answer


def table(*columns: str) -> Table:
    made = Table(box=None, pad_edge=False, header_style="dim", show_edge=False)
    for column in columns:
        made.add_column(column, overflow="fold")
    return made
