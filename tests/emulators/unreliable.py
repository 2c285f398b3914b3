"""A network that fails on purpose, between a client and an emulator: a proxy that loses answers, and knows the truth.

It speaks plain HTTP/1.1 on loopback. What it does to each request is told beforehand, so a test is the same each time.
"""

import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler
from typing import ClassVar
from urllib.parse import urlsplit

from tests.emulators.listening import listening

LATE_S = 1.0  # how long a slow answer takes, which is longer than the client waits
HOP = {"connection", "keep-alive", "transfer-encoding", "proxy-connection"}  # headers that end at each hop
BUSY = b"<Error><Code>ServiceUnavailable</Code><Message>busy</Message></Error>"


class Fault(Enum):
    LOST = "the answer is dropped after the request was carried out"
    BUSY = "the request is carried out and answered with 503"
    RESET = "the connection is reset before the request gets through"
    SLOW = "the answer comes when nobody waits for it any more"


@dataclass(slots=True)
class Network:
    """`plan` gives the fault of each request, by its method, or None; `meanwhile` happens after each fault.

    `answers` holds what the emulator truly answered to each request, as (method, status); `under_way` those it has
    yet to answer, which the client may no longer wait for.
    """

    upstream: str
    plan: Callable[[str], Fault | None] = lambda _: None
    meanwhile: Callable[[], None] = lambda: None
    answers: list[tuple[str, int]] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    under_way: set[int] = field(default_factory=set)
    port: int = 0

    def through(self, address: str) -> str:
        """The same address, but by way of this network."""
        assert self.upstream in address
        return address.replace(self.upstream, f"127.0.0.1:{self.port}")


@contextmanager
def network(upstream: str) -> Iterator[Network]:
    """A network in front of the emulator at that address."""
    net = Network(urlsplit(upstream).netloc)
    with listening(type("Handler", (Handler,), {"net": net})) as net.port:
        yield net


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    net: ClassVar[Network]

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (ConnectionError, TimeoutError):  # the client has gone, as clients do
            self.close_connection = True

    def relay(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        fault = self.net.plan(self.command)
        if fault is Fault.RESET:
            self.fail(fault)
            self.reset()
            return
        self.net.under_way.add(id(self))
        status, headers, answer = self.forwarded(body)
        self.net.answers.append((self.command, status))
        self.net.under_way.discard(id(self))
        if fault is not None:
            self.fail(fault)
        if fault is Fault.LOST:
            self.reset()
        elif fault is Fault.BUSY:
            self.respond(503, [("content-type", "application/xml")], BUSY)
        else:
            time.sleep(LATE_S if fault is Fault.SLOW else 0)
            self.respond(status, headers, answer)

    # The names under which the standard library looks for them.
    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_PATCH = relay  # noqa: N815

    def fail(self, fault: Fault) -> None:
        self.net.faults.append(fault)
        self.net.meanwhile()

    def forwarded(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        upstream = HTTPConnection(self.net.upstream, timeout=60)
        try:
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in {*HOP, "expect"}:
                    upstream.putheader(name, value)
            upstream.endheaders(body)
            answer = upstream.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            upstream.close()

    def respond(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response_only(status)
        told = {name.lower() for name, _ in headers}
        for name, value in headers:
            if name.lower() not in HOP:
                self.send_header(name, value)
        if "content-length" not in told and status != 204:
            self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def reset(self) -> None:
        """End the connection as a broken network does: without a goodbye."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass
