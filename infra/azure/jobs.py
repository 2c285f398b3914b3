"""Container Apps, where jobs run. The environment has machines only while it has a job for them."""

from pathlib import Path
from urllib.parse import urlencode

import pulumi
from pulumi_azure_native import app, managedidentity, monitor

from infra.azure.place import Place
from infra.azure.store import Store
from infra.config import Stack
from infra.names import code_key, named, tags
from infra.packages import Packages
from samara.catalogue import Catalogue, Function, submitter

CODE = "code/"
GPU = "gpu"
PROFILES = {"t4": "Consumption-GPU-NC8as-T4", "a100": "Consumption-GPU-NC24-A100"}


class Jobs(pulumi.ComponentResource):
    """Who jobs are, what they may touch, and who may start them."""

    def __init__(self, stack: Stack, catalogue: Catalogue, place: Place, store: Store, packages: Packages) -> None:
        super().__init__("samara:azure:Jobs", named(stack, "jobs"))
        self._stack, self._place = stack, place
        self._mine = pulumi.ResourceOptions(parent=self)
        first = submitter(catalogue)
        name = f"{first.name}-job"
        self.package: Path = packages[name].path
        self.code = code_key(name, packages[name].digest)
        self.identity = self._identity(name)
        self.environment = self._environment()
        reads, creates = (first.job.reads, first.job.creates) if first.job else ((), ())
        for verb, prefixes in (("reads", (*reads, CODE)), ("creates", creates)):
            store.permit(named(stack, name), self.identity.principal_id, verb, prefixes, opts=self._mine)
        self.register_outputs({"environment": self.environment.name})

    @property
    def address(self) -> pulumi.Output[str]:
        """As `samara.providers.azure_jobs` reads it."""
        stack = self._stack
        gpu = {"profile": GPU} if stack.jobs.gpu != "none" else {}
        options = urlencode({"region": stack.region, "image": stack.image, **gpu})
        return pulumi.Output.concat(
            f"containerapps://{stack.project}/", self._place.jobs_group.name, "/", self.environment.name,
            f"?{options}&identity=", self.identity.id, "&client=", self.identity.client_id,
        )  # fmt: skip

    def let(self, spec: Function, who: pulumi.Input[str], opts: pulumi.ResourceOptions) -> None:
        """Let `who` ask after jobs and, where its entry has a job, start them."""
        role = "submits" if spec.job else "asks"
        self._place.let(named(self._stack, spec.name, role), who, role, self._place.jobs_group.id, opts=opts)

    def _identity(self, name: str) -> managedidentity.UserAssignedIdentity:
        """It lies in the jobs' group: there its submitter may hand it to a job, and no other."""
        return managedidentity.UserAssignedIdentity(
            named(self._stack, name, "identity"),
            resource_name_=named(self._stack, name, "identity"),
            resource_group_name=self._place.jobs_group.name,
            location=self._stack.region,
            tags=tags(self._stack),
            opts=self._mine,
        )

    def _environment(self) -> app.ManagedEnvironment:
        stack = self._stack
        plain = app.WorkloadProfileArgs(name="Consumption", workload_profile_type="Consumption")
        gpu = [
            app.WorkloadProfileArgs(name=GPU, workload_profile_type=kind)
            for name, kind in PROFILES.items() if name == stack.jobs.gpu
        ]  # fmt: skip
        environment = app.ManagedEnvironment(
            named(stack, "jobs-environment"),
            environment_name=named(stack, "jobs"),
            resource_group_name=self._place.jobs_group.name,
            location=stack.region,
            workload_profiles=[plain, *gpu],
            zone_redundant=False,
            app_logs_configuration=app.AppLogsConfigurationArgs(destination="azure-monitor"),  # the other takes a key
            tags=tags(stack),
            opts=self._mine,
        )
        monitor.DiagnosticSetting(
            named(stack, "jobs-logs"),
            name="logs",
            resource_uri=environment.id,
            workspace_id=self._place.logs.id,
            logs=[monitor.DiagnosticsLogSettingsArgs(category_group="allLogs", enabled=True)],
            opts=self._mine,
        )
        return environment
