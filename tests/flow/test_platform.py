"""The local platform as a person runs it: real processes, real HTTP, real signals."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from samara import admin, app, starter
from samara.core import keys
from samara.core.aliases import Aliases
from samara.dev.platform import IDLE_S, WORKERS
from samara.dev.watch import FolderWatch
from samara.settings import Settings
from tests.flow.world import timeless

T = TypeVar("T")
PATIENCE_S = 90.0
ROW = {
    "mean_radius": 17.99, "mean_texture": 10.38, "mean_perimeter": 122.8, "mean_area": 1001.0,
    "mean_smoothness": 0.1184, "mean_compactness": 0.2776, "mean_concavity": 0.3001,
    "mean_concave_points": 0.1471, "mean_symmetry": 0.2419, "mean_fractal_dimension": 0.07871,
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A new project on real tumours."""
    starter.create(tmp_path / "mine", None, None)
    return tmp_path / "mine"


def until(condition: Callable[[], T | None]) -> T:
    """What `condition` gives as soon as it gives something."""
    deadline = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)
    return found


@contextmanager
def platform(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`samara dev` on that project, and afterwards nothing of it."""
    log = (folder / "dev.log").open("ab")
    command = [sys.executable, "-m", "samara.cli", "--home", str(folder / ".samara"), "dev", "--port", "0"]
    with log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            yield process
        finally:
            process.kill()


def address(folder: Path, process: subprocess.Popen[bytes]) -> str:
    """Where this process answers, as soon as it does."""

    def told() -> str | None:
        assert process.poll() is None, (folder / "dev.log").read_text()
        try:
            said = json.loads((folder / ".samara" / "platform.json").read_text())
        except (FileNotFoundError, ValueError):
            return None
        return str(said["url"]) if said["pid"] == process.pid else None

    return until(told)


def family(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    parent = psutil.Process(process.pid)
    return [parent, *parent.children(recursive=True)]


def upload(folder: Path) -> None:
    landing = folder / ".samara/bucket/landing/tumours"
    landing.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(folder / "data/tumours.csv", landing / "tumours.csv")


def champion(folder: Path) -> int | None:
    whole = app.build(Settings(home=folder / ".samara"))
    head = whole.find_head(Aliases, keys.aliases("malignant"))
    return head.champion if head else None


def asked(url: str, number: int) -> dict[str, Any]:
    inputs = [{"name": name, "shape": [1, 1], "datatype": "FP32", "data": [value]} for name, value in ROW.items()]
    reply = httpx.post(f"{url}/v2/models/malignant/infer", json={"id": f"{number}", "inputs": inputs}, timeout=30)
    assert reply.status_code == 200, reply.text
    answer: dict[str, Any] = reply.json()
    return answer


def test_a_file_dropped_into_the_bucket_becomes_a_model_that_answers_and_explains_itself(folder: Path) -> None:
    with platform(folder) as process:
        url = address(folder, process)

        upload(folder)
        until(lambda: champion(folder))
        answer = asked(url, 1)
        page = httpx.get(f"{url}/models/malignant", timeout=30)

        trail = admin.why(app.build(Settings(home=folder / ".samara")), answer["parameters"]["prediction"])
    assert trail.whole, trail.summary
    assert any(step.key == "landing/tumours/tumours.csv" for step in trail.steps)
    assert page.status_code == 200
    assert "malignant" in page.text


def test_a_whole_batch_is_answered_as_its_rows_are_over_http(folder: Path) -> None:
    with platform(folder) as process:
        url = address(folder, process)
        upload(folder)
        until(lambda: champion(folder))

        command = [sys.executable, "-m", "samara.cli", "--home", str(folder / ".samara"), "score", "malignant"]
        subprocess.run([*command, "--out", str(folder / "answers")], check=True, timeout=PATIENCE_S)

        (path,) = (folder / "answers").iterdir()
        answers = pq.read_table(path)
        rows = pacsv.read_csv(folder / "data/tumours.csv").select(list(ROW)).slice(0, 50)
        inputs = [{"name": name, "shape": [50, 1], "datatype": "FP32", "data": rows[name].to_pylist()} for name in ROW]
        reply = httpx.post(f"{url}/v2/models/malignant/infer", json={"inputs": inputs}, timeout=30).json()
    outputs = {tensor["name"]: tensor["data"] for tensor in reply["outputs"]}
    assert answers["label"].to_pylist()[:50] == outputs["label"]
    assert answers["probability_1"].to_pylist()[:50] == pytest.approx(outputs["probabilities"][1::2])


def test_killed_again_and_again_it_goes_on_where_it_was(folder: Path, tmp_path: Path) -> None:
    undisturbed = tmp_path / "undisturbed"
    shutil.copytree(folder, undisturbed)
    with platform(undisturbed) as process:
        address(undisturbed, process)
        upload(undisturbed)
        until(lambda: champion(undisturbed))
        time.sleep(1)

    dice = random.Random(7)  # noqa: S311  # chaos, not secrets
    upload(folder)
    for _ in range(6):
        with platform(folder) as process:
            time.sleep(dice.uniform(0.5, 2.5))
            os.kill(process.pid, signal.SIGKILL)
    with platform(folder) as process:
        address(folder, process)
        until(lambda: champion(folder))
        time.sleep(1)

    assert contents(folder) == contents(undisturbed)


def test_workers_killed_while_they_wait_are_replaced(folder: Path) -> None:
    with platform(folder) as process:
        address(folder, process)
        workers = until(lambda: found if len(found := family(process)[1:]) == WORKERS else None)
        until(lambda: (folder / "dev.log").read_text().count('"function": "drift"') >= 2)  # at the start, at publishing
        for worker in workers:
            worker.kill()

        upload(folder)

        whole = app.build(Settings(home=folder / ".samara"))
        until(lambda: list(whole.store.list(keys.VALIDATIONS)))


def test_while_nobody_can_be_told_of_failures_the_others_go_on(folder: Path) -> None:
    bucket = folder / ".samara/bucket"
    (bucket / "alerts").write_text("in the way of every alert, as a full disk is")
    with platform(folder) as process:
        address(folder, process)
        for number in range(WORKERS):
            (bucket / "results/malignant").mkdir(parents=True, exist_ok=True)
            (bucket / f"results/malignant/{number:016}.json").write_text("no result")
        until(lambda: (folder / "dev.log").read_text().count('"of": "register"') >= WORKERS)

        upload(folder)

        whole = app.build(Settings(home=folder / ".samara"))
        until(lambda: list(whole.store.list(keys.VALIDATIONS)))


def contents(folder: Path) -> dict[str, bytes]:
    """The bucket, without what a clock had a part in."""
    store = app.build(Settings(home=folder / ".samara")).store
    return {key: timeless(store.get(key).data) for key in store.list("")}


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_stopped_in_the_middle_of_a_training_it_leaves_no_process_behind(folder: Path, ending: signal.Signals) -> None:
    with platform(folder) as process:
        address(folder, process)
        upload(folder)
        whole = app.build(Settings(home=folder / ".samara"))
        until(lambda: list(whole.store.list(keys.JOBS)))
        before = {other.pid for other in psutil.process_iter() if str(folder) in " ".join(environment(other))}

        process.send_signal(ending)
        process.wait(timeout=30)

    assert process.returncode == 0
    left = [pid for pid in before if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE]
    assert not left


def test_stopped_in_the_middle_of_a_training_it_trains_when_it_is_started_again(folder: Path) -> None:
    whole = app.build(Settings(home=folder / ".samara"))
    with platform(folder) as process:
        address(folder, process)
        upload(folder)
        until(lambda: list(whole.store.list(keys.JOBS)))

        process.send_signal(signal.SIGINT)
        process.wait(timeout=30)

    assert champion(folder) is None, "the training was over too soon for this test"
    with platform(folder) as process:
        address(folder, process)
        until(lambda: list(whole.store.list(keys.RESULTS)))
        assert until(lambda: champion(folder)) == 1


def environment(process: psutil.Process) -> list[str]:
    try:
        return [f"{name}={value}" for name, value in process.environ().items()] + process.cmdline()
    except psutil.Error:
        return []


def test_idle_it_takes_less_than_120_mb(folder: Path) -> None:
    with platform(folder) as process:
        address(folder, process)
        time.sleep(IDLE_S + 2)
        until(lambda: len(family(process)) == 1 or None)

        taken = sum(member.memory_full_info().pss for member in family(process))

    assert taken < 120 * 10**6


def test_a_second_platform_on_the_same_home_is_refused(folder: Path) -> None:
    with platform(folder) as process:
        address(folder, process)

        with platform(folder) as second:
            second.wait(timeout=30)

    assert second.returncode == 1
    assert "a platform is running on it already" in (folder / "dev.log").read_text()


def test_a_mistake_in_the_project_is_told_and_the_platform_stays(folder: Path) -> None:
    (folder / "model.yaml").write_text("model: [")
    with platform(folder) as process:
        url = address(folder, process)

        until(lambda: "not published" in (folder / "dev.log").read_text())

        assert httpx.get(f"{url}/v2/health/live", timeout=30).status_code == 200


def test_a_file_that_still_grows_is_left_alone_until_it_rests(tmp_path: Path) -> None:
    (tmp_path / "landing/leaves").mkdir(parents=True)
    watch = FolderWatch(tmp_path, "landing/")
    path = tmp_path / "landing/leaves/a.csv"

    path.write_text("a\n")
    began = watch.news()
    path.write_text("a\n1\n2\n")
    grew = watch.news()
    rested, told = watch.news(), watch.news()

    assert (began, grew, rested, told) == ([], [], ["landing/leaves/a.csv"], [])
