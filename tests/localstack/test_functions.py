"""A deployed function runs here as on Lambda: its own package, its own memory, its own time, and nothing else."""

import json
import re
from typing import Any

import pytest

from tests.emulators import localstack
from tests.localstack.conftest import Deployed, invoked, logged

ECHO = "def handler(event, context): return event"


def test_a_function_answers_from_its_zip(deployed: Deployed) -> None:
    arn = deployed(ECHO)

    assert invoked(arn, {"answer": 42}) == {"answer": 42}


def test_it_learns_who_and_where_it_is(deployed: Deployed) -> None:
    arn = deployed(
        "import os\n"
        "NAMES = 'OWN', 'AWS_ENDPOINT_URL', 'AWS_ENDPOINT_URL_BATCH', 'AWS_LAMBDA_FUNCTION_MEMORY_SIZE'\n"
        "def handler(event, context):\n"
        "    return [context.function_name, *(os.environ[name] for name in NAMES)]",
        Environment={"Variables": {"OWN": "variable"}},
    )

    address, moto = localstack.endpoints()
    assert invoked(arn) == [arn.rpartition(":")[2], "variable", address, moto, "128"]


def test_what_its_package_lacks_it_cannot_import(deployed: Deployed) -> None:
    arn = deployed("import boto3\n" + ECHO)

    failed = invoked(arn)

    assert failed["errorType"] == "Runtime.ImportModuleError"
    assert "No module named 'boto3'" in failed["errorMessage"]


def test_an_exception_is_its_answer_and_its_log(deployed: Deployed) -> None:
    arn = deployed("def handler(event, context): raise ValueError('no such batch')")

    assert invoked(arn)["errorType"] == "ValueError"
    assert "no such batch" in logged(arn, containing="[ERROR]")


def test_it_logs_as_json_where_it_was_deployed_so(deployed: Deployed) -> None:
    arn = deployed(
        "import logging\ndef handler(event, context): logging.getLogger().info('ran')",
        LoggingConfig={"LogFormat": "JSON", "ApplicationLogLevel": "INFO"},
    )

    invoked(arn)

    assert json.loads(logged(arn, containing="ran"))["level"] == "INFO"


def test_one_that_takes_too_long_is_ended_and_begins_anew(deployed: Deployed) -> None:
    arn = deployed("import time\ndef handler(event, context): return time.sleep(event)", Timeout=1)

    assert "Task timed out after 1.00 seconds" in invoked(arn, 600)["errorMessage"]
    assert invoked(arn, 0) is None


def test_one_that_dies_is_told_of_and_begins_anew(deployed: Deployed) -> None:
    arn = deployed("import os\ndef handler(event, context): return event and os._exit(3)")

    assert "exit status 3" in invoked(arn, True)["errorMessage"]
    assert invoked(arn, False) is False


def test_one_that_uses_more_memory_than_it_has_is_killed(deployed: Deployed) -> None:
    arn = deployed(
        "import time\n"
        "def handler(event, context):\n"
        "    held = bytearray(event * 2**20)\n"
        "    time.sleep(event and 60)\n"
        "    return len(held)"
    )

    assert "signal: killed" in invoked(arn, 300)["errorMessage"]
    assert invoked(arn, 0) == 0
    assert re.search(r"Max Memory Used: [1-9]\d* MB", logged(arn, containing="REPORT"))


def test_an_answer_of_more_than_six_megabytes_is_refused(deployed: Deployed) -> None:
    arn = deployed("def handler(event, context): return 'x' * event")

    assert invoked(arn, (6 << 20) + 1)["errorType"] == "Function.ResponseSizeTooLarge"
    assert len(invoked(arn, 5 << 20)) == 5 << 20


def test_one_built_for_another_python_is_refused_with_the_way_out(deployed: Deployed) -> None:
    arn = deployed(ECHO, Runtime="python3.9")

    assert "is for python3.9" in invoked(arn)["errorMessage"]


def test_a_url_calls_it(deployed: Deployed) -> None:
    arn = deployed("def handler(event, context): return {'statusCode': 200, 'body': event['rawPath']}")
    url = localstack.client("lambda").create_function_url_config(FunctionName=arn, AuthType="AWS_IAM")["FunctionUrl"]

    assert localstack.called(f"{url}v2/models", b"{}") == b"/v2/models"


def wrapped(path: str) -> dict[str, Any]:
    return {"Environment": {"Variables": {"AWS_LAMBDA_EXEC_WRAPPER": path}}}


def test_a_wrapper_is_started_with_the_command_it_stands_for(deployed: Deployed) -> None:
    arn = deployed(
        "import os\ndef handler(event, context): return os.environ['GIVEN']",
        {"start": '#!/bin/sh\nexport GIVEN="$#:${1##*/}:$2"\nexec "$@"\n'},
        **wrapped("/var/task/start"),
    )

    assert invoked(arn) == "2:python:/var/runtime/bootstrap.py"


def test_a_wrapper_may_put_a_module_of_the_package_in_the_clients_place(deployed: Deployed) -> None:
    arn = deployed(
        LOOP,
        {"start": '#!/bin/sh\ncd "$LAMBDA_TASK_ROOT" && exec "$1" -S -m module\n'},
        **wrapped("/var/task/start"),
    )

    assert invoked(arn, "first") == ["first", "package", "no boto3"]
    assert invoked(arn, "second") == ["second", "package", "no boto3"]


LOOP = """
import json, os
from http.client import HTTPConnection
try:
    import boto3
except ModuleNotFoundError:
    lacks = "no boto3"
api = HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
at = "package" if os.path.exists("module.py") else os.getcwd()
while True:
    api.request("GET", "/2018-06-01/runtime/invocation/next")
    event = api.getresponse()
    said, request = json.dumps([json.load(event), at, lacks]), event.headers["Lambda-Runtime-Aws-Request-Id"]
    api.request("POST", f"/2018-06-01/runtime/invocation/{request}/response", said)
    api.getresponse().read()
"""


@pytest.mark.parametrize(("path", "status"), [("/var/task/elsewhere", 127), ("/var/task/module.py", 126)])
def test_a_wrapper_that_is_missing_or_no_program_ends_the_start(deployed: Deployed, path: str, status: int) -> None:
    arn = deployed(ECHO, **wrapped(path))

    failed = invoked(arn)

    assert (failed["errorType"], f"exit status {status}" in failed["errorMessage"]) == ("Runtime.ExitError", True)
