"""Who may call a function over HTTP. Everybody is never among them: Cloud Run checks each caller's identity."""

from typing import TYPE_CHECKING

import pulumi
from pulumi_gcp import cloudrunv2

from infra.names import named
from samara.errors import Misconfigured

if TYPE_CHECKING:
    from infra.gcp.function import Function

EVERYBODY = ("allUsers", "allAuthenticatedUsers")
INVOKER = "roles/run.invoker"


def ingress(answers: bool) -> str:
    """Pub/Sub and the scheduler come from inside. What people call is open to the net, and to nobody unknown."""
    return "ALLOW_ALL" if answers else "ALLOW_INTERNAL_ONLY"


def private(answers: bool) -> dict[str, str]:
    """The setting by which what people call believes whom Cloud Run identified, since nobody else is let in."""
    return {"SAMARA_PRIVATE": "1"} if answers else {}


def let(function: "Function") -> None:
    """The account that brings events, where there are any, and the callers of this stack, where it answers."""
    stack, name = function.stack, function.spec.name
    members: dict[str, pulumi.Input[str]] = {"events": function.store.postman.member} if function.called else {}
    for number, caller in enumerate(stack.callers if function.answers else ()):
        if caller in EVERYBODY:
            raise Misconfigured("samara:callers", f"{caller} is everybody; name people, groups or service accounts")
        members[f"caller-{number}"] = caller
    for who, member in members.items():
        cloudrunv2.ServiceIamMember(
            named(stack, name, "called-by", who),
            project=stack.project,
            location=stack.region,
            name=function.function.name,
            role=INVOKER,
            member=member,
            opts=function.mine,
        )
