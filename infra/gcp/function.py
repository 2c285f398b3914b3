"""A function of the catalogue on Cloud Run: its account, its code, and the events that wake it."""

import pulumi
from pulumi_gcp import artifactregistry, cloudfunctionsv2, projects, pubsub, storage

from infra.config import Stack
from infra.gcp import http
from infra.gcp.jobs import Jobs
from infra.gcp.store import DAY_S, Store, account, fit, granted
from infra.names import RECONCILE, code_key, named, needs_jobs, tags, variables
from infra.packages import Packaged
from samara import catalogue
from samara.catalogue import Failed, Http

LONGEST_ACK_S = 600
LONGEST_FILTER = 256  # bytes
LONGEST_NAME = 49  # of a service of Cloud Run, so that its revisions have room for theirs
ATTEMPTS = 5
AT_ONCE = 20  # instances, where the stack does not say


class Builder(pulumi.ComponentResource):
    """Google makes an image of each zip. This says as whom, and where it lies; it keeps the newest two of each."""

    def __init__(self, stack: Stack, opts: pulumi.ResourceOptions) -> None:
        super().__init__("samara:gcp:Builder", named(stack, "builder"), None, opts)
        self._stack, self._mine = stack, pulumi.ResourceOptions(parent=self)
        self.account = account(stack, "builder", does="builds the functions", opts=self._mine)
        self.repository = self._repository()
        may = (
            artifactregistry.RepositoryIamMember(
                named(stack, "builder-stores"),
                project=stack.project,
                location=stack.region,
                repository=self.repository.name,
                role="roles/artifactregistry.writer",
                member=self.account.member,
                opts=self._mine,
            ),
            self._on_the_project("roles/logging.logWriter"),
            self._on_the_project("roles/storage.objectViewer", "gcf-v2-sources-"),  # to where Google copies the zips
        )
        self.ready = pulumi.ResourceOptions(depends_on=list(may))
        self.register_outputs({"repository": self.repository.id})

    def _repository(self) -> artifactregistry.Repository:
        newest = artifactregistry.RepositoryCleanupPolicyMostRecentVersionsArgs(keep_count=2)
        old = artifactregistry.RepositoryCleanupPolicyConditionArgs(older_than=f"{DAY_S}s")
        return artifactregistry.Repository(
            named(self._stack, "images"),
            project=self._stack.project,
            location=self._stack.region,
            repository_id=named(self._stack, "images"),
            format="DOCKER",
            cleanup_policy_dry_run=False,
            cleanup_policies=[
                artifactregistry.RepositoryCleanupPolicyArgs(id="newest", action="KEEP", most_recent_versions=newest),
                artifactregistry.RepositoryCleanupPolicyArgs(id="others", action="DELETE", condition=old),
            ],
            labels=tags(self._stack),
            opts=self._mine,
        )

    def _on_the_project(self, role: str, buckets: str = "") -> projects.IAMMember:
        condition = projects.IAMMemberConditionArgs(
            title="the buckets from which Google builds",
            expression=f'resource.name.startsWith("projects/_/buckets/{buckets}")',
        )
        return projects.IAMMember(
            named(self._stack, "builder", role.rpartition(".")[2].lower()),
            project=self._stack.project,
            role=role,
            member=self.account.member,
            condition=condition if buckets else None,
            opts=self._mine,
        )


class Function(pulumi.ComponentResource):
    """One function with permission for what its entry names, and nothing else."""

    def __init__(
        self,
        spec: catalogue.Function,
        stack: Stack,
        *,
        store: Store,
        jobs: Jobs,
        builder: Builder,
        package: Packaged,
        opts: pulumi.ResourceOptions,
    ) -> None:
        super().__init__("samara:gcp:Function", named(stack, spec.name), None, opts)
        self.spec, self.stack, self.store = spec, stack, store
        self.mine = pulumi.ResourceOptions(parent=self)
        self.account = account(stack, spec.name, does=spec.does, opts=self.mine)
        self._permit(jobs)
        code = storage.BucketObject(
            named(stack, spec.name, "code"),
            bucket=store.bucket.name,
            name=code_key(spec.name, package.digest),
            source=pulumi.FileAsset(str(package.path)),
            opts=self.mine,
        )
        self.function = self._function(jobs, builder, code)
        self.url = self.function.service_config.apply(lambda config: str(config.uri if config else ""))
        http.let(self)
        self._woken()
        self.register_outputs({"url": self.url})

    @property
    def answers(self) -> bool:
        """Whether people call it, rather than events alone."""
        return any(isinstance(trigger, Http) for trigger in self.spec.on)

    @property
    def called(self) -> bool:
        """Whether Google itself calls it: to bring an event, a tick or a dead letter."""
        return any(not isinstance(trigger, Http) for trigger in self.spec.on)

    def _permit(self, jobs: Jobs) -> None:
        for verb, role in self.store.roles.items():
            granted(
                named(self.stack, self.spec.name, verb), self.account.member, role, allowed(self.spec, verb),
                folders=self.store.folders, opts=self.mine,
            )  # fmt: skip
        if needs_jobs(self.spec):
            jobs.let(self.spec, self.account, self.mine)
        if self.spec.name == RECONCILE:
            pubsub.TopicIAMMember(
                named(self.stack, self.spec.name, "wakes"),
                project=self.stack.project,
                topic=self.store.topic.name,
                role="roles/pubsub.publisher",
                member=self.account.member,
                opts=self.mine,
            )

    def _function(self, jobs: Jobs, builder: Builder, code: storage.BucketObject) -> cloudfunctionsv2.Function:
        spec, stack = self.spec, self.stack
        source = cloudfunctionsv2.FunctionBuildConfigSourceStorageSourceArgs(
            bucket=self.store.bucket.name, object=code.name
        )
        return cloudfunctionsv2.Function(
            named(stack, spec.name),
            name=fit(named(stack, spec.name), LONGEST_NAME),
            project=stack.project,
            location=stack.region,
            description=spec.does,
            build_config=cloudfunctionsv2.FunctionBuildConfigArgs(
                runtime=f"python{stack.python.replace('.', '')}",
                entry_point="function",
                source=cloudfunctionsv2.FunctionBuildConfigSourceArgs(storage_source=source),
                service_account=builder.account.name,
                docker_repository=builder.repository.id,
            ),
            service_config=self._service(jobs),
            labels=tags(stack, spec.name),
            opts=pulumi.ResourceOptions.merge(self.mine, builder.ready),
        )

    def _service(self, jobs: Jobs) -> cloudfunctionsv2.FunctionServiceConfigArgs:
        caller = {"SAMARA_CALLER": self.store.postman.email} if self.called else {}
        given = variables(
            self.stack, self.spec,
            store=self.store.address, jobs=jobs.address, code=pulumi.Output.from_input(jobs.code), bus=self.store.bus,
        )  # fmt: skip
        return cloudfunctionsv2.FunctionServiceConfigArgs(
            available_memory=f"{self.spec.memory_mb}Mi",
            timeout_seconds=self.spec.timeout_s,
            min_instance_count=0,
            max_instance_count=self.stack.concurrency or AT_ONCE,
            max_instance_request_concurrency=1,
            service_account_email=self.account.email,
            ingress_settings=http.ingress(self.answers),
            all_traffic_on_latest_revision=True,
            environment_variables={**given, **caller, **http.private(self.answers)},
        )

    def _woken(self) -> None:
        if self.spec.wakes_on:
            self._subscribed("events", self.store.topic, "objects", wanted(self.spec))
        if any(isinstance(trigger, Failed) for trigger in self.spec.on):
            self._subscribed("failures", self.store.dead, "failed", "")

    def _subscribed(self, what: str, topic: pubsub.Topic, path: str, wish: str) -> None:
        """Push what `wish` lets through to the function, until it says that it has done with it or given up.

        A function may run longer than Pub/Sub waits. Then the event comes again, and finds its work done.
        """
        name = named(self.stack, self.spec.name, what)
        dead = pubsub.SubscriptionDeadLetterPolicyArgs(
            dead_letter_topic=self.store.dead.id, max_delivery_attempts=ATTEMPTS
        )
        subscription = pubsub.Subscription(
            name,
            name=name,
            project=self.stack.project,
            topic=topic.id,
            filter=wish or None,
            ack_deadline_seconds=min(self.spec.timeout_s + 10, LONGEST_ACK_S),
            message_retention_duration=f"{7 * DAY_S}s",
            expiration_policy=pubsub.SubscriptionExpirationPolicyArgs(ttl=""),
            retry_policy=pubsub.SubscriptionRetryPolicyArgs(minimum_backoff="10s", maximum_backoff="600s"),
            dead_letter_policy=dead if wish else None,  # what tells of dead letters would wake itself by its own
            push_config=pubsub.SubscriptionPushConfigArgs(
                push_endpoint=pulumi.Output.concat(self.url, "/_events/", path),
                oidc_token=pubsub.SubscriptionPushConfigOidcTokenArgs(
                    service_account_email=self.store.postman.email, audience=self.url
                ),
            ),
            labels=tags(self.stack, self.spec.name),
            opts=self.mine,
        )
        if wish:
            self._buried(subscription)

    def _buried(self, subscription: pubsub.Subscription) -> None:
        """Let Pub/Sub take out of it what it carries to the dead letters."""
        pubsub.SubscriptionIAMMember(
            named(self.stack, self.spec.name, "events-given-up"),
            project=self.stack.project,
            subscription=subscription.name,
            role="roles/pubsub.subscriber",
            member=self.store.agent.member,
            opts=self.mine,
        )


def allowed(spec: catalogue.Function, verb: str) -> tuple[str, ...]:
    """The prefixes under which its entry lets it do that. Who may swap may read, too, and is not told so twice."""
    prefixes: tuple[str, ...] = getattr(spec, verb)
    return tuple(prefix for prefix in prefixes if verb != "reads" or prefix not in spec.swaps)


def wanted(spec: catalogue.Function) -> str:
    """Pub/Sub's filter for the objects that wake `spec`, and for the wakes that `reconcile` sends it.

    >>> wanted(catalogue.Function("drift", on=(catalogue.Created("in/"),), does=""))
    '(attributes.eventType="OBJECT_FINALIZE" AND (hasPrefix(attributes.objectId,"in/"))) OR attributes.wake="drift"'
    """
    prefixes = " OR ".join(f'hasPrefix(attributes.objectId,"{prefix}")' for prefix in spec.wakes_on)
    wish = f'(attributes.eventType="OBJECT_FINALIZE" AND ({prefixes})) OR attributes.wake="{spec.name}"'
    assert len(wish.encode()) <= LONGEST_FILTER, f"{spec.name} wakes on more prefixes than Pub/Sub filters by"  # noqa: S101
    return wish
