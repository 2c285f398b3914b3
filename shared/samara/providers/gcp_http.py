"""How Google's services are spoken to: as whom, how long one waits, and what their answers mean to us."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from urllib.parse import urlsplit

import google.auth
from google.api_core.exceptions import GoogleAPICallError, from_http_response
from google.auth.credentials import AnonymousCredentials, Credentials
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError, TransportError
from google.auth.transport.requests import AuthorizedSession
from requests import Response
from requests.adapters import HTTPAdapter
from requests.exceptions import ChunkedEncodingError, RequestException, Timeout
from requests.exceptions import ConnectionError as Disconnected
from urllib3.exceptions import HTTPError

from samara.errors import Conflict, Misconfigured, NotFound, Rejected, SamaraError, Unavailable

CONNECTIONS = 32  # as many as a busy process has threads
CONNECT_S, READ_S = 5.0, 30.0
SCOPE = "https://www.googleapis.com/auth/cloud-platform"  # what one may do is for IAM to say
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Busy(Unavailable):
    """Too much was asked, so nothing was done: unlike after other failures, no doubt is left."""

    usual = "Google takes no more requests for it just now"


class Beyond(Exception):
    """The part asked for begins behind the end of its object."""


MEANING: Mapping[int, type[SamaraError] | type[Beyond]] = MappingProxyType(
    {
        401: Misconfigured,
        403: Misconfigured,
        404: NotFound,
        408: Unavailable,
        409: Unavailable,  # two requests met, and this one has not been served
        412: Conflict,
        413: Rejected,
        429: Busy,
    }
)
NONSENSE = (RequestException, AttributeError, KeyError, TypeError, ValueError)  # what the SDK makes of it
UNREACHED = (Disconnected, Timeout, ChunkedEncodingError, HTTPError, TransportError)
WAYS_OUT = {
    401: "see that the credentials are valid: gcloud auth application-default login, or the function's own account",
    403: "grant the account what it needs",
}


@contextmanager
def translated(subject: str, here: Mapping[int, type[Exception]] = MappingProxyType({})) -> Iterator[None]:
    """Raise our error for Google's, with Google's as the cause. `here` is what a code means besides, or instead."""
    try:
        yield
    except GoogleAPICallError as error:
        code = int(error.code or 0)
        meaning = {**MEANING, **here}.get(code) or (Misconfigured if 400 <= code < 500 else Unavailable)
        if meaning in (NotFound, Conflict, Busy):
            raise meaning(subject) from error
        why = f"Google says {code}, {said(error)}"
        raise meaning(subject, f"{why}; {WAYS_OUT[code]}" if code in WAYS_OUT else why) from error
    except UNREACHED as error:
        raise Unavailable(
            subject, f"Google was not reached, or did not answer in time ({type(error).__name__})"
        ) from error
    except GoogleAuthError as error:
        meaning = Unavailable if error.retryable else Misconfigured
        raise meaning(subject, f"no access token was given: {error}") from error
    except NONSENSE as error:
        why = (
            f"the answer is none that Google gives; something else answers there, or broke it ({type(error).__name__})"
        )
        raise Unavailable(subject, why) from error


def said(error: GoogleAPICallError) -> str:
    """Google's own words, without the request that they come wrapped in."""
    try:
        return str(error.response.json()["error"]["message"]).rstrip(".")
    except (AttributeError, KeyError, TypeError, ValueError):
        return str(getattr(error.response, "reason", "") or "without a word")


def checked(reply: Response, *fine: int) -> Response:
    """`reply`, if its status is one of `fine`, else Google's error."""
    if reply.status_code not in fine:
        raise from_http_response(reply)  # type: ignore[no-untyped-call]  # half typed
    return reply


def session(endpoint: str | None) -> AuthorizedSession:
    """Connections that many threads may share, and that speak in the name of who runs this process."""
    opened = AuthorizedSession(credentials(endpoint))  # type: ignore[no-untyped-call]  # half typed
    for scheme in ("https://", "http://"):
        opened.mount(scheme, HTTPAdapter(pool_connections=4, pool_maxsize=CONNECTIONS))
    opened.max_redirects = 0  # Google sends nobody elsewhere
    opened.hooks["response"].append(heard_out)
    return opened


def heard_out(reply: Response, *_more: object, **_named: object) -> None:
    """Read a refusal to its end. After a first 401 google-auth asks again and forgets to close what it got."""
    if not reply.ok:
        _ = reply.content


def credentials(endpoint: str | None) -> Credentials:
    """None for an emulator on this machine; to anybody else only over TLS."""
    place = urlsplit(endpoint or "https://")
    if place.scheme == "http" and place.hostname in LOOPBACK:
        return AnonymousCredentials()  # type: ignore[no-untyped-call]  # half typed
    if place.scheme != "https":
        raise Misconfigured(
            endpoint or "", "is given our credentials, so it starts with https:// unless it is this machine"
        )
    try:
        found, _ = google.auth.default(scopes=[SCOPE])
    except DefaultCredentialsError as error:
        why = "none were found; run gcloud auth application-default login, or give the function a service account"
        raise Misconfigured("Google's credentials", why) from error
    return found
