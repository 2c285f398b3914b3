"""Lambda's Runtime API on loopback: what a runtime asks for its next event, and tells what came of it.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Protocol

ROOT = "/2018-06-01/runtime"


class Environment(Protocol):
    """What the API asks of the execution environment that it serves."""

    def next_event(self) -> tuple[dict[str, str], bytes] | None:
        """The headers and the body of the next event, once there is one; none when all is over."""

    def ended(self, request_id: str, body: bytes, *, failed: bool) -> None:
        """The function has answered, or raised."""

    def never_began(self, body: bytes) -> None:
        """The function could not be imported."""


class Requests(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body leave in one segment: apart they cost 40 ms a call by delayed acknowledgement
    environment: Environment

    def do_GET(self) -> None:
        if self.path != f"{ROOT}/invocation/next":
            return self._answer(404)
        event = self.environment.next_event()
        if event is None:
            self.close_connection = True
            return None
        return self._answer(200, event[1], event[0])

    def do_POST(self) -> None:
        body = self._body()
        match self.path.removeprefix(f"{ROOT}/").split("/"):
            case ["init", "error"]:
                self.environment.never_began(body)
            case ["invocation", request_id, "response" | "error" as outcome]:
                self.environment.ended(request_id, body, failed=outcome == "error")
            case _:
                return self._answer(404)
        return self._answer(202)

    def log_message(self, *_arguments: object) -> None:
        """Silent: what the function says is its log."""

    def _answer(self, status: int, body: bytes = b'{"status":"OK"}', headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)


class Server(ThreadingHTTPServer):
    """The API of one environment, on a port of its own, until it is closed."""

    daemon_threads = True

    def __init__(self, environment: Environment) -> None:
        super().__init__(("127.0.0.1", 0), type("Requests", (Requests,), {"environment": environment}))
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    def close(self) -> None:
        self.shutdown()
        self.server_close()
