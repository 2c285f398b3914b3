"""Memory does not grow with the file."""

import gzip
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

MB = 1 << 20
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
PROGRAM = """
import json, sys
from datetime import UTC, datetime
from pathlib import Path
from functions.catalogue import CATALOGUE
from functions.ingest.handler import run
from samara.app import App
from samara.catalogue import named
from samara.core.sealed import Maker
from samara.events import ObjectCreated
from samara.providers.local import LocalStore
from samara.providers.memory import MemoryJobs

whole = App(LocalStore(Path(sys.argv[1])), MemoryJobs(), Maker(function="test", code="0" * 64))
receipt = run(ObjectCreated(sys.argv[2], datetime.now(UTC)), whole.acting_as(named(CATALOGUE, "ingest")))
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
print(json.dumps([receipt.outcome, int(status["VmHWM"].split()[0]) >> 10]))  # ru_maxrss would be that of the parent
"""


def csv_text(size: int) -> Iterator[bytes]:
    yield b"id,at,carrier,tail,delay,distance,note\n"
    rows = b"".join(
        b"%d,2013-02-%02dT05:00:00Z,UA,N%05d,%d,%d.25,%s\n"
        % (n, n % 28 + 1, n * 7919 % 99_999, n % 300 - 20, n * 31 % 2_500, b'"Newark, NJ"' if n % 3 else b"")
        for n in range(16_000)
    )
    for _ in range(size // len(rows)):
        yield rows


def json_text(size: int) -> Iterator[bytes]:
    rows = b"".join(b'{"id":%d,"carrier":"UA","delay":%d.5}\n' % (n, n % 300) for n in range(20_000))
    for _ in range(size // len(rows)):
        yield rows


def ingested(home: Path, name: str) -> int:
    """The largest memory, in MB, of a process that ingests this one file."""
    command = [sys.executable, "-c", PROGRAM, str(home / "bucket"), f"landing/flights/{name}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    outcome, peak_mb = json.loads(done.stdout)
    assert outcome == "batch"
    return int(peak_mb)


@pytest.fixture
def landing(tmp_path: Path) -> Path:
    folder = tmp_path / "bucket" / "landing" / "flights"
    folder.mkdir(parents=True)
    return folder


def test_a_csv_four_times_as_large_takes_no_more_memory(tmp_path: Path, landing: Path) -> None:
    for name, size in (("small.csv", 50 * MB), ("large.csv", 200 * MB)):
        with (landing / name).open("wb") as file:
            file.writelines(csv_text(size))

    small, large = ingested(tmp_path, "small.csv"), ingested(tmp_path, "large.csv")

    assert large < 512
    assert large - small < 100


def test_packed_csv_stays_within_the_same_memory(tmp_path: Path, landing: Path) -> None:
    with gzip.open(landing / "large.csv.gz", "wb", 1) as file:
        file.writelines(csv_text(100 * MB))

    assert ingested(tmp_path, "large.csv.gz") < 512


def test_json_lines_stay_within_the_same_memory(tmp_path: Path, landing: Path) -> None:
    with (landing / "large.jsonl").open("wb") as file:
        file.writelines(json_text(25 * MB))

    assert ingested(tmp_path, "large.jsonl") < 512
