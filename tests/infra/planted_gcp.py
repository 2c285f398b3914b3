"""Mistakes planted into a good graph, each with the rules that must find it, and no others."""

from collections.abc import Callable

from tests.infra.graph import Graph
from tests.infra.planted_aws import Planted, dropping, extra, missing, setting
from tests.infra.policies_gcp import ON_BUCKET, ON_FOLDER, ON_PROJECT, SCHEDULE

Edit = Callable[[Graph], Graph]


def inside(name: str, part: str, **inputs: object) -> Edit:
    """The resource of that name, with other inputs in one part of it."""
    return lambda graph: graph.editing(name, lambda given: given[part].update(inputs))


def folder(who: str, prefix: str, role: str) -> Edit:
    """One right more, on objects."""
    member = f"${{samara-{who}-account#member}}"
    return extra(ON_FOLDER, "planted", bucket="b", managedFolder=prefix, role=f"roles/storage.{role}", member=member)


LONGER = 256
NOWHERE = {"uri": "https://x/y", "oidcToken": {"serviceAccountEmail": "x", "audience": "https://x"}}
TRAIN = "${samara-train-account#member}"
PLANTED = (
    Planted("a bucket open to the public", setting("samara-bucket", publicAccessPrevention="inherited"), ("private",)),
    Planted("lists on single objects", setting("samara-bucket", uniformBucketLevelAccess=False), ("private",)),
    Planted(
        "a function that anybody may call",
        setting("samara-train-called-by-events", member="allUsers"),
        ("confused deputy", "private", "wakes"),
    ),
    Planted("another function's prefix", folder("ingest", "models/", "objectViewer"), ("least privilege",)),
    Planted("a right to write over", folder("feedback", "feedback/", "objectUser"), ("least privilege",)),
    Planted("a function that writes where it listens", folder("ingest", "landing/", "objectCreator"),
            ("least privilege", "no echo")),
    Planted("a right that is missing", missing("samara-register-swaps-aliases"), ("least privilege",)),
    Planted("a folder that is missing", missing("samara-folder-captures"), ("least privilege",)),
    Planted(
        "a right on the whole bucket",
        extra(ON_BUCKET, "planted", bucket="b", role="roles/storage.objectViewer", member=TRAIN),
        ("least privilege",),
    ),
    Planted(
        "an editor of the project",
        extra(ON_PROJECT, "planted", project="p", role="roles/editor", member=TRAIN),
        ("no wildcards", "rights"),
    ),
    Planted(
        "a role with a star", setting("samara-submits-jobs", permissions=["batch.jobs.*"]), ("no wildcards", "rights")
    ),
    Planted("a builder that reads it all", dropping("samara-builder-objectviewer", "condition"), ("no wildcards",)),
    Planted("a submitter who may not be the job", missing("samara-train-as-job"), ("rights",)),
    Planted("a reconciler who cannot wake", missing("samara-reconcile-wakes"), ("rights",)),
    Planted("a push without proof", inside("samara-train-events", "pushConfig", oidcToken={}),
            ("confused deputy", "wakes")),
    Planted(
        "a proof that is good for others",
        lambda graph: graph.editing(
            "samara-drift-every-hour", lambda given: given["httpTarget"]["oidcToken"].pop("audience")
        ),
        ("confused deputy",),
    ),
    Planted(
        "a function that believes anybody",
        lambda graph: graph.editing(
            "samara-drift", lambda given: given["serviceConfig"]["environmentVariables"].pop("SAMARA_CALLER")
        ),
        ("confused deputy",),
    ),
    Planted(
        "a function that does not say who asked",
        lambda graph: graph.editing(
            "samara-predict", lambda given: given["serviceConfig"]["environmentVariables"].pop("SAMARA_PRIVATE")
        ),
        ("confused deputy",),
    ),
    Planted("events that nobody may bring", missing("samara-validate-called-by-events"), ("wakes",)),
    Planted("a bucket that tells nobody", missing("samara-notification"), ("wakes",)),
    Planted("a bucket that may not tell", missing("samara-bucket-tells"), ("wakes",)),
    Planted("a clock that is missing", missing("samara-reconcile-every-quarter"), ("wakes",)),
    Planted("a clock that runs too often", setting("samara-drift-every-hour", schedule="* * * * *"), ("wakes",)),
    Planted("a function of events that is open to the net",
            inside("samara-ingest", "serviceConfig", ingressSettings="ALLOW_ALL"), ("wakes",)),
    Planted("events without dead letters", dropping("samara-ingest-events", "deadLetterPolicy"), ("dead letters",)),
    Planted("dead letters that Pub/Sub may not take", missing("samara-ingest-events-given-up"), ("dead letters",)),
    Planted("dead letters that nobody keeps", missing("samara-dead-letters"), ("dead letters",)),
    Planted("dead letters that nobody tells of", missing("samara-deadletter-failures"), ("dead letters",)),
    Planted("dead letters that Pub/Sub may not bury", missing("samara-pubsub-buries"), ("dead letters",)),
    Planted("a subscription that expires", setting("samara-train-events", expirationPolicy={"ttl": "2678400s"}),
            ("retention",)),
    Planted("versions kept for ever", dropping("samara-bucket", "lifecycleRules"), ("retention",)),
    Planted("images kept for ever", setting("samara-images", cleanupPolicies=[]), ("retention",)),
    Planted("no versions", dropping("samara-bucket", "versioning"), ("retention",)),
    Planted(
        "a filter that is too long",
        lambda graph: graph.editing(
            "samara-train-events", lambda given: given.update(filter=given["filter"] + " " * LONGER)
        ),
        ("filters",),
    ),
    Planted("a label that is missing", dropping("samara-objects", "labels"), ("tags",)),
    Planted("a name that is too long", setting("samara-train-account", accountId="a" * 31), ("names",)),
    Planted("a network's gateway", extra("gcp:compute/routerNat:RouterNat", "planted"), ("no standing charge",)),
    Planted("an instance kept warm", inside("samara-predict", "serviceConfig", minInstanceCount=1),
            ("no standing charge",)),
    Planted(
        "a clock too many",
        lambda graph: extra(SCHEDULE, "planted-2", schedule="s", httpTarget=NOWHERE)(
            extra(SCHEDULE, "planted-1", schedule="s", httpTarget=NOWHERE)(graph)
        ),
        ("retention",),
    ),
)  # fmt: skip
