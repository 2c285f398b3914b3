"""A request's path, query and headers: read once, and refused where two readers could differ."""

import pytest

from samara.entry import refused
from samara.errors import Rejected
from samara.events import http_head

LINES = [(b"host", b"localhost"), (b"x-one", b"a"), (b"X-One", b" b ")]


def test_headers_keep_what_they_say() -> None:
    assert http_head.headers_of(LINES) == {"host": "localhost", "x-one": "a, b"}


def test_of_a_field_given_twice_the_last_counts() -> None:
    assert http_head.query_of(b"a=1&b=x%20y&b=2") == {"a": "1", "b": "2"}


def test_a_path_is_decoded_once() -> None:
    assert http_head.path_of(b"/models/caf%C3%A9") == "/models/café"


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
        http_head.path_of(raw)

    assert refused(raised.value).status == status


@pytest.mark.parametrize("raw", [b"a=%ff", b"a=%00", b"&".join([b"a=1"] * 200), b"a=" + b"x" * 5000])
def test_a_strange_query_is_refused(raw: bytes) -> None:
    with pytest.raises(Rejected):
        http_head.query_of(raw)


def test_too_many_fields_are_told_from_those_that_cannot_be_read() -> None:
    many = b"&".join([b"a=1"] * 101)

    with pytest.raises(Rejected, match="query: has more than 100 fields"):
        http_head.query_of(many)
    with pytest.raises(Rejected, match="query: is not a query of UTF-8 fields"):
        http_head.query_of(b"a=%ff")
    assert http_head.query_of(many[4:]) == {"a": "1"}


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
        http_head.headers_of(pairs)

    assert refused(raised.value).status == status
