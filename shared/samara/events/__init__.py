"""What can wake a function, in our words. Each cloud's module beside this one translates into them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class ObjectCreated:
    """An object appeared. A hint: it may come twice, late, out of order, or for what is gone again."""

    key: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Tick:
    """It is time. `at` is the instant the schedule names, not the one at which we got round to it."""

    at: datetime


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """`headers` have lower-case names; `path` is decoded once and starts with a slash."""

    method: str
    path: str
    at: datetime
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class HttpResponse:
    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Wake:
    """A function that should have run for the object at `key`, and has not: what `reconcile` asks the platform for."""

    function: str
    key: str


Event = ObjectCreated | Tick | HttpRequest
