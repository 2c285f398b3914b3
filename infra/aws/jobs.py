"""Trainings on AWS Batch: machines that are there while a job runs, spot ones by default, and none otherwise."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.aws.permissions import objects
from infra.aws.place import Place, partition, policy, trust
from infra.aws.store import Store
from infra.config import Stack
from infra.names import named, tags
from samara.catalogue import Function, JobSpec

MACHINES = {  # the instance families that have one GPU of a kind, or none
    ("none", "x86_64"): ("m6i", "m7i", "c6i", "r6i"),
    ("none", "arm64"): ("m6g", "m7g", "c7g", "r7g"),
    ("t4", "x86_64"): ("g4dn",),
    ("a10g", "x86_64"): ("g5",),
    ("l4", "x86_64"): ("g6",),
    ("l40s", "x86_64"): ("g6e",),
    ("a100", "x86_64"): ("p4d.24xlarge",),
    ("h100", "x86_64"): ("p5.48xlarge", "p5.4xlarge"),
}
VCPUS = {"none": 2}  # of one job; where there is a GPU, enough to keep it fed
VCPUS_BESIDE_A_GPU = 4
DISK_GB = 100  # the image of a framework with CUDA is 20 GB unpacked, and the data comes on top
STUCK_S = 4 * 3600  # a job for which no machine was found by then is given up, and reconcile says so
HOST_LOST = "Host EC2*"  # what Batch says of a job whose machine was taken away
ECS_FOR_EC2 = "service-role/AmazonEC2ContainerServiceforEC2Role"


@dataclass(frozen=True, slots=True)
class Batch:
    """Where jobs are sent to. `package` is the one they run from."""

    queue: aws.batch.JobQueue
    definition: aws.batch.JobDefinition
    package: str
    region: str

    @property
    def address(self) -> pulumi.Output[str]:
        """As `SAMARA_JOBS` names it."""
        return pulumi.Output.concat("batch://", self.queue.name, "/", self.definition.name, "?region=", self.region)


def create(place: Place, store: Store, submitter: Function) -> Batch:
    """The queue and the job definition for what `submitter` submits."""
    if submitter.job is None:
        raise ValueError(submitter.name)
    name = named(place.stack, f"{submitter.name}-job")
    machines = _machines(place, name)
    queue = aws.batch.JobQueue(
        f"{name}-queue",
        state="ENABLED",
        priority=1,
        compute_environment_orders=[
            aws.batch.JobQueueComputeEnvironmentOrderArgs(compute_environment=machines.arn, order=1)
        ],
        job_state_time_limit_actions=[_given_up(reason) for reason in STUCK],
        tags=tags(place.stack, submitter.name),
        opts=place.opts(),
    )
    definition = _definition(place, store, submitter, submitter.job, name)
    return Batch(queue, definition, f"{submitter.name}-job", place.stack.region)


STUCK = (  # what Batch says of jobs that no machine will ever take
    "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY",
    "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE",
    "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT",
)


def _given_up(reason: str) -> aws.batch.JobQueueJobStateTimeLimitActionArgs:
    return aws.batch.JobQueueJobStateTimeLimitActionArgs(
        action="CANCEL", state="RUNNABLE", max_time_seconds=STUCK_S, reason=reason
    )


def _machines(place: Place, name: str) -> aws.batch.ComputeEnvironment:
    """From none to as many as are needed; `min_vcpus` of none is what makes an idle stack free."""
    stack = place.stack
    gpu, spot = stack.jobs.gpu, stack.jobs.spot
    subnets, group = _network(place, name)
    return aws.batch.ComputeEnvironment(
        f"{name}-machines",
        type="MANAGED",
        state="ENABLED",
        compute_resources=aws.batch.ComputeEnvironmentComputeResourcesArgs(
            type="SPOT" if spot else "EC2",
            allocation_strategy="SPOT_PRICE_CAPACITY_OPTIMIZED" if spot else "BEST_FIT_PROGRESSIVE",
            min_vcpus=0,
            max_vcpus=stack.jobs.max_vcpus,
            instance_types=list(families(stack)),
            ec2_configurations=[
                aws.batch.ComputeEnvironmentComputeResourcesEc2ConfigurationArgs(
                    image_type="ECS_AL2023" if gpu == "none" else "ECS_AL2023_NVIDIA"
                )
            ],
            subnets=subnets,
            security_group_ids=[group.id],
            instance_role=_instance_profile(place, name).arn,
            launch_template=_launch_template(place, name),
            tags=tags(stack),
        ),
        tags=tags(stack),
        opts=place.opts(),
    )


def families(stack: Stack) -> Sequence[str]:
    """What kinds of machines fit this stack."""
    machine = "x86_64" if stack.jobs.gpu != "none" else stack.machine
    return MACHINES[stack.jobs.gpu, machine]


def _network(place: Place, name: str) -> tuple[Sequence[str], aws.ec2.SecurityGroup]:
    """Subnets with a way out, the default network's where none are named, and a fence that lets nothing in."""
    subnets: Sequence[str] = place.stack.jobs.subnets
    if subnets:
        network = aws.ec2.get_subnet(id=subnets[0], opts=place.asking).vpc_id
    else:
        default = aws.ec2.GetSubnetsFilterArgs(name="default-for-az", values=["true"])
        subnets = aws.ec2.get_subnets(filters=[default], opts=place.asking).ids
        network = aws.ec2.get_vpc(default=True, opts=place.asking).id
    group = aws.ec2.SecurityGroup(
        f"{name}-fence",
        description="Jobs call out; nothing calls in.",
        vpc_id=network,
        ingress=[],
        egress=[
            aws.ec2.SecurityGroupEgressArgs(
                protocol="tcp", from_port=443, to_port=443, cidr_blocks=["0.0.0.0/0"], description="HTTPS"
            )
        ],
        tags=tags(place.stack),
        opts=place.opts(),
    )
    return subnets, group


def _instance_profile(place: Place, name: str) -> aws.iam.InstanceProfile:
    """The machines' own identity, by which they join the cluster and write logs. Jobs have another."""
    role = aws.iam.Role(
        f"{name}-machine-role",
        assume_role_policy=policy(trust("ec2.amazonaws.com")),
        tags=tags(place.stack),
        opts=place.opts(),
    )
    joins = aws.iam.RolePolicyAttachment(
        f"{name}-machine-permissions",
        role=role.name,
        policy_arn=f"arn:{partition(place.stack.region)}:iam::aws:policy/{ECS_FOR_EC2}",
        opts=place.opts(role),
    )
    return aws.iam.InstanceProfile(
        f"{name}-machine-profile", role=role.name, tags=tags(place.stack), opts=place.opts(role, [joins])
    )


def _launch_template(place: Place, name: str) -> aws.batch.ComputeEnvironmentComputeResourcesLaunchTemplateArgs:
    """Encrypted disks with room for an image, and no way for a container to the machine's own identity."""
    template = aws.ec2.LaunchTemplate(
        f"{name}-machine",
        metadata_options=aws.ec2.LaunchTemplateMetadataOptionsArgs(
            http_endpoint="enabled", http_tokens="required", http_put_response_hop_limit=1
        ),
        block_device_mappings=[
            aws.ec2.LaunchTemplateBlockDeviceMappingArgs(
                device_name="/dev/xvda",
                ebs=aws.ec2.LaunchTemplateBlockDeviceMappingEbsArgs(
                    volume_size=DISK_GB, volume_type="gp3", encrypted="true", delete_on_termination="true"
                ),
            )
        ],
        tags=tags(place.stack),
        opts=place.opts(),
    )
    return aws.batch.ComputeEnvironmentComputeResourcesLaunchTemplateArgs(
        launch_template_id=template.id, version="$Latest"
    )


def _definition(place: Place, store: Store, submitter: Function, job: JobSpec, name: str) -> aws.batch.JobDefinition:
    """What every job has in common. Its command, its memory and its GPUs come with the job itself."""
    stack, labels = place.stack, tags(place.stack, submitter.name)
    logs = aws.cloudwatch.LogGroup(
        f"{name}-logs",
        name=f"/aws/batch/{name}",
        retention_in_days=stack.log_days,
        tags=labels,
        opts=place.opts(),
    )
    role = _job_role(place, store, job, name)
    return aws.batch.JobDefinition(
        f"{name}-definition",
        type="container",
        platform_capabilities=["EC2"],
        container_properties=pulumi.Output.all(role=role.arn, logs=logs.name).apply(
            lambda known: json.dumps(container(stack, job, **known))
        ),
        retry_strategy=aws.batch.JobDefinitionRetryStrategyArgs(attempts=3, evaluate_on_exits=_only_lost_hosts()),
        timeout=aws.batch.JobDefinitionTimeoutArgs(attempt_duration_seconds=stack.jobs.time_limit_s),
        propagate_tags=True,
        tags=labels,
        opts=place.opts(),
    )


def _only_lost_hosts() -> list[aws.batch.JobDefinitionRetryStrategyEvaluateOnExitArgs]:
    """A machine taken away is no fault of the job; whatever else ended it would end it again."""
    return [
        aws.batch.JobDefinitionRetryStrategyEvaluateOnExitArgs(action="RETRY", on_status_reason=HOST_LOST),
        aws.batch.JobDefinitionRetryStrategyEvaluateOnExitArgs(action="EXIT", on_reason="*"),
    ]


def container(stack: Stack, job: JobSpec, *, role: str, logs: str) -> dict[str, object]:
    """The container of a job, in Batch's words."""
    vcpus = VCPUS.get(stack.jobs.gpu, VCPUS_BESIDE_A_GPU)
    return {
        "image": stack.image,
        "jobRoleArn": role,
        "resourceRequirements": [
            {"type": "VCPU", "value": str(vcpus)},
            {"type": "MEMORY", "value": str(job.memory_mb)},
        ],
        "linuxParameters": {"initProcessEnabled": True},
        "logConfiguration": {
            "logDriver": "awslogs",
            "options": {"awslogs-group": logs, "awslogs-region": stack.region, "awslogs-stream-prefix": "job"},
        },
    }


def _job_role(place: Place, store: Store, job: JobSpec, name: str) -> aws.iam.Role:
    """Who a job is: it reads what it trains on and its own code, and creates what it found."""
    role = aws.iam.Role(
        f"{name}-role",
        assume_role_policy=policy(
            trust(
                "ecs-tasks.amazonaws.com",
                StringEquals={"aws:SourceAccount": place.account},
                ArnLike={"aws:SourceArn": place.arn("ecs", "*")},
            )
        ),
        tags=tags(place.stack),
        opts=place.opts(),
    )
    aws.iam.RolePolicy(
        f"{name}-permissions",
        role=role.id,
        policy=store.bucket.arn.apply(lambda arn: policy(*objects(arn, (*job.reads, "code/"), job.creates))),
        opts=place.opts(role),
    )
    return role
