"""What was tried often enough: kept for two weeks, and told to the function that tells people."""

import json
from collections.abc import Sequence

import pulumi
import pulumi_aws as aws

from infra.aws.events import patience
from infra.aws.function import LambdaFunction
from infra.aws.place import Place, policy
from infra.names import named, tags

KEPT_S = 14 * 86_400  # the longest that SQS keeps anything
GIVEN_UP = "Lambda Function Invocation Result - Failure"  # what Lambda calls it on the bus


def queue(place: Place) -> aws.sqs.Queue:
    """Where dead letters lie until somebody has looked."""
    return aws.sqs.Queue(
        named(place.stack, "dead-letters"),
        message_retention_seconds=KEPT_S,
        sqs_managed_sse_enabled=True,
        tags=tags(place.stack),
        opts=place.opts(),
    )


def connect(
    place: Place, dead: aws.sqs.Queue, teller: LambdaFunction, others: Sequence[LambdaFunction]
) -> aws.cloudwatch.EventRule:
    """Have what `others` give up kept in `dead` and told to `teller`. What that gives up itself is only kept."""
    name = named(place.stack, "failures")
    rule = aws.cloudwatch.EventRule(
        name,
        description="What functions gave up",
        event_pattern=pulumi.Output.all(*(other.arn for other in others)).apply(lambda arns: json.dumps(pattern(arns))),
        tags=tags(place.stack),
        opts=place.opts(),
    )
    may = aws.lambda_.Permission(
        f"{name}-permission",
        action="lambda:InvokeFunction",
        function=teller.function.name,
        principal="events.amazonaws.com",
        source_arn=rule.arn,
        opts=place.opts(teller),
    )
    aws.cloudwatch.EventTarget(f"{name}-kept", rule=rule.name, arn=dead.arn, opts=place.opts(rule))
    aws.cloudwatch.EventTarget(
        f"{name}-told",
        rule=rule.name,
        arn=teller.arn,
        retry_policy=patience(),
        dead_letter_config=aws.cloudwatch.EventTargetDeadLetterConfigArgs(arn=dead.arn),
        opts=place.opts(rule, [may]),
    )
    return rule


def pattern(functions: Sequence[str]) -> dict[str, object]:
    """Failures of these functions. Lambda names the version that ran behind the function's ARN."""
    ran = [{"prefix": f"{arn}:"} for arn in functions]
    return {"source": ["lambda"], "detail-type": [GIVEN_UP], "detail": {"requestContext": {"functionArn": ran}}}


def let_in(place: Place, dead: aws.sqs.Queue, rules: Sequence[aws.cloudwatch.EventRule]) -> None:
    """Rules may put into `dead` what they could not hand over; an ARN names the account that the rule is in."""
    known = pulumi.Output.all(queue=dead.arn, rules=pulumi.Output.all(*(rule.arn for rule in rules)))
    aws.sqs.QueuePolicy(
        named(place.stack, "dead-letters-policy"),
        queue_url=dead.url,
        policy=known.apply(lambda arns: policy(*permissions(**arns))),
        opts=place.opts(dead),
    )


def permissions(queue: str, rules: Sequence[str]) -> list[dict[str, object]]:
    """Who may write into the queue: these rules, over TLS."""
    return [
        {
            "Sid": "Rules",
            "Effect": "Allow",
            "Principal": {"Service": "events.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": queue,
            "Condition": {"ArnEquals": {"aws:SourceArn": list(rules)}},
        },
        {
            "Sid": "EncryptedOnly",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "sqs:*",
            "Resource": queue,
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        },
    ]
