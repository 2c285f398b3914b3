"""What Lambda hands to a function, in our words, and our responses back.

Objects come by EventBridge, which tells keys as they are, by S3's own notifications, which form-encode them, or by a
queue that holds either. `reconcile`'s wakes come over the same bus, and so does what Lambda gave up.
"""

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from urllib.parse import unquote_plus

from pydantic import Field

from samara.core import strict
from samara.errors import Rejected
from samara.events import Event, GivenUp, ObjectCreated
from samara.events.aws_http import is_request, is_tick, reply, request, tick
from samara.events.fields import field, malformed
from samara.events.payloads import Instant, Key, Payload, name_in, read, shortened, subject_of

__all__ = ["Told", "batch", "is_request", "reply", "request", "told", "wake"]

TEST_EVENT = "s3:TestEvent"  # S3's first words to whom it will notify
FAILURE = "Lambda Function Invocation Result - Failure"


@dataclass(frozen=True, slots=True)
class Told:
    """One event of a payload, or why it cannot be understood. `message` is the queue's id of what told it."""

    event: Event | Rejected
    message: str = ""


def told(payload: Any, known: Collection[str]) -> list[Told]:
    """Every event of a payload, those that cannot be understood among them. `known` are the catalogue's names."""
    records = field(payload, "Records")
    if isinstance(records, list):
        return [one for record in records for one in _of_record(record, known)]
    if field(payload, "Event") == TEST_EVENT:
        return []
    return [Told(_understood(payload, known))]


def batch(payload: Any) -> bool:
    """Whether a payload is a queue's batch, of which single messages can be given back."""
    records = field(payload, "Records")
    return isinstance(records, list) and any(field(record, "eventSource") == "aws:sqs" for record in records)


def _understood(payload: Any, known: Collection[str]) -> Event | Rejected:
    try:
        return _event(payload, known)
    except Rejected as error:
        return error


def _event(payload: Any, known: Collection[str]) -> Event:
    if is_tick(payload):
        return tick(payload)
    kind = (field(payload, "source"), field(payload, "detail-type"))
    if kind == ("aws.s3", "Object Created"):
        created = read(Created, payload, "Object Created")
        return ObjectCreated(created.detail.object.key, created.time, created.detail.object.etag)
    if kind == ("samara", "Wake"):
        wake = read(Woken, payload, "Wake")
        return ObjectCreated(wake.detail.key, wake.time)
    if kind == ("lambda", FAILURE):
        return _given_up(read(Failed, payload, "failure"), known)
    raise malformed("payload", "is no event that Samara knows: none of EventBridge, S3 or its own")


def _of_record(record: Any, known: Collection[str]) -> Iterator[Told]:
    """An S3 notification's record, or a message of a queue."""
    queued = field(record, "eventSource") == "aws:sqs"
    message = str(read(Named, record, "SQS record").message) if queued else ""
    try:
        if queued:
            yield from (Told(event, message) for event in _in(read(Message, record, "SQS record"), known))
        else:
            yield Told(_notified(read(Record, record, "S3 record")))
    except Rejected as error:
        yield Told(error, message)


def _in(message: "Message", known: Collection[str]) -> list[Event | Rejected]:
    """What a queue's message tells: a dead letter of EventBridge says so in its attributes."""
    events = [one.event for one in told(strict.value(message.body.encode(), "SQS body"), known)]
    code, rule = message.said("ERROR_CODE"), message.said("TARGET_ARN") or message.said("RULE_ARN")
    if not code:
        return events
    at = next((event.at for event in events if not isinstance(event, Rejected)), message.sent)
    why = shortened(message.said("ERROR_MESSAGE") or "EventBridge could not deliver it")
    return [GivenUp(name_in(last(rule), known), subject_of(events), code, why, at)]


def _notified(record: "Record") -> ObjectCreated:
    if not record.event.startswith("ObjectCreated:"):
        raise malformed("S3 record", f"is {record.event}; have it notify of s3:ObjectCreated:* only")
    key = unquote_plus(record.s3.object.key)  # S3 form-encodes keys here, and only here
    return ObjectCreated(key, record.time, record.s3.object.etag)


def _given_up(failed: "Failed", known: Collection[str]) -> GivenUp:
    result = failed.detail
    said = result.response if isinstance(result.response, dict) else {}
    what = str(said.get("errorType") or result.context.condition)
    why = str(said.get("errorMessage") or f"{result.context.condition} after {result.context.tries} tries")
    about = subject_of(one.event for one in told(result.request, known))
    function = name_in(last(result.context.function.removesuffix(":$LATEST")), known)
    return GivenUp(function, about, what.rpartition(".")[2][:60], shortened(why), failed.time)


def last(arn: str) -> str:
    """The name at the end of an ARN, without what only qualifies it."""
    before, function, name = arn.partition(":function:")
    return name.partition(":")[0] if function else before.rpartition("/")[2].rpartition(":")[2]


class Item(Payload):
    key: Key
    etag: str = ""


class Detail(Payload):
    object: Item


class Created(Payload):
    time: Instant
    detail: Detail


class Wish(Payload):
    function: str
    key: Key


class Woken(Payload):
    time: Instant
    detail: Wish


class Context(Payload):
    function: str = Field(alias="functionArn")
    condition: str = "RetriesExhausted"
    tries: int = Field(1, alias="approximateInvokeCount")


class Outcome(Payload):
    context: Context = Field(alias="requestContext")
    request: Any = Field(None, alias="requestPayload")
    response: Any = Field(None, alias="responsePayload")


class Failed(Payload):
    time: Instant
    detail: Outcome


class Noted(Payload):
    key: Key
    etag: str = Field("", alias="eTag")


class Noting(Payload):
    object: Noted


class Record(Payload):
    source: Literal["aws:s3"] = Field(alias="eventSource")
    event: str = Field(alias="eventName")
    time: Instant = Field(alias="eventTime")
    s3: Noting


class Attribute(Payload):
    value: str = Field("", alias="stringValue")


class Attributes(Payload):
    sent: Instant = Field(alias="SentTimestamp")


class Named(Payload):
    message: str = Field(alias="messageId", min_length=1)


class Message(Payload):
    body: str
    attributes: Attributes
    more: dict[str, Attribute] = Field(default_factory=dict, alias="messageAttributes")

    @property
    def sent(self) -> datetime:
        return self.attributes.sent

    def said(self, name: str) -> str:
        return self.more[name].value if name in self.more else ""


def wake(function: str, key: str) -> str:
    """The detail of the event by which a function is woken."""
    return json.dumps({"function": function, "key": key})
