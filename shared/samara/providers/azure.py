"""A container of Azure Blob Storage, and jobs of Azure Container Apps and Azure Batch.

A version is the ETag, which is new with every write. Bytes go up in one request, and streams in blocks that nobody sees
until one request makes them an object; Azure forgets blocks that were never made one after a week. Who may create
small objects need not be allowed to read or to send blocks. The account keeps a flat namespace:
with a hierarchical one an object at `a` cannot lie beside one at `a/b`.
"""

import hashlib
import io
import os
import re
from base64 import b64decode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from functools import lru_cache, partial
from itertools import chain, groupby
from typing import Any, BinaryIO, cast
from urllib.parse import urlsplit
from uuid import uuid4

from azure.core import MatchConditions
from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError
from azure.core.paging import PageIterator
from azure.storage.blob import BlobBlock, BlobClient, ContainerClient

from samara.core.keys import flaw, sound, sound_prefix
from samara.errors import Conflict, Misconfigured, NotFound, Rejected, SamaraError, Unavailable
from samara.ports import Meta, Object, ObjectStore, Version
from samara.providers import streams
from samara.providers.addresses import Address, parsed
from samara.providers.azure_bus import Queues
from samara.providers.azure_jobs import ContainerAppsJobs, job_runner
from samara.providers.azure_rest import (
    CONNECT_S,
    LOOPBACK,
    READ_S,
    UNLIKE,
    connections,
    keyless,
    nobody,
    refuse_clear,
)
from samara.providers.certainty import gone, patiently, same, settled
from samara.providers.listings import ascending
from samara.providers.sizes import small
from samara.providers.streams import CHUNK
from samara.settings import Settings

__all__ = ["BlobStore", "ContainerAppsJobs", "job_runner", "object_store"]

DEVELOPMENT = "devstoreaccount1"  # the emulator's account; it and its key are the same for everybody
DEVELOPMENT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
LARGEST_PUT = 5_000 << 20  # what Azure takes in one request
LARGEST_PAGE = 5_000  # keys that Azure lists in one answer
CLIENTS = 64  # kept, for the SDK takes a third of a millisecond to make one for a key
ACCOUNT = re.compile(r"[a-z0-9]{3,24}")
CONTAINER = re.compile(r"(?=.{3,63}\Z)[a-z0-9]+(-[a-z0-9]+)*")
ETAG = re.compile(r'"[!#-)+-~]+"')  # without the star, which matches whatever is there
BEYOND_UTF16_ORDER = re.compile("[\ue000-\U0010ffff]")
Names = list[str]
Page = tuple[Names, str | None]


class BlobStore:
    """Over a client that does not retry by itself: `patiently` and `settled` do, and know what that means.

    `page` is how many keys are asked for at a time.
    """

    def __init__(self, container: ContainerClient, page: int = LARGEST_PAGE) -> None:
        self._container = container
        self._client = lru_cache(CLIENTS)(container.get_blob_client)
        self._at_once = page
        self._place = f"az://{container.account_name}/{container.container_name}"

    def get(self, key: str) -> Object:
        first = self.part(key, 0, CHUNK)
        if len(first.data) < CHUNK:
            return first
        return Object(b"".join(streams.chunks(streams.Parts(self, key, first))), first.version, first.at)  # type: ignore[arg-type]  # it reads, which is all we need

    def head(self, key: str) -> Meta:
        return patiently(lambda: self._headed(key))

    def part(self, key: str, start: int, size: int) -> Object:
        return patiently(lambda: self._cut(key, start, size))

    def list(self, prefix: str, after: str = "") -> Iterator[str]:
        return self._listed(sound_prefix(prefix), after)

    def open(self, key: str) -> BinaryIO:
        return streams.opened(self, key)

    def create(self, key: str, data: bytes) -> Version:
        if len(data) > LARGEST_PUT:
            return self.create_from(key, io.BytesIO(data))
        try:
            return settled(key, lambda: self._put(key, data), same(lambda: self.get(key), data))
        except Conflict:
            if not self._only_blocks(key):
                raise
        return self._create_in_blocks(key, filter(None, streams.chunks(io.BytesIO(data))))

    def create_from(self, key: str, source: BinaryIO) -> Version:
        sound(key)
        pieces = streams.chunks(source)
        first = next(pieces)
        if len(first) < CHUNK:
            return self.create(key, first)
        if not gone(self.head, key):  # most of what is created twice has long been there
            raise Conflict(key)
        return self._create_in_blocks(key, chain([first], pieces))

    def replace(self, key: str, data: bytes, version: Version) -> Version:
        small(key, data)
        over = only(key, version)
        return settled(key, lambda: self._put(key, data, overwrite=True, **over), same(lambda: self.get(key), data))

    def delete(self, key: str, version: Version) -> None:
        over = only(key, version)
        settled(key, lambda: self._deleted(key, over), lambda: gone(self.head, key))

    def _headed(self, key: str) -> Meta:
        with translated(key, self._place):
            known = self._blob(key).get_blob_properties()
            return Meta(key, int(known.size), version_of(known.etag), instant_of(known.last_modified))

    def _cut(self, key: str, start: int, size: int) -> Object:
        try:
            with translated(key, self._place, InvalidRange=Beyond):
                reply = self._blob(key).download_blob(offset=start, length=max(size, 1))  # Azure knows no empty range
                known = reply.properties
                data = reply.readall()
                if len(data) != reply.size:
                    raise ValueError("another part than was asked for")
                return Object(data[:size], version_of(known.etag), instant_of(known.last_modified))
        except Beyond:
            return streams.behind(self._headed(key), start)

    def _listed(self, prefix: str, after: str) -> Iterator[str]:
        """Azurite orders keys by UTF-16, and Azure's alphabet is not documented. UTF-16 differs from UTF-8 only
        among keys that first differ behind the surrogates: those come one after another, and are sorted here."""
        keys: Iterator[str] = chain.from_iterable(self._pages(prefix, after))
        groups = groupby(keys, lambda key: BEYOND_UTF16_ORDER.split(key, maxsplit=1)[0])
        names = (key for _, alike in groups for key in sorted(alike) if key > after)
        yield from (key for key in ascending(names, prefix or self._place) if not flaw(key))

    def _pages(self, prefix: str, after: str) -> Iterator[Names]:
        if after > prefix and not after.startswith(prefix):
            return
        start = BEYOND_UTF16_ORDER.split(after, maxsplit=1)[0] if after.startswith(prefix) else ""
        page, more = patiently(lambda: self._page(prefix, start, None))
        yield page
        while more:
            page, more = patiently(partial(self._page, prefix, start, more))
            yield page

    def _page(self, prefix: str, start: str, marker: str | None) -> Page:
        """The names after `marker`, and the next marker. A server that knows no `start_from` yet ignores it."""
        with translated(prefix, self._place):
            listing = self._container.list_blob_names(
                name_starts_with=prefix,
                start_from=start or None,
                results_per_page=self._at_once,
                raw_response_hook=of_azure,
            )
            pages = cast("PageIterator[str]", listing.by_page(marker))
            return list(next(pages)), pages.continuation_token

    def _put(self, key: str, data: bytes, **condition: Any) -> Version:
        """`overwrite` must be given with an ETag, or the SDK mistakes a lost race for an object that is there."""
        with translated(key, self._place, BlobNotFound=Conflict):  # deleted since we read it
            reply = self._blob(key).upload_blob(data, **{"overwrite": False, **condition})
            return version_of(reply["etag"])

    def _deleted(self, key: str, over: dict[str, Any]) -> bool:
        with translated(key, self._place, BlobNotFound=Conflict):
            self._blob(key).delete_blob(**over)
        return True

    def _only_blocks(self, key: str) -> bool:
        """Whether a write was in conflict with no object, but with what an upload left that broke off. Who may not
        look is believed to have met an object: uploads are for those who may."""
        try:
            return bool(gone(self.head, key))
        except Misconfigured:
            return False

    def _create_in_blocks(self, key: str, pieces: Iterator[bytes]) -> Version:
        """As `create`. Two uploads to one key do not mix: their blocks bear their own names, and the first to end
        discards those of the other."""
        upload = uuid4().hex
        blocks: Names = []
        seen, size = hashlib.sha256(), 0
        for piece in pieces:
            blocks.append(f"{upload}{len(blocks):08d}")
            patiently(partial(self._stage, key, blocks[-1], piece))
            seen.update(piece)
            size += len(piece)
        ours = partial(streams.holding, self, key, size, seen.hexdigest())
        return settled(key, lambda: self._commit(key, blocks), ours)

    def _stage(self, key: str, block: str, piece: bytes) -> None:
        with translated(key, self._place):
            self._blob(key).stage_block(block, piece)

    def _commit(self, key: str, blocks: Names) -> Version:
        try:
            with translated(key, self._place, InvalidBlockList=Discarded):
                listed = [BlobBlock(block) for block in blocks]
                reply = self._blob(key).commit_block_list(listed, match_condition=MatchConditions.IfMissing)
                return version_of(reply["etag"])
        except Discarded:
            if not gone(self.head, key):
                raise Conflict(key) from None
            raise Unavailable(key, "another upload to it discarded this one's blocks; send it again") from None

    def _blob(self, key: str) -> BlobClient:
        return self._client(sound(key))


def of_azure(answer: Any) -> None:
    """Refuse a page that Azure has not numbered: the SDK takes whatever holds no names for an empty listing."""
    if answer.http_response.status_code == 200 and "x-ms-request-id" not in answer.http_response.headers:
        raise ValueError("no page of a listing")


def version_of(etag: object) -> Version:
    if not ETAG.fullmatch(str(etag)):
        raise ValueError("no entity tag")
    return Version(str(etag))


def instant_of(last_modified: datetime | None) -> datetime:
    if last_modified is None:
        raise ValueError("no time of its last write")
    return last_modified


def only(key: str, version: Version) -> dict[str, Any]:
    """The condition that `version` is there. What cannot be an ETag is a version that never was."""
    if not ETAG.fullmatch(version):
        raise Conflict(sound(key))
    return {"etag": version, "match_condition": MatchConditions.IfNotModified}


class Beyond(Exception):
    """The part asked for begins behind the end of its object."""


class Discarded(Exception):
    """Blocks sent before are no more: another upload to their key has ended."""


Meaning = type[SamaraError] | type[Beyond] | type[Discarded]
MEANING: dict[str | int, Meaning] = {
    "BlobNotFound": NotFound,
    "BlobAlreadyExists": Conflict,
    "ConditionNotMet": Conflict,
    "UnauthorizedBlobOverwrite": Conflict,  # what those who may only create are told
    "LeaseIdMissing": Unavailable,  # somebody else's lease, which will end
    "BlobArchived": Misconfigured,
    "BlobImmutableDueToPolicy": Misconfigured,
    "ContainerBeingDeleted": Misconfigured,
    "ContainerDisabled": Misconfigured,
    "ContainerNotFound": Misconfigured,
    "InvalidAuthenticationInfo": Misconfigured,
    "InvalidResourceName": Rejected,
    "InvalidUri": Rejected,
    401: Misconfigured,
    403: Misconfigured,
    408: Unavailable,
    412: Conflict,
    429: Unavailable,
}
WAYS_OUT = {
    "404": "nothing of Azure's is at that endpoint: correct the address",
    "AuthenticationFailed": "log in again, and check this machine's clock",
    "AuthorizationFailure": "let this network through the account's firewall",
    "AuthorizationPermissionMismatch": "give this identity the role Storage Blob Data Contributor",
    "BlobArchived": "bring it back from the archive tier",
    "ContainerBeingDeleted": "the container is being deleted: wait, then create it again",
    "ContainerNotFound": "there is no such container: create it, or correct the address",
    "KeyBasedAuthenticationNotPermitted": "unset AZURE_STORAGE_KEY and AZURE_STORAGE_CONNECTION_STRING, and log in",
}


@contextmanager
def translated(key: str, place: str, **here: Meaning) -> Iterator[None]:
    """Raise our error for Azure's, with Azure's as the cause. What is wrong with all of the container is said of
    `place`."""
    try:
        yield
    except ClientAuthenticationError as error:
        code = code_of(error)
        if not code:
            raise nobody() from error
        raise Misconfigured(place, f"Azure says {code}; {WAYS_OUT.get(code, 'log in again')}") from error
    except HttpResponseError as error:
        code, status = code_of(error), error.status_code or 0
        meaning = here.get(code) or MEANING.get(code) or MEANING.get(status)
        if meaning is None:  # a server's fault or an answer that broke off, else one of ours
            meaning = Misconfigured if 300 <= status < 500 else Unavailable
        raise meaning(place if meaning is Misconfigured else key, *said(code or str(status), meaning)) from error
    except AzureError as error:
        why = f"Azure was not reached, or did not answer in time ({type(error).__name__})"
        raise Unavailable(key, why) from error
    except (KeyError, TypeError, ValueError) as error:
        raise Unavailable(key, UNLIKE) from error


def code_of(error: HttpResponseError) -> str:
    """What Azure calls it: in a header, for an answer to HEAD has no body to say it."""
    headers: Mapping[str, str] = getattr(error.response, "headers", {})
    return headers.get("x-ms-error-code", "")


def said(code: str, meaning: type[Exception]) -> tuple[str, ...]:
    """What Azure's code adds to the usual words of an error, and the way out where there is one to tell."""
    if meaning in (NotFound, Conflict):
        return ()
    return ("; ".join(filter(None, (f"Azure says {code}", WAYS_OUT.get(code)))),)


def client(address: Address, connect_s: float = CONNECT_S, read_s: float = READ_S) -> ContainerClient:
    """Without retries of its own, for they hide whether a write was sent twice."""
    options: dict[str, Any] = {
        "transport": connections(connect_s, read_s),
        "retry_total": 0,
        "permit_redirects": False,  # Azure sends nobody elsewhere
        "max_single_put_size": LARGEST_PUT,
    }
    given = os.environ.get("AZURE_STORAGE_CONNECTION_STRING")
    if given and address.place != DEVELOPMENT:
        try:
            container = ContainerClient.from_connection_string(given, address.path, **options)
        except ValueError as error:
            raise Misconfigured("AZURE_STORAGE_CONNECTION_STRING", f"is none: {error}") from None
        if container.account_name != address.place:
            raise Misconfigured("AZURE_STORAGE_CONNECTION_STRING", f"is of another account than {address.place}")
        return container
    url = address.endpoint or f"https://{address.place}.blob.core.windows.net"
    return ContainerClient(url, address.path, credential=credential(address.place, url), **options)


def credential(account: str, url: str) -> Any:
    """What opens this account: a key if one is given, else who we are. A token never travels in the clear."""
    if account == DEVELOPMENT and urlsplit(url).hostname in LOOPBACK:
        return {"account_name": account, "account_key": DEVELOPMENT_KEY}
    if key := os.environ.get("AZURE_STORAGE_KEY", "").strip():
        try:
            b64decode(key, validate=True)
        except ValueError:
            raise Misconfigured("AZURE_STORAGE_KEY", "is no key of an account: those are base64") from None
        return {"account_name": account, "account_key": key}
    refuse_clear(url)
    return keyless()


def object_store(settings: Settings) -> ObjectStore:
    """Of an address `az://account/container`, with `?endpoint=` where the account is not on Azure's public cloud."""
    address = parsed(settings.store)
    if address.scheme != "az" or not ACCOUNT.fullmatch(address.place) or not CONTAINER.fullmatch(address.path):
        raise Misconfigured(settings.store, "not a container of Azure; write az://account/container")
    return BlobStore(client(address))


def bus(settings: Settings) -> Queues:
    """Of an address `queues://account`, with `?endpoint=` where the account is not on Azure's public cloud."""
    address = parsed(settings.bus)
    if address.scheme != "queues" or not ACCOUNT.fullmatch(address.place) or address.path:
        raise Misconfigured(settings.bus, "names no account; write queues://account")
    url = address.endpoint or f"https://{address.place}.queue.core.windows.net"
    return Queues(url, credential(address.place, url))
