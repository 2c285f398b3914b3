"""The way back: wakes over each provider's own bus, asked of its emulator."""

import json
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
from botocore.stub import Stubber

from samara import providers
from samara.errors import Misconfigured, SamaraError, Unavailable, Unsupported
from samara.events import ObjectCreated, Wake, aws, azure
from samara.providers import Bus
from samara.providers.aws import EventBridge
from samara.providers.azure import DEVELOPMENT
from samara.settings import Settings
from tests.conftest import NOON
from tests.emulators import azurite_queues, google_pubsub, s3
from tests.emulators.google_pubsub import Topics

WAKES = [Wake("train", f"validations/late/{number:04d} é.json") for number in range(25)]
NOBODY = "http://127.0.0.1:1"
ENTRY = {"EventBusName": "default", "Source": "samara", "DetailType": "Wake"}
TOPIC = "projects/acme/topics/samara-dev"


def bus(provider: str, address: str) -> Bus:
    return providers.load(provider).bus(Settings(provider=provider, bus=address))


@pytest.fixture
def heard() -> Callable[[], list[str]]:
    """The keys that a rule for `train` brings, and for nobody else."""
    name = f"samara-{uuid4().hex[:12]}"
    events = s3.session().client("events", endpoint_url=s3.endpoint())
    sqs = s3.session().client("sqs", endpoint_url=s3.endpoint())
    queue = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    pattern = {"source": ["samara"], "detail-type": ["Wake"], "detail": {"function": ["train"]}}
    events.put_rule(Name=name, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": arn}])

    def keys() -> list[str]:
        found = []
        while batch := sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages"):
            for message in batch:
                (told,) = aws.told(json.loads(message["Body"]), ["train"])
                assert isinstance(told.event, ObjectCreated)
                found.append(told.event.key)
                sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        return found

    return keys


def test_eventbridge_brings_each_wake_to_the_function_it_is_for(heard: Callable[[], list[str]]) -> None:
    bus("aws", f"events://default?endpoint={s3.endpoint()}&region={s3.REGION}").wake(
        [*WAKES, Wake("ingest", "landing/late/x.csv")]
    )

    assert sorted(heard()) == [wake.key for wake in WAKES]


def taken(*codes: str) -> dict[str, Any]:
    """EventBridge's answer to as many entries: each was taken, or refused by that code."""
    entries = [{"ErrorCode": code, "ErrorMessage": "no"} if code else {"EventId": "1"} for code in codes]
    return {"FailedEntryCount": len([code for code in codes if code]), "Entries": entries}


def test_of_a_batch_only_what_eventbridge_refused_is_sent_again() -> None:
    events = s3.session().client("events", endpoint_url=NOBODY)
    first, second, third = [{**ENTRY, "Detail": aws.wake(wake.function, wake.key)} for wake in WAKES[:3]]

    with Stubber(events) as told:
        told.add_response(
            "put_events", taken("", "ThrottlingException", "InternalFailure"), {"Entries": [first, second, third]}
        )
        told.add_response("put_events", taken("InternalFailure", ""), {"Entries": [second, third]})
        told.add_response("put_events", taken(""), {"Entries": [second]})
        EventBridge(events, "default").wake(WAKES[:3])
        told.assert_no_pending_responses()


def test_what_eventbridge_never_takes_is_said() -> None:
    events = s3.session().client("events", endpoint_url=NOBODY)

    with Stubber(events) as told:
        for _ in range(6):
            told.add_response("put_events", taken("ThrottlingException"))
        with pytest.raises(Unavailable, match="1 wakes were not taken: ThrottlingException"):
            EventBridge(events, "default").wake(WAKES[:1])
        told.add_response("put_events", taken("NotAuthorizedForSourceException"))
        with pytest.raises(Misconfigured, match="NotAuthorizedForSource"):
            EventBridge(events, "default").wake(WAKES[:1])


@pytest.fixture
def topics() -> Iterator[tuple[Topics, str]]:
    made = Topics((TOPIC,))
    with google_pubsub.served(made) as url:
        yield made, url


def test_pubsub_publishes_each_wake_under_the_attributes_that_subscriptions_filter_by(
    topics: tuple[Topics, str],
) -> None:
    made, url = topics

    bus("gcp", f"pubsub://acme/samara-dev?endpoint={url}").wake(WAKES)

    assert [message["attributes"] for message in made.messages[TOPIC]] == [
        {"wake": "train", "objectId": wake.key} for wake in WAKES
    ]
    assert made.requests == 1


def test_what_pubsub_was_too_busy_for_is_sent_again(topics: tuple[Topics, str]) -> None:
    made, url = topics
    made.busy = 2

    bus("gcp", f"pubsub://acme/samara-dev?endpoint={url}").wake(WAKES[:1])

    assert len(made.messages[TOPIC]) == 1


def test_whoever_is_not_heard_at_all_hears_that(topics: tuple[Topics, str]) -> None:
    made, url = topics
    made.busy = 99

    with pytest.raises(Unavailable):
        bus("gcp", f"pubsub://acme/samara-dev?endpoint={url}").wake(WAKES[:1])


def test_storage_queues_hold_each_wake_for_the_function_whose_queue_it_is() -> None:
    azurite_queues.emptied("train", "ingest")

    bus("azure", f"queues://{DEVELOPMENT}?endpoint={azurite_queues.endpoint()}").wake(WAKES)

    waiting = [azure.created(message, NOON) for message in azurite_queues.messages("train")]
    assert waiting == [ObjectCreated(wake.key, NOON) for wake in WAKES]
    assert azurite_queues.messages("ingest") == []


@pytest.mark.parametrize(
    ("provider", "address", "error"),
    [
        ("aws", f"events://default?endpoint={NOBODY}&region=us-east-1", Unavailable),
        ("gcp", f"pubsub://acme/samara-dev?endpoint={NOBODY}", Unavailable),
        ("azure", f"queues://{DEVELOPMENT}?endpoint={NOBODY}/{DEVELOPMENT}", Unavailable),
        ("aws", "events://", Misconfigured),
        ("aws", "s3://bucket", Misconfigured),
        ("gcp", "pubsub://acme", Misconfigured),
        ("gcp", "pubsub://acme/a/b", Misconfigured),
        ("azure", "queues://UPPER", Misconfigured),
        ("azure", "queues://acme/queue", Misconfigured),
        ("local", "", Unsupported),
        ("libcloud", "", Unsupported),
    ],
)
def test_a_bus_that_is_not_there_says_so(provider: str, address: str, error: type[SamaraError]) -> None:
    with pytest.raises(error):
        bus(provider, address).wake(WAKES[:1])


def test_what_is_not_deployed_is_named(topics: tuple[Topics, str]) -> None:
    _, url = topics

    with pytest.raises(Misconfigured, match="samara-prod"):
        bus("gcp", f"pubsub://acme/samara-prod?endpoint={url}").wake(WAKES[:1])
    with pytest.raises(Misconfigured, match="no such queue"):
        bus("azure", f"queues://{DEVELOPMENT}?endpoint={azurite_queues.endpoint()}").wake([Wake("nobody", "x")])
