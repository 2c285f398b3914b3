"""What must hold of every deployment on Azure: how its resources read in the catalogue's words, and its own rules.

At rest Azure encrypts everything, and has no way not to; the rule about encryption is about the way there.
"""

import re
from collections import defaultdict
from collections.abc import Iterator

from functions.catalogue import CATALOGUE
from samara.catalogue import Every, named, told_of_failures
from tests.infra.graph import Graph, Resource
from tests.infra.policies import ALL_JOBS, CREATE, READ, SWAP, Facts, Rule, shared

AZURE = "azure-native"
GROUP, ACCOUNT = f"{AZURE}:resources:ResourceGroup", f"{AZURE}:storage:StorageAccount"
CONTAINER, QUEUE = f"{AZURE}:storage:BlobContainer", f"{AZURE}:storage:Queue"
KEEPING, FORGETTING = f"{AZURE}:storage:BlobServiceProperties", f"{AZURE}:storage:ManagementPolicy"
TOPIC, SUBSCRIPTION = f"{AZURE}:eventgrid:SystemTopic", f"{AZURE}:eventgrid:SystemTopicEventSubscription"
APP, PLAN = f"{AZURE}:web:WebApp", f"{AZURE}:web:AppServicePlan"
IDENTITY, LOGS = f"{AZURE}:managedidentity:UserAssignedIdentity", f"{AZURE}:operationalinsights:Workspace"
INSIGHTS, ENVIRONMENT = f"{AZURE}:applicationinsights:Component", f"{AZURE}:app:ManagedEnvironment"
ASSIGNMENT, ROLE = f"{AZURE}:authorization:RoleAssignment", f"{AZURE}:authorization:RoleDefinition"

TAGGABLE = dict.fromkeys((GROUP, ACCOUNT, TOPIC, APP, PLAN, IDENTITY, LOGS, INSIGHTS, ENVIRONMENT), "tags")
LIMITS = {ACCOUNT: 24, APP: 60, PLAN: 60, GROUP: 90, IDENTITY: 128}
BLOBS = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs"
GETS, ADDS, WRITES, DELETES = (f"{BLOBS}/{verb}" for verb in ("read", "add/action", "write", "delete"))
LISTS = f"{GETS}, listing"
LARGE = "blobs/"  # what is put there may be a stream: only who may write puts blocks, and looks whether they are more
SENDER, OWNER = "c6a89b2d-59bc-44d0-9896-0f6e12d7b80a", "b7e6dc6d-f1e8-4753-8033-0f276bb0955b"
CONTRIBUTOR, PUBLISHER = "ba92f5b4-2d11-453d-a403-e96b0029c9fe", "3913510d-42f4-4e42-8a64-420c390055eb"
READY_MADE = {
    SENDER: "puts messages into one queue",
    OWNER: "the host's own, on the app's own account",
    CONTRIBUTOR: "Event Grid's, where it keeps what it cannot deliver",
    PUBLISHER: "sends logs",
}
QUEUES = "Microsoft.Storage/storageAccounts/queueServices/queues"
LISTENS = {f"{QUEUES}/read", *(f"{QUEUES}/messages/{verb}" for verb in ("read", "process/action", "write"))}
JOBS = "Microsoft.App/jobs"
ASKS = {f"{JOBS}/read", f"{JOBS}/executions/read"}
SUBMITS = ASKS | {
    f"{JOBS}/write",
    f"{JOBS}/start/action",
    "Microsoft.App/managedEnvironments/join/action",
    "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action",
}
HOST = {f"AzureWebJobsStorage__{what}" for what in ("accountName", "credential", "clientId")}
NO_LISTS = f" AND (!(ActionMatches{{'{GETS}'}} AND SubOperationMatches{{'Blob.List'}}))"
CLAUSE = re.compile(
    r"\(\(!\(ActionMatches\{'([^']+)'\}( AND NOT SubOperationMatches\{'Blob\.List'\}| AND SubOperationMatches"
    r"\{'Blob\.List'\})?\)\) OR \(([^()]*)\)\)"
)
SUBJECT = "/blobServices/default/containers/bucket/blobs/"


def facts(graph: Graph) -> Facts:
    """What the resources come to, in the catalogue's words."""
    return Facts(
        access=frozenset(_access(graph)),
        wakes=frozenset(_wakes(graph)),
        ticks=frozenset(_ticks(graph)),
        answering=frozenset(set(graph.outputs["urls"]) & set(deployed(graph))),
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
        "apart": apart,
        "retention": things_end,
    }


def settings(app: Resource) -> dict[str, str]:
    return {one["name"]: one["value"] for one in app.inputs["siteConfig"]["appSettings"]}


def deployed(graph: Graph) -> dict[str, Resource]:
    """The apps, by the catalogue's names."""
    return {settings(one)["SAMARA_FUNCTION"]: one for one in graph.of(APP)}


def holders(graph: Graph) -> dict[str, str]:
    """Who is whom, by the logical name of the identity, or of what has one itself."""
    found = {one.name: "the topic" for one in graph.of(TOPIC)}
    for name, app in deployed(graph).items():
        (identity,) = app.inputs["identity"]["userAssignedIdentities"]
        found[_target(identity)] = name
        if named(CATALOGUE, name).job:
            found[_target(settings(app)["SAMARA_JOBS"].partition("&client=")[2])] = ALL_JOBS
    return found


def grants(graph: Graph) -> Iterator[tuple[str, str, set[str], Resource]]:
    """(who, on what, what it may, the assignment); a ready-made role is known by its id."""
    who, roles = holders(graph), {one.name: one for one in graph.of(ROLE)}
    for one in graph.of(ASSIGNMENT):
        role = roles.get(_target(one.inputs["roleDefinitionId"]))
        allowed = one.inputs["roleDefinitionId"].rsplit("/", 1)[-1:] if role is None else _allowed(role)
        member = _target(one.inputs["principalId"])
        yield who.get(member, member), _target(one.inputs["scope"]) or one.inputs["scope"], set(allowed), one


def _allowed(role: Resource) -> list[str]:
    return [
        action
        for permission in role.inputs["permissions"]
        for action in (*permission.get("actions", ()), *permission.get("dataActions", ()))
    ]


def reach(graph: Graph) -> dict[tuple[str, str], set[str]]:
    """What each may do with blobs, by who it is and the prefixes that the conditions of its assignments name."""
    does: dict[tuple[str, str], set[str]] = defaultdict(set)
    bucket = next(one.name for one in graph.of(CONTAINER) if one.inputs["containerName"] == "bucket")
    for who, on, allowed, one in grants(graph):
        blobs = {action for action in allowed if action.startswith(BLOBS)} | ({LISTS} if GETS in allowed else set())
        for action in blobs:
            for prefix in limited(str(one.inputs.get("condition", "")), action) if on == bucket else [f"all of {on}"]:
                does[who, prefix].add(action)
    return does


def _access(graph: Graph) -> Iterator[tuple[str, str, str]]:
    """The same in the catalogue's verbs."""
    for (who, prefix), actions in reach(graph).items():
        yield from ((who, verb, prefix) for verb in _verbs(actions, prefix))


def limited(condition: str, action: str) -> list[str]:
    """The prefixes to which a condition limits an action: the empty one, where it has no clause about it."""
    if action == LISTS and NO_LISTS in condition:
        return []
    for about, suboperation, clause in CLAUSE.findall(condition):
        listing = suboperation.startswith(" AND Sub")
        if about == action.partition(",")[0] and listing == (action == LISTS):
            attribute = f"@Request[{BLOBS}:prefix]" if listing else f"@Resource[{BLOBS}:path]"
            tests = [test.split(" StringStartsWith ") for test in clause.split(" OR ")]
            if all(left == attribute for left, *_ in tests):
                return [right.strip("'") for _, right in tests]
    return [""]


def _verbs(actions: set[str], prefix: str) -> Iterator[str]:
    left = set(actions)
    for verb, needed in (
        (SWAP, {GETS, LISTS, ADDS, WRITES, DELETES}),
        (READ, {GETS, LISTS}),
        (CREATE, {GETS, ADDS, WRITES} if prefix == LARGE else {ADDS}),
    ):
        if needed <= actions and needed & left:
            left -= needed
            yield verb
    yield from sorted(left)


def queues(graph: Graph) -> dict[str, str]:
    """The names of the queues, by their logical ones."""
    return {one.name: one.inputs["queueName"] for one in graph.of(QUEUE)}


def listening(graph: Graph) -> set[tuple[str, str]]:
    """(function, queue) where the one may take what is in the other, and knows where that is."""
    known, apps = queues(graph), deployed(graph)
    return {
        (who, known[on])
        for who, on, allowed, _ in grants(graph)
        if allowed >= LISTENS and on in known and "BUS__queueServiceUri" in settings(apps[who])
    }


def sending(graph: Graph) -> set[tuple[str, str]]:
    """(who, queue) where the one may put something into the other."""
    known = queues(graph)
    return {(who, known[on]) for who, on, allowed, _ in grants(graph) if SENDER in allowed and on in known}


def _wakes(graph: Graph) -> Iterator[tuple[str, str]]:
    """The prefixes of which Event Grid tells a queue, as it may, from which a function of that name hears."""
    hear, tell = listening(graph), sending(graph)
    for one in graph.of(SUBSCRIPTION):
        name = queues(graph).get(_target(one.inputs["deliveryWithResourceIdentity"]["destination"]["queueName"]), "")
        if (name, name) in hear and ("the topic", name) in tell:
            yield from ((name, prefix) for prefix in _prefixes(one.inputs["filter"]))


def _prefixes(wish: dict[str, object]) -> list[str]:
    several = wish.get("advancedFilters")
    subjects = (
        several[0]["values"] if isinstance(several, list) and several else [str(wish.get("subjectBeginsWith", ""))]
    )
    created = wish.get("includedEventTypes") == ["Microsoft.Storage.BlobCreated"]
    return [subject.removeprefix(SUBJECT) if created else f"anything done to {subject}" for subject in subjects]


def _ticks(graph: Graph) -> Iterator[tuple[str, str]]:
    """Timers are in the code. What they need of the deployment is an account for the host, for its lease."""
    for name, app in deployed(graph).items():
        for trigger in named(CATALOGUE, name).on:
            if isinstance(trigger, Every) and set(settings(app)) >= HOST:
                yield name, trigger.in_a_cloud


def _with_dead_letters(graph: Graph) -> Iterator[str]:
    """Functions of which nothing is lost: what Event Grid cannot deliver, and what a function gives up, are kept, and
    `deadletter` hears of the second. Who gets no messages has none to give up."""
    hear, tell = listening(graph), sending(graph)
    (teller,) = (one.name for one in told_of_failures(CATALOGUE))
    kept = {
        _target(one.inputs["deliveryWithResourceIdentity"]["destination"]["queueName"])
        for one in graph.of(SUBSCRIPTION)
        if "deadLetterWithResourceIdentity" in one.inputs
    }
    for spec in CATALOGUE:
        poison = f"{spec.name}-poison"
        ends = {(spec.name, poison), (teller, f"{poison}-poison"), (teller, "dead-letters")} <= tell
        if not spec.wakes_on or (
            ends
            and (teller, poison) in hear
            and any(logical in kept for logical, name in queues(graph).items() if name == spec.name)
        ):
            yield spec.name


def other_rights(graph: Graph) -> Iterator[str]:
    """Beside blobs of the bucket: its host's account, logs, its queues, and jobs for those that have any."""
    have, want = set(_rights(graph)), set(_expected_rights(graph))
    for who, what, on in sorted(have - want):
        yield f"{who} may {what} on {on}, which nothing asks for"
    for who, what, on in sorted(want - have):
        yield f"{who} may not {what} on {on}, which it needs"


def _rights(graph: Graph) -> Iterator[tuple[str, str, str]]:
    known = queues(graph)
    for who, on, allowed, _ in grants(graph):
        yield from ((who, action, known.get(on, on)) for action in allowed if not action.startswith(BLOBS))


def _expected_rights(graph: Graph) -> Iterator[tuple[str, str, str]]:
    (insights,), jobs = graph.of(INSIGHTS), _jobs_group(graph)
    lost = next(one.name for one in graph.of(CONTAINER) if one.inputs["containerName"] == "undelivered")
    yield "the topic", CONTRIBUTOR, lost
    woken = [spec.name for spec in CATALOGUE if spec.wakes_on]
    for spec in CATALOGUE:
        yield spec.name, PUBLISHER, insights.name
        yield spec.name, OWNER, _target(settings(deployed(graph)[spec.name])["AzureWebJobsStorage__accountName"])
        if spec.job or spec.name == "reconcile":
            yield from ((spec.name, action, jobs) for action in (SUBMITS if spec.job else ASKS))
        if spec in told_of_failures(CATALOGUE):
            yield spec.name, SENDER, "dead-letters"
            heard = [f"{name}-poison" for name in woken]
        else:
            heard = [spec.name] if spec.wakes_on else []
        for queue in heard:
            yield spec.name, SENDER, f"{queue}-poison"
            yield from ((spec.name, action, queue) for action in LISTENS)
        if spec.name in woken:
            yield "the topic", SENDER, spec.name
            yield "reconcile", SENDER, spec.name


def _jobs_group(graph: Graph) -> str:
    (environment,) = graph.of(ENVIRONMENT)
    return _target(environment.inputs["resourceGroupName"])


def private(graph: Graph) -> Iterator[str]:
    """Nobody gets in without an identity or a function's key."""
    for one in graph.of(ACCOUNT):
        if one.inputs.get("allowSharedKeyAccess") is not False:
            yield f"{one.name}: whoever has its key has everything, whatever roles say"
        if one.inputs.get("allowBlobPublicAccess") is not False:
            yield f"{one.name}: its containers may be public"
    for one in graph.of(CONTAINER):
        if one.inputs.get("publicAccess") != "None":
            yield f"{one.name}: public"
    for one in graph.of(APP):
        if one.inputs["siteConfig"].get("ftpsState") != "Disabled" or one.inputs["siteConfig"].get(
            "remoteDebuggingEnabled"
        ):
            yield f"{one.name}: lets others in than by HTTPS"
        if [name for name in settings(one) if re.search("KEY|SECRET|PASSWORD|^AzureWebJobsStorage$", name)]:
            yield f"{one.name}: is told a secret"
    for one in graph.of(LOGS, INSIGHTS):
        local = one.inputs.get("disableLocalAuth") or (one.inputs.get("features") or {}).get("disableLocalAuth")
        if local is not True:
            yield f"{one.name}: takes logs from whoever has its key"


def encrypted(graph: Graph) -> Iterator[str]:
    """On the way: TLS 1.2 or better, everywhere."""
    for one in graph.of(ACCOUNT):
        if one.inputs.get("minimumTlsVersion") != "TLS1_2" or one.inputs.get("enableHttpsTrafficOnly") is not True:
            yield f"{one.name}: talks in the clear, or nearly"
    for one in graph.of(APP):
        site = one.inputs["siteConfig"]
        if one.inputs.get("httpsOnly") is not True or {site.get("minTlsVersion"), site.get("scmMinTlsVersion")} != {
            "1.2"
        }:
            yield f"{one.name}: talks in the clear, or nearly"


def no_wildcards(graph: Graph) -> Iterator[str]:
    """What is allowed is spelled out, on one thing; only ready-made roles that a reason is known for are used."""
    for one in graph.of(ROLE):
        for action in _allowed(one):
            if "*" in action:
                yield f"{one.name}: allows {action}"
        if not all(_target(scope) for scope in (one.inputs["scope"], *one.inputs["assignableScopes"])):
            yield f"{one.name}: could be given on more than its group"
    for who, on, _, one in grants(graph):
        ready = "" if _target(one.inputs["roleDefinitionId"]) else one.inputs["roleDefinitionId"].rsplit("/", 1)[-1]
        if ready and ready not in READY_MADE:
            yield f"{one.name}: gives {who} a role of which Azure decides what it allows"
        if on.startswith("/"):
            yield f"{one.name}: holds for {on}"


def apart(graph: Graph) -> Iterator[str]:
    """Each app has an identity, a plan and a host's account that no other has; nothing is given twice."""
    seen: dict[str, str] = {}
    for name, app in deployed(graph).items():
        for what in (
            settings(app)["AzureWebJobsStorage__accountName"],
            app.inputs["serverFarmId"],
            *app.inputs["identity"]["userAssignedIdentities"],
        ):
            if seen.setdefault(what, name) != name:
                yield f"{name}: shares {what} with {seen[what]}"
        where = str(app.inputs["functionAppConfig"]["deployment"]["storage"]["value"])
        if settings(app)["AzureWebJobsStorage__accountName"] not in where:
            yield f"{name}: its code lies where it is not alone"
    given = [(one.inputs["principalId"], one.inputs["roleDefinitionId"], one.inputs["scope"])
             for one in graph.of(ASSIGNMENT)]  # fmt: skip
    for one in sorted({one for one in given if given.count(one) > 1}):
        yield f"{one}: assigned twice, which Azure refuses"


def things_end(graph: Graph) -> Iterator[str]:
    """Old versions and logs go after a while, and not before."""
    if not any(one.inputs.get("isVersioningEnabled") for one in graph.of(KEEPING)):
        yield "what is overwritten is lost at once"
    deletes = [
        rule["definition"]["actions"].get("version", {}).get("delete")
        for one in graph.of(FORGETTING)
        for rule in one.inputs["policy"]["rules"]
    ]
    if not any(deletes):
        yield "every version is kept for ever"
    for one in graph.of(LOGS):
        if not one.inputs.get("retentionInDays"):
            yield f"{one.name}: nobody said how long"


def _target(reference: object) -> str:
    """The logical name of the resource that a token points at."""
    found = re.match(r"\$\{([^#{}]+)#", str(reference))
    return found[1] if found else ""
