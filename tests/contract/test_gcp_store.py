"""What is particular about Google Cloud Storage: its generations, its pace, its errors, its two ways to upload."""

import gzip
import io
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from threading import Barrier

import pytest
import requests

from samara import providers
from samara.core.digests import digest
from samara.errors import Conflict, Misconfigured, NotFound, Rejected, SamaraError, Unavailable, Unknown
from samara.ports import ObjectStore, Version
from samara.providers import certainty
from samara.providers.addresses import parsed
from samara.providers.gcp import GcsStore
from samara.providers.streams import CHUNK, digest_of
from tests.emulators import gcs
from tests.emulators.listening import listening
from tests.emulators.unreliable import Fault, Network, network

WRITERS = 16
GONE = f"gs://samara-nobody?endpoint={gcs.endpoint()}"


@pytest.fixture
def address() -> str:
    return gcs.fresh_bucket()


@pytest.fixture
def store(address: str) -> ObjectStore:
    return providers.store_at(address)


@pytest.fixture
def in_haste(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certainty, "FIRST_S", 0.001)
    monkeypatch.setattr(certainty, "MOST_S", 0.01)


def upload(address: str, name: str, data: bytes, **resource: str) -> None:
    """What a user does beside us."""
    url = f"{gcs.endpoint()}/upload/storage/v1/b/{parsed(address).place}/o?uploadType=resumable"
    begun = requests.post(url, json={"name": name, **resource}, timeout=30)
    assert requests.put(begun.headers["Location"], data=data, timeout=30).ok


def test_a_head_that_is_written_too_often_is_written_in_the_end() -> None:
    store = providers.store_at(gcs.fresh_bucket(limit_s=1))

    first = store.create("aliases/late.json", b"v1")
    second = store.replace("aliases/late.json", b"v2", first)
    store.delete("aliases/late.json", second)

    assert list(store.list("")) == []


def test_who_is_told_to_slow_down_still_knows_that_somebody_else_was_first() -> None:
    store = providers.store_at(gcs.fresh_bucket(limit_s=1))
    version = store.create("aliases/late.json", b"v1")
    start = Barrier(WRITERS)

    def replace(number: int) -> Version | type[SamaraError]:
        start.wait(timeout=60)
        try:
            return store.replace("aliases/late.json", b"%d" % number, version)
        except SamaraError as error:
            return type(error)

    with ThreadPoolExecutor(WRITERS) as writers:
        outcomes = list(writers.map(replace, range(WRITERS)))

    assert outcomes.count(Conflict) == WRITERS - 1


def test_who_is_told_to_slow_down_looks_whether_it_came_too_late() -> None:
    address = gcs.fresh_bucket(limit_s=100)
    providers.store_at(address).create("aliases/late.json", b"v2")

    with network(gcs.endpoint()) as net, pytest.raises(Conflict):
        providers.store_at(net.through(address)).replace("aliases/late.json", b"v3", Version("1"))

    assert net.answers == [("POST", 429), ("GET", 200)]


@pytest.mark.parametrize("forged", ["", "0", "-1", "any", "1.5", "9" * 40, "١"])
def test_a_version_that_is_no_generation_is_stale(store: ObjectStore, forged: str) -> None:
    with pytest.raises(Conflict):
        store.replace("aliases/late.json", b"v2", Version(forged))
    with pytest.raises(Conflict):
        store.delete("aliases/late.json", Version(forged))

    assert list(store.list("")) == []


def test_what_was_uploaded_compressed_is_read_as_it_is_stored(store: ObjectStore, address: str) -> None:
    data = gzip.compress(b"age,delay\n" * 100)
    upload(address, "landing/flights/may.csv.gz", data, contentEncoding="gzip")

    assert store.get("landing/flights/may.csv.gz").data == data
    assert store.head("landing/flights/may.csv.gz").size == len(data)
    assert store.part("landing/flights/may.csv.gz", 3, 7).data == data[3:10]
    with store.open("landing/flights/may.csv.gz") as stream:
        assert stream.read() == data


def test_names_that_are_no_keys_are_not_listed(store: ObjectStore, address: str) -> None:
    for name in ("landing/", "landing//a", "a/../b", "landing/flights/may.csv"):
        upload(address, name, b"")

    assert list(store.list("")) == ["landing/flights/may.csv"]


def test_a_listing_is_read_page_by_page(store: ObjectStore, address: str) -> None:
    keys = [f"captures/{number}" for number in range(5)]
    for key in keys:
        store.create(key, b"x")
    with network(gcs.endpoint()) as net:
        found = parsed(net.through(address))
        listing = GcsStore(found.place, found.endpoint, page=2).list("captures/")

        first = next(listing)
        after_one = len(net.answers)

        assert [first, *listing] == keys
    assert (after_one, len(net.answers)) == (1, 3)


@contextmanager
def failing(address: str, *faults: Fault | None) -> Iterator[tuple[ObjectStore, Network]]:
    """A store whose uploads fail like that, one after the other, and then no more."""
    left = iter(faults)
    with network(gcs.endpoint()) as net:
        net.plan = lambda method: next(left, None) if method == "PUT" else None
        yield providers.store_at(net.through(address)), net


@pytest.mark.usefixtures("in_haste")
@pytest.mark.parametrize("fault", [Fault.LOST, Fault.BUSY, Fault.RESET])
@pytest.mark.parametrize("piece", [0, 1, 2])
def test_a_large_upload_goes_on_after_a_failure(store: ObjectStore, address: str, piece: int, fault: Fault) -> None:
    data = bytes(range(256)) * (2 * CHUNK // 256) + b"and the end"

    with failing(address, *[None] * piece, fault) as (unreliable, net):
        version = unreliable.create_from("blobs/large", io.BytesIO(data))

    assert net.faults == [fault]
    assert store.head("blobs/large").version == version
    with store.open("blobs/large") as stream:
        assert digest_of(stream) == digest(data)


@pytest.mark.usefixtures("in_haste")
def test_a_large_upload_that_lost_its_race_is_a_conflict(store: ObjectStore, address: str) -> None:
    def rival() -> None:
        store.create("blobs/large", b"theirs")

    with failing(address, Fault.RESET) as (unreliable, net):
        net.meanwhile = rival
        with pytest.raises(Conflict):
            unreliable.create_from("blobs/large", io.BytesIO(b"x" * (CHUNK + 1)))

    assert store.get("blobs/large").data == b"theirs"


@pytest.mark.usefixtures("in_haste")
def test_a_large_upload_whose_answer_never_comes_is_unknown_or_found(store: ObjectStore, address: str) -> None:
    with failing(address, None, *[Fault.LOST] * 1000) as (unreliable, _):
        version = unreliable.create_from("blobs/large", io.BytesIO(b"x" * (CHUNK + 1)))
    assert store.head("blobs/large").version == version, "what lies there is what was sent"

    with failing(address, None, *[Fault.RESET] * 1000) as (unreliable, _), pytest.raises(Unknown):
        unreliable.create_from("blobs/other", io.BytesIO(b"x" * (CHUNK + 1)))
    with pytest.raises(NotFound):
        store.head("blobs/other")


@pytest.mark.usefixtures("in_haste")
def test_what_somebody_else_put_there_meanwhile_is_not_taken_for_ours(store: ObjectStore, address: str) -> None:
    def rival() -> None:
        store.create("blobs/large", b"y" * (CHUNK + 1))

    with failing(address, None, Fault.RESET) as (unreliable, net):
        net.meanwhile = rival
        with pytest.raises(Unknown):
            unreliable.create_from("blobs/large", io.BytesIO(b"x" * (CHUNK + 1)))


@pytest.mark.parametrize("verb", ["get", "head", "list", "create", "create_from", "replace", "delete"])
def test_a_bucket_that_does_not_exist_is_a_mistake_of_the_deployment(verb: str) -> None:
    store = providers.store_at(GONE)
    verbs: dict[str, Callable[[], object]] = {
        "get": lambda: store.get("a"),
        "head": lambda: store.head("a"),
        "list": lambda: list(store.list("")),
        "create": lambda: store.create("a", b"x"),
        "create_from": lambda: store.create_from("a", io.BytesIO(b"x" * CHUNK)),
        "replace": lambda: store.replace("a", b"x", Version("1")),
        "delete": lambda: store.delete("a", Version("1")),
    }

    with pytest.raises(Misconfigured, match="samara-nobody: no such bucket; create it"):
        verbs[verb]()


@contextmanager
def google_saying(status: int, callers: list[object] | None = None) -> Iterator[str]:
    """The address of a bucket of a service that answers everything so, and notes on which connections."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def refuse(self) -> None:
            if callers is not None:
                callers.append(self.client_address)
            self.rfile.read(int(self.headers.get("content-length", 0)))
            error = {"code": status, "message": "samara@acme lacks storage.objects.get", "errors": [{"reason": "x"}]}
            data = json.dumps({"error": error}).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_DELETE = refuse  # noqa: N815  # the names under which the standard library looks for them

        def log_message(self, *_: object) -> None:
            pass

    with listening(Handler) as port:
        yield f"gs://flights?endpoint=http://127.0.0.1:{port}"


@pytest.mark.usefixtures("in_haste")
@pytest.mark.parametrize(
    ("status", "reading", "writing"),
    [
        (401, Misconfigured, Misconfigured),
        (403, Misconfigured, Misconfigured),
        (404, NotFound, Misconfigured),
        (408, Unavailable, Unknown),
        (412, Conflict, Conflict),
        (413, Rejected, Rejected),
        (500, Unavailable, Unknown),
        (503, Unavailable, Unknown),
        (599, Unavailable, Unknown),
        (400, Misconfigured, Misconfigured),
    ],
)
def test_what_google_answers_means_one_of_our_errors(
    status: int, reading: type[Exception], writing: type[Exception]
) -> None:
    with google_saying(status) as address:
        store = providers.store_at(address)
        with pytest.raises(reading) as when_read:
            store.get("blobs/a")
        with pytest.raises(writing) as when_written:
            store.create("blobs/a", b"x")

    assert when_read.type is reading
    assert when_written.type is writing


def test_a_permission_that_is_missing_is_named(in_haste: None) -> None:
    with google_saying(403) as address, pytest.raises(Misconfigured, match=r"blobs/a: .*lacks storage\.objects\.get"):
        providers.store_at(address).get("blobs/a")


def test_a_connection_is_used_again_after_a_refusal() -> None:
    callers: list[object] = []
    refusals = []
    with google_saying(401, callers) as address:
        store = providers.store_at(address)
        for _ in range(3):
            with pytest.raises(Misconfigured) as refusal:
                store.get("blobs/a")
            refusals.append(refusal)  # which holds on to all that took part

    assert len(set(callers)) == 1


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("gs://flights/late", "without a path"),
        ("gs://flights?region=eu", "no such option"),
        ("gs://flights?endpoint=http://storage.example", "https://"),
        ("gs://flights?endpoint=ftp://storage.example", "https://"),
    ],
)
def test_an_address_that_cannot_be_meant_is_refused(address: str, why: str) -> None:
    with pytest.raises(Misconfigured, match=why):
        providers.store_at(address)


def test_a_process_without_credentials_is_told_how_to_get_some(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "nothing.json"))

    with pytest.raises(Misconfigured, match="gcloud auth application-default login"):
        providers.store_at("gs://flights")


def test_who_does_not_answer_in_time_is_unavailable(address: str, in_haste: None) -> None:
    with network(gcs.endpoint()) as net:
        net.plan = lambda _: Fault.SLOW
        found = parsed(net.through(address))
        store = GcsStore(found.place, found.endpoint, connect_s=0.1, read_s=0.1)

        with pytest.raises(Unavailable, match="did not answer in time"):
            store.head("blobs/a")
