"""What Google's functions framework starts: its real server, asked over HTTP as Pub/Sub, Scheduler and people ask."""

import json
import os
import socket
import subprocess
import sys
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from samara import providers
from samara.core import keys
from samara.events import HttpRequest
from samara.hosts.gcp import identified
from samara.hosts.process import start
from samara.ports import ObjectStore
from samara.settings import Settings
from tests.emulators import gcs, google_pubsub, processes
from tests.emulators.google_pubsub import Topics
from tests.events.samples import golden, raw

CSV = b"day,delay\n1,10\n2,20\n"
PUSH = "push@acme.iam.gserviceaccount.com"
TOPIC = "projects/acme/topics/samara-dev"
NOON = datetime(2013, 2, 14, 12, 0, tzinfo=UTC)
MAIN = "from samara.hosts.gcp import function\n"


@dataclass
class Server:
    client: httpx.Client
    log: Path

    def lines(self) -> list[dict[str, Any]]:
        """What the function logged: the lines that are JSON."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    def post(self, event: str, body: bytes = b"", account: str = PUSH, **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.post(
            f"/_events/{event}", content=body, headers={"authorization": verified(account), **named}
        )


def verified(account: str) -> str:
    """A token as Cloud Run passes it on."""
    claims = urlsafe_b64encode(json.dumps({"email": account, "email_verified": True}).encode()).decode().rstrip("=")
    return f"Bearer e30.{claims}.SIGNATURE_REMOVED_BY_GOOGLE"


@contextmanager
def deployed(folder: Path, function: str, **settings: str) -> Iterator[Server]:
    """That function behind the framework's own server, as buildpacks start it."""
    (folder / "main.py").write_text(MAIN)
    given = {f"SAMARA_{name.upper()}": value for name, value in settings.items()}
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "SAMARA_PROVIDER": "gcp", **given}
    environment.update(SAMARA_FUNCTION=function, SAMARA_CALLER=PUSH, GOOGLE_CLOUD_PROJECT="acme")
    port = processes.free_port()
    command = [sys.executable, "-m", "functions_framework", "--target", "function", "--source", str(folder / "main.py")]
    log = folder / "log"
    with (
        log.open("w") as output,
        subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)], env=environment, stdout=output, stderr=output
        ) as process,
    ):
        try:
            started(process, port, log)
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
                yield Server(client, log)
        finally:
            process.terminate()


def started(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    deadline = time.monotonic() + 60
    while not processes.listening(port):
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)


@pytest.fixture(scope="module")
def address() -> str:
    return gcs.fresh_bucket()


@pytest.fixture(scope="module")
def store(address: str) -> ObjectStore:
    return providers.store_at(address)


@pytest.fixture(scope="module")
def ingest(address: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with deployed(tmp_path_factory.mktemp("ingest"), "ingest", store=address) as running:
        yield running


def pushed(store: ObjectStore, key: str) -> bytes:
    version = store.create(key, CSV)
    payload = golden("gcp/pubsub_push")
    payload["message"]["attributes"].update(objectId=key, objectGeneration=str(version))
    return json.dumps(payload).encode()


def test_an_upload_becomes_a_batch_and_its_message_is_acknowledged(ingest: Server, store: ObjectStore) -> None:
    event = pushed(store, "landing/late/a b.csv")

    assert [ingest.post("objects", event).status_code, ingest.post("objects", event).status_code] == [204, 204]
    assert len(list(store.list("datasets/late/"))) == 1


def test_a_line_says_what_came_of_an_event_as_cloud_logging_reads_it(ingest: Server, store: ObjectStore) -> None:
    ingest.post("objects", pushed(store, "landing/logged/a.csv"))

    said = next(line for line in ingest.lines() if line.get("key") == "landing/logged/a.csv")

    assert (said["severity"], said["function"], said["outcome"]) == ("INFO", "ingest", "ok")
    assert said["event"].startswith("landing/logged/a.csv@")


@pytest.mark.parametrize(
    ("event", "body", "status", "code"),
    [
        ("objects", b"no JSON", 400, "bad_json"),
        ("objects", b"{}", 400, "bad_event"),
        ("tick", b"", 400, "bad_event"),
        ("nothing", b"", 404, "unknown_path"),
    ],
)
def test_a_malformed_event_is_not_acknowledged_and_told_why(
    ingest: Server, event: str, body: bytes, status: int, code: str
) -> None:
    reply = ingest.post(event, body)

    assert (reply.status_code, reply.json()["code"]) == (status, code)


def test_only_the_deployments_own_account_posts_events(ingest: Server, store: ObjectStore) -> None:
    event = pushed(store, "landing/forged/a.csv")

    replies = [
        ingest.post("objects", event, account="somebody@acme.iam.gserviceaccount.com"),
        ingest.post("objects", event, x_serverless_authorization="Bearer a.b.c"),
        ingest.client.post("/_events/objects", content=event),
    ]

    assert [(reply.status_code, reply.json()["code"]) for reply in replies] == [(403, "not_ours")] * 3
    assert list(store.list("datasets/forged/")) == []


@pytest.mark.parametrize(("private", "who"), [("1", "ann@example.com"), ("", "")])
def test_who_asks_is_believed_only_where_cloud_run_lets_in_nobody_unknown(private: str, who: str) -> None:
    process = start(Settings(function="predict", provider="memory", private=private))
    request = HttpRequest("GET", "/v2", NOON, headers={"authorization": verified("ann@example.com")})

    assert identified(process, request).caller == who, "a service open to all gets tokens that nobody looked at"


def test_an_event_that_is_not_its_own_fails(ingest: Server) -> None:
    reply = ingest.post("tick", x_cloudscheduler_scheduletime="2013-02-14T12:00:00Z")

    assert (reply.status_code, reply.json()["code"]) == (500, "misconfigured")


def test_what_nobody_told_of_reconcile_wakes_over_the_topic(tmp_path: Path) -> None:
    address = gcs.fresh_bucket()
    providers.store_at(address).create("landing/lost/a.csv", CSV)
    topics = Topics((TOPIC,))

    with google_pubsub.served(topics) as url:
        bus = f"pubsub://acme/samara-dev?endpoint={url}"
        with deployed(tmp_path, "reconcile", store=address, bus=bus) as reconcile:
            reply = reconcile.post("tick", x_cloudscheduler_scheduletime="2013-02-14T12:00:00Z")

    assert reply.status_code == 204
    (message,) = topics.messages[TOPIC]
    assert message["attributes"] == {"wake": "ingest", "objectId": "landing/lost/a.csv"}


def test_what_cannot_be_reached_is_delivered_again(tmp_path: Path) -> None:
    with deployed(tmp_path, "ingest", store="gs://flights?endpoint=http://127.0.0.1:1") as cut_off:
        reply = cut_off.post("objects", raw("gcp/pubsub_push"))

        assert (reply.status_code, reply.json()["code"]) == (503, "unavailable")
        assert "127.0.0.1" not in reply.text, "that is for the log"


def test_a_dead_letter_is_told_to_people(address: str, store: ObjectStore, tmp_path: Path) -> None:
    with deployed(tmp_path, "deadletter", store=address) as deadletter:
        assert deadletter.post("failed", raw("gcp/pubsub_dead_letter")).status_code == 204

    (alert,) = [store.get(key).data for key in store.list(keys.ALERTS)]
    assert b"ingest" in alert
    assert b"landing/late/a b.csv" in alert


@pytest.fixture(scope="module")
def dashboard(address: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with deployed(tmp_path_factory.mktemp("dashboard"), "dashboard", store=address) as running:
        yield running


def test_a_page_is_answered_with_what_keeps_browsers_in_check(dashboard: Server) -> None:
    reply = dashboard.client.get("/", headers={"traceparent": f"00-{'4bf9' * 8}-00f067aa0ba902b7-01"})

    assert reply.status_code == 200
    assert reply.text.startswith("<!doctype html>")
    assert "default-src 'none'" in reply.headers["content-security-policy"]
    traced = [line for line in dashboard.lines() if "logging.googleapis.com/trace" in line]
    assert traced[0]["logging.googleapis.com/trace"] == f"projects/acme/traces/{'4bf9' * 8}"


def test_head_is_get_without_the_body(dashboard: Server) -> None:
    reply = dashboard.client.head("/")

    assert (reply.status_code, reply.content) == (200, b"")
    assert int(reply.headers["content-length"]) > 0


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v2/models", 404, "unknown_path"),
        ("POST", "/", 405, "bad_method"),
        ("GET", "/a%2fb", 400, "bad_path"),
        ("GET", "/a%252fb", 400, "bad_path"),
        ("GET", "/" + "a" * 3000, 414, "long_path"),
    ],
)
def test_what_is_not_its_own_is_refused_in_the_one_shape(
    dashboard: Server, method: str, path: str, status: int, code: str
) -> None:
    reply = dashboard.client.request(method, path)

    assert (reply.status_code, reply.json()["code"]) == (status, code)


def test_a_body_that_is_too_large_is_refused_however_it_comes(dashboard: Server) -> None:
    large = b"x" * ((6 << 20) + 1)

    known = dashboard.client.post("/", content=large)
    chunked = dashboard.client.post("/", content=iter([large]))

    assert [known.status_code, chunked.status_code] == [413, 413]
    assert known.json()["code"] == "too_large"


def test_a_path_is_read_as_it_was_sent(dashboard: Server) -> None:
    with socket.create_connection((dashboard.client.base_url.host, dashboard.client.base_url.port or 0)) as raw_socket:
        raw_socket.sendall(b"GET /models/../secret HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: raw_socket.recv(65536), b""))

    assert b" 400 " in answer.splitlines()[0]
    assert b'"code":"bad_path"' in answer
