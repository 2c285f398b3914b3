"""The roles that the program makes, enforced before Azurite: each function gets done what its entry names, no more."""

import io
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial

import pytest

from functions.catalogue import CATALOGUE
from functions.deadletter.handler import run as tell
from functions.ingest.handler import run as ingest
from samara import providers
from samara.app import App, build
from samara.catalogue import Function, named
from samara.errors import Conflict, Misconfigured
from samara.events import GivenUp, ObjectCreated
from samara.providers.certainty import gone
from samara.providers.streams import CHUNK
from samara.settings import Settings
from tests.conftest import NOON
from tests.emulators import azurite
from tests.emulators.azure_permissions import door
from tests.infra import graph
from tests.infra.policies import ALL_JOBS
from tests.infra.policies_azure import LARGE, reach

SUBSCRIPTION = "11111111-2222-3333-4444-555555555555"
PREFIXES = sorted({prefix for f in CATALOGUE for prefix in (*f.reads, *f.writes)} | {"code/", "elsewhere/"})
LOST = GivenUp("ingest", "landing/flights/may.csv", "Unavailable", "the bucket was busy five times", NOON)
MAY = b"carrier,delay\nAA,1\n"
Address = Callable[[str], str]
every_function = pytest.mark.parametrize("function", CATALOGUE, ids=lambda function: function.name)


@pytest.fixture(scope="module")
def rights(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], set[str]]:
    packages = graph.stand_ins(tmp_path_factory.mktemp("packages"))
    return reach(graph.record("azure", "westeurope", packages, project=SUBSCRIPTION))


@pytest.fixture
def bucket() -> str:
    """The address of an empty one, for its owner."""
    return azurite.fresh_container()


@pytest.fixture
def address(rights: dict[tuple[str, str], set[str]], bucket: str) -> Iterator[Address]:
    """The same bucket, for one identity of the program."""

    def may(who: str, action: str, key: str) -> bool:
        return any(
            action in actions for (one, prefix), actions in rights.items() if one == who and key.startswith(prefix)
        )

    with ExitStack() as doors:
        yield lambda who: doors.enter_context(door(bucket, partial(may, who)))


@pytest.fixture
def acting_as(address: Address) -> Callable[[str], App]:
    def app(name: str) -> App:
        return build(Settings(provider="azure", store=address(name))).acting_as(named(CATALOGUE, name))

    return app


def permitted(ask: Callable[[str], object]) -> set[str]:
    """The prefixes below which this may be done."""
    return {prefix for prefix in PREFIXES if not refused(partial(ask, prefix))}


def refused(ask: Callable[[], object]) -> bool:
    try:
        ask()
    except Misconfigured as error:
        if "AuthorizationPermissionMismatch" not in str(error):
            raise
        return True
    return False


def held(prefixes: tuple[str, ...]) -> set[str]:
    """The prefixes that these hold: config/ holds config/models/."""
    return {prefix for prefix in PREFIXES if prefix.startswith(prefixes)} if prefixes else set()


class BrokenOff(Exception):
    """Whoever gave the data gave up."""


class Breaking(io.BytesIO):
    """A stream that ends in an error after its first `CHUNK`."""

    def read(self, size: int | None = -1) -> bytes:
        if self.tell() >= CHUNK:
            raise BrokenOff
        return super().read(size)


@every_function
def test_a_function_may_read_list_create_and_swap_what_its_entry_names(
    address: Address, bucket: str, function: Function
) -> None:
    owner, store = providers.store_at(bucket), providers.store_at(address(function.name))
    there = {prefix: owner.create(f"{prefix}there", b"") for prefix in PREFIXES}

    assert permitted(lambda at: list(store.list(at))) == held(function.reads + function.swaps)
    created = permitted(lambda at: store.create(f"{at}new", b""))
    assert created == held(function.creates + function.swaps)
    assert permitted(lambda at: store.delete(f"{at}there", there[at])) == held(function.swaps)


@every_function
def test_a_function_that_uploads_may_look_at_what_it_uploads_and_list_no_more(
    address: Address, function: Function
) -> None:
    store = providers.store_at(address(function.name))

    looked = permitted(lambda at: gone(store.head, f"{at}nothing"))

    assert looked == held(function.reads + function.swaps) | (held(function.creates) & {LARGE})


@every_function
@pytest.mark.parametrize("size", [3, CHUNK + 1], ids=["small", "large"])
def test_what_is_created_twice_is_a_conflict_and_no_lack_of_rights(
    address: Address, function: Function, size: int
) -> None:
    store = providers.store_at(address(function.name))

    for prefix in function.creates:
        store.create(f"{prefix}a", b"x" * size)
        with pytest.raises(Conflict):
            store.create(f"{prefix}a", b"x" * size)


@pytest.mark.parametrize("who", ["ingest", ALL_JOBS])
def test_whoever_uploads_may_do_so_after_an_upload_that_broke_off(address: Address, who: str) -> None:
    store, data = providers.store_at(address(who)), b"x" * 2 * CHUNK
    with pytest.raises(BrokenOff):
        store.create_from("blobs/a", Breaking(data))

    store.create("blobs/a", b"small")

    store.create_from("blobs/b", io.BytesIO(data))
    with pytest.raises(Conflict):
        store.create_from("blobs/b", io.BytesIO(data))


def test_deadletter_is_told_the_same_thing_twice(acting_as: Callable[[str], App], bucket: str) -> None:
    for _ in range(2):
        tell(LOST, acting_as("deadletter"))

    assert len(list(providers.store_at(bucket).list("alerts/"))) == 1


def test_the_same_content_is_ingested_under_a_second_name(acting_as: Callable[[str], App], bucket: str) -> None:
    app, owner = acting_as("ingest"), providers.store_at(bucket)
    for key in ("landing/flights/may.csv", "landing/other/may.csv"):
        owner.create(key, MAY)

        receipt = ingest(ObjectCreated(key, NOON), app)

        assert receipt
        assert receipt.outcome == "batch"
