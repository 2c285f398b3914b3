"""Functions deployed to LocalStack, each from the few lines it consists of, and what one sees of them."""

import io
import json
import time
import zipfile
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any
from uuid import uuid4

import pytest

from tests.emulators import localstack

PATIENCE_S = 60
Deployed = Callable[..., str]


@pytest.fixture(scope="session")
def role() -> str:
    trust = {"Version": "2012-10-17", "Statement": []}
    iam = localstack.client("iam")
    made = iam.create_role(RoleName=f"role-{uuid4().hex[:8]}", AssumeRolePolicyDocument=json.dumps(trust))
    arn: str = made["Role"]["Arn"]
    return arn


@pytest.fixture
def deployed(role: str) -> Deployed:
    """Deploys a module whose `handler` is the function, and programs; comes back with the function's ARN."""

    def deploy(source: str, programs: Mapping[str, str] = MappingProxyType({}), **settings: Any) -> str:
        given = {"Runtime": localstack.runtime(), "Timeout": 20, "MemorySize": 128, **settings}
        client, name = localstack.client("lambda"), f"function-{uuid4().hex[:8]}"
        code = {"ZipFile": zipped({"module.py": source}, programs)}
        made = client.create_function(FunctionName=name, Role=role, Handler="module.handler", Code=code, **given)
        client.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 0.1})
        arn: str = made["FunctionArn"]
        return arn

    return deploy


def zipped(files: Mapping[str, str], programs: Mapping[str, str]) -> bytes:
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
        for name, text in programs.items():
            program = zipfile.ZipInfo(name)
            program.external_attr = 0o100755 << 16
            archive.writestr(program, text)
    return package.getvalue()


def invoked(arn: str, event: object = None) -> Any:
    """What the function answers, or the document of its failure."""
    answered = localstack.client("lambda").invoke(FunctionName=arn, Payload=json.dumps(event).encode())
    return json.load(answered["Payload"])


def logged(arn: str, *, containing: str) -> str:
    """The first line of a function's log that holds these words, once it is there."""
    logs, group = localstack.client("logs"), f"/aws/lambda/{arn.rpartition(':')[2]}"
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if any(each["logGroupName"] == group for each in logs.describe_log_groups()["logGroups"]):
            for event in logs.filter_log_events(logGroupName=group)["events"]:
                if containing in event["message"]:
                    line: str = event["message"]
                    return line
        time.sleep(0.05)
    raise AssertionError(f"{group} never said {containing}")
