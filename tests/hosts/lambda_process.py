"""A process as Lambda makes one, and what comes of each payload: a result or an error, and the lines of its log.

Either its handler is called, as Amazon's runtime client would, with each payload on standard input: the process
answers with a line on standard output that begins with its file's name. Or it runs Samara's own loop, and gets its
events from an emulated Runtime API. Every other line is what CloudWatch would get.
"""

import importlib
import json
import os
import select
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import IO, Any

from tests.emulators.runtime_api import ARN, RuntimeApi

MARK = "lambda_process:"
LOOP = "aws_loop"


@dataclass(frozen=True)
class Invocation:
    result: Any
    error: str
    why: str
    logged: list[dict[str, Any]]


Lambda = Callable[[Any], Invocation]


@dataclass
class Called:
    """By its handler."""

    process: "subprocess.Popen[str]"

    def __call__(self, payload: Any) -> Invocation:
        stdin, stdout = pipes(self.process)
        stdin.write(json.dumps(payload) + "\n")
        stdin.flush()
        logged: list[dict[str, Any]] = []
        for line in stdout:
            if line.startswith(MARK):
                return Invocation(**json.loads(line.removeprefix(MARK)), logged=logged)
            logged.append(json.loads(line))
        raise AssertionError(f"it ended; it said: {logged}")


@dataclass
class Looping:
    """By events of the API. It has logged all it has to say of one when it asks for the next."""

    process: "subprocess.Popen[str]"
    api: RuntimeApi
    name: str
    number: int = 0

    def __call__(self, payload: Any) -> Invocation:
        arn = f"{ARN.rpartition(':')[0]}:{self.name}"
        request = f"request-{self.number}"
        told, _ = self.api.invoke(request, json.dumps(payload).encode(), lambda_runtime_invoked_function_arn=arn)
        self.number += 1
        self.api.idle()
        said = json.loads(told.body)
        logged = [json.loads(line) for line in written(pipes(self.process)[1]).splitlines()]
        if told.what == "response":
            return Invocation(said, "", "", logged)
        return Invocation(None, said["errorType"], said["errorMessage"], logged)


def written(output: IO[str]) -> bytes:
    """What has been written there by now."""
    ready, _, _ = select.select([output], [], [], 0)
    return os.read(output.fileno(), 1 << 20) if ready else b""


def pipes(process: "subprocess.Popen[str]") -> tuple[IO[str], IO[str]]:
    assert process.stdin
    assert process.stdout
    return process.stdin, process.stdout


@contextmanager
def deployed(function: str, *, host: str = "aws", **settings: str) -> Iterator[Lambda]:
    """That function, in a process of its own with these settings."""
    given = {f"SAMARA_{name.upper()}": value for name, value in settings.items()}
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "SAMARA_PROVIDER": "aws", **given}
    api = RuntimeApi()
    environment.update(
        SAMARA_FUNCTION=function,
        AWS_LAMBDA_FUNCTION_NAME=f"samara-dev-{function}",
        AWS_LAMBDA_FUNCTION_MEMORY_SIZE="512",
        AWS_LAMBDA_RUNTIME_API=api.address,  # by which a process knows where it is
        _HANDLER=f"samara.hosts.{host}.handler",
    )
    loops = host == LOOP
    with subprocess.Popen(
        [sys.executable, "-m", f"samara.hosts.{LOOP}" if loops else "tests.hosts.lambda_process"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        text=True,
    ) as process:
        try:
            yield Looping(process, api, environment["AWS_LAMBDA_FUNCTION_NAME"]) if loops else Called(process)
        finally:
            process.kill()
            api.close()


def main() -> None:
    module, _, name = os.environ["_HANDLER"].rpartition(".")
    handler = getattr(importlib.import_module(module), name)  # what Lambda imports, when it does
    name = os.environ["AWS_LAMBDA_FUNCTION_NAME"]
    arn = f"arn:aws:lambda:us-east-1:123456789012:function:{name}"
    for number, line in enumerate(sys.stdin):
        context = SimpleNamespace(
            function_name=name, memory_limit_in_mb="512", invoked_function_arn=arn, aws_request_id=f"request-{number}"
        )
        said: dict[str, Any] = {"result": None, "error": "", "why": ""}
        try:
            said["result"] = handler(json.loads(line), context)
        except Exception as error:  # noqa: BLE001  # as the runtime does
            said.update(error=type(error).__name__, why=str(error))
        sys.stdout.write(MARK + json.dumps(said) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
