"""Azure's services that speak JSON, asked over azure-core.

Their management packages are not used: each has a request or two for us in several megabytes of models, and costs a
function a quarter of a second to import. azure-core comes with azure-storage-blob anyway.
"""

import json
import logging
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import requests
from azure.core import PipelineClient
from azure.core.credentials import TokenCredential
from azure.core.exceptions import AzureError, ClientAuthenticationError
from azure.core.pipeline.policies import BearerTokenCredentialPolicy, UserAgentPolicy
from azure.core.pipeline.transport import RequestsTransport
from azure.core.rest import HttpRequest, HttpResponse
from requests.adapters import HTTPAdapter

from samara.errors import Misconfigured, SamaraError, Unavailable
from samara.providers.certainty import patiently

CONNECTIONS = 32  # as many as a busy process has threads
CONNECT_S, READ_S = 5.0, 30.0
LOOPBACK = ("127.0.0.1", "localhost", "::1")
BUSY = (408, 409, 429)  # 409: another change to the same thing is under way

UNLIKE = "the answer is none of Azure's; something else answers there, or broke it"

Document = dict[str, Any]


class Rest:
    """One service at `url`, which lets in whoever holds a token for `scope`. It does not retry by itself."""

    def __init__(self, url: str, version: str, credential: TokenCredential, scope: str, media: str) -> None:
        secure = urlsplit(url).hostname not in LOOPBACK
        if secure:
            refuse_clear(url)
        policies = [UserAgentPolicy("samara"), BearerTokenCredentialPolicy(credential, scope)]
        self._client: PipelineClient[HttpRequest, HttpResponse] = PipelineClient(
            url, policies=policies, transport=connections(CONNECT_S, READ_S)
        )
        self._url = url
        self._version = version
        self._media = media
        self._options = {"enforce_https": secure}

    def listed(self, subject: str, path: str) -> Iterator[Document]:
        """All of a collection, page by page; nothing when it does not exist."""
        while path:
            page = self.get(subject, path) or {"value": []}
            more = urlsplit(page.get("nextLink") or page.get("odata.nextLink") or "")
            before, path = path, more._replace(scheme="", netloc="").geturl()  # asked here: we send a token along
            if "value" not in page or path == before:
                raise Unavailable(subject, UNLIKE)
            yield from page["value"]

    def get(self, subject: str, path: str) -> Document | None:
        return patiently(lambda: self.send(subject, "GET", path, fine=[404]))

    def send(
        self, subject: str, method: str, path: str, body: Document | None = None, fine: Collection[int] = ()
    ) -> Document | None:
        """What the service answers; None for a refusal that is `fine`."""
        version = "" if "api-version=" in path else f"{'&' if '?' in path else '?'}api-version={self._version}"
        request = HttpRequest(method, f"{self._url}{path}{version}", headers={"Accept": "application/json"})
        if body is not None:
            request = HttpRequest(
                method, request.url, headers={**request.headers, "Content-Type": self._media}, content=json.dumps(body)
            )
        with reached(subject):
            reply = self._client.send_request(request, **self._options)
            said = reply.text()
        if reply.status_code < 300:
            return document(subject, said)
        if reply.status_code in fine:
            return None
        raise refusal(subject, reply.status_code, said)


def document(subject: str, said: str) -> Document:
    try:
        told = json.loads(said or "{}")
    except ValueError:
        told = None
    if not isinstance(told, dict):
        raise Unavailable(subject, UNLIKE)
    return told


@contextmanager
def reached(subject: str) -> Iterator[None]:
    try:
        yield
    except ClientAuthenticationError as error:
        raise nobody() from error
    except AzureError as error:
        why = f"Azure was not reached, or did not answer in time ({type(error).__name__})"
        raise Unavailable(subject, why) from error


def refusal(subject: str, status: int, said: str) -> SamaraError:
    """Our error for an answer that is one. The management API wraps it, Azure Batch says it in two languages."""
    try:
        told = json.loads(said)
        error = told.get("error", told)
        text = error["message"]
        why = f"Azure says {error['code']}: {text['value'] if isinstance(text, dict) else text}"
    except (ValueError, KeyError, AttributeError, TypeError):  # not from the service but from something before it
        why = f"Azure says {status}"
    return (Unavailable if status in BUSY or status >= 500 else Misconfigured)(subject, why)


def refuse_clear(url: str) -> None:
    """A token goes only where nobody can read it."""
    if not url.startswith("https://"):
        raise Misconfigured(url, "would let others read a token; use https://")


def nobody() -> Misconfigured:
    """What it means that Azure gave no token: nobody is logged in, here or any more."""
    return Misconfigured("Azure's credentials", "none were found; run az login, or give the function an identity")


@cache
def keyless() -> TokenCredential:
    """Who we are: the function's own identity, or who is logged in."""
    from azure.identity import DefaultAzureCredential  # noqa: PLC0415  # 400 ms, which whoever has a key need not wait

    logging.getLogger("azure.identity").setLevel(logging.ERROR)  # it warns by the page of what `nobody` says in a line
    return DefaultAzureCredential()


def connections(connect_s: float, read_s: float) -> RequestsTransport:
    """As many at once as there are threads; azure-core would throw away all but ten."""
    session = requests.Session()
    session.mount("https://", HTTPAdapter(pool_maxsize=CONNECTIONS))
    session.mount("http://", HTTPAdapter(pool_maxsize=CONNECTIONS))
    return RequestsTransport(
        session=session, connection_timeout=connect_s, read_timeout=read_s, connection_data_block_size=1 << 18
    )
