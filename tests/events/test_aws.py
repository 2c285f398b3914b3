"""The seam inward on Amazon: what Lambda hands over, as its documentation shows it, in our words."""

from base64 import b64decode
from datetime import UTC, datetime
from typing import Any

import pytest

from samara.errors import Rejected
from samara.events import GivenUp, HttpResponse, ObjectCreated, Tick, aws
from tests.events.samples import golden

KNOWN = ("ingest", "train", "deadletter")
NOON = datetime(2013, 2, 14, 12, 0, tzinfo=UTC)
MIDNIGHT = datetime(2021, 11, 12, tzinfo=UTC)
ETAG = "b1946ac92492d2347c6235b4d2611184"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
RAW = "landing/late/a+b c%20d.csv"


def events(payload: Any) -> list[Any]:
    return [one.event for one in aws.told(payload, KNOWN)]


def why(payload: Any) -> str:
    (refused,) = events(payload)
    assert isinstance(refused, Rejected)
    assert refused.code == "bad_event"
    return str(refused)


def test_eventbridge_tells_a_key_as_it_is() -> None:
    assert events(golden("aws/eventbridge_object_created")) == [ObjectCreated(RAW, MIDNIGHT, ETAG)]


def test_s3_form_encodes_its_keys() -> None:
    token = "d41d8cd98f00b204e9800998ecf8427e"  # noqa: S105  # an ETag

    assert events(golden("aws/s3_notification")) == [
        ObjectCreated(RAW, EPOCH, token),
        ObjectCreated("landing/late/café.csv", EPOCH, token),
    ]


def test_one_write_is_one_event_whichever_way_it_is_told() -> None:
    payload = golden("aws/s3_notification")
    payload["Records"] = payload["Records"][:1]
    payload["Records"][0]["s3"]["object"]["eTag"] = ETAG

    (noted,), (bridged,) = events(payload), events(golden("aws/eventbridge_object_created"))

    assert noted.id == bridged.id == f"{RAW}@{ETAG}"


def test_the_first_word_of_a_notification_asks_for_nothing() -> None:
    assert events(golden("aws/s3_test_event")) == []


def test_a_queue_may_hold_either_and_tells_which_message_is_neither() -> None:
    told = aws.told(golden("aws/sqs_batch"), KNOWN)

    assert [one.event.key if isinstance(one.event, ObjectCreated) else one.event for one in told[:2]] == [
        RAW,
        "landing/late/monday.csv",
    ]
    assert isinstance(told[2].event, Rejected)
    assert [one.message[:8] for one in told] == ["059f36b4", "2e1424d4", "3f2c0000"]
    assert aws.batch(golden("aws/sqs_batch"))
    assert not aws.batch(golden("aws/s3_notification"))


def test_what_eventbridge_could_not_deliver_names_function_and_key() -> None:
    assert events(golden("aws/sqs_eventbridge_dead_letter")) == [
        GivenUp("ingest", RAW, "NO_PERMISSIONS", "EventBridge lacks permission to invoke the function.", MIDNIGHT)
    ]


def test_what_lambda_gave_up_names_function_key_and_error() -> None:
    at = datetime(2019, 11, 14, 18, 16, 5, tzinfo=UTC)

    assert events(golden("aws/lambda_failure")) == [
        GivenUp("ingest", RAW, "Unavailable", f"{RAW}: not reachable just now", at)
    ]


def test_what_never_answered_was_given_up_too() -> None:
    payload = golden("aws/lambda_failure")
    payload["detail"]["responsePayload"] = None
    payload["detail"]["requestPayload"] = golden("aws/tick")

    (given_up,) = events(payload)

    assert (given_up.subject, given_up.what, given_up.why) == (
        "",
        "RetriesExhausted",
        "RetriesExhausted after 3 tries",
    )


@pytest.mark.parametrize(
    ("arn", "name"),
    [
        ("arn:aws:lambda:us-east-2:1:function:samara-dev-ingest", "ingest"),
        ("arn:aws:lambda:us-east-2:1:function:samara-dev-ingest:$LATEST", "ingest"),
        ("arn:aws:lambda:us-east-2:1:function:train-dev-ingest-0a1b2c3:live", "ingest"),
        ("arn:aws:lambda:us-east-2:1:function:somebody-else", "somebody-else"),
    ],
)
def test_a_deployed_function_is_called_by_its_name_in_the_catalogue(arn: str, name: str) -> None:
    payload = golden("aws/lambda_failure")
    payload["detail"]["requestContext"]["functionArn"] = arn

    assert events(payload)[0].function == name


def test_a_wake_is_an_object_that_somebody_should_have_seen() -> None:
    at = datetime(2015, 11, 11, 21, 29, 54, tzinfo=UTC)

    assert events(golden("aws/wake")) == [ObjectCreated("validations/late/0a1b.json", at)]


def test_a_tick_tells_the_instant_of_its_schedule() -> None:
    assert events(golden("aws/tick")) == [Tick(datetime(2022, 3, 22, 18, 59, 43, tzinfo=UTC))]


def test_a_request_of_a_function_url_is_a_request() -> None:
    payload = golden("aws/function_url")

    assert aws.is_request(payload)
    request = aws.request(payload, NOON)

    assert (request.method, request.path, request.at) == ("POST", "/v2/models/café/infer", NOON)
    assert request.query == {"parameter1": "value2", "parameter2": "value"}
    assert request.headers["header2"] == "value1,value2"
    assert request.body == b"Hello from client!\x00"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"rawPath": "/a/../b"}, "bad_path"),
        ({"rawPath": "/a%2fb"}, "bad_path"),
        ({"rawPath": "/" + "a" * 3000}, "long_path"),
        ({"rawQueryString": "a=%ff"}, "bad_query"),
        ({"headers": {"x": "a\nb"}}, "bad_headers"),
        ({"headers": {"x": "a" * 20_000}}, "long_headers"),
        ({"body": "no base64!"}, "bad_event"),
        ({"body": "A" * (9 << 20)}, "too_large"),
        ({"rawPath": None}, "bad_event"),
    ],
)
def test_a_request_is_read_as_strictly_as_on_a_laptop(change: dict[str, Any], code: str) -> None:
    with pytest.raises(Rejected) as raised:
        aws.request({**golden("aws/function_url"), **change}, NOON)

    assert raised.value.code == code


def test_text_is_answered_as_text_and_all_else_as_base64() -> None:
    text = aws.reply(HttpResponse(200, "é".encode(), {"content-type": "application/json"}))
    tensor = aws.reply(HttpResponse(200, b"\x00\xff", {"content-type": "application/octet-stream"}))
    head = aws.reply(HttpResponse(200, b"<p>", {"content-type": "text/html"}), without_body=True)

    assert (text["statusCode"], text["body"], text["isBase64Encoded"]) == (200, "é", False)
    assert (b64decode(tensor["body"]), tensor["isBase64Encoded"]) == (b"\x00\xff", True)
    assert head["body"] == ""


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ({}, "none of EventBridge, S3 or its own"),
        ([], "none of EventBridge, S3 or its own"),
        ({"source": "aws.s3", "detail-type": "Object Deleted"}, "none of EventBridge"),
        ({"source": "aws.s3", "detail-type": "Object Created", "time": "2020-01-01T00:00:00Z"}, "detail"),
        ({"source": "samara", "detail-type": "Wake", "detail": {"key": "x"}}, "time"),
        ({"samara": "tick", "at": "noon"}, "at"),
        ({"samara": "tick", "at": "2020-01-01T00:00:00"}, "at"),
        ({"Records": [{"eventSource": "aws:sns"}]}, "eventSource"),
    ],
)
def test_what_is_malformed_says_what_is_wrong(payload: Any, reason: str) -> None:
    assert reason in why(payload)


def test_an_object_that_went_away_is_no_object_that_appeared() -> None:
    payload = golden("aws/s3_notification")
    payload["Records"] = payload["Records"][:1]
    payload["Records"][0]["eventName"] = "ObjectRemoved:Delete"

    assert "s3:ObjectCreated:*" in why(payload)


def test_of_a_batch_only_what_is_malformed_is_refused() -> None:
    payload = golden("aws/s3_notification")
    del payload["Records"][0]["s3"]["object"]["key"]

    first, second = events(payload)

    assert isinstance(first, Rejected)
    assert second.key == "landing/late/café.csv"
