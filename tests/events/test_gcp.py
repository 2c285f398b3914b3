"""The seam inward on Google's cloud: what its services post, as their documentation shows it, in our words."""

import json
from base64 import urlsafe_b64encode
from datetime import UTC, datetime
from typing import Any

import pytest

from samara.errors import Rejected
from samara.events import Event, GivenUp, HttpRequest, ObjectCreated, Tick, Wake, gcp
from tests.events.samples import golden, raw

NOON = datetime(2013, 2, 14, 12, 0, tzinfo=UTC)
AT = datetime(2020, 1, 17, 18, 56, 20, 533984, tzinfo=UTC)
CREATED = ObjectCreated("landing/late/a b.csv", AT, "1579287380533984")
KNOWN = ("ingest", "train")


def heard(path: str, body: Any = b"", **headers: str) -> Event:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return gcp.event(HttpRequest("POST", path, NOON, headers=named, body=data), KNOWN)


def test_pubsub_pushes_what_the_bucket_notifies_of() -> None:
    assert heard("/_events/objects", raw("gcp/pubsub_push")) == CREATED


def test_eventarc_sends_the_same_in_either_mode() -> None:
    structured = heard(
        "/_events/objects", raw("gcp/cloudevent_structured"), content_type="application/cloudevents+json; charset=utf-8"
    )
    binary = heard(
        "/_events/objects",
        raw("gcp/storage_object"),
        content_type="application/json",
        ce_type="google.cloud.storage.object.v1.finalized",
        ce_time="2020-01-17T18:56:20.533984Z",
        ce_subject="objects/landing/late/a b.csv",
    )

    assert structured == binary == CREATED


def test_a_message_may_come_inside_a_cloudevent() -> None:
    event = heard("/_events/objects", raw("gcp/pubsub_push"), ce_type="google.cloud.pubsub.topic.v1.messagePublished")

    assert event == CREATED


def test_a_wake_is_an_object_that_somebody_should_have_seen() -> None:
    at = datetime(2021, 2, 26, 19, 13, 55, 749000, tzinfo=UTC)

    assert heard("/_events/objects", raw("gcp/pubsub_wake")) == ObjectCreated("validations/late/0a1b.json", at)


def test_a_wake_arrives_as_it_was_published() -> None:
    (message,) = json.loads(gcp.publication([Wake("train", "validations/late/0a1b.json")]))["messages"]

    pushed = {"message": {**message, "messageId": "1", "publishTime": "2013-02-14T12:00:00Z"}}

    assert heard("/_events/objects", pushed) == ObjectCreated("validations/late/0a1b.json", NOON)


def test_a_dead_letter_names_function_and_key() -> None:
    at = datetime(2020, 1, 17, 19, 1, 0, 1000, tzinfo=UTC)

    assert heard("/_events/failed", raw("gcp/pubsub_dead_letter")) == GivenUp(
        "ingest", "landing/late/a b.csv", "Undelivered", "tried 5 times; its log says why", at
    )


def test_a_tick_tells_the_instant_of_its_schedule() -> None:
    assert heard("/_events/tick", x_cloudscheduler_scheduletime="2013-02-14T12:00:00Z") == Tick(NOON)


@pytest.mark.parametrize(
    ("path", "body", "reason"),
    [
        ("/_events/objects", b"", "not JSON"),
        ("/_events/objects", [], "message"),
        ("/_events/objects", {"message": {}}, "publishTime"),
        ("/_events/objects", {"message": {"publishTime": "2020-01-01T00:00:00Z"}}, "eventType"),
        ("/_events/failed", {"message": {"publishTime": "2020-01-01T00:00:00Z"}}, "DeadLetterSource"),
        ("/_events/tick", b"", "x-cloudscheduler-scheduletime"),
        ("/_events/other", b"", "objects, tick and failed"),
    ],
)
def test_what_is_malformed_says_what_is_wrong(path: str, body: Any, reason: str) -> None:
    with pytest.raises(Rejected, match=reason):
        heard(path, body)


def test_an_object_that_went_away_is_no_object_that_appeared() -> None:
    payload = golden("gcp/pubsub_push")
    payload["message"]["attributes"]["eventType"] = "OBJECT_DELETE"

    with pytest.raises(Rejected, match="OBJECT_FINALIZE"):
        heard("/_events/objects", payload)
    with pytest.raises(Rejected, match="finalized"):
        heard("/_events/objects", b"{}", ce_type="google.cloud.storage.object.v1.deleted")


def bearer(claims: Any, signature: str = "SIGNATURE_REMOVED_BY_GOOGLE") -> str:
    return f"Bearer e30.{urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.{signature}"


OURS = {"email": "push@acme.iam.gserviceaccount.com", "email_verified": True}


@pytest.mark.parametrize(
    ("headers", "account"),
    [
        ({"authorization": bearer(OURS)}, OURS["email"]),
        ({"authorization": bearer({**OURS, "email_verified": False})}, ""),
        ({"authorization": bearer({**OURS, "email_verified": "true"})}, ""),
        ({"authorization": bearer([])}, ""),
        ({"authorization": "Bearer a.b"}, ""),
        ({"authorization": "Bearer a.!!.c"}, ""),
        ({"authorization": "Basic eDp5"}, ""),
        ({}, ""),
        ({"authorization": bearer(OURS), "x-serverless-authorization": bearer({})}, ""),
    ],
)
def test_a_caller_is_who_cloud_run_vouches_for(headers: dict[str, str], account: str) -> None:
    assert gcp.caller(HttpRequest("POST", "/_events/tick", NOON, headers=headers)) == account
