"""Ticks: Cloud Scheduler calls the functions that wake by the clock. Three such jobs cost nothing, each more $0.10."""

import pulumi
from pulumi_gcp import cloudscheduler

from infra.gcp.function import Function
from infra.names import named
from samara.catalogue import Every

CRON = {"minute": "* * * * *", "quarter": "*/15 * * * *", "hour": "0 * * * *"}


def ticks(function: Function) -> None:
    """A call at the start of each period. One that fails is repeated; one that is missed, the next makes up for."""
    stack, spec = function.stack, function.spec
    for trigger in spec.on:
        if isinstance(trigger, Every):
            cloudscheduler.Job(
                named(stack, spec.name, "every", trigger.in_a_cloud),
                name=named(stack, spec.name, "every", trigger.in_a_cloud),
                project=stack.project,
                region=stack.region,
                description=f"{spec.name} {spec.does}",
                schedule=CRON[trigger.in_a_cloud],
                time_zone="Etc/UTC",
                attempt_deadline=f"{min(spec.timeout_s + 10, 1800)}s",
                retry_config=cloudscheduler.JobRetryConfigArgs(
                    retry_count=3 if trigger.in_a_cloud == "hour" else 0, min_backoff_duration="30s"
                ),
                http_target=cloudscheduler.JobHttpTargetArgs(
                    uri=pulumi.Output.concat(function.url, "/_events/tick"),
                    http_method="POST",
                    oidc_token=cloudscheduler.JobHttpTargetOidcTokenArgs(
                        service_account_email=function.store.postman.email, audience=function.url
                    ),
                ),
                opts=function.mine,
            )
