"""HTTP's messages: what a request's head says, read strictly, and an answer as bytes.

llhttp has read the syntax. What it lets pass, and what two readers could understand differently, is refused here.
"""

import re
import time
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache

from samara.catalogue import Function
from samara.errors import Misconfigured, Rejected
from samara.events import HttpResponse
from samara.events.http_head import LONGEST_PATH, LONGEST_QUERY, headers_of, path_of, query_of
from samara.hosts.http import SECURITY

Line = tuple[bytes, bytes]  # a header's name and value as they were sent
Said = tuple[bytes, str, bytes, list[Line]]  # method, HTTP version, target, headers

LONGEST_TARGET = LONGEST_PATH + LONGEST_QUERY + 1
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
REASONS = {
    200: "OK", 201: "Created", 202: "Accepted", 204: "No Content", 301: "Moved Permanently", 302: "Found",
    303: "See Other", 304: "Not Modified", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden",
    404: "Not Found", 405: "Method Not Allowed", 408: "Request Timeout", 409: "Conflict", 413: "Content Too Large",
    414: "URI Too Long", 415: "Unsupported Media Type", 422: "Unprocessable Content", 429: "Too Many Requests",
    431: "Request Header Fields Too Large", 500: "Internal Server Error", 501: "Not Implemented",
    503: "Service Unavailable",
}  # fmt: skip
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS = ("", "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Head:
    """A request but for its body. `length` is the body's, in bytes, or None where that shows only as it comes.

    `function` is to answer; where none need run, `answer` is there already.
    """

    __slots__ = ("answer", "function", "headers", "length", "method", "path", "query")

    def __init__(self, method: str, headers: Mapping[str, str], length: int | None) -> None:
        self.method = method
        self.headers = headers
        self.length = length
        self.path = ""
        self.query: Mapping[str, str] = {}
        self.function: Function | None = None
        self.answer: HttpResponse | None = None

    @property
    def waits(self) -> bool:
        """Whether the client sends its body only once we say that we want it."""
        return self.length != 0 and self.headers.get("expect", "").lower() == "100-continue"

    @property
    def offers_another_protocol(self) -> bool:
        return "upgrade" in self.headers


def head_of(method: bytes, version: str, lines: Sequence[Line]) -> Head:
    """The head of a request, or `Rejected`: then nobody can tell where its body would end."""
    if version not in ("1.0", "1.1"):
        raise Rejected("request", "names an HTTP version that is not spoken here", code="bad_http")
    if method == b"CONNECT":
        raise Rejected("CONNECT", "this is no proxy", code="bad_http")
    headers = headers_of(lines)
    coding = headers.get("transfer-encoding")
    if coding is not None and (coding.lower() != "chunked" or version == "1.0"):
        raise Rejected("transfer-encoding", "only chunked is understood, and that in HTTP/1.1", code="bad_headers")
    if version == "1.0":  # whose clients must not be told to continue: RFC 9110, section 10.1.1
        headers.pop("expect", None)
    length = None if coding is not None else int(headers.get("content-length", "0"))
    return Head(method.decode("ascii"), headers, length)


def named_host(target: bytes) -> tuple[bytes, bytes]:
    """The host that a target names, if any, and the rest. To proxies clients name it, and servers must take that too:
    https://www.rfc-editor.org/rfc/rfc9112#section-3.2.2

    >>> named_host(b"/v2?a=b"), named_host(b"http://localhost:80/v2"), named_host(b"HTTP://localhost?a=b")
    ((b'', b'/v2?a=b'), (b'localhost:80', b'/v2'), (b'localhost', b'/?a=b'))
    """
    found = None if target.startswith(b"/") else re.fullmatch(rb"(?i:https?)://([^/?]+)(/?)(.*)", target)
    return (found[1], b"/" + found[3]) if found else (b"", target)


def address_of(target: bytes) -> tuple[str, dict[str, str]]:
    """The path and the query that a target names."""
    path, _, query = target.partition(b"?")
    return path_of(path), query_of(query)


def encoded(response: HttpResponse, *, keeps: bool = True, bodiless: bool = False) -> bytes:
    """An answer as it goes over the wire, with the security headers that it does not set itself.

    `Misconfigured` where a header would break out of its line.
    """
    status, body, own = response
    lines = "\r\n".join([*map(": ".join, own.items()), ""])
    if lines.count("\n") != len(own) or lines.count("\r") != len(own) or "\0" in lines:
        raise Misconfigured("response", "has control characters in its headers")
    start = started(status, SECURED.intersection(own))
    length = "" if status == 204 else f"content-length: {len(body)}\r\n"
    close = "" if keeps else "connection: close\r\n"
    head = f"{start}{lines}{dated(int(time.time()))}{length}{close}\r\n".encode("latin-1")
    return head if bodiless else head + body


SECURED = frozenset(SECURITY)


@cache
def started(status: int, without: frozenset[str]) -> str:
    """The first line of an answer and the security headers, but for those it sets itself."""
    security = "".join(f"{name}: {value}\r\n" for name, value in SECURITY.items() if name not in without)
    return f"HTTP/1.1 {status} {REASONS.get(status, '')}\r\n{security}"


@lru_cache(maxsize=1)
def dated(second: int) -> str:
    """The header that says when: of every answer in the same second, the same.

    >>> dated(0)
    'date: Thu, 01 Jan 1970 00:00:00 GMT\\r\\n'
    """
    at = time.gmtime(second)
    day = f"{DAYS[at.tm_wday]}, {at.tm_mday:02} {MONTHS[at.tm_mon]} {at.tm_year}"  # strftime would ask the locale
    return f"date: {day} {at.tm_hour:02}:{at.tm_min:02}:{at.tm_sec:02} GMT\r\n"
