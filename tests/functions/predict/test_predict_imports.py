"""A cold start imports what an answer costs, and nothing more: the lists here are all that it loads."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from sysconfig import get_path
from typing import Any

import pytest

from samara.app import App, build
from samara.settings import Settings
from tests.emulators import s3

ROOT = Path(__file__).parents[3]
HEAVY = (
    "numpy", "pydantic", "onnxruntime", "pyarrow", "pandas", "onnx", "sklearn", "scipy", "jinja2", "yaml", "boto3",
    "botocore", "aws_lambda_powertools", "uvicorn", "click", "rich", "httpx",
)  # fmt: skip
HEAVY_OF_PYTHONS = (
    "asyncio", "multiprocessing", "shutil", "subprocess", "tempfile", "textwrap", "unittest", "xml", "zipfile",
    "urllib.request",
)  # fmt: skip

ANSWERING = {
    "functions", "functions.catalogue", "functions.predict", "functions.predict.capturing",
    "functions.predict.handler", "functions.predict.policy",
    "functions.predict.protocol", "functions.predict.receipt", "functions.predict.routing",
    "functions.predict.served", "functions.predict.spelled", "functions.predict.tensors", "functions.predict.warm",
    "functions.predict.wire", "functions.predict.work", "samara", "samara.app", "samara.catalogue", "samara.core",
    "samara.core.digests", "samara.core.keys", "samara.core.sealed", "samara.core.sheet", "samara.core.spelling",
    "samara.core.strict", "samara.core.tensors", "samara.core.windows", "samara.dispatch", "samara.engines",
    "samara.entry", "samara.errors", "samara.events", "samara.hosts", "samara.hosts.gathered", "samara.hosts.http",
    "samara.hosts.process", "samara.ort", "samara.ort_api", "samara.patience", "samara.ports", "samara.providers",
    "samara.providers.addresses", "samara.providers.nowhere", "samara.providers.sizes", "samara.scoped",
    "samara.settings", "samara.watchdog",
}  # fmt: skip
ON_LAMBDA = {
    "samara.events.aws_http", "samara.events.fields", "samara.events.http_head", "samara.hosts.aws_api",
    "samara.hosts.aws_lean", "samara.hosts.aws_loop", "samara.hosts.swift",
}  # fmt: skip
STORES = {
    "s3": {
        "samara.providers.certainty", "samara.providers.listings", "samara.providers.s3", "samara.providers.s3_errors",
        "samara.providers.s3_http", "samara.providers.streams",
    },
    "local": {
        "samara.providers.local", "samara.providers.local_files", "samara.providers.local_jobs",
        "samara.providers.local_supervisor",
    },
}  # fmt: skip
PROGRAM = """
import json, sys
sys.path[:0] = sys.argv[1].split(":")
from samara.hosts import swift
swift.begin()
from samara.hosts.aws_loop import Invocation
from samara.hosts.aws_lean import LINES, document
before = sorted(sys.modules)
reply = json.loads(document(sys.stdin.buffer.read(), Invocation("1", "arn", "predict", "1024")))
LINES.end()
print(json.dumps({"reply": reply, "before": before, "after": sorted(sys.modules)}))
"""
INFER = {
    "inputs": [
        {"name": "distance", "shape": [1, 1], "datatype": "FP32", "data": [2]},
        {"name": "carrier", "shape": [1, 1], "datatype": "BYTES", "data": ["UA"]},
    ]
}


@pytest.fixture(params=STORES)
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Of predict, beside each kind of store that it is to start quickly with."""
    address = s3.fresh_bucket() if request.param == "s3" else ""
    return Settings(provider=request.param, home=tmp_path, store=address, function="predict")


@pytest.fixture
def whole(settings: Settings) -> App:
    return build(settings)


@pytest.fixture
def started(settings: Settings, publish: Callable[..., Any], point: Callable[..., Any]) -> Any:
    """What a fresh process has loaded before and after its first answer."""
    publish(1, 3)
    point(champion=1)
    http = {"requestContext": {"http": {"method": "POST"}}, "headers": {"content-type": "application/json"}}
    payload = {**http, "rawPath": "/v2/models/late/infer", "body": json.dumps(INFER)}
    keys = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_LAMBDA_RUNTIME_API": "127.0.0.1:1"}
    path = f"{ROOT / 'shared'}:{ROOT}:{get_path('purelib')}:{get_path('platlib')}"
    ran = subprocess.run(
        [sys.executable, "-I", "-S", "-c", PROGRAM, path],
        env={**settings.environment(), **keys},
        input=json.dumps(payload), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    *logged, last = ran.stdout.splitlines()
    return {**json.loads(last), "logged": logged}


def test_the_first_answer_loads_these_modules_and_no_others(started: Any, settings: Settings) -> None:
    loaded = set(started["after"])

    assert started["reply"]["statusCode"] == 200, started["logged"]
    assert json.loads(started["reply"]["body"])["outputs"][0]["data"] == [6.0]
    assert tops(loaded) == {"functions", "httptools", "orjson", "samara"}
    assert ours(loaded) == ANSWERING | ON_LAMBDA | STORES[settings.provider]
    assert not loaded & set(HEAVY_OF_PYTHONS)


def test_what_the_first_answer_needs_is_loaded_before_it_is_asked_for(started: Any) -> None:
    late = ours(set(started["after"]) - set(started["before"]))

    assert late <= {"samara.ort", "samara.watchdog"}, "what runs models, which comes with the first model"


def tops(modules: set[str]) -> set[str]:
    """The packages that are not Python's own, nor what Cython puts beside the modules it made."""
    found = {name.partition(".")[0] for name in modules} - set(sys.stdlib_module_names) - {"__main__"}
    return {name for name in found if not name.startswith(("cython_runtime", "_cython_"))}


def ours(modules: set[str]) -> set[str]:
    return {name for name in modules if name.partition(".")[0] in ("functions", "samara")}


@pytest.mark.parametrize("function", ["predict", "feedback"])
def test_importing_the_handler_loads_nothing_heavy(function: str) -> None:
    program = f"import sys, functions.{function}.handler; print(sorted(set({HEAVY}) & set(sys.modules)))"

    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert said.stdout.strip() == ("[]" if function == "predict" else "['pydantic']")
