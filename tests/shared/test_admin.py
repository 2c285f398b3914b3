"""What people do to a running loop: who answers, and the answers of a scoring, as files in a folder of theirs."""

import os
from pathlib import Path

import pytest

from samara import admin
from samara.app import App
from samara.core import keys
from samara.core.aliases import Aliases
from samara.core.records import ModelVersion, Parity, Part, Scores, Signature
from samara.errors import NotFound, Rejected
from samara.providers.memory import MemoryStore
from tests.conftest import NOON


def scored(whole: App, *parts: bytes) -> Scores:
    """What a scoring came to whose answers are these."""
    kept = tuple(Part(digest=whole.keep(data), rows=1, size=len(data)) for data in parts)
    return Scores(made_by=whole.maker, model="late", version=1, scoring="s", status="succeeded", parts=kept)


def held(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_answers_are_put_into_a_folder_once_however_often_they_are_asked_for(whole: App, tmp_path: Path) -> None:
    scores, folder = scored(whole, b"one", b"two"), tmp_path / "some" / "answers"

    first, again = admin.answers(whole, scores, folder), admin.answers(whole, scores, folder)

    assert first == again == [folder / "part-00001.parquet", folder / "part-00002.parquet"]
    assert held(folder) == {"part-00001.parquet": b"one", "part-00002.parquet": b"two"}


def test_what_was_interrupted_is_gone_on_with(whole: App, tmp_path: Path) -> None:
    scores = scored(whole, b"one", b"two")
    (tmp_path / "part-00001.parquet").write_bytes(b"one")

    admin.answers(whole, scores, tmp_path)

    assert held(tmp_path) == {"part-00001.parquet": b"one", "part-00002.parquet": b"two"}


@pytest.mark.parametrize("earlier", [(b"one", b"two", b"three"), (b"one", b"other"), (b"two",)])
def test_a_folder_with_answers_of_another_scoring_is_left_alone(
    whole: App, tmp_path: Path, earlier: tuple[bytes, ...]
) -> None:
    admin.answers(whole, scored(whole, *earlier), tmp_path)
    before = held(tmp_path)

    with pytest.raises(Rejected, match=r"part-0000\d.parquet: .*name another folder, or remove its"):
        admin.answers(whole, scored(whole, b"one", b"two"), tmp_path)

    assert held(tmp_path) == before


def test_other_files_in_the_folder_disturb_nobody(whole: App, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_bytes(b"mine")

    admin.answers(whole, scored(whole, b"one"), tmp_path)

    assert held(tmp_path) == {"notes.txt": b"mine", "part-00001.parquet": b"one"}


def test_answers_that_cannot_be_had_or_written_leave_no_half_a_file(
    whole: App, store: MemoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = scored(whole, b"one", b"two")
    monkeypatch.setattr("samara.admin.shutil.copyfile", full)

    with pytest.raises(OSError, match="No space left"):
        admin.answers(whole, scores, tmp_path)
    assert not held(tmp_path)
    monkeypatch.undo()
    store.delete("blobs/sha256/" + scores.parts[1].digest, store.get("blobs/sha256/" + scores.parts[1].digest).version)
    with pytest.raises(NotFound):
        admin.answers(whole, scores, tmp_path)

    assert held(tmp_path) == {"part-00001.parquet": b"one"}


def full(source: Path, target: Path) -> None:
    """A copy onto a disk that is full after a byte."""
    target.write_bytes(source.read_bytes()[:1])
    raise OSError(28, os.strerror(28), str(target))


def live(whole: App, number: int) -> ModelVersion:
    """A version of that number, as champion."""
    version = ModelVersion(
        made_by=whole.maker, model="late", version=number, run=f"run-{number}", artifact=whole.keep(b"%d" % number),
        signature=Signature(inputs=(), outputs=()), metrics={}, baseline="0" * 64, compared_with=None,
        parity=Parity(rows=1, largest_difference=0, tolerance=1, agreed=True), compared_metrics={}, gates=(),
    )  # fmt: skip
    whole.write(keys.version("late", number), version)
    admin.promote(whole, "late", number, expect=None, at=NOON, by="test")
    return version


def remove(whole: App, key: str) -> None:
    whole.store.delete(key, whole.store.get(key).version)


@pytest.mark.parametrize("gone", ["record", "model"])
def test_nothing_leads_to_a_version_that_is_gone(whole: App, gone: str) -> None:
    first, _ = live(whole, 1), live(whole, 2)
    remove(whole, keys.version("late", 1) if gone == "record" else keys.blob(first.artifact))

    with pytest.raises(NotFound, match="late v1: "):
        admin.promote(whole, "late", 1, expect=None, at=NOON, by="me")
    with pytest.raises(NotFound, match="late v1: "):
        admin.rollback(whole, "late", at=NOON, by="me")
    with pytest.raises(NotFound, match="late v1: "):
        admin.route(whole, "late", {2: 0.9, 1: 0.1}, at=NOON, by="me")
    with pytest.raises(NotFound, match="late v1: "):
        admin.shadow(whole, "late", 1, at=NOON, by="me")

    aliases = whole.find_head(Aliases, keys.aliases("late"))
    assert aliases
    assert (aliases.champion, len(aliases.moves)) == (2, 2)


def test_back_to_a_version_that_is_there_it_goes(whole: App) -> None:
    live(whole, 1)
    live(whole, 2)

    assert admin.rollback(whole, "late", at=NOON, by="me").champion == 1
