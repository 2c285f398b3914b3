"""The roles that the program makes, before a service that enforces them: each may do what its entry names, no more.

moto's policies know actions and resources but no conditions, so listings, which a condition bounds, are not asked.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.request import Request, urlopen

import boto3
import pytest
from botocore.exceptions import ClientError

from functions.catalogue import CATALOGUE
from samara.catalogue import Function, submitter
from tests.emulators import processes
from tests.infra import graph
from tests.infra.graph import TOKEN, Graph

BUCKET, REGION = "samara", "us-east-1"
PREFIXES = sorted({prefix for f in CATALOGUE for prefix in (*f.reads, *f.writes)} | {"code/", "elsewhere/"})


@dataclass(frozen=True)
class Cloud:
    """A service that has all the roles, and lets in whoever holds one."""

    endpoint: str
    keys: dict[str, dict[str, str]]

    def s3(self, role: str) -> Any:
        return client("s3", self.endpoint, **self.keys[role])


def client(service: str, endpoint: str, **keys: str) -> Any:
    create: Any = boto3.client
    given = keys or {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
    return create(service, endpoint_url=endpoint, region_name=REGION, **given)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Graph:
    return graph.record("aws", REGION, graph.stand_ins(tmp_path_factory.mktemp("packages")))


@pytest.fixture(scope="module")
def cloud(program: Graph) -> Cloud:
    port = processes.free_port()
    processes.start("iam", [sys.executable, "-m", "tests.emulators.moto_server", str(port)], port)
    endpoint = f"http://127.0.0.1:{port}"
    s3, iam, sts = (client(service, endpoint) for service in ("s3", "iam", "sts"))
    s3.create_bucket(Bucket=BUCKET)
    for prefix in PREFIXES:
        s3.put_object(Bucket=BUCKET, Key=f"{prefix}there", Body=b"")
    keys = {}
    for role in program.of("aws:iam/role:Role"):
        arn = iam.create_role(RoleName=role.name, AssumeRolePolicyDocument="{}")["Role"]["Arn"]
        for policy in program.pointing_at(role, "aws:iam/rolePolicy:RolePolicy"):
            iam.put_role_policy(RoleName=role.name, PolicyName=policy.name, PolicyDocument=document(policy.inputs))
        given = sts.assume_role(RoleArn=arn, RoleSessionName="test")["Credentials"]
        keys[role.name] = {
            "aws_access_key_id": given["AccessKeyId"],
            "aws_secret_access_key": given["SecretAccessKey"],
            "aws_session_token": given["SessionToken"],
        }
    enforce = Request(f"{endpoint}/moto-api/reset-auth", b"0", {"Content-Type": "text/plain"})  # noqa: S310  # our own
    with urlopen(enforce, timeout=30):  # noqa: S310  # the same
        return Cloud(endpoint, keys)


def document(inputs: dict[str, Any]) -> str:
    """A policy with this bucket in the place of the program's."""
    known = {("samara-bucket", "arn"): f"arn:aws:s3:::{BUCKET}"}
    return TOKEN.sub(lambda token: known.get((token[1], token[2]), f"arn:aws:none:::{token[1]}"), inputs["policy"])


def permitted(ask: Callable[[str], object]) -> set[str]:
    """The prefixes below which this may be done."""
    return {prefix for prefix in PREFIXES if not refused(partial(ask, prefix))}


def refused(ask: Callable[[], object]) -> bool:
    try:
        ask()
    except ClientError as error:
        if error.response["Error"]["Code"] != "AccessDenied":
            raise
        return True
    return False


def held(prefixes: tuple[str, ...]) -> set[str]:
    """The prefixes that these hold: config/ holds config/models/."""
    return {prefix for prefix in PREFIXES if prefix.startswith(prefixes)} if prefixes else set()


@pytest.mark.parametrize("function", CATALOGUE, ids=lambda function: function.name)
def test_a_function_may_read_create_and_swap_what_its_entry_names(cloud: Cloud, function: Function) -> None:
    s3 = cloud.s3(f"samara-{function.name}-role")

    assert permitted(lambda at: s3.get_object(Bucket=BUCKET, Key=f"{at}there")) == held(function.reads + function.swaps)
    created = permitted(lambda at: s3.put_object(Bucket=BUCKET, Key=f"{at}{function.name}", Body=b"", IfNoneMatch="*"))
    assert created == held(function.creates + function.swaps)
    gone = permitted(lambda at: s3.delete_object(Bucket=BUCKET, Key=f"{at}nothing"))
    assert gone == held(function.swaps)


def test_a_job_may_read_its_code_beside_what_its_entry_names(cloud: Cloud) -> None:
    s3, job = cloud.s3("samara-train-job-role"), submitter(CATALOGUE).job

    assert job, "one role for the jobs of all functions that submit one"
    assert permitted(lambda at: s3.get_object(Bucket=BUCKET, Key=f"{at}there")) == held((*job.reads, "code/"))
    assert permitted(lambda at: s3.put_object(Bucket=BUCKET, Key=f"{at}job", Body=b"")) == held(job.creates)


@pytest.mark.parametrize("name", ["samara-train-job-machine-role", "samara-drift-hour-role"])
def test_machines_and_clocks_may_touch_nothing(cloud: Cloud, name: str) -> None:
    s3 = cloud.s3(name)

    assert permitted(lambda at: s3.get_object(Bucket=BUCKET, Key=f"{at}there")) == set()


def test_nobody_gets_in_without_a_role(cloud: Cloud) -> None:
    stranger = client("s3", cloud.endpoint)

    with pytest.raises(ClientError, match="InvalidAccessKeyId"):
        stranger.get_object(Bucket=BUCKET, Key="landing/there")
