"""What can wake a function, in our words. Each cloud's module beside this one translates into them."""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import NamedTuple

NOTHING: Mapping[str, str] = MappingProxyType({})


class ObjectCreated(NamedTuple):
    """An object appeared. A hint: it may come twice, late, out of order, or for what is gone again.

    `token` is the store's name for that write, where the notification tells it: an ETag or a generation.
    """

    key: str
    at: datetime
    token: str = ""

    @property
    def id(self) -> str:
        """The same for every notification of one write, whichever way it came."""
        return f"{self.key}@{self.token}" if self.token else self.key


class Tick(NamedTuple):
    """It is time. `at` is the instant the schedule names, not the one at which we got round to it."""

    at: datetime


class HttpRequest(NamedTuple):
    """`headers` have lower-case names; `path` is decoded once and starts with a slash.

    `caller` is who asks, as the platform that let them in has verified it; empty where nobody did.
    """

    method: str
    path: str
    at: datetime
    query: Mapping[str, str] = NOTHING
    headers: Mapping[str, str] = NOTHING
    body: bytes = b""
    caller: str = ""


class HttpResponse(NamedTuple):
    status: int
    body: bytes
    headers: Mapping[str, str] = NOTHING


class Wake(NamedTuple):
    """A function that should have run for the object at `key`, and has not: what `reconcile` asks the platform for."""

    function: str
    key: str


class GivenUp(NamedTuple):
    """`function` could not do its work on `subject`, a key if it was woken by one, however often it was asked.

    `what` is the kind of failure, in one word, and `why` what is known of its reason.
    """

    function: str
    subject: str
    what: str
    why: str
    at: datetime


Event = ObjectCreated | Tick | HttpRequest | GivenUp
