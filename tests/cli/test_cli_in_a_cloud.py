"""The same commands on a bucket in a cloud, which SAMARA_STORE names."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from click.testing import Result as Ended

from samara import app, project
from samara.app import App
from samara.catalogue import load, named
from samara.cli import main
from samara.core import keys
from samara.core.records import Result, Run
from samara.dispatch import deliver
from samara.events import ObjectCreated
from samara.settings import Settings
from tests.conftest import NOON
from tests.emulators import s3

Samara = Callable[..., Ended]


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Those of a bucket with a batch service beside it, as its user's shell has them."""
    store, jobs = s3.fresh_bucket(), s3.fresh_queue()
    monkeypatch.setenv("SAMARA_STORE", store)
    monkeypatch.setenv("SAMARA_JOBS", jobs)
    return Settings(provider="aws", store=store, jobs=jobs)


@pytest.fixture
def samara(tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Samara:
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(main, [str(word) for word in words], catch_exceptions=False)


@pytest.mark.usefixtures("settings")
def test_a_project_is_published_once(samara: Samara) -> None:
    samara("init", "mine")

    first, again = samara("publish", "mine"), samara("publish", "mine")

    assert "contract of tumours" in first.output
    assert "model malignant" in first.output
    assert "nothing new" in again.output


def test_a_project_is_checked_without_a_bucket(samara: Samara, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SAMARA_STORE")
    samara("init", "mine")

    assert "tumours, malignant: in order" in samara("publish", "--check", "mine").output

    Path("mine/train.py").unlink()
    broken = samara("publish", "--check", "mine")
    assert broken.exit_code == 1
    assert "there is no train.py beside it" in broken.output


def test_an_upload_lands_in_the_bucket_and_the_status_says_so(samara: Samara, settings: Settings) -> None:
    samara("init", "mine")

    assert samara("upload", "mine/data/tumours.csv", "--dataset", "tumours").exit_code == 0

    assert list(app.build(settings).store.list(keys.LANDING)) == ["landing/tumours/tumours.csv"]
    shown = samara("status").output
    assert f"in {settings.store}"[:40] in shown
    assert "tumours" in shown


@pytest.fixture
def whole(samara: Samara, settings: Settings) -> App:
    """The bucket with a published project and an accepted batch."""
    samara("init", "mine")
    whole = app.build(settings)
    project.publish(project.read(Path("mine")), whole)
    whole.store.create("landing/tumours/tumours.csv", Path("mine/data/tumours.csv").read_bytes())
    functions = load()
    for name, topic in (("ingest", keys.LANDING), ("validate", keys.DATASETS)):
        deliver(named(functions, name), ObjectCreated(next(whole.store.list(topic)), NOON), whole)
    return whole


def test_a_training_is_asked_for_with_the_permissions_of_who_asks(samara: Samara, whole: App) -> None:
    asked = samara("train", "malignant", "--why", "a new colleague")

    assert "of malignant is on its way" in asked.output
    assert len(list(whole.store.list(keys.DECISIONS))) == 1
    assert list(whole.store.list(keys.RUNS))


def test_what_failed_is_said_to_have_failed_and_tried_once_more_if_that_is_asked(samara: Samara, whole: App) -> None:
    samara("train", "malignant")
    (run_key,) = whole.store.list(keys.RUNS)
    run = whole.read(Run, run_key)
    made = {"made_by": whole.maker, "made_from": (run.link(run_key),)}
    whole.write(
        keys.result(run_key), Result(**made, model="malignant", run=run.run, status="failed", why="the disk was full")
    )

    failed, again = samara("train", "malignant"), samara("train", "malignant", "--again")

    assert failed.exit_code == 1
    assert "✗" in failed.output
    assert "was this very plan, and failed: the disk was full; change code, data or settings, or ask with --again" in (
        " ".join(failed.output.split())
    )
    assert again.exit_code == 0
    assert len([*whole.store.list(keys.RUNS)]) == 2


def test_a_training_without_machines_is_refused_by_name(samara: Samara, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SAMARA_JOBS")
    samara("init", "mine")
    samara("publish", "mine")

    ended = samara("train", "malignant")

    assert ended.exit_code == 1
    assert "malignant" in ended.output


def test_an_address_of_no_cloud_is_refused_with_those_there_are(
    samara: Samara, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAMARA_STORE", "ftp://flights")

    ended = samara("status")

    assert ended.exit_code == 1
    assert "not the address of a bucket; it starts with one of file:, s3:" in ended.output


def test_a_record_that_was_altered_hides_no_other(samara: Samara, settings: Settings) -> None:
    samara("init", "mine")
    samara("publish", "mine")
    store = app.build(settings).store
    for key in (
        "results/malignant/00.json",
        "validations/tumours/00.json",
        "alerts/00.json",
        "models/malignant/1.json",
    ):
        store.create(key, b"{")

    shown = samara("status")

    assert shown.exit_code == 0, shown.output
    assert "malignant" in shown.output
