"""What must hold of every deployment on AWS: how its resources read in the catalogue's words, and AWS's own rules."""

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from functions.catalogue import CATALOGUE
from samara.catalogue import told_of_failures
from tests.infra.graph import Graph, Resource
from tests.infra.policies import CREATE, READ, SWAP, Facts, Rule, shared

BUCKET, OBJECT = "aws:s3/bucket:Bucket", "aws:s3/bucketObjectv2:BucketObjectv2"
BLOCK = "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock"
SECRET = "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration"  # noqa: S105  # a type
BUCKET_POLICY, NOTIFICATION = "aws:s3/bucketPolicy:BucketPolicy", "aws:s3/bucketNotification:BucketNotification"
LAMBDA, PERMISSION = "aws:lambda/function:Function", "aws:lambda/permission:Permission"
URL, INVOKE = "aws:lambda/functionUrl:FunctionUrl", "aws:lambda/functionEventInvokeConfig:FunctionEventInvokeConfig"
RULE, TARGET = "aws:cloudwatch/eventRule:EventRule", "aws:cloudwatch/eventTarget:EventTarget"
LOGS, ALARM = "aws:cloudwatch/logGroup:LogGroup", "aws:cloudwatch/metricAlarm:MetricAlarm"
ROLE, ROLE_POLICY = "aws:iam/role:Role", "aws:iam/rolePolicy:RolePolicy"
ATTACHMENT, PROFILE = "aws:iam/rolePolicyAttachment:RolePolicyAttachment", "aws:iam/instanceProfile:InstanceProfile"
QUEUE, QUEUE_POLICY = "aws:sqs/queue:Queue", "aws:sqs/queuePolicy:QueuePolicy"
TOPIC, TOPIC_POLICY = "aws:sns/topic:Topic", "aws:sns/topicPolicy:TopicPolicy"
SCHEDULE, CLOCKS = "aws:scheduler/schedule:Schedule", "aws:scheduler/scheduleGroup:ScheduleGroup"
MACHINES, JOB_QUEUE = "aws:batch/computeEnvironment:ComputeEnvironment", "aws:batch/jobQueue:JobQueue"
JOB, FENCE = "aws:batch/jobDefinition:JobDefinition", "aws:ec2/securityGroup:SecurityGroup"
TEMPLATE, BUDGET = "aws:ec2/launchTemplate:LaunchTemplate", "aws:budgets/budget:Budget"

POLICIES = {ROLE: "assumeRolePolicy", ROLE_POLICY: "policy", BUCKET_POLICY: "policy", QUEUE_POLICY: "policy",
            TOPIC_POLICY: "policy"}  # fmt: skip
TAGGABLE = dict.fromkeys((BUCKET, OBJECT, LAMBDA, RULE, LOGS, ALARM, ROLE, PROFILE, QUEUE, TOPIC, CLOCKS, MACHINES,
                          JOB_QUEUE, JOB, FENCE, TEMPLATE, BUDGET), "tags")  # fmt: skip
LIMITS = {BUCKET: 63, LAMBDA: 64, RULE: 64, LOGS: 512, ROLE: 64, ROLE_POLICY: 128, QUEUE: 80, SCHEDULE: 64, CLOCKS: 64,
          MACHINES: 128, JOB_QUEUE: 128, JOB: 128, FENCE: 255, TEMPLATE: 128, TOPIC: 256, PROFILE: 128, BUDGET: 100,
          ALARM: 255}  # fmt: skip

PERIODS = {"cron(* * * * ? *)": "minute", "cron(0/15 * * * ? *)": "quarter", "cron(0 * * * ? *)": "hour"}
FOURTEEN_DAYS_S = 1_209_600
WITHOUT_RESOURCES = {  # actions that AWS takes only with `*` for a resource
    "batch:DescribeJobs": "jobs are asked for by id, of whatever queue",
    "batch:ListJobs": "the queue is an argument, not a resource",
}
TRUSTED_UNCONDITIONALLY = {  # services whose taking on of a role knows no condition on where it comes from
    "lambda.amazonaws.com": "only the role's own account can pass it to a function",
    "ec2.amazonaws.com": "only the role's own account can pass it to a machine",
}
MANAGED = {  # AWS's own policies that may be attached, by their last part
    "AmazonEC2ContainerServiceforEC2Role": "what a machine of Batch needs to join its cluster; jobs have another role",
}


def facts(graph: Graph) -> Facts:
    """What the resources come to, in the catalogue's words."""
    return Facts(
        access=frozenset(_access(graph)),
        wakes=frozenset(_wakes(graph)),
        ticks=frozenset(_ticks(graph)),
        answering=frozenset(_answering(graph)),
        with_dead_letters=frozenset(_with_dead_letters(graph)),
    )


def rules() -> dict[str, Rule]:
    """Every rule, by the name that a broken one is known by."""
    return {
        **shared(facts, TAGGABLE, LIMITS),
        "rights": other_rights,
        "private": private,
        "encrypted": encrypted,
        "no wildcards": no_wildcards,
        "confused deputy": no_confused_deputy,
        "retention": logs_end,
    }


def function_of(graph: Graph, reference: object) -> str:
    """The catalogue's name for the Lambda that an input means, by its name or by a token."""
    for one in graph.of(LAMBDA):
        if reference == one.inputs.get("name") or str(reference).startswith(f"${{{one.name}#"):
            return str(one.inputs["environment"]["variables"]["SAMARA_FUNCTION"])
    return ""


def holders(graph: Graph) -> dict[str, str]:
    """Who takes on a role, by the role's logical name."""
    found = {_target(one.inputs["role"]): function_of(graph, one.inputs["name"]) for one in graph.of(LAMBDA)}
    for job in graph.of(JOB):
        found[_target(job.document("containerProperties")["jobRoleArn"])] = (
            f"{job.inputs['tags']['samara-function']} job"
        )
    for schedule in graph.of(SCHEDULE):
        target = schedule.inputs["target"]
        found[_target(target["roleArn"])] = f"clock of {function_of(graph, target['arn'])}"
    return found


def statements(graph: Graph, *kinds: str) -> Iterator[tuple[Resource, dict[str, Any]]]:
    """Every statement of every policy of these kinds of resources, with what carries it."""
    for one in graph.of(*(kinds or POLICIES)):
        for statement in one.document(POLICIES[one.type])["Statement"]:
            yield one, statement


def grants(graph: Graph) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """(who, action, resource, condition) for everything that a role allows."""
    who = holders(graph)
    for one, said in statements(graph, ROLE_POLICY):
        holder = who.get(_target(one.inputs["role"]), one.name)
        for action in _list(said["Action"]):
            for resource in _list(said["Resource"]):
                yield holder, action, resource, said.get("Condition", {})


def _access(graph: Graph) -> Iterator[tuple[str, str, str]]:
    """What roles may do with objects: exact combinations of S3's actions as our verbs, all else as it is."""
    does: dict[tuple[str, str], set[str]] = defaultdict(set)
    for who, action, resource, condition in grants(graph):
        if action == "s3:ListBucket":
            for prefix in condition.get("StringLikeIfExists", {}).get("s3:prefix", ["everything*"]):
                does[who, prefix.removesuffix("*")].add(action)
        elif action.startswith("s3:"):
            does[who, re.sub(r"^\$\{[^}]*#arn\}/", "", resource).removesuffix("*")].add(action)
    for (who, prefix), actions in does.items():
        yield from ((who, verb, prefix) for verb in _verbs(actions))


def _verbs(actions: set[str]) -> Iterator[str]:
    left = set(actions)
    for verb, needed in (
        (SWAP, {"s3:GetObject", "s3:ListBucket", "s3:PutObject", "s3:DeleteObject"}),
        (READ, {"s3:GetObject", "s3:ListBucket"}),
        (CREATE, {"s3:PutObject", "s3:AbortMultipartUpload"}),
    ):
        if needed <= left:
            left -= needed
            yield verb
    yield from sorted(left)


def _wakes(graph: Graph) -> Iterator[tuple[str, str]]:
    """Prefixes of rules that reach a function: through a target, by a permission, from a bucket that speaks."""
    speaking = {_target(one.inputs["bucket"]) for one in graph.of(NOTIFICATION) if one.inputs.get("eventbridge")}
    for rule in graph.of(RULE):
        for name in _reached(graph, rule):
            for one in rule.document("eventPattern").get("detail", {}).get("$or", ()):
                if {_target(bucket) for bucket in one.get("bucket", {}).get("name", ())} & speaking:
                    yield from ((name, key["prefix"]) for key in one["object"]["key"])
                elif "function" in one and one["function"] != [name]:
                    yield name, f"wakes of {one['function']}"


def _reached(graph: Graph, rule: Resource) -> Iterator[str]:
    permitted = {
        function_of(graph, one.inputs["function"])
        for one in graph.pointing_at(rule, PERMISSION)
        if one.inputs.get("principal") == "events.amazonaws.com"
    }
    for target in graph.pointing_at(rule, TARGET):
        name = function_of(graph, target.inputs["arn"])
        if name in permitted:
            yield name


def _ticks(graph: Graph) -> Iterator[tuple[str, str]]:
    for one in graph.of(SCHEDULE):
        said = one.inputs["scheduleExpression"]
        yield function_of(graph, one.inputs["target"]["arn"]), PERIODS.get(said, said)


def _answering(graph: Graph) -> Iterator[str]:
    """Functions with an address that somebody may call: Lambda asks for both rights."""
    for url in graph.of(URL):
        name = function_of(graph, url.inputs["functionName"])
        both = {
            (one.inputs["action"], bool(one.inputs.get("invokedViaFunctionUrl")))
            for one in graph.of(PERMISSION)
            if function_of(graph, one.inputs["function"]) == name
        }
        if {("lambda:InvokeFunctionUrl", False), ("lambda:InvokeFunction", True)} <= both:
            yield name


def _with_dead_letters(graph: Graph) -> Iterator[str]:
    """Functions of which nothing is lost: neither what they give up, nor what could not be handed to them."""
    queues = {one.name for one in graph.of(QUEUE) if one.inputs.get("messageRetentionSeconds") == FOURTEEN_DAYS_S}
    told = set(_given_up(graph, queues))
    leaking = {
        function_of(graph, target["arn"])
        for target in [
            *(one.inputs for one in graph.of(TARGET)),
            *(one.inputs["target"] for one in graph.of(SCHEDULE)),
        ]
        if _target((target.get("deadLetterConfig") or {}).get("arn")) not in queues
    }
    yield from told - leaking


def _given_up(graph: Graph, queues: set[str]) -> Iterator[str]:
    """Functions whose failures end in one of these queues, at once or through a rule that also tells people."""
    tellers = {function.name for function in told_of_failures(CATALOGUE)}
    heard = set()
    for rule in graph.of(RULE):
        ends = {_target(one.inputs["arn"]) for one in graph.pointing_at(rule, TARGET)}
        if ends & queues and tellers & set(_reached(graph, rule)):
            ran = rule.document("eventPattern")["detail"].get("requestContext", {}).get("functionArn", ())
            heard |= {function_of(graph, arn["prefix"]) for arn in ran}
    for one in graph.of(INVOKE):
        name = function_of(graph, one.inputs["functionName"])
        end = str(((one.inputs.get("destinationConfig") or {}).get("onFailure") or {}).get("destination", ""))
        if _target(end) in queues if name in tellers else end.endswith(":event-bus/default") and name in heard:
            yield name


def other_rights(graph: Graph) -> Iterator[str]:
    """Beside objects: its own log group, a place for what it gives up, and jobs for those that have any."""
    have = {(who, action, resource) for who, action, resource, _ in grants(graph) if not action.startswith("s3:")}
    want = set(_expected_rights(graph))
    for who, action, resource in sorted(have - want):
        yield f"{who} may {action} on {resource}, which nothing asks for"
    for who, action, resource in sorted(want - have):
        yield f"{who} may not {action} on {resource}, which it needs"


def _expected_rights(graph: Graph) -> Iterator[tuple[str, str, str]]:
    (dead,), (queue,), (definition,) = graph.of(QUEUE), graph.of(JOB_QUEUE), graph.of(JOB)
    prefix = f"${{{definition.name}#arnPrefix}}"
    tellers = told_of_failures(CATALOGUE)
    for spec in CATALOGUE:
        (one,) = (one for one in graph.of(LAMBDA) if function_of(graph, one.inputs["name"]) == spec.name)
        logs = next(log.name for log in graph.of(LOGS) if log.inputs["name"] == f"/aws/lambda/{one.inputs['name']}")
        for action in ("logs:CreateLogStream", "logs:PutLogEvents"):
            yield spec.name, action, f"${{{logs}#arn}}:*"
        if spec in tellers:
            yield spec.name, "sqs:SendMessage", f"${{{dead.name}#arn}}"
        else:
            yield spec.name, "events:PutEvents", f"arn:aws:events:{_region(graph)}:{ACCOUNT}:event-bus/default"
        if spec.job:
            for resource in (f"${{{queue.name}#arn}}", prefix, f"{prefix}:*"):
                yield spec.name, "batch:SubmitJob", resource
        if spec.job or spec.name == "reconcile":
            yield from ((spec.name, action, "*") for action in WITHOUT_RESOURCES)
        if any(hasattr(on, "period") for on in spec.on):
            yield f"clock of {spec.name}", "lambda:InvokeFunction", f"${{{one.name}#arn}}"
            yield f"clock of {spec.name}", "sqs:SendMessage", f"${{{dead.name}#arn}}"


ACCOUNT = "${aws:index/getCallerIdentity:getCallerIdentity#accountId}"


def _region(graph: Graph) -> str:
    return str(graph.outputs["region"])


def private(graph: Graph) -> Iterator[str]:
    """Nobody gets in without an identity that was named, and nobody talks in the clear."""
    for bucket in graph.of(BUCKET):
        blocks = graph.pointing_at(bucket, BLOCK)
        shut = ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")
        if not any(all(block.inputs.get(way) is True for way in shut) for block in blocks):
            yield f"{bucket.name}: public access is not blocked"
        if bucket.inputs.get("acl", "private") != "private":
            yield f"{bucket.name}: its ACL is {bucket.inputs['acl']}"
        if not any(_refuses_plain_http(policy) for policy in graph.pointing_at(bucket, BUCKET_POLICY)):
            yield f"{bucket.name}: can be read over plain HTTP"
    for url in graph.of(URL):
        if url.inputs.get("authorizationType") != "AWS_IAM":
            yield f"{url.name}: anybody may call it"
    for one, said in statements(graph):
        if said["Effect"] == "Allow" and _anybody(said.get("Principal")):
            yield f"{one.name}: anybody may {said['Action']}"
    for one in graph.of(PERMISSION):
        if _anybody(one.inputs["principal"]):
            yield f"{one.name}: anybody may {one.inputs['action']}"
    for one in graph.of(FENCE):
        if one.inputs.get("ingress"):
            yield f"{one.name}: lets something in"


def _refuses_plain_http(policy: Resource) -> bool:
    return any(
        said["Effect"] == "Deny" and said.get("Condition") == {"Bool": {"aws:SecureTransport": "false"}}
        for said in policy.document("policy")["Statement"]
    )


def _anybody(principal: Any) -> bool:
    named = principal.values() if isinstance(principal, dict) else [principal]
    return any("*" in _list(one) for one in named if one)


def encrypted(graph: Graph) -> Iterator[str]:
    """At rest, everything that holds data. Topics hold none: they pass on that an alarm went off."""
    for bucket in graph.of(BUCKET):
        if not graph.pointing_at(bucket, SECRET):
            yield f"{bucket.name}: not said to be encrypted"
    for one in graph.of(QUEUE):
        if not (one.inputs.get("sqsManagedSseEnabled") or one.inputs.get("kmsMasterKeyId")):
            yield f"{one.name}: not encrypted"
    for one in graph.of(TEMPLATE):
        for disk in one.inputs.get("blockDeviceMappings", ()):
            if disk.get("ebs", {}).get("encrypted") != "true":
                yield f"{one.name}: its disk is not encrypted"


def no_wildcards(graph: Graph) -> Iterator[str]:
    """What is allowed is spelled out, but for what AWS takes only with a star."""
    for one, said in statements(graph):
        if said["Effect"] != "Allow":
            continue
        for action in _list(said["Action"]):
            if "*" in action:
                yield f"{one.name}: allows {action}"
            if "*" in _list(said.get("Resource", ())) and action not in WITHOUT_RESOURCES:
                yield f"{one.name}: allows {action} on everything"
        if "NotAction" in said or "NotResource" in said or "NotPrincipal" in said:
            yield f"{one.name}: allows by exception"
    for one in graph.of(ATTACHMENT):
        name = str(one.inputs["policyArn"]).rsplit("/", 1)[-1]
        if name not in MANAGED:
            yield f"{one.name}: attaches {name}, of which AWS decides what it allows"


def no_confused_deputy(graph: Graph) -> Iterator[str]:
    """Where a service is let in, it is for what this account set up and for nobody else's."""
    for one, said in statements(graph):
        for service in _list((said.get("Principal") or {}).get("Service", ()) if said["Effect"] == "Allow" and
                             isinstance(said.get("Principal"), dict) else ()):  # fmt: skip
            if one.type == ROLE and service in TRUSTED_UNCONDITIONALLY:
                continue
            tests = said.get("Condition", {})
            keys = {key for test in tests.values() for key in test}
            if "aws:SourceArn" not in keys or (one.type == ROLE and "aws:SourceAccount" not in keys):
                yield f"{one.name}: lets {service} in, whoever it acts for"
    for one in graph.of(PERMISSION):
        service = str(one.inputs["principal"])
        if service.endswith(".amazonaws.com") and not one.inputs.get("sourceArn"):
            yield f"{one.name}: lets {service} in, whoever it acts for"


def logs_end(graph: Graph) -> Iterator[str]:
    """Logs are kept for a while, in a group of ours; one that Lambda makes by itself would be kept for ever."""
    groups = {one.inputs.get("name") for one in graph.of(LOGS)}
    for one in graph.of(LOGS):
        if not one.inputs.get("retentionInDays"):
            yield f"{one.name}: kept for ever"
    for one in graph.of(LAMBDA):
        if (one.inputs.get("loggingConfig") or {}).get("logGroup") not in groups:
            yield f"{one.name}: logs where nothing ever ends"


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _target(reference: object) -> str:
    """The logical name of the resource that a token points at."""
    found = re.match(r"\$\{([^#{}]+)#", str(reference))
    return found[1] if found else ""
