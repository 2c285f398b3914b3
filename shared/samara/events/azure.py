"""What Azure's queues, timers and HTTP hand to a function, in our words.

Event Grid writes one event into a message, in its own schema or as a CloudEvent; both name the blob by their subject,
as it is and not as in a URL. `reconcile`'s wakes come by the same queue. Messages are the text inside the base64.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from pydantic import AliasChoices, Field

from samara.core import strict
from samara.errors import Rejected
from samara.events import GivenUp, HttpRequest, ObjectCreated, Tick
from samara.events.fields import field, malformed
from samara.events.http_head import headers_of, path_of, query_of, too_large
from samara.events.payloads import Instant, Key, Payload, read, subject_of

CREATED = "Microsoft.Storage.BlobCreated"
PLACE = "blobServices/default/containers/"
PRINCIPAL = ("x-ms-client-principal-name", "x-ms-client-principal-id")
EARLY = timedelta(seconds=1)  # a timer may fire this much before its instant
PERIODS_S = {"minute": 60, "quarter": 900, "hour": 3600}


def created(message: bytes, at: datetime) -> ObjectCreated:
    """The object that a message tells of; `at` is when it was queued, for those that do not say."""
    value = strict.value(message, "message")
    if field(value, "samara") == "wake":
        return ObjectCreated(read(Wish, value, "wake").key, at)
    if isinstance(value, list):
        raise malformed("message", "holds a list; have Event Grid deliver one event in each message")
    if (field(value, "eventType") or field(value, "type")) != CREATED:
        raise malformed("message", f"is of another type than {CREATED}; subscribe to that one only")
    told = read(Told, value, "event")
    return ObjectCreated(key_in(told.subject), told.at, told.data.etag.strip('"'))


def key_in(subject: str) -> str:
    """The key of the blob that a subject names.

    >>> key_in("/blobServices/default/containers/flights/blobs/landing/late/a b.csv")
    'landing/late/a b.csv'
    """
    _, there, path = subject.removeprefix("/").partition(PLACE)
    _, slash, key = path.partition("/blobs/")
    if not there or not slash or not key:
        raise malformed("subject", f"names no blob; it reads /{PLACE}…/blobs/…")
    return key


def given_up(message: bytes, function: str, tries: int, at: datetime) -> GivenUp:
    """A message that Azure moved to the poison queue of `function`, which tells neither the error nor its text."""
    try:
        about = subject_of([created(message, at)])
    except Rejected as error:
        return GivenUp(function, "", "Rejected", str(error), at)
    return GivenUp(function, about, "Poisoned", f"tried {tries} times; its log says why", at)


def tick(now: datetime, period: str) -> Tick:
    """The instant that the schedule names: the last at which a minute, a quarter or an hour was full."""
    return Tick(datetime.fromtimestamp((now + EARLY).timestamp() // PERIODS_S[period] * PERIODS_S[period], UTC))


class Wish(Payload):
    key: Key


class Blob(Payload):
    etag: str = Field("", alias="eTag")


class Told(Payload):
    """Event Grid's schema and CloudEvents differ in two names."""

    subject: str
    at: Instant = Field(validation_alias=AliasChoices("eventTime", "time"))
    data: Blob


def request(
    method: str, url: str, headers: Mapping[str, str], body: bytes, at: datetime, *, identified: bool = False
) -> HttpRequest:
    """As strict as the local server is. `identified` says that Azure itself sets the headers that name who asks."""
    parts = urlsplit(url)
    if len(body) > strict.LARGEST:
        raise too_large(strict.LARGEST)
    read = headers_of((name.encode(), value.encode()) for name, value in headers.items())
    return HttpRequest(
        method=method,
        path=path_of(parts.path.encode() or b"/"),
        at=at,
        query=query_of(parts.query.encode()),
        headers=read,
        body=body,
        caller=caller(read) if identified else "",
    )


def caller(headers: Mapping[str, str]) -> str:
    """Whom App Service Authentication let in, by name, or by the identity provider's id for them.

    It takes these headers out of what comes from outside. Without it nobody does, and they say what a stranger likes.
    """
    return next((headers[name] for name in PRINCIPAL if headers.get(name)), "")


def wake(key: str) -> bytes:
    """The message by which the function of a queue is woken."""
    return json.dumps({"samara": "wake", "key": key}).encode()
