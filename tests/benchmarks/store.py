"""What a provider costs over the bare SDK, called by key: the same steps on the same emulator, in turn.

`python -m tests.benchmarks.store [ROUNDS]`. Latencies are those of emulators on this machine, so only the ratios say
something about a cloud, where the wait is longer and our share of it smaller.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import Protocol

from azure.core import MatchConditions
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage
from rich.console import Console
from rich.table import Table

from samara.ports import ObjectStore, Version
from samara.providers import store_at
from samara.providers.addresses import parsed
from samara.providers.memory import MemoryStore
from tests.emulators import azurite, gcs, s3

Step = Callable[[], object]
ROUNDS = 400
DATA = b"x" * 1024
LISTED = 20


class Raw(Protocol):
    """One side of a comparison: the steps of one round, by their verbs."""

    def steps(self, number: int) -> Iterator[tuple[str, Step]]: ...


class Ours:
    """The steps of one round on a store of ours."""

    def __init__(self, store: ObjectStore) -> None:
        self.store = store
        self.head = store.create("ours/head", b"0")

    def steps(self, number: int) -> Iterator[tuple[str, Step]]:
        key = f"ours/{number:06d}"
        yield "create", lambda: self.store.create(key, DATA)
        yield "get", lambda: self.store.get(key)
        yield "head", lambda: self.store.head(key)
        yield "replace", lambda: self._replace(number)
        yield "list", lambda: list(self.store.list("listed/"))
        yield "delete", lambda: self.store.delete(key, self.version(key))

    def version(self, key: str) -> Version:
        return self.store.head(key).version

    def _replace(self, number: int) -> None:
        self.head = self.store.replace("ours/head", b"%d" % number, self.head)


class RawS3:
    def __init__(self, address: str) -> None:
        self.s3 = s3.client()
        self.bucket = parsed(address, "region").place
        self.etag = self.s3.put_object(Bucket=self.bucket, Key="raw/head", Body=b"0")["ETag"]

    def steps(self, number: int) -> Iterator[tuple[str, Step]]:
        bucket, key = self.bucket, f"raw/{number:06d}"
        yield "create", lambda: self.s3.put_object(Bucket=bucket, Key=key, Body=DATA, IfNoneMatch="*")
        yield "get", lambda: self._get(key)
        yield "head", lambda: self.s3.head_object(Bucket=bucket, Key=key)
        yield "replace", lambda: self._replace(number)
        yield "list", lambda: list(self.s3.list_objects_v2(Bucket=bucket, Prefix="listed/")["Contents"])
        yield "delete", lambda: self._delete(key)

    def _get(self, key: str) -> bytes:
        return self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()

    def _delete(self, key: str) -> None:
        seen = self.s3.head_object(Bucket=self.bucket, Key=key)
        self.s3.delete_object(Bucket=self.bucket, Key=key, IfMatch=seen["ETag"])

    def _replace(self, number: int) -> None:
        reply = self.s3.put_object(Bucket=self.bucket, Key="raw/head", Body=b"%d" % number, IfMatch=self.etag)
        self.etag = reply["ETag"]


class RawGcs:
    def __init__(self, address: str) -> None:
        found = parsed(address)
        client = storage.Client("tests", AnonymousCredentials(), client_options={"api_endpoint": found.endpoint})  # type: ignore[no-untyped-call]  # Google's has no types
        self.client = client
        self.bucket = client.bucket(found.place)
        self.head = self.bucket.blob("raw/head")
        self.head.upload_from_string(b"0", if_generation_match=0)

    def steps(self, number: int) -> Iterator[tuple[str, Step]]:
        blob = self.bucket.blob(f"raw/{number:06d}")
        yield "create", lambda: blob.upload_from_string(DATA, if_generation_match=0)
        yield "get", blob.download_as_bytes
        yield "head", blob.reload
        yield "replace", lambda: self.head.upload_from_string(b"%d" % number, if_generation_match=self.head.generation)
        yield "list", lambda: list(self.client.list_blobs(self.bucket, prefix="listed/"))
        yield "delete", lambda: (blob.reload(), blob.delete(if_generation_match=blob.generation))


class RawBlobs:
    def __init__(self, address: str) -> None:
        self.container = azurite.client().get_container_client(parsed(address).path)
        self.etag = self.container.get_blob_client("raw/head").upload_blob(b"0")["etag"]

    def steps(self, number: int) -> Iterator[tuple[str, Step]]:
        key = f"raw/{number:06d}"
        yield "create", lambda: self.container.upload_blob(key, DATA)
        yield "get", lambda: self.container.download_blob(key).readall()
        yield "head", lambda: self.container.get_blob_client(key).get_blob_properties()
        yield "replace", lambda: self._replace(number)
        yield "list", lambda: list(self.container.list_blob_names(name_starts_with="listed/"))
        yield "delete", lambda: self._delete(key)

    def _delete(self, key: str) -> None:
        seen = self.container.get_blob_client(key).get_blob_properties()
        self.container.delete_blob(key, etag=seen.etag, match_condition=MatchConditions.IfNotModified)

    def _replace(self, number: int) -> None:
        head = self.container.get_blob_client("raw/head")
        reply = head.upload_blob(
            b"%d" % number, overwrite=True, etag=self.etag, match_condition=MatchConditions.IfNotModified
        )
        self.etag = reply["etag"]


RAW: dict[str, tuple[Callable[[], str], Callable[[str], Raw]]] = {
    "aws": (s3.fresh_bucket, RawS3),
    "gcp": (gcs.fresh_bucket, RawGcs),
    "azure": (azurite.fresh_container, RawBlobs),
}


def measured(rounds: int, *sides: Raw) -> list[dict[str, list[float]]]:
    """Seconds of each step on each side, which take turns in going first, so that both meet the same weather."""
    took: list[dict[str, list[float]]] = [{} for _ in sides]
    for number in range(rounds):
        plans = [(times, side.steps(number)) for times, side in zip(took, sides, strict=True)]
        for turn in zip(*(plan for _, plan in plans), strict=True):
            order = list(zip((times for times, _ in plans), turn, strict=True))
            for times, (verb, step) in order if number % 2 else reversed(order):
                started = time.perf_counter()
                step()
                times.setdefault(verb, []).append(time.perf_counter() - started)
    return took


def rows(name: str, ours: dict[str, list[float]], raw: dict[str, list[float]] | None) -> Iterator[list[str]]:
    for verb, times in ours.items():
        p50, p99 = median(times), quantiles(times, n=100)[98]
        row = [name, verb, f"{1 / p50:,.0f}", f"{p50 * 1000:.2f}", f"{p99 * 1000:.2f}"]
        if raw:
            theirs = median(raw[verb])
            row += [f"{theirs * 1000:.2f}", f"{p50 / theirs - 1:+.1%}"]
        yield row


def main(rounds: int) -> None:
    console = Console(width=110)
    table = Table("store", "verb", "1/s", "p50 ms", "p99 ms", "SDK p50 ms", "overhead", box=None)
    for column in table.columns[2:]:
        column.justify = "right"
    with TemporaryDirectory() as folder:
        alone: dict[str, ObjectStore] = {"memory": MemoryStore(), "local": store_at(f"file:{folder}/bucket")}
        for name, store in alone.items():
            console.print(f"[dim]{name}: {rounds} rounds")
            for row in rows(name, measured(rounds, Ours(listable(store)))[0], None):
                table.add_row(*row)
    for name, (fresh, raw) in RAW.items():
        address = fresh()
        console.print(f"[dim]{name}: {rounds} rounds, in turn with the bare SDK")
        ours, theirs = measured(rounds, Ours(listable(store_at(address))), raw(address))
        for row in rows(name, ours, theirs):
            table.add_row(*row)
        table.add_section()
    console.print(table)
    console.print(f"{rounds} rounds of 1 KiB objects, {LISTED} keys listed; load {os.getloadavg()[0]:.1f}")


def listable(store: ObjectStore) -> ObjectStore:
    for number in range(LISTED):
        store.create(f"listed/{number}", b"")
    return store


if __name__ == "__main__":
    os.environ.setdefault("AWS_ACCESS_KEY_ID", "testing")
    os.environ.setdefault("AWS_SECRET_ACCESS_KEY", "testing")
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS)
