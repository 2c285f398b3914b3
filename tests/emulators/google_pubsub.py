"""Publishing to Google Pub/Sub on loopback: what the public reference of its REST API says of `topics.publish`."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any, ClassVar

from tests.emulators.listening import listening

MOST = 1000  # messages in one request


@dataclass
class Topics:
    """`messages` by topic, in the order they came. The first `busy` requests are turned away. Each message is told
    to `heard`, with its topic."""

    known: tuple[str, ...]
    busy: int = 0
    heard: Callable[[str, dict[str, Any]], object] = lambda *_: None
    messages: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    requests: int = 0

    def publish(self, path: str, body: Any) -> tuple[int, Any]:
        self.requests += 1
        topic, _, verb = path.removeprefix("/v1/").partition(":")
        if self.busy:
            self.busy -= 1
            return error(503, "UNAVAILABLE", "The service was unable to fulfill your request.")
        if verb != "publish" or topic not in self.known:
            return error(404, "NOT_FOUND", f"Resource not found (resource={topic.rpartition('/')[2]}).")
        messages = body.get("messages", [])
        if set(body) != {"messages"} or not 1 <= len(messages) <= MOST or not all(map(sound, messages)):
            return error(400, "INVALID_ARGUMENT", "Request contains an invalid argument.")
        kept = self.messages.setdefault(topic, [])
        kept += messages
        for message in messages:
            self.heard(topic, message)
        return 200, {"messageIds": [str(len(kept) - len(messages) + number) for number in range(len(messages))]}


def sound(message: Any) -> bool:
    """A message has data or attributes, and attributes are text of limited length."""
    attributes = message.get("attributes", {})
    texts = all(isinstance(value, str) and len(value) <= 1024 for value in attributes.values())
    return bool(message.get("data") or attributes) and texts and set(message) <= {"data", "attributes", "orderingKey"}


def error(code: int, status: str, message: str) -> tuple[int, Any]:
    return code, {"error": {"code": code, "message": message, "status": status}}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    topics: ClassVar[Topics]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        status, answer = self.topics.publish(self.path, body)
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json; charset=UTF-8")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def served(topics: Topics) -> Iterator[str]:
    """The address of a service in this process, for tests that look into it."""
    with listening(type("Bound", (Handler,), {"topics": topics})) as port:
        yield f"http://127.0.0.1:{port}"
