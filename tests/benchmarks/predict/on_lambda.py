"""Lambda's own runtime client against its API on loopback: first response, and what a warm invocation takes.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

import json
import select
import shutil
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from tests.benchmarks.predict import ours
from tests.benchmarks.predict.contenders import Place, surroundings
from tests.benchmarks.predict.dialects import DIALECTS, Wrong
from tests.benchmarks.predict.environments import PEERS, ROOT, python_of
from tests.benchmarks.predict.processes import Cpus, on, started
from tests.benchmarks.predict.servers import Failure, Figures, Unfit, tail
from tests.benchmarks.predict.specimen import Specimen

PLAIN, POWERTOOLS, BOTO3, SAMARA, CAPTURED = (
    "plain handler, orjson", "Powertools with validation", "the same, with a boto3 client", "Samara, capture off",
    "Samara, durable capture",
)  # fmt: skip
PATIENCE_S = 20.0
ARN = "arn:aws:lambda:us-east-1:123456789012:function:predict"


@dataclass(frozen=True, slots=True)
class Function:
    """`captured` is None for those who know no such thing."""

    handler: str
    captured: bool | None = None


FUNCTIONS = {
    PLAIN: Function("lambda_plain.handler"),
    POWERTOOLS: Function("lambda_powertools.handler"),
    BOTO3: Function("lambda_boto3.handler"),
    SAMARA: Function("samara.hosts.aws_lean.handler", captured=False),
    CAPTURED: Function("samara.hosts.aws_lean.handler", captured=True),
}


class RuntimeApi:
    """What a runtime polls. It speaks to one at a time, over as many connections as that opens one after another."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.settimeout(PATIENCE_S)
        self.port: int = self._socket.getsockname()[1]
        self._open: list[socket.socket] = []

    def close(self) -> None:
        for one in (self._socket, *self._open):
            one.close()

    def asked(self) -> tuple[socket.socket, str, bytes, float]:
        """Who asks, for which path, with which body, and when its first byte was here."""
        while True:
            ready, _, _ = select.select([self._socket, *self._open], [], [], PATIENCE_S)
            if not ready:
                raise TimeoutError("the runtime has not asked for anything")
            if ready[0] is self._socket:
                connection, _ = self._socket.accept()
                connection.settimeout(PATIENCE_S)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._open.append(connection)
            elif found := self._read(ready[0]):
                return ready[0], *found

    def _read(self, connection: socket.socket) -> tuple[str, bytes, float] | None:
        read, at = connection.recv(1 << 16), time.perf_counter()
        if not read:
            self._open.remove(connection)
            connection.close()
            return None
        while b"\r\n\r\n" not in read:
            read += connection.recv(1 << 16)
        head, _, body = read.partition(b"\r\n\r\n")
        lines = head.decode().lower().split("\r\n")
        size = next((int(line.partition(":")[2]) for line in lines if line.startswith("content-length:")), 0)
        while len(body) < size:
            body += connection.recv(1 << 16)
        return head.decode().split(" ")[1], body, at

    def invoke(self, number: int, event: bytes) -> tuple[bytes, float]:
        """The response to an event, and the seconds from when it was handed out."""
        connection, path, body, _ = self.asked()
        if not path.endswith("/next"):
            raise Unfit(f"{path}: {body[:1000]!r}")
        head = (
            f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(event)}\r\n"
            f"lambda-runtime-aws-request-id: {number:08x}-0000-4000-8000-000000000000\r\n"
            f"lambda-runtime-invoked-function-arn: {ARN}\r\n"
            f"lambda-runtime-deadline-ms: {int((time.time() + 60) * 1000)}\r\n\r\n"
        )
        sent = time.perf_counter()
        connection.sendall(head.encode() + event)
        connection, path, body, heard = self.asked()
        if not path.endswith("/response"):
            raise Unfit(f"{path}: {body[:1000]!r}")
        connection.sendall(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n")
        return body, heard - sent


def measured(name: str, subject: Specimen, cpus: Cpus, folder: Path, invocations: int) -> Figures | Failure:
    """One function in one process: its first response and the median of those after it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    log = folder.parent / f"{folder.name}.log"
    api = RuntimeApi()
    place = Place(folder, 0, subject, python_of("lambda"))
    try:
        command = [str(place.python), "-m", "awslambdaric", FUNCTIONS[name].handler]
        env = environment(place, FUNCTIONS[name], api.port)
        with started(command, env, cpus.server, log, folder) as runtime, on(cpus.client):
            answered(api, subject, 0)
            first = time.perf_counter() - runtime.at
            took = [answered(api, subject, number) for number in range(1, invocations)]
        return {"first_ms": first * 1e3, "p50_us": median(took[len(took) // 10 :]) * 1e6}
    except (Unfit, Wrong, OSError, ValueError, LookupError) as error:
        return Failure(f"{type(error).__name__}: {error}", tail(log))
    finally:
        api.close()


def environment(place: Place, function: Function, port: int) -> dict[str, str]:
    found = {
        **surroundings(place),
        "PYTHONPATH": f"{PEERS}:{ROOT / 'shared'}:{ROOT}",
        "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{port}",
        "AWS_LAMBDA_FUNCTION_NAME": "predict",
        "AWS_LAMBDA_FUNCTION_VERSION": "1",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1769",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": "us-east-1",
        "LAMBDA_TASK_ROOT": str(PEERS),
        "_HANDLER": function.handler,
        "POWERTOOLS_TRACE_DISABLED": "true",
    }
    if function.captured is None:
        return found
    ours.in_folder(place.folder / "home", place.subject, captured=function.captured)
    more = {"SAMARA_PROVIDER": "local", "SAMARA_HOME": str(place.folder / "home"), "SAMARA_FUNCTION": "predict"}
    return {**found, **more}


def answered(api: RuntimeApi, subject: Specimen, number: int) -> float:
    """Seconds of one invocation, whose answer is right."""
    rows, answers = subject.batch(1, number)
    body, took = api.invoke(number, json.dumps(event(DIALECTS["v2"].said(rows)[1].decode())).encode())
    said = json.loads(body)
    DIALECTS["v2"].check(said["statusCode"], b"", said["body"].encode(), [value for row in answers for value in row])
    return took


def event(body: str) -> dict[str, Any]:
    """A request to a function URL, as https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html has it."""
    path, host = "/v2/models/model/infer", "abcdefghijklmnop.lambda-url.us-east-1.on.aws"
    http = {"method": "POST", "path": path, "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": "bench"}
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {"content-type": "application/json", "host": host, "content-length": str(len(body))},
        "requestContext": {
            "accountId": "anonymous", "apiId": "abcdefghijklmnop", "domainName": host, "domainPrefix": host[:16],
            "http": http, "requestId": "00000000-0000-4000-8000-000000000000", "routeKey": "$default",
            "stage": "$default", "time": "21/Nov/2026:12:00:00 +0000", "timeEpoch": 1795262400000,
        },
        "body": body,
        "isBase64Encoded": False,
    }  # fmt: skip
