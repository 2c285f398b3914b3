"""One function of the catalogue as a Lambda, with permission for what its entry names and nothing else."""

from collections.abc import Mapping

import pulumi
import pulumi_aws as aws

from infra.aws.jobs import Batch
from infra.aws.permissions import permissions
from infra.aws.place import Place, policy, trust
from infra.aws.store import Store, upload
from infra.hosts import WRAPPER, host_of
from infra.names import code_key, named, tags, variables
from infra.packages import Packages
from samara.catalogue import Function, told_of_failures

DISK_MB = 2048  # a fetched model or upload lies in /tmp; billed by the second, like memory
RETRIES = 2  # the most Lambda has
OLDEST_S = 21_600  # the same: an event that could not be run for six hours is given up


class LambdaFunction(pulumi.ComponentResource):
    """A function, its role, its logs, and what becomes of events that it gives up."""

    def __init__(
        self, function: Function, *, place: Place, store: Store, batch: Batch, dead: aws.sqs.Queue, packages: Packages
    ) -> None:
        name = named(place.stack, function.name)
        super().__init__("samara:aws:Function", f"{name}-function", None, place.opts())
        mine, labels = place.opts(self), tags(place.stack, function.name)
        self.spec = function
        self.logs = aws.cloudwatch.LogGroup(
            f"{name}-logs",
            name=f"/aws/lambda/{name}",
            retention_in_days=place.stack.log_days,
            tags=labels,
            opts=mine,
        )
        self.role, permitted = _role(self, place, store, batch, dead)
        code = upload(place, store, function.name, packages[function.name])
        self.function = aws.lambda_.Function(
            name,
            name=name,
            description=function.does,
            role=self.role.arn,
            runtime=aws.lambda_.Runtime(f"python{place.stack.python}"),
            architectures=[place.stack.machine],
            handler=f"{host_of(function, 'aws').module}.handler",
            s3_bucket=code.bucket,
            s3_key=code.key,
            memory_size=function.memory_mb,
            timeout=function.timeout_s,
            ephemeral_storage=aws.lambda_.FunctionEphemeralStorageArgs(size=DISK_MB),
            reserved_concurrent_executions=place.stack.concurrency,
            environment=aws.lambda_.FunctionEnvironmentArgs(
                variables=_settings(function, place, store, batch, packages)
            ),
            logging_config=aws.lambda_.FunctionLoggingConfigArgs(
                log_format="JSON", log_group=self.logs.name, application_log_level="INFO", system_log_level="WARN"
            ),
            tags=labels,
            opts=place.opts(self, [permitted, self.logs]),
        )
        self._gives_up_to(dead.arn if told_of_failures([function]) else place.default_bus, place)
        self.register_outputs({"arn": self.function.arn})

    @property
    def arn(self) -> pulumi.Output[str]:
        return self.function.arn

    def _gives_up_to(self, destination: pulumi.Input[str], place: Place) -> None:
        """Where an event goes after its retries. The one that is told of them must not be told of its own."""
        aws.lambda_.FunctionEventInvokeConfig(
            f"{named(place.stack, self.spec.name)}-retries",
            function_name=self.function.name,
            maximum_retry_attempts=RETRIES,
            maximum_event_age_in_seconds=OLDEST_S,
            destination_config=aws.lambda_.FunctionEventInvokeConfigDestinationConfigArgs(
                on_failure=aws.lambda_.FunctionEventInvokeConfigDestinationConfigOnFailureArgs(destination=destination)
            ),
            opts=place.opts(self),
        )


def _settings(
    function: Function, place: Place, store: Store, batch: Batch, packages: Packages
) -> Mapping[str, pulumi.Input[str]]:
    job = batch.package
    told = variables(
        place.stack,
        function,
        store=store.address,
        jobs=batch.address,
        code=pulumi.Output.from_input(code_key(job, packages[job].digest)),
        bus=pulumi.Output.from_input("events://default"),
    )
    return {**told, **wrapped(function)}


def wrapped(function: Function) -> dict[str, str]:
    """What has Lambda start the script of the package in place of its own client. Without it, that runs the handler.

    https://docs.aws.amazon.com/lambda/latest/dg/runtimes-modify.html#runtime-wrapper
    """
    return {"AWS_LAMBDA_EXEC_WRAPPER": f"/var/task/{WRAPPER}"} if host_of(function, "aws").wrapper else {}


def _role(
    parent: LambdaFunction, place: Place, store: Store, batch: Batch, dead: aws.sqs.Queue
) -> tuple[aws.iam.Role, aws.iam.RolePolicy]:
    """Who the function is, and what it may do.

    No condition on the trust: only this account can pass its roles to Lambda, and `aws:SourceArn` is for policies
    in which a function is what is called.
    """
    function, name = parent.spec, named(place.stack, parent.spec.name)
    said = pulumi.Output.all(
        bucket=store.bucket.arn, logs=parent.logs.arn, queue=batch.queue.arn, definition=batch.definition.arn_prefix,
        dead=dead.arn,
    )  # fmt: skip
    role = aws.iam.Role(
        f"{name}-role",
        assume_role_policy=policy(trust("lambda.amazonaws.com")),
        tags=tags(place.stack, function.name),
        opts=place.opts(parent),
    )
    permitted = aws.iam.RolePolicy(
        f"{name}-permissions",
        role=role.id,
        policy=said.apply(lambda arns: policy(*permissions(function, default_bus=place.default_bus, **arns))),
        opts=place.opts(parent),
    )
    return role, permitted
