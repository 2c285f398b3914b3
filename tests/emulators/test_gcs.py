"""The emulator does what Google's reference says of Cloud Storage, asked by Google's own client."""

import gzip
import io
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from google.api_core.exceptions import BadRequest, NotFound, PreconditionFailed, TooManyRequests
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage
from requests.adapters import HTTPAdapter

from samara.providers.addresses import parsed
from tests.emulators import gcs

KIB = 1 << 10
RACERS = 64


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("STORAGE_EMULATOR_HOST", gcs.endpoint())
        made = storage.Client(project="tests", credentials=AnonymousCredentials())  # type: ignore[no-untyped-call]  # half typed
    made._http.mount("http://", HTTPAdapter(pool_maxsize=RACERS))
    yield made
    made.close()


@pytest.fixture
def bucket(client: Any) -> Any:
    return client.bucket(parsed(gcs.fresh_bucket()).place)


def put(bucket: Any, name: str, data: bytes, **condition: int) -> int:
    """Upload in one multipart request, and give the generation."""
    blob = bucket.blob(name)
    blob.upload_from_string(data, retry=None, **condition)
    generation: int = blob.generation
    return generation


def put_media(bucket: Any, name: str, data: bytes, condition: int) -> requests.Response:
    url = f"{gcs.endpoint()}/upload/storage/v1/b/{bucket.name}/o"
    query: dict[str, str | int] = {"uploadType": "media", "name": name, "ifGenerationMatch": condition}
    return requests.post(url, data=data, params=query, timeout=30)


def put_resumable(bucket: Any, name: str, data: bytes, condition: int) -> None:
    blob = bucket.blob(name, chunk_size=256 * KIB)
    blob.upload_from_file(io.BytesIO(data), if_generation_match=condition, retry=None)


def test_what_was_uploaded_is_there_with_its_checksums(bucket: Any) -> None:
    put(bucket, "a/b c.csv", b"hello")

    blob = bucket.get_blob("a/b c.csv")

    assert blob.download_as_bytes(checksum="md5") == b"hello"
    assert blob.download_as_bytes(checksum="crc32c") == b"hello"
    assert (blob.size, blob.md5_hash, blob.crc32c) == (5, "XUFAKrxLKna5cZ2REBfFkg==", "mnG7TA==")


def test_damaged_data_is_refused(bucket: Any) -> None:
    blob = bucket.blob("a")
    blob.crc32c = "AAAAAA=="

    with pytest.raises(BadRequest, match="doesn't match calculated"):
        blob.upload_from_string(b"hello", retry=None, checksum=None)


def test_each_write_has_a_higher_generation(bucket: Any) -> None:
    generations = [put(bucket, name, b"x") for name in "aabab"]

    assert generations == sorted(set(generations))


def test_an_upload_in_one_request_honours_its_condition(bucket: Any) -> None:
    first = put(bucket, "a", b"1", if_generation_match=0)

    with pytest.raises(PreconditionFailed, match="conditionNotMet"):
        put(bucket, "a", b"2", if_generation_match=0)
    second = put(bucket, "a", b"2", if_generation_match=first)
    with pytest.raises(PreconditionFailed):
        put(bucket, "a", b"3", if_generation_match=first)

    assert bucket.get_blob("a").generation == second
    with pytest.raises(PreconditionFailed):
        put(bucket, "absent", b"1", if_generation_match=second)


def test_an_upload_of_media_honours_its_condition(bucket: Any) -> None:
    stored = put_media(bucket, "a", b"1", 0)
    refused = put_media(bucket, "a", b"2", 0)

    assert stored.json()["size"] == "1"
    assert (refused.status_code, refused.json()["error"]["errors"][0]["reason"]) == (412, "conditionNotMet")
    assert put_media(bucket, "a", b"2", int(stored.json()["generation"])).status_code == 200


def test_a_resumable_upload_honours_the_condition_it_began_with_when_it_ends(bucket: Any) -> None:
    begun = bucket.blob("a").create_resumable_upload_session(if_generation_match=0)
    put(bucket, "a", b"a rival's")

    answer = requests.put(begun, data=b"ours", timeout=30)

    assert answer.status_code == 412
    assert bucket.blob("a").download_as_bytes() == b"a rival's"


def test_a_resumable_upload_in_pieces_appears_when_it_is_whole(bucket: Any) -> None:
    data = bytes(range(256)) * 3 * KIB

    put_resumable(bucket, "a", data, 0)

    assert bucket.blob("a").download_as_bytes() == data
    with pytest.raises(PreconditionFailed):
        put_resumable(bucket, "a", data, 0)
    put_resumable(bucket, "a", b"short", bucket.get_blob("a").generation)
    assert bucket.blob("a").download_as_bytes() == b"short"


def test_an_interrupted_upload_goes_on_where_it_was_broken_off(bucket: Any) -> None:
    data = bytes(range(256)) * 4 * KIB
    begun = bucket.blob("a").create_resumable_upload_session(if_generation_match=0)
    break_off(begun, f"bytes 0-{len(data) - 1}/{len(data)}", data[: 600 * KIB])

    asked = requests.put(begun, headers={"Content-Range": f"bytes */{len(data)}"}, timeout=30, allow_redirects=False)

    assert (asked.status_code, asked.headers["Range"]) == (308, f"bytes=0-{512 * KIB - 1}"), "whole multiples are kept"
    assert bucket.get_blob("a") is None
    where = f"bytes {512 * KIB}-{len(data) - 1}/{len(data)}"
    requests.put(begun, data=data[512 * KIB :], headers={"Content-Range": where}, timeout=30)
    again = requests.put(begun, headers={"Content-Range": "bytes */*"}, timeout=30)
    assert bucket.blob("a").download_as_bytes() == data
    assert again.json()["size"] == str(len(data)), "one may ask again"


def break_off(url: str, content_range: str, data: bytes) -> None:
    """Send the start of a piece, and hang up once it was taken."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname or "", parts.port or 0)) as connection:
        length = int(content_range.rpartition("/")[2])
        head = f"PUT {parts.path}?{parts.query} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Length: {length}\r\n"
        connection.sendall(f"{head}Content-Range: {content_range}\r\n\r\n".encode() + data)
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1)


def test_a_piece_that_does_not_follow_is_refused(bucket: Any) -> None:
    begun = bucket.blob("a").create_resumable_upload_session()

    answer = requests.put(begun, data=b"x", headers={"Content-Range": "bytes 5-5/6"}, timeout=30)

    assert answer.status_code == 503


@pytest.mark.parametrize("condition", ["create", "replace"])
def test_of_many_who_race_one_wins(bucket: Any, condition: str) -> None:
    generation = put(bucket, "a", b"start") if condition == "replace" else 0
    start = Barrier(RACERS)

    def race(number: int) -> int | None:
        start.wait(timeout=60)
        try:
            return put(bucket, "a", b"%d" % number, if_generation_match=generation)
        except PreconditionFailed:
            return None

    with ThreadPoolExecutor(RACERS) as racers:
        outcomes = list(racers.map(race, range(RACERS)))

    (winner,) = [number for number, outcome in enumerate(outcomes) if outcome]
    assert bucket.blob("a").download_as_bytes() == b"%d" % winner


def test_a_deletion_honours_its_condition(bucket: Any) -> None:
    first = put(bucket, "a", b"1")
    second = put(bucket, "a", b"2")

    with pytest.raises(PreconditionFailed):
        bucket.blob("a").delete(if_generation_match=first)
    bucket.blob("a").delete(if_generation_match=second)

    with pytest.raises(NotFound):
        bucket.blob("a").delete(if_generation_match=second)


def test_a_generation_can_be_read_while_it_is_the_latest(bucket: Any) -> None:
    first = put(bucket, "a", b"1")
    assert bucket.blob("a", generation=first).download_as_bytes() == b"1"

    put(bucket, "a", b"2")

    with pytest.raises(NotFound):
        bucket.blob("a", generation=first).download_as_bytes()


def test_what_has_not_changed_is_not_sent_again(bucket: Any) -> None:
    url = f"{gcs.endpoint()}/storage/v1/b/{bucket.name}/o/a"
    generation = put(bucket, "a", b"1")

    assert requests.get(url, params={"ifGenerationNotMatch": generation}, timeout=30).status_code == 304
    assert requests.get(url, params={"ifGenerationNotMatch": generation - 1}, timeout=30).status_code == 200


def test_part_of_an_object_can_be_read(bucket: Any) -> None:
    put(bucket, "a", b"0123456789")
    blob = bucket.blob("a")

    assert blob.download_as_bytes(start=3, end=5) == b"345"
    assert blob.download_as_bytes(start=8) == b"89"
    url = f"{gcs.endpoint()}/storage/v1/b/{bucket.name}/o/a?alt=media"
    assert requests.get(url, headers={"Range": "bytes=-3"}, timeout=30).content == b"789"
    beyond = requests.get(url, headers={"Range": "bytes=10-"}, timeout=30)
    assert (beyond.status_code, beyond.headers["Content-Range"]) == (416, "bytes */10")


def test_what_was_uploaded_compressed_is_decompressed_for_who_does_not_take_it_so(bucket: Any) -> None:
    blob = bucket.blob("a")
    blob.content_encoding = "gzip"
    blob.upload_from_string(gzip.compress(b"hello"))

    url = f"{gcs.endpoint()}/storage/v1/b/{bucket.name}/o/a?alt=media"

    assert requests.get(url, headers={"Accept-Encoding": "identity"}, timeout=30).content == b"hello"
    assert gzip.decompress(blob.download_as_bytes(raw_download=True)) == b"hello"


def test_a_listing_comes_in_pages_in_order(bucket: Any, client: Any) -> None:
    for name in ("b", "a/2", "ä", "a/1", "a/3", "a"):
        put(bucket, name, b"")

    def names(**query: Any) -> list[str]:
        return [blob.name for blob in client.list_blobs(bucket, **query)]

    assert names(page_size=2) == ["a", "a/1", "a/2", "a/3", "b", "ä"]
    assert names(prefix="a/", start_offset="a/2") == ["a/2", "a/3"]
    assert names(end_offset="a/2") == ["a", "a/1"]
    assert names(fields="items(name),nextPageToken", page_size=5) == names()
    assert [len(list(page)) for page in client.list_blobs(bucket, page_size=4).pages] == [4, 2]


@pytest.mark.parametrize("name", ["a\nb", "a\rb", ".", "..", "x" * 1025, ".well-known/acme-challenge/x"])
def test_a_name_google_forbids_is_refused(bucket: Any, name: str) -> None:
    with pytest.raises(BadRequest):
        put(bucket, name, b"x")


def test_what_is_not_there_is_told_from_a_bucket_that_is_not(bucket: Any, client: Any) -> None:
    with pytest.raises(NotFound, match="No such object"):
        bucket.blob("a").download_as_bytes()
    with pytest.raises(NotFound, match="The specified bucket does not exist"):
        put(client.bucket("samara-nobody"), "a", b"x")


def test_a_limited_bucket_does_not_take_one_name_again_too_soon(client: Any) -> None:
    bucket = client.bucket(parsed(gcs.fresh_bucket(limit_s=100)).place)
    first = put(bucket, "a", b"1")
    put(bucket, "b", b"1")

    with pytest.raises(TooManyRequests, match="exceeded the rate limit for object mutation operations"):
        put(bucket, "a", b"2", if_generation_match=first)


def test_a_limited_bucket_takes_one_name_again_after_a_while(client: Any) -> None:
    bucket = client.bucket(parsed(gcs.fresh_bucket(limit_s=1)).place)
    first = put(bucket, "a", b"1")

    time.sleep(1)

    put(bucket, "a", b"2", if_generation_match=first)


def test_what_is_not_emulated_is_refused_aloud(bucket: Any) -> None:
    put(bucket, "a", b"1")
    answer = requests.get(f"{gcs.endpoint()}/storage/v1/b/{bucket.name}/o?delimiter=/", timeout=30)

    assert answer.status_code == 501
