"""What tests ask for by name: a bucket, jobs, and each function's own view of them."""

import os
import resource
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
from hypothesis import settings

from functions.catalogue import CATALOGUE
from samara import catalogue
from samara.app import App
from samara.core.sealed import Maker
from samara.events import ObjectCreated
from samara.providers.memory import MemoryJobs, MemoryStore

settings.register_profile("untimed", deadline=None)  # how long an example takes says how busy the machine is
settings.load_profile("untimed")

LARGEST_FILE = 2 << 30  # bytes
NOON = datetime(2013, 2, 14, 12, 0, tzinfo=UTC)


@pytest.fixture(autouse=True, scope="session")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What tests and their programs leave in the folder for temporary files goes with those of the run, and whoever
    writes without end fails alone, before the disk is full for all."""
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_FILE, most))
    with pytest.MonkeyPatch.context() as patch:
        folder = str(tmp_path_factory.mktemp("tmp", numbered=False))
        patch.setenv("TMPDIR", folder)
        patch.setattr(tempfile, "tempdir", folder)
        yield


@pytest.fixture(autouse=True, scope="session")
def strangers() -> Iterator[None]:
    """No test may act as whoever runs it, unless asked to: the SDKs find keys that open nothing but emulators."""
    with pytest.MonkeyPatch.context() as environment:
        if not os.environ.get("CONTRACT_STORES"):
            environment.setenv("AWS_ACCESS_KEY_ID", "testing")
            environment.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        yield


def pytest_report_header() -> str:
    """What this run cannot show."""
    if real := os.environ.get("CONTRACT_STORES"):
        return f"contract: also asked of {real}; races and lost answers only of emulators"
    return "contract: asked of emulators; no real bucket was asked (CONTRACT_STORES names none)"


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore(now=lambda: NOON)


@pytest.fixture
def jobs() -> MemoryJobs:
    return MemoryJobs()


@pytest.fixture
def whole(store: MemoryStore, jobs: MemoryJobs) -> App:
    """The app without any scope: for what a test prepares and looks up."""
    return App(store, jobs, Maker(function="test", code="0" * 64))


@pytest.fixture
def acting_as(whole: App) -> Callable[[str], App]:
    """The app as the function of that name gets it, with its permissions."""
    return lambda name: whole.acting_as(catalogue.named(CATALOGUE, name))


@pytest.fixture
def created() -> Callable[[str], ObjectCreated]:
    return lambda key: ObjectCreated(key, NOON)
