"""Amazon's cloud on loopback: LocalStack, which runs deployed functions as processes, and moto for what it lacks.

The two are one account. A function reaches both by the SDK's own variables, and so does a job of AWS Batch.
Neither asks whether a role may do what it does.
"""

import atexit
import json
import shutil
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote
from urllib.request import Request, urlopen

import boto3
from botocore.config import Config

from tests.emulators import processes

ACCOUNT = "000000000000"
REGION = "us-east-1"
START = Path(__file__).parents[2] / "localstack" / "start.py"
PYTHON = START.parent / ".venv" / "bin" / "python"
ON_MOTO = ("batch", "budgets", "ec2", "ecr")
RETRIES_AFTER_S = 1  # once; the second waits twice as long
PATIENT = Config(read_timeout=120, retries={"total_max_attempts": 2}, s3={"addressing_style": "path"})


@cache
def endpoints() -> tuple[str, str]:
    """The addresses of this process's own LocalStack and moto, which know each other."""
    assert PYTHON.exists(), f"LocalStack is not installed in {PYTHON.parents[2]}; run `make setup`"
    here, there = processes.free_port(), processes.free_port()
    localstack, moto = f"http://127.0.0.1:{here}", f"http://127.0.0.1:{there}"
    elsewhere = {f"AWS_ENDPOINT_URL_{service.upper()}": moto for service in ON_MOTO}
    keys = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": REGION}
    folder = tempfile.mkdtemp(prefix="samara-localstack-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    processes.start(
        "localstack",
        [sys.executable, str(START), "--port", str(here), "--folder", folder],
        here,
        {"LAMBDA_PROCESS_ENVIRONMENT": json.dumps(elsewhere), "LAMBDA_RETRY_BASE_DELAY": str(RETRIES_AFTER_S)},
    )
    processes.start(
        "moto",
        [sys.executable, "-m", "tests.emulators.moto_server", str(there)],
        there,
        {
            "MOTO_ACCOUNT_ID": ACCOUNT,
            "MOTO_IAM_LOAD_MANAGED_POLICIES": "true",
            "HASTE": "1",  # jobs really train, so they get the time they ask for
            "JOB_PYTHON": str(Path(sys.base_prefix, "bin", f"python3.{sys.version_info.minor}")),  # as bare as an image
            "AWS_ENDPOINT_URL": localstack,
            **keys,
            **elsewhere,
        },
    )
    wait_until_healthy(localstack)
    return localstack, moto


@cache
def runtime() -> str:
    """What Lambda calls the interpreter in which functions run here."""
    asked = [str(PYTHON), "-c", "import sys; print('python%d.%d' % sys.version_info[:2])"]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()


def client(service: str) -> Any:
    """The plain SDK for a service, wherever it is emulated."""
    localstack, moto = endpoints()
    address = moto if service in ON_MOTO else localstack
    return made(service, address)


def on_moto(service: str) -> Any:
    """The same on moto, for what both must know."""
    return made(service, endpoints()[1])


@cache
def made(service: str, address: str) -> Any:
    """Any keys will do."""
    create: Any = boto3.Session("testing", "testing", region_name=REGION).client
    return create(service, endpoint_url=address, config=PATIENT)


def called(url: str, body: bytes) -> bytes:
    """What a function's URL answers, whose name no resolver here knows."""
    asked = Request(f"{endpoints()[0]}/{url.split('/', 3)[3]}", body, {"Host": url.split("/")[2]})  # noqa: S310  # our own
    with urlopen(asked, timeout=60) as answered:  # noqa: S310  # the same
        said: bytes = answered.read()
        return said


def fire(arn: str, at: str = "2026-01-01T00:00:00Z") -> dict[str, str]:
    """Fire a deployed schedule as if it were that time. What was sent, and where."""
    asked = Request(f"{endpoints()[0]}/_samara/fire?arn={quote(arn)}&at={at}", method="POST")  # noqa: S310  # our own
    with urlopen(asked, timeout=30) as answered:  # noqa: S310  # the same
        told: dict[str, str] = json.load(answered)
        return told


def wait_until_healthy(address: str) -> None:
    deadline = time.monotonic() + processes.PATIENCE_S
    while True:
        try:
            with urlopen(f"{address}/_localstack/health", timeout=5):  # noqa: S310  # our own server
                return
        except OSError:
            assert time.monotonic() < deadline, f"{address} does not get healthy"
            time.sleep(0.1)
