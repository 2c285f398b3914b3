"""What a container of libcloud's promises beside the store's contract: copies, and care with libcloud's drivers.

It answers `test_store_reading` as every store does, and is asked in `test_store` to refuse the rest.
"""

import gzip
import io
import sys
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from libcloud.storage.base import Object as Found
from libcloud.storage.base import StorageDriver

from samara import providers
from samara.errors import Misconfigured, Rejected, Unavailable, Unsupported
from samara.providers import libcloud_drivers
from samara.providers.libcloud import LibcloudStore, kind_of
from samara.providers.libcloud_drivers import maker
from samara.providers.listings import ascending
from tests.contract.conftest import READS, Shelf
from tests.emulators import processes, s3

MIB = 1 << 20
READERS = 16

pytestmark = pytest.mark.usefixtures("libcloud_credentials")
on_minio = pytest.mark.parametrize("refusing", ["libcloud minio"], indirect=True)
on_azure = pytest.mark.parametrize("refusing", ["libcloud azure_blobs"], indirect=True)
on_a_folder = pytest.mark.parametrize("refusing", ["libcloud local"], indirect=True)


@pytest.fixture
def shelf(refusing: Shelf) -> Shelf:
    """Of every driver, unless a test names one."""
    return refusing


@pytest.fixture
def store(shelf: Shelf) -> LibcloudStore:
    assert isinstance(shelf.store, LibcloudStore)
    return shelf.store


class Counted(io.RawIOBase):
    """A stream of `size` bytes that exist only while they are read."""

    def __init__(self, size: int) -> None:
        self.left = size

    def read(self, size: int = -1) -> bytes:
        assert 0 < size <= 8 * MIB, "reading it all at once would need all of it in memory"
        bite = min(size, self.left)
        self.left -= bite
        return b"x" * bite


def test_a_large_copy_goes_in_and_out_in_small_bites(store: LibcloudStore) -> None:
    tracemalloc.start()

    store.put_copy("blobs/large", Counted(48 * MIB))  # type: ignore[arg-type]  # it reads, which is all we need
    with store.open("blobs/large") as stream:
        size = sum(len(bite) for bite in iter(lambda: stream.read(MIB), b""))

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert size == store.head("blobs/large").size == 48 * MIB
    assert peak < 32 * MIB


@pytest.mark.parametrize("data", [b"new", b""], ids=["some bytes", "none"])
def test_a_copy_is_written_over_whatever_was_there(shelf: Shelf, store: LibcloudStore, data: bytes) -> None:
    shelf.put("models/late/1.json", b"something old")

    store.put_copy("models/late/1.json", io.BytesIO(data))

    assert store.get("models/late/1.json").data == data


@pytest.mark.parametrize("key", ["../aliases/late.json", "/aliases/late.json", "aliases\\late.json"])
def test_a_copy_with_an_unsound_key_is_refused(shelf: Shelf, store: LibcloudStore, key: str) -> None:
    shelf.put("aliases/late.json", b"what some take these keys for")

    with pytest.raises(Rejected) as refusal:
        store.put_copy(key, io.BytesIO(b"x"))

    assert refusal.value.code == "bad_key"
    assert store.get("aliases/late.json").data == b"what some take these keys for"


@on_a_folder
def test_no_two_threads_ask_one_driver_which_would_mix_up_the_answers(shelf: Shelf, tmp_path: Path) -> None:
    kind: type[StorageDriver] = kind_of("local")
    strangers = []

    class Owned(kind):  # type: ignore[misc, valid-type]  # mypy knows no classes made while it runs
        def get_object(self, container_name: str, object_name: str) -> Found:
            self.owner = getattr(self, "owner", threading.get_ident())
            strangers.extend([object_name] * (self.owner != threading.get_ident()))
            found: Found = super().get_object(container_name, object_name)
            return found

    shelf.put("blobs/a", b"x")
    store = LibcloudStore(maker(Owned, {"key": str(tmp_path)}, "owned"), "container")
    together = threading.Barrier(READERS)

    with ThreadPoolExecutor(READERS) as readers:
        list(readers.map(lambda _: (store.get("blobs/a"), together.wait(timeout=60)), range(READERS)))

    assert strangers == []


@on_a_folder
@pytest.mark.parametrize("size", [2 * MIB, 6 * MIB], ids=["shorter", "longer"])
def test_a_stream_over_what_is_written_in_place_ends_in_an_error(shelf: Shelf, size: int) -> None:
    shelf.put("blobs/a", b"x" * 4 * MIB)

    with shelf.store.open("blobs/a") as stream:
        stream.read(1)
        shelf.put("blobs/a", b"y" * size)

        with pytest.raises(Unavailable, match="was replaced while it was read"):
            stream.read()


@on_minio
def test_folders_that_consoles_leave_behind_are_no_objects(shelf: Shelf) -> None:
    shelf.put("landing/flights/", b"")
    shelf.put("landing/flights/may.csv", b"x")

    assert list(shelf.store.list("landing/")) == ["landing/flights/may.csv"]


@on_azure
def test_a_listing_is_read_page_by_page(shelf: Shelf) -> None:
    for number in range(205):  # of which libcloud asks for 100 at once
        shelf.put(f"captures/{number:04d}", b"x")

    keys = list(shelf.store.list("captures/", "captures/0001"))

    assert keys == [f"captures/{number:04d}" for number in range(2, 205)]


def test_a_listing_in_no_order_is_refused_rather_than_resumed_wrongly() -> None:
    with pytest.raises(Unsupported, match="lists a after b"):
        list(ascending(iter(["a", "b", "a"]), "captures/"))


@on_minio
def test_what_was_stored_packed_is_read_packed(store: LibcloudStore) -> None:
    packed = gzip.compress(b"distance,delay\n" * 100)
    bucket = store._container
    s3.client().put_object(Bucket=bucket, Key="landing/may.csv.gz", Body=packed, ContentEncoding="gzip")

    assert store.get("landing/may.csv.gz").data == packed
    assert store.part("landing/may.csv.gz", 1, 4).data == packed[1:5]
    with store.open("landing/may.csv.gz") as stream:
        assert stream.read() == packed


def test_two_endpoints_in_one_process_are_two_services() -> None:
    bucket, endpoints = f"bucket-{uuid4().hex[:12]}", (s3.endpoint(), second_endpoint())
    for endpoint in endpoints:
        client = s3.session().client("s3", endpoint_url=endpoint)
        client.create_bucket(Bucket=bucket)
        client.put_object(Bucket=bucket, Key="where", Body=endpoint.encode())

    stores = [providers.store_at(f"libcloud://minio/{bucket}?endpoint={endpoint}") for endpoint in endpoints]

    for _ in range(2):
        assert [store.get("where").data.decode() for store in stores] == list(endpoints)
    classes = {store._driver().connectionCls for store in stores}  # type: ignore[attr-defined]  # where libcloud keeps hosts
    assert len(classes) == 2, "or the next driver would take the host of the one before"


def second_endpoint() -> str:
    port = processes.free_port()
    processes.start("s3-other", [sys.executable, "-m", "tests.emulators.moto_server", str(port)], port)
    return f"http://127.0.0.1:{port}"


def meddled(bucket: str, meanwhile: Callable[[], object]) -> LibcloudStore:
    """A store in whose downloads something happens between the asking and the reading."""
    kind: type[StorageDriver] = kind_of("minio")

    class Meddled(kind):  # type: ignore[misc, valid-type]  # mypy knows no classes made while it runs
        def download_object_as_stream(self, obj: Found, chunk_size: int | None = None) -> Iterator[bytes]:
            meanwhile()
            chunks: Iterator[bytes] = super().download_object_as_stream(obj, chunk_size)
            return chunks

    host, port = s3.endpoint().removeprefix("http://").split(":")
    options = {"key": "testing", "secret": "testing", "secure": False, "host": host, "port": int(port)}
    return LibcloudStore(maker(Meddled, options, "meddled"), bucket)


@on_minio
@pytest.mark.parametrize("new", [b"two", b"another"], ids=["of the same size", "of another"])
def test_what_is_replaced_while_it_is_read_is_read_again(shelf: Shelf, store: LibcloudStore, new: bytes) -> None:
    shelf.put("aliases/late.json", b"one")
    writes = iter([new])

    found = meddled(store._container, lambda: [shelf.put("aliases/late.json", data) for data in writes]).get(
        "aliases/late.json"
    )

    assert found.data == new
    assert found.version == store.head("aliases/late.json").version


@on_minio
def test_what_is_replaced_all_the_time_is_unavailable(shelf: Shelf, store: LibcloudStore) -> None:
    shelf.put("aliases/late.json", b"one")

    with pytest.raises(Unavailable, match="was replaced while it was read"):
        meddled(store._container, lambda: shelf.put("aliases/late.json", uuid4().bytes)).get("aliases/late.json")


def test_a_container_that_is_not_there_is_a_deployment_mistake(store: LibcloudStore) -> None:
    missing = LibcloudStore(store._make, "missing")

    with pytest.raises(Misconfigured, match="a: there is no container missing: create it, or correct the address"):
        missing.get("a")
    with pytest.raises(Misconfigured, match="missing: there is no container missing: create it"):
        list(missing.list(""))


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("libcloud://nowhere/flights", "libcloud knows no such object service; it knows"),
        ("libcloud://minio", "not a container of libcloud's; write libcloud://provider/container"),
        ("libcloud://minio/flights/may", "not a container of libcloud's"),
        ("libcloud://minio/flights", "host argument is required"),
        ("libcloud://minio/flights?endpoint=127.0.0.1:9000", "not an endpoint of libcloud's; write https://host"),
        ("libcloud://minio/flights?endpoint=http://127.0.0.1/path", "not an endpoint of libcloud's"),
        ("libcloud://s3/flights?region=nowhere", "Invalid or unsupported region: nowhere"),
        ("libcloud://local/flights", "base path is not a directory"),
        ("libcloud://minio/flights?secret=x", "no such option: secret"),
    ],
)
def test_a_wrong_address_is_a_deployment_mistake(address: str, why: str) -> None:
    with pytest.raises(Misconfigured, match=why):
        providers.store_at(address).get("a")


@pytest.mark.parametrize("provider", ["backblaze_b2", "openstack_swift", "aliyun_oss", "cloudfiles", "dummy"])
def test_a_driver_that_reads_wrongly_is_refused(provider: str) -> None:
    with pytest.raises(Unsupported, match=f"{provider}: libcloud's driver .*; use the service's S3 endpoint"):
        providers.store_at(f"libcloud://{provider}/flights")


def test_missing_credentials_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LIBCLOUD_KEY")

    with pytest.raises(Misconfigured, match="LIBCLOUD_KEY: is not set; it holds the key or user name for minio"):
        providers.store_at("libcloud://minio/flights?endpoint=http://127.0.0.1:1")


@pytest.fixture
def ailing() -> Iterator[SimpleNamespace]:
    """A service whose `answers` one can choose: given in turn, the last for ever."""
    answers: list[Callable[[BaseHTTPRequestHandler], None]] = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            (answers[0] if len(answers) == 1 else answers.pop(0))(self)

        do_HEAD = do_GET  # noqa: N815  # the library's name

        def log_message(self, *_arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    address = f"libcloud://minio/flights?endpoint=http://127.0.0.1:{server.server_port}"
    over = threading.Event()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield SimpleNamespace(answers=answers, over=over, address=address)
    over.set()
    server.shutdown()
    thread.join()
    server.server_close()


def answering(status: int, body: bytes = b"", **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        given = {"Content-Length": str(len(body)), "Last-Modified": "Thu, 14 Feb 2013 12:00:00 GMT", **headers}
        for name, value in given.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(body)

    return answer


@pytest.mark.parametrize(
    ("status", "meaning", "why"),
    [
        (400, Misconfigured, "the service answers 400; check LIBCLOUD_KEY and LIBCLOUD_SECRET, and the region"),
        (401, Misconfigured, "the service answers 401"),
        (403, Misconfigured, "the service answers 403"),
        (429, Unavailable, "the service answers 429"),
        (500, Unavailable, "the service answers 500"),
        (503, Unavailable, "the service answers 503"),
    ],
)
def test_what_an_answer_means(ailing: SimpleNamespace, status: int, meaning: type[Exception], why: str) -> None:
    ailing.answers[:] = [answering(status)]
    store = providers.store_at(ailing.address)

    with pytest.raises(meaning, match=f"aliases/late.json: {why}"):
        store.get("aliases/late.json")


def test_reading_waits_until_a_busy_service_answers(ailing: SimpleNamespace) -> None:
    ailing.answers[:] = [answering(503), answering(429), answering(200, b"data", ETag='"1"')]

    assert providers.store_at(ailing.address).get("aliases/late.json").data == b"data"


@pytest.mark.parametrize("verb", READS)
def test_a_service_out_of_reach_is_unavailable(verb: str) -> None:
    store = providers.store_at(f"libcloud://minio/flights?endpoint=http://127.0.0.1:{processes.free_port()}")

    with pytest.raises(Unavailable, match="a: the service was not reached"):
        READS[verb](store, "a")


def test_a_download_that_breaks_off_is_no_object(ailing: SimpleNamespace) -> None:
    whole = answering(200, b"x" * 100, ETag='"1"')
    cut = answering(200, b"x" * 50, ETag='"1"', Content_Length="100", Connection="close")
    ailing.answers[:] = [whole, whole, cut, whole]

    assert providers.store_at(ailing.address).get("blobs/a").data == b"x" * 100


def test_a_download_that_stalls_is_given_up(ailing: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libcloud_drivers, "READ_S", 0.1)
    whole = answering(200, b"x" * 100, ETag='"1"')

    def stall(handler: BaseHTTPRequestHandler) -> None:
        ailing.over.wait(timeout=60)
        handler.close_connection = True

    ailing.answers[:] = [whole, whole, stall, whole]

    assert providers.store_at(ailing.address).get("blobs/a").data == b"x" * 100
