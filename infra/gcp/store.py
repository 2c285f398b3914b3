"""The bucket, the topic that tells of its objects, and the topic of what was given up."""

from collections.abc import Iterable, Mapping

import pulumi
from pulumi_gcp import projects, pubsub, serviceaccount, storage

from infra.config import Stack
from infra.names import named, tags
from samara.catalogue import Catalogue
from samara.core.digests import short

SERVICES = (
    "artifactregistry", "batch", "billingbudgets", "cloudbuild", "cloudfunctions", "cloudscheduler", "compute", "iam",
    "logging", "monitoring", "pubsub", "run", "storage",
)  # fmt: skip
CODE = "code/"
READS, SWAPS = "roles/storage.objectViewer", "roles/storage.objectUser"  # the first lists, too
CREATES = (  # cannot overwrite: that takes the permission to delete
    "storage.objects.create",
    "storage.objects.get",  # Google may answer 403 to a create of what is there, and then only a look tells
)
DAY_S = 86_400
KEPT_DAYS = 14  # of dead letters; Pub/Sub keeps none longer than 31
LONGEST_ACCOUNT = 30


class Store(pulumi.ComponentResource):
    """Private, versioned, and what is overwritten or deleted goes for good after the days this stack keeps it."""

    def __init__(self, stack: Stack, catalogue: Catalogue, opts: pulumi.ResourceOptions) -> None:
        super().__init__("samara:gcp:Store", named(stack, "store"), None, opts)
        self._stack = stack
        mine = pulumi.ResourceOptions(parent=self)
        self.bucket = storage.Bucket(
            named(stack, "bucket"),
            name=f"{stack.project}-{stack.name}",  # projects are unique in the world, and so is this
            project=stack.project,
            location=stack.region,
            uniform_bucket_level_access=True,
            public_access_prevention="enforced",
            versioning=storage.BucketVersioningArgs(enabled=True),
            soft_delete_policy=storage.BucketSoftDeletePolicyArgs(retention_duration_seconds=0),  # versions do it
            lifecycle_rules=lifecycle(stack),
            force_destroy=not stack.protect,
            labels=tags(stack),
            opts=pulumi.ResourceOptions(parent=self, protect=stack.protect),
        )
        self.roles: Mapping[str, pulumi.Input[str]] = {
            "reads": READS, "creates": self._creating(mine).name, "swaps": SWAPS,
        }  # fmt: skip
        self.folders = {prefix: self._folder(prefix, mine) for prefix in prefixes(catalogue)}
        self.topic = self._topic("objects", mine)
        self.dead = self._topic("given-up", mine)
        self._notifying(mine)
        self.agent = projects.ServiceIdentity(
            named(stack, "pubsub-agent"), project=stack.project, service="pubsub.googleapis.com", opts=mine
        )
        self._burying(mine)
        self.kept = self._keeping(mine)
        self.postman = account(stack, "events", does="brings events to the functions", opts=mine)
        self.register_outputs({"bucket": self.bucket.name})

    @property
    def address(self) -> pulumi.Output[str]:
        return pulumi.Output.concat("gs://", self.bucket.name)

    @property
    def bus(self) -> pulumi.Output[str]:
        return pulumi.Output.concat("pubsub://", self._stack.project, "/", self.topic.name)

    def _creating(self, opts: pulumi.ResourceOptions) -> projects.IAMCustomRole:
        """Who creates may see what is there: the ready-made role for creators may not."""
        return projects.IAMCustomRole(
            named(self._stack, "creates"),
            project=self._stack.project,
            role_id=named(self._stack, "creates").replace("-", "_"),
            title=f"{self._stack.name}: creates objects",
            permissions=list(CREATES),
            opts=opts,
        )

    def _folder(self, prefix: str, opts: pulumi.ResourceOptions) -> storage.ManagedFolder:
        """A prefix to which permissions can be tied, listing included, which conditions on a bucket do not cover."""
        name = named(self._stack, "folder", slug(prefix))
        return storage.ManagedFolder(
            name, bucket=self.bucket.name, name=prefix, force_destroy=not self._stack.protect, opts=opts
        )

    def _topic(self, what: str, opts: pulumi.ResourceOptions) -> pubsub.Topic:
        name = named(self._stack, what)
        return pubsub.Topic(name, name=name, project=self._stack.project, labels=tags(self._stack), opts=opts)

    def _notifying(self, opts: pulumi.ResourceOptions) -> None:
        """One notification for all: a bucket has ten at most, and Pub/Sub filters for each function."""
        agent = storage.get_project_service_account_output(project=self._stack.project)
        allowed = pubsub.TopicIAMMember(
            named(self._stack, "bucket-tells"),
            project=self._stack.project,
            topic=self.topic.name,
            role="roles/pubsub.publisher",
            member=pulumi.Output.concat("serviceAccount:", agent.email_address),
            opts=opts,
        )
        storage.Notification(
            named(self._stack, "notification"),
            bucket=self.bucket.name,
            topic=self.topic.id,
            payload_format="JSON_API_V1",
            event_types=["OBJECT_FINALIZE"],
            opts=pulumi.ResourceOptions(parent=self, depends_on=[allowed]),
        )

    def _burying(self, opts: pulumi.ResourceOptions) -> None:
        """Pub/Sub's own account moves what was given up; without this it would be tried for ever."""
        pubsub.TopicIAMMember(
            named(self._stack, "pubsub-buries"),
            project=self._stack.project,
            topic=self.dead.name,
            role="roles/pubsub.publisher",
            member=self.agent.member,
            opts=opts,
        )

    def _keeping(self, opts: pulumi.ResourceOptions) -> pubsub.Subscription:
        """Where people find what was given up. It never expires, though nobody may look for a year."""
        name = named(self._stack, "dead-letters")
        return pubsub.Subscription(
            name,
            name=name,
            project=self._stack.project,
            topic=self.dead.id,
            ack_deadline_seconds=60,
            message_retention_duration=f"{KEPT_DAYS * DAY_S}s",
            expiration_policy=pubsub.SubscriptionExpirationPolicyArgs(ttl=""),
            labels=tags(self._stack),
            opts=opts,
        )


def lifecycle(stack: Stack) -> list[storage.BucketLifecycleRuleArgs]:
    return [
        storage.BucketLifecycleRuleArgs(
            action=storage.BucketLifecycleRuleActionArgs(type="Delete"),
            condition=storage.BucketLifecycleRuleConditionArgs(
                days_since_noncurrent_time=stack.keep_days, with_state="ARCHIVED"
            ),
        ),
        storage.BucketLifecycleRuleArgs(
            action=storage.BucketLifecycleRuleActionArgs(type="AbortIncompleteMultipartUpload"),
            condition=storage.BucketLifecycleRuleConditionArgs(age=7),
        ),
    ]


def prefixes(catalogue: Catalogue) -> list[str]:
    """Every prefix that anybody has a permission for, outer ones first."""
    functions = {prefix for spec in catalogue for prefix in (*spec.reads, *spec.writes)}
    jobs = {prefix for spec in catalogue if spec.job for prefix in spec.job.reads}
    return sorted({*functions, *jobs, CODE})


def enabled(stack: Stack) -> list[pulumi.Resource]:
    """The APIs this needs. They stay on when the stack goes, for others may use them."""
    return [
        projects.Service(
            named(stack, "api", name),
            project=stack.project,
            service=f"{name}.googleapis.com",
            disable_on_destroy=False,
        )
        for name in SERVICES
    ]


def account(stack: Stack, *parts: str, does: str, opts: pulumi.ResourceOptions) -> serviceaccount.Account:
    return serviceaccount.Account(
        named(stack, *parts, "account"),
        project=stack.project,
        account_id=fit(named(stack, *parts), LONGEST_ACCOUNT),
        display_name=f"{stack.name}: {does}"[:100],
        opts=opts,
    )


def fit(name: str, longest: int) -> str:
    """`name`, or what can be told from all others by its end.

    >>> fit("samara-ingest", 30), len(fit("a-stack-of-a-long-name-deadletter", 30))
    ('samara-ingest', 30)
    """
    return name if len(name) <= longest else f"{name[: longest - 9].rstrip('-')}-{short(name)[:8]}"


def slug(prefix: str) -> str:
    """
    >>> slug("config/models/")
    'config-models'
    """
    return prefix.strip("/").replace("/", "-")


def granted(
    name: str, member: pulumi.Input[str], role: pulumi.Input[str], prefixes: Iterable[str], *,
    folders: Mapping[str, storage.ManagedFolder], opts: pulumi.ResourceOptions,
) -> None:  # fmt: skip
    """`role` for `member` under each of these prefixes, and nowhere else."""
    for prefix in prefixes:
        storage.ManagedFolderIamMember(
            f"{name}-{slug(prefix)}",
            bucket=folders[prefix].bucket,
            managed_folder=folders[prefix].name,
            role=role,
            member=member,
            opts=opts,
        )
