"""A storage account on loopback that takes tokens instead of keys: Azurite behind TLS, under a name of its own.

Azurite reads whom a token is for, when it ends and who made it. It knows no roles: who may do what, tests ask of the
graph.
"""

import os
import secrets
from base64 import b64decode, b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from functools import cached_property
from ipaddress import ip_address
from pathlib import Path
from xml.etree import ElementTree

from azure.core import PipelineClient
from azure.core.pipeline.transport import RequestsTransport
from azure.core.rest import HttpRequest, HttpResponse
from azure.storage.blob import BlobServiceClient
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from samara.providers.azure_bus import VERSION, XML, SharedKeyLite
from tests.emulators import azurite, processes

PROGRAM = azurite.HERE / "node_modules" / "azurite" / "dist" / "src" / "azurite.js"
LIFE = timedelta(days=1)


@dataclass(frozen=True)
class Message:
    """One that was taken out of a queue, and is seen again unless it is deleted."""

    id: str
    receipt: str
    tries: int
    text: str
    put_at: str


@dataclass(frozen=True)
class Account:
    """`certificate` is what its clients must trust."""

    name: str
    key: str
    blobs: str
    queues: str
    certificate: Path

    @property
    def trusted(self) -> dict[str, str]:
        """The environment in which a process trusts it, as every process trusts Azure's own."""
        return {"REQUESTS_CA_BUNDLE": str(self.certificate), "SSL_CERT_FILE": str(self.certificate)}

    @cached_property
    def client(self) -> BlobServiceClient:
        """The plain SDK, for what somebody with the key does beside us."""
        return BlobServiceClient(
            self.blobs, {"account_name": self.name, "account_key": self.key}, connection_verify=str(self.certificate)
        )

    @cached_property
    def _queues(self) -> "PipelineClient[HttpRequest, HttpResponse]":
        transport = RequestsTransport(connection_verify=str(self.certificate))
        return PipelineClient(self.queues, policies=[SharedKeyLite(self.name, self.key)], transport=transport)

    def create_queue(self, queue: str) -> None:
        self._asked("PUT", queue)

    def put(self, queue: str, message: bytes) -> None:
        text = b64encode(message).decode()
        self._asked("POST", f"{queue}/messages", f"<QueueMessage><MessageText>{text}</MessageText></QueueMessage>")

    def taken(self, queue: str, hidden_s: int) -> Message | None:
        """The next message, which nobody else sees for so long."""
        found = list(self._listed(f"{queue}/messages?visibilitytimeout={hidden_s}"))
        return found[0] if found else None

    def waiting(self, queue: str) -> list[bytes]:
        """What is in a queue, as the host decodes it."""
        return [b64decode(one.text) for one in self._listed(f"{queue}/messages?peekonly=true&numofmessages=32")]

    def show(self, queue: str, message: Message) -> None:
        """Let others have it at once."""
        body = f"<QueueMessage><MessageText>{message.text}</MessageText></QueueMessage>"
        self._asked("PUT", f"{queue}/messages/{message.id}?popreceipt={message.receipt}&visibilitytimeout=0", body)

    def delete(self, queue: str, message: Message) -> None:
        self._asked("DELETE", f"{queue}/messages/{message.id}?popreceipt={message.receipt}")

    def _listed(self, path: str) -> Iterator[Message]:
        for one in ElementTree.fromstring(self._asked("GET", path).text()).iter("QueueMessage"):  # noqa: S314  # our own server's
            said = {part.tag: part.text or "" for part in one}
            yield Message(
                said["MessageId"], said.get("PopReceipt", ""), int(said["DequeueCount"]), said["MessageText"],
                said["InsertionTime"],
            )  # fmt: skip

    def _asked(self, method: str, path: str, body: str = "") -> HttpResponse:
        headers = {"x-ms-version": VERSION, "x-ms-date": formatdate(usegmt=True), "Content-Type": XML}
        reply = self._queues.send_request(HttpRequest(method, f"{self.queues}/{path}", headers=headers, content=body))
        reply.read()
        reply.raise_for_status()
        return reply


def start(name: str, folder: Path) -> Account:
    """A new account, empty and with a new key. Its certificate is put into `folder`."""
    assert PROGRAM.exists(), f"Azurite is not installed in {azurite.HERE}; run `make setup`"
    secret, certificate = signed(folder)
    key = b64encode(secrets.token_bytes(64)).decode()
    blobs, queues, tables = (processes.free_port() for _ in range(3))
    command = [str(azurite.NODE), str(PROGRAM), *azurite.OPTIONS, "--oauth", "basic"]
    command += ["--cert", str(certificate), "--key", str(secret)]
    for service, port in (("blob", blobs), ("queue", queues), ("table", tables)):
        command += [f"--{service}Host", "127.0.0.1", f"--{service}Port", str(port)]
        command += [f"--{service}KeepAliveTimeout", str(azurite.KEEP_ALIVE_S)]
    accounts = {**os.environ, "AZURITE_ACCOUNTS": f"{name}:{key}"}
    processes.start(f"account-{name}", command, tables, accounts)  # of the three it listens there last
    base = "https://127.0.0.1"
    return Account(name, key, f"{base}:{blobs}/{name}", f"{base}:{queues}/{name}", certificate)


def signed(folder: Path) -> tuple[Path, Path]:
    """A key, and the certificate of this machine that it signs itself, for a day."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    begins = datetime.now(UTC) - LIFE / 2
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + LIFE)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "key.pem", folder / "certificate.pem"
    paths[0].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    paths[1].write_bytes(certificate.public_bytes(Encoding.PEM))
    return paths
