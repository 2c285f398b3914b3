"""What a program asks AWS for before it creates anything, and the answers on the emulators."""

from collections.abc import Callable
from typing import Any

from tests.emulators.localstack import ACCOUNT, REGION, client

Answer = Callable[[dict[str, Any]], dict[str, Any]]


def caller(_asked: dict[str, Any]) -> dict[str, Any]:
    return {"accountId": ACCOUNT, "arn": f"arn:aws:iam::{ACCOUNT}:root", "userId": ACCOUNT, "id": ACCOUNT}


def region(_asked: dict[str, Any]) -> dict[str, Any]:
    return {"region": REGION, "name": REGION, "id": REGION}


def partition(_asked: dict[str, Any]) -> dict[str, Any]:
    return {"partition": "aws", "dnsSuffix": "amazonaws.com", "id": "aws"}


def vpc(asked: dict[str, Any]) -> dict[str, Any]:
    """The default one, which is what one asks for who brings none."""
    assert asked.get("default") is True, f"only the default VPC can be looked up here, not {asked}"
    (found,) = client("ec2").describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
    return {"id": found["VpcId"], "cidrBlock": found["CidrBlock"]}


def subnets(asked: dict[str, Any]) -> dict[str, Any]:
    filters = [{"Name": each["name"], "Values": each["values"]} for each in asked["filters"]]
    if any("${" in value for each in filters for value in each["Values"]):  # the VPC that was just looked up
        filters = [{"Name": "vpc-id", "Values": [vpc({"default": True})["id"]]}]
    found = client("ec2").describe_subnets(Filters=filters)["Subnets"]
    return {"ids": [each["SubnetId"] for each in found], "id": REGION}


ANSWERS: dict[str, Answer] = {
    "aws:index/getCallerIdentity:getCallerIdentity": caller,
    "aws:index/getRegion:getRegion": region,
    "aws:index/getPartition:getPartition": partition,
    "aws:ec2/getVpc:getVpc": vpc,
    "aws:ec2/getSubnets:getSubnets": subnets,
}
