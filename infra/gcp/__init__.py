"""Google Cloud: the catalogue as Cloud Run functions, woken over Pub/Sub by one bucket."""

import pulumi
from pulumi_gcp import billing, monitoring, organizations

from infra.config import Stack
from infra.gcp import schedule
from infra.gcp.function import Builder, Function
from infra.gcp.jobs import Jobs
from infra.gcp.store import Store, enabled
from infra.names import TO_TRY, named, tags
from infra.packages import Packages
from samara.catalogue import Catalogue, load


def deploy(stack: Stack, packages: Packages) -> None:
    """Everything that `stack` describes, and what people need to know about it afterwards."""
    catalogue = load()
    ready = pulumi.ResourceOptions(depends_on=enabled(stack))
    store = Store(stack, catalogue, opts=ready)
    jobs = Jobs(stack, catalogue, store, packages, opts=ready)
    builder = Builder(stack, opts=ready)
    functions = [
        Function(spec, stack, store=store, jobs=jobs, builder=builder, package=packages[spec.name], opts=ready)
        for spec in catalogue
    ]
    for function in functions:
        schedule.ticks(function)
    if stack.budget:
        watch(stack, store)
    export(stack, catalogue, store, functions)


def watch(stack: Stack, store: Store) -> None:
    """Tell somebody of a dear month. Google asks for whoever creates this to administer the billing account.

    The amount is in the billing account's own currency. An alert on dead letters is made only where it is asked for:
    from 2025 on Google may charge for each condition, whether or not anything happens.
    """
    assert stack.budget  # noqa: S101  # for the type checker
    project = organizations.get_project_output(project_id=stack.project)
    channel = monitoring.NotificationChannel(
        named(stack, "email"),
        project=stack.project,
        type="email",
        display_name=f"{stack.name}: whom to tell",
        labels={"email_address": stack.budget.email},
        user_labels=tags(stack),
    )
    billing.Budget(
        named(stack, "budget"),
        billing_account=project.billing_account,
        display_name=stack.name,
        amount=billing.BudgetAmountArgs(
            specified_amount=billing.BudgetAmountSpecifiedAmountArgs(units=str(stack.budget.usd))
        ),
        budget_filter=billing.BudgetBudgetFilterArgs(projects=[pulumi.Output.concat("projects/", project.number)]),
        threshold_rules=[billing.BudgetThresholdRuleArgs(threshold_percent=part) for part in (0.5, 0.9, 1.0)],
        all_updates_rule=billing.BudgetAllUpdatesRuleArgs(monitoring_notification_channels=[channel.id]),
    )
    if stack.budget.alarms:
        alarm(stack, store, channel)


def alarm(stack: Stack, store: Store, channel: monitoring.NotificationChannel) -> None:
    waiting = pulumi.Output.concat(
        'metric.type="pubsub.googleapis.com/subscription/num_undelivered_messages" AND ',
        'resource.type="pubsub_subscription" AND resource.labels.subscription_id="', store.kept.name, '"',
    )  # fmt: skip
    monitoring.AlertPolicy(
        named(stack, "dead-letters-wait"),
        project=stack.project,
        display_name=f"{stack.name}: events were given up",
        combiner="OR",
        conditions=[
            monitoring.AlertPolicyConditionArgs(
                display_name="dead letters wait",
                condition_threshold=monitoring.AlertPolicyConditionConditionThresholdArgs(
                    filter=waiting, comparison="COMPARISON_GT", threshold_value=0, duration="300s"
                ),
            )
        ],
        notification_channels=[channel.id],
        user_labels=tags(stack),
    )


def export(stack: Stack, catalogue: Catalogue, store: Store, functions: list[Function]) -> None:
    urls = {one.spec.name: one.url for one in functions if one.answers}
    pulumi.export("store", store.address)
    pulumi.export("urls", urls)
    pulumi.export("next", [
        pulumi.Output.concat("export SAMARA_STORE=", store.address),
        *TO_TRY,
        *(
            pulumi.Output.concat('curl -H "Authorization: Bearer $(gcloud auth print-identity-token)" ', url, path)
            for name, url in urls.items() if name == "predict"
            for path in ["/v2/health/ready"]
        ),
        f"gcloud pubsub subscriptions pull {named(stack, 'dead-letters')} --project {stack.project}",
    ])  # fmt: skip
    pulumi.export("functions", [spec.name for spec in catalogue])
