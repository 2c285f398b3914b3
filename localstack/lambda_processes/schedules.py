"""Fires a schedule at once, as it is stored: `POST /_samara/fire?arn=…`.

LocalStack keeps the schedules of EventBridge Scheduler and never fires one, and fires scheduled rules by its clock.
Here a test or a curious person does it, with the target and the input that were deployed, and nothing else.
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from localstack.aws.connect import connect_to
from localstack.http import Request, Response, route
from localstack.services.edge import ROUTER
from localstack.services.events.rule import RuleService

PATH = "/_samara/fire"

Rules = dict[str, tuple[Any, Callable[[], None]]]


class Refused(Exception):
    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


def serve() -> None:
    rules = remembered_rules()

    @route(PATH, methods=["POST"])
    def fire(request: Request) -> Response:
        arn, at = request.args.get("arn", ""), request.args.get("at") or f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        try:
            fired = fire_rule(arn, rules) if ":rule/" in arn else fire_schedule(arn, at)
        except Refused as refused:
            return Response(json.dumps({"arn": arn, "why": str(refused)}), refused.status, mimetype="application/json")
        return Response(json.dumps(fired), 202, mimetype="application/json")

    ROUTER.add(fire)


def remembered_rules() -> Rules:
    """Every scheduled rule that is made from now on, with what LocalStack's clock would call."""
    rules: Rules = {}
    original = RuleService.create_schedule_job

    def create_schedule_job(self: RuleService, send: Callable[[], None]) -> Any:
        rules[self.arn] = (self.rule, send)
        return original(self, send)

    RuleService.create_schedule_job = create_schedule_job  # type: ignore[method-assign, assignment]
    return rules


def fire_rule(arn: str, rules: Rules) -> dict[str, str]:
    if arn not in rules:
        raise Refused(404, "no such scheduled rule")
    rule, send = rules[arn]
    if rule.state == "DISABLED":
        raise Refused(409, "the rule is disabled")
    send()
    return {"arn": arn}


def fire_schedule(arn: str, at: str) -> dict[str, str]:
    """Invoke the function that a schedule names, as the schedule's own role, with the schedule's own input."""
    _, _, service, region, account, resource = (*arn.split(":", 5), *[""] * 6)[:6]
    kind, _, path = resource.partition("/")
    group, _, name = path.partition("/")
    if (service, kind) != ("scheduler", "schedule") or not name:
        raise Refused(404, "neither the ARN of a schedule nor of a rule")
    scheduler = connect_to(aws_access_key_id=account, region_name=region).scheduler
    try:
        schedule = scheduler.get_schedule(Name=name, GroupName=group)
    except scheduler.exceptions.ResourceNotFoundException:
        raise Refused(404, "no such schedule") from None
    target = schedule["Target"]
    if schedule["State"] != "ENABLED":
        raise Refused(409, "the schedule is disabled")
    if ":lambda:" not in target["Arn"] or not target.get("Input"):
        raise Refused(501, "only functions can be fired here, and with an input")
    meant = filled_in(target["Input"], {"scheduled-time": at, "schedule-arn": arn, "execution-id": str(uuid4())})
    clients = connect_to.with_assumed_role(role_arn=target["RoleArn"], region_name=region)
    clients.lambda_.request_metadata(source_arn=arn).invoke(
        FunctionName=target["Arn"], Payload=meant.encode(), InvocationType="Event"
    )
    return {"arn": arn, "target": target["Arn"], "input": meant}


def filled_in(text: str, values: dict[str, str]) -> str:
    """The input with AWS's context attributes in place: `<aws.scheduler.scheduled-time>`.

    >>> filled_in('{"at":"<aws.scheduler.scheduled-time>"}', {"scheduled-time": "2026-01-01T00:00:00Z"})
    '{"at":"2026-01-01T00:00:00Z"}'
    """
    for name, value in {"attempt-number": "1", **values}.items():
        text = text.replace(f"<aws.scheduler.{name}>", value)
    return text
