"""What Lambda starts: whole invocations, from a payload to objects in a bucket, wakes on the bus, lines in the log."""

import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from samara.core import keys
from samara.providers.addresses import parsed
from tests.emulators import s3
from tests.events.samples import golden
from tests.hosts.lambda_process import Lambda, deployed

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

CSV = b"day,delay\n1,10\n2,20\n"


@pytest.fixture(scope="module")
def address() -> str:
    return s3.fresh_bucket()


@pytest.fixture(scope="module")
def bus() -> str:
    return f"events://default?endpoint={s3.endpoint()}&region={s3.REGION}"


@pytest.fixture(scope="module")
def bucket(address: str) -> "Bucket":
    return Bucket(s3.client(), parsed(address, "region").place)


class Bucket:
    def __init__(self, client: "S3Client", name: str) -> None:
        self.client, self.name = client, name

    def put(self, key: str, data: bytes) -> str:
        return self.client.put_object(Bucket=self.name, Key=key, Body=data)["ETag"].strip('"')

    def keys(self, prefix: str) -> list[str]:
        return [
            found["Key"] for found in self.client.list_objects_v2(Bucket=self.name, Prefix=prefix).get("Contents", ())
        ]

    def get(self, key: str) -> Any:
        return json.loads(self.client.get_object(Bucket=self.name, Key=key)["Body"].read())


@pytest.fixture(scope="module")
def ingest(address: str) -> Iterator[Lambda]:
    with deployed("ingest", store=address) as running:
        yield running


def created(key: str, etag: str) -> Any:
    payload = golden("aws/eventbridge_object_created")
    payload["detail"]["object"].update(key=key, etag=etag)
    return payload


def uploaded(bucket: Bucket, dataset: str, data: bytes = CSV) -> Any:
    key = f"landing/{dataset}/a+b c.csv"
    return created(key, bucket.put(key, data))


def test_an_upload_becomes_a_batch(ingest: Lambda, bucket: Bucket) -> None:
    invocation = ingest(uploaded(bucket, "late"))

    assert (invocation.result, invocation.error) == (None, "")
    assert len(bucket.keys("datasets/late/")) == 1


def test_told_twice_it_is_one_batch(ingest: Lambda, bucket: Bucket) -> None:
    event = uploaded(bucket, "twice")

    assert [ingest(event).error, ingest(event).error] == ["", ""]
    assert len(bucket.keys("datasets/twice/")) == 1


def test_a_line_says_what_came_of_an_event_with_what_lambda_knows_of_it(ingest: Lambda, bucket: Bucket) -> None:
    event = uploaded(bucket, "logged")

    line, metric = ingest(event).logged

    etag = event["detail"]["object"]["etag"]
    said = line["message"]
    assert (said["function"], said["outcome"], said["event"]) == ("ingest", "ok", f"landing/logged/a+b c.csv@{etag}")
    assert line["function_name"] == "samara-dev-ingest"
    assert line["function_request_id"].startswith("request-")
    assert metric["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "Samara"
    assert (metric["service"], metric["outcome"], metric["Events"]) == ("ingest", "ok", [1.0])


def test_what_is_malformed_fails_by_its_reason(ingest: Lambda) -> None:
    invocation = ingest({"source": "aws.s3", "detail-type": "Object Created", "time": "noon", "detail": {}})

    assert (invocation.error, invocation.why) == (
        "Rejected",
        "Object Created: time: " + invocation.why.split(": ", 2)[2],
    )
    assert invocation.logged[0]["message"]["outcome"] == "dead"


def test_a_queue_is_told_which_messages_failed_and_has_the_others_done(ingest: Lambda, bucket: Bucket) -> None:
    payload = golden("aws/sqs_batch")
    payload["Records"][0]["body"] = json.dumps(uploaded(bucket, "queued"))
    payload["Records"][1]["body"] = json.dumps({"Records": "none"})

    invocation = ingest(payload)

    assert [one["itemIdentifier"][:8] for one in invocation.result["batchItemFailures"]] == ["2e1424d4", "3f2c0000"]
    assert len(bucket.keys("datasets/queued/")) == 1


def test_of_several_records_all_are_tried_before_the_invocation_fails(ingest: Lambda, bucket: Bucket) -> None:
    payload = golden("aws/s3_notification")
    del payload["Records"][0]["s3"]
    payload["Records"][1]["s3"]["object"].update(
        key="landing/several/a.csv", eTag=bucket.put("landing/several/a.csv", CSV)
    )

    invocation = ingest(payload)

    assert invocation.error == "Rejected"
    assert len(bucket.keys("datasets/several/")) == 1


def test_what_cannot_be_reached_fails_the_invocation_so_that_lambda_tries_again() -> None:
    with deployed("ingest", store=f"s3://flights?endpoint=http://127.0.0.1:1&region={s3.REGION}") as cut_off:
        invocation = cut_off(golden("aws/eventbridge_object_created"))

    said = invocation.logged[0]["message"]
    assert (invocation.error, said["outcome"], said["error"]) == ("Unavailable", "retry", "Unavailable")


@pytest.fixture
def woken() -> Callable[[], list[dict[str, str]]]:
    """What comes over the bus as a wake, from now on."""
    name = f"samara-{uuid4().hex[:12]}"
    events = s3.session().client("events", endpoint_url=s3.endpoint())
    sqs = s3.session().client("sqs", endpoint_url=s3.endpoint())
    queue = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    events.put_rule(Name=name, EventPattern=json.dumps({"source": ["samara"]}))
    events.put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": arn}])

    def details() -> list[dict[str, str]]:
        messages = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", ())
        return [json.loads(message["Body"])["detail"] for message in messages]

    return details


def test_what_nobody_told_of_reconcile_wakes_over_the_bus(bus: str, woken: Callable[[], list[dict[str, str]]]) -> None:
    address = s3.fresh_bucket()
    bucket = Bucket(s3.client(), parsed(address, "region").place)
    bucket.put("landing/lost/a.csv", CSV)

    with deployed("reconcile", store=address, bus=bus) as reconcile:
        invocation = reconcile(golden("aws/tick"))

    assert invocation.error == ""
    assert woken() == [{"function": "ingest", "key": "landing/lost/a.csv"}]


def test_a_tick_that_went_well_feeds_no_metric_for_its_series_would_be_billed_all_month(bus: str) -> None:
    with deployed("reconcile", store=s3.fresh_bucket(), bus=bus) as reconcile:
        invocation = reconcile(golden("aws/tick"))

    (line,) = invocation.logged
    assert line["message"]["outcome"] == "ok"


def test_without_a_bus_reconcile_says_what_is_missing() -> None:
    address = s3.fresh_bucket()
    Bucket(s3.client(), parsed(address, "region").place).put("landing/lost/a.csv", CSV)

    with deployed("reconcile", store=address) as reconcile:
        invocation = reconcile(golden("aws/tick"))

    assert (invocation.error, invocation.why.split(":")[0]) == ("Misconfigured", "SAMARA_BUS")


@pytest.fixture(scope="module")
def deadletter(address: str) -> Iterator[Lambda]:
    with deployed("deadletter", store=address) as running:
        yield running


def test_what_lambda_gave_up_is_told_to_people(deadletter: Lambda, bucket: Bucket) -> None:
    assert deadletter(golden("aws/lambda_failure")).error == ""

    (alert,) = [bucket.get(key) for key in bucket.keys(keys.ALERTS)]
    assert "ingest" in json.dumps(alert)
    assert "a+b c%20d.csv" in json.dumps(alert)


def test_whoever_tells_people_is_not_woken_by_its_own_failure(deadletter: Lambda, bucket: Bucket) -> None:
    payload = golden("aws/lambda_failure")
    payload["detail"]["requestContext"]["functionArn"] = "arn:aws:lambda:us-east-1:1:function:samara-dev-deadletter"
    before = bucket.keys(keys.ALERTS)

    invocation = deadletter(payload)

    assert invocation.error == ""
    assert invocation.logged[0]["message"]["outcome"] == "dead"
    assert bucket.keys(keys.ALERTS) == before


@pytest.fixture(scope="module")
def dashboard(address: str) -> Iterator[Lambda]:
    with deployed("dashboard", store=address) as running:
        yield running


def asked(method: str, path: str, **changes: Any) -> Any:
    payload = golden("aws/function_url")
    payload["requestContext"]["http"]["method"] = method
    return {**payload, "rawPath": path, "rawQueryString": "", "body": None, "isBase64Encoded": False, **changes}


def test_a_page_is_answered_as_text_with_what_keeps_browsers_in_check(dashboard: Lambda) -> None:
    reply = dashboard(asked("GET", "/")).result

    assert (reply["statusCode"], reply["isBase64Encoded"]) == (200, False)
    assert reply["body"].startswith("<!doctype html>")
    assert "default-src 'none'" in reply["headers"]["content-security-policy"]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v2/models", 404, "unknown_path"),
        ("POST", "/", 405, "bad_method"),
        ("GET", "/a/../b", 400, "bad_path"),
        ("OPTIONS", "/", 204, ""),
    ],
)
def test_what_is_not_its_own_is_refused_in_the_one_shape(
    dashboard: Lambda, method: str, path: str, status: int, code: str
) -> None:
    reply = dashboard(asked(method, path)).result

    assert reply["statusCode"] == status
    if code:
        assert json.loads(reply["body"])["code"] == code


def test_head_is_get_without_the_body(dashboard: Lambda) -> None:
    reply = dashboard(asked("HEAD", "/")).result

    assert (reply["statusCode"], reply["body"]) == (200, "")


def test_an_event_that_is_not_its_own_is_refused(dashboard: Lambda) -> None:
    invocation = dashboard(golden("aws/tick"))

    assert (invocation.error, invocation.why) == ("Misconfigured", "dashboard: is not woken by Tick")


def test_a_process_that_was_told_to_be_nothing_says_so(address: str) -> None:
    with deployed("", store=address) as nobody:
        assert nobody(golden("aws/tick")).why.startswith("SAMARA_FUNCTION: missing")
    with deployed("nobody", store=address) as nobody:
        assert nobody(golden("aws/tick")).why.startswith("nobody: no such function")
