"""The two payloads of Lambda that are read by hand: a function URL's request, and a tick.

Who asks waits for what reading them loads, so that is nothing but Python's own.
"""

import base64
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from samara.core.strict import LARGEST
from samara.events import HttpRequest, HttpResponse, Tick
from samara.events.fields import field, in_base64, malformed
from samara.events.http_head import LONGEST_HEADERS, MOST_HEADERS, headers_of, path_of, query_of, too_large

METHOD = re.compile(r"[A-Z]{1,20}")
TEXT = ("text/", "application/json", "image/svg+xml")


def is_request(payload: Any) -> bool:
    return isinstance(field(field(payload, "requestContext"), "http"), dict)


def request(payload: Any, at: datetime) -> HttpRequest:
    """A function URL's request, in what Amazon calls payload format 2.0; as strict as the local server is."""
    method = field(payload["requestContext"]["http"], "method")
    if not isinstance(method, str) or not METHOD.fullmatch(method):
        raise malformed("request", "method: is none")
    headers = payload.get("headers", {})
    if not isinstance(headers, Mapping):
        raise malformed("request", "headers: is no object")
    return HttpRequest(
        method=method,
        path=path_of(encoded(payload, "rawPath")),
        at=at,
        query=query_of(as_bytes(payload.get("rawQueryString", ""), "rawQueryString")),
        headers=headers_in(headers),
        body=body_of(payload),
        caller=caller_of(payload),
    )


def headers_in(given: Mapping[Any, Any]) -> dict[str, str]:
    """By lower-case name. Lambda writes names so, and each only once: what is short and plain then needs no reading."""
    try:
        names, values = "".join(given), "".join(given.values())
    except TypeError:  # not all of them are text
        names, values = "", "\n"
    plain = names.isascii() and values.isascii() and names.isprintable() and values.isprintable()
    short = len(given) <= MOST_HEADERS and len(names) + len(values) <= LONGEST_HEADERS
    if plain and short and names == names.lower() and not ("content-length" in given and "transfer-encoding" in given):
        return {name: value.strip() for name, value in given.items()}
    return headers_of((as_bytes(name, "headers"), as_bytes(value, "headers")) for name, value in given.items())


def body_of(payload: Any) -> bytes:
    whole = b"" if payload.get("body") is None else encoded(payload, "body")
    if field(payload, "isBase64Encoded") is True:
        whole = in_base64(payload.get("body") or "", "body")
    if len(whole) > LARGEST:
        raise too_large(LARGEST)
    return whole


def caller_of(payload: Any) -> str:
    """The user or role that IAM let in."""
    who = field(field(field(field(payload, "requestContext"), "authorizer"), "iam"), "userArn")
    return who if isinstance(who, str) else ""


def encoded(payload: Mapping[str, Any], name: str) -> bytes:
    """The text under that name, which has to be there."""
    return as_bytes(payload.get(name), name)


def as_bytes(text: Any, name: str) -> bytes:
    if not isinstance(text, str):
        raise malformed("request", f"{name}: is no text")
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise malformed("request", f"{name}: has half a surrogate pair") from error


def reply(response: HttpResponse, *, without_body: bool = False) -> dict[str, Any]:
    """What a function URL makes a response of. Lambda speaks JSON, so what is no text goes as base64."""
    body = b"" if without_body else response.body
    packed = "content-encoding" in response.headers
    plain = not packed and response.headers.get("content-type", "").startswith(TEXT)
    return {
        "statusCode": response.status,
        "headers": dict(response.headers),
        "body": body.decode() if plain else base64.b64encode(body).decode(),
        "isBase64Encoded": not plain,
    }


def is_tick(payload: Any) -> bool:
    return bool(field(payload, "samara") == "tick")


def tick(payload: Any) -> Tick:
    """The instant that the schedule names, with its offset."""
    said = field(payload, "at")
    try:
        at = datetime.fromisoformat(said)
    except (TypeError, ValueError) as error:
        raise malformed("tick", "at: is no instant") from error
    if at.utcoffset() is None:
        raise malformed("tick", "at: has no offset from UTC")
    return Tick(at)
