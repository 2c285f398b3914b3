"""A bucket of Amazon S3, or of any service that speaks its protocol, and jobs of AWS Batch.

A version is the ETag. Two writes of the same bytes may have the same one, but heads carry a `write_id`, so no two
of theirs do. Large objects go up in parts, with the condition on the request that makes them one object.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, BinaryIO

import boto3
from botocore import exceptions
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from samara.core.keys import flaw, sound, sound_prefix
from samara.errors import Conflict, Misconfigured, Unavailable
from samara.ports import Meta, Object, ObjectStore, Version
from samara.providers import streams
from samara.providers.addresses import Address, bucket_of_s3
from samara.providers.aws_bus import EventBridge, bus
from samara.providers.aws_errors import unready, unusable
from samara.providers.aws_jobs import BatchJobs, job_runner
from samara.providers.certainty import gone, patiently, same, settled
from samara.providers.listings import ascending
from samara.providers.s3_errors import UNLIKE, Beyond, GivenUp, Meaning, meant, only, said, understood, version_of
from samara.providers.sizes import small
from samara.settings import Settings

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client
    from types_boto3_s3.type_defs import CompletedPartTypeDef, GetObjectOutputTypeDef

__all__ = ["BatchJobs", "EventBridge", "S3Store", "bus", "job_runner", "object_store"]

CONNECTIONS = 64  # as many as a busy process has threads
CONNECT_S, READ_S = 5.0, 30.0


class S3Store:
    """Over a client that does not retry by itself: `patiently` and `settled` do, and know what that means."""

    def __init__(self, s3: "S3Client", bucket: str) -> None:
        self._s3 = s3
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
        return settled(key, lambda: self._put(key, data, IfNoneMatch="*"), same(lambda: self.get(key), data))

    def create_from(self, key: str, source: BinaryIO) -> Version:
        pieces = streams.chunks(source)
        first = next(pieces)
        if len(first) < streams.CHUNK:
            return self.create(key, first)
        return self._create_in_parts(sound(key), chain([first], pieces))

    def replace(self, key: str, data: bytes, version: Version) -> Version:
        small(key, data)
        over = only(sound(key), version)
        return settled(key, lambda: self._put(key, data, IfMatch=over), same(lambda: self.get(key), data))

    def delete(self, key: str, version: Version) -> None:
        only(sound(key), version)
        settled(key, lambda: self._deleted(key, version), lambda: gone(self.head, key))

    def _got(self, key: str) -> Object:
        with translated(sound(key)):
            reply = self._s3.get_object(Bucket=self._bucket, Key=key)
            return Object(body_of(reply), version_of(reply["ETag"]), reply["LastModified"])

    def _headed(self, key: str) -> Meta:
        with translated(sound(key)):
            reply = self._s3.head_object(Bucket=self._bucket, Key=key)
            return Meta(key, reply["ContentLength"], version_of(reply["ETag"]), reply["LastModified"])

    def _cut(self, key: str, start: int, size: int) -> Object:
        try:
            with translated(sound(key), **BEYOND):
                bites = f"bytes={start}-{start + max(size, 1) - 1}"  # a range has at least one byte
                reply = self._s3.get_object(Bucket=self._bucket, Key=key, Range=bites)
                told = reply["ContentRange"] if reply["ResponseMetadata"]["HTTPStatusCode"] == 206 else None
                data = streams.cut(body_of(reply), told, start, size)
                return Object(data, version_of(reply["ETag"]), reply["LastModified"])
        except Beyond:
            return streams.behind(self._headed(key), start)

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
        with translated(prefix or self._bucket):
            reply = self._s3.list_objects_v2(Bucket=self._bucket, Prefix=prefix, StartAfter=after)
            keys, more = [found["Key"] for found in reply.get("Contents", ())], reply["IsTruncated"]
            if more and not keys:
                raise ValueError("no page of a listing")
        return keys, more

    def _put(self, key: str, data: bytes, **condition: str) -> Version:
        with translated(sound(key), NoSuchKey=Conflict):  # deleted since we read it
            reply = self._s3.put_object(Bucket=self._bucket, Key=key, Body=data, **condition)  # type: ignore[arg-type]  # mypy takes them for any argument
            return version_of(reply["ETag"])

    def _deleted(self, key: str, version: Version) -> bool:
        with translated(sound(key), NoSuchKey=Conflict):
            reply = self._s3.delete_object(Bucket=self._bucket, Key=key, IfMatch=version)
        if reply["ResponseMetadata"]["HTTPStatusCode"] != 204:  # S3 has nothing more to say than that
            raise Unavailable(key, UNLIKE)
        return True

    def _create_in_parts(self, key: str, pieces: Iterator[bytes]) -> Version:
        """As `create`. What is abandoned midway is removed here, or by the bucket's lifecycle if we are killed."""
        upload = patiently(lambda: self._begun(key))
        try:
            parts: list[CompletedPartTypeDef] = []
            seen, size = hashlib.sha256(), 0
            for piece in pieces:
                parts.append(patiently(lambda piece=piece: self._sent(key, upload, len(parts) + 1, piece)))  # type: ignore[misc]  # mypy cannot infer it
                seen.update(piece)
                size += len(piece)
            ours = partial(streams.holding, self, key, size, seen.hexdigest())
            return settled(key, lambda: self._joined(key, upload, parts), ours)
        except BaseException:
            with suppress(Exception):
                self._s3.abort_multipart_upload(Bucket=self._bucket, Key=key, UploadId=upload)
            raise

    def _begun(self, key: str) -> str:
        with translated(sound(key)):
            return self._s3.create_multipart_upload(Bucket=self._bucket, Key=key)["UploadId"]

    def _sent(self, key: str, upload: str, number: int, piece: bytes) -> "CompletedPartTypeDef":
        with translated(key):
            reply = self._s3.upload_part(Bucket=self._bucket, Key=key, UploadId=upload, PartNumber=number, Body=piece)
            return {"PartNumber": number, "ETag": version_of(reply["ETag"])}

    def _joined(self, key: str, upload: str, parts: "Sequence[CompletedPartTypeDef]") -> Version:
        try:
            with translated(key):
                reply = self._s3.complete_multipart_upload(
                    Bucket=self._bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": parts}, IfNoneMatch="*"
                )
                return version_of(reply["ETag"])
        except GivenUp:
            if gone(self.head, key):
                raise
            raise Conflict(key) from None  # an earlier attempt has joined them, or somebody else was first


def body_of(reply: "GetObjectOutputTypeDef") -> bytes:
    """All of it, as the SDK checks it: `with` would give the stream below, which it does not check."""
    if not reply["ResponseMetadata"]["HTTPHeaders"].keys() & {"content-length", "transfer-encoding"}:
        raise ValueError("without its length: nobody could tell whether it broke off")
    with closing(reply["Body"]) as body:
        return body.read()


UNREACHED = (exceptions.ConnectionError, exceptions.HTTPClientError, exceptions.IncompleteReadError, HTTPError)
DAMAGED = (exceptions.FlexibleChecksumError, ResponseParserError)
BEYOND: dict[str, Meaning] = {"InvalidRange": Beyond, "416": Beyond}


@contextmanager
def translated(key: str, **here: Meaning) -> Iterator[None]:
    """Raise our error for S3's, with S3's as the cause."""
    try:
        with understood(key):
            yield
    except ClientError as error:
        told, status = error.response["Error"], error.response["ResponseMetadata"]["HTTPStatusCode"]
        code = told.get("Code") or str(status)
        meaning = here.get(code) or meant(code, status, headed=error.operation_name == "HeadObject")
        subject = str(told.get("BucketName") or key)  # S3 names the bucket when that is the trouble
        raise meaning(subject, *said(code, meaning)) from error
    except DAMAGED as error:
        raise Unavailable(key, UNLIKE) from error
    except RecursionError as error:  # the SDK asks the bucket for its region, is sent elsewhere again, and so on
        raise Misconfigured(key, *said("301", Misconfigured)) from error
    except UNREACHED as error:
        raise Unavailable(key, f"S3 was not reached, or did not answer in time ({type(error).__name__})") from error
    except exceptions.BotoCoreError as error:
        raise unusable(key, error) from error


def client(address: Address, connect_s: float = CONNECT_S, read_s: float = READ_S) -> "S3Client":
    """Without retries of its own, for they hide whether a write was sent twice."""
    config = Config(
        retries={"total_max_attempts": 1},
        max_pool_connections=CONNECTIONS,
        connect_timeout=connect_s,
        read_timeout=read_s,
        request_checksum_calculation="when_required" if address.endpoint else "when_supported",  # others lack them
    )
    region = address.options.get("region")
    with unready(address.place):
        return boto3.client("s3", endpoint_url=address.endpoint, region_name=region, config=config)


def object_store(settings: Settings) -> ObjectStore:
    """Of an address `s3://bucket`, with `?region=` and, for other services, `?endpoint=`."""
    address = bucket_of_s3(settings.store)
    return S3Store(client(address), address.place)
