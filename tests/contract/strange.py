"""Something between a client and an emulator that changes answers, or gives its own: a proxy, a portal, a bad cable."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from tests.emulators import unreliable
from tests.emulators.listening import listening


@dataclass(frozen=True, slots=True)
class Told:
    """An answer; with `broken`, the connection ends after half of its body."""

    status: int
    headers: dict[str, str]
    body: bytes
    broken: bool = False

    def without(self, *names: str) -> "Told":
        return replace(self, headers={name: value for name, value in self.headers.items() if name not in names})


@dataclass
class Between:
    """`change` is given the method, the path and how to ask the emulator; it says what the client is told."""

    upstream: str
    change: Callable[[str, str, Callable[[], Told]], Told] = lambda _method, _path, asked: asked()
    asked: int = 0
    port: int = 0

    def through(self, address: str) -> str:
        return address.replace(self.upstream, f"127.0.0.1:{self.port}")


@contextmanager
def between(upstream: str) -> Iterator[Between]:
    there = Between(urlsplit(upstream).netloc)

    class Handler(unreliable.Handler):
        net = unreliable.Network(there.upstream)

        def relay(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            there.asked += 1
            self.say(there.change(self.command, self.path, lambda: self.heard(body)))

        def heard(self, body: bytes) -> Told:
            status, headers, answer = self.forwarded(body)
            kept = {name.lower(): value for name, value in headers if name.lower() not in unreliable.HOP}
            return Told(status, {**kept, "content-length": kept.get("content-length", str(len(answer)))}, answer)

        def say(self, told: Told) -> None:
            self.send_response_only(told.status)
            for name, value in told.headers.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(told.body[: len(told.body) // 2] if told.broken else told.body)
            self.close_connection = told.broken or "content-length" not in told.headers

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_PATCH = relay  # noqa: N815  # as the library has them

    with listening(Handler) as there.port:
        yield there
