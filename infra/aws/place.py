"""Where on AWS a stack lives: account, region, and the provider that everything is made by."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws

from infra.config import Stack
from infra.names import named

Statement = Mapping[str, Any]
PARTITIONS = {"cn": "aws-cn", "us-gov": "aws-us-gov"}  # every other region is in `aws`


@dataclass(frozen=True, slots=True)
class Place:
    """`account` is known while the program runs, but not before: nothing may depend on what it says."""

    stack: Stack
    provider: aws.Provider
    account: str

    @property
    def default_bus(self) -> str:
        """The event bus that every account has, on which the bucket speaks."""
        return self.arn("events", "event-bus/default")

    def arn(self, service: str, what: str) -> str:
        """The ARN of something in this account and region."""
        return f"arn:{partition(self.stack.region)}:{service}:{self.stack.region}:{self.account}:{what}"

    def opts(
        self,
        parent: pulumi.Resource | None = None,
        depends_on: Sequence[pulumi.Resource] = (),
        *,
        protect: bool = False,
        retain_on_delete: bool = False,
    ) -> pulumi.ResourceOptions:
        """How everything is made here."""
        return pulumi.ResourceOptions(
            parent=parent,
            provider=self.provider,
            depends_on=list(depends_on),
            protect=protect or None,
            retain_on_delete=retain_on_delete or None,
        )

    @property
    def asking(self) -> pulumi.InvokeOptions:
        """How everything is looked up here."""
        return pulumi.InvokeOptions(provider=self.provider)


def find(stack: Stack) -> Place:
    """The place that `stack` names; if it names an account, no other will do."""
    held = [stack.project] if stack.project else None
    provider = aws.Provider(named(stack, "aws"), region=stack.region, allowed_account_ids=held)
    me = aws.get_caller_identity(opts=pulumi.InvokeOptions(provider=provider))
    return Place(stack, provider, me.account_id)


def partition(region: str) -> str:
    """The part of AWS that has this region.

    >>> partition("us-gov-west-1"), partition("us-east-1")
    ('aws-us-gov', 'aws')
    """
    return next((name for prefix, name in PARTITIONS.items() if region.startswith(f"{prefix}-")), "aws")


def policy(*statements: Statement) -> str:
    """A policy document, as JSON. Statements about nothing are left out: AWS refuses them."""
    said = [statement for statement in statements if statement.get("Resource", True)]
    return json.dumps({"Version": "2012-10-17", "Statement": said})


def allow(sid: str, actions: Sequence[str], resources: Sequence[str], **condition: Any) -> Statement:
    """One permission. `condition` is `StringEquals={…}` and the like."""
    said = {"Sid": sid, "Effect": "Allow", "Action": list(actions), "Resource": list(resources)}
    return {**said, "Condition": condition} if condition else said


def trust(service: str, **condition: Any) -> Statement:
    """A role's answer to who may take it on."""
    said = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    return {**said, "Condition": condition} if condition else said
