"""Requests as an ASGI server hands them over, in our words, and our responses back.

Strict where servers are lenient: what two readers of a request could understand differently is `Rejected`.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl, unquote_to_bytes

from samara.core.strict import LARGEST, shown
from samara.errors import Rejected, Unavailable
from samara.events import HttpRequest, HttpResponse

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

LONGEST_PATH = 2_048
LONGEST_QUERY = 4_096
LONGEST_HEADERS = 16_384  # bytes of all of them, as common servers have it
MOST_HEADERS = 100
CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")
LINGER_S = 1.0  # how long a refused upload may still pour in, so that its sender gets to read the refusal


def request(scope: Scope, at: datetime) -> HttpRequest:
    """The request but for its body, or `Rejected` with a code HTTP has a status for."""
    if scope.get("http_version", "1.1") not in ("1.0", "1.1", "2"):
        raise Rejected("request", "names an HTTP version that does not exist", code="bad_http")
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    return HttpRequest(
        method=scope["method"],
        path=path_of(raw),
        at=at,
        query=query_of(scope.get("query_string", b"")),
        headers=headers_of(scope["headers"]),
    )


def path_of(raw: bytes) -> str:
    """The path, decoded once. Whatever could name another path after one more reading is refused.

    >>> path_of(b"/v2/models/late")
    '/v2/models/late'
    """
    if len(raw) > LONGEST_PATH:
        raise Rejected("path", f"has {len(raw):,} bytes; {LONGEST_PATH:,} are the most", code="long_path")
    try:
        path = unquote_to_bytes(raw).decode("utf-8")
    except UnicodeDecodeError as error:
        raise Rejected("path", "is not UTF-8", code="bad_path") from error
    hidden = re.search(rb"%(2f|5c|25)", raw, re.IGNORECASE)
    if not path.startswith("/") or hidden or "\\" in path or CONTROLS.search(path):
        raise Rejected(shown(path), "starts without / or hides special characters", code="bad_path")
    if "//" in path or any(part in (".", "..") for part in path.split("/")):
        raise Rejected(shown(path), "has //, . or .. in it; write it out", code="bad_path")
    return path


def query_of(raw: bytes) -> dict[str, str]:
    """The query's fields; of one given twice, the last counts."""
    if len(raw) > LONGEST_QUERY:
        raise Rejected("query", f"has {len(raw):,} bytes; {LONGEST_QUERY:,} are the most", code="long_path")
    try:
        pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=100)
    except ValueError as error:
        raise Rejected("query", "is not a query of UTF-8 fields", code="bad_query") from error
    if any(CONTROLS.search(text) for pair in pairs for text in pair):
        raise Rejected("query", "has control characters", code="bad_query")
    return dict(pairs)


ONCE = ("host", "content-length", "content-type", "content-encoding", "transfer-encoding", "origin")


def headers_of(pairs: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Headers by lower-case name; what is given several times is joined by commas, unless it decides something."""
    found: dict[str, str] = {}
    size = 0
    for count, (raw_name, raw_value) in enumerate(pairs, start=1):
        size += len(raw_name) + len(raw_value)
        if size > LONGEST_HEADERS or count > MOST_HEADERS:
            why = f"have more than {LONGEST_HEADERS:,} bytes or {MOST_HEADERS} lines"
            raise Rejected("headers", why, code="long_headers")
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1").strip()
        if CONTROLS.search(value.replace("\t", "")):
            raise Rejected("headers", "have control characters", code="bad_headers")
        if name in found and name in ONCE:
            raise Rejected(name, "is there twice", code="bad_headers")
        found[name] = f"{found[name]}, {value}" if name in found else value
    if "content-length" in found and "transfer-encoding" in found:
        raise Rejected("content-length", "contradicts transfer-encoding; send one of them", code="bad_headers")
    return found


async def body(headers: dict[str, str], receive: Receive, patience_s: float, largest: int = LARGEST) -> bytes:
    """The whole body in at most `largest` bytes and `patience_s` seconds; what says it is larger is not read at all."""
    announced = headers.get("content-length", "0")
    if len(announced) > 18 or int(announced) > largest:
        raise too_large(largest)
    chunks = bytearray()
    try:
        async with asyncio.timeout(patience_s):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Unavailable("body", "the client went away while sending it")
                chunks += message.get("body", b"")
                if len(chunks) > largest:
                    raise too_large(largest)
                if not message.get("more_body", False):
                    return bytes(chunks)
    except TimeoutError as error:
        raise Rejected("body", f"did not arrive within {patience_s:g} seconds", code="slow") from error


def too_large(largest: int) -> Rejected:
    return Rejected("body", f"is too large; {largest:,} bytes are the most", code="too_large")


async def respond(response: HttpResponse, send: Send, *, without_body: bool = False) -> None:
    """Send a response. To HEAD it says how long the body would be."""
    await start(response, send)
    await send({"type": "http.response.body", "body": b"" if without_body else response.body})


async def respond_and_hang_up(response: HttpResponse, receive: Receive, send: Send) -> None:
    """Refuse a request whose body was not read, and end the connection.

    Closing at once would make the client's system throw the response away unread, so what still comes is
    swallowed for a moment, in bounded memory.
    """
    headers = {**response.headers, "connection": "close"}
    await start(HttpResponse(response.status, response.body, headers), send)
    await send({"type": "http.response.body", "body": response.body, "more_body": True})
    try:
        async with asyncio.timeout(LINGER_S):
            while (message := await receive())["type"] == "http.request" and message.get("more_body", False):
                pass
    except TimeoutError:
        pass
    await send({"type": "http.response.body", "body": b""})


async def start(response: HttpResponse, send: Send) -> None:
    headers = {**response.headers}
    if response.status != 204:
        headers["content-length"] = str(len(response.body))
    encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": response.status, "headers": encoded})
