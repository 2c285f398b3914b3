"""Events are hints: one upload comes to one outcome, however often and in whatever order it is announced."""

import io
from collections.abc import Callable
from dataclasses import replace
from typing import BinaryIO

import pytest

from functions.catalogue import CATALOGUE
from functions.ingest import handler
from functions.ingest.handler import run
from functions.ingest.limits import LIMITS
from samara.app import App
from samara.catalogue import named
from samara.core import keys
from samara.core.digests import digest
from samara.core.records import Batch, Quarantine, Receipt
from samara.core.sealed import Maker
from samara.errors import Conflict, Unavailable
from samara.events import ObjectCreated
from samara.ports import Version
from samara.providers.memory import MemoryJobs, MemoryStore

Created = Callable[[str], ObjectCreated]
ActingAs = Callable[[str], App]

GOOD = b"a,b\n1,2\n3\n5,6\n"
KEY = "landing/flights/monday.csv"


def content(store: MemoryStore) -> dict[str, bytes]:
    return {key: store.get(key).data for key in store.list("")}


def test_a_receipt_names_the_batch_and_is_written_last(
    store: MemoryStore, created: Created, acting_as: ActingAs
) -> None:
    store.create(KEY, GOOD)

    receipt = run(created(KEY), acting_as("ingest"))

    assert receipt is not None
    (link,) = receipt.made_from
    assert link.key == keys.batch("flights", digest(GOOD))
    assert (receipt.outcome, receipt.source_key) == ("batch", KEY)
    assert keys.Landed(KEY).receipt(store.head(KEY).version) in store.list("receipts/")
    assert store.get(KEY).data == GOOD, "the upload stays"


def test_five_deliveries_are_one(store: MemoryStore, created: Created, acting_as: ActingAs) -> None:
    store.create(KEY, GOOD)
    receipt = run(created(KEY), acting_as("ingest"))
    after_one = content(store)

    again = [run(created(KEY), acting_as("ingest")) for _ in range(4)]

    assert again == [receipt] * 4
    assert content(store) == after_one


def test_the_same_bytes_under_two_names_are_one_batch_with_two_receipts(
    store: MemoryStore, created: Created, acting_as: ActingAs
) -> None:
    store.create(KEY, GOOD)
    store.create("landing/flights/tuesday.txt", GOOD)

    first = run(created(KEY), acting_as("ingest"))
    second = run(created("landing/flights/tuesday.txt"), acting_as("ingest"))

    assert first is not None
    assert second is not None
    assert first.made_from == second.made_from
    assert len(list(store.list("datasets/"))) == 1
    assert len(list(store.list("receipts/"))) == 2
    assert len(list(store.list("quarantine/"))) == 1, "its refused rows are told once"


def test_the_same_name_with_other_bytes_is_another_batch(
    store: MemoryStore, created: Created, acting_as: ActingAs
) -> None:
    version = store.create(KEY, GOOD)
    run(created(KEY), acting_as("ingest"))

    store.replace(KEY, b"a,b\n7,8\n", version)
    run(created(KEY), acting_as("ingest"))

    assert len(list(store.list("datasets/flights/"))) == 2
    assert len(list(store.list("receipts/"))) == 2


@pytest.mark.parametrize(
    "key",
    [
        "landing/flights/never.csv",
        "landing/",
        "landing/flights/",
        "landing/flights/sub/",
        "datasets/flights/a.json",
        "aliases/late.json",
        "",
    ],
)
def test_an_event_for_nothing_of_ours_does_nothing(
    store: MemoryStore, created: Created, acting_as: ActingAs, key: str
) -> None:
    assert run(created(key), acting_as("ingest")) is None
    assert content(store) == {}


@pytest.mark.parametrize(
    ("key", "dataset"),
    [
        ("landing/monday.csv", "unnamed"),
        ("landing/flights", "unnamed"),
        ("landing/Flights/a.csv", "unnamed"),
        ("landing/%2e%2e%2fregistry/a.csv", "unnamed"),
        ("landing/fl ights/a.csv", "unnamed"),
        ("landing/flüge/a.csv", "unnamed"),
        ("landing/flights/a\tb.csv", "flights"),
        ("landing/flights/a\nb.csv", "flights"),
        ("landing/flights/a\u202eb.csv", "flights"),
        ("landing/flights/cafe\u0301.csv", "flights"),
        ("landing/flights/a\\b.csv", "flights"),
        ("landing/flights/" + "/".join(["n" * 200] * 4), "flights"),
        ("landing/flights/../../aliases/late.json", "flights"),
        ("landing//a.csv", "unnamed"),
        ("landing/../registry/m", "unnamed"),
        ("landing/flights/a\0.csv", "flights"),
        ("landing/flights/" + "n" * 1_024, "flights"),
        ("landing/flights/a\udcff.csv", "flights"),
    ],
)
def test_a_key_we_would_not_follow_is_quarantined_under_a_safe_name(
    store: MemoryStore, created: Created, acting_as: ActingAs, key: str, dataset: str
) -> None:
    if not keys.flaw(key):
        store.create(key, GOOD)

    receipt = run(created(key), acting_as("ingest"))
    again = run(created(key), acting_as("ingest"))

    assert receipt is not None
    assert again == receipt
    (place,) = store.list("quarantine/")
    quarantine = Quarantine.read(store.get(place).data, place)
    assert (quarantine.dataset, quarantine.whole, quarantine.source) == (dataset, True, None)
    assert quarantine.reasons[0].code in ("bad_key", "bad_name")
    assert not list(store.list("datasets/"))


@pytest.mark.parametrize(
    "name",
    [
        "a+b.csv", "a b.csv", "100%.csv", "%2e%2e.csv", "a%2Fb.csv", "café.csv", "日本.csv", "😀.csv", "CON.csv",
        "מזל.csv", "sub/folder/a.csv", ".csv", "a..b.csv", "..csv", "-rf.csv",
        "$(reboot).csv", "'; drop table.csv",
    ],
)  # fmt: skip
def test_odd_names_are_names(store: MemoryStore, created: Created, acting_as: ActingAs, name: str) -> None:
    store.create(f"landing/flights/{name}", GOOD)

    receipt = run(created(f"landing/flights/{name}"), acting_as("ingest"))

    assert receipt is not None
    assert receipt.outcome == "batch"


def test_a_file_too_large_is_refused_without_reading_it(
    store: MemoryStore, created: Created, acting_as: ActingAs, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.create(KEY, GOOD)
    monkeypatch.setattr(handler, "LIMITS", replace(LIMITS, source=len(GOOD) - 1))

    receipt = run(created(KEY), acting_as("ingest"))

    assert receipt is not None
    assert receipt.outcome == "quarantine"


class Meddled(MemoryStore):
    """A bucket in which somebody does something to the upload just after it was opened."""

    def __init__(self, meddle: Callable[[MemoryStore], object]) -> None:
        super().__init__()
        self._meddle = meddle

    def open(self, key: str) -> BinaryIO:
        file = io.BytesIO(self.get(key).data)
        if key.startswith("landing/"):
            self._meddle(self)
        return file


def in_ingest(store: MemoryStore) -> App:
    whole = App(store, MemoryJobs(), Maker(function="test", code="0" * 64))
    return whole.acting_as(named(CATALOGUE, "ingest"))


def test_a_file_replaced_while_it_is_read_is_read_again(created: Created) -> None:
    store = Meddled(lambda store: store.replace(KEY, b"a\n9\n", store.head(KEY).version))
    store.create(KEY, GOOD)

    with pytest.raises(Unavailable, match="replaced while it was read"):
        run(created(KEY), in_ingest(store))
    assert not [*store.list("datasets/"), *store.list("quarantine/"), *store.list("receipts/")]

    receipt = run(created(KEY), in_ingest(store))
    assert receipt is not None
    assert receipt.made_from[0].key == keys.batch("flights", digest(b"a\n9\n"))


def test_a_file_deleted_while_it_is_read_is_gone(created: Created) -> None:
    store = Meddled(lambda store: store.delete(KEY, store.head(KEY).version))
    store.create(KEY, GOOD)

    assert run(created(KEY), in_ingest(store)) is None
    assert not [*store.list("datasets/"), *store.list("quarantine/"), *store.list("receipts/")]


class Killed(BaseException):
    """The process ends here."""


class Mortal(MemoryStore):
    """A bucket whose user dies before write number `last`, or right after it."""

    def __init__(self, last: int, *, after: bool) -> None:
        super().__init__()
        self.last = last
        self.after = after

    def create(self, key: str, data: bytes) -> Version:
        self.last -= 1
        if self.last == 0 and not self.after:
            raise Killed
        version = super().create(key, data)
        if self.last == 0:
            raise Killed
        return version


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("last", range(2, 7))
def test_killed_between_any_two_writes_it_ends_in_the_same_bucket(created: Created, last: int, *, after: bool) -> None:
    straight = MemoryStore()
    straight.create(KEY, GOOD)
    run(created(KEY), in_ingest(straight))
    assert len(content(straight)) == 6, "the upload, a part, the refused rows, their quarantine, the batch, the receipt"

    mortal = Mortal(last, after=after)
    mortal.create(KEY, GOOD)
    with pytest.raises(Killed):
        run(created(KEY), in_ingest(mortal))
    run(created(KEY), in_ingest(mortal))

    assert content(mortal) == content(straight)


def test_of_two_at_once_the_second_goes_on_with_what_the_first_wrote(
    store: MemoryStore, created: Created, acting_as: ActingAs
) -> None:
    store.create(KEY, GOOD)
    first = run(created(KEY), acting_as("ingest"))
    place = keys.Landed(KEY).receipt(store.head(KEY).version)
    store.delete(place, store.head(place).version)  # as if the first had not come so far yet

    second = run(created(KEY), acting_as("ingest"))

    assert second == first
    assert isinstance(second, Receipt)
    with pytest.raises(Conflict):
        store.create(place, b"")


def test_a_batch_says_nothing_of_names_and_times_in_its_digest(
    store: MemoryStore, created: Created, acting_as: ActingAs
) -> None:
    other = MemoryStore()
    store.create(KEY, GOOD)
    other.create("landing/flights/renamed.csv", GOOD)

    run(created(KEY), acting_as("ingest"))
    run(created("landing/flights/renamed.csv"), in_ingest(other))

    (key,) = store.list("datasets/")
    one, two = Batch.read(store.get(key).data, key), Batch.read(other.get(key).data, key)
    assert one.digest == two.digest
    assert one.noted != two.noted
