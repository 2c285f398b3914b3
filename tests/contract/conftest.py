"""The providers of whom every contract asks the same questions. A new one is one more line here."""

from collections.abc import Callable
from pathlib import Path

import pytest

from samara import providers
from samara.ports import JobRunner, ObjectStore
from samara.providers.local import LocalJobs, LocalStore
from samara.providers.memory import MemoryStore
from samara.settings import Settings
from tests.emulators import s3

STORES: dict[str, Callable[[Path], ObjectStore]] = {
    "memory": lambda _: MemoryStore(),
    "local": lambda home: LocalStore(home / "bucket"),
    "aws": lambda _: providers.store_at(s3.fresh_bucket()),
}
RUNNERS: dict[str, Callable[[Path], JobRunner]] = {
    "local": lambda home: LocalJobs(Settings(home=home)),
    "aws": lambda home: providers.load("aws").job_runner(Settings(home=home, provider="aws", jobs=s3.fresh_queue())),
}


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    return STORES[request.param](tmp_path)


@pytest.fixture(params=RUNNERS)
def runner(request: pytest.FixtureRequest, tmp_path: Path) -> JobRunner:
    return RUNNERS[request.param](tmp_path)
