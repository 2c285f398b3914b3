"""When answers get lost, a write is ours, somebody else's or unknown, and never taken for what it is not.

Each trial writes once through a network that fails at random, while a rival may write before, or in between.
"""

import io
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from samara.errors import Conflict, NotFound, Unavailable, Unknown
from samara.ports import Object, ObjectStore, Version
from samara.providers import aws, azure, certainty, gcp, store_at, streams
from samara.providers import s3 as lean_s3
from samara.providers.addresses import parsed
from tests.contract.patience import until
from tests.emulators import azurite, gcs, s3
from tests.emulators.unreliable import Fault, Network, network

READ_S = 0.4
TRIALS = 1_000
IN_ONE_TEST = 250
VERBS = ("create", "create", "replace", "replace", "delete")


def hasty_s3(address: str) -> ObjectStore:
    found = parsed(address, "region")
    return aws.S3Store(aws.client(found, connect_s=READ_S, read_s=READ_S), found.place)


def hasty_lean_s3(address: str) -> ObjectStore:
    found = parsed(address, "region")
    return lean_s3.LeanStore(lean_s3.connections(found, connect_s=READ_S, read_s=READ_S), found.place)


def hasty_gcs(address: str) -> ObjectStore:
    found = parsed(address)
    return gcp.GcsStore(found.place, found.endpoint, connect_s=READ_S, read_s=READ_S)


def hasty_blobs(address: str) -> ObjectStore:
    return azure.BlobStore(azure.client(parsed(address), connect_s=READ_S, read_s=READ_S))


def only_reading(address: str) -> ObjectStore:
    """By libcloud, which cannot write on condition and so has nothing to be in doubt about."""
    found = parsed(address, "region")
    return store_at(f"libcloud://minio/{found.place}?endpoint={found.endpoint}&region={s3.REGION}")


Ways = tuple[Callable[[], str], Callable[[], str], Callable[[str], ObjectStore]]
CLOUDS: dict[str, Ways] = {
    "aws": (s3.endpoint, s3.fresh_bucket, hasty_s3),
    "s3": (s3.endpoint, s3.fresh_bucket, hasty_lean_s3),
    "gcp": (gcs.endpoint, gcs.fresh_bucket, hasty_gcs),
    "azure": (azurite.endpoint, azurite.fresh_container, hasty_blobs),
}
every_cloud = pytest.mark.parametrize("cloud", CLOUDS)
READ: dict[str, Ways] = {**CLOUDS, "libcloud": (s3.endpoint, s3.fresh_bucket, only_reading)}


@contextmanager
def unreliable(cloud: str) -> Iterator[tuple[ObjectStore, ObjectStore, Network]]:
    """A store behind a network that can fail, the same store without it, and the network."""
    endpoint, fresh_bucket, hasty = READ[cloud]
    address = fresh_bucket()
    with network(endpoint()) as net:
        yield hasty(net.through(address)), store_at(address), net


@pytest.fixture(autouse=True)
def in_haste(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certainty, "FIRST_S", 0.001)
    monkeypatch.setattr(certainty, "MOST_S", 0.01)


@every_cloud
@pytest.mark.parametrize("first", range(0, TRIALS, IN_ONE_TEST))
def test_every_write_gets_the_right_verdict(cloud: str, first: int) -> None:
    verdicts: Counter[str] = Counter()
    faults: Counter[Fault] = Counter()
    with unreliable(cloud) as (store, truth, net):
        for seed in range(first, first + IN_ONE_TEST):
            dice = random.Random(seed)  # noqa: S311  # chaos, not secrets
            trial = Trial(f"trials/{seed:04d}", store, truth, net, dice)
            verdicts[trial.run(dice.choice(VERBS))] += 1
            faults.update(net.faults)

    assert verdicts["ours"] > IN_ONE_TEST / 2
    assert verdicts["somebody else's"] > IN_ONE_TEST / 20
    assert set(faults) == set(Fault), "each way to fail was tried"


@every_cloud
def test_a_large_object_is_created_once_though_answers_get_lost(cloud: str) -> None:
    dice = random.Random(0)  # noqa: S311  # the same
    large = dice.randbytes(streams.CHUNK + 1)
    with unreliable(cloud) as (store, truth, net):
        for number in range(12):
            key = f"blobs/{number}"
            net.plan = lambda _: dice.choice(list(Fault)[:3]) if dice.random() < 0.3 else None
            version = store.create_from(key, io.BytesIO(large))
            net.plan = lambda _: None

            assert truth.head(key).version == version
            with truth.open(key) as stream:
                assert stream.read() == large


@pytest.mark.parametrize("cloud", READ)
def test_what_is_read_is_right_or_unavailable(cloud: str, libcloud_credentials: None) -> None:
    dice = random.Random(1)  # noqa: S311  # the same
    with unreliable(cloud) as (store, truth, net):
        for number in range(5):
            truth.create(f"reads/{number}", b"%d" % number)
        net.plan = lambda _: dice.choice(list(Fault)[:3]) if dice.random() < 0.4 else None
        for _ in range(60):
            with suppress(Unavailable):
                assert store.get("reads/3").data == b"3"
                assert store.part("reads/3", 0, 5).data == b"3"
                assert store.head("reads/3").size == 1
                assert list(store.list("reads/", "reads/1")) == ["reads/2", "reads/3", "reads/4"]
                with pytest.raises(NotFound):
                    store.get("reads/9")
    assert len(net.faults) > 60


@every_cloud
def test_a_cloud_that_cannot_be_reached_is_unavailable_and_a_write_to_it_unknown(cloud: str) -> None:
    with unreliable(cloud) as (store, _, net):
        net.plan = lambda _: Fault.RESET

        with pytest.raises(Unavailable, match="reads/1"):
            store.get("reads/1")
        with pytest.raises(Unknown, match="reads/1"):
            store.create("reads/1", b"x")


READS = ("GET", "HEAD")


class Trial:
    """One write of `ours` at a key of its own, and what became of it in truth."""

    def __init__(self, key: str, store: ObjectStore, truth: ObjectStore, net: Network, dice: random.Random) -> None:
        self.key = key
        self.store = store
        self.truth = truth
        self.net = net
        self.dice = dice
        self.ours = b"ours " * dice.randint(0, 40)

    def run(self, verb: str) -> str:
        """The verdict, after it was held against the truth."""
        version = self.truth.create(self.key, b"before") if verb != "create" else Version("")
        if self.dice.random() < 0.2:
            self.rival()
        self.net.meanwhile = self.rival if self.dice.random() < 0.3 else lambda: None
        self.net.answers.clear()
        self.net.faults.clear()
        self.net.plan = lambda _: self.dice.choice(list(Fault)[:3]) if self.dice.random() < 0.35 else None
        if self.dice.random() < 0.04:
            slow = iter([Fault.SLOW])
            self.net.plan = lambda _: next(slow, None)
        try:
            verdict = self.judged(self.write(verb, version))
        finally:
            self.net.plan, self.net.meanwhile = (lambda _: None), (lambda: None)
        return verdict

    def write(self, verb: str, version: Version) -> Version | type[Exception] | None:
        try:
            if verb == "create":
                return self.store.create(self.key, self.ours)
            if verb == "replace":
                return self.store.replace(self.key, self.ours, version)
            self.store.delete(self.key, version)
        except (Conflict, Unknown) as error:
            return type(error)
        return None

    def rival(self) -> None:
        """Somebody else writes over whatever is there, or first."""
        theirs = b"theirs %d" % self.dice.randrange(10**9)
        with suppress(Conflict):
            try:
                self.truth.replace(self.key, theirs, self.truth.head(self.key).version)
            except NotFound:
                self.truth.create(self.key, theirs)

    def judged(self, verdict: Version | type[Exception] | None) -> str:
        until(lambda: not self.net.under_way, "the emulator's last answer")
        committed = any(method not in READS and 200 <= status < 300 for method, status in self.net.answers)
        if verdict is Unknown:
            assert self.net.faults, "nothing went wrong, so nothing is unknown"
            return "unknown"
        if verdict is Conflict:
            assert not committed, f"{self.key} was written, and then called a conflict; {self.net.faults}"
            return "somebody else's"
        assert committed, f"{self.key} was not written, and then called so; {self.net.faults}"
        now = self.there()
        if verdict is None:
            assert now is None or now.data.startswith(b"theirs")
        elif now is not None and now.data == self.ours:
            assert now.version == verdict
        else:
            assert now is not None
            assert now.data.startswith(b"theirs"), "ours was there, and a rival wrote over it"
        return "ours"

    def there(self) -> Object | None:
        try:
            return self.truth.get(self.key)
        except NotFound:
            return None
