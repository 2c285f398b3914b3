"""The seam inward on a laptop: from an ASGI scope to our request."""

import asyncio
from collections.abc import MutableMapping
from datetime import UTC, datetime
from typing import Any

import pytest

from samara.entry import refused
from samara.errors import Rejected
from samara.events import HttpResponse, local

NOON = datetime(2013, 2, 14, 12, 0, tzinfo=UTC)
SCOPE: dict[str, Any] = {
    "type": "http",
    "method": "POST",
    "path": "/v2/models",
    "raw_path": b"/v2/models",
    "query_string": b"a=1&b=x%20y&b=2",
    "headers": [(b"host", b"localhost"), (b"x-one", b"a"), (b"X-One", b" b ")],
}


def test_a_request_keeps_what_it_says() -> None:
    request = local.request(SCOPE, NOON)

    assert (request.method, request.path, request.at) == ("POST", "/v2/models", NOON)
    assert request.query == {"a": "1", "b": "2"}
    assert request.headers == {"host": "localhost", "x-one": "a, b"}


def test_a_path_is_decoded_once() -> None:
    assert local.path_of(b"/models/caf%C3%A9") == "/models/café"


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"models", 400),
        (b"*", 400),
        (b"http://evil/v2", 400),
        (b"/a//b", 400),
        (b"/a/../b", 400),
        (b"/a/%2e%2e/b", 400),
        (b"/a/.", 400),
        (b"/a%2fb", 400),
        (b"/a%5cb", 400),
        (b"/a\\b", 400),
        (b"/%252e%252e", 400),
        (b"/%00", 400),
        (b"/a%0d%0aset-cookie:x", 400),
        (b"/%7f", 400),
        (b"/%ff", 400),
        (b"/" + b"a" * 3000, 414),
    ],
)
def test_a_path_that_could_name_another_one_is_refused(raw: bytes, status: int) -> None:
    with pytest.raises(Rejected) as raised:
        local.path_of(raw)

    assert refused(raised.value).status == status


@pytest.mark.parametrize("raw", [b"a=%ff", b"a=%00", b"&".join([b"a=1"] * 200), b"a=" + b"x" * 5000])
def test_a_strange_query_is_refused(raw: bytes) -> None:
    with pytest.raises(Rejected):
        local.query_of(raw)


@pytest.mark.parametrize(
    ("pairs", "status"),
    [
        ([(b"host", b"a"), (b"host", b"b")], 400),
        ([(b"content-length", b"1"), (b"transfer-encoding", b"chunked")], 400),
        ([(b"x", b"a\x0bb")], 400),
        ([(b"x", b"a" * 20_000)], 431),
        ([(b"x%d" % number, b"1") for number in range(200)], 431),
    ],
)
def test_headers_that_contradict_themselves_or_flood_are_refused(pairs: list[tuple[bytes, bytes]], status: int) -> None:
    with pytest.raises(Rejected) as raised:
        local.headers_of(pairs)

    assert refused(raised.value).status == status


class Wire:
    """What a client sends, piece by piece, and what it gets."""

    def __init__(self, *pieces: bytes, ends: bool = True) -> None:
        self._pieces = list(pieces)
        self._ends = ends
        self.sent: list[MutableMapping[str, Any]] = []

    async def receive(self) -> MutableMapping[str, Any]:
        if not self._pieces:
            await asyncio.Event().wait()
        piece = self._pieces.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(self._pieces) or not self._ends}

    async def send(self, message: MutableMapping[str, Any]) -> None:
        self.sent.append(message)


def test_a_body_is_put_together_from_its_pieces() -> None:
    assert asyncio.run(local.body({}, Wire(b"a", b"", b"bc").receive, 5)) == b"abc"


@pytest.mark.parametrize(
    ("headers", "wire", "code"),
    [
        ({"content-length": "11"}, Wire(), "too_large"),
        ({"content-length": "9" * 30}, Wire(), "too_large"),
        ({}, Wire(b"x" * 6, b"x" * 6, ends=False), "too_large"),
        ({"content-length": "5"}, Wire(b"x", ends=False), "slow"),
    ],
)
def test_a_body_too_large_or_too_slow_is_refused(headers: dict[str, str], wire: Wire, code: str) -> None:
    with pytest.raises(Rejected) as raised:
        asyncio.run(local.body(headers, wire.receive, 0.05, largest=10))

    assert raised.value.code == code


def test_a_head_request_gets_the_length_and_no_body() -> None:
    wire = Wire()

    asyncio.run(local.respond(HttpResponse(200, b"four"), wire.send, without_body=True))

    assert (b"content-length", b"4") in wire.sent[0]["headers"]
    assert wire.sent[1]["body"] == b""
