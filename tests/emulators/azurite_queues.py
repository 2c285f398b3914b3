"""Azure's storage queues on loopback: Azurite's other service, which checks how a request is signed."""

from base64 import b64decode
from email.utils import formatdate
from functools import cache
from xml.etree import ElementTree

from azure.core import PipelineClient
from azure.core.rest import HttpRequest, HttpResponse

from samara.providers.azure import DEVELOPMENT, DEVELOPMENT_KEY
from samara.providers.azure_bus import VERSION, SharedKeyLite
from tests.emulators import azurite, processes

PROGRAM = azurite.HERE / "node_modules" / "azurite" / "dist" / "src" / "queue" / "main.js"


@cache
def endpoint() -> str:
    """The address of this process's own server, with the account in its path."""
    assert PROGRAM.exists(), f"Azurite is not installed in {azurite.HERE}; run `make setup`"
    port = processes.free_port()
    command = [str(azurite.NODE), str(PROGRAM), "--queueHost", "127.0.0.1", "--queuePort", str(port), *azurite.OPTIONS]
    processes.start("azurite-queues", command, port)
    return f"http://127.0.0.1:{port}/{DEVELOPMENT}"


def asked(method: str, path: str) -> HttpResponse:
    headers = {"x-ms-version": VERSION, "x-ms-date": formatdate(usegmt=True), "Content-Length": "0"}
    client: PipelineClient[HttpRequest, HttpResponse] = PipelineClient(
        endpoint(), policies=[SharedKeyLite(DEVELOPMENT, DEVELOPMENT_KEY)]
    )
    with client:
        reply = client.send_request(HttpRequest(method, f"{endpoint()}/{path}", headers=headers))
        reply.raise_for_status()
        return reply


def emptied(*queues: str) -> None:
    """These queues, with nothing in them. Their names are the functions', so tests of one process share them."""
    for queue in queues:
        asked("PUT", queue)
        asked("DELETE", f"{queue}/messages")


def messages(queue: str) -> list[bytes]:
    """What waits in a queue, as Azure's host decodes it."""
    listed = ElementTree.fromstring(asked("GET", f"{queue}/messages?peekonly=true&numofmessages=32").text())  # noqa: S314  # our own server's
    return [b64decode(text.text or "") for text in listed.iter("MessageText")]
