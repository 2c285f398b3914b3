"""The providers of whom every contract asks the same questions. A new one is one more line here.

`CONTRACT_STORES="s3://mine gs://mine-too" make contract` asks real buckets as well, by whatever credentials their SDKs
find. They must be empty and nobody else's, and are emptied after each question.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from samara import providers
from samara.ports import JobRunner, ObjectStore
from samara.providers.local import LocalJobs, LocalStore
from samara.providers.memory import MemoryStore
from samara.settings import Settings
from tests.emulators import azurite, gcs, google_batch, s3

STORES: dict[str, Callable[[Path], ObjectStore]] = {
    "memory": lambda _: MemoryStore(),
    "local": lambda home: LocalStore(home / "bucket"),
    "aws": lambda _: providers.store_at(s3.fresh_bucket()),
    "gcp": lambda _: providers.store_at(gcs.fresh_bucket()),
    "azure": lambda _: providers.store_at(azurite.fresh_container()),
}
REAL = os.environ.get("CONTRACT_STORES", "").split()
RUNNERS: dict[str, Callable[[Path], JobRunner]] = {
    "local": lambda home: LocalJobs(Settings(home=home)),
    "aws": lambda home: runner_at("aws", home, s3.fresh_queue()),
    "gcp": lambda home: runner_at("gcp", home, google_batch.fresh_project()),
}


def runner_at(provider: str, home: Path, jobs: str) -> JobRunner:
    return providers.load(provider).job_runner(Settings(provider=provider, home=home, jobs=jobs))


@pytest.fixture(params=[*STORES, *REAL])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ObjectStore]:
    if request.param in STORES:
        yield STORES[request.param](tmp_path)
        return
    real = providers.store_at(request.param)
    assert not list(real.list("")), f"{request.param} is not empty; give a bucket that nothing else uses"
    yield real
    for key in real.list(""):
        real.delete(key, real.head(key).version)


@pytest.fixture(params=RUNNERS)
def runner(request: pytest.FixtureRequest, tmp_path: Path) -> JobRunner:
    return RUNNERS[request.param](tmp_path)
