"""What is particular about Azure: its names, its blocks, its order of keys, its keys and tokens."""

import io
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from azure.core.pipeline import PipelineRequest
from azure.core.pipeline.transport import HttpRequest
from azure.identity import DefaultAzureCredential
from azure.storage.blob import ContainerClient

from samara import providers
from samara.errors import Conflict, Misconfigured, Unavailable
from samara.ports import ObjectStore, Version
from samara.providers import azure_rest, certainty
from samara.providers.addresses import parsed
from samara.providers.azure import DEVELOPMENT, DEVELOPMENT_KEY, BlobStore, client, credential
from samara.providers.streams import CHUNK
from tests.emulators import azurite
from tests.emulators.azure_permissions import ADDS, WRITES, door


@pytest.fixture
def store() -> ObjectStore:
    return providers.store_at(azurite.fresh_container())


@pytest.fixture(autouse=True)
def keyless(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AZURE_STORAGE_KEY", "AZURE_STORAGE_CONNECTION_STRING"):
        monkeypatch.delenv(name, raising=False)


BEYOND = ["a/日", "a/\uf900", "a/\ufb00/1", "a/ｆ", "a/😀", "a/😀/ｆ", "a/😀/😀", "b"]  # what UTF-16 orders otherwise


def test_keys_come_in_the_order_of_their_bytes_whatever_azure_thinks_of_it(store: ObjectStore) -> None:
    for key in reversed(BEYOND):
        store.create(key, b"x")

    assert sorted(BEYOND, key=str.encode) == BEYOND
    assert list(store.list("")) == BEYOND
    assert list(store.list("a/😀")) == BEYOND[4:7]


@pytest.mark.parametrize("number", range(len(BEYOND)))
def test_a_listing_goes_on_after_such_a_key_too(store: ObjectStore, number: int) -> None:
    for key in BEYOND:
        store.create(key, b"x")

    assert list(store.list("", BEYOND[number])) == BEYOND[number + 1 :]


def test_a_listing_is_read_page_by_page() -> None:
    store = BlobStore(client(parsed(azurite.fresh_container())), page=2)
    for number in range(7):
        store.create(f"a/{number}", b"x")

    listing = store.list("a/")
    first = next(listing)
    store.create("a/9", b"x")

    assert [first, *listing] == [*(f"a/{number}" for number in range(7)), "a/9"]
    assert list(store.list("a/", "a/4")) == ["a/5", "a/6", "a/9"]


@pytest.mark.parametrize("star", ["*", '"*"', '"0x1"\r\nx-ms-meta-a: b', ""])
def test_no_version_matches_whatever_is_there(store: ObjectStore, star: str) -> None:
    store.create("aliases/late.json", b"v1")

    with pytest.raises(Conflict):
        store.replace("aliases/late.json", b"v2", Version(star))
    with pytest.raises(Conflict):
        store.delete("aliases/late.json", Version(star))

    assert store.get("aliases/late.json").data == b"v1"


class Interrupted(io.BytesIO):
    """A stream during whose reading something else happens, once, after the first `CHUNK`."""

    def __init__(self, data: bytes, meanwhile: Callable[[], object]) -> None:
        super().__init__(data)
        self._meanwhile = meanwhile

    def read(self, size: int | None = -1) -> bytes:
        if self.tell() >= CHUNK:
            self._meanwhile()
            self._meanwhile = lambda: None
        return super().read(size)


@pytest.mark.parametrize("size", [3, CHUNK, CHUNK + 3], ids=["small", "one block", "two blocks"])
def test_of_two_who_upload_to_one_key_at_a_time_the_first_to_end_wins(store: ObjectStore, size: int) -> None:
    def meanwhile() -> None:
        store.create("blobs/a", b"x" * size)

    with pytest.raises(Conflict):
        store.create_from("blobs/a", Interrupted(b"y" * 2 * CHUNK, meanwhile))

    assert store.get("blobs/a").data == b"x" * size


def test_an_upload_that_begins_before_another_ends_does_not_replace_it() -> None:
    address = parsed(azurite.fresh_container())
    rival = BlobStore(client(address))
    waiting = [lambda: rival.create("blobs/a", b"theirs")]

    def before(request: PipelineRequest[HttpRequest]) -> None:
        if "comp=block&" in request.http_request.url and waiting:
            waiting.pop()()

    key = {"account_name": DEVELOPMENT, "account_key": DEVELOPMENT_KEY}
    hooked = ContainerClient(azurite.endpoint(), address.path, key, retry_total=0, raw_request_hook=before)

    with pytest.raises(Conflict):
        BlobStore(hooked).create_from("blobs/a", io.BytesIO(b"y" * 2 * CHUNK))

    assert not waiting
    assert rival.get("blobs/a").data == b"theirs"


def test_an_upload_whose_blocks_are_gone_is_no_conflict_when_nothing_is_there(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certainty, "MOST_S", 0.001)

    def meanwhile() -> None:
        store.delete("blobs/a", store.create("blobs/a", b"x"))

    with pytest.raises(Unavailable):
        store.create_from("blobs/a", Interrupted(b"y" * 2 * CHUNK, meanwhile))

    store.create("blobs/a", b"free again")


def test_an_upload_that_breaks_off_is_in_nobodys_way(store: ObjectStore) -> None:
    def fail() -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        store.create_from("blobs/a", Interrupted(b"y" * 2 * CHUNK, fail))

    version = store.create("blobs/a", b"")

    assert store.get("blobs/a").version == version
    with pytest.raises(Conflict):
        store.create("blobs/a", b"")


@pytest.mark.parametrize("size", [CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 1])
def test_objects_of_any_size_come_back_as_they_went(store: ObjectStore, size: int) -> None:
    data = bytes(range(256)) * (size // 256 + 1)

    version = store.create("blobs/a", data[:size])

    assert store.get("blobs/a").data == data[:size]
    assert store.head("blobs/a").version == version
    with store.open("blobs/a") as stream:
        assert stream.read(size + 1) == data[:size]


def test_a_large_object_that_is_replaced_while_it_is_read_is_not_mixed_with_its_successor(store: ObjectStore) -> None:
    version = store.create("blobs/a", b"x" * (2 * CHUNK + 1))

    with store.open("blobs/a") as stream:
        store.replace("blobs/a", b"y" * 10, version)

        assert stream.read(CHUNK) == b"x" * CHUNK
        with pytest.raises(Unavailable, match="blobs/a: was replaced while it was read"):
            stream.read(1)


def test_many_threads_keep_their_connections(store: ObjectStore, caplog: pytest.LogCaptureFixture) -> None:
    store.create("blobs/a", b"x" * (1 << 20))

    with caplog.at_level(logging.WARNING, "urllib3"), ThreadPoolExecutor(16) as threads:
        assert {len(found.data) for found in threads.map(store.get, ["blobs/a"] * 64)} == {1 << 20}

    assert not [said for said in caplog.messages if "pool is full" in said]


@pytest.mark.parametrize("size", [3, CHUNK + 1, 65 << 20], ids=["small", "large", "larger than the SDK would"])
def test_bytes_are_created_in_one_request_that_takes_no_more_than_the_right_to_add(size: int) -> None:
    with door(azurite.fresh_container(), lambda action, _: action == ADDS) as address:
        store = providers.store_at(address)

        store.create("captures/a", b"x" * size)

        with pytest.raises(Conflict):
            store.create("captures/a", b"y" * size)


def test_who_may_not_look_cannot_upload_and_is_told_so() -> None:
    with door(azurite.fresh_container(), lambda action, _: action in (ADDS, WRITES)) as address:
        store = providers.store_at(address)

        with pytest.raises(Misconfigured, match="AuthorizationPermissionMismatch"):
            store.create_from("blobs/a", io.BytesIO(b"x" * CHUNK))


VERBS: dict[str, Callable[[ObjectStore], object]] = {
    "get": lambda store: store.get("a"),
    "head": lambda store: store.head("a"),
    "open": lambda store: store.open("a"),
    "list": lambda store: next(store.list("")),
    "create": lambda store: store.create("a", b"x"),
    "create_from": lambda store: store.create_from("a", io.BytesIO(b"x" * (CHUNK + 1))),
    "replace": lambda store: store.replace("a", b"x", Version('"0x1"')),
    "delete": lambda store: store.delete("a", Version('"0x1"')),
}


@pytest.mark.parametrize("verb", VERBS)
def test_a_container_that_does_not_exist_is_a_deployment_mistake(verb: str) -> None:
    store = providers.store_at(f"az://{DEVELOPMENT}/nowhere?endpoint={azurite.endpoint()}")

    with pytest.raises(Misconfigured, match=r"az://devstoreaccount1/nowhere: .*ContainerNotFound.* create it"):
        VERBS[verb](store)


@pytest.mark.parametrize("verb", VERBS)
def test_a_key_that_is_not_the_accounts_is_a_deployment_mistake(verb: str) -> None:
    wrong = {"account_name": DEVELOPMENT, "account_key": "d3Jvbmc="}
    store = BlobStore(ContainerClient(azurite.endpoint(), "anywhere", wrong, retry_total=0))

    with pytest.raises(Misconfigured, match=r"az://devstoreaccount1/anywhere: .*AuthorizationFailure"):
        VERBS[verb](store)


@pytest.mark.parametrize(
    "address",
    [
        "az://acme",
        "az://acme/a",
        "az://acme/Upper",
        "az://acme/a--b",
        "az://acme/a/b",
        "az://acme.blob.core.windows.net/flights",
        "az://acme/flights?region=westeurope",
        "az://key@acme/flights",
        "az://acme/flights?endpoint=http://acme.example",
        "az://acme/flights?endpoint=http://127.0.0.1:10000/acme",
    ],
)
def test_an_address_that_is_no_container_is_refused(address: str) -> None:
    with pytest.raises(Misconfigured):
        providers.store_at(address)


def test_without_a_key_one_is_who_one_is() -> None:
    assert isinstance(credential("acme", "https://acme.blob.core.windows.net"), DefaultAzureCredential)


def test_a_key_from_the_environment_opens_its_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_KEY", "c2VjcmV0")

    assert credential("acme", "https://acme.example") == {"account_name": "acme", "account_key": "c2VjcmV0"}


def test_everybodys_key_is_for_the_emulator_alone() -> None:
    assert isinstance(credential(DEVELOPMENT, "https://elsewhere.example"), DefaultAzureCredential)


def test_a_connection_string_opens_its_account_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    given = "DefaultEndpointsProtocol=https;AccountName=acme;AccountKey=c2VjcmV0;EndpointSuffix=core.example"
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", given)

    assert client(parsed("az://acme/flights")).url == "https://acme.blob.core.example/flights"
    with pytest.raises(Misconfigured, match="AZURE_STORAGE_CONNECTION_STRING: is of another account than other"):
        client(parsed("az://other/flights"))


def test_one_credential_serves_all_and_each_complaint_is_its_own() -> None:
    assert azure_rest.keyless() is azure_rest.keyless(), "it keeps the tokens it was given"
    assert azure_rest.nobody() is not azure_rest.nobody(), "an error that is raised twice tells of two places"
