"""Wakes over Amazon EventBridge, on the bus that brings the bucket's events too: each function's rule knows its own."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

from samara.errors import Misconfigured, Unavailable
from samara.events import Wake, aws
from samara.patience import stand_back
from samara.providers.addresses import parsed
from samara.providers.aws_errors import translated, unready
from samara.settings import Settings

if TYPE_CHECKING:
    from types_boto3_events import EventBridgeClient
    from types_boto3_events.type_defs import PutEventsRequestEntryTypeDef

AT_ONCE = 10  # entries that EventBridge takes in one request
ATTEMPTS = 6
FIRST_S, MOST_S = 0.05, 2.0
BUSY = ("InternalFailure", "InternalException", "ThrottlingException", "Throttling", "RequestTimeout")


class EventBridge:
    """Whatever was not taken is sent again, by itself: EventBridge takes some of a request and refuses others."""

    def __init__(self, events: "EventBridgeClient", name: str) -> None:
        self._events = events
        self._name = name

    def wake(self, wakes: Sequence[Wake]) -> None:
        for start in range(0, len(wakes), AT_ONCE):
            self._sent([self._entry(wake) for wake in wakes[start : start + AT_ONCE]])

    def _sent(self, entries: "list[PutEventsRequestEntryTypeDef]") -> None:
        for attempt in range(ATTEMPTS):
            entries, why = self._left(entries)
            if not entries:
                return
            stand_back(attempt, FIRST_S, MOST_S)
        raise Unavailable(self._name, f"{len(entries)} wakes were not taken: {why}")

    def _left(self, entries: "list[PutEventsRequestEntryTypeDef]") -> "tuple[list[PutEventsRequestEntryTypeDef], str]":
        """What was not taken, and why."""
        try:
            with translated(self._name, "EventBridge", BUSY):
                results = self._events.put_events(Entries=entries)["Entries"]
                refused = [(entry, told) for entry, told in zip(entries, results, strict=True) if "ErrorCode" in told]
        except Unavailable as error:
            return entries, error.why
        for _, told in refused:
            if told["ErrorCode"] not in BUSY:
                raise Misconfigured(self._name, f"EventBridge says {told['ErrorCode']}: {told.get('ErrorMessage', '')}")
        return [entry for entry, _ in refused], ", ".join(sorted({told["ErrorCode"] for _, told in refused}))

    def _entry(self, wake: Wake) -> "PutEventsRequestEntryTypeDef":
        detail = aws.wake(wake.function, wake.key)
        return {"EventBusName": self._name, "Source": "samara", "DetailType": "Wake", "Detail": detail}


def bus(settings: Settings) -> EventBridge:
    """Of an address `events://name`, with `?region=`; the bus that the bucket's events come by is `default`."""
    address = parsed(settings.bus, "region")
    if address.scheme != "events" or address.path:
        raise Misconfigured(settings.bus, "names no bus; write events://default")
    config = Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=30)
    region = address.options.get("region")
    with unready(settings.bus.partition("?")[0]):
        events = boto3.client("events", endpoint_url=address.endpoint, region_name=region, config=config)
    return EventBridge(events, address.place)
