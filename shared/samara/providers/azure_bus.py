"""Wakes over Azure's storage queues, of which each function has its own, with the function's name.

One request for a message is all there is to it, so azure-core makes it; the queues' own package stays out. What an
account's key signs, and how, is for those who have one: the emulator, and whoever cannot have an identity.
"""

import hashlib
import hmac
from base64 import b64decode, b64encode
from collections.abc import Sequence
from email.utils import formatdate
from typing import Any
from urllib.parse import urlsplit

from azure.core import PipelineClient
from azure.core.pipeline import PipelineRequest
from azure.core.pipeline.policies import BearerTokenCredentialPolicy, SansIOHTTPPolicy, UserAgentPolicy
from azure.core.rest import HttpRequest, HttpResponse

from samara.errors import Misconfigured, Unavailable
from samara.events import Wake, azure
from samara.providers.azure_rest import BUSY, CONNECT_S, READ_S, connections, reached
from samara.providers.certainty import patiently

VERSION = "2021-12-02"
SCOPE = "https://storage.azure.com/.default"
XML = "application/xml"


class Queues:
    """`opened` is a credential for tokens, or the name and key of the account."""

    def __init__(self, url: str, opened: Any) -> None:
        keyed = isinstance(opened, dict)
        signing = SharedKeyLite(**opened) if keyed else BearerTokenCredentialPolicy(opened, SCOPE)
        policies = [UserAgentPolicy("samara"), signing]
        self._client: PipelineClient[HttpRequest, HttpResponse] = PipelineClient(
            url, policies=policies, transport=connections(CONNECT_S, READ_S)
        )
        self._url = url.rstrip("/")

    def wake(self, wakes: Sequence[Wake]) -> None:
        for wake in wakes:
            patiently(lambda wake=wake: self._put(wake))  # type: ignore[misc]  # mypy cannot infer it

    def _put(self, wake: Wake) -> None:
        """Put twice, it wakes twice, which changes nothing. Azure's own host reads messages as base64."""
        text = b64encode(azure.wake(wake.key)).decode()
        request = HttpRequest(
            "POST",
            f"{self._url}/{wake.function}/messages",
            headers={"x-ms-version": VERSION, "x-ms-date": formatdate(usegmt=True), "Content-Type": XML},
            content=f"<QueueMessage><MessageText>{text}</MessageText></QueueMessage>",
        )
        with reached(wake.function):
            reply = self._client.send_request(request)
            reply.read()
        if reply.status_code != 201:
            raise refusal(wake.function, reply)


def refusal(queue: str, reply: HttpResponse) -> Unavailable | Misconfigured:
    code = reply.headers.get("x-ms-error-code", str(reply.status_code))
    busy = reply.status_code in BUSY or reply.status_code >= 500
    why = f"Azure says {code}"
    return Unavailable(queue, why) if busy else Misconfigured(queue, f"{why}; {WAYS_OUT.get(code, 'deploy again')}")


WAYS_OUT = {
    "QueueNotFound": "there is no such queue: deploy again, or correct SAMARA_BUS",
    "AuthorizationPermissionMismatch": "give this identity the role Storage Queue Data Message Sender",
}


class SharedKeyLite(SansIOHTTPPolicy[HttpRequest, HttpResponse]):
    """Signs each request with the account's key, as Azure's reference calls it."""

    def __init__(self, account_name: str, account_key: str) -> None:
        super().__init__()
        self._account = account_name
        self._key = b64decode(account_key)

    def on_request(self, request: PipelineRequest[HttpRequest]) -> None:
        asked = request.http_request
        ours = sorted(name for name in map(str.lower, asked.headers) if name.startswith("x-ms-"))
        said = [asked.method, "", asked.headers.get("Content-Type", ""), ""]
        said += [f"{name}:{asked.headers[name]}" for name in ours]
        said += [f"/{self._account}{urlsplit(asked.url).path}"]
        signature = hmac.digest(self._key, "\n".join(said).encode(), hashlib.sha256)
        asked.headers["Authorization"] = f"SharedKeyLite {self._account}:{b64encode(signature).decode()}"
