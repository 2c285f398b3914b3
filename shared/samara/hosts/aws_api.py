"""Lambda's Runtime API, over which a process gets its events: one connection, and nothing loaded for it but llhttp.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

import socket

import httptools

ROOT = "/2018-06-01/runtime"
READ = 1 << 16  # bytes at a time
TOO_LATE = 410  # the invocation ran out of time, and whoever waited was told: no reason to end as well
BROKEN = (OSError, httptools.HttpParserError)  # what is raised when there is nothing to be had of it any more


class Reply:
    """What the API says, as llhttp reads it."""

    def __init__(self) -> None:
        self.headers: dict[bytes, bytes] = {}
        self.whole = False
        self._parts: list[bytes] = []

    @property
    def body(self) -> bytes:
        return b"".join(self._parts)

    def text(self, header: bytes) -> str:
        return self.headers.get(header, b"").decode()

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.lower()] = value

    def on_body(self, part: bytes) -> None:
        self._parts.append(part)

    def on_message_complete(self) -> None:
        self.whole = True


class Api:
    """The Runtime API over one connection, which is made anew when it was closed."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._address = host, int(port)
        self._rest = f" HTTP/1.1\r\nhost: {address}\r\n"
        self._next = f"GET {ROOT}/invocation/next{self._rest}\r\n".encode()
        self._connection: socket.socket | None = None

    def next(self) -> Reply:
        """The next event, however long it takes to come."""
        try:
            self._connected().sendall(self._next)
            return self.settle()
        except ConnectionError:  # closed while nothing happened, and asking again changes nothing
            self._close()
        self._connected().sendall(self._next)
        return self.settle()

    def tell(self, what: str, body: bytes, headers: str = "") -> None:
        """Send what came of an event, and only once. It is known to have arrived when `settle` comes back."""
        if self._connection and closed(self._connection):
            self._close()
        head = f"POST {ROOT}/{what}{self._rest}{headers}content-type: application/json\r\ncontent-length: {len(body)}"
        self._connected().sendall(b"%b\r\n\r\n%b" % (head.encode(), body))

    def settle(self) -> Reply:
        """What the API says to what it was sent."""
        reply, connection = Reply(), self._connected()
        parser = httptools.HttpResponseParser(reply)
        while not reply.whole:
            if not (data := connection.recv(READ)):
                raise ConnectionResetError("it closed the connection in place of a whole answer")
            parser.feed_data(data)
        if reply.headers.get(b"connection", b"").lower() == b"close":
            self._close()
        if (status := parser.get_status_code()) >= 400 and status != TOO_LATE:
            raise OSError(f"it answered {status}: {reply.body[:1000].decode(errors='replace')}")
        return reply

    def _connected(self) -> socket.socket:
        if not self._connection:
            self._connection = socket.socket()
            self._connection.connect(self._address)
            self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._connection

    def _close(self) -> None:
        if self._connection:
            self._connection.close()
        self._connection = None


def closed(connection: socket.socket) -> bool:
    """Whether the other end has hung up on a connection over which nothing is expected."""
    try:
        return not connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except ConnectionError:
        return True
