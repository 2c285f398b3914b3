"""What a container of libcloud's promises: the reading half of the store's contract, and refusals for the rest."""

import gzip
import io
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from libcloud.storage.base import Object as Found
from libcloud.storage.base import StorageDriver

from samara import providers
from samara.errors import Misconfigured, NotFound, Rejected, Unavailable, Unsupported
from samara.ports import Meta, ObjectStore, Version
from samara.providers import libcloud_drivers
from samara.providers.azure import DEVELOPMENT, DEVELOPMENT_KEY
from samara.providers.libcloud import LibcloudStore, ascending, kind_of
from samara.providers.libcloud_drivers import maker
from tests.emulators import azurite, processes, s3

MIB = 1 << 20
READERS = 16

pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")  # libcloud signs by it


class Service:
    """A container, seen by Samara as `store` and filled by `put`, as a user would."""

    def __init__(self, address: str, put: Callable[[str, bytes], object]) -> None:
        self.address = address
        self.put = put

    @property
    def store(self) -> LibcloudStore:
        store = providers.store_at(self.address)
        assert isinstance(store, LibcloudStore)
        return store


def on_s3(provider: str) -> Callable[[Path], Service]:
    def service(_folder: Path) -> Service:
        client, bucket = s3.client(), fresh("bucket")
        client.create_bucket(Bucket=bucket)
        address = f"libcloud://{provider}/{bucket}?endpoint={s3.endpoint()}&region={s3.REGION}"
        return Service(address, lambda key, data: client.put_object(Bucket=bucket, Key=key, Body=data))

    return service


def on_azure(_folder: Path) -> Service:
    container = azurite.client().create_container(fresh("container"))
    endpoint, _, _account = azurite.endpoint().rpartition("/")
    put = partial(container.upload_blob, overwrite=True)
    return Service(f"libcloud://azure_blobs/{container.container_name}?endpoint={endpoint}", put)


def fresh(what: str) -> str:
    return f"{what}-{uuid4().hex[:12]}"


def on_a_folder(folder: Path) -> Service:
    def put(key: str, data: bytes) -> None:
        file = folder / "container" / key
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)

    (folder / "container").mkdir()
    return Service(f"libcloud://local/container?endpoint={folder}", put)


SERVICES: dict[str, Callable[[Path], Service]] = {
    "minio": on_s3("minio"),
    "s3": on_s3("s3"),
    "azure_blobs": on_azure,
    "local": on_a_folder,
}


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of Azurite, which alone of the services here looks at them."""
    monkeypatch.setenv("LIBCLOUD_KEY", DEVELOPMENT)
    monkeypatch.setenv("LIBCLOUD_SECRET", DEVELOPMENT_KEY)


@pytest.fixture(params=SERVICES)
def service(request: pytest.FixtureRequest, tmp_path: Path) -> Service:
    return SERVICES[request.param](tmp_path)


@pytest.fixture
def store(service: Service) -> ObjectStore:
    return service.store


@pytest.fixture
def seed(service: Service) -> Callable[[str, bytes], object]:
    return service.put


Seed = Callable[[str, bytes], object]


@pytest.mark.parametrize("data", [b"one", b""], ids=["some bytes", "none"])
def test_what_is_there_can_be_read(store: ObjectStore, seed: Seed, data: bytes) -> None:
    seed("models/late/1.json", data)

    found = store.get("models/late/1.json")

    assert found.data == data
    assert store.head("models/late/1.json") == Meta("models/late/1.json", len(data), found.version, found.at)
    with store.open("models/late/1.json") as stream:
        assert stream.read() == data


@pytest.mark.parametrize("verb", ["get", "head", "part", "open"])
@pytest.mark.parametrize("key", ["nothing", "models/late/2.json", "models", "models/late/1.json/below"])
def test_what_is_not_there_is_not_found(store: ObjectStore, seed: Seed, verb: str, key: str) -> None:
    seed("models/late/1.json", b"x")

    with pytest.raises(NotFound) as refusal:
        VERBS[verb](store, key)

    assert refusal.value.subject == key


def test_another_write_is_another_version(store: ObjectStore, seed: Seed) -> None:
    seed("aliases/late.json", b"v1")
    first = store.get("aliases/late.json")

    seed("aliases/late.json", b"v2, longer")

    second = store.get("aliases/late.json")
    assert second.data == b"v2, longer"
    assert second.version != first.version


def test_it_is_known_when_an_object_was_written(store: ObjectStore, seed: Seed) -> None:
    before = datetime.now(UTC) - timedelta(seconds=2)  # services round

    seed("blobs/a", b"12345")

    assert before < store.head("blobs/a").at < datetime.now(UTC) + timedelta(seconds=2)


def test_keys_are_listed_in_ascending_order_of_whole_keys(store: ObjectStore, seed: Seed) -> None:
    ascending = ["a-b", "a-c/d", "a.b", "a/b", "a/b-c/d", "a/c", "a0", "aa/b", "b", "z/1", "ä/ö", "日本/語", "😀"]
    for key in reversed(ascending):
        seed(key, b"x")

    assert list(store.list("")) == ascending


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("", ["a-b", "a/b", "a/c/d", "ab/c", "b"]),
        ("a", ["a-b", "a/b", "a/c/d", "ab/c"]),
        ("a/", ["a/b", "a/c/d"]),
        ("a/c/d", ["a/c/d"]),
        ("a/b/", []),
        ("c/", []),
        ("a/.", []),
    ],
)
def test_a_listing_holds_what_starts_with_its_prefix(
    store: ObjectStore, seed: Seed, prefix: str, expected: list[str]
) -> None:
    for key in ("b", "a/c/d", "a-b", "ab/c", "a/b"):
        seed(key, b"x")

    assert list(store.list(prefix)) == expected


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ("a-b", ["a/b", "a/c/d", "ab/c", "b"]),
        ("a/", ["a/b", "a/c/d", "ab/c", "b"]),
        ("a/bb", ["a/c/d", "ab/c", "b"]),
        ("a/c/d", ["ab/c", "b"]),
        ("b", []),
    ],
)
def test_a_listing_goes_on_after_a_key(store: ObjectStore, seed: Seed, after: str, expected: list[str]) -> None:
    for key in ("b", "a/c/d", "a-b", "ab/c", "a/b"):
        seed(key, b"x")

    assert list(store.list("", after)) == expected


def test_an_open_stream_reads_one_write_to_its_end(store: ObjectStore, seed: Seed) -> None:
    seed("aliases/late.json", b"old " * 1000)

    with store.open("aliases/late.json") as stream:
        start = stream.read(4)
        seed("aliases/late.json", b"new")
        rest = stream.read()

    assert start + rest == b"old " * 1000


@pytest.mark.parametrize(
    ("start", "size", "expected"),
    [
        (0, 5, b"01234"),
        (3, 4, b"3456"),
        (8, 100, b"89"),
        (0, 0, b""),
        (10, 1, b""),
        (99, 1, b""),
        (0, 10, b"0123456789"),
    ],
)
def test_a_part_of_an_object_can_be_read_alone(
    store: ObjectStore, seed: Seed, start: int, size: int, expected: bytes
) -> None:
    seed("blobs/a", b"0123456789")

    part = store.part("blobs/a", start, size)

    assert part.data == expected
    assert (part.version, part.at) == (store.head("blobs/a").version, store.head("blobs/a").at)


ODD_KEYS = ["x" * 255, "/".join(["x" * 127] * 8), "...", "..a/.b", "a b", "%2e%2e%2fb", "-rf", "~", "\u202eb"]
MEANING_SOMETHING_IN_A_URL = ["a?b", "a#b", "a+b", "a&b=c", "a:b", "a;b", "a%b"]


@pytest.mark.parametrize("key", [*ODD_KEYS, *MEANING_SOMETHING_IN_A_URL])
def test_an_odd_key_is_a_key_like_any_other(store: ObjectStore, seed: Seed, key: str) -> None:
    seed(key, key.encode())

    assert store.get(key).data == key.encode()
    assert store.part(key, 0, 1).data == key.encode()[:1]
    assert list(store.list("")) == [key]
    assert list(store.list(key)) == [key]


BAD_KEYS = ["", "/", "/a", "a/", "a//b", "..", "landing/../aliases/late.json", "a\0b", "a\ud800", "x" * 256]
VERBS: dict[str, Callable[[ObjectStore, str], object]] = {
    "get": lambda store, key: store.get(key),
    "head": lambda store, key: store.head(key),
    "part": lambda store, key: store.part(key, 0, 1),
    "open": lambda store, key: store.open(key),
    "create": lambda store, key: store.create(key, b"x"),
    "create_from": lambda store, key: store.create_from(key, io.BytesIO(b"x")),
    "replace": lambda store, key: store.replace(key, b"x", Version("any")),
    "delete": lambda store, key: store.delete(key, Version("any")),
}
WRITES = ["create", "create_from", "replace", "delete"]


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("key", BAD_KEYS, ids=ascii)
def test_an_unsound_key_is_refused_by_every_verb(store: ObjectStore, verb: str, key: str) -> None:
    with pytest.raises(Rejected) as refusal:
        VERBS[verb](store, key)

    assert refusal.value.code == "bad_key"


@pytest.mark.parametrize("verb", WRITES)
def test_a_store_that_cannot_write_on_condition_refuses_rather_than_pretends(store: ObjectStore, verb: str) -> None:
    with pytest.raises(Unsupported, match=r"models/late/1\.json: libcloud cannot write on condition"):
        VERBS[verb](store, "models/late/1.json")

    assert list(store.list("")) == []


@pytest.mark.parametrize("verb", WRITES)
def test_what_is_there_survives_the_refusal(store: ObjectStore, seed: Seed, verb: str) -> None:
    seed("models/late/1.json", b"first")
    before = store.get("models/late/1.json")

    with pytest.raises(Unsupported):
        VERBS[verb](store, "models/late/1.json")

    assert store.get("models/late/1.json") == before


class Counted(io.RawIOBase):
    """A stream of `size` bytes that exist only while they are read."""

    def __init__(self, size: int) -> None:
        self.left = size

    def read(self, size: int = -1) -> bytes:
        assert 0 < size <= 8 * MIB, "reading it all at once would need all of it in memory"
        bite = min(size, self.left)
        self.left -= bite
        return b"x" * bite


def test_a_large_copy_goes_in_and_out_in_small_bites(service: Service) -> None:
    store = service.store
    tracemalloc.start()

    store.put_copy("blobs/large", Counted(48 * MIB))  # type: ignore[arg-type]  # it reads, which is all we need
    with store.open("blobs/large") as stream:
        size = sum(len(bite) for bite in iter(lambda: stream.read(MIB), b""))

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert size == store.head("blobs/large").size == 48 * MIB
    assert peak < 32 * MIB


@pytest.mark.parametrize("data", [b"new", b""], ids=["some bytes", "none"])
def test_a_copy_is_written_over_whatever_was_there(service: Service, data: bytes) -> None:
    service.put("models/late/1.json", b"something old")

    service.store.put_copy("models/late/1.json", io.BytesIO(data))

    assert service.store.get("models/late/1.json").data == data


def test_a_copy_with_an_unsound_key_is_refused(service: Service) -> None:
    with pytest.raises(Rejected):
        service.store.put_copy("../aliases/late.json", io.BytesIO(b"x"))


def test_threads_share_a_store_and_each_reads_what_it_asked_for(store: ObjectStore, seed: Seed) -> None:
    for number in range(READERS):
        seed(f"blobs/{number}", b"%d" % number * 1000)

    with ThreadPoolExecutor(READERS) as readers:
        found = readers.map(lambda number: store.get(f"blobs/{number}").data, range(READERS))

    assert list(found) == [b"%d" % number * 1000 for number in range(READERS)]


def test_no_two_threads_ask_one_driver_which_would_mix_up_the_answers(tmp_path: Path) -> None:
    kind: type[StorageDriver] = kind_of("local")
    strangers = []

    class Owned(kind):  # type: ignore[misc, valid-type]  # mypy knows no classes made while it runs
        def get_object(self, container_name: str, object_name: str) -> Found:
            self.owner = getattr(self, "owner", threading.get_ident())
            strangers.extend([object_name] * (self.owner != threading.get_ident()))
            found: Found = super().get_object(container_name, object_name)
            return found

    on_a_folder(tmp_path).put("blobs/a", b"x")
    store = LibcloudStore(maker(Owned, {"key": str(tmp_path)}, "owned"), "container")
    together = threading.Barrier(READERS)

    with ThreadPoolExecutor(READERS) as readers:
        list(readers.map(lambda _: (store.get("blobs/a"), together.wait(timeout=60)), range(READERS)))

    assert strangers == []


@pytest.mark.parametrize("size", [2 * MIB, 6 * MIB], ids=["shorter", "longer"])
def test_a_stream_over_what_is_written_in_place_ends_in_an_error(tmp_path: Path, size: int) -> None:
    service = on_a_folder(tmp_path)
    service.put("blobs/a", b"x" * 4 * MIB)

    with service.store.open("blobs/a") as stream:
        stream.read(1)
        service.put("blobs/a", b"y" * size)

        with pytest.raises(Unavailable, match="was replaced while it was read"):
            stream.read()


@pytest.mark.parametrize("verb", ["get", "head", "part", "open", "put_copy"])
def test_a_key_that_azure_takes_for_another_is_refused(tmp_path: Path, verb: str) -> None:
    service = on_azure(tmp_path)
    service.put("a/b", b"not what was asked for")
    verbs: dict[str, Callable[[LibcloudStore, str], object]] = {
        **VERBS,
        "put_copy": lambda store, key: store.put_copy(key, io.BytesIO(b"x")),
    }

    with pytest.raises(Rejected, match="Azure takes a backslash for a slash; choose another key"):
        verbs[verb](service.store, "a\\b")

    assert service.store.get("a/b").data == b"not what was asked for"


def test_folders_that_consoles_leave_behind_are_no_objects(tmp_path: Path) -> None:
    service = SERVICES["minio"](tmp_path)
    service.put("landing/flights/", b"")
    service.put("landing/flights/may.csv", b"x")

    assert list(service.store.list("landing/")) == ["landing/flights/may.csv"]


def test_a_listing_is_read_page_by_page(tmp_path: Path) -> None:
    service = SERVICES["azure_blobs"](tmp_path)
    for number in range(205):  # of which libcloud asks for 100 at once
        service.put(f"captures/{number:04d}", b"x")

    keys = list(service.store.list("captures/", "captures/0001"))

    assert keys == [f"captures/{number:04d}" for number in range(2, 205)]


def test_a_listing_in_no_order_is_refused_rather_than_resumed_wrongly() -> None:
    with pytest.raises(Unsupported, match="lists a after b"):
        list(ascending(iter(["a", "b", "a"]), "captures/"))


def test_what_was_stored_packed_is_read_packed(tmp_path: Path) -> None:
    service = SERVICES["minio"](tmp_path)
    packed = gzip.compress(b"distance,delay\n" * 100)
    bucket = service.store._container
    s3.client().put_object(Bucket=bucket, Key="landing/may.csv.gz", Body=packed, ContentEncoding="gzip")
    store = service.store

    assert store.get("landing/may.csv.gz").data == packed
    assert store.part("landing/may.csv.gz", 1, 4).data == packed[1:5]
    with store.open("landing/may.csv.gz") as stream:
        assert stream.read() == packed


def test_two_endpoints_in_one_process_are_two_services() -> None:
    bucket, endpoints = fresh("bucket"), (s3.endpoint(), second_endpoint())
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


def meddled(service: Service, meanwhile: Callable[[], object]) -> LibcloudStore:
    """A store in whose downloads something happens between the asking and the reading."""
    bucket = service.store._container
    kind: type[StorageDriver] = kind_of("minio")

    class Meddled(kind):  # type: ignore[misc, valid-type]  # mypy knows no classes made while it runs
        def download_object_as_stream(self, obj: Found, chunk_size: int | None = None) -> Iterator[bytes]:
            meanwhile()
            chunks: Iterator[bytes] = super().download_object_as_stream(obj, chunk_size)
            return chunks

    host, port = s3.endpoint().removeprefix("http://").split(":")
    options = {"key": "testing", "secret": "testing", "secure": False, "host": host, "port": int(port)}
    return LibcloudStore(maker(Meddled, options, "meddled"), bucket)


@pytest.mark.parametrize("new", [b"two", b"another"], ids=["of the same size", "of another"])
def test_what_is_replaced_while_it_is_read_is_read_again(tmp_path: Path, new: bytes) -> None:
    service = SERVICES["minio"](tmp_path)
    service.put("aliases/late.json", b"one")
    writes = iter([new])

    found = meddled(service, lambda: [service.put("aliases/late.json", data) for data in writes]).get(
        "aliases/late.json"
    )

    assert found.data == new
    assert found.version == service.store.head("aliases/late.json").version


def test_what_is_replaced_all_the_time_is_unavailable(tmp_path: Path) -> None:
    service = SERVICES["minio"](tmp_path)
    service.put("aliases/late.json", b"one")

    with pytest.raises(Unavailable, match="was replaced while it was read"):
        meddled(service, lambda: service.put("aliases/late.json", uuid4().bytes)).get("aliases/late.json")


def test_a_container_that_is_not_there_is_a_deployment_mistake(service: Service) -> None:
    store = LibcloudStore(service.store._make, "missing")

    with pytest.raises(Misconfigured, match="a: there is no container missing: create it, or correct the address"):
        store.get("a")
    with pytest.raises(Misconfigured, match="missing: there is no container missing: create it"):
        list(store.list(""))


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


@pytest.mark.parametrize("verb", ["get", "head", "part", "open"])
def test_a_service_out_of_reach_is_unavailable(verb: str) -> None:
    store = providers.store_at(f"libcloud://minio/flights?endpoint=http://127.0.0.1:{processes.free_port()}")

    with pytest.raises(Unavailable, match="a: the service was not reached"):
        VERBS[verb](store, "a")


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


def test_importing_it_brings_no_other_clouds_sdk() -> None:
    program = "import sys, samara.providers.libcloud; print(*sorted(sys.modules))"

    loaded = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split()

    assert "libcloud" in loaded
    assert not {name.partition(".")[0] for name in loaded} & {"boto3", "botocore", "google", "azure", "paramiko"}
