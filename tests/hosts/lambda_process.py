"""A process as Lambda makes one: `handler`, called with each payload on standard input.

It answers each with a line on standard output that begins with its file's name, as the runtime posts results and
errors; every other line there is what CloudWatch would get.
"""

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import IO, Any

MARK = "lambda_process:"


@dataclass
class Lambda:
    process: "subprocess.Popen[str]"

    def __call__(self, payload: Any) -> "Invocation":
        stdin, stdout = pipes(self.process)
        stdin.write(json.dumps(payload) + "\n")
        stdin.flush()
        logged: list[dict[str, Any]] = []
        for line in stdout:
            if line.startswith(MARK):
                return Invocation(**json.loads(line.removeprefix(MARK)), logged=logged)
            logged.append(json.loads(line))
        raise AssertionError(f"it ended; it said: {logged}")


@dataclass(frozen=True)
class Invocation:
    result: Any
    error: str
    why: str
    logged: list[dict[str, Any]]


def pipes(process: "subprocess.Popen[str]") -> tuple[IO[str], IO[str]]:
    assert process.stdin
    assert process.stdout
    return process.stdin, process.stdout


@contextmanager
def deployed(function: str, *, host: str = "aws", **settings: str) -> Iterator[Lambda]:
    """That function, in a process of its own with these settings."""
    given = {f"SAMARA_{name.upper()}": value for name, value in settings.items()}
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "SAMARA_PROVIDER": "aws", **given}
    environment.update(
        SAMARA_FUNCTION=function,
        AWS_LAMBDA_FUNCTION_NAME=f"samara-dev-{function}",
        AWS_LAMBDA_RUNTIME_API="127.0.0.1:1",  # by which a process knows where it is
        _HANDLER=f"samara.hosts.{host}.handler",
    )
    with subprocess.Popen(
        [sys.executable, "-m", "tests.hosts.lambda_process"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        text=True,
    ) as process:
        try:
            yield Lambda(process)
        finally:
            process.kill()


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
