"""The emulated Pub/Sub, held to what Google documents: filters, pushes, attempts, dead letters, and a bucket's news."""

import json
import time
from base64 import b64decode, urlsafe_b64decode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.emulators import gcs, google_filters, google_pubsub
from tests.emulators.google_filters import Malformed
from tests.emulators.google_pubsub import Topics
from tests.emulators.google_subscriptions import PubSub, subscription

NEWS, DEAD = "projects/acme/topics/news", "projects/acme/topics/dead"
INGEST = (
    '(attributes.eventType="OBJECT_FINALIZE" AND (hasPrefix(attributes.objectId,"landing/")))'
    ' OR attributes.wake="ingest"'
)


@pytest.mark.parametrize(
    ("attributes", "fits"),
    [
        ({"eventType": "OBJECT_FINALIZE", "objectId": "landing/a"}, True),
        ({"eventType": "OBJECT_FINALIZE", "objectId": "datasets/a"}, False),
        ({"eventType": "OBJECT_DELETE", "objectId": "landing/a"}, False),
        ({"wake": "ingest", "objectId": "datasets/a"}, True),
        ({"wake": "train"}, False),
        ({}, False),
    ],
)
def test_a_filter_lets_through_what_it_says(attributes: dict[str, str], fits: bool) -> None:
    assert google_filters.parsed(INGEST)(attributes) is fits


@pytest.mark.parametrize(
    ("malformed", "why"),
    [
        ("attributes:a AND attributes:b OR attributes:c", "takes parentheses"),
        ('attributes.a != "b"', "not in the grammar"),
        ("attributes.a = b", "no text in quotation marks"),
        ('hasSuffix(attributes.a, "b")', "a term is"),
        ('attributes.a = "b" and attributes:c', "where it should end"),
        ('(attributes.a = "b"', "ends too early"),
        (f'attributes.a = "{"b" * 250}"', "longer than 256 bytes"),
    ],
)
def test_a_filter_that_google_would_refuse_or_we_do_not_know_is_refused(malformed: str, why: str) -> None:
    with pytest.raises(Malformed, match=why):
        google_filters.parsed(malformed)


@contextmanager
def listening(status: Callable[[dict[str, Any]], int]) -> Iterator[tuple[str, list[tuple[str, dict[str, Any]]]]]:
    """An endpoint that answers so, and what it was sent: (authorization, body)."""
    heard: list[tuple[str, dict[str, Any]]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            heard.append((self.headers["authorization"], body))
            self.send_response(status(body))
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/events", heard
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def inputs(name: str, topic: str, **more: Any) -> dict[str, Any]:
    """A subscription as Pulumi is given it."""
    return {"name": name, "project": "acme", "topic": topic, "ackDeadlineSeconds": 60, **more}


def pushing(endpoint: str, **more: Any) -> dict[str, Any]:
    token = {"serviceAccountEmail": "push@acme.iam.gserviceaccount.com", "audience": endpoint}
    dead = {"deadLetterTopic": DEAD, "maxDeliveryAttempts": 5}
    retry = {"minimumBackoff": "0.1s", "maximumBackoff": "0.2s"}
    push = {"pushEndpoint": endpoint, "oidcToken": token}
    return inputs("pushed", NEWS, pushConfig=push, deadLetterPolicy=dead, retryPolicy=retry, **more)


@contextmanager
def subscribed(*wishes: dict[str, Any]) -> Iterator[tuple[Topics, PubSub]]:
    topics = Topics((NEWS, DEAD))
    service = PubSub(topics)
    for wish in wishes:
        service.subscribe(subscription(wish))
    try:
        yield topics, service
    finally:
        service.end()


def publish(topics: Topics, **attributes: str) -> None:
    assert topics.publish(f"/v1/{NEWS}:publish", {"messages": [{"attributes": attributes}]})[0] == 200


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_message_is_pushed_with_a_token_of_the_account_until_it_is_acknowledged() -> None:
    with (
        listening(lambda body: 204 if body["deliveryAttempt"] == 3 else 500) as (endpoint, heard),
        subscribed(pushing(endpoint, filter='attributes.a = "1"')) as (topics, _),
    ):
        publish(topics, a="2")
        publish(topics, a="1")
        until(lambda: len(heard) == 3)

    authorization, body = heard[-1]
    claims = json.loads(urlsafe_b64decode(authorization.split(".")[1] + "=="))
    assert (claims["email"], claims["email_verified"]) == ("push@acme.iam.gserviceaccount.com", True)
    assert [each["deliveryAttempt"] for _, each in heard] == [1, 2, 3]
    assert (body["message"]["attributes"], body["subscription"]) == ({"a": "1"}, "projects/acme/subscriptions/pushed")


def test_after_as_many_attempts_as_the_policy_says_it_is_a_dead_letter() -> None:
    with (
        listening(lambda _: 400) as (endpoint, heard),
        subscribed(pushing(endpoint), inputs("kept", DEAD)) as (topics, service),
    ):
        publish(topics, objectId="landing/a")
        until(lambda: service.subscriptions["kept"].kept)

    (letter,) = service.subscriptions["kept"].kept
    assert len(heard) == 5
    assert letter["attributes"]["objectId"] == "landing/a"
    assert letter["attributes"]["CloudPubSubDeadLetterSourceSubscription"] == "pushed"
    assert letter["attributes"]["CloudPubSubDeadLetterSourceDeliveryCount"] == "5"


@pytest.mark.parametrize(
    "wish",
    [{"enableMessageOrdering": True}, {"ackDeadlineSeconds": 601}, {"pushConfig": {"noWrapper": {}}}],
    ids=str,
)
def test_what_a_subscription_asks_for_and_this_does_not_do_is_refused(wish: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="not as Pub/Sub takes it, or not emulated"):
        subscription({**inputs("odd", NEWS), **wish})


def test_a_bucket_tells_a_topic_of_each_object_that_came_since_it_was_asked_to() -> None:
    topics = Topics((NEWS,))
    with google_pubsub.served(topics) as pubsub:
        server = gcs.endpoint(urlsplit(pubsub).netloc)
        bucket = f"{server}/storage/v1/b/flights"
        uploads = f"{server}/upload/storage/v1/b/flights/o?uploadType=media&name="
        httpx.post(f"{server}/storage/v1/b", json={"name": "flights"}).raise_for_status()
        httpx.post(f"{uploads}before", content=b"x").raise_for_status()
        wish = {"topic": f"//pubsub.googleapis.com/{NEWS}", "payload_format": "JSON_API_V1"}
        told = httpx.post(f"{bucket}/notificationConfigs", json={**wish, "event_types": ["OBJECT_FINALIZE"]}).json()

        stored = [httpx.post(f"{uploads}a%20b", content=b"x").json() for _ in range(2)]
        httpx.post(f"{uploads}a%20b&ifGenerationMatch=0", content=b"y")
        until(lambda: len(topics.messages.get(NEWS, [])) == 2)
        httpx.delete(f"{bucket}/notificationConfigs/{told['id']}").raise_for_status()
        httpx.post(f"{uploads}after", content=b"x").raise_for_status()

    first, second = topics.messages[NEWS]
    assert first["attributes"]["objectId"] == second["attributes"]["objectId"] == "a b"
    assert first["attributes"]["objectGeneration"] == stored[0]["generation"]
    assert second["attributes"]["overwroteGeneration"] == stored[0]["generation"]
    assert json.loads(b64decode(second["data"])) == stored[1]
