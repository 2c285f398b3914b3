"""What a deployed stack is put through, whichever cloud it is in: real flights, and what they come to on a laptop."""

import io
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from pyarrow import csv

from samara import app, demo
from samara.app import App
from samara.core import keys
from samara.core.aliases import Aliases
from samara.core.records import read_any
from samara.settings import Settings

T = TypeVar("T")
EXAMPLE = Path(__file__).parents[2] / "examples" / "flights"
PATIENCE_S = 180.0
UPLOADED = "landing/flights/2013-01.csv"
BROKEN = "landing/flights/broken.csv"
UNREADABLE = b"\x00\xff not a table"
POISON = "results/late/0000000000000000.json"  # no record, where register finds it
FLIGHTS = 6_000  # of a month's 27,000: enough to learn from, and quickly
CHAIN = (keys.DATASETS, keys.VALIDATIONS, keys.DECISIONS, keys.RUNS, keys.RESULTS, keys.MODELS)


def until(what: str, condition: Callable[[], T | None]) -> T:
    """What `condition` gives as soon as it gives something."""
    deadline = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited too long for {what}"
        time.sleep(0.2)
    return found


def hourly(folder: Path) -> Path:
    """The flights example, looked at for drift hourly, so that nobody has to wait for the end of a month."""
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    definition = folder / "model.yaml"
    definition.write_text(definition.read_text().replace("window: month", "window: hour"))
    return folder


def month(project: Path, folder: Path) -> bytes:
    """Real flights out of New York, as one uploads them."""
    _, path = next(demo.loaded(project / "flights.py").months(folder))
    header, *rows = Path(path).read_bytes().splitlines(keepends=True)
    return header + b"".join(rows[:: max(1, len(rows) // FLIGHTS)])


def part(flights: bytes, rows: int) -> bytes:
    """The first so many rows, below the header."""
    return b"".join(flights.splitlines(keepends=True)[: rows + 1])


def asking(told: dict[str, Any], flights: bytes) -> dict[str, Any]:
    """A request about these flights, to a model that has told what it takes."""
    rows = csv.read_csv(io.BytesIO(flights))
    return {"inputs": [tensor(wanted, rows) for wanted in told["inputs"]]}


def tensor(wanted: dict[str, Any], rows: Any) -> dict[str, Any]:
    """One column as the protocol's JSON has it."""
    column = rows[wanted["name"]].to_pylist()
    blank: Any = "" if wanted["datatype"] == "BYTES" else 0
    data = [blank if value is None else value for value in column]
    return {"name": wanted["name"], "datatype": wanted["datatype"], "shape": [len(data), 1], "data": data}


def champion(world: App) -> int | None:
    """The version that is live, if there is one."""
    head = world.find_head(Aliases, keys.aliases("late"))
    return head.champion if head else None


def samara(environment: Mapping[str, str], *words: str) -> "subprocess.CompletedProcess[str]":
    """The command line, as somebody runs it whose shell names the bucket."""
    command = [sys.executable, "-m", "samara.cli", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)


@contextmanager
def laptop(folder: Path, project: Path, flights: bytes) -> Iterator[App]:
    """The same upload to the same project, on a laptop, once its version is live."""
    home = folder / ".samara"
    (home / "bucket" / "landing" / "flights").mkdir(parents=True)
    command = [sys.executable, "-m", "samara.cli", "--home", str(home), "dev", "--port", "0", "--project", str(project)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as platform:
        try:
            world = app.build(Settings(home=home))
            until("the project", lambda: list(world.store.list(f"{keys.CONFIG}models/")))
            world.store.create(UPLOADED, flights)
            until("a champion", lambda: champion(world))
            yield world
        finally:
            platform.terminate()


def chain(world: App) -> dict[str, str]:
    """Everything between the upload and the version: each record's key and digest, which covers what it names."""
    found = (key for topic in CHAIN for key in world.store.list(topic) if key != POISON)
    return {key: read_any(world.store.get(key).data, key).digest for key in found}
