"""What comes back may be broken, damaged or somebody else's. None of it is taken for an object, or for a success."""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from azure.core.credentials import AccessToken

from samara.errors import Misconfigured, NotFound, SamaraError, Unavailable, Unknown, Unsupported
from samara.events import Wake
from samara.ports import Job, JobRunner, ObjectStore, Version
from samara.providers import azure_jobs, certainty, load, store_at, streams
from samara.providers.azure_jobs import ContainerAppsJobs
from samara.providers.azure_rest import Rest
from samara.settings import Settings
from tests.contract.conftest import READS, WRITES, Verb
from tests.contract.strange import Between, Told, between
from tests.emulators import azurite, gcs, s3

CLOUDS = {
    "aws": (s3.endpoint, s3.fresh_bucket),
    "s3": (s3.endpoint, s3.fresh_bucket),
    "gcp": (gcs.endpoint, gcs.fresh_bucket),
    "azure": (azurite.endpoint, azurite.fresh_container),
}
ON_S3 = ("aws", "s3")
WHOLE = b"one two three " * 1000
NEVER = '"never"', "77"  # versions as S3 and Azure have them, and as Google has them


class Place:
    """A store that is reached `by` something strange, and the same store reached directly."""

    def __init__(self, cloud: str, by: Between, address: str) -> None:
        self.by = by
        self.address = address
        self.truth = store_at(address)
        self.store = load(cloud).object_store(Settings(provider=cloud, store=by.through(address)))
        self.never = Version(NEVER[cloud == "gcp"])

    def told(self, change: Callable[[Told], Told], method: str = "") -> None:
        """All that the emulator answers to that method is changed so."""
        self.by.change = lambda asked, _, ask: change(ask()) if asked == (method or asked) else ask()


@pytest.fixture
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.setattr(certainty, "FIRST_S", 0.001)
    monkeypatch.setattr(certainty, "MOST_S", 0.01)
    endpoint, fresh_bucket = CLOUDS[request.param]
    with between(endpoint()) as by:
        yield Place(request.param, by, fresh_bucket())


every_cloud = pytest.mark.parametrize("place", CLOUDS, indirect=True)
on_s3 = pytest.mark.parametrize("place", ON_S3, indirect=True)


@every_cloud
@pytest.mark.parametrize("size", [1000, streams.CHUNK + 1000], ids=["small", "large"])
def test_an_object_that_broke_off_on_the_way_is_read_again(place: Place, size: int) -> None:
    data = bytes(range(250)) * (size // 250)
    place.truth.create_from("reads/a", io.BytesIO(data))
    breaks = iter([True])
    place.told(lambda told: replace(told, broken=next(breaks, False)), "GET")

    with place.store.open("reads/a") as stream:
        assert stream.read() == data
    breaks = iter([True])
    assert place.store.get("reads/a").data == data


@every_cloud
@pytest.mark.parametrize("verb", ["get", "part"])
def test_what_may_have_broken_off_unnoticed_is_no_object(place: Place, verb: str) -> None:
    place.truth.create("reads/a", WHOLE)
    place.told(lambda told: replace(told.without("content-length"), broken=True), "GET")

    with pytest.raises(Unavailable):
        READS[verb](place.store, "reads/a") if verb == "get" else place.store.part("reads/a", 0, len(WHOLE))


@pytest.mark.parametrize("place", ["aws", "s3", "gcp"], indirect=True)
def test_of_a_server_that_always_sends_all_the_right_part_is_taken(place: Place) -> None:
    place.truth.create("reads/a", WHOLE)

    def ignoring(told: Told) -> Told:
        headers = {**told.without("content-range").headers, "content-length": str(len(WHOLE))}
        return Told(200, headers, WHOLE) if told.status == 206 else told

    place.told(ignoring, "GET")

    assert place.store.part("reads/a", 4, 3).data == b"two"
    assert place.store.part("reads/a", len(WHOLE), 3).data == b""


@every_cloud
def test_of_a_server_that_sends_another_part_none_is_taken(place: Place) -> None:
    place.truth.create("reads/a", WHOLE)

    def shortened(told: Told) -> Told:
        body = told.body[: len(told.body) // 2]
        return replace(told, headers={**told.headers, "content-length": str(len(body))}, body=body)

    place.told(shortened, "GET")

    with pytest.raises(Unavailable):
        place.store.part("reads/a", 4, 30)


@every_cloud
@pytest.mark.parametrize("body", [b"<html>Please log in</html>", b"", b"\xff\xfe\x00<a"])
@pytest.mark.parametrize("verb", [*READS, *WRITES, "list", "create_large"])
def test_what_is_none_of_the_clouds_answers_is_no_success(place: Place, verb: str, body: bytes) -> None:
    portal = Told(200, {"content-type": "text/html", "content-length": str(len(body))}, body)
    place.by.change = lambda _method, _path, _ask: portal
    verbs: dict[str, Verb] = {
        **READS,
        **WRITES,
        "replace": lambda store, key: store.replace(key, b"x", place.never),
        "delete": lambda store, key: store.delete(key, place.never),
        "list": lambda store, key: list(store.list(key)),
        "create_large": lambda store, key: store.create_from(key, io.BytesIO(bytes(streams.CHUNK))),
    }

    with pytest.raises(Unavailable):
        verbs[verb](place.store, "reads/a")


@every_cloud
@pytest.mark.parametrize("status", [301, 304, 307, 400, 404, 408, 410, 416, 429])
@pytest.mark.parametrize("body", [b"", b"<html>no</html>"], ids=["nothing", "a page"])
def test_a_refusal_in_no_words_of_the_clouds_is_an_error_of_ours(
    place: Place, monkeypatch: pytest.MonkeyPatch, status: int, body: bytes
) -> None:
    monkeypatch.setattr("samara.providers.gcp.FIRST_S", 0.001)
    told = Told(status, {"content-type": "text/html", "content-length": str(len(body)), "location": "/there"}, body)
    place.by.change = lambda _method, _path, _ask: told

    verbs: list[Callable[[], object]] = [
        *(partial(read, place.store, "reads/a") for read in READS.values()),
        lambda: list(place.store.list("reads/")),
        lambda: place.store.create("reads/a", b"x"),
        lambda: place.store.replace("reads/a", b"x", place.never),
        lambda: place.store.delete("reads/a", place.never),
        lambda: place.store.create_from("reads/a", io.BytesIO(bytes(streams.CHUNK))),
    ]
    for verb in verbs:
        with pytest.raises(SamaraError) as refusal:
            verb()
        assert "127.0.0.1" not in str(refusal.value), "what went over the wire may be a secret"
        assert len(str(refusal.value)) < 300


@every_cloud
def test_a_write_whose_answer_tells_no_version_is_unknown_or_found(place: Place) -> None:
    place.told(
        lambda told: (
            replace(told.without("etag"), body=b"{}", headers={**told.headers, "content-length": "2"})
            if place.address.startswith("gs")
            else told.without("etag")
        )
    )

    with pytest.raises(Unknown):
        place.store.create("heads/a", b"x")
    place.by.change = lambda _method, _path, ask: ask()
    assert place.store.get("heads/a") == place.truth.get("heads/a")


@every_cloud
def test_a_listing_that_begins_anew_comes_to_an_end(place: Place) -> None:
    for name in "abc":
        place.truth.create(f"reads/{name}", b"x")
    more = {
        "s3": (b"<IsTruncated>false", b"<IsTruncated>true"),
        "gs": (b'{"items"', b'{"nextPageToken": "again", "items"'),
        "az": (b"<NextMarker/>", b"<NextMarker>again</NextMarker>"),
    }[place.address[:2]]

    def endless(_method: str, path: str, ask: Callable[[], Told]) -> Told:
        told = ask()
        if pages:
            return pages[0]
        body = told.body.replace(*more)
        pages.append(replace(told, headers={**told.headers, "content-length": str(len(body))}, body=body))
        return pages[0]

    pages: list[Told] = []
    place.by.change = endless

    with pytest.raises(Unsupported, match="lists reads/a after reads/c"):
        list(place.store.list("reads/"))


@on_s3
def test_an_upload_that_somebody_gave_up_is_no_conflict_when_nothing_is_there(place: Place) -> None:
    client, bucket = s3.client(), place.address[len("s3://") :].partition("?")[0]

    def given_up(method: str, path: str, ask: Callable[[], Told]) -> Told:
        if method == "POST" and "uploadId=" in path:
            for upload in client.list_multipart_uploads(Bucket=bucket).get("Uploads", []):
                client.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
        return ask()

    place.by.change = given_up

    with pytest.raises(Unknown):
        place.store.create_from("blobs/a", io.BytesIO(bytes(streams.CHUNK)))
    with pytest.raises(NotFound):
        place.truth.head("blobs/a")


@on_s3
def test_a_part_behind_what_was_the_end_is_not_taken_for_the_new_end(place: Place) -> None:
    place.truth.create("heads/a", b"short")
    place.told(lambda _: Told(416, {"content-length": "0"}, b""), "GET")

    assert place.store.part("heads/a", 5, 3).data == b""
    with pytest.raises(Unavailable, match="was replaced while it was read"):
        place.store.part("heads/a", 2, 3)


@every_cloud
def test_who_is_refused_after_an_answer_got_lost_does_not_know(place: Place) -> None:
    answers = iter([500])

    def change(_method: str, _path: str, ask: Callable[[], Told]) -> Told:
        ask()
        return Told(next(answers, 403), {"content-length": "0"}, b"")

    place.by.change = change

    with pytest.raises(Unknown, match=r"may or may not have been written; then .* says 403"):
        place.store.create("heads/a", b"x")
    assert place.truth.get("heads/a").data == b"x"


def test_who_asks_of_another_server_is_told_that_it_is_the_wrong_one() -> None:
    with between(s3.endpoint()) as by:
        by.change = lambda _method, _path, _ask: Told(404, {"content-length": "4"}, b"gone")
        for cloud in ON_S3:
            store: ObjectStore = load(cloud).object_store(Settings(provider=cloud, store=by.through(s3.fresh_bucket())))
            with pytest.raises(Misconfigured, match="S3 says 404; nothing of S3's is at that endpoint"):
                store.get("a")


JOB = Job("late-1", "functions.train.job", (), time_limit_s=60)


@contextmanager
def pretending(status: int, body: bytes) -> Iterator[str]:
    """The endpoint of something that answers everything so."""
    with between("http://127.0.0.1:1") as by:
        by.change = lambda _method, _path, _ask: Told(status, {"content-length": str(len(body))}, body)
        yield f"http://127.0.0.1:{by.port}"


def on_azure(endpoint: str) -> JobRunner:
    arm = Rest(endpoint, azure_jobs.VERSION, NoOne(), "https://management.azure.com/.default", "application/json")
    return ContainerAppsJobs(
        arm, azure_jobs.Place("/subscriptions/s/resourceGroups/g", "e", "westeurope", "image"), None, {}
    )


class NoOne:
    def get_token(self, *_: str, **__: Any) -> AccessToken:
        return AccessToken("token", 2_000_000_000)


RUNNERS = {
    "aws": lambda at: load("aws").job_runner(Settings(jobs=f"batch://queue/definition?region=eu-west-1&endpoint={at}")),
    "gcp": lambda at: load("gcp").job_runner(Settings(jobs=f"batch://acme-ml/europe-west4?image=x&endpoint={at}")),
    "azure": on_azure,
}
BUSES = {
    "aws": lambda at: load("aws").bus(Settings(bus=f"events://default?region=eu-west-1&endpoint={at}")),
    "gcp": lambda at: load("gcp").bus(Settings(bus=f"pubsub://acme-ml/wakes?endpoint={at}")),
}


@pytest.fixture
def in_haste(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("certainty", "aws_bus"):
        monkeypatch.setattr(f"samara.providers.{module}.FIRST_S", 0.001)
        monkeypatch.setattr(f"samara.providers.{module}.MOST_S", 0.01)


@pytest.mark.usefixtures("in_haste")
@pytest.mark.parametrize("cloud", RUNNERS)
@pytest.mark.parametrize("status", [200, 302, 408, 429, 503])
def test_a_job_is_not_started_by_what_is_no_batch_service(cloud: str, status: int) -> None:
    with pretending(status, b"<html>Please log in</html>") as at:
        runner = RUNNERS[cloud](at)
        with pytest.raises((Unavailable, Misconfigured)):
            runner.submit(JOB)
        with pytest.raises((Unavailable, Misconfigured)):
            runner.status(JOB.name)


@pytest.mark.usefixtures("in_haste")
@pytest.mark.parametrize("cloud", BUSES)
@pytest.mark.parametrize(
    ("status", "body"), [(200, b"<html></html>"), (200, b"{}"), (200, b""), (302, b""), (429, b"")]
)
def test_a_wake_is_not_taken_by_what_is_no_bus(cloud: str, status: int, body: bytes) -> None:
    with pretending(status, body) as at, pytest.raises((Unavailable, Misconfigured)):
        BUSES[cloud](at).wake([Wake("train", "validations/late/1.json")])
