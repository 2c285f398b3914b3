"""Handlers in Lambda's runtime client, and Samara's package by the script that starts it there, against the Runtime API
on loopback: first response, and what a warm invocation takes.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

import json
import shutil
import time
import zipfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

from infra.hosts import LEAN, WRAPPER
from tests.benchmarks.predict import ours
from tests.benchmarks.predict.contenders import Place, surroundings
from tests.benchmarks.predict.dialects import DIALECTS, Wrong
from tests.benchmarks.predict.environments import CACHE, PEERS, python_of
from tests.benchmarks.predict.processes import Cpus, on, started
from tests.benchmarks.predict.servers import Failure, Figures, Unfit, tail
from tests.benchmarks.predict.specimen import Specimen
from tests.emulators.runtime_api import RuntimeApi
from tests.infra import packages

PLAIN, POWERTOOLS, BOTO3, SAMARA, CAPTURED = (
    "plain handler, orjson", "Powertools with validation", "the same, with a boto3 client", "Samara, capture off",
    "Samara, durable capture",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Function:
    """`captured` is None for those who know no such thing."""

    handler: str
    captured: bool | None = None


FUNCTIONS = {
    PLAIN: Function("lambda_plain.handler"),
    POWERTOOLS: Function("lambda_powertools.handler"),
    BOTO3: Function("lambda_boto3.handler"),
    SAMARA: Function(f"{LEAN['aws'].module}.handler", captured=False),
    CAPTURED: Function(f"{LEAN['aws'].module}.handler", captured=True),
}


def measured(name: str, subject: Specimen, cpus: Cpus, folder: Path, invocations: int) -> Figures | Failure:
    """One function in one process: its first response and the median of those after it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    log = folder.parent / f"{folder.name}.log"
    api = RuntimeApi()
    place = Place(folder, 0, subject, python_of("lambda"))
    try:
        command = command_of(place, FUNCTIONS[name])
        env = environment(place, FUNCTIONS[name], api.address)
        with started(command, env, cpus.server, log, folder) as runtime, on(cpus.client):
            answered(api, subject, 0)
            first = time.perf_counter() - runtime.at
            took = [answered(api, subject, number) for number in range(1, invocations)]
        return {"first_ms": first * 1e3, "p50_us": median(took[len(took) // 10 :]) * 1e6}
    except (Unfit, Wrong, OSError, ValueError, LookupError) as error:
        return Failure(f"{type(error).__name__}: {error}", tail(log))
    finally:
        api.close()


def command_of(place: Place, function: Function) -> list[str]:
    """As Lambda has it, which gives a wrapper script the command that it starts instead."""
    client = [str(place.python), "-m", "awslambdaric", function.handler]
    return client if function.captured is None else [str(unpacked() / WRAPPER), *client]


@cache
def unpacked() -> Path:
    """Samara's package, as Lambda has it."""
    folder = CACHE / "lambda"
    shutil.rmtree(folder, ignore_errors=True)
    with zipfile.ZipFile(packages.built("predict", "aws").path) as package:
        package.extractall(folder)
    (folder / WRAPPER).chmod(0o755)
    return folder


def environment(place: Place, function: Function, address: str) -> dict[str, str]:
    (installed,) = (place.python.parents[1] / "lib").glob("python*/site-packages")  # on Lambda beside the handler
    found = {
        **surroundings(place),
        "PYTHONPATH": f"{PEERS}:{installed}",
        "AWS_LAMBDA_RUNTIME_API": address,
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
    del found["PYTHONPATH"]
    more = {
        "LAMBDA_TASK_ROOT": str(unpacked()),
        "SAMARA_PROVIDER": "local",
        "SAMARA_HOME": str(place.folder / "home"),
        "SAMARA_FUNCTION": "predict",
    }
    return {**found, **more}


def answered(api: RuntimeApi, subject: Specimen, number: int) -> float:
    """Seconds of one invocation, whose answer is right."""
    rows, answers = subject.batch(1, number)
    asked = json.dumps(event(DIALECTS["v2"].said(rows)[1].decode())).encode()
    told, took = api.invoke(f"{number:08x}-0000-4000-8000-000000000000", asked)
    if told.what != "response":
        raise Unfit(f"{told.path}: {told.body[:1000]!r}")
    said = json.loads(told.body)
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
