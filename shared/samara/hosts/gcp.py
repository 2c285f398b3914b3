"""What Google's functions framework starts: `function`, which `main.py` imports.

Events are posts below `/_events/`, which only the deployment's own account may make (`SAMARA_CALLER`); everything else
is the function's HTTP, whose callers are believed where Cloud Run lets in nobody unknown (`SAMARA_PRIVATE`). Whatever
is not 2xx is delivered again, so a malformed event is too, in vain but harmlessly; after the last try it goes to the
dead letters.
"""

import os
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from samara import entry
from samara.core.strict import LARGEST
from samara.errors import Rejected
from samara.events import HttpRequest, HttpResponse, gcp
from samara.events.http_head import headers_of, path_of, query_of, too_large
from samara.hosts import http
from samara.hosts.process import Process, now, this

if TYPE_CHECKING:
    from flask import Request

Reply = tuple[bytes, int, dict[str, str]]


def function(asked: "Request") -> Reply:
    prepare()
    response = answer(this(), asked)
    return response.body, response.status, dict(response.headers)  # Flask leaves out a body that HEAD must not have


@cache
def prepare() -> None:
    entry.log_as_json("logging.googleapis.com/trace", os.environ.get("GOOGLE_CLOUD_PROJECT", ""))


def answer(process: Process, asked: "Request") -> HttpResponse:
    if asked.path.startswith(gcp.EVENTS):
        try:
            take(process, request(asked))
        except Exception as error:  # noqa: BLE001  # Pub/Sub sees a status, and the log the rest
            return http.secured(http.failure(error, {"path": asked.path[:200]}))
        return HttpResponse(204, b"")
    return process.answer(lambda: identified(process, request(asked)))


def identified(process: Process, asked: HttpRequest) -> HttpRequest:
    """With its caller, if Cloud Run lets in nobody else. To a service open to all, anybody's token gets through."""
    return asked._replace(caller=gcp.caller(asked)) if process.settings.private else asked


def take(process: Process, post: HttpRequest) -> None:
    if process.settings.caller and gcp.caller(post) != process.settings.caller:
        raise Rejected("caller", "only the deployment's own account may post events", code="not_ours")
    process.hear(lambda: gcp.event(post, process.known))


def request(asked: "Request") -> HttpRequest:
    """As strict as the local server is. The path is taken as it was sent, before anybody decoded it."""
    raw = asked.environ.get("RAW_URI") or asked.environ["REQUEST_URI"]
    body = asked.stream.read(LARGEST + 1)
    if len(body) > LARGEST:
        raise too_large(LARGEST)
    return HttpRequest(
        method=asked.method,
        path=path_of(urlsplit(raw).path.encode("latin-1")),
        at=now(),
        query=query_of(asked.query_string),
        headers=headers_of((name.encode("latin-1"), value.encode("latin-1")) for name, value in asked.headers.items()),
        body=body,
    )
