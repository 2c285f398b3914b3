"""What wakes deployed functions, and where goes what they could not do."""

import json
from typing import Any
from urllib.error import HTTPError
from uuid import uuid4

import pytest

from tests.emulators import localstack
from tests.localstack.conftest import Deployed, logged

TELLS = "import json\ndef handler(event, context): print('woken', json.dumps(event, ensure_ascii=False))"
FAILS = "def handler(event, context): raise ValueError('not today')"
BUS = f"arn:aws:events:{localstack.REGION}:{localstack.ACCOUNT}:event-bus/default"


def rule(pattern: dict[str, Any], *targets: str) -> None:
    events, name = localstack.client("events"), f"rule-{uuid4().hex[:8]}"
    events.put_rule(Name=name, EventPattern=json.dumps(pattern))
    added = events.put_targets(Rule=name, Targets=[{"Id": str(n), "Arn": arn} for n, arn in enumerate(targets)])
    assert added["FailedEntryCount"] == 0


def woken(arn: str) -> Any:
    return json.loads(logged(arn, containing="woken").removeprefix("woken "))


def test_an_object_wakes_whose_rule_names_its_prefix_by_its_plain_key(deployed: Deployed) -> None:
    arn, bucket, s3 = deployed(TELLS), f"bucket-{uuid4().hex[:8]}", localstack.client("s3")
    s3.create_bucket(Bucket=bucket)
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={"EventBridgeConfiguration": {}})
    objects = {"bucket": {"name": [bucket]}, "object": {"key": [{"prefix": "landing/"}]}}
    wakes = {"source": ["samara"], "detail": {"function": ["ingest"]}}
    rule({"$or": [{"source": ["aws.s3"], "detail-type": ["Object Created"], "detail": objects}, wakes]}, arn)

    s3.put_object(Bucket=bucket, Key="elsewhere/a.csv", Body=b"")
    s3.put_object(Bucket=bucket, Key="landing/Zürich + Genève.csv", Body=b"")

    assert woken(arn)["detail"]["object"]["key"] == "landing/Zürich + Genève.csv"


def test_an_event_of_our_own_wakes_it(deployed: Deployed) -> None:
    arn, name = deployed(TELLS), uuid4().hex
    rule({"source": ["samara"], "detail-type": ["Wake"], "detail": {"function": [name]}}, arn)

    detail = json.dumps({"function": name, "key": "datasets/a.json"})
    localstack.client("events").put_events(Entries=[{"Source": "samara", "DetailType": "Wake", "Detail": detail}])

    assert woken(arn)["detail"]["key"] == "datasets/a.json"


def test_what_it_could_not_do_is_tried_thrice_and_then_told_and_kept(deployed: Deployed) -> None:
    failing, told = deployed(FAILS), deployed(TELLS)
    functions, queues = localstack.client("lambda"), localstack.client("sqs")
    kept = queues.create_queue(QueueName=f"kept-{uuid4().hex[:8]}")["QueueUrl"]
    address = queues.get_queue_attributes(QueueUrl=kept, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    rule({"source": ["lambda"], "resources": [failing]}, address, told)
    functions.put_function_event_invoke_config(
        FunctionName=failing, MaximumRetryAttempts=2, DestinationConfig={"OnFailure": {"Destination": BUS}}
    )

    functions.invoke(FunctionName=failing, InvocationType="Event", Payload=b'"work"')

    event = woken(told)
    assert event["detail-type"] == "Lambda Function Invocation Result - Failure"
    assert event["detail"]["requestContext"]["approximateInvokeCount"] == 3
    assert (event["detail"]["requestPayload"], event["detail"]["responsePayload"]["errorMessage"]) == (
        "work",
        "not today",
    )
    message = queues.receive_message(QueueUrl=kept, WaitTimeSeconds=20)["Messages"][0]["Body"]
    assert json.loads(message) == event


def scheduled(arn: str, role: str, state: str = "ENABLED") -> str:
    given = {"Arn": arn, "RoleArn": role, "Input": '{"samara":"tick","at":"<aws.scheduler.scheduled-time>"}'}
    made: str = localstack.client("scheduler").create_schedule(
        Name=f"schedule-{uuid4().hex[:8]}",
        ScheduleExpression="rate(1 hours)",
        FlexibleTimeWindow={"Mode": "OFF"},
        State=state,
        Target=given,
    )["ScheduleArn"]
    return made


def test_a_schedule_fires_when_asked_with_what_was_deployed(deployed: Deployed, role: str) -> None:
    arn = deployed(TELLS)
    schedule = scheduled(arn, role)

    told = localstack.fire(schedule, at="2026-03-29T01:00:00Z")

    assert told["target"] == arn
    assert woken(arn) == {"samara": "tick", "at": "2026-03-29T01:00:00Z"}


def test_a_scheduled_rule_fires_when_asked(deployed: Deployed) -> None:
    arn, events = deployed(TELLS), localstack.client("events")
    made = events.put_rule(Name=f"rule-{uuid4().hex[:8]}", ScheduleExpression="cron(0 0 1 1 ? 2099)")["RuleArn"]
    events.put_targets(Rule=made.rpartition("/")[2], Targets=[{"Id": "0", "Arn": arn, "Input": '{"samara":"tick"}'}])

    localstack.fire(made)

    assert woken(arn) == {"samara": "tick"}


def test_one_that_is_disabled_or_is_not_there_does_not_fire(deployed: Deployed, role: str) -> None:
    disabled = scheduled(deployed(TELLS), role, state="DISABLED")

    for arn, status in ((disabled, 409), (f"{disabled}-not", 404), ("arn:aws:s3:::bucket", 404)):
        with pytest.raises(HTTPError) as refused:
            localstack.fire(arn)
        assert refused.value.code == status
        refused.value.close()
