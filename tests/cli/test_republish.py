"""`samara dev` publishes a project again when a file of it changes, and no file can end it."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import pytest

from samara import bundle, console, starter
from samara.app import App
from samara.core import keys
from samara.core.heads import ModelHead
from samara.dev.platform import Platform
from samara.errors import Unavailable
from samara.ports import Version
from samara.providers.memory import MemoryStore

Step = Callable[[], object]


@dataclass
class Running:
    """As much of a platform as publishing needs."""

    app: App
    ticks: list[datetime] = field(default_factory=list)

    def clock(self) -> datetime:
        return datetime(2013, 2, 14, tzinfo=UTC)

    def tick(self, at: datetime) -> None:
        self.ticks.append(at)


class Between(threading.Event):
    """Takes one step between two looks at the project, and stops after the last."""

    def __init__(self, *steps: Step) -> None:
        super().__init__()
        self._steps = list(steps)

    def wait(self, timeout: float | None = None) -> bool:  # noqa: ARG002  # nobody needs to wait here
        if self.is_set():
            return True
        if self._steps:
            self._steps.pop(0)()
        else:
            self.set()
        return self.is_set()


class Full(MemoryStore):
    """A store on a disk without space left, until somebody makes some."""

    space = False

    def create(self, key: str, data: bytes) -> Version:
        if not self.space:
            raise Unavailable(key, "the file system says: No space left on device")
        return super().create(key, data)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    starter.create(tmp_path / "mine", None, None)
    return tmp_path / "mine"


def republish(folder: Path, whole: App, *steps: Step) -> None:
    console.republish(folder, cast("Platform", Running(whole)), Between(*steps))


def published(whole: App) -> ModelHead | None:
    return whole.find_head(ModelHead, keys.model_head("malignant"))


def test_a_change_below_the_project_is_published_too(folder: Path, whole: App) -> None:
    (folder / "features").mkdir()
    helper = folder / "features" / "scale.py"
    helper.write_text("FACTOR = 1\n")

    republish(folder, whole, lambda: helper.write_text("FACTOR = 2\n# another\n"))

    head = published(whole)
    assert head
    assert whole.blob(head.bundle) == bundle.pack(folder)


def test_a_file_that_cannot_be_read_is_said_and_waited_for(
    folder: Path, whole: App, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_bytes", forbidden)
        republish(folder, whole, lambda: None, patched.undo)

    assert capsys.readouterr().err.count("not published") == 1
    assert published(whole)


def test_what_failed_on_a_full_disk_is_published_once_there_is_space(folder: Path, whole: App) -> None:
    store = Full()

    republish(folder, whole._replace(store=store), lambda: setattr(store, "space", True))

    assert published(whole._replace(store=store))


def test_a_folder_without_a_project_is_said_to_be_one_once(
    tmp_path: Path, whole: App, capsys: pytest.CaptureFixture[str]
) -> None:
    republish(tmp_path, whole, lambda: None, lambda: None)

    said = capsys.readouterr().err
    assert said.count("holds no *.odcs.yaml") == 1
    assert "name the project's folder with --project" in said
    assert not list(whole.store.list(""))


def test_a_project_that_comes_later_is_published(tmp_path: Path, whole: App) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()

    republish(folder, whole, lambda: starter.create(folder, None, None))

    assert published(whole)
