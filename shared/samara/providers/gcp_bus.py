"""Wakes over Google Pub/Sub, on the topic that brings the bucket's events too: each subscription knows its own.

Asked over REST, as Google Batch is, so that no second client and no gRPC come with it. Tried against requests and
answers as the reference of its REST API describes them.
"""

import re
from collections.abc import Sequence

from samara.errors import Misconfigured
from samara.events import Wake, gcp
from samara.providers.addresses import parsed
from samara.providers.certainty import patiently
from samara.providers.gcp_http import CONNECT_S, READ_S, checked, session, translated
from samara.settings import Settings

GOOGLE = "https://pubsub.googleapis.com"
AT_ONCE = 1000  # messages that Pub/Sub takes in one request, all or none
NAME = re.compile(r"[A-Za-z][\w.~+%-]{2,254}", re.ASCII)


class Topic:
    def __init__(self, project: str, topic: str, endpoint: str | None) -> None:
        self._session = session(endpoint)
        self._name = topic
        self._url = f"{endpoint or GOOGLE}/v1/projects/{project}/topics/{topic}:publish"

    def wake(self, wakes: Sequence[Wake]) -> None:
        for start in range(0, len(wakes), AT_ONCE):
            body = gcp.publication(wakes[start : start + AT_ONCE])
            patiently(lambda body=body: self._publish(body))  # type: ignore[misc]  # mypy cannot infer it

    def _publish(self, body: bytes) -> None:
        """Sent twice, it wakes twice, which changes nothing."""
        with translated(self._name, {404: Misconfigured}):
            headers = {"Content-Type": "application/json"}
            reply = checked(self._session.post(self._url, body, headers=headers, timeout=(CONNECT_S, READ_S)), 200)
            _ = reply.json()["messageIds"]  # else it was not Pub/Sub that took them


def bus(settings: Settings) -> Topic:
    """Of an address `pubsub://project/topic`."""
    address = parsed(settings.bus)
    if address.scheme != "pubsub" or not NAME.fullmatch(address.path):
        raise Misconfigured(settings.bus, "names no topic; write pubsub://project/topic")
    return Topic(address.place, address.path, address.endpoint)
