"""A bucket of S3, spoken to by Python's own HTTP: for functions that people wait for.

boto3 is a quarter of a second of a cold start (243 ms, measured; importing this takes a twentieth of that), and gives a
function nothing here but signed requests. So the store of `predict` signs its own. What it promises is what
`samara.providers.aws` promises, and both pass the same contract; versions are ETags here as there, so what one of them
wrote the other can replace. What it leaves to its elder: credentials from anywhere but the environment, proxies, and
everything of AWS that is not S3.
"""

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import partial
from itertools import chain
from typing import BinaryIO, NoReturn
from urllib.parse import quote, unquote_plus

from samara.core.keys import flaw, sound, sound_prefix
from samara.errors import Conflict, Misconfigured, Unavailable, Unsupported
from samara.ports import Meta, Object, ObjectStore, Version
from samara.providers import streams
from samara.providers.addresses import REGION, Address, bucket_of_s3, reachable
from samara.providers.certainty import gone, patiently, same, settled
from samara.providers.listings import ascending
from samara.providers.s3_errors import UNLIKE, GivenUp, meant, only, said, understood, version_of
from samara.providers.s3_http import CONNECT_S, NONE, READ_S, Answer, Connections, from_environment
from samara.providers.sizes import small
from samara.settings import Settings

__all__ = ["LeanStore", "bus", "job_runner", "object_store"]

Headers = Mapping[str, str]
ABSENT = {"if-none-match": "*"}
WAY_OUT = "provider s3 keeps objects and does nothing else; choose provider aws"


class LeanStore:
    """Over connections that retry nothing: `patiently` and `settled` do, and know what that means."""

    def __init__(self, connections: Connections, bucket: str) -> None:
        self._s3 = connections
        self._bucket = bucket

    def get(self, key: str) -> Object:
        return patiently(lambda: self._got(key))

    def head(self, key: str) -> Meta:
        return patiently(lambda: self._headed(key))

    def part(self, key: str, start: int, size: int) -> Object:
        return patiently(lambda: self._cut(key, start, size))

    def list(self, prefix: str, after: str = "") -> Iterator[str]:
        return self._listed(sound_prefix(prefix), after)

    def open(self, key: str) -> BinaryIO:
        return streams.opened(self, key)

    def create(self, key: str, data: bytes) -> Version:
        return settled(key, lambda: self._put(key, data, ABSENT), same(lambda: self.get(key), data))

    def create_from(self, key: str, source: BinaryIO) -> Version:
        pieces = streams.chunks(source)
        first = next(pieces)
        if len(first) < streams.CHUNK:
            return self.create(key, first)
        return self._create_in_parts(sound(key), chain([first], pieces))

    def replace(self, key: str, data: bytes, version: Version) -> Version:
        small(key, data)
        over = {"if-match": only(sound(key), version)}
        return settled(key, lambda: self._put(key, data, over), same(lambda: self.get(key), data))

    def delete(self, key: str, version: Version) -> None:
        only(sound(key), version)
        settled(key, lambda: self._deleted(key, version), lambda: gone(self.head, key))

    def _said(
        self, method: str, key: str, headers: Headers = NONE, *, query: Headers = NONE, body: bytes = b"", fine: int = 0
    ) -> Answer:
        """The answer, or what it means that S3 refused, unless that is `fine`."""
        answer = self._s3.ask(method, key, query, headers, body)
        late = method == "POST" and b"<Error>" in answer.body[:200]  # joining takes long, and may fail after its 200
        if (answer.status < 300 and not late) or answer.status == fine:
            return answer
        raise refusal(key or self._bucket, answer, method)

    def _got(self, key: str) -> Object:
        answer = self._said("GET", sound(key))
        with understood(key):
            return Object(answer.body, *written(answer))

    def _headed(self, key: str) -> Meta:
        answer = self._said("HEAD", sound(key))
        with understood(key):
            return Meta(key, int(answer.headers["content-length"]), *written(answer))

    def _cut(self, key: str, start: int, size: int) -> Object:
        bites = f"bytes={start}-{start + max(size, 1) - 1}"  # a range has at least one byte
        answer = self._said("GET", sound(key), {"range": bites}, fine=416)
        if answer.status == 416:
            return streams.behind(self._headed(key), start)
        with understood(key):
            told = answer.headers["content-range"] if answer.status == 206 else None
            return Object(streams.cut(answer.body, told, start, size), *written(answer))

    def _listed(self, prefix: str, after: str) -> Iterator[str]:
        """Each page begins after the last key of the one before, so a listing can be taken up anywhere."""
        more = True
        while more:
            page, more = patiently(lambda after=after: self._page(prefix, after))  # type: ignore[misc]  # mypy cannot infer it
            for key in ascending(iter(page), prefix or self._bucket, after):
                after = key
                if not flaw(key):
                    yield key

    def _page(self, prefix: str, after: str) -> tuple[Sequence[str], bool]:
        # XML holds no control characters, and strangers' keys do: so they are asked for as addresses spell them
        query = {"list-type": "2", "prefix": prefix, "start-after": after, "encoding-type": "url"}
        answer = self._said("GET", "", query=query)
        with understood(prefix or self._bucket):
            return listing(answer.body)

    def _put(self, key: str, data: bytes, condition: Headers) -> Version:
        answer = self._said("PUT", sound(key), condition, body=data)
        with understood(key):
            return version_of(answer.headers["etag"])

    def _deleted(self, key: str, version: Version) -> bool:
        if self._said("DELETE", key, {"if-match": version}).status != 204:  # S3 has nothing more to say than that
            raise Unavailable(key, UNLIKE)
        return True

    def _create_in_parts(self, key: str, pieces: Iterator[bytes]) -> Version:
        """As `create`. What is abandoned midway is removed here, or by the bucket's lifecycle if we are killed."""
        upload = {"uploadId": patiently(lambda: self._begun(key))}
        try:
            tags: list[str] = []
            seen, size = hashlib.sha256(), 0
            for piece in pieces:
                query = {**upload, "partNumber": str(len(tags) + 1)}
                tags.append(patiently(lambda piece=piece, query=query: self._sent(key, piece, query)))  # type: ignore[misc]  # mypy cannot infer it
                seen.update(piece)
                size += len(piece)
            ours = partial(streams.holding, self, key, size, seen.hexdigest())
            return settled(key, lambda: self._joined(key, upload, tags), ours)
        except BaseException:
            with suppress(Exception):
                self._said("DELETE", key, query=upload)
            raise

    def _begun(self, key: str) -> str:
        answer = self._said("POST", key, query={"uploads": ""})
        with understood(key):
            return told(answer.body)("UploadId")[0]

    def _sent(self, key: str, piece: bytes, query: dict[str, str]) -> str:
        answer = self._said("PUT", key, query=query, body=piece)
        with understood(key):
            return version_of(answer.headers["etag"])

    def _joined(self, key: str, upload: dict[str, str], tags: Sequence[str]) -> Version:
        parts = "".join(f"<Part><PartNumber>{n}</PartNumber><ETag>{tag}</ETag></Part>" for n, tag in enumerate(tags, 1))
        body = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
        try:
            answer = self._said("POST", key, ABSENT, query=upload, body=body)
        except GivenUp:
            if gone(self.head, key):
                raise
            raise Conflict(key) from None  # an earlier attempt has joined them, or somebody else was first
        with understood(key):
            return version_of(told(answer.body)("ETag")[0])


def written(answer: Answer) -> tuple[Version, datetime]:
    return version_of(answer.headers["etag"]), parsedate_to_datetime(answer.headers["last-modified"])


def refusal(key: str, answer: Answer, method: str) -> Exception:
    """What S3's refusal is in our words. Who writes over what has gone since has lost a race."""
    meaning = meant(answer.code, answer.status, headed=method == "HEAD")
    if answer.code == "NoSuchKey" and method != "GET":
        meaning = Conflict
    subject = (answer.bucket or key) if meaning is Misconfigured else key
    return meaning(subject, *said(answer.code, meaning))


def listing(page: bytes) -> tuple[Sequence[str], bool]:
    """The keys of a page, and whether there are more."""
    said_of = told(page)
    plain = unquote_plus if "url" in said_of("EncodingType") else str
    keys, more = [plain(key) for key in said_of("Key")], said_of("IsTruncated") == ["true"]
    if not said_of("IsTruncated") or (more and not keys):
        raise ValueError("no page of a listing")
    return keys, more


def told(document: bytes) -> Callable[[str], list[str]]:
    """By the name of an element: what those of that name say."""
    from xml.etree.ElementTree import ParseError, fromstring  # noqa: PLC0415  # answers that people wait for hold none

    try:
        root = fromstring(document)  # noqa: S314  # of S3 itself; expat 2.4 and later bound what entities grow to
    except ParseError as error:
        raise ValueError("no XML") from error
    return lambda name: [one.text or "" for one in root.iter() if one.tag.rpartition("}")[2] == name]


def object_store(settings: Settings) -> ObjectStore:
    """Of an address `s3://bucket`, with `?region=` and, for other services, `?endpoint=`."""
    address = bucket_of_s3(settings.store)
    return LeanStore(connections(address), address.place)


def connections(address: Address, connect_s: float = CONNECT_S, read_s: float = READ_S) -> Connections:
    """To the service that the address, or the SDK's own variables, name; else to Amazon's, in the bucket's region."""
    env, bucket = os.environ, quote(address.place, safe="")
    region = address.options.get("region") or env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION") or ""
    endpoint = address.endpoint or env.get("AWS_ENDPOINT_URL_S3") or env.get("AWS_ENDPOINT_URL")
    if endpoint:
        reachable(endpoint)
    if not endpoint and not re.fullmatch(REGION, region):
        raise Misconfigured(address.place, "in no region; add ?region= to the address, or set AWS_REGION")
    amazon = f"s3.{region}.amazonaws.com{'.cn' if region.startswith('cn-') else ''}"
    if endpoint:
        base = f"{endpoint.rstrip('/')}/{bucket}"
    else:  # a certificate's star stands for no dots
        base = f"https://{amazon}/{bucket}" if "." in bucket else f"https://{bucket}.{amazon}"
    return Connections(base, region or "us-east-1", from_environment(), connect_s, read_s)


def job_runner(_settings: Settings) -> NoReturn:
    raise Unsupported("jobs", WAY_OUT)


def bus(_settings: Settings) -> NoReturn:
    raise Unsupported("wakes", WAY_OUT)
