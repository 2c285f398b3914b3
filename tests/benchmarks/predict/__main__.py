"""Samara's predict side by side with its peers, in one run: `python -m tests.benchmarks.predict`.

Rounds take the contenders in random order, so that all meet the same weather; ratios are formed inside a round. A
contender that fails is reported with the end of its log. Figures go to `.cache/bench/predict.json`, a page to
`.cache/bench/predict.md`.
"""

import argparse
import json
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from tests.benchmarks.predict import environments, on_lambda, starting
from tests.benchmarks.predict.contenders import CONTENDERS, Contender
from tests.benchmarks.predict.environments import CACHE, ROOT
from tests.benchmarks.predict.processes import Cpus, cpus, on
from tests.benchmarks.predict.report import machine, markdown, printed
from tests.benchmarks.predict.servers import Conditions, Failure, Unfit, measured, phases
from tests.benchmarks.predict.specimen import Specimen, specimen

PARTS = ("servers", "in-process", "starts", "lambda")
ROUNDS, SEED = 5, 7
Said = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured, how often and how long. `folder` keeps the model, logs and what servers write."""

    contenders: tuple[Contender, ...] = CONTENDERS
    parts: tuple[str, ...] = PARTS
    rounds: int = ROUNDS
    seconds: float = 2.0
    repetitions: int = 101
    invocations: int = 1000
    seed: int = SEED
    folder: Path = field(default_factory=lambda: CACHE)


Show = Callable[[str, int, int], None]  # what goes on now, and how many of how many steps are done
Step = tuple[str, str, Callable[[], Any]]  # part, contender, and what measures it once


def run(plan: Plan, show: Show) -> Said:
    """Everything in the plan, as it goes into the report; of a run that is interrupted, the rounds that are whole."""
    said: Said = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "seconds": plan.seconds,
        "seed": plan.seed,
        "rounds": 0,
        "versions": {name: environments.versions(name) for name in sorted({environments.SAMARA, *wanted(plan)})},
        "servers": [],
        "starts": [],
        "lambda": [],
    }
    subject, place = specimen(plan.folder / "specimen"), cpus()
    missing = prepared(plan, show)
    try:
        if "in-process" in plan.parts:
            show("in-process", 0, 1)
            said["in process"] = in_process(plan, subject, place)
        for seen in rounds(plan, steps(plan, subject, place, missing), show):
            said["rounds"] += 1
            for part, found in seen.items():
                said[part].append(found)
    except KeyboardInterrupt:
        show("stopping", 0, 1)
    said["load after"] = machine()["load"]
    return said


def rounds(plan: Plan, todo: list[Step], show: Show) -> Iterator[dict[str, dict[str, Any]]]:
    """What each round saw, by part and contender; in each, the order is another."""
    chance = random.Random(plan.seed)  # noqa: S311  # no secret
    for number in range(plan.rounds):
        seen: dict[str, dict[str, Any]] = {}
        for place, (part, name, step) in enumerate(chance.sample(todo, len(todo))):
            show(f"{part}: {name}", number * len(todo) + place, plan.rounds * len(todo))
            seen.setdefault(part, {})[name] = noted(step())
        yield seen


def prepared(plan: Plan, show: Show) -> dict[str, Failure]:
    """Environments that could not be made, and why; all others are there now."""
    failed = {}
    for name in wanted(plan):
        if environments.is_ready(name):
            continue
        show(f"installing {name}", 0, 1)
        try:
            environments.make(name)
        except (subprocess.CalledProcessError, OSError) as error:
            failed[name] = Failure(
                f"its environment cannot be made: {error}", str(getattr(error, "stderr", ""))[-2000:]
            )
    return failed


def wanted(plan: Plan) -> list[str]:
    """The environments that the plan needs."""
    names = [contender.environment for contender in plan.contenders if "servers" in plan.parts]
    names += [name for name, part in ((environments.SAMARA, "starts"), ("lambda", "lambda")) if part in plan.parts]
    return list(dict.fromkeys(names))


def steps(plan: Plan, subject: Specimen, place: Cpus, missing: dict[str, Failure]) -> list[Step]:
    """All of one round."""
    return [step for part in (of_servers, of_starts, of_lambda) for step in part(plan, subject, place, missing)]


def of_servers(plan: Plan, subject: Specimen, place: Cpus, missing: dict[str, Failure]) -> Iterator[Step]:
    if "servers" not in plan.parts:
        return
    conditions = Conditions(subject, place, phases(plan.seconds))
    for contender in plan.contenders:

        def step(contender: Contender = contender) -> Any:
            folder = plan.folder / "run" / contender.name
            failed = missing.get(contender.environment)
            return failed or measured(contender, conditions, folder)

        yield "servers", contender.name, step


def of_starts(plan: Plan, subject: Specimen, place: Cpus, missing: dict[str, Failure]) -> Iterator[Step]:
    if "starts" not in plan.parts:
        return
    folder = plan.folder / "run" / "starts"
    shutil.rmtree(folder, ignore_errors=True)
    there = starting.place_for(folder, subject)
    for name, (arguments, more) in starting.programs(there).items():

        def step(arguments: list[str] = arguments, more: dict[str, str] = more) -> Any:
            if failed := missing.get(environments.SAMARA):
                return failed
            try:
                return starting.started(there.python, arguments, starting.environment(there, more), place)
            except Unfit as error:
                return Failure(str(error))

        yield "starts", name, step


def of_lambda(plan: Plan, subject: Specimen, place: Cpus, missing: dict[str, Failure]) -> Iterator[Step]:
    if "lambda" not in plan.parts:
        return
    for name in on_lambda.FUNCTIONS:

        def step(name: str = name) -> Any:
            folder = plan.folder / "run" / "lambda"
            return missing.get("lambda") or on_lambda.measured(name, subject, place, folder, plan.invocations)

        yield "lambda", name, step


def noted(found: Any) -> dict[str, Any]:
    """One contender's figures of one round, as the report reads them."""
    if isinstance(found, Failure):
        return {"failed": found.why, "log": found.log}
    return found if isinstance(found, dict) else asdict(found)


def in_process(plan: Plan, subject: Specimen, place: Cpus) -> dict[str, Any]:
    """In a process for each round: where its memory lies makes one process faster than another."""
    seen: dict[str, Any] = {}
    for number in range(plan.rounds):
        job = {"specimen": str(subject.path.parent), "repetitions": plan.repetitions, "seed": plan.seed + number}
        with on(place.server):
            child = subprocess.run(
                [sys.executable, "-m", "tests.benchmarks.predict.in_process"],
                input=json.dumps(job), cwd=ROOT, capture_output=True, text=True, check=False,
            )  # fmt: skip
        if child.returncode:
            return noted(Failure("the process ended", child.stderr[-2000:]))
        for batch, took in json.loads(child.stdout).items():
            for name, values in took.items():
                seen.setdefault(batch, {}).setdefault(name, []).extend(values)
    return seen


def plan_of(arguments: list[str]) -> Plan:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.predict", description=__doc__)
    names = [contender.name for contender in CONTENDERS]
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seed", type=int, default=SEED, help="of the order of the contenders")
    parser.add_argument("--quick", action="store_true", help="half a second a phase, for a look")
    asked = parser.parse_args(arguments)
    chosen = tuple(contender for contender in CONTENDERS if contender.name in asked.only)
    short: dict[str, Any] = {"seconds": 0.5, "repetitions": 51, "invocations": 200} if asked.quick else {}
    return Plan(chosen, tuple(asked.parts), asked.rounds, seed=asked.seed, **short)


def main(arguments: list[str]) -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that no server is left behind
    plan, console = plan_of(arguments), Console(width=190 if not sys.stdout.isatty() else None)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("starting", total=None)
        said = run(plan, lambda what, done, total: progress.update(task, description=what, completed=done, total=total))
    (plan.folder / "predict.json").write_text(json.dumps(said, indent=1))
    (plan.folder / "predict.md").write_text(markdown(said))
    printed(said, console)
    console.print(f"Kept in {plan.folder / 'predict.json'} and {plan.folder / 'predict.md'}")


if __name__ == "__main__":
    main(sys.argv[1:])
