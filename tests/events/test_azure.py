"""The seam inward on Azure: what its queues and timers hold, as their documentation shows it, in our words."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from samara.errors import Rejected
from samara.events import GivenUp, ObjectCreated, Tick, azure
from tests.events.samples import golden, raw

NOON = datetime(2013, 2, 14, 12, 0, tzinfo=UTC)
KEY = "landing/late/a b%20c.csv"


def test_event_grid_tells_a_key_as_it_is() -> None:
    at = datetime(2017, 6, 26, 18, 41, 0, 958410, tzinfo=UTC)

    assert azure.created(raw("azure/event_grid_created"), NOON) == ObjectCreated(KEY, at, "0x8D4BCC2E4835CD0")


def test_a_cloudevent_tells_the_same_by_other_names() -> None:
    at = datetime(2019, 11, 18, 15, 13, 39, 458925, tzinfo=UTC)

    assert azure.created(raw("azure/cloudevent_created"), NOON) == ObjectCreated(
        "landing/late/new.csv", at, "0x8D76C39E4407333"
    )


def test_a_wake_is_an_object_that_somebody_should_have_seen() -> None:
    woken = ObjectCreated("validations/late/0a1b.json", NOON)

    assert azure.created(raw("azure/wake"), NOON) == woken
    assert azure.created(azure.wake("validations/late/0a1b.json"), NOON) == woken


def test_a_poison_message_names_function_and_key() -> None:
    assert azure.given_up(raw("azure/event_grid_created"), "ingest", 5, NOON) == GivenUp(
        "ingest", KEY, "Poisoned", "tried 5 times; its log says why", NOON
    )


def test_a_message_that_nobody_understood_is_given_up_by_its_reason() -> None:
    given_up = azure.given_up(b"\xff", "ingest", 5, NOON)

    assert (given_up.function, given_up.subject, given_up.what) == ("ingest", "", "Rejected")
    assert "not UTF-8" in given_up.why


@pytest.mark.parametrize("off_s", [-0.4, 0, 3, 55])
def test_a_tick_tells_the_instant_of_its_schedule_and_not_when_the_timer_fired(off_s: float) -> None:
    fired = NOON + timedelta(seconds=off_s)

    assert {azure.tick(fired, period) for period in ("minute", "quarter", "hour")} == {Tick(NOON)}


def changed(name: str, **fields: Any) -> bytes:
    return json.dumps({**golden(name), **fields}).encode()


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"", "not JSON"),
        (b"[]", "one event in each message"),
        (b"{}", "Microsoft.Storage.BlobCreated"),
        (changed("azure/event_grid_created", eventType="Microsoft.Storage.BlobDeleted"), "subscribe to that one"),
        (changed("azure/event_grid_created", subject="/blobServices/default/containers/test-container"), "no blob"),
        (changed("azure/event_grid_created", data=None), "data"),
        (changed("azure/cloudevent_created", time="yesterday"), "time"),
        (b'{"samara": "wake"}', "key"),
    ],
)
def test_what_is_malformed_says_what_is_wrong(message: bytes, reason: str) -> None:
    with pytest.raises(Rejected, match=reason):
        azure.created(message, NOON)


def test_a_request_is_read_as_strictly_as_on_a_laptop() -> None:
    request = azure.request("GET", "https://x.azurewebsites.net/v2/caf%C3%A9?a=1", {"Host": "x"}, b"", NOON)

    assert (request.method, request.path, request.query, request.headers) == (
        "GET",
        "/v2/café",
        {"a": "1"},
        {"host": "x"},
    )
    with pytest.raises(Rejected):
        azure.request("GET", "https://x.azurewebsites.net/a%2fb", {}, b"", NOON)
    assert azure.request("GET", "https://x.azurewebsites.net", {}, b"", NOON).path == "/"


NAMED = {"X-MS-CLIENT-PRINCIPAL-NAME": "ann@example.com", "X-MS-CLIENT-PRINCIPAL-ID": "0f3c"}


@pytest.mark.parametrize(
    ("headers", "identified", "who"),
    [
        (NAMED, True, "ann@example.com"),
        ({"X-MS-CLIENT-PRINCIPAL-ID": "0f3c"}, True, "0f3c"),
        ({"X-MS-CLIENT-PRINCIPAL-NAME": "", "X-MS-CLIENT-PRINCIPAL-ID": "0f3c"}, True, "0f3c"),
        ({}, True, ""),
        (NAMED, False, ""),
    ],
)
def test_a_caller_is_whom_azure_identified(headers: dict[str, str], identified: bool, who: str) -> None:
    request = azure.request("GET", "https://x.azurewebsites.net/v2", headers, b"", NOON, identified=identified)

    assert request.caller == who
