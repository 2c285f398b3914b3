"""What Google's services post to a function, in our words.

Objects come as messages that Pub/Sub pushes, or as CloudEvents of Eventarc, in either of their two modes. Schedules and
dead letters are posts too. Whatever it is, it is told by the path below `/_events` that the deployment posts it to.
"""

import json
import re
from base64 import urlsafe_b64decode
from binascii import Error as NotBase64
from collections.abc import Collection, Sequence
from typing import Any, Literal

from pydantic import Field

from samara.core import strict
from samara.errors import Rejected
from samara.events import Event, GivenUp, HttpRequest, ObjectCreated, Tick, Wake
from samara.events.fields import field, malformed
from samara.events.payloads import Instant, Key, Payload, name_in, read

EVENTS = "/_events/"
FINALIZED = "google.cloud.storage.object.v1.finalized"
PUBLISHED = "google.cloud.pubsub.topic.v1.messagePublished"
STRUCTURED = "application/cloudevents+json"
SOURCE = "CloudPubSubDeadLetterSource"
TOKEN = re.compile(r"Bearer [\w-]+\.([\w-]+)\.[\w-]*", re.ASCII | re.IGNORECASE)


def is_event(request: HttpRequest) -> bool:
    return request.path.startswith(EVENTS)


def event(request: HttpRequest, known: Collection[str]) -> Event:
    """What a post below `/_events/` tells, or `Rejected`. `known` are the catalogue's names."""
    if request.method != "POST":
        raise Rejected(request.path, "takes POST only", code="bad_method")
    match request.path.removeprefix(EVENTS):
        case "objects":
            return created(request)
        case "tick":
            return tick(request)
        case "failed":
            return given_up(request, known)
    raise Rejected(strict.shown(request.path), "no such event; there are objects, tick and failed", code="unknown_path")


def created(request: HttpRequest) -> ObjectCreated:
    kind = request.headers.get("ce-type")
    if kind is not None:
        return _cloud_event({"type": kind, "time": request.headers.get("ce-time"), "data": _json(request)})
    if request.headers.get("content-type", "").lower().startswith(STRUCTURED):
        return _cloud_event(_json(request))
    return _message(read(Pushed, _json(request), "Pub/Sub message").message)


def _cloud_event(value: Any) -> ObjectCreated:
    if field(value, "type") == PUBLISHED:
        return _message(read(Pushed, field(value, "data"), "Pub/Sub message").message)
    if field(value, "type") != FINALIZED:
        raise malformed("CloudEvent", f"has another type than {FINALIZED}; trigger by that one only")
    found = read(CloudEvent, value, "CloudEvent")
    return ObjectCreated(found.data.name, found.time, found.data.generation)


def _message(message: "Message") -> ObjectCreated:
    if "wake" in message.attributes:
        return ObjectCreated(read(Wish, message.attributes, "wake").key, message.published)
    told = read(Told, message.attributes, "notification")
    return ObjectCreated(told.key, told.at or message.published, told.generation)


def tick(request: HttpRequest) -> Tick:
    return Tick(read(Scheduled, dict(request.headers), "tick").at)


def given_up(request: HttpRequest, known: Collection[str]) -> GivenUp:
    """A message that Pub/Sub moved to the dead letters, which tell neither the error nor its text."""
    message = read(Pushed, _json(request), "dead letter").message
    dead = read(DeadLetter, message.attributes, "dead letter")
    why = f"tried {dead.tries} times; its log says why"
    return GivenUp(name_in(dead.subscription, known), dead.key, "Undelivered", why, message.published)


def _json(request: HttpRequest) -> Any:
    return strict.value(request.body, "event")


class Message(Payload):
    attributes: dict[str, str] = Field(default_factory=dict)
    published: Instant = Field(alias="publishTime")


class Pushed(Payload):
    message: Message


class Told(Payload):
    """The attributes of a bucket's notification."""

    kind: Literal["OBJECT_FINALIZE"] = Field(alias="eventType")
    key: Key = Field(alias="objectId")
    generation: str = Field("", alias="objectGeneration")
    at: Instant | None = Field(None, alias="eventTime")


class Wish(Payload):
    wake: str
    key: Key = Field(alias="objectId")


class Stored(Payload):
    name: Key
    generation: str = ""


class CloudEvent(Payload):
    time: Instant
    data: Stored


class Scheduled(Payload):
    at: Instant = Field(alias="x-cloudscheduler-scheduletime")


class DeadLetter(Payload):
    subscription: str = Field(alias=f"{SOURCE}Subscription")
    tries: int = Field(alias=f"{SOURCE}DeliveryCount")
    key: str = Field("", alias="objectId")


def caller(request: HttpRequest) -> str:
    """The account that made a request, for which Cloud Run vouches: it has verified the token, and cut its signature.

    Of two tokens it verifies only the one in `X-Serverless-Authorization`, so then nobody vouches for this one.
    """
    found = TOKEN.fullmatch(request.headers.get("authorization", ""))
    if not found or "x-serverless-authorization" in request.headers:
        return ""
    try:
        claims = strict.value(urlsafe_b64decode(found[1] + "=" * (-len(found[1]) % 4)), "token")
    except (NotBase64, ValueError, Rejected):
        return ""
    return str(field(claims, "email")) if field(claims, "email_verified") is True else ""


def publication(wakes: Sequence[Wake]) -> bytes:
    """The request by which Pub/Sub is asked to wake functions: attributes that their subscriptions filter by."""
    messages = [{"attributes": {"wake": wake.function, "objectId": wake.key}} for wake in wakes]
    return json.dumps({"messages": messages}).encode()
