"""A function of the catalogue as an app of Azure Functions: its identity, its plan, its own account for the host.

The host keeps leases and keys in an account, and takes the code from there, with the right to change all of it. So
each app has an account to itself; nobody's code or keys are within reach of another.
"""

from collections.abc import Mapping

import pulumi
from pulumi_azure_native import storage, web

from infra.azure.jobs import Jobs
from infra.azure.place import Place, unique
from infra.azure.store import DEAD, Store, container, storage_account
from infra.config import Stack
from infra.names import RECONCILE, named, needs_jobs, tags, variables
from samara import catalogue
from samara.catalogue import Failed, Http

VERBS = ("reads", "creates", "swaps")
SIZES_MB = (512, 2048, 4096)  # what instances there are
AT_ONCE = 40  # the lowest bound on instances that Azure has always taken
PACKAGES = "packages"
BUS = "BUS"  # the connection's name in `samara.hosts.azure`


class Function(pulumi.ComponentResource):
    """One function with permission for what its entry names, and nothing else."""

    def __init__(self, spec: catalogue.Function, stack: Stack, *, place: Place, store: Store, jobs: Jobs) -> None:
        super().__init__("samara:azure:Function", named(stack, spec.name))
        self.spec, self.stack, self.place, self.store = spec, stack, place, store
        self.mine = pulumi.ResourceOptions(parent=self)
        self.identity = place.identity(spec.name, opts=self.mine)
        self.host = storage_account(place, spec.name, of=spec.name, opts=self.mine)
        packages = container(place, self.host, PACKAGES, named(stack, spec.name, PACKAGES), self.mine)
        self._permit(jobs)
        self.app = self._app(self._plan(), packages, jobs)
        self.register_outputs({"app": self.app.name})

    @property
    def answers(self) -> bool:
        """Whether people call it, rather than events alone."""
        return any(isinstance(trigger, Http) for trigger in self.spec.on)

    def _permit(self, jobs: Jobs) -> None:
        name, who = named(self.stack, self.spec.name), self.identity.principal_id
        for verb in VERBS:
            self.store.permit(name, who, verb, allowed(self.spec, verb), opts=self.mine)
        self.hosts = self.place.let(f"{name}-hosts", who, "Storage Blob Data Owner", self.host.id, opts=self.mine)
        self.place.let(f"{name}-logs", who, "Monitoring Metrics Publisher", self.place.insights.id, opts=self.mine)
        if needs_jobs(self.spec):
            jobs.let(self.spec, who, self.mine)
        for queue in listens(self.spec, self.store):
            self._on_queue("listens", queue)
            self._on_queue("Storage Queue Data Message Sender", f"{queue}-poison")
        for queue in sends(self.spec, self.store):
            self._on_queue("Storage Queue Data Message Sender", queue)

    def _on_queue(self, role: str, queue: str) -> None:
        verb = "listens" if role == "listens" else "sends"
        name = named(self.stack, self.spec.name, verb, queue)
        self.place.let(name, self.identity.principal_id, role, self.store.queues[queue].id, opts=self.mine)

    def _plan(self) -> web.AppServicePlan:
        return web.AppServicePlan(
            named(self.stack, self.spec.name, "plan"),
            name=named(self.stack, self.spec.name),
            resource_group_name=self.place.group.name,
            location=self.stack.region,
            kind="functionapp",
            reserved=True,
            sku=web.SkuDescriptionArgs(name="FC1", tier="FlexConsumption"),
            tags=tags(self.stack, self.spec.name),
            opts=self.mine,
        )

    def _app(self, plan: web.AppServicePlan, packages: storage.BlobContainer, jobs: Jobs) -> web.WebApp:
        return web.WebApp(
            named(self.stack, self.spec.name),
            name=unique(self.stack, named(self.stack, self.spec.name)),
            resource_group_name=self.place.group.name,
            location=self.stack.region,
            kind="functionapp,linux",
            reserved=True,
            server_farm_id=plan.id,
            https_only=True,
            public_network_access="Enabled",  # else its code could not be put up either; it answers to its keys alone
            key_vault_reference_identity=self.identity.id,
            identity=web.ManagedServiceIdentityArgs(
                type=web.ManagedServiceIdentityType.USER_ASSIGNED, user_assigned_identities=[self.identity.id]
            ),
            function_app_config=self._config(packages),
            site_config=self._site(jobs),
            tags=tags(self.stack, self.spec.name),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[self.hosts]),
        )

    def _config(self, packages: storage.BlobContainer) -> web.FunctionAppConfigArgs:
        size = next(size for size in SIZES_MB if size >= self.spec.memory_mb)
        by = web.FunctionsDeploymentStorageAuthenticationArgs(
            type=web.AuthenticationType.USER_ASSIGNED_IDENTITY, user_assigned_identity_resource_id=self.identity.id
        )
        where = pulumi.Output.concat("https://", self.host.name, ".blob.core.windows.net/", packages.name)
        return web.FunctionAppConfigArgs(
            runtime=web.FunctionsRuntimeArgs(name=web.RuntimeName.PYTHON, version=self.stack.python),
            scale_and_concurrency=web.FunctionsScaleAndConcurrencyArgs(
                instance_memory_mb=size, maximum_instance_count=self.stack.concurrency or AT_ONCE
            ),
            deployment=web.FunctionsDeploymentArgs(
                storage=web.FunctionsDeploymentStorageArgs(
                    type=web.FunctionsDeploymentStorageType.BLOB_CONTAINER, value=where, authentication=by
                )
            ),
        )

    def _site(self, jobs: Jobs) -> web.SiteConfigArgs:
        client = self.identity.client_id
        settings: Mapping[str, pulumi.Input[str]] = {
            **variables(
                self.stack, self.spec,
                store=self.store.address, jobs=jobs.address, code=pulumi.Output.from_input(jobs.code),
                bus=self.store.bus,
            ),
            "AZURE_CLIENT_ID": client,
            **keyless("AzureWebJobsStorage", "accountName", self.host.name, client),
            "APPLICATIONINSIGHTS_CONNECTION_STRING": self.place.insights.connection_string,
            "APPLICATIONINSIGHTS_AUTHENTICATION_STRING": pulumi.Output.concat(
                "ClientId=", client, ";Authorization=AAD"
            ),
        }  # fmt: skip
        queues = pulumi.Output.concat("https://", self.store.account.name, ".queue.core.windows.net")
        if any(listens(self.spec, self.store)):
            settings = {**settings, **keyless(BUS, "queueServiceUri", queues, client)}
        return web.SiteConfigArgs(
            app_settings=[web.NameValuePairArgs(name=name, value=value) for name, value in settings.items()],
            min_tls_version=web.SupportedTlsVersions.SUPPORTED_TLS_VERSIONS_1_2,
            scm_min_tls_version=web.SupportedTlsVersions.SUPPORTED_TLS_VERSIONS_1_2,
            ftps_state=web.FtpsState.DISABLED,
            remote_debugging_enabled=False,
        )


def allowed(spec: catalogue.Function, verb: str) -> tuple[str, ...]:
    """The prefixes under which its entry lets it do that. Who may swap may read, too, and is not told so twice."""
    prefixes: tuple[str, ...] = getattr(spec, verb)
    return tuple(prefix for prefix in prefixes if verb != "reads" or prefix not in spec.swaps)


def listens(spec: catalogue.Function, store: Store) -> list[str]:
    """The queues whose messages are for it: its own, or what each of the others gave up."""
    if any(isinstance(trigger, Failed) for trigger in spec.on):
        return [f"{name}-poison" for name in store.listeners]
    return [spec.name] if spec.wakes_on else []


def sends(spec: catalogue.Function, store: Store) -> list[str]:
    """The queues into which it puts something itself."""
    if any(isinstance(trigger, Failed) for trigger in spec.on):
        return [DEAD]
    return store.listeners if spec.name == RECONCILE else []


def keyless(
    connection: str, what: str, where: pulumi.Input[str], client: pulumi.Input[str]
) -> dict[str, pulumi.Input[str]]:
    """The settings of a connection that takes no key, but the app's own identity."""
    return {
        f"{connection}__{what}": where,
        f"{connection}__credential": "managedidentity",
        f"{connection}__clientId": client,
    }
