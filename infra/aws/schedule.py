"""The clock: EventBridge Scheduler wakes a function once in each period, and says which moment was meant."""

import json

import pulumi
import pulumi_aws as aws

from infra.aws.function import LambdaFunction
from infra.aws.place import Place, allow, policy, trust
from infra.names import named, tags
from samara.catalogue import Every

EVERY = {"minute": "cron(* * * * ? *)", "quarter": "cron(0/15 * * * ? *)", "hour": "cron(0 * * * ? *)"}
TICK = json.dumps({"samara": "tick", "at": "<aws.scheduler.scheduled-time>"})
TRIES, OLDEST_S = 3, 3600  # the next tick makes up for a lost one


def group(place: Place) -> aws.scheduler.ScheduleGroup:
    """The clocks of this stack: what may take on their roles is one of these."""
    return aws.scheduler.ScheduleGroup(named(place.stack, "clocks"), tags=tags(place.stack), opts=place.opts())


def connect(place: Place, clocks: aws.scheduler.ScheduleGroup, woken: LambdaFunction, dead: aws.sqs.Queue) -> None:
    """Have the clock run `woken` as often as its entry says."""
    for every in (trigger for trigger in woken.spec.on if isinstance(trigger, Every)):
        name = f"{named(place.stack, woken.spec.name)}-{every.in_a_cloud}"
        role, permitted = _role(place, clocks, woken, dead, name)
        aws.scheduler.Schedule(
            name,
            group_name=clocks.name,
            schedule_expression=EVERY[every.in_a_cloud],
            schedule_expression_timezone="UTC",
            flexible_time_window=aws.scheduler.ScheduleFlexibleTimeWindowArgs(mode="OFF"),
            target=aws.scheduler.ScheduleTargetArgs(
                arn=woken.arn,
                role_arn=role.arn,
                input=TICK,
                retry_policy=aws.scheduler.ScheduleTargetRetryPolicyArgs(
                    maximum_event_age_in_seconds=OLDEST_S, maximum_retry_attempts=TRIES
                ),
                dead_letter_config=aws.scheduler.ScheduleTargetDeadLetterConfigArgs(arn=dead.arn),
            ),
            opts=place.opts(woken, [permitted]),
        )


def _role(
    place: Place, clocks: aws.scheduler.ScheduleGroup, woken: LambdaFunction, dead: aws.sqs.Queue, name: str
) -> tuple[aws.iam.Role, aws.iam.RolePolicy]:
    """What the clock may do: run this function, and keep a tick that it could not hand over."""
    role = aws.iam.Role(
        f"{name}-role",
        assume_role_policy=clocks.arn.apply(
            lambda arn: policy(
                trust(
                    "scheduler.amazonaws.com",
                    StringEquals={"aws:SourceAccount": place.account},
                    ArnEquals={"aws:SourceArn": arn},
                )
            )
        ),
        tags=tags(place.stack, woken.spec.name),
        opts=place.opts(woken),
    )
    known = pulumi.Output.all(function=woken.arn, dead=dead.arn)
    permitted = aws.iam.RolePolicy(
        f"{name}-permissions",
        role=role.id,
        policy=known.apply(
            lambda arns: policy(
                allow("Run", ["lambda:InvokeFunction"], [arns["function"]]),
                allow("Keep", ["sqs:SendMessage"], [arns["dead"]]),
            )
        ),
        opts=place.opts(role),
    )
    return role, permitted
