"""Who hears of money and of failures. A budget is free; alarms are not, so they are asked for."""

import pulumi
import pulumi_aws as aws

from infra.aws.place import Place, policy
from infra.config import Budget
from infra.names import named, tags


def create(place: Place, dead: aws.sqs.Queue) -> None:
    """The budget that the stack's configuration asks for, and its alarms."""
    budget = place.stack.budget
    if budget is None:
        return
    _budget(place, budget)
    if budget.alarms:
        _alarm(place, budget, dead)


def _budget(place: Place, budget: Budget) -> None:
    """Of the whole account: a bill can be split by tags only after a person has switched that on."""
    name = named(place.stack, "budget")
    aws.budgets.Budget(
        name,
        budget_type="COST",
        limit_amount=str(budget.usd),
        limit_unit="USD",
        time_unit="MONTHLY",
        notifications=[_notice(budget, "ACTUAL", 80), _notice(budget, "FORECASTED", 100)],
        tags=tags(place.stack),
        opts=place.opts(),
    )


def _notice(budget: Budget, kind: str, percent: int) -> aws.budgets.BudgetNotificationArgs:
    return aws.budgets.BudgetNotificationArgs(
        comparison_operator="GREATER_THAN",
        notification_type=kind,
        threshold=percent,
        threshold_type="PERCENTAGE",
        subscriber_email_addresses=[budget.email],
    )


def _alarm(place: Place, budget: Budget, dead: aws.sqs.Queue) -> None:
    """One is enough: whatever fails for good ends among the dead letters."""
    stack = place.stack
    topic = aws.sns.Topic(named(stack, "alarms"), tags=tags(stack), opts=place.opts())
    aws.sns.TopicSubscription(
        named(stack, "alarms-email"), topic=topic.arn, protocol="email", endpoint=budget.email, opts=place.opts(topic)
    )
    alarm = aws.cloudwatch.MetricAlarm(
        named(stack, "dead-letters-alarm"),
        alarm_description="Something was given up. samara status says what.",
        namespace="AWS/SQS",
        metric_name="ApproximateNumberOfMessagesVisible",
        dimensions={"QueueName": dead.name},
        statistic="Maximum",
        comparison_operator="GreaterThanThreshold",
        threshold=0,
        period=300,
        evaluation_periods=1,
        treat_missing_data="notBreaching",
        alarm_actions=[topic.arn],
        tags=tags(stack),
        opts=place.opts(),
    )
    aws.sns.TopicPolicy(
        named(stack, "alarms-policy"),
        arn=topic.arn,
        policy=pulumi.Output.all(topic=topic.arn, alarm=alarm.arn).apply(
            lambda arns: policy({
                "Sid": "Alarms",
                "Effect": "Allow",
                "Principal": {"Service": "cloudwatch.amazonaws.com"},
                "Action": "sns:Publish",
                "Resource": arns["topic"],
                "Condition": {
                    "StringEquals": {"aws:SourceAccount": place.account},
                    "ArnEquals": {"aws:SourceArn": arns["alarm"]},
                },
            })
        ),
        opts=place.opts(topic),
    )  # fmt: skip
