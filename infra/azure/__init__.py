"""Azure: the catalogue as apps of Azure Functions, one for each function, woken over storage queues by one container.

Functions' code is put up after `pulumi up`, by `pulumi stack output publish | sh`: Azure takes it by an upload of its
own, "one deploy", for which its resource model has nothing but a public address.
"""

from shlex import quote

import pulumi
from pulumi_azure_native import consumption

from infra.azure.function import Function
from infra.azure.http import url
from infra.azure.jobs import Jobs
from infra.azure.place import Place
from infra.azure.store import Store
from infra.config import Stack
from infra.names import named
from infra.packages import Packages
from samara.catalogue import load


def deploy(stack: Stack, packages: Packages) -> None:
    """Everything that `stack` describes, and what people need to know about it afterwards."""
    catalogue = load()
    place = Place(stack)
    store = Store(stack, catalogue, place)
    jobs = Jobs(stack, catalogue, place, store, packages)
    functions = [Function(spec, stack, place=place, store=store, jobs=jobs) for spec in catalogue]
    if stack.budget:
        watch(stack, place)
    export(place, store, jobs, functions, packages)


def watch(stack: Stack, place: Place) -> None:
    """Tell somebody of a dear month. Alert rules are left away: Azure charges for each, whether or not it fires."""
    assert stack.budget  # noqa: S101  # for the type checker
    consumption.Budget(
        named(stack, "budget"),
        budget_name=stack.name,
        scope=place.group.id,
        amount=stack.budget.usd,
        category=consumption.CategoryType.COST,
        time_grain=consumption.TimeGrainType.MONTHLY,
        time_period=consumption.BudgetTimePeriodArgs(start_date="2026-01-01T00:00:00Z"),
        notifications={
            f"at-{percent}": consumption.NotificationArgs(
                contact_emails=[stack.budget.email],
                enabled=True,
                operator=consumption.OperatorType.GREATER_THAN_OR_EQUAL_TO,
                threshold=percent,
            )
            for percent in (50, 90, 100)
        },
    )


def export(place: Place, store: Store, jobs: Jobs, functions: list[Function], packages: Packages) -> None:
    urls = {one.spec.name: url(one) for one in functions if one.answers}
    pulumi.export("bucket", store.address)
    pulumi.export("urls", urls)
    pulumi.export("functions", [one.spec.name for one in functions])
    pulumi.export("publish", published(place, store, jobs, functions, packages))
    pulumi.export("next", [
        pulumi.Output.concat("export SAMARA_PROVIDER=azure SAMARA_STORE=", store.address),
        "samara doctor --store $SAMARA_STORE",
        *(
            pulumi.Output.concat(
                "az functionapp keys list --resource-group ", place.group.name, " --name ", one.app.name
            )
            for one in functions if one.spec.name == "predict"
        ),
        pulumi.Output.concat(
            "az storage message peek --auth-mode login --queue-name dead-letters --account-name ", store.account.name
        ),
    ])  # fmt: skip


def published(
    place: Place, store: Store, jobs: Jobs, functions: list[Function], packages: Packages
) -> pulumi.Output[str]:
    """A script for a shell: the package of the job goes into the bucket, then each app gets its own."""
    job = pulumi.Output.concat(
        "az storage blob upload --auth-mode login --account-name ", store.account.name, " --container-name ",
        store.container.name, f" --name {jobs.code} --file {quote(str(jobs.package))} --overwrite\n",
    )  # fmt: skip
    apps = [
        pulumi.Output.concat(
            "az functionapp deployment source config-zip --resource-group ", place.group.name, " --name ",
            one.app.name, f" --src {quote(str(packages[one.spec.name].path))}\n",
        )
        for one in functions
    ]  # fmt: skip
    return pulumi.Output.concat("set -e\n", job, *apps)
