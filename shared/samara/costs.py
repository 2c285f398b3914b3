"""What a deployment costs while nothing happens: a price list of standing charges, and the sum over resources.

In US dollars a month, of the dearest of the usual regions, from the clouds' public price lists. What is billed by use
(requests, bytes, seconds, stored gigabytes) stands at nothing: that is the point of it. A type that is not listed is
unknown, never free.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from samara.errors import Rejected

Inputs = Mapping[str, Any]
Price = tuple[float, str]
HOURS = 730  # of a month, as the clouds count
GIVE = "give what pulumi stack export or pulumi preview --json wrote"


@dataclass(frozen=True, slots=True)
class Line:
    """`usd` a month, or None where the list does not know the type; `why` is what it is billed by."""

    type: str
    name: str
    usd: float | None
    why: str


def idle(resources: Iterable[tuple[str, str, Inputs]]) -> list[Line]:
    """What each (type, name, inputs) costs a month in which nothing happens."""
    return [_line(kind, name, inputs) for kind, name, inputs in resources]


def exported(written: Any) -> list[tuple[str, str, Inputs]]:
    """The resources in what `pulumi stack export` or `pulumi preview --json` wrote, but for Pulumi's own entries.

    Also in a plain list of such resources.
    """
    try:
        return [
            (one["type"], one["urn"].rsplit("::", 1)[-1], one.get("inputs") or {})
            for one in _listed(written)
            if one.get("urn") and not one["type"].startswith(("pulumi:", "samara:"))
        ]
    except (AttributeError, KeyError, TypeError) as error:
        raise Rejected("this JSON", f"lists no resources; {GIVE}") from error


def read(data: bytes) -> Any:
    """What Pulumi wrote, or `Rejected` where it is no JSON at all."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Rejected("this file", f"is not JSON; {GIVE}") from error


def _listed(written: Any) -> Sequence[Mapping[str, Any]]:
    if isinstance(written, list):
        return written
    if "steps" in written:
        return [step["newState"] for step in written["steps"] if "newState" in step]
    found: Sequence[Mapping[str, Any]] = written["deployment"]["resources"]
    return found


def total(lines: Iterable[Line]) -> float:
    """The sum of what is known."""
    return sum(line.usd or 0.0 for line in lines)


def _line(kind: str, name: str, inputs: Inputs) -> Line:
    price = PRICES.get(kind)
    if price is None:
        return Line(kind, name, None, "not in the price list")
    usd, why = price(inputs) if callable(price) else price
    return Line(kind, name, usd, why)


def _compute_environment(inputs: Inputs) -> Price:
    least = int((inputs.get("computeResources") or {}).get("minVcpus") or 0)
    return least * 0.048 * HOURS, f"{least} vCPUs always on" if least else "scales to no machine at all"


def _function(inputs: Inputs) -> Price:
    if inputs.get("snapStart"):
        return 2.0, "a snapshot of SnapStart is kept, and billed by the second"
    return 0.0, "requests and seconds of work"


def _provisioned(inputs: Inputs) -> Price:
    ready = int(inputs.get("provisionedConcurrentExecutions") or 1)
    return ready * 0.0000041667 * 3600 * HOURS, f"{ready} GB kept warm"


def _cloud_run(inputs: Inputs) -> Price:
    least = int((inputs.get("serviceConfig") or {}).get("minInstanceCount") or 0)
    return least * 6.57, f"{least} instances kept warm" if least else "requests and seconds of work"


def _plan(inputs: Inputs) -> Price:
    sku = str((inputs.get("sku") or {}).get("name"))
    return (0.0, "nothing; its app is billed by use") if sku in ("FC1", "Y1") else (13.14, f"the hours of {sku}")


def _app(inputs: Inputs) -> Price:
    scale = (inputs.get("functionAppConfig") or {}).get("scaleAndConcurrency") or {}
    ready = sum(int(one.get("instanceCount") or 0) for one in scale.get("alwaysReady") or ())
    return ready * 10.51, f"{ready} instances always ready" if ready else "executions and seconds of work"


def _environment(inputs: Inputs) -> Price:
    kinds = [str(one.get("workloadProfileType")) for one in inputs.get("workloadProfiles") or ()]
    dedicated = [kind for kind in kinds if not kind.startswith("Consumption")]
    return (73.0, f"the management of {dedicated[0]}") if dedicated else (0.0, "seconds of jobs")


FREE: Price = (0.0, "nothing")
BYTES: Price = (0.0, "stored gigabytes and requests")
CALLS: Price = (0.0, "requests")
PRICES: dict[str, Price | Callable[[Inputs], Price]] = {
    # Amazon Web Services: https://aws.amazon.com/pricing/
    "aws:s3/bucket:Bucket": BYTES,
    "aws:s3/bucketVersioning:BucketVersioning": FREE,
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": FREE,
    "aws:s3/bucketOwnershipControls:BucketOwnershipControls": FREE,
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": FREE,
    "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration": FREE,
    "aws:s3/bucketPolicy:BucketPolicy": FREE,
    "aws:s3/bucketNotification:BucketNotification": FREE,
    "aws:s3/bucketObjectv2:BucketObjectv2": BYTES,
    "aws:iam/role:Role": FREE,
    "aws:iam/rolePolicy:RolePolicy": FREE,
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment": FREE,
    "aws:iam/instanceProfile:InstanceProfile": FREE,
    "aws:lambda/function:Function": _function,
    "aws:lambda/permission:Permission": FREE,
    "aws:lambda/functionUrl:FunctionUrl": CALLS,
    "aws:lambda/functionEventInvokeConfig:FunctionEventInvokeConfig": FREE,
    "aws:lambda/functionRecursionConfig:FunctionRecursionConfig": FREE,
    "aws:lambda/provisionedConcurrencyConfig:ProvisionedConcurrencyConfig": _provisioned,
    "aws:cloudwatch/logGroup:LogGroup": (0.0, "gigabytes of logs"),
    "aws:cloudwatch/eventRule:EventRule": (0.0, "events"),
    "aws:cloudwatch/eventTarget:EventTarget": FREE,
    "aws:cloudwatch/metricAlarm:MetricAlarm": (0.10, "each alarm; the first ten of an account are free"),
    "aws:sqs/queue:Queue": CALLS,
    "aws:sqs/queuePolicy:QueuePolicy": FREE,
    "aws:sns/topic:Topic": CALLS,
    "aws:sns/topicPolicy:TopicPolicy": FREE,
    "aws:sns/topicSubscription:TopicSubscription": CALLS,
    "aws:scheduler/schedule:Schedule": (0.0, "ticks; 14 million a month are free"),
    "aws:scheduler/scheduleGroup:ScheduleGroup": FREE,
    "aws:batch/computeEnvironment:ComputeEnvironment": _compute_environment,
    "aws:batch/jobQueue:JobQueue": FREE,
    "aws:batch/jobDefinition:JobDefinition": FREE,
    "aws:ec2/securityGroup:SecurityGroup": FREE,
    "aws:ec2/launchTemplate:LaunchTemplate": FREE,
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": FREE,
    "aws:ec2/natGateway:NatGateway": (0.048 * HOURS, "each hour it exists"),
    "aws:ec2/eip:Eip": (0.005 * HOURS, "each hour it exists"),
    "aws:ec2/vpcEndpoint:VpcEndpoint": (0.011 * HOURS, "each hour it exists, in each zone"),
    "aws:lb/loadBalancer:LoadBalancer": (0.027 * HOURS, "each hour it exists"),
    "aws:kms/key:Key": (1.0, "each key"),
    "aws:secretsmanager/secret:Secret": (0.40, "each secret"),
    "aws:budgets/budget:Budget": (0.0, "actions, of which there are none; watching is free"),
    # Google Cloud: https://cloud.google.com/pricing/list
    "gcp:projects/service:Service": FREE,
    "gcp:projects/serviceIdentity:ServiceIdentity": FREE,
    "gcp:projects/iAMCustomRole:IAMCustomRole": FREE,
    "gcp:projects/iAMMember:IAMMember": FREE,
    "gcp:serviceaccount/account:Account": FREE,
    "gcp:serviceaccount/iAMMember:IAMMember": FREE,
    "gcp:storage/bucket:Bucket": BYTES,
    "gcp:storage/bucketIAMMember:BucketIAMMember": FREE,
    "gcp:storage/bucketObject:BucketObject": BYTES,
    "gcp:storage/managedFolder:ManagedFolder": FREE,
    "gcp:storage/managedFolderIamMember:ManagedFolderIamMember": FREE,
    "gcp:storage/notification:Notification": FREE,
    "gcp:pubsub/topic:Topic": (0.0, "bytes of messages"),
    "gcp:pubsub/topicIAMMember:TopicIAMMember": FREE,
    "gcp:pubsub/subscription:Subscription": (0.0, "bytes of messages, and of those kept"),
    "gcp:pubsub/subscriptionIAMMember:SubscriptionIAMMember": FREE,
    "gcp:artifactregistry/repository:Repository": (0.0, "gigabytes of images; half a one is free"),
    "gcp:artifactregistry/repositoryIamMember:RepositoryIamMember": FREE,
    "gcp:cloudfunctionsv2/function:Function": _cloud_run,
    "gcp:cloudrunv2/serviceIamMember:ServiceIamMember": FREE,
    "gcp:cloudscheduler/job:Job": (0.0, "each beyond the three of a billing account that are free"),
    "gcp:billing/budget:Budget": FREE,
    "gcp:monitoring/notificationChannel:NotificationChannel": FREE,
    "gcp:monitoring/alertPolicy:AlertPolicy": (1.50, "each condition, as announced"),
    # Azure: https://azure.microsoft.com/pricing/
    "azure-native:resources:ResourceGroup": FREE,
    "azure-native:authorization:RoleDefinition": FREE,
    "azure-native:authorization:RoleAssignment": FREE,
    "azure-native:managedidentity:UserAssignedIdentity": FREE,
    "azure-native:consumption:Budget": FREE,
    "azure-native:operationalinsights:Workspace": (0.0, "gigabytes of logs; a month of keeping them is free"),
    "azure-native:applicationinsights:Component": (0.0, "gigabytes of logs, in its workspace"),
    "azure-native:monitor:DiagnosticSetting": FREE,
    "azure-native:storage:StorageAccount": BYTES,
    "azure-native:storage:BlobServiceProperties": FREE,
    "azure-native:storage:ManagementPolicy": FREE,
    "azure-native:storage:BlobContainer": BYTES,
    "azure-native:storage:Queue": BYTES,
    "azure-native:eventgrid:SystemTopic": (0.0, "events"),
    "azure-native:eventgrid:SystemTopicEventSubscription": (0.0, "events"),
    "azure-native:web:AppServicePlan": _plan,
    "azure-native:web:WebApp": _app,
    "azure-native:app:ManagedEnvironment": _environment,
}
