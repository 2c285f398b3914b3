"""What must hold of every deployment on Google Cloud: how its resources read in the catalogue's words, and its own
rules. There is none about encryption at rest: Google encrypts everything, and has no way not to.
"""

import re
from collections.abc import Iterator

from functions.catalogue import CATALOGUE
from samara.catalogue import Function, Http, named, told_of_failures
from tests.infra.graph import Graph, Resource
from tests.infra.policies import ALL_JOBS, CREATE, READ, SWAP, Facts, Rule, shared

BUCKET, FOLDER = "gcp:storage/bucket:Bucket", "gcp:storage/managedFolder:ManagedFolder"
ON_FOLDER = "gcp:storage/managedFolderIamMember:ManagedFolderIamMember"
ON_BUCKET = "gcp:storage/bucketIAMMember:BucketIAMMember"
OBJECT, NOTIFICATION = "gcp:storage/bucketObject:BucketObject", "gcp:storage/notification:Notification"
FUNCTION, ON_SERVICE = "gcp:cloudfunctionsv2/function:Function", "gcp:cloudrunv2/serviceIamMember:ServiceIamMember"
TOPIC, ON_TOPIC = "gcp:pubsub/topic:Topic", "gcp:pubsub/topicIAMMember:TopicIAMMember"
SUBSCRIPTION = "gcp:pubsub/subscription:Subscription"
ON_SUBSCRIPTION = "gcp:pubsub/subscriptionIAMMember:SubscriptionIAMMember"
SCHEDULE, ACCOUNT = "gcp:cloudscheduler/job:Job", "gcp:serviceaccount/account:Account"
ON_ACCOUNT, ON_PROJECT = "gcp:serviceaccount/iAMMember:IAMMember", "gcp:projects/iAMMember:IAMMember"
CUSTOM_ROLE = "gcp:projects/iAMCustomRole:IAMCustomRole"
IMAGES, ON_IMAGES = (
    "gcp:artifactregistry/repository:Repository",
    ("gcp:artifactregistry/repositoryIamMember:RepositoryIamMember"),
)
CHANNEL, ALERT = (
    "gcp:monitoring/notificationChannel:NotificationChannel",
    "gcp:monitoring/alertPolicy:AlertPolicy",
)
MEMBERS = (ON_FOLDER, ON_BUCKET, ON_SERVICE, ON_TOPIC, ON_SUBSCRIPTION, ON_ACCOUNT, ON_PROJECT, ON_IMAGES)

TAGGABLE = {
    **dict.fromkeys((BUCKET, FUNCTION, TOPIC, SUBSCRIPTION, IMAGES), "labels"),
    **dict.fromkeys((CHANNEL, ALERT), "userLabels"),
}
LIMITS = {BUCKET: 63, FUNCTION: 63, ACCOUNT: 30, TOPIC: 255, SUBSCRIPTION: 255, SCHEDULE: 500}
CREATING = ("storage.objects.create", "storage.objects.get")  # may look whether it is there, and overwrites nothing
VERBS = {
    "roles/storage.objectViewer": READ,
    "roles/storage.objectCreator": CREATE,
    "roles/storage.objectUser": SWAP,
}
PERIODS = {"* * * * *": "minute", "*/15 * * * *": "quarter", "0 * * * *": "hour"}
FOURTEEN_DAYS_S = 1_209_600
FREE_SCHEDULES = 3  # of a billing account; each more costs whether it ticks or not
LONGEST_FILTER = 256
EVERYBODY = ("allUsers", "allAuthenticatedUsers")
ON_THE_WHOLE_PROJECT = {  # roles that Google grants on no smaller thing
    "roles/batch.agentReporter": "a machine tells Batch how its job goes",
    "roles/logging.logWriter": "logs belong to the project",
    "roles/storage.objectViewer": "on the buckets from which Google builds, which it makes itself",
}


def facts(graph: Graph) -> Facts:
    """What the resources come to, in the catalogue's words."""
    return Facts(
        access=frozenset(_access(graph)),
        wakes=frozenset(_wakes(graph)),
        ticks=frozenset(_ticks(graph)),
        answering=frozenset(one for one in _deployed(graph) if _open(_deployed(graph)[one])),
        with_dead_letters=frozenset(_with_dead_letters(graph)),
    )


def rules() -> dict[str, Rule]:
    """Every rule, by the name that a broken one is known by."""
    return {
        **shared(facts, TAGGABLE, LIMITS),
        "rights": other_rights,
        "private": private,
        "no wildcards": no_wildcards,
        "confused deputy": only_our_own_caller,
        "retention": things_end,
        "filters": filters_fit,
    }


def _deployed(graph: Graph) -> dict[str, Resource]:
    """The functions, by the catalogue's names."""
    return {settings(one)["SAMARA_FUNCTION"]: one for one in graph.of(FUNCTION)}


def settings(function: Resource) -> dict[str, str]:
    return dict(function.inputs["serviceConfig"]["environmentVariables"])


def _open(function: Resource) -> bool:
    return bool(function.inputs["serviceConfig"].get("ingressSettings") != "ALLOW_INTERNAL_ONLY")


def holders(graph: Graph) -> dict[str, str]:
    """Who is whom, by the account's logical name."""
    found = {}
    for name, one in _deployed(graph).items():
        found[_target(one.inputs["serviceConfig"]["serviceAccountEmail"])] = name
        if named(CATALOGUE, name).job:
            found[_target(settings(one)["SAMARA_JOBS"].partition("account=")[2])] = ALL_JOBS
    return found


def _access(graph: Graph) -> Iterator[tuple[str, str, str]]:
    who = holders(graph)
    folders = {one.inputs["name"] for one in graph.of(FOLDER)}
    creators = {one.name for one in graph.of(CUSTOM_ROLE) if tuple(one.inputs["permissions"]) == CREATING}
    for one in graph.of(ON_FOLDER, ON_BUCKET):
        member, role = who.get(_target(one.inputs["member"]), one.inputs["member"]), one.inputs["role"]
        prefix = one.inputs.get("managedFolder", "")
        if prefix in folders or not prefix:
            yield member, CREATE if _target(role) in creators else VERBS.get(role, role), prefix


def _called(graph: Graph, address: str, by: str) -> Iterator[str]:
    """The function at `address`, if that account may call it."""
    for name, one in _deployed(graph).items():
        let_in = {
            _target(member.inputs["member"])
            for member in graph.of(ON_SERVICE)
            if member.inputs["name"] == one.inputs["name"] and member.inputs["role"] == "roles/run.invoker"
        }
        if _target(address) == one.name and _target(by) in let_in:
            yield name


def _pushed(graph: Graph, topic: Resource, path: str) -> Iterator[tuple[str, Resource]]:
    """(function, subscription) for what this topic pushes to that path of a function."""
    for one in graph.pointing_at(topic, SUBSCRIPTION):
        push = one.inputs.get("pushConfig") or {}
        address = str(push.get("pushEndpoint"))
        if one.inputs["topic"] == f"${{{topic.name}#id}}" and address.endswith(path):
            account = (push.get("oidcToken") or {}).get("serviceAccountEmail", "")
            yield from ((name, one) for name in _called(graph, address, account))


def _told(graph: Graph) -> Iterator[Resource]:
    """Topics that the bucket tells of new objects, and may."""
    for one in graph.of(NOTIFICATION):
        for topic in graph.of(TOPIC):
            let = {str(member.inputs["member"]) for member in _publishers(graph, topic)}
            if _target(one.inputs["topic"]) == topic.name and any("getProjectServiceAccount" in who for who in let):
                yield topic


def _publishers(graph: Graph, topic: Resource) -> list[Resource]:
    return [
        one
        for one in graph.of(ON_TOPIC)
        if one.inputs["topic"] == topic.inputs["name"] and one.inputs["role"] == "roles/pubsub.publisher"
    ]


def _wakes(graph: Graph) -> Iterator[tuple[str, str]]:
    for topic in _told(graph):
        for name, one in _pushed(graph, topic, "/_events/objects"):
            wish = str(one.inputs.get("filter", ""))
            yield from ((name, prefix) for prefix in re.findall(r'hasPrefix\(attributes\.objectId,"([^"]*)"\)', wish))
            if re.findall(r'attributes\.wake="([^"]*)"', wish) != [name] or "OBJECT_FINALIZE" not in wish:
                yield name, f"whatever {wish!r} lets through"


def _ticks(graph: Graph) -> Iterator[tuple[str, str]]:
    for one in graph.of(SCHEDULE):
        call = one.inputs["httpTarget"]
        account = (call.get("oidcToken") or {}).get("serviceAccountEmail", "")
        for name in _called(graph, call["uri"], account):
            yield name, PERIODS.get(one.inputs["schedule"], one.inputs["schedule"])


def _with_dead_letters(graph: Graph) -> Iterator[str]:
    """Functions of which nothing is lost. Who gets no events has none to give up: a caller hears of its failure, and
    for a missed tick the next one makes up."""
    kept = {topic.name: topic for topic in graph.of(TOPIC) if _keeps(graph, topic) and _tells(graph, topic)}
    losing = set()
    for topic in _told(graph):
        for name, one in _pushed(graph, topic, "/_events/objects"):
            policy = one.inputs.get("deadLetterPolicy") or {}
            end = kept.get(_target(policy.get("deadLetterTopic")))
            taken = {member.inputs["subscription"] for member in graph.of(ON_SUBSCRIPTION) if _agent(member)}
            if not end or one.inputs["name"] not in taken or not any(map(_agent, _publishers(graph, end))):
                losing.add(name)
    if not kept:
        losing |= {one.name for one in told_of_failures(CATALOGUE)}
    yield from {one.name for one in CATALOGUE} - losing


def _agent(member: Resource) -> bool:
    return bool(re.fullmatch(r"\$\{.*pubsub-agent#member\}", member.inputs["member"]))


def _keeps(graph: Graph, topic: Resource) -> bool:
    return any(
        "pushConfig" not in one.inputs
        and one.inputs["topic"] == f"${{{topic.name}#id}}"
        and one.inputs.get("messageRetentionDuration") == f"{FOURTEEN_DAYS_S}s"
        for one in graph.pointing_at(topic, SUBSCRIPTION)
    )


def _tells(graph: Graph, topic: Resource) -> bool:
    tellers = {one.name for one in told_of_failures(CATALOGUE)}
    return bool(tellers & {name for name, _ in _pushed(graph, topic, "/_events/failed")})


def other_rights(graph: Graph) -> Iterator[str]:
    """Beside objects: to wake, to ask after jobs, to start them as the one account that jobs have."""
    have, want = set(_rights(graph)), {right for spec in CATALOGUE for right in _expected_rights(spec)}
    for who, what in sorted(have - want):
        yield f"{who} may {what}, which nothing asks for"
    for who, what in sorted(want - have):
        yield f"{who} may not {what}, which it needs"


def _rights(graph: Graph) -> Iterator[tuple[str, str]]:
    who = holders(graph)
    custom = {one.name: one.inputs["permissions"] for one in graph.of(CUSTOM_ROLE)}
    for one in graph.of(ON_PROJECT, ON_TOPIC, ON_SUBSCRIPTION, ON_ACCOUNT, ON_IMAGES):
        member = who.get(_target(one.inputs["member"]))
        if member and one.type == ON_ACCOUNT:
            yield member, f"{one.inputs['role']} on {who.get(_target(one.inputs['serviceAccountId']))}"
        elif member:
            role = one.inputs["role"]
            yield from ((member, right) for right in custom.get(_target(role), [role]))


def _expected_rights(spec: Function) -> Iterator[tuple[str, str]]:
    if spec.job:
        yield spec.name, "batch.jobs.create"
        yield spec.name, f"roles/iam.serviceAccountUser on {ALL_JOBS}"
        yield ALL_JOBS, "roles/batch.agentReporter"
        yield ALL_JOBS, "roles/logging.logWriter"
    if spec.job or spec.name == "reconcile":
        yield spec.name, "batch.jobs.get"
    if spec.name == "reconcile":
        yield spec.name, "roles/pubsub.publisher"


def private(graph: Graph) -> Iterator[str]:
    """Nobody gets in without an identity that was named; what people need not reach, the net does not reach."""
    for bucket in graph.of(BUCKET):
        if bucket.inputs.get("publicAccessPrevention") != "enforced":
            yield f"{bucket.name}: public access is not prevented"
        if bucket.inputs.get("uniformBucketLevelAccess") is not True:
            yield f"{bucket.name}: objects may have lists of their own of who gets in"
    for one in graph.of(*MEMBERS):
        if one.inputs["member"] in EVERYBODY:
            yield f"{one.name}: {one.inputs['member']} may {one.inputs['role']}"
    for one in graph.of(SUBSCRIPTION):
        address = str((one.inputs.get("pushConfig") or {}).get("pushEndpoint", "${"))
        if not address.startswith("${"):
            yield f"{one.name}: tells {address}, which is not ours"


def no_wildcards(graph: Graph) -> Iterator[str]:
    """What is allowed is spelled out, on the smallest thing that Google lets one name."""
    for one in graph.of(*MEMBERS):
        if one.inputs["role"] in ("roles/owner", "roles/editor", "roles/viewer"):
            yield f"{one.name}: {one.inputs['role']} is everything"
    for one in graph.of(CUSTOM_ROLE):
        for permission in one.inputs["permissions"]:
            if "*" in permission:
                yield f"{one.name}: allows {permission}"
    for one in graph.of(ON_PROJECT):
        role = one.inputs["role"]
        if not role.startswith("${") and role not in ON_THE_WHOLE_PROJECT:
            yield f"{one.name}: {role} holds for the whole project"
        elif role.startswith("roles/storage.") and not one.inputs.get("condition"):
            yield f"{one.name}: {role} holds for every bucket"


def only_our_own_caller(graph: Graph) -> Iterator[str]:
    """Whoever brings events says who it is, to the one function meant; and functions know whom to believe."""
    for one in graph.of(SUBSCRIPTION, SCHEDULE):
        call = one.inputs.get("pushConfig") or one.inputs.get("httpTarget")
        if not call:
            continue
        address, token = call.get("pushEndpoint") or call["uri"], call.get("oidcToken") or {}
        if not token.get("serviceAccountEmail"):
            yield f"{one.name}: does not say who it is"
        elif not token.get("audience") or not str(address).startswith(f"{token['audience']}/"):
            yield f"{one.name}: its proof would be good for others too"
        for name, function in _deployed(graph).items():
            if _target(address) == function.name and settings(function).get("SAMARA_CALLER") != token.get(
                "serviceAccountEmail"
            ):
                yield f"{name}: would believe others than {one.name}"
    for name, function in _deployed(graph).items():
        believes = bool(settings(function).get("SAMARA_PRIVATE"))
        if believes and any(member.inputs["member"] in EVERYBODY for member in _let_in(graph, function)):
            yield f"{name}: believes whatever strangers say of themselves"
        if not believes and any(isinstance(trigger, Http) for trigger in named(CATALOGUE, name).on):
            yield f"{name}: does not write down who asks"


def _let_in(graph: Graph, function: Resource) -> list[Resource]:
    return [one for one in graph.of(ON_SERVICE) if one.inputs["name"] == function.inputs["name"]]


def things_end(graph: Graph) -> Iterator[str]:
    """Old versions and images go, and what waits for people stays until they come."""
    for bucket in graph.of(BUCKET):
        conditions = [rule["condition"] for rule in bucket.inputs.get("lifecycleRules", ())]
        if not any("daysSinceNoncurrentTime" in condition for condition in conditions):
            yield f"{bucket.name}: keeps every version for ever"
        if not (bucket.inputs.get("versioning") or {}).get("enabled"):
            yield f"{bucket.name}: what is overwritten is lost at once"
    for one in graph.of(IMAGES):
        if not one.inputs.get("cleanupPolicies") or one.inputs.get("cleanupPolicyDryRun"):
            yield f"{one.name}: keeps every image for ever"
    for one in graph.of(SUBSCRIPTION):
        if (one.inputs.get("expirationPolicy") or {}).get("ttl") != "":
            yield f"{one.name}: is gone after a quiet month"
    if len(graph.of(SCHEDULE)) > FREE_SCHEDULES:
        yield f"{len(graph.of(SCHEDULE))} schedules; more than {FREE_SCHEDULES} cost while nothing happens"


def filters_fit(graph: Graph) -> Iterator[str]:
    for one in graph.of(SUBSCRIPTION):
        length = len(str(one.inputs.get("filter", "")).encode())
        if length > LONGEST_FILTER:
            yield f"{one.name}: its filter has {length} bytes; Pub/Sub takes {LONGEST_FILTER}"


def _target(reference: object) -> str:
    """The logical name of the resource that a token points at."""
    found = re.match(r"\$\{([^#{}]+)#", str(reference))
    return found[1] if found else ""
