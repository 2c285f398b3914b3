"""The account whose container is the bucket, and the queues by which its objects wake functions."""

import pulumi
from pulumi_azure_native import eventgrid, storage

from infra.azure.place import ROLES as ALLOW
from infra.azure.place import Place, storage_name, under
from infra.config import Stack
from infra.names import named, tags
from samara.catalogue import Catalogue, Function

BUCKET = "bucket"  # what the container is called
LOST = "undelivered"  # what Event Grid could put into no queue
DEAD = "dead-letters"
LARGE = ("blobs/",)  # under which objects may come as streams, and go up in blocks
DAY_S = 86_400
KEPT_DAYS = 7  # of messages; the host gives those it moves no other


class Store(pulumi.ComponentResource):
    """Private, keyless, versioned; what is overwritten or deleted goes for good after the days this stack keeps it."""

    def __init__(self, stack: Stack, catalogue: Catalogue, place: Place) -> None:
        super().__init__("samara:azure:Store", named(stack, "store"))
        self._stack, self._place = stack, place
        self.mine = pulumi.ResourceOptions(parent=self)
        self.account = storage_account(
            place, "data", opts=pulumi.ResourceOptions(parent=self, protect=stack.protect), of=""
        )
        self._keeping()
        self.container = container(place, self.account, BUCKET, named(stack, BUCKET), self.mine)
        self._lost = container(place, self.account, LOST, named(stack, LOST), self.mine)
        self.topic = self._topic()
        self._loses = place.let(
            named(stack, "events-lost"), self._teller, "Storage Blob Data Contributor", self._lost.id, opts=self.mine
        )
        self.listeners = [spec.name for spec in catalogue if spec.wakes_on]
        self.queues = {name: self._queue(name) for name in queue_names(self.listeners)}
        for spec in catalogue:
            if spec.wakes_on:
                self._subscribed(spec)
        self.register_outputs({"bucket": self.container.name})

    @property
    def address(self) -> pulumi.Output[str]:
        return pulumi.Output.concat("az://", self.account.name, "/", self.container.name)

    @property
    def bus(self) -> pulumi.Output[str]:
        return pulumi.Output.concat("queues://", self.account.name)

    def permit(
        self, name: str, principal: pulumi.Input[str], verb: str, prefixes: tuple[str, ...], *,
        opts: pulumi.ResourceOptions,
    ) -> None:  # fmt: skip
        """Let `principal` do that, `verb` being the catalogue's, under these prefixes."""
        for role, among in split(verb, prefixes).items():
            only = under(among, ALLOW[role])
            self._place.let(f"{name}-{role}", principal, role, self.container.id, only=only, opts=opts)

    def _keeping(self) -> None:
        stack, place = self._stack, self._place
        storage.BlobServiceProperties(
            named(stack, "data-keeps"),
            account_name=self.account.name,
            resource_group_name=place.group.name,
            blob_services_name="default",
            is_versioning_enabled=True,
            container_delete_retention_policy=storage.DeleteRetentionPolicyArgs(enabled=True, days=7),
            opts=self.mine,
        )
        delete = storage.DateAfterCreationArgs(days_after_creation_greater_than=stack.keep_days)
        rule = storage.ManagementPolicyDefinitionArgs(
            actions=storage.ManagementPolicyActionArgs(version=storage.ManagementPolicyVersionArgs(delete=delete)),
            filters=storage.ManagementPolicyFilterArgs(blob_types=["blockBlob"]),
        )
        storage.ManagementPolicy(
            named(stack, "data-forgets"),
            account_name=self.account.name,
            resource_group_name=place.group.name,
            management_policy_name="default",
            policy=storage.ManagementPolicySchemaArgs(
                rules=[storage.ManagementPolicyRuleArgs(name="old-versions", type="Lifecycle", definition=rule)]
            ),
            opts=self.mine,
        )

    def _topic(self) -> eventgrid.SystemTopic:
        return eventgrid.SystemTopic(
            named(self._stack, "objects"),
            system_topic_name=named(self._stack, "objects"),
            resource_group_name=self._place.group.name,
            location=self._stack.region,
            source=self.account.id,
            topic_type="Microsoft.Storage.StorageAccounts",
            identity=eventgrid.IdentityInfoArgs(type=eventgrid.IdentityType.SYSTEM_ASSIGNED),
            tags=tags(self._stack),
            opts=self.mine,
        )

    @property
    def _teller(self) -> pulumi.Output[str]:
        """Who Event Grid is to the queues."""
        return self.topic.identity.apply(lambda identity: str(identity.principal_id if identity else ""))

    def _queue(self, name: str) -> storage.Queue:
        return storage.Queue(
            named(self._stack, "queue", name),
            queue_name=name,
            account_name=self.account.name,
            resource_group_name=self._place.group.name,
            opts=self.mine,
        )

    def _subscribed(self, spec: Function) -> None:
        """Put what wakes `spec` into its queue. What does not get there within a day is kept as a blob."""
        stack, queue = self._stack, self.queues[spec.name]
        name = named(stack, spec.name, "events")
        arrive = named(stack, spec.name, "events-arrive")
        may = self._place.let(arrive, self._teller, "Storage Queue Data Message Sender", queue.id, opts=self.mine)
        itself = eventgrid.EventSubscriptionIdentityArgs(type=eventgrid.EventSubscriptionIdentityType.SYSTEM_ASSIGNED)
        eventgrid.SystemTopicEventSubscription(
            name,
            event_subscription_name=name,
            system_topic_name=self.topic.name,
            resource_group_name=self._place.group.name,
            event_delivery_schema=eventgrid.EventDeliverySchema.CLOUD_EVENT_SCHEMA_V1_0,
            filter=wanted(spec),
            retry_policy=eventgrid.RetryPolicyArgs(event_time_to_live_in_minutes=1440, max_delivery_attempts=30),
            delivery_with_resource_identity=eventgrid.DeliveryWithResourceIdentityArgs(
                identity=itself,
                destination=eventgrid.StorageQueueEventSubscriptionDestinationArgs(
                    endpoint_type="StorageQueue",
                    resource_id=self.account.id,
                    queue_name=queue.name,
                    queue_message_time_to_live_in_seconds=KEPT_DAYS * DAY_S,
                ),
            ),
            dead_letter_with_resource_identity=eventgrid.DeadLetterWithResourceIdentityArgs(
                identity=itself,
                dead_letter_destination=eventgrid.StorageBlobDeadLetterDestinationArgs(
                    endpoint_type="StorageBlob", resource_id=self.account.id, blob_container_name=self._lost.name
                ),
            ),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[may, self._loses]),
        )


def wanted(spec: Function) -> eventgrid.EventSubscriptionFilterArgs:
    """The objects that wake `spec`. One prefix is for Event Grid's plain filter, several are for its other one."""
    start = f"/blobServices/default/containers/{BUCKET}/blobs/"
    subjects = [start + prefix for prefix in spec.wakes_on]
    several = eventgrid.StringBeginsWithAdvancedFilterArgs(
        key="subject", operator_type="StringBeginsWith", values=subjects
    )
    return eventgrid.EventSubscriptionFilterArgs(
        included_event_types=["Microsoft.Storage.BlobCreated"],
        is_subject_case_sensitive=True,
        subject_begins_with=subjects[0] if len(subjects) == 1 else start,
        advanced_filters=[several] if len(subjects) > 1 else None,
    )


def queue_names(listeners: list[str]) -> list[str]:
    """Each listener's queue, those of what it and even `deadletter` gave up, and the one that people look at."""
    ends = ("", "-poison", "-poison-poison")
    return [*(f"{name}{end}" for name in listeners for end in ends), DEAD]


def split(verb: str, prefixes: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """The roles of ours by which a verb of the catalogue is done, each with its prefixes.

    >>> split("creates", ("blobs/", "runs/"))
    {'uploads': ('blobs/',), 'creates': ('runs/',)}
    """
    if verb != "creates":
        return {verb: prefixes} if prefixes else {}
    large = tuple(prefix for prefix in prefixes if prefix in LARGE)
    small = tuple(prefix for prefix in prefixes if prefix not in LARGE)
    return {role: among for role, among in (("uploads", large), ("creates", small)) if among}


def storage_account(place: Place, what: str, *, of: str, opts: pulumi.ResourceOptions) -> storage.StorageAccount:
    """One whose keys open nothing. Azure encrypts all of them."""
    return storage.StorageAccount(
        named(place.stack, what, "account"),
        account_name=storage_name(place.stack, what),
        resource_group_name=place.group.name,
        location=place.stack.region,
        kind=storage.Kind.STORAGE_V2,
        sku=storage.SkuArgs(name=storage.SkuName.STANDARD_LRS),
        allow_shared_key_access=False,
        allow_blob_public_access=False,
        allow_cross_tenant_replication=False,
        default_to_o_auth_authentication=True,
        enable_https_traffic_only=True,
        is_hns_enabled=False,  # else an object at `a` could not lie beside one at `a/b`
        minimum_tls_version=storage.MinimumTlsVersion.TLS1_2,
        tags=tags(place.stack, of),
        opts=opts,
    )


def container(
    place: Place, account: storage.StorageAccount, name: str, called: str, opts: pulumi.ResourceOptions
) -> storage.BlobContainer:
    return storage.BlobContainer(
        called,
        container_name=name,
        account_name=account.name,
        resource_group_name=place.group.name,
        public_access=storage.PublicAccess.NONE,
        opts=opts,
    )
