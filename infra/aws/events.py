"""From an object to the functions it wakes: one rule for each function, on the bus where the bucket speaks."""

import json

import pulumi_aws as aws

from infra.aws.function import LambdaFunction
from infra.aws.place import Place
from infra.aws.store import Store
from infra.names import named, tags
from samara.catalogue import Function

TRIES, OLDEST_S = 185, 86_400  # to hand an event over to Lambda: the most that EventBridge has


def connect(place: Place, store: Store, woken: LambdaFunction, dead: aws.sqs.Queue) -> aws.cloudwatch.EventRule:
    """Have every new object under its prefixes, and every wake that names it, run `woken`."""
    name, mine = named(place.stack, woken.spec.name), place.opts(woken)
    rule = aws.cloudwatch.EventRule(
        f"{name}-wakes",
        description=f"What wakes {woken.spec.name}",
        event_pattern=store.bucket.bucket.apply(lambda bucket: json.dumps(pattern(woken.spec, bucket))),
        tags=tags(place.stack, woken.spec.name),
        opts=mine,
    )
    may = aws.lambda_.Permission(
        f"{name}-wakes-permission",
        action="lambda:InvokeFunction",
        function=woken.function.name,
        principal="events.amazonaws.com",
        source_arn=rule.arn,
        opts=mine,
    )
    aws.cloudwatch.EventTarget(
        f"{name}-wakes-target",
        rule=rule.name,
        arn=woken.arn,
        retry_policy=patience(),
        dead_letter_config=aws.cloudwatch.EventTargetDeadLetterConfigArgs(arn=dead.arn),
        opts=place.opts(woken, [may, store.speaking]),
    )
    return rule


def patience() -> aws.cloudwatch.EventTargetRetryPolicyArgs:
    return aws.cloudwatch.EventTargetRetryPolicyArgs(
        maximum_event_age_in_seconds=OLDEST_S, maximum_retry_attempts=TRIES
    )


def pattern(function: Function, bucket: str) -> dict[str, object]:
    """What of all that is said on the bus is meant for `function`."""
    created = {"bucket": {"name": [bucket]}, "object": {"key": [{"prefix": one} for one in function.wakes_on]}}
    return {
        "source": ["aws.s3", "samara"],
        "detail-type": ["Object Created", "Wake"],
        "detail": {"$or": [created, {"function": [function.name]}]},
    }
