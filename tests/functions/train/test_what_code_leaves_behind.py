"""What the training code leaves in its folder, and how it ends, is told; none of it is trusted."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from functions.train import job
from samara.app import App
from samara.core.records import Result
from samara.core.sealed import Maker
from samara.errors import Rejected
from samara.providers.local import LocalStore
from samara.providers.memory import MemoryJobs
from samara.settings import Settings
from tests.bench import LOGISTIC, Bench, coins, in_process

OUTCOME: dict[str, Any] = {
    "signature": {"inputs": [], "outputs": []},
    "parity": {"rows": 1, "largest_difference": 0.0, "tolerance": 1.0, "agreed": True},
    "metrics": {"auc": 1.0},
}


def after(bench: Bench, line: str) -> Result:
    """The result when this line runs before the training."""
    bench.publish(LOGISTIC.replace("    text =", f"    {line}\n    text ="))
    bench.accept()
    return job.run(bench.asked_run(), bench.whole, in_process)


@pytest.mark.parametrize(
    "line",
    [
        "import pyarrow.parquet as pq; pq.write_table(table.slice(0, 20), WORK / 'holdout.parquet')",
        "import os; os.remove(WORK / 'holdout.parquet'); os.symlink('/etc/hostname', WORK / 'holdout.parquet')",
        "(WORK / 'holdout.parquet').unlink()",
    ],
    ids=["another", "a link", "none"],
)
def test_the_held_out_rows_are_those_of_the_plan_whatever_the_code_writes_over_them(bench: Bench, line: str) -> None:
    honest = after(bench, "pass")

    result = after(bench, f"from pathlib import Path; WORK = Path(__file__).parents[1]; {line}")

    assert result.holdout == honest.holdout
    assert pq.read_table(io.BytesIO(bench.whole.blob(str(result.holdout)))).num_rows == 60


@pytest.mark.parametrize("figure", ["NaN", "Infinity"])
def test_an_outcome_that_no_record_can_say_is_no_outcome(tmp_path: Path, figure: str) -> None:
    (tmp_path / "outcome.json").write_text(json.dumps(OUTCOME).replace("1.0}", f"{figure}}}"))

    with pytest.raises(Rejected, match="left no model"):
        job.read_outcome(tmp_path, job.Ended())


def test_of_long_last_words_the_very_last_are_told(tmp_path: Path) -> None:
    said = job.Log()
    said.add(b"x" * 5000 + b"\nNoSuchPackage: install it")

    with pytest.raises(Rejected, match=r"its last words: x+ \| NoSuchPackage: install it$"):
        job.read_outcome(tmp_path, job.Ended("the training code ended with exit code 1", said))


def test_a_signal_without_a_name_is_told_by_its_number(bench: Bench) -> None:
    bench.publish("import os\nos.kill(os.getpid(), 40)")
    bench.accept()

    result = job.run(bench.asked_run(), bench.whole)

    assert "signal 40" in result.why


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda table: table.set_column(0, "serial", table["serial"].cast(pa.float64())), "is int64 in one batch and "),
        (lambda table: table.drop_columns(["serial"]), "is int64 in one batch and missing in a later one"),
    ],
    ids=["another type", "gone"],
)
def test_batches_of_a_contract_that_has_changed_are_said_to_be(bench: Bench, change: Any, words: str) -> None:
    bench.publish(train={"batches": 2})
    bench.accept(coins(seed=1))
    bench.accept(change(coins(seed=2)), hours=1)

    result = bench.result()

    assert result.status == "failed"
    assert f"real: column serial: {words}" in result.why
    assert "set train.batches" in result.why


def test_a_process_that_still_writes_into_the_folder_spoils_no_finished_training(bench: Bench) -> None:
    bench.publish()
    bench.accept()
    left: list[subprocess.Popen[bytes]] = []

    def fit(work: Path, time_limit_s: float) -> job.Ended:
        endless = "while :; do : > one; : > another; : > third; done"
        left.extend(
            subprocess.Popen(["/bin/sh", "-c", endless], cwd=work, stderr=subprocess.DEVNULL, start_new_session=True)
            for _ in range(2)
        )
        return in_process(work, time_limit_s)

    try:
        result = job.run(bench.asked_run(), bench.whole, fit)
    finally:
        for process in left:
            process.kill()
            process.wait()

    assert result.status == "succeeded", result.why


def test_a_job_that_is_asked_to_end_takes_its_data_and_the_training_along(tmp_path: Path) -> None:
    home, temporary, pid = tmp_path / "home", tmp_path / "temporary", tmp_path / "pid"
    temporary.mkdir()
    bench = Bench(App(LocalStore(Settings(home=home).bucket), MemoryJobs(), Maker(function="test", code="0" * 64)))
    bench.publish(f"import os, time\nopen({str(pid)!r}, 'w').write(f'{{os.getpid()}}\\n')\ntime.sleep(3600)")
    bench.accept()
    environment = {**os.environ, **Settings(home=home).environment(), "TMPDIR": str(temporary)}

    command = [sys.executable, "-P", "-m", "functions.train.job", bench.asked_run()]
    with subprocess.Popen(command, env=environment) as started:
        while not (pid.exists() and pid.read_text().endswith("\n")):
            assert started.poll() is None
            time.sleep(0.05)
        assert list(temporary.iterdir())
        started.terminate()
        code = started.wait(60)

    assert code == 128 + signal.SIGTERM
    assert not list(temporary.iterdir())
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)
