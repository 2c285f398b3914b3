"""A container of any object service that apache-libcloud speaks to: to take in from, to mirror, to export to.

libcloud can set no condition on a write: given one, its S3 driver has overwritten what was there all the same. So
this store refuses to create, replace and delete, and no code path leads there; a loop keeps its state elsewhere.
What is left to write are copies, by `put_copy`, which is no part of the port.

A version is what the driver tells of an object: an ETag or hash. With a download it tells none, so the object is
asked for it before and after. That costs up to five requests a read; for any service that speaks S3 and knows
conditions, `s3://name?endpoint=…` is quicker and does more.
"""

import io
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import BinaryIO, NoReturn

from libcloud.storage.base import Object as Found
from libcloud.storage.base import StorageDriver
from libcloud.storage.drivers.azure_blobs import AzureBlobsStorageDriver
from libcloud.storage.drivers.s3 import BaseS3StorageDriver
from libcloud.storage.providers import DRIVERS, get_driver
from requests import Response

from samara.core.keys import flaw, sound, sound_prefix
from samara.errors import Misconfigured, Unavailable, Unsupported
from samara.patience import stand_back
from samara.ports import Meta, Object, ObjectStore, Version
from samara.providers.addresses import parsed
from samara.providers.certainty import ATTEMPTS, FIRST_S, MOST_S, patiently
from samara.providers.libcloud_drivers import credentials, maker, per_thread, translated, where
from samara.providers.libcloud_nodes import NodeJobs, job_runner
from samara.providers.listings import ascending
from samara.settings import Settings

__all__ = ["LibcloudStore", "NodeJobs", "job_runner", "object_store"]

CHUNK = 1 << 20
CHANGED = "was replaced while it was read; read it again"
WAY_OUT = "libcloud cannot write on condition; keep the bucket at s3://, gs://, az:// or file:, and copy from there"
PAGED = (BaseS3StorageDriver, AzureBlobsStorageDriver)  # these ask for a prefix page by page


class LibcloudStore:
    """`make` makes drivers: one for each thread, and one for each listing, which may outlive its thread."""

    def __init__(self, make: Callable[[], StorageDriver], container: str) -> None:
        self._make = make
        self._driver = per_thread(make)
        self._container = container

    def get(self, key: str) -> Object:
        return patiently(lambda: self._got(sound(key)))

    def head(self, key: str) -> Meta:
        return patiently(lambda: meta_of(self._found(sound(key))))

    def part(self, key: str, start: int, size: int) -> Object:
        return patiently(lambda: self._cut(sound(key), start, size))

    def list(self, prefix: str, after: str = "") -> Iterator[str]:
        return self._listed(sound_prefix(prefix), after)

    def open(self, key: str) -> BinaryIO:
        return patiently(lambda: self._opened(sound(key)))

    def create(self, key: str, data: bytes) -> Version:  # noqa: ARG002  # it is refused whatever it is
        refuse(key)

    def create_from(self, key: str, source: BinaryIO) -> Version:  # noqa: ARG002  # the same
        refuse(key)

    def replace(self, key: str, data: bytes, version: Version) -> Version:  # noqa: ARG002  # the same
        refuse(key)

    def delete(self, key: str, version: Version) -> None:  # noqa: ARG002  # the same
        refuse(key)

    def put_copy(self, key: str, source: BinaryIO) -> None:
        """Write over whatever is there. For copies whose truth lies elsewhere, and that are simply made again.

            for key in bucket.list("models/"):
                with bucket.open(key) as source:
                    copies.put_copy(key, source)

        In bounded memory. Services show the whole copy or what was there before; the local driver writes in place.
        """
        driver = self._driver()
        with translated(sound(key), driver):
            container = driver.get_container(self._container)
            bites = iter(lambda: source.read(CHUNK), b"")
            driver.upload_object_via_stream(bites, container, key, extra={"content_type": "application/octet-stream"})

    def _found(self, key: str) -> Found:
        driver = self._driver()
        with translated(key, driver):
            return driver.get_object(self._container, key)

    def _got(self, key: str) -> Object:
        found = self._found(key)
        with self._downloaded(found) as download:
            data = download.readall()
        return self._unchanged(found, data)

    def _cut(self, key: str, start: int, size: int) -> Object:
        found = self._found(key)
        end = min(start + size, found.size)
        if start >= end:
            return Object(b"", version_of(found), written_at(found))
        driver = self._driver()
        with translated(key, driver):
            data = b"".join(driver.download_object_range_as_stream(found, start, end, CHUNK))
        if len(data) != end - start:
            raise Unavailable(key, CHANGED)
        return self._unchanged(found, data)

    def _opened(self, key: str) -> BinaryIO:
        found = self._found(key)
        download = self._downloaded(found)
        try:
            self._unchanged(found)
        except BaseException:
            download.close()
            raise
        return io.BufferedReader(download, CHUNK)

    def _downloaded(self, found: Found) -> "Download":
        driver = self._driver()
        with translated(found.name, driver):
            chunks = driver.download_object_as_stream(found, CHUNK)
            return Download(found, chunks, getattr(driver.connection.connection, "response", None))

    def _unchanged(self, found: Found, data: bytes = b"") -> Object:
        """`data`, read since `found` was, if that is still what is there."""
        meta = meta_of(found)
        if meta_of(self._found(found.name)) != meta:
            raise Unavailable(found.name, CHANGED)
        return Object(data, meta.version, meta.at)

    def _listed(self, prefix: str, after: str) -> Iterator[str]:
        """A listing that breaks off is taken up after the last key it gave."""
        failures = 0
        while True:
            try:
                for key in self._names(prefix, after):
                    yield key
                    after, failures = key, 0
            except Unavailable:
                failures += 1
                if failures == ATTEMPTS:
                    raise
                stand_back(failures, FIRST_S, MOST_S)
            else:
                return

    def _names(self, prefix: str, after: str) -> Iterator[str]:
        """libcloud can begin nowhere but at the start, so what comes up to `after` is read and dropped."""
        driver = self._make()
        with translated(prefix or self._container, driver):
            container = driver.get_container(self._container)
            asked = (prefix or None) if isinstance(driver, PAGED) else None
            names = (found.name for found in driver.iterate_container_objects(container, prefix=asked))
            for name in ascending(names, prefix or self._container):
                if name.startswith(prefix) and name > after and not flaw(name):
                    yield name


class Download(io.RawIOBase):
    """One download as a stream: all the bytes of an object, or an error at the end."""

    def __init__(self, found: Found, chunks: Iterator[bytes], answer: Response | None) -> None:
        self._key = found.name
        self._left = found.size
        self._chunks = chunks
        self._answer = answer
        self._held = memoryview(self._next())  # asks the local driver to open its file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview[int]") -> int:  # type: ignore[override]  # what BufferedReader gives it
        held = self._held or memoryview(self._next())
        bite, self._held = held[: len(buffer)], held[len(buffer) :]
        buffer[: len(bite)] = bite
        return len(bite)

    def readall(self) -> bytes:
        held, self._held = bytes(self._held), memoryview(b"")
        return b"".join((held, *iter(self._next, b"")))

    def _next(self) -> bytes:
        """The next bytes, or none when all were there."""
        with translated(self._key):
            chunk = next(self._chunks, b"")
        self._left -= len(chunk)
        if self._left < 0 or (not chunk and self._left):
            raise Unavailable(self._key, CHANGED)
        return chunk

    def close(self) -> None:
        if self._answer is not None and not self.closed:
            self._answer.close()
        super().close()


def refuse(key: str) -> NoReturn:
    raise Unsupported(sound(key), WAY_OUT)


def meta_of(found: Found) -> Meta:
    return Meta(found.name, found.size, version_of(found), written_at(found))


def version_of(found: Found) -> Version:
    """What the driver tells of a write, without the quotes that some leave around it."""
    return Version((found.hash or f"{found.size}-{written_at(found).isoformat()}").strip('"'))


def written_at(found: Found) -> datetime:
    if "modify_time" in found.extra:  # of the local driver
        return datetime.fromtimestamp(found.extra["modify_time"], UTC)
    if not found.extra.get("last_modified"):
        raise Unsupported(found.name, "this service does not tell when it was written; choose another provider")
    return parsedate_to_datetime(found.extra["last_modified"]).astimezone(UTC)


UNFIT = {
    "aliyun_oss": "never comes to the end of a download",
    "backblaze_b2": "lists no more than the first page of a container",
    "cloudfiles": "sends keys unquoted, and so may read another object",
    "openstack_swift": "sends keys unquoted, and so may read another object",
}


def object_store(settings: Settings) -> ObjectStore:
    """Of an address `libcloud://PROVIDER/CONTAINER`, with `?endpoint=` and `?region=`. Of the local driver the
    endpoint is the folder that holds the containers."""
    address = parsed(settings.store, "region")
    provider, container = address.place, address.path
    if address.scheme != "libcloud" or not container or "/" in container:
        raise Misconfigured(settings.store, "not a container of libcloud's; write libcloud://provider/container")
    kind = kind_of(provider)
    folder = {"key": address.endpoint or ""}
    options = folder if provider == "local" else {**credentials(provider), **where(address)}
    return LibcloudStore(maker(kind, options, settings.store), container)


def kind_of(provider: str) -> type[StorageDriver]:
    if provider not in DRIVERS:
        raise Misconfigured(provider, f"libcloud knows no such object service; it knows {', '.join(sorted(DRIVERS))}")
    try:
        kind = get_driver(provider)
    except ImportError as error:
        raise Misconfigured(provider, f"libcloud's driver lacks a package: {error}") from error
    if provider != "local" and not issubclass(kind, PAGED):
        fault = UNFIT.get(provider, "is none that we know to be sound")
        raise Unsupported(provider, f"libcloud's driver {fault}; use the service's S3 endpoint, by s3:// or minio")
    return kind


def bus(settings: Settings) -> NoReturn:  # noqa: ARG001  # every provider takes its settings
    raise Unsupported("libcloud", "has no functions to wake; choose one of aws, gcp and azure")
