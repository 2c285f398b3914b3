"""How each kind of resource of AWS is created: Pulumi's inputs in, one call of the SDK, Pulumi's outputs out.

Most inputs are the SDK's own parameters with another first letter, and the SDK refuses what it does not know.
"""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

from tests.emulators.localstack import ACCOUNT, REGION, client, on_moto

Outputs = dict[str, Any]
Values = dict[str, Any]

FOR_PULUMI = {  # what only tells Pulumi how to go about it, and no cloud is told
    "forceDestroy", "forceDetachPolicies", "skipDestroy", "sourceCodeHash", "sourceHash", "deregisterOnNewRevision",
}  # fmt: skip
SPELT = {  # where the SDK's name is more than another first letter
    "id": "ID",
    "sseAlgorithm": "SSEAlgorithm",
    "kmsMasterKeyId": "KMSMasterKeyID",
    "evaluateOnExits": "evaluateOnExit",
    "computeEnvironmentOrders": "computeEnvironmentOrder",
    "ec2Configurations": "ec2Configuration",
    "minVcpus": "minvCpus",
    "maxVcpus": "maxvCpus",
    "desiredVcpus": "desiredvCpus",
}


class Inputs:
    """What was given, of which a rule takes one after the other."""

    def __init__(self, given: Values) -> None:
        self._left = {name: value for name, value in given.items() if value is not None}
        region = self._left.pop("region", REGION)
        assert region == REGION, f"the emulators are in {REGION}, not in {region}"

    def take(self, name: str, default: Any = None) -> Any:
        return self._left.pop(name, default)

    def name(self, logical: str, kind: str = "name") -> str:
        """The name that was given, or one made of the logical name, as Pulumi makes it."""
        prefix = self.take(f"{kind}Prefix")
        made: str = self.take(kind) or f"{prefix or f'{logical}-'}{uuid4().hex[:7]}"
        return made

    def tags(self) -> dict[str, str]:
        return dict(self.take("tags", {}))

    def rest(self, *, pascal: bool = True) -> Values:
        """All that is left, in the SDK's spelling."""
        left, self._left = {name: value for name, value in self._left.items() if name not in FOR_PULUMI}, {}
        spelt: Values = cased(left, pascal=pascal)
        return spelt

    def left(self) -> list[str]:
        return sorted(set(self._left) - FOR_PULUMI)


def cased(value: Any, *, pascal: bool) -> Any:
    """
    >>> cased({"retryPolicy": {"maximumRetryAttempts": 2}}, pascal=True)
    {'RetryPolicy': {'MaximumRetryAttempts': 2}}
    """
    if isinstance(value, list):
        return [cased(each, pascal=pascal) for each in value]
    if not isinstance(value, dict):
        return value
    return {spelt(name, pascal=pascal): cased(inner, pascal=pascal) for name, inner in value.items()}


def spelt(name: str, *, pascal: bool) -> str:
    return SPELT.get(name) or (name[0].upper() + name[1:] if pascal else name)


def listed(tags: dict[str, str], key: str = "Key", value: str = "Value") -> list[dict[str, str]]:
    return [{key: name, value: said} for name, said in tags.items()]


def content(asset: Values) -> bytes:
    """The bytes of what Pulumi calls an asset or an archive, as the recorder writes it down."""
    if "text" in asset:
        return str(asset["text"]).encode()
    return Path(asset["file"]).read_bytes()


def last(arn_or_name: str) -> str:
    """A name, also of who is known by an ARN."""
    return arn_or_name.rpartition("/")[2]


# The bucket


def bucket(logical: str, inputs: Inputs) -> Outputs:
    s3, name = client("s3"), inputs.name(logical, "bucket")
    s3.create_bucket(Bucket=name, **{"ObjectLockEnabledForBucket": True} if inputs.take("objectLockEnabled") else {})
    if tags := inputs.tags():
        s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": listed(tags)})
    domain = f"{name}.s3.amazonaws.com"
    return {"id": name, "bucket": name, "arn": f"arn:aws:s3:::{name}", "bucketDomainName": domain}


def versioning(_logical: str, inputs: Inputs) -> Outputs:
    name = inputs.take("bucket")
    client("s3").put_bucket_versioning(Bucket=name, **inputs.rest())
    return {"id": name}


def public_access(_logical: str, inputs: Inputs) -> Outputs:
    name = inputs.take("bucket")
    client("s3").put_public_access_block(Bucket=name, PublicAccessBlockConfiguration=inputs.rest())
    return {"id": name}


def encryption(_logical: str, inputs: Inputs) -> Outputs:
    name = inputs.take("bucket")
    client("s3").put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration=inputs.rest())
    return {"id": name}


def lifecycle(_logical: str, inputs: Inputs) -> Outputs:
    name = inputs.take("bucket")
    client("s3").put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration=inputs.rest())
    return {"id": name}


def bucket_policy(_logical: str, inputs: Inputs) -> Outputs:
    name = inputs.take("bucket")
    client("s3").put_bucket_policy(Bucket=name, Policy=document(inputs.take("policy")))
    return {"id": name}


def ownership(_logical: str, inputs: Inputs) -> Outputs:
    name, rule = inputs.take("bucket"), inputs.take("rule")
    controls = {"Rules": [cased(rule, pascal=True)]}
    client("s3").put_bucket_ownership_controls(Bucket=name, OwnershipControls=controls)
    return {"id": name}


def notification(_logical: str, inputs: Inputs) -> Outputs:
    """To EventBridge alone, which leaves it to rules who hears what."""
    name = inputs.take("bucket")
    wanted: Values = {"EventBridgeConfiguration": {}} if inputs.take("eventbridge") else {}
    client("s3").put_bucket_notification_configuration(Bucket=name, NotificationConfiguration=wanted)
    return {"id": name}


def stored(_logical: str, inputs: Inputs) -> Outputs:
    asset = inputs.take("source") or {"text": inputs.take("content", "")}
    tags = "&".join(f"{name}={value}" for name, value in inputs.tags().items())
    key = inputs.take("key")
    made = client("s3").put_object(Key=key, Body=content(asset), Tagging=tags, **inputs.rest())
    return {"id": key, "key": key, "versionId": made.get("VersionId"), "etag": made["ETag"].strip('"')}


def document(policy: Any) -> str:
    return policy if isinstance(policy, str) else json.dumps(policy)


# Who may do what


def role(logical: str, inputs: Inputs) -> Outputs:
    """In both emulators: LocalStack's functions take on roles, moto's jobs ask whether they are there."""
    name, trust, tags = inputs.name(logical), document(inputs.take("assumeRolePolicy")), listed(inputs.tags())
    rest = inputs.rest()
    for iam in (on_moto("iam"), client("iam")):
        made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust, Tags=tags, **rest)["Role"]
    return {"id": name, "name": name, "arn": made["Arn"], "uniqueId": made["RoleId"]}


def role_policy(logical: str, inputs: Inputs) -> Outputs:
    name, of, policy = inputs.name(logical), last(inputs.take("role")), document(inputs.take("policy"))
    for iam in (on_moto("iam"), client("iam")):
        iam.put_role_policy(RoleName=of, PolicyName=name, PolicyDocument=policy)
    return {"id": f"{of}:{name}", "name": name}


def attachment(_logical: str, inputs: Inputs) -> Outputs:
    """Of policies that AWS has; LocalStack knows them too."""
    of, policy = last(inputs.take("role")), inputs.take("policyArn")
    for iam in (on_moto("iam"), client("iam")):
        iam.attach_role_policy(RoleName=of, PolicyArn=policy)
    return {"id": f"{of}-{last(policy)}"}


def instance_profile(logical: str, inputs: Inputs) -> Outputs:
    name, of, tags = inputs.name(logical), last(inputs.take("role")), listed(inputs.tags())
    rest = inputs.rest()
    for iam in (on_moto("iam"), client("iam")):
        made = iam.create_instance_profile(InstanceProfileName=name, Tags=tags, **rest)["InstanceProfile"]
        iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=of)
    return {"id": name, "name": name, "arn": made["Arn"]}


# Functions


def function(logical: str, inputs: Inputs) -> Outputs:
    client_, name, tags = client("lambda"), inputs.name(logical), inputs.tags()
    if asset := inputs.take("code"):
        code = {"ZipFile": content(asset)}
    else:
        given = {"S3Bucket": "s3Bucket", "S3Key": "s3Key", "S3ObjectVersion": "s3ObjectVersion"}
        code = {to: value for to, of in given.items() if (value := inputs.take(of))}
    variables = inputs.take("environment", {}).get("variables", {})
    reserved = inputs.take("reservedConcurrentExecutions", -1)
    made = client_.create_function(
        FunctionName=name, Code=code, Environment={"Variables": variables}, Tags=tags, **inputs.rest()
    )
    client_.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 0.2, "MaxAttempts": 300})
    if reserved >= 0:
        client_.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=reserved)
    return {"id": name, "name": name, "arn": made["FunctionArn"], "version": made["Version"]}


def permission(logical: str, inputs: Inputs) -> Outputs:
    statement, of = inputs.name(logical, "statementId"), inputs.take("function")
    client("lambda").add_permission(FunctionName=of, StatementId=statement, **inputs.rest())
    return {"id": statement, "statementId": statement}


def function_url(_logical: str, inputs: Inputs) -> Outputs:
    of, auth = inputs.take("functionName"), inputs.take("authorizationType")
    made = client("lambda").create_function_url_config(FunctionName=of, AuthType=auth, **inputs.rest())
    url = made["FunctionUrl"]
    return {"id": of, "functionUrl": url, "functionArn": made["FunctionArn"], "urlId": url.split("/")[2].split(".")[0]}


def when_invoked(_logical: str, inputs: Inputs) -> Outputs:
    of = inputs.take("functionName")
    client("lambda").put_function_event_invoke_config(FunctionName=of, **inputs.rest())
    return {"id": of}


def recursion(_logical: str, inputs: Inputs) -> Outputs:
    client("lambda").put_function_recursion_config(**inputs.rest())
    return {"id": ""}


def alias(_logical: str, inputs: Inputs) -> Outputs:
    made = client("lambda").create_alias(**inputs.rest())
    return {"id": made["AliasArn"], "arn": made["AliasArn"]}


# Events


def event_rule(logical: str, inputs: Inputs) -> Outputs:
    name = inputs.name(logical)
    made = client("events").put_rule(Name=name, Tags=listed(inputs.tags()), **inputs.rest())
    return {"id": name, "name": name, "arn": made["RuleArn"]}


def event_target(logical: str, inputs: Inputs) -> Outputs:
    of, bus, target = inputs.take("rule"), inputs.take("eventBusName", "default"), inputs.name(logical, "targetId")
    reply = client("events").put_targets(Rule=of, EventBusName=bus, Targets=[{"Id": target, **inputs.rest()}])
    assert reply["FailedEntryCount"] == 0, reply
    return {"id": f"{of}-{target}", "targetId": target}


def queue(logical: str, inputs: Inputs) -> Outputs:
    sqs, name, tags = client("sqs"), inputs.name(logical), inputs.tags()
    renamed = {"MessageRetentionSeconds": "MessageRetentionPeriod", "VisibilityTimeoutSeconds": "VisibilityTimeout"}
    renamed |= {"DelaySeconds": "DelaySeconds", "ReceiveWaitTimeSeconds": "ReceiveMessageWaitTimeSeconds"}
    attributes = {renamed.get(key, key): said(value) for key, value in inputs.rest().items()}
    url = sqs.create_queue(QueueName=name, Attributes=attributes, tags=tags)["QueueUrl"]
    return {"id": url, "url": url, "name": name, "arn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"}


def said(value: Any) -> str:
    """As SQS wants it: everything is text."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def queue_policy(_logical: str, inputs: Inputs) -> Outputs:
    url, policy = inputs.take("queueUrl"), document(inputs.take("policy"))
    client("sqs").set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    return {"id": url}


def topic(logical: str, inputs: Inputs) -> Outputs:
    name, tags = inputs.name(logical), listed(inputs.tags())
    arn = client("sns").create_topic(Name=name, Tags=tags, Attributes=inputs.rest())["TopicArn"]
    return {"id": arn, "arn": arn, "name": name}


def topic_policy(_logical: str, inputs: Inputs) -> Outputs:
    arn, policy = inputs.take("arn"), document(inputs.take("policy"))
    client("sns").set_topic_attributes(TopicArn=arn, AttributeName="Policy", AttributeValue=policy)
    return {"id": arn}


def subscription(_logical: str, inputs: Inputs) -> Outputs:
    arn = client("sns").subscribe(TopicArn=inputs.take("topic"), ReturnSubscriptionArn=True, **inputs.rest())
    return {"id": arn["SubscriptionArn"], "arn": arn["SubscriptionArn"]}


def schedule_group(logical: str, inputs: Inputs) -> Outputs:
    name = inputs.name(logical)
    made = client("scheduler").create_schedule_group(Name=name, Tags=listed(inputs.tags()))
    return {"id": name, "name": name, "arn": made["ScheduleGroupArn"]}


def schedule(logical: str, inputs: Inputs) -> Outputs:
    name, group = inputs.name(logical), inputs.take("groupName", "default")
    made = client("scheduler").create_schedule(Name=name, GroupName=group, **inputs.rest())
    return {"id": f"{group}/{name}", "name": name, "groupName": group, "arn": made["ScheduleArn"]}


# Logs, alarms, budgets


def log_group(logical: str, inputs: Inputs) -> Outputs:
    logs, name, days = client("logs"), inputs.name(logical), inputs.take("retentionInDays")
    logs.create_log_group(logGroupName=name, tags=inputs.tags(), **inputs.rest(pascal=False))
    if days:
        logs.put_retention_policy(logGroupName=name, retentionInDays=days)
    return {"id": name, "name": name, "arn": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{name}"}


def alarm(logical: str, inputs: Inputs) -> Outputs:
    name, dimensions = inputs.name(logical), listed(inputs.take("dimensions", {}), "Name")
    tags = listed(inputs.tags())
    client("cloudwatch").put_metric_alarm(AlarmName=name, Dimensions=dimensions, Tags=tags, **inputs.rest())
    return {"id": name, "name": name, "arn": f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:{name}"}


def budget(logical: str, inputs: Inputs) -> Outputs:
    name, start = inputs.name(logical), inputs.take("timePeriodStart")
    assert start is None, "a budget here begins with this month"
    limit = {"Amount": str(inputs.take("limitAmount")), "Unit": inputs.take("limitUnit")}
    told = [notice(each) for each in inputs.take("notifications", [])]
    client("budgets").create_budget(
        AccountId=inputs.take("accountId", ACCOUNT),
        Budget={"BudgetName": name, "BudgetLimit": limit, **{k: inputs.take(v) for k, v in BUDGET.items()}},
        NotificationsWithSubscribers=told,
        ResourceTags=listed(inputs.tags()),
    )
    return {"id": f"{ACCOUNT}:{name}", "name": name, "arn": f"arn:aws:budgets::{ACCOUNT}:budget/{name}"}


BUDGET = {"BudgetType": "budgetType", "TimeUnit": "timeUnit"}


def notice(given: Values) -> Values:
    ways = {"EMAIL": "subscriberEmailAddresses", "SNS": "subscriberSnsTopicArns"}
    hears = [{"SubscriptionType": way, "Address": to} for way, key in ways.items() for to in given.get(key, [])]
    rest = {name: value for name, value in given.items() if name not in ways.values()}
    return {"Notification": cased(rest, pascal=True), "Subscribers": hears}


# Batch and its network


def compute_environment(logical: str, inputs: Inputs) -> Outputs:
    name, tags = inputs.name(logical), inputs.tags()
    service = inputs.take("serviceRole") or role_of_batch()
    made = client("batch").create_compute_environment(
        computeEnvironmentName=name, serviceRole=service, tags=tags, **inputs.rest(pascal=False)
    )
    return {"id": name, "name": name, "arn": made["computeEnvironmentArn"]}


@cache
def role_of_batch() -> str:
    """Batch's own, which AWS makes for whoever names none, and moto does not."""
    made = on_moto("iam").create_service_linked_role(AWSServiceName="batch.amazonaws.com")
    arn: str = made["Role"]["Arn"]
    return arn


def job_queue(logical: str, inputs: Inputs) -> Outputs:
    name, tags = inputs.name(logical), inputs.tags()
    made = client("batch").create_job_queue(jobQueueName=name, tags=tags, **inputs.rest(pascal=False))
    return {"id": made["jobQueueArn"], "name": name, "arn": made["jobQueueArn"]}


def job_definition(logical: str, inputs: Inputs) -> Outputs:
    name, tags = inputs.name(logical), inputs.tags()
    container = inputs.take("containerProperties")
    container = json.loads(container) if isinstance(container, str) else container
    made = client("batch").register_job_definition(
        jobDefinitionName=name, containerProperties=container, tags=tags, **inputs.rest(pascal=False)
    )
    arn = made["jobDefinitionArn"]
    return {"id": arn, "name": name, "arn": arn, "arnPrefix": arn.rpartition(":")[0], "revision": made["revision"]}


def security_group(logical: str, inputs: Inputs) -> Outputs:
    """Without the way out to everywhere that EC2 gives each and Pulumi takes away."""
    ec2, name = client("ec2"), inputs.name(logical)
    vpc, why = inputs.take("vpcId"), inputs.take("description", "Managed by Pulumi")
    tags = [{"ResourceType": "security-group", "Tags": listed(inputs.tags())}]
    made = ec2.create_security_group(GroupName=name, Description=why, TagSpecifications=tags, **vpc_of(vpc))
    group = made["GroupId"]
    everything = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]["IpPermissionsEgress"]
    ec2.revoke_security_group_egress(GroupId=group, IpPermissions=everything)
    if out := [traffic(each) for each in inputs.take("egress", [])]:
        ec2.authorize_security_group_egress(GroupId=group, IpPermissions=out)
    if into := [traffic(each) for each in inputs.take("ingress", [])]:
        ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=into)
    return {"id": group, "name": name, "arn": f"arn:aws:ec2:{REGION}:{ACCOUNT}:security-group/{group}"}


def vpc_of(vpc: str | None) -> Values:
    return {"VpcId": vpc} if vpc else {}


def traffic(rule: Values) -> Values:
    left = Inputs(rule)
    why = {"Description": said} if (said := left.take("description")) else {}
    meant = {
        "IpProtocol": left.take("protocol"),
        "FromPort": left.take("fromPort"),
        "ToPort": left.take("toPort"),
        "IpRanges": [{"CidrIp": each, **why} for each in left.take("cidrBlocks", [])],
        "Ipv6Ranges": [{"CidrIpv6": each, **why} for each in left.take("ipv6CidrBlocks", [])],
    }
    assert not left.left(), f"nothing was done with {left.left()} of a security group"
    return meant


def launch_template(logical: str, inputs: Inputs) -> Outputs:
    name, tags = inputs.name(logical), listed(inputs.tags())
    for_resource = [{"ResourceType": "launch-template", "Tags": tags}] if tags else []
    made = client("ec2").create_launch_template(
        LaunchTemplateName=name, TagSpecifications=for_resource, LaunchTemplateData=truths(inputs.rest())
    )["LaunchTemplate"]
    number = str(made["LatestVersionNumber"])
    arn = f"arn:aws:ec2:{REGION}:{ACCOUNT}:launch-template/{made['LaunchTemplateId']}"
    return {"id": made["LaunchTemplateId"], "name": name, "arn": arn, "latestVersion": number}


def truths(value: Any) -> Any:
    """With the words that launch templates have for yes and no as what they mean."""
    if isinstance(value, dict):
        return {name: truths(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [truths(each) for each in value]
    return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value


RULES: dict[str, Callable[[str, Inputs], Outputs]] = {
    "aws:s3/bucket:Bucket": bucket,
    "aws:s3/bucketVersioning:BucketVersioning": versioning,
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": public_access,
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": encryption,
    "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration": lifecycle,
    "aws:s3/bucketPolicy:BucketPolicy": bucket_policy,
    "aws:s3/bucketOwnershipControls:BucketOwnershipControls": ownership,
    "aws:s3/bucketNotification:BucketNotification": notification,
    "aws:s3/bucketObjectv2:BucketObjectv2": stored,
    "aws:iam/role:Role": role,
    "aws:iam/rolePolicy:RolePolicy": role_policy,
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment": attachment,
    "aws:iam/instanceProfile:InstanceProfile": instance_profile,
    "aws:lambda/function:Function": function,
    "aws:lambda/permission:Permission": permission,
    "aws:lambda/functionUrl:FunctionUrl": function_url,
    "aws:lambda/functionEventInvokeConfig:FunctionEventInvokeConfig": when_invoked,
    "aws:lambda/functionRecursionConfig:FunctionRecursionConfig": recursion,
    "aws:lambda/alias:Alias": alias,
    "aws:cloudwatch/eventRule:EventRule": event_rule,
    "aws:cloudwatch/eventTarget:EventTarget": event_target,
    "aws:cloudwatch/logGroup:LogGroup": log_group,
    "aws:cloudwatch/metricAlarm:MetricAlarm": alarm,
    "aws:sqs/queue:Queue": queue,
    "aws:sqs/queuePolicy:QueuePolicy": queue_policy,
    "aws:sns/topic:Topic": topic,
    "aws:sns/topicPolicy:TopicPolicy": topic_policy,
    "aws:sns/topicSubscription:TopicSubscription": subscription,
    "aws:scheduler/scheduleGroup:ScheduleGroup": schedule_group,
    "aws:scheduler/schedule:Schedule": schedule,
    "aws:batch/computeEnvironment:ComputeEnvironment": compute_environment,
    "aws:batch/jobQueue:JobQueue": job_queue,
    "aws:batch/jobDefinition:JobDefinition": job_definition,
    "aws:budgets/budget:Budget": budget,
    "aws:ec2/securityGroup:SecurityGroup": security_group,
    "aws:ec2/launchTemplate:LaunchTemplate": launch_template,
}
