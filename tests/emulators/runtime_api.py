"""Lambda's Runtime API on loopback, for one runtime: it hands out events, and hears what comes of them.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

import select
import socket
import time
from collections.abc import Mapping
from typing import NamedTuple

PATIENCE_S = 20.0
ARN = "arn:aws:lambda:us-east-1:123456789012:function:predict"
ACCEPTED = b'HTTP/1.1 202 Accepted\r\ncontent-type: application/json\r\ncontent-length: 16\r\n\r\n{"status":"OK"}\n'


class Told(NamedTuple):
    """A request of the runtime's. `at` is when its first byte was here, by `time.perf_counter`."""

    connection: socket.socket
    path: str
    headers: Mapping[str, str]
    body: bytes
    at: float

    @property
    def what(self) -> str:
        """next, response or error."""
        return self.path.rpartition("/")[2]

    def accept(self) -> None:
        self.connection.sendall(ACCEPTED)


class RuntimeApi:
    """What a runtime polls. It speaks to one at a time, over as many connections as that opens one after another."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.settimeout(PATIENCE_S)
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self.connected = 0
        self._open: list[socket.socket] = []
        self._idle: socket.socket | None = None

    def __enter__(self) -> "RuntimeApi":
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        for one in (self._socket, *self._open):
            one.close()

    def hang_up(self) -> None:
        """Close every connection, and forget who waits for an event."""
        for one in self._open:
            one.close()
        self._open.clear()
        self._idle = None

    def told(self, patience_s: float = PATIENCE_S) -> Told:
        """What the runtime says next."""
        while True:
            ready, _, _ = select.select([self._socket, *self._open], [], [], patience_s)
            if not ready:
                raise TimeoutError("the runtime has not said anything")
            if ready[0] is self._socket:
                connection, _ = self._socket.accept()
                connection.settimeout(PATIENCE_S)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.connected += 1
                self._open.append(connection)
            elif found := self._read(ready[0]):
                if found.what == "next":
                    self._idle = found.connection
                return found

    def _read(self, connection: socket.socket) -> Told | None:
        read, at = connection.recv(1 << 16), time.perf_counter()
        if not read:
            self._open.remove(connection)
            connection.close()
            return None
        while b"\r\n\r\n" not in read:
            read += connection.recv(1 << 16)
        head, _, body = read.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        size, parts = int(headers.get("content-length", 0)) - len(body), [body]
        while size > 0:
            parts.append(connection.recv(1 << 20))
            size -= len(parts[-1])
        return Told(connection, first.split(" ")[1], headers, b"".join(parts), at)

    def idle(self) -> socket.socket:
        """Over which the runtime waits for an event. It does so until it gets one."""
        if self._idle is None:
            told = self.told()
            if self._idle is None:
                raise LookupError(f"{told.path}: {told.body[:1000]!r}")
        return self._idle

    def hand_out(self, request: str, event: bytes, *, chunks: int = 0, **more: str) -> float:
        """Give the runtime an event, in so many chunks if any, and `more` headers; the moment before that."""
        connection = self.idle()
        self._idle = None
        said = {
            "content-type": "application/json",
            "lambda-runtime-aws-request-id": request,
            "lambda-runtime-invoked-function-arn": ARN,
            "lambda-runtime-deadline-ms": str(int((time.time() + 60) * 1000)),
            **{name.replace("_", "-"): value for name, value in more.items()},
            **({"transfer-encoding": "chunked"} if chunks else {"content-length": str(len(event))}),
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in said.items())
        sent = time.perf_counter()
        connection.sendall(f"HTTP/1.1 200 OK\r\n{head}\r\n".encode() + (chunked(event, chunks) if chunks else event))
        return sent

    def invoke(self, request: str, event: bytes, *, chunks: int = 0, **more: str) -> tuple[Told, float]:
        """What came of an event, and the seconds from when it was handed out."""
        sent = self.hand_out(request, event, chunks=chunks, **more)
        told = self.told()
        told.accept()
        return told, told.at - sent


def chunked(body: bytes, chunks: int) -> bytes:
    size = len(body) // chunks + 1
    parts = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
