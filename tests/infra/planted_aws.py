"""Mistakes planted into a good graph, each with the rules that must find it, and no others.

A rule that never fires protects nobody, and one that fires at everything tells nobody what to mend.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.infra.graph import Graph
from tests.infra.policies_aws import PERMISSION

Inputs = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Planted:
    what: str
    plant: Callable[[Graph], Graph]
    found_by: tuple[str, ...]

    def __str__(self) -> str:
        return self.what


def setting(name: str, **inputs: Any) -> Callable[[Graph], Graph]:
    """The resource of that name with other inputs."""
    return lambda graph: graph.editing(name, lambda given: given.update(inputs))


def dropping(name: str, field: str) -> Callable[[Graph], Graph]:
    """The resource of that name without one of its inputs."""
    return lambda graph: graph.editing(name, lambda given: given.pop(field))


def missing(name: str) -> Callable[[Graph], Graph]:
    return lambda graph: graph.without(name)


def extra(kind: str, name: str, **inputs: Any) -> Callable[[Graph], Graph]:
    return lambda graph: graph.adding(kind, name, **inputs)


def rewriting(name: str, field: str, edit: Callable[[list[Inputs]], object]) -> Callable[[Graph], Graph]:
    """The resource of that name, with the statements of its policy changed."""

    def change(given: Inputs) -> None:
        document = json.loads(given[field])
        edit(document["Statement"])
        given[field] = json.dumps(document)

    return lambda graph: graph.editing(name, change)


def allowing(who: str, *actions: str, on: str) -> Callable[[Graph], Graph]:
    """A role's policy with one statement more."""
    said = {"Effect": "Allow", "Action": list(actions), "Resource": [on]}
    return rewriting(f"samara-{who}-permissions", "policy", lambda statements: statements.append(said))


def forgetting(sid: str) -> Callable[[list[Inputs]], object]:
    """A policy without the statement of that name."""

    def edit(statements: list[Inputs]) -> None:
        statements[:] = [one for one in statements if one.get("Sid") != sid]

    return edit


def waking_on_less(given: Inputs) -> None:
    pattern = json.loads(given["eventPattern"])
    pattern["detail"]["$or"][0]["object"]["key"].pop()
    given["eventPattern"] = json.dumps(pattern)


BUCKET = "${samara-bucket#arn}"
PLANTED = (
    Planted("a bucket with a public ACL", setting("samara-bucket", acl="public-read"), ("private",)),
    Planted("a bucket without its public access block", missing("samara-bucket-private"), ("private",)),
    Planted("half a public access block", setting("samara-bucket-private", blockPublicPolicy=False), ("private",)),
    Planted("a bucket that answers plain HTTP", missing("samara-bucket-policy"), ("private",)),
    Planted("a bucket policy for everybody",
            rewriting("samara-bucket-policy", "policy", lambda said: said.append({
                "Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"{BUCKET}/*",
            })), ("private",)),
    Planted("an address that anybody may call", setting("samara-predict-url", authorizationType="NONE"), ("private",)),
    Planted("a permission for everybody",
            setting("samara-predict-caller-0-run", principal="*"), ("private",)),
    Planted("a fence with a gap",
            setting("samara-train-job-fence", ingress=[{"fromPort": 22, "cidrBlocks": ["0.0.0.0/0"]}]), ("private",)),
    Planted("a bucket that is not encrypted", missing("samara-bucket-encryption"), ("encrypted",)),
    Planted("a queue that is not encrypted", dropping("samara-dead-letters", "sqsManagedSseEnabled"), ("encrypted",)),
    Planted("a disk that is not encrypted",
            setting("samara-train-job-machine", blockDeviceMappings=[{"ebs": {"volumeSize": 100}}]), ("encrypted",)),
    Planted("a wildcard action",
            rewriting("samara-dead-letters-policy", "policy", lambda said: said[0].update(Action="sqs:*")),
            ("no wildcards",)),
    Planted("a permission on everything",
            rewriting("samara-dead-letters-policy", "policy", lambda said: said[0].update(Resource="*")),
            ("no wildcards",)),
    Planted("an administrator",
            setting("samara-train-job-machine-permissions", policyArn="arn:aws:iam::aws:policy/AdministratorAccess"),
            ("no wildcards",)),
    Planted("a role with the prefix of another function",
            allowing("predict", "s3:PutObject", "s3:AbortMultipartUpload", on=f"{BUCKET}/models/*"),
            ("least privilege",)),
    Planted("a role that may delete what it only creates",
            allowing("drift", "s3:DeleteObject", on=f"{BUCKET}/drift/*"), ("least privilege",)),
    Planted("a role that may not read what it reads",
            rewriting("samara-ingest-permissions", "policy", forgetting("Read")), ("least privilege",)),
    Planted("a job that may write where it reads",
            allowing("train-job", "s3:PutObject", "s3:AbortMultipartUpload", on=f"{BUCKET}/runs/*"),
            ("least privilege",)),
    Planted("a function that writes where it listens",
            allowing("ingest", "s3:PutObject", "s3:AbortMultipartUpload", on=f"{BUCKET}/landing/*"),
            ("least privilege", "no echo")),
    Planted("a function that may start jobs, and has none",
            allowing("dashboard", "batch:SubmitJob", on="${samara-train-job-queue#arn}"), ("rights",)),
    Planted("a function that cannot write its log",
            rewriting("samara-predict-permissions", "policy", forgetting("Logs")), ("rights",)),
    Planted("a NAT gateway", extra("aws:ec2/natGateway:NatGateway", "samara-way-out"), ("no standing charge",)),
    Planted("a machine that is always on",
            lambda graph: graph.editing("samara-train-job-machines",
                                        lambda given: given["computeResources"].update(minVcpus=1)),
            ("no standing charge",)),
    Planted("provisioned concurrency",
            extra("aws:lambda/provisionedConcurrencyConfig:ProvisionedConcurrencyConfig", "samara-warm",
                  provisionedConcurrentExecutions=1), ("no standing charge",)),
    Planted("a thing whose price nobody looked up",
            extra("aws:redshift/cluster:Cluster", "samara-warehouse"), ("no standing charge",)),
    Planted("logs that are kept for ever", dropping("samara-train-logs", "retentionInDays"), ("retention",)),
    Planted("logs that Lambda keeps by itself",
            dropping("samara-train", "loggingConfig"), ("retention",)),
    Planted("a function without tags", dropping("samara-train", "tags"), ("tags",)),
    Planted("a name that EventBridge does not take",
            extra("aws:cloudwatch/eventRule:EventRule", f"samara-{'x' * 60}", tags={"samara": "samara"},
                  eventPattern="{}"), ("names",)),
    Planted("two things of one name",
            extra("aws:sns/topic:Topic", "samara-train", tags={"samara": "samara"}), ("names",)),
    Planted("a trust without the account",
            rewriting("samara-drift-hour-role", "assumeRolePolicy",
                      lambda said: said[0]["Condition"].pop("StringEquals")), ("confused deputy",)),
    Planted("a queue that takes anybody's events",
            rewriting("samara-dead-letters-policy", "policy", lambda said: said[0].pop("Condition")),
            ("confused deputy",)),
    Planted("a function that anybody's rule may run",
            extra(PERMISSION, "samara-open", action="lambda:InvokeFunction", function="samara-dashboard",
                  principal="events.amazonaws.com"), ("confused deputy",)),
    Planted("a function whose failures are lost", missing("samara-train-retries"), ("dead letters",)),
    Planted("a clock whose lost ticks are lost",
            lambda graph: graph.editing("samara-drift-hour", lambda given: given["target"].pop("deadLetterConfig")),
            ("dead letters",)),
    Planted("a queue that forgets after a day",
            setting("samara-dead-letters", messageRetentionSeconds=86_400), ("dead letters",)),
    Planted("a function that is not woken by all it should be",
            lambda graph: graph.editing("samara-train-wakes", waking_on_less), ("wakes",)),
    Planted("a rule that may not run its function", missing("samara-ingest-wakes-permission"), ("wakes",)),
    Planted("a bucket that says nothing", setting("samara-bucket-events", eventbridge=False), ("wakes",)),
    Planted("a clock that is slow", setting("samara-reconcile-quarter", scheduleExpression="rate(1 day)"), ("wakes",)),
    Planted("an address that nobody may call", missing("samara-feedback-caller-0-run"), ("wakes",)),
)  # fmt: skip
