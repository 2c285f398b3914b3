"""An emulator of Google Cloud Storage that accepts preconditions and ignores them: what a conformance kit is for."""

import sys
from functools import cache
from uuid import uuid4

import requests

from tests.emulators import processes

PROGRAM = """
import sys
from gcp_storage_emulator.server import create_server
create_server("127.0.0.1", int(sys.argv[1]), in_memory=True).run()
"""


@cache
def endpoint() -> str:
    """The address of this process's own server."""
    port = processes.free_port()
    processes.start("unconditional", [sys.executable, "-c", PROGRAM, str(port)], port)
    return f"http://127.0.0.1:{port}"


def fresh_bucket() -> str:
    """The address of a new bucket."""
    name = f"samara-{uuid4().hex[:12]}"
    requests.post(f"{endpoint()}/storage/v1/b", json={"name": name}, timeout=10).raise_for_status()
    return f"gs://{name}?endpoint={endpoint()}"
