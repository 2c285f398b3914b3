"""A job fetches its own code with nothing but Python, and becomes the job only when the code is what it should be."""

import io
import os
import subprocess
import sys
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from samara import boot
from samara.core.digests import digest
from samara.ports import Job
from samara.providers.aws import S3Store
from samara.providers.gcp import GcsStore
from samara.providers.starting import command
from tests.emulators import gcs, s3
from tests.emulators.processes import free_port

PROGRAM = '"""A job."""\nimport sys, pathlib\npathlib.Path(sys.argv[1]).write_text(" ".join(sys.argv[2:]))\n'
KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
LONGEST_SUBMISSION = 30 << 10  # bytes that AWS Batch takes of one


def package() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(zipfile.ZipInfo("fetched_job.py"), PROGRAM)
    return buffer.getvalue()


def started(arguments: list[str], environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    job = Job("late-1", "fetched_job", tuple(arguments), time_limit_s=60)
    words = [sys.executable, *command(job, environment)[1:]]
    inherited = {name: os.environ[name] for name in ("PATH", "TMPDIR", *KEYS)}
    return subprocess.run(
        words, check=False, env={**inherited, **environment}, text=True, capture_output=True, timeout=60
    )


@pytest.fixture
def key() -> str:
    return f"code/train-job/{digest(package())}.zip"


@pytest.fixture(params=["s3", "gs"])
def environment(request: pytest.FixtureRequest, key: str) -> dict[str, str]:
    """A bucket that holds the package, as its job is told of it."""
    if request.param == "s3":
        address = s3.fresh_bucket()
        S3Store(s3.client(), address.partition("?")[0].removeprefix("s3://")).create(key, package())
    else:
        address = gcs.fresh_bucket()
        GcsStore(address.partition("?")[0].removeprefix("gs://"), gcs.endpoint()).create(key, package())
    return {"SAMARA_STORE": address, "SAMARA_CODE": key}


def test_a_job_becomes_the_program_of_its_package(environment: dict[str, str], tmp_path: Path) -> None:
    ended = started([str(tmp_path / "said"), "runs/late/1.json", "two words"], environment)

    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "said").read_text() == "runs/late/1.json two words"


def test_code_that_was_altered_is_not_run(environment: dict[str, str], key: str, tmp_path: Path) -> None:
    ended = started([str(tmp_path / "said")], {**environment, "SAMARA_CODE": f"{key[:-8]}"})

    assert ended.returncode == 1
    assert "this job's code cannot be fetched" in ended.stderr
    assert not (tmp_path / "said").exists()


def test_a_package_is_held_against_the_digest_it_is_named_for(tmp_path: Path) -> None:
    address, key = s3.fresh_bucket(), f"code/train-job/{'0' * 64}.zip"
    S3Store(s3.client(), address.partition("?")[0].removeprefix("s3://")).create(key, package())

    ended = started([str(tmp_path / "said")], {"SAMARA_STORE": address, "SAMARA_CODE": key})

    assert ended.returncode == 1
    assert f"{key}: altered" in ended.stderr
    assert not (tmp_path / "said").exists()


def test_a_cloud_that_is_not_reached_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    url = f"http://127.0.0.1:{free_port()}/flights/code.zip"

    with pytest.raises(SystemExit, match=f"{url}.*cannot be fetched"):
        boot.asked(f"{url}?token=secret")


@pytest.mark.parametrize("token", ["", "a-session-token"])
def test_requests_to_s3_are_signed_as_the_sdk_signs_them(token: str) -> None:
    url = "https://flights.s3.eu-central-1.amazonaws.com/code/train-job/a%20b.zip"
    request = AWSRequest("GET", url)
    request.context["payload_signing_enabled"] = True
    S3SigV4Auth(Credentials("AKID", "secret", token or None), "s3", "eu-central-1").add_auth(request)
    at = datetime.strptime(request.context["timestamp"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)

    signed = boot.signature(url, "eu-central-1", {"id": "AKID", "secret": "secret", "token": token}, at)

    assert signed["Authorization"] == request.headers["Authorization"]


def test_what_starts_a_job_fits_into_a_submission() -> None:
    job = Job("late-1", "functions.train.job", ("runs/late/1.json",), time_limit_s=60)

    assert len(" ".join(command(job, {"SAMARA_CODE": "code/x.zip"})).encode()) < LONGEST_SUBMISSION / 3


def test_a_job_whose_machine_has_the_code_is_started_as_it_is() -> None:
    job = Job("late-1", "functions.train.job", ("runs/late/1.json",), time_limit_s=60)

    assert command(job, {}) == ["python", "-m", "functions.train.job", "runs/late/1.json"]
