"""What was measured, for people: tables on the terminal and a page of Markdown, both of the same cells."""

import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.benchmarks.predict.contenders import CONTENDERS
from tests.benchmarks.predict.goals import Goal, Spread, goals, ratio
from tests.benchmarks.predict.in_process import RUN

BUSY = 0.95  # of its CPU, above which a client is what limits the figure


@dataclass(frozen=True, slots=True)
class Figures:
    """A table. The first column names, the others are numbers."""

    title: str
    columns: tuple[str, ...]
    rows: list[list[str]]
    notes: tuple[str, ...] = ()


def machine() -> dict[str, Any]:
    """Where this runs, and what else does: its load over the last minute."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text().splitlines() if told.exists() else []
    model = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine()
    )
    return {
        "cpu": model,
        "cpus": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 2),
    }


def tables(said: Mapping[str, Any]) -> Iterator[Figures]:
    if said.get("servers"):
        yield of_servers(said["servers"])
    if said.get("in process"):
        yield of_handler(said["in process"])
    if said.get("starts"):
        yield of_rounds(
            "Process start to first answer, without a server", said["starts"], {"ms": "ms"}, "python -c pass"
        )
    if said.get("lambda"):
        figures = {"first_ms": "first response, ms", "p50_us": "warm p50, µs"}
        yield of_rounds("AWS Lambda's Runtime API, batch 1", said["lambda"], figures, "plain handler, orjson")
    yield of_goals(list(goals(said)))


SHOWN = {
    "one_p50_us": ("p50 µs, 1 client", 0), "one_p99_us": ("p99", 0), "one_cpu_us": ("CPU µs", 0),
    "many_per_second": ("requests/s, 32 clients", 0), "many_p99_us": ("p99", 0), "many_cpu_us": ("CPU µs", 0),
    "batch_per_second": ("requests/s, 8 × 16 rows", 0), "batch_cpu_us": ("CPU µs", 0),
    "first_s": ("first answer s", 2), "memory_mb": ("PSS MB", 0),
}  # fmt: skip


def of_servers(rounds: Sequence[Mapping[str, Any]]) -> Figures:
    rows, failed, limited = [], [], set()
    for contender in CONTENDERS:
        seen = [one[contender.name] for one in rounds if contender.name in one]
        good = [one for one in seen if "failed" not in one]
        failed += [f"{contender.what}: FAILED, {one['failed']}\n{one['log']}" for one in seen if "failed" in one][:1]
        if not good:
            continue
        middles = {name: Spread.of([one[name] for one in good]) for name in SHOWN}
        if any(one["many_busy"] > BUSY for one in good):
            limited.add(contender.what)
        to = ratio(rounds, "many_cpu_us", contender.name, "samara")
        rows.append([contender.what, *(shown(middles[name], digits) for name, (_, digits) in SHOWN.items()), times(to)])
    columns = ("server", *(title for title, _ in SHOWN.values()), "CPU × Samara's")
    notes = (
        (f"the client was busy all the time, so these could do more: {', '.join(sorted(limited))}",) if limited else ()
    )
    return Figures(
        "Servers, one worker on one CPU: medians of the rounds, ± half of what the quartiles lie apart",
        columns,
        rows,
        (*notes, *failed),
    )


def of_handler(said: Mapping[str, Any]) -> Figures:
    columns = ("way to the answer", "µs", "over onnxruntime's call")
    if "failed" in said:
        return Figures("In one process", columns, [], (f"FAILED, {said['failed']}\n{said['log']}",))
    rows = []
    for batch, seen in said.items():
        for name, took in seen.items():
            over = [ours - bare for ours, bare in zip(took, seen[RUN], strict=True)]
            rows.append([f"batch {batch}: {name}", shown(Spread.of(took), 1), shown(Spread.of(over), 1)])
    return Figures("In one process, CPU µs a call", columns, rows)


def of_rounds(title: str, rounds: Sequence[Mapping[str, Any]], figures: Mapping[str, str], base: str) -> Figures:
    found_rows: list[tuple[float, list[str]]] = []
    failed = []
    for name in dict.fromkeys(chain.from_iterable(rounds)):
        seen = [one[name] for one in rounds if name in one]
        failed += [f"{name}: FAILED, {one['failed']}\n{one['log']}" for one in seen if "failed" in one][:1]
        good = [one for one in seen if "failed" not in one]
        if good:
            cells = [
                (Spread.of([one[figure] for one in good]), ratio(rounds, figure, name, base)) for figure in figures
            ]
            row = [name, *chain.from_iterable((shown(found, 0), times(to)) for found, to in cells)]
            found_rows.append((cells[0][0].middle, row))
    rows = [row for _, row in sorted(found_rows)]
    columns = ("what", *chain.from_iterable((said, f"× {base}") for said in figures.values()))
    return Figures(title, columns, rows, tuple(failed))


def of_goals(all_goals: Sequence[Goal]) -> Figures:
    rows = []
    for goal in all_goals:
        digits = 2 if goal.unit == "×" else 1
        found = f"{shown(goal.found, digits)} {goal.unit}" if goal.found else "–"
        bound = f"{'≥' if goal.at_least else '≤'} {goal.bound:g} {goal.unit}"
        rows.append([goal.what, found, bound, {True: "met", False: "NOT met", None: "not measured"}[goal.met]])
    return Figures("Goals: ratios inside a round, medians of the rounds", ("goal", "found", "bound", ""), rows)


def shown(spread: Spread, digits: int) -> str:
    """A median, and half of what its quartiles lie apart.

    >>> shown(Spread(100.0, 95.0, 105.0), 1), shown(Spread(3.0, 3.0, 3.0), 0)
    ('100.0 ±5%', '3')
    """
    middle = f"{spread.middle:,.{digits}f}"
    apart = (spread.high - spread.low) / 2 / abs(spread.middle) if spread.middle else 0.0
    return f"{middle} ±{apart:.0%}" if spread.high > spread.low else middle


def times(spread: Spread | None) -> str:
    return f"{spread.middle:.2f}" if spread else "–"


def printed(said: Mapping[str, Any], console: Console) -> None:
    for figures in tables(said):
        table = Table(*figures.columns, title=figures.title, title_justify="left", box=None, padding=(0, 1))
        for column in table.columns[1:]:
            column.justify = "right"
        for row in figures.rows:
            table.add_row(*row)
        console.print(table)
        for note in figures.notes:
            console.print(note, markup=False, highlight=False, style="yellow")
        console.print()
    console.print(circumstances(said), markup=False, highlight=False)


def circumstances(said: Mapping[str, Any]) -> str:
    where = said["machine"]
    load = f"load {where['load']} before and {said['load after']} after"
    rounds = f"{said['rounds']} rounds in random order (seed {said['seed']}), {said['seconds']:g} s a phase"
    return f"{where['cpu']}, {where['cpus']} CPUs, {where['system']}, Python {where['python']}; {load}; {rounds}."


def markdown(said: Mapping[str, Any]) -> str:
    parts = [f"# Predict beside its peers\n\n{said['at']}. {circumstances(said)}\n"]
    for figures in tables(said):
        lines = [figures.columns, ("---", *("---:" for _ in figures.columns[1:])), *figures.rows]
        body = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        notes = "".join(f"\n```\n{note}\n```\n" for note in figures.notes)
        parts.append(f"## {figures.title}\n\n{body}\n{notes}")
    versions = "\n".join(
        f"- **{name}**: {', '.join(f'{package} {number}' for package, number in packages.items())}"
        for name, packages in said["versions"].items()
    )
    return "\n".join([*parts, f"## Versions\n\n{versions}\n"])
