"""Amazon's services on loopback: moto's server, which honours S3's conditions on put, completion and delete."""

import sys
from functools import cache
from typing import TYPE_CHECKING
from uuid import uuid4

import boto3

from tests.emulators import processes

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

REGION = "us-east-1"


@cache
def endpoint() -> str:
    """The address of this process's own server."""
    port = processes.free_port()
    processes.start("s3", [sys.executable, "-m", "tests.emulators.moto_server", str(port)], port)
    return f"http://127.0.0.1:{port}"


@cache
def session() -> boto3.Session:
    """The plain SDK, for what a user would do beside us. Any keys will do."""
    return boto3.Session("testing", "testing", region_name=REGION)


def client() -> "S3Client":
    return session().client("s3", endpoint_url=endpoint())


def fresh_bucket() -> str:
    """The address of a new bucket."""
    name = f"samara-{uuid4().hex[:12]}"
    client().create_bucket(Bucket=name)
    return f"s3://{name}?endpoint={endpoint()}&region={REGION}"


def fresh_queue() -> str:
    """The address of a new queue of AWS Batch, whose job definition brings no more than an image."""
    name = f"samara-{uuid4().hex[:12]}"
    batch = session().client("batch", endpoint_url=endpoint())
    role = session().client("iam", endpoint_url=endpoint()).create_role(RoleName=name, AssumeRolePolicyDocument="{}")
    environment = batch.create_compute_environment(
        computeEnvironmentName=name, type="UNMANAGED", state="ENABLED", serviceRole=role["Role"]["Arn"]
    )["computeEnvironmentArn"]
    batch.create_job_queue(
        jobQueueName=name,
        priority=1,
        state="ENABLED",
        computeEnvironmentOrder=[{"order": 1, "computeEnvironment": environment}],
    )
    batch.register_job_definition(
        jobDefinitionName=name,
        type="container",
        containerProperties={
            "image": "python:3.13",
            "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "512"}],
        },
    )
    return f"batch://{name}/{name}?endpoint={endpoint()}&region={REGION}"
