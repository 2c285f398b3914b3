"""A bucket of Google Cloud Storage, and jobs of Google Batch.

A version is the generation, which rises with every write. Bytes are read as they are stored, also where somebody
uploaded them compressed. Large objects go up in pieces, with the condition checked when the last one has arrived.
"""

import os
import re
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import partial
from types import MappingProxyType
from typing import Any, BinaryIO
from urllib.parse import quote

import google_crc32c
from google.api_core.exceptions import Forbidden
from google.api_core.exceptions import NotFound as Missing
from google.cloud import storage

from samara.core.keys import flaw, sound, sound_prefix
from samara.errors import Conflict, Misconfigured, NotFound, SamaraError, Unavailable
from samara.patience import stand_back
from samara.ports import JobRunner, Meta, Object, ObjectStore, Version
from samara.providers import streams
from samara.providers.addresses import parsed
from samara.providers.certainty import Found, Written, gone, patiently, same, settled
from samara.providers.gcp_bus import Topic, bus
from samara.providers.gcp_http import CONNECT_S, READ_S, Beyond, Busy, checked, session, translated
from samara.providers.gcp_jobs import GoogleBatch, google_batch
from samara.providers.gcp_uploads import Upload
from samara.providers.listings import ascending
from samara.providers.sizes import small
from samara.settings import Settings

__all__ = ["GcsStore", "GoogleBatch", "Topic", "bus", "job_runner", "object_store"]

# Where OpenTelemetry can be imported, the SDK looks up each bucket in a thread of its own, which few accounts may do.
os.environ.setdefault("DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA", "true")

BYTES = "application/octet-stream"
BUCKET = re.compile(r"[a-z0-9][a-z0-9_.-]{1,220}[a-z0-9]")
GENERATION = re.compile(r"[1-9][0-9]{0,17}")
ATTEMPTS, FIRST_S, MOST_S = 7, 1.0, 2.0
NO_BUCKET = "bucket does not exist"


class GcsStore:
    """Over a client that does not retry by itself: `patiently` and `settled` do, and know what that means.

    The SDK does all but two things: it does not tell when what it downloads was written, and it cannot go on with the
    upload of a stream that cannot be rewound. Those are requests of our own, over the same connections.
    """

    def __init__(
        self,
        bucket: str,
        endpoint: str | None = None,
        connect_s: float = CONNECT_S,
        read_s: float = READ_S,
        page: int = 1000,
    ) -> None:
        self._session = session(endpoint)
        self._timeout = (connect_s, read_s)
        self._page_size = page
        options = {"api_endpoint": endpoint} if endpoint else None
        client = storage.Client(None, self._session.credentials, self._session, client_options=options)
        self._client = client
        self._bucket = client.bucket(bucket)
        self._objects = f"{client.api_endpoint}/download/storage/v1/b/{quote(bucket, safe='')}/o"

    def get(self, key: str) -> Object:
        return patiently(lambda: self._read(sound(key), None))

    def head(self, key: str) -> Meta:
        return patiently(lambda: self._headed(key))

    def part(self, key: str, start: int, size: int) -> Object:
        try:
            return patiently(lambda: self._read(sound(key), range(start, start + size)))
        except Beyond:
            return streams.behind(self.head(key), start)

    def list(self, prefix: str, after: str = "") -> Iterator[str]:
        return self._listed(sound_prefix(prefix), after)

    def open(self, key: str) -> BinaryIO:
        return streams.opened(self, key)

    def create(self, key: str, data: bytes) -> Version:
        if len(data) >= streams.CHUNK:
            return self._create_large(sound(key), data, iter(()))
        create = partial(self._created, sound(key), lambda: self._put(key, data, 0))
        return settled(key, create, same(lambda: self.get(key), data))

    def create_from(self, key: str, source: BinaryIO) -> Version:
        pieces = streams.chunks(source)
        first = next(pieces)
        if len(first) < streams.CHUNK:
            return self.create(key, first)
        return self._create_large(sound(key), first, pieces)

    def replace(self, key: str, data: bytes, version: Version) -> Version:
        generation = generation_of(sound(key), version)
        small(key, data)
        return settled(key, lambda: self._put(key, data, generation), same(lambda: self.get(key), data))

    def delete(self, key: str, version: Version) -> None:
        generation = generation_of(sound(key), version)
        settled(key, lambda: self._deleted(key, generation), lambda: gone(self.head, key))

    def _read(self, key: str, bites: range | None) -> Object:
        """All of an object in one request, or the part of it within `bites`."""
        headers = {"Accept-Encoding": "gzip"}  # as it is stored: for others Google decompresses it
        if bites is not None:
            headers["Range"] = f"bytes={bites.start}-{max(bites.stop - 1, bites.start)}"  # it has at least one byte
        url = f"{self._objects}/{quote(key, safe='')}?alt=media"
        with (
            self._translated(key, NotFound, {416: Beyond} if bites is not None else {}),
            self._session.get(url, headers=headers, timeout=self._timeout, stream=True) as reply,
        ):
            data = checked(reply, 200, 206).raw.read(decode_content=False)
            if reply.status_code == 200 and checksum(data) not in reply.headers["X-Goog-Hash"]:
                raise Unavailable(key, "arrived damaged; read it again")
            if bites is not None:
                told = reply.headers["Content-Range"] if reply.status_code == 206 else None
                data = streams.cut(data, told, bites.start, len(bites))
            at = parsedate_to_datetime(reply.headers["Last-Modified"])
            return Object(data, version_of(reply.headers["X-Goog-Generation"]), at)

    def _headed(self, key: str) -> Meta:
        with self._translated(sound(key), NotFound):
            blob = self._described(key)
            return Meta(key, int(blob.size), version_of(blob.generation), to_the_second(blob.time_created))

    def _described(self, key: str) -> Any:
        """The SDK's description of an object."""
        blob = self._bucket.blob(key)
        with self._translated(key, NotFound):
            blob.reload(timeout=self._timeout, retry=None)
        return blob

    def _listed(self, prefix: str, after: str) -> Iterator[str]:
        token: str | None = ""
        last = ""
        while token is not None:
            page, token = patiently(partial(self._page, prefix, after, token))
            for key in ascending((key for key in page if key > after), prefix or self._bucket.name, last):
                last = key
                if not flaw(key):
                    yield key

    def _page(self, prefix: str, after: str, token: str | None) -> tuple[Sequence[str], str | None]:
        with self._translated(prefix or self._bucket.name, Misconfigured):
            found = self._client.list_blobs(
                self._bucket,
                prefix=prefix,
                start_offset=after,  # which it is to begin after
                page_token=token,
                page_size=self._page_size,
                fields="items(name),nextPageToken",
                timeout=self._timeout,
                retry=None,
            )
            names = [blob.name for blob in next(found.pages, ())]
            return names, found.next_page_token

    def _put(self, key: str, data: bytes, generation: int) -> Version:
        blob = self._bucket.blob(key)

        def upload() -> Version:
            with self._translated(key, Misconfigured):
                blob.upload_from_string(data, BYTES, if_generation_match=generation, timeout=self._timeout, retry=None)
                return version_of(blob.generation)

        return self._unhurried(key, generation, upload)

    def _created(self, key: str, create: Callable[[], Found]) -> Found:
        """What `create` gives. An account that may create and not overwrite may hear where something is that it must
        not, rather than that something is there; Google does not say which. So it looks, if it may."""
        try:
            return create()
        except Misconfigured as error:
            if not isinstance(error.__cause__, Forbidden) or not self._seen(key):
                raise
            raise Conflict(key) from error

    def _seen(self, key: str) -> bool:
        try:
            return self._generation_now(key) != 0
        except Misconfigured:  # it may not even look
            return False

    def _deleted(self, key: str, generation: int) -> bool:
        def delete() -> bool:
            with self._translated(key, Conflict):
                url = f"{self._client.api_endpoint}/storage/v1{self._bucket.path}/o/{quote(key, safe='')}"
                only = {"ifGenerationMatch": str(generation)}
                checked(self._session.delete(url, params=only, timeout=self._timeout), 204)
            return True

        return self._unhurried(key, generation, delete)

    def _unhurried(self, key: str, generation: int, write: Callable[[], Written]) -> Written:
        """What `write` gives. A name takes one write a second: who comes too soon has certainly not written, so it
        waits, and looks whether it has come too late as well."""
        for attempt in range(ATTEMPTS):
            try:
                return write()
            except Busy:
                stand_back(attempt, FIRST_S, MOST_S)
            if self._generation_now(key) != generation:
                raise Conflict(key)
        return write()

    def _generation_now(self, key: str) -> int:
        try:
            return int(self.head(key).version)
        except NotFound:
            return 0

    def _create_large(self, key: str, piece: bytes, rest: Iterator[bytes]) -> Version:
        """As `create`. What is given up midway is never seen, and Google forgets it after a week."""
        upload = patiently(lambda: self._created(key, lambda: self._begun(key)))
        seen, size = google_crc32c.value(piece), len(piece)
        for following in rest:
            patiently(partial(upload.add, piece))
            piece = following
            seen = google_crc32c.extend(seen, piece)
            size += len(piece)
        crc32c = in_base64(seen)

        def finish() -> Version:
            return self._created(key, lambda: self._unhurried(key, 0, lambda: upload.finish(piece, crc32c)))

        def ours() -> Version | None:
            now = patiently(lambda: self._described(key))
            return Version(str(now.generation)) if (now.size, now.crc32c) == (size, crc32c) else None

        return settled(key, finish, ours)

    def _begun(self, key: str) -> Upload:
        with self._translated(key, Misconfigured):
            place = self._bucket.blob(key).create_resumable_upload_session(
                BYTES, if_generation_match=0, timeout=self._timeout, retry=None
            )
        return Upload(self._session, place, key, self._timeout)

    @contextmanager
    def _translated(
        self, subject: str, missing: type[SamaraError], here: Mapping[int, type[Exception]] = MappingProxyType({})
    ) -> Iterator[None]:
        """`missing` is what 404 means. Where it is not about the object, it is about the bucket."""
        with translated(subject, {404: missing, **here}):
            try:
                yield
            except Missing as error:
                if missing is not Misconfigured and NO_BUCKET not in error.message:
                    raise
                name = self._bucket.name
                why = f"no such bucket; create it (gcloud storage buckets create gs://{name}) or correct SAMARA_STORE"
                raise Misconfigured(name, why) from error


def generation_of(key: str, version: Version) -> int:
    """The generation of a version that this store gave. Any other is stale, zero above all: that would create."""
    if not GENERATION.fullmatch(version):
        raise Conflict(key)
    return int(version)


def version_of(generation: object) -> Version:
    """A write without a generation is none of Google's."""
    if generation is None:
        raise ValueError("no generation")
    return Version(str(generation))


def checksum(data: bytes) -> str:
    """As in the header that comes with every object."""
    return f"crc32c={in_base64(google_crc32c.value(data))}"


def in_base64(crc32c: int) -> str:
    """As Google writes it."""
    return b64encode(crc32c.to_bytes(4, "big")).decode()


def to_the_second(at: datetime) -> datetime:
    """As exactly as it is told with the data."""
    return at.replace(microsecond=0)


def object_store(settings: Settings) -> ObjectStore:
    """Of an address `gs://bucket`, with `?endpoint=` for an emulator."""
    address = parsed(settings.store)
    if address.scheme != "gs" or address.path or not re.fullmatch(BUCKET, address.place):
        raise Misconfigured(settings.store, "not a bucket of Google's; write gs://name, without a path behind it")
    return GcsStore(address.place, address.endpoint)


def job_runner(settings: Settings) -> JobRunner:
    return google_batch(settings)
