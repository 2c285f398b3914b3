"""Mistakes planted into a good graph, each with the rules that must find it, and no others."""

from collections.abc import Callable

from tests.infra.graph import Graph
from tests.infra.planted_aws import Planted, dropping, extra, missing, setting
from tests.infra.policies_azure import ASSIGNMENT, OWNER

Edit = Callable[[Graph], Graph]


def inside(name: str, part: str, **inputs: object) -> Edit:
    """The resource of that name, with other inputs in one part of it."""
    return lambda graph: graph.editing(name, lambda given: given[part].update(inputs))


def rewording(name: str, old: str, new: str) -> Edit:
    """An assignment whose condition says something else."""
    return lambda graph: graph.editing(name, lambda given: given.update(condition=given["condition"].replace(old, new)))


def allowing(role: str, action: str) -> Edit:
    """A role with one action more on what is inside."""
    return lambda graph: graph.editing(role, lambda given: given["permissions"][0]["dataActions"].append(action))


def telling(name: str, **more: str) -> Edit:
    """An app with more settings."""
    added = [{"name": key, "value": value} for key, value in more.items()]
    return lambda graph: graph.editing(name, lambda given: given["siteConfig"]["appSettings"].extend(added))


def forgetting(name: str, setting: str) -> Edit:
    """An app without one of its settings."""

    def edit(given: dict[str, dict[str, list[dict[str, str]]]]) -> None:
        site = given["siteConfig"]
        site["appSettings"] = [one for one in site["appSettings"] if one["name"] != setting]

    return lambda graph: graph.editing(name, edit)


def granting(who: str, role: str, on: str) -> Edit:
    """One assignment more."""
    return extra(
        ASSIGNMENT, "planted", principalId=f"${{samara-{who}-identity#principalId}}", roleDefinitionId=role, scope=on
    )


ROLES = "/subscriptions/s/providers/Microsoft.Authorization/roleDefinitions"
EVERYTHING = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"  # Owner
BLOB = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs"
PLANTED = (
    Planted("an account that its key opens", setting("samara-data-account", allowSharedKeyAccess=True), ("private",)),
    Planted("an account open to the public", dropping("samara-data-account", "allowBlobPublicAccess"), ("private",)),
    Planted("a public container", setting("samara-bucket", publicAccess="Blob"), ("private",)),
    Planted("an app with FTP", inside("samara-predict", "siteConfig", ftpsState="AllAllowed"), ("private",)),
    Planted("an app that is told a secret", telling("samara-predict", STORAGE_KEY="x"), ("private",)),
    Planted("logs from anybody", setting("samara-insights", disableLocalAuth=False), ("private",)),
    Planted("an account in the clear", setting("samara-data-account", enableHttpsTrafficOnly=False), ("encrypted",)),
    Planted("an old TLS", setting("samara-ingest-account", minimumTlsVersion="TLS1_0"), ("encrypted",)),
    Planted("an app in the clear", setting("samara-dashboard", httpsOnly=False), ("encrypted",)),
    Planted("another function's prefix", rewording("samara-ingest-reads", "'receipts/'", "'models/'"),
            ("least privilege",)),
    Planted("a shorter prefix", rewording("samara-predict-reads", "'config/models/'", "'config/'"),
            ("least privilege",)),
    Planted("no condition at all", dropping("samara-feedback-creates", "condition"), ("least privilege",)),
    Planted("a condition that forgets listing", rewording("samara-drift-reads", " AND SubOperation", " AND Sub"),
            ("least privilege",)),
    Planted("an uploader who may list", rewording("samara-ingest-uploads", " AND (!(", " OR (!("),
            ("least privilege",)),
    Planted("a condition on another action", rewording("samara-validate-creates", "add/action", "move/action"),
            ("least privilege", "no echo")),
    Planted("a function that writes where it listens", rewording("samara-ingest-creates", "'datasets/'", "'landing/'"),
            ("least privilege", "no echo")),
    Planted("a right that is missing", missing("samara-register-swaps"), ("least privilege",)),
    Planted("a reader who may delete", allowing("samara-role-reads", f"{BLOB}/delete"), ("least privilege", "no echo")),
    Planted("a role with a star", allowing("samara-role-listens", "Microsoft.Storage/*"), ("no wildcards", "rights")),
    Planted("a role for a whole subscription", setting("samara-role-swaps", assignableScopes=["/subscriptions/s"]),
            ("no wildcards",)),
    Planted("an owner", granting("train", f"{ROLES}/{EVERYTHING}", "${samara-jobs-group#id}"),
            ("no wildcards", "rights")),
    Planted("a right on a whole subscription", granting("train", f"{ROLES}/{OWNER}", "/subscriptions/s"),
            ("no wildcards", "rights")),
    Planted("another function's host", granting("ingest", f"{ROLES}/{OWNER}", "${samara-train-account#id}"),
            ("rights",)),
    Planted("the same right twice", granting("ingest", "${samara-role-listens#id}", "${samara-queue-ingest#id}"),
            ("apart",)),
    Planted("a submitter of no jobs", missing("samara-train-submits"), ("rights",)),
    Planted("a reconciler who cannot wake", missing("samara-reconcile-sends-train"), ("rights",)),
    Planted("an identity that two share",
            inside("samara-feedback", "identity", userAssignedIdentities=["${samara-predict-identity#id}"]),
            ("apart", "least privilege", "rights")),
    Planted("a plan that two share", setting("samara-feedback", serverFarmId="${samara-predict-plan#id}"), ("apart",)),
    Planted("events that may not arrive", missing("samara-validate-events-arrive"), ("rights", "wakes")),
    Planted("events that nobody hears", missing("samara-validate-listens-validate"), ("rights", "wakes")),
    Planted("events about deletions",
            inside("samara-ingest-events", "filter", includedEventTypes=["Microsoft.Storage.BlobDeleted"]),
            ("wakes",)),
    Planted("events about too much", inside("samara-train-events", "filter", advancedFilters=[]), ("no echo", "wakes")),
    Planted("an app that knows no queues", forgetting("samara-train", "BUS__queueServiceUri"), ("wakes",)),
    Planted("a timer without a host", forgetting("samara-drift", "AzureWebJobsStorage__credential"), ("wakes",)),
    Planted("events without dead letters", dropping("samara-ingest-events", "deadLetterWithResourceIdentity"),
            ("dead letters",)),
    Planted("poison that nobody hears of", missing("samara-deadletter-listens-train-poison"),
            ("dead letters", "rights")),
    Planted("poison that cannot be put away", missing("samara-register-sends-register-poison"),
            ("dead letters", "rights")),
    Planted("a queue that is missing", missing("samara-queue-train-poison"), ("dead letters", "rights")),
    Planted("versions kept for ever", inside("samara-data-forgets", "policy", rules=[]), ("retention",)),
    Planted("no versions", setting("samara-data-keeps", isVersioningEnabled=False), ("retention",)),
    Planted("logs for as long as may be", dropping("samara-logs", "retentionInDays"), ("retention",)),
    Planted("a tag that is missing", dropping("samara-train-plan", "tags"), ("tags",)),
    Planted("a name that is too long", setting("samara-data-account", accountName="a" * 25), ("names",)),
    Planted("an app always ready",
            lambda graph: graph.editing("samara-predict", lambda given: given["functionAppConfig"][
                "scaleAndConcurrency"].update(alwaysReady=[{"name": "http", "instanceCount": 1}])),
            ("no standing charge",)),
    Planted("a plan by the hour", setting("samara-predict-plan", sku={"name": "EP1"}), ("no standing charge",)),
    Planted("a registry", extra("azure-native:containerregistry:Registry", "planted"), ("no standing charge",)),
    Planted("a dedicated machine",
            setting("samara-jobs-environment", workloadProfiles=[{"workloadProfileType": "D4"}]),
            ("no standing charge",)),
)  # fmt: skip
