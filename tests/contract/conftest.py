"""The providers of whom every contract asks the same questions. A new one is one more line here.

`CONTRACT_STORES="s3://mine gs://mine-too" make contract` asks real buckets as well, by whatever credentials their SDKs
find. They must be empty and nobody else's, and are emptied after each question.
"""

import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest

from samara import providers
from samara.errors import NotFound
from samara.ports import JobRunner, ObjectStore, Version
from samara.providers.azure import DEVELOPMENT, DEVELOPMENT_KEY
from samara.providers.local import LocalJobs, LocalStore
from samara.providers.memory import MemoryStore
from samara.settings import Settings
from tests.emulators import azurite, gcs, google_batch, s3


@dataclass(frozen=True, slots=True)
class Shelf:
    """A bucket as Samara sees it, and `put`, by which things get there: it writes over whatever was there."""

    store: ObjectStore
    put: Callable[[str, bytes], object]


def shelf_of(store: ObjectStore) -> Shelf:
    def put(key: str, data: bytes) -> None:
        try:
            version = store.head(key).version
        except NotFound:
            store.create(key, data)
        else:
            store.replace(key, data, version)

    return Shelf(store, put)


def on_s3(driver: str, _home: Path) -> Shelf:
    client, bucket = s3.client(), f"samara-{uuid4().hex[:12]}"
    client.create_bucket(Bucket=bucket)
    store = providers.store_at(f"libcloud://{driver}/{bucket}?endpoint={s3.endpoint()}&region={s3.REGION}")
    return Shelf(store, lambda key, data: client.put_object(Bucket=bucket, Key=key, Body=data))


def on_azure(_home: Path) -> Shelf:
    container = azurite.new_container()
    endpoint, _, _account = azurite.endpoint().rpartition("/")
    store = providers.store_at(f"libcloud://azure_blobs/{container.container_name}?endpoint={endpoint}")
    return Shelf(store, partial(container.upload_blob, overwrite=True))


def on_a_folder(home: Path) -> Shelf:
    def put(key: str, data: bytes) -> None:
        file = home / "container" / key
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)

    (home / "container").mkdir()
    return Shelf(providers.store_at(f"libcloud://local/container?endpoint={home}"), put)


STORES: dict[str, Callable[[Path], ObjectStore]] = {
    "memory": lambda _: MemoryStore(),
    "local": lambda home: LocalStore(home / "bucket"),
    "aws": lambda _: providers.store_at(s3.fresh_bucket()),
    "s3": lambda _: providers.load("s3").object_store(Settings(provider="s3", store=s3.fresh_bucket())),
    "gcp": lambda _: providers.store_at(gcs.fresh_bucket()),
    "azure": lambda _: providers.store_at(azurite.fresh_container()),
}
REFUSING: dict[str, Callable[[Path], Shelf]] = {  # to create, replace and delete, so they are filled by others
    "libcloud minio": partial(on_s3, "minio"),
    "libcloud s3": partial(on_s3, "s3"),
    "libcloud azure_blobs": on_azure,
    "libcloud local": on_a_folder,
}
REAL = os.environ.get("CONTRACT_STORES", "").split()
RUNNERS: dict[str, Callable[[Path], JobRunner]] = {
    "local": lambda home: LocalJobs(Settings(home=home)),
    "aws": lambda home: runner_at("aws", home, s3.fresh_queue()),
    "gcp": lambda home: runner_at("gcp", home, google_batch.fresh_project()),
}
Verb = Callable[[ObjectStore, str], object]
READS: dict[str, Verb] = {
    "get": lambda store, key: store.get(key),
    "head": lambda store, key: store.head(key),
    "part": lambda store, key: store.part(key, 0, 1),
    "open": lambda store, key: store.open(key),
}
WRITES: dict[str, Verb] = {
    "create": lambda store, key: store.create(key, b"x"),
    "create_from": lambda store, key: store.create_from(key, io.BytesIO(b"x")),
    "replace": lambda store, key: store.replace(key, b"x", Version("any")),
    "delete": lambda store, key: store.delete(key, Version("any")),
}
VERBS = {**READS, **WRITES}


def runner_at(provider: str, home: Path, jobs: str) -> JobRunner:
    return providers.load(provider).job_runner(Settings(provider=provider, home=home, jobs=jobs))


@contextmanager
def writing(name: str, home: Path) -> Iterator[ObjectStore]:
    if name in STORES:
        yield STORES[name](home)
        return
    real = providers.store_at(name)
    assert not list(real.list("")), f"{name} is not empty; give a bucket that nothing else uses"
    yield real
    for key in real.list(""):
        real.delete(key, real.head(key).version)


@contextmanager
def reading(name: str, home: Path) -> Iterator[Shelf]:
    if name in REFUSING:
        yield REFUSING[name](home)
        return
    with writing(name, home) as store:
        yield shelf_of(store)


@pytest.fixture(params=[*STORES, *REAL])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ObjectStore]:
    """Of every provider that writes on condition: an empty bucket."""
    with writing(request.param, tmp_path) as store:
        yield store


@pytest.fixture(params=[*STORES, *REFUSING, *REAL])
def shelf(request: pytest.FixtureRequest, libcloud_credentials: None, tmp_path: Path) -> Iterator[Shelf]:
    """Of every provider that can be read: an empty bucket and a way to fill it."""
    with reading(request.param, tmp_path) as shelf:
        yield shelf


@pytest.fixture(params=REFUSING)
def refusing(request: pytest.FixtureRequest, libcloud_credentials: None, tmp_path: Path) -> Shelf:
    """Of every provider that can be read and does not write on condition: the same."""
    return REFUSING[request.param](tmp_path)


@pytest.fixture
def libcloud_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of Azurite, which alone of the services here looks at them."""
    monkeypatch.setenv("LIBCLOUD_KEY", DEVELOPMENT)
    monkeypatch.setenv("LIBCLOUD_SECRET", DEVELOPMENT_KEY)


@pytest.fixture(params=RUNNERS)
def runner(request: pytest.FixtureRequest, tmp_path: Path) -> JobRunner:
    return RUNNERS[request.param](tmp_path)
