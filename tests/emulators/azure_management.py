"""What an app asks of Azure beside storage, on loopback: tokens of its identity, and jobs of Container Apps.

There is no emulator of either. Jobs are processes of this machine, and answers have the shapes of
`tests/contract/recorded/azure`. No image is pulled: `python` is a bare one, which sees nothing of ours.
"""

import json
import re
import subprocess
import sys
import tempfile
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.emulators import processes
from tests.emulators.listening import listening

IMAGE_PYTHON = str(Path(sys.base_prefix, "bin", f"python3.{sys.version_info.minor}"))  # as bare as an image
ISSUER = "https://sts.windows.net/00000000-0000-0000-0000-000000000000/"
SECRET = "known to the apps of this machine"  # noqa: S105  # which is what Azure's is: it keeps others' requests out
JOB = re.compile(r"(/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft\.App/jobs/([^/]+))(/.*)?")
Document = dict[str, Any]
Answer = tuple[int, Document]


@dataclass
class Run:
    name: str
    process: "subprocess.Popen[bytes]"
    began: datetime

    @property
    def status(self) -> str:
        code = self.process.poll()
        return "Running" if code is None else "Failed" if code else "Succeeded"


@dataclass
class Azure:
    """`clients` are the identities that there are, `trusted` is what a job's machine has in its environment."""

    clients: frozenset[str]
    trusted: Mapping[str, str]
    folder: Path
    url: str = ""
    jobs: dict[str, Document] = field(default_factory=dict)
    runs: dict[str, list[Run]] = field(default_factory=dict)

    @property
    def identity(self) -> dict[str, str]:
        """By which an app finds its tokens."""
        return {"IDENTITY_ENDPOINT": f"{self.url}/msi/token", "IDENTITY_HEADER": SECRET}

    def token(self, secret: str | None, query: Mapping[str, str]) -> Answer:
        if secret != SECRET:
            return 401, {"statusCode": 401, "message": "X-IDENTITY-HEADER is missing or wrong"}
        if query.get("client_id") not in self.clients:
            return 400, {"statusCode": 400, "message": f"no identity {query.get('client_id')} is assigned"}
        begins = int(time.time())
        ends = begins + 3600
        claims = {"aud": query["resource"], "iss": ISSUER, "appid": query["client_id"], "iat": begins, "nbf": begins}
        token = f"{encoded({'alg': 'none'})}.{encoded({**claims, 'exp': ends})}."
        said = {"access_token": token, "expires_on": str(ends), "resource": query["resource"], "token_type": "Bearer"}
        return 200, said

    def managed(self, method: str, path: str, authorization: str, body: Document) -> Answer:
        """What the management API says to who has a token for it."""
        scheme, _, token = authorization.partition(" ")
        if scheme != "Bearer" or decoded(token.split(".")[1])["aud"] != self.url:
            return 401, refused("AuthenticationFailed", "no token for this audience")
        found = JOB.fullmatch(path)
        assert found, f"asked for {path}, which is not known here"
        return self._of_job(f"{method} {found[3] or '/'}", found[1], found[2], body)

    def _of_job(self, asked: str, known: str, name: str, body: Document) -> Answer:
        if asked == "PUT /":
            self.jobs[known] = body
            self.runs.setdefault(known, [])
            return 201, self._described(known, name)
        if known not in self.jobs:
            return 404, refused("ResourceNotFound", f"The Resource 'Microsoft.App/jobs/{name}' was not found.")
        if asked == "POST /start":
            return 200, self._start(known, name)
        if asked == "GET /executions":
            return 200, {"value": [executed(known, run) for run in self.runs[known]], "nextLink": None}
        assert asked == "GET /", f"{asked} is not known here"
        return 200, self._described(known, name)

    def _described(self, known: str, name: str) -> Document:
        body = self.jobs[known]
        properties = {**body["properties"], "provisioningState": "Succeeded"}
        return {**body, "id": known, "name": name, "type": "Microsoft.App/jobs", "properties": properties}

    def _start(self, known: str, name: str) -> Document:
        (container,) = self.jobs[known]["properties"]["template"]["containers"]
        python, *rest = container["command"]
        assert python == "python", f"the image has no {python}"
        run = f"{name}-{len(self.runs[known])}"
        disk = tempfile.mkdtemp(dir=self.folder)
        given = {"TMPDIR": disk, **{one["name"]: one["value"] for one in container["env"]}}
        with (self.folder / f"{run}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", processes.MORTAL, IMAGE_PYTHON, *rest, *container["args"]],
                env={**self.trusted, **self.identity, **given},
                cwd=disk, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        self.runs[known].append(Run(run, process, datetime.now(UTC)))
        return {"name": run, "id": f"{known}/executions/{run}"}

    def stop(self) -> None:
        for run in (run for runs in self.runs.values() for run in runs):
            run.process.kill()
            run.process.wait()


def executed(known: str, run: Run) -> Document:
    properties = {"status": run.status, "startTime": run.began.isoformat()}
    identity = f"{known}/executions/{run.name}"
    return {"name": run.name, "id": identity, "type": "Microsoft.App/jobs/executions", "properties": properties}


def refused(code: str, message: str) -> Document:
    return {"error": {"code": code, "message": message}}


def encoded(part: Document) -> str:
    return urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")


def decoded(part: str) -> Document:
    claims: Document = json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return claims


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    azure: ClassVar[Azure]

    def respond(self) -> None:
        parts = urlsplit(self.path)
        body = json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)) or b"{}")
        if parts.path == "/msi/token":
            status, document = self.azure.token(self.headers["X-IDENTITY-HEADER"], dict(parse_qsl(parts.query)))
        else:
            said = self.headers["Authorization"] or ""
            status, document = self.azure.managed(self.command, unquote(parts.path), said, body)
        data = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_PUT = do_POST = respond  # noqa: N815  # names of http.server

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(clients: frozenset[str], trusted: Mapping[str, str], folder: Path) -> Iterator[Azure]:
    azure = Azure(clients, trusted, folder)
    try:
        with listening(type("Handler", (Handler,), {"azure": azure})) as port:
            azure.url = f"http://127.0.0.1:{port}"
            yield azure
    finally:
        azure.stop()
