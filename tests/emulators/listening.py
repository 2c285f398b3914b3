"""A server of the standard library in this process, for as long as somebody needs it."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ssl import SSLContext
from threading import Thread


@contextmanager
def listening(handler: type[BaseHTTPRequestHandler], trusted: SSLContext | None = None) -> Iterator[int]:
    """The port at which requests are answered so. In the end nobody waits for those who are still connected."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads, server.block_on_close = True, False
    if trusted:
        server.socket = trusted.wrap_socket(server.socket, server_side=True)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
