"""HTTP by the catalogue, on a laptop and in every cloud: who answers, what nobody need answer, one shape of error."""

import json
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

from samara import catalogue
from samara.catalogue import Catalogue, Function, Http
from samara.core.strict import shown
from samara.entry import log, refusal, refused
from samara.errors import Misconfigured, Rejected, SamaraError
from samara.events import HttpRequest, HttpResponse

SECURITY = {
    "x-content-type-options": "nosniff",
    "content-security-policy": (
        "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


Addressee = Function | HttpResponse  # who is to answer, or the answer for which nobody need run


def addressees(functions: Catalogue) -> Callable[[HttpRequest], Addressee]:
    """`addressee` in one catalogue. Who asks again is known, unless by a path so long that a few fill the memory."""
    known = lru_cache(1_024)(partial(addressee, functions))

    def find(request: HttpRequest) -> Addressee:
        method, path = request.method, request.path
        return known(method, path) if len(path) < 200 else addressee(functions, method, path)

    return find


def addressee(functions: Catalogue, method: str, path: str) -> Addressee:
    """Who is to answer a request, or `Rejected` where nobody has that address."""
    function = catalogue.answering(functions, path)
    if function is None:
        raise unknown(path)
    allowed = methods(function, path)
    if method == "OPTIONS":
        return HttpResponse(204, b"", {"allow": ", ".join(allowed)})
    if method not in allowed:
        return refusal(405, "bad_method", f"use {' or '.join(allowed)} here", {"allow": ", ".join(allowed)})
    return function


def unknown(path: str) -> Rejected:
    return Rejected(shown(path), "no such address", code="unknown_path")


def methods(function: Function, path: str) -> list[str]:
    """The methods under which a function answers a path. Whoever answers GET answers HEAD."""
    given = [
        method
        for trigger in function.on
        if isinstance(trigger, Http) and catalogue.fits(path, trigger.path)
        for method in trigger.methods
    ]
    return [*dict.fromkeys(given), *(("HEAD",) if "GET" in given else ()), "OPTIONS"]


def got(request: HttpRequest) -> HttpRequest:
    """As the functions know it: to them HEAD is GET, of which the server leaves the body out."""
    return request._replace(method="GET") if request.method == "HEAD" else request


def response_of(function: Function, answer: Any) -> HttpResponse:
    if not isinstance(answer, HttpResponse):
        raise Misconfigured(function.name, "answers HTTP with something that is no HttpResponse")
    return answer


def failure(error: Exception, about: dict[str, Any]) -> HttpResponse:
    """The response to a request that failed. A bug must not end the server, nor be shown to strangers."""
    if isinstance(error, SamaraError):
        response = refused(error)
        log.info(json.dumps({"function": "http", **about, "refused": response.status}))
        return response
    log.error(json.dumps({"function": "http", **about, "outcome": "crashed"}), exc_info=error)
    return refusal(500, "internal", "something went wrong here; the log says what")


def secured(response: HttpResponse) -> HttpResponse:
    return HttpResponse(response.status, response.body, {**SECURITY, **response.headers})


def answered(
    find: Callable[[HttpRequest], Addressee],
    read: Callable[[], HttpRequest],
    run: Callable[[Function, HttpRequest], Any],
) -> HttpResponse:
    """The response to what `read` gives, whatever happens."""
    request = None
    try:
        request = read()
        found = find(request)
        if isinstance(found, HttpResponse):
            return secured(found)
        return secured(response_of(found, run(found, got(request))))
    except Exception as error:  # noqa: BLE001  # whatever it is, whoever asked gets an answer
        about = {"method": shown(request.method), "path": shown(request.path)} if request else {}
        return secured(failure(error, about))
