"""Kill a process before any system call of a write: the write has happened or not, and nothing is in the way."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from samara.errors import NotFound
from samara.providers.local import LocalStore
from tests.contract.programs import FRESH, HEAD, NEW, OLD

ABSENT = b"absent"


@pytest.mark.parametrize(
    ("write", "key", "before", "after"),
    [
        ("create", FRESH, ABSENT, NEW),
        ("create_from", FRESH, ABSENT, NEW),
        ("replace", HEAD, OLD, NEW),
        ("delete", HEAD, OLD, ABSENT),
    ],
)
def test_killed_before_any_system_call_a_write_has_happened_or_not(
    tmp_path: Path, write: str, key: str, before: bytes, after: bytes
) -> None:
    run("killed_everywhere", tmp_path, write)

    wrecks = sorted(tmp_path.glob("[0-9]*"))
    found = [content(LocalStore(home / "bucket"), key) for home in wrecks]

    assert len(wrecks) >= 8, "it was killed at a point for each of the calls it makes"
    assert found == sorted(found, key=lambda data: data == after), "and from one point on the write had happened"
    assert set(found) == {before, after}, "wholly"
    for home, data in zip(wrecks, found, strict=True):
        assert_sound(LocalStore(home / "bucket"), key, data)


def assert_sound(store: LocalStore, key: str, data: bytes) -> None:
    """No part is listed, no lock is held, and the next write at that key works."""
    expected = {HEAD: OLD, key: data}
    assert list(store.list("")) == sorted(k for k, content in expected.items() if content != ABSENT)
    started = time.monotonic()
    write_next(store, key, data)
    assert store.get(key).data == b"next"
    assert time.monotonic() - started < 10, "it did not wait for the lock of the dead"


def write_next(store: LocalStore, key: str, data: bytes) -> None:
    if data == ABSENT:
        store.create(key, b"next")
    else:
        store.replace(key, b"next", store.head(key).version)


def content(store: LocalStore, key: str) -> bytes:
    try:
        return store.get(key).data
    except NotFound:
        return ABSENT


def run(program: str, folder: Path, *arguments: str) -> None:
    command = [sys.executable, "-m", "tests.contract.programs", program, str(folder), *arguments]
    subprocess.run(command, check=True, timeout=240)
