"""Accounts of Google's that may create and not overwrite: to them a refusal may mean that something is there."""

import io
from collections.abc import Callable

import pytest

from samara import providers
from samara.errors import Conflict
from samara.ports import ObjectStore
from samara.providers import certainty
from samara.providers.streams import CHUNK
from tests.emulators import gcs
from tests.emulators.unreliable import Fault, network

LARGE = bytes(CHUNK + 1)


@pytest.fixture
def address() -> str:
    return gcs.fresh_bucket(only_creators=True)


@pytest.fixture
def store(address: str) -> ObjectStore:
    return providers.store_at(address)


@pytest.mark.parametrize("data", [b"small", LARGE], ids=["small", "large"])
def test_what_exists_is_a_conflict_and_stays(store: ObjectStore, data: bytes) -> None:
    store.create("blobs/a", b"first")

    with pytest.raises(Conflict):
        store.create("blobs/a", data)

    assert store.get("blobs/a").data == b"first"


class Overtaken(io.BytesIO):
    """A stream that somebody else makes use of: what it brings is there before it has all been read."""

    def __init__(self, data: bytes, meanwhile: Callable[[], object]) -> None:
        super().__init__(data)
        self._meanwhile = [meanwhile]

    def read(self, size: int | None = -1, /) -> bytes:
        bite = super().read(size)
        if not bite and self._meanwhile:
            self._meanwhile.pop()()
        return bite


def test_an_upload_that_another_overtook_is_a_conflict(store: ObjectStore) -> None:
    overtaken = Overtaken(LARGE, lambda: store.create("blobs/a", b"first"))

    with pytest.raises(Conflict):
        store.create_from("blobs/a", overtaken)

    assert store.get("blobs/a").data == b"first"


def test_a_creation_whose_answer_got_lost_is_known_by_its_bytes(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certainty, "FIRST_S", 0.001)
    with network(gcs.endpoint()) as net:
        faults = iter([Fault.LOST])
        net.plan = lambda method: next(faults, None) if method == "POST" else None

        version = providers.store_at(net.through(address)).create("blobs/a", b"ours")

    assert version == providers.store_at(address).head("blobs/a").version
    assert ("POST", 403) in net.answers
