"""A law of the seam inward: whatever JSON comes, it is understood or refused by name, and nothing else happens."""

import json
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samara.errors import Rejected
from samara.events import Event, HttpRequest, aws, azure, gcp, http_head
from tests.events.samples import HERE, golden

NOON = datetime(2013, 2, 14, 12, 0, tzinfo=UTC)
KNOWN = ("ingest", "train")
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
GOLDEN = {
    cloud: sorted(f"{cloud}/{file.stem}" for file in (HERE / cloud).glob("*.json")) for cloud in ("aws", "gcp", "azure")
}


PLAIN = st.text(st.characters(codec="ascii", categories=("L", "N", "P", "Zs")), max_size=20)
HEADERS = st.dictionaries(
    st.sampled_from(["host", "Host", "origin", "content-length", "transfer-encoding", "x-ä"]) | PLAIN,
    PLAIN | st.text(max_size=20) | st.just("x" * 20_000),
    max_size=6,
)


@given(headers=HEADERS)
def test_headers_taken_at_a_glance_are_what_reading_each_of_them_gives(headers: dict[str, str]) -> None:
    payload = golden("aws/function_url") | {"headers": headers}

    assert outcome(lambda: aws.request(payload, NOON).headers) == outcome(lambda: one_by_one(headers))


def one_by_one(headers: dict[str, str]) -> Any:
    return http_head.headers_of([(name.encode(), value.encode()) for name, value in headers.items()])


def outcome(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except Rejected as error:
        return error.code
    except UnicodeEncodeError:
        return "bad_event"


@st.composite
def damaged(draw: st.DrawFn, cloud: str) -> Any:
    """A payload of that cloud in which something was replaced, or nothing of it at all."""
    payload = golden(draw(st.sampled_from(GOLDEN[cloud])))
    places = list(inside(payload))
    holder, place = draw(st.sampled_from(places))
    holder[place] = draw(ANYTHING)
    return draw(st.sampled_from([payload, draw(ANYTHING)]))


def inside(value: Any) -> Any:
    """Every place in a JSON value, as what holds it and where."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for place, held in list(items):
        yield value, place
        yield from inside(held)


def as_json(value: Any) -> bytes:
    return json.dumps(value).encode("utf-8", "surrogatepass")


@given(damaged("aws"))
def test_lambda_payloads(payload: Any) -> None:
    with suppress(Rejected):
        for told in aws.told(payload, KNOWN):
            assert isinstance(told.event, Event | Rejected)
    if aws.is_request(payload):
        with suppress(Rejected):
            assert isinstance(aws.request(payload, NOON), HttpRequest)


@pytest.mark.parametrize("path", ["objects", "failed", "tick"])
@given(
    payload=damaged("gcp"), headers=st.dictionaries(st.sampled_from(["ce-type", "content-type", "ce-time"]), st.text())
)
def test_posts_of_googles(path: str, payload: Any, headers: dict[str, str]) -> None:
    with suppress(Rejected):
        assert gcp.event(HttpRequest("POST", f"/_events/{path}", NOON, headers=headers, body=as_json(payload)), KNOWN)


@given(damaged("azure"))
def test_azures_messages(payload: Any) -> None:
    with suppress(Rejected):
        assert azure.created(as_json(payload), NOON).key
    assert azure.given_up(as_json(payload), "ingest", 5, NOON).function == "ingest"


@given(st.binary(max_size=64))
def test_no_json_at_all(data: bytes) -> None:
    with suppress(Rejected):
        azure.created(data, NOON)
    with suppress(Rejected):
        gcp.event(HttpRequest("POST", "/_events/objects", NOON, body=data), KNOWN)
