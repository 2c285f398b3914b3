"""Where everything lies: the resource group, the logs, and the roles by which apps get what they need and no more.

Azure's ready-made roles for blobs are too wide: who may write may also delete. So there is a role for each verb of the
catalogue, and a condition on each assignment says under which prefixes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_azure_native import applicationinsights, authorization, managedidentity, operationalinsights, resources

from infra.config import Stack
from infra.names import named, tags
from samara.core.digests import short

BLOBS = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs"
QUEUES = "Microsoft.Storage/storageAccounts/queueServices/queues"
READ, ADD, WRITE, DELETE = (f"{BLOBS}/{verb}" for verb in ("read", "add/action", "write", "delete"))
LONGEST_CONDITION = 8192
READY_MADE = {
    "Storage Blob Data Owner": "b7e6dc6d-f1e8-4753-8033-0f276bb0955b",
    "Storage Blob Data Contributor": "ba92f5b4-2d11-453d-a403-e96b0029c9fe",
    "Storage Queue Data Message Sender": "c6a89b2d-59bc-44d0-9896-0f6e12d7b80a",
    "Monitoring Metrics Publisher": "3913510d-42f4-4e42-8a64-420c390055eb",
}


@dataclass(frozen=True, slots=True)
class Role:
    """What a role of ours allows: `actions` on the resource, `data` on what is in it. To read is to list, too, unless
    it `only_looks`."""

    data: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    only_looks: bool = False


ROLES = {
    "reads": Role(data=(READ,)),
    "creates": Role(data=(ADD,)),  # cannot overwrite
    # the same in blocks, for which Azure asks the right to write; whether an object is there, only a look tells
    "uploads": Role(data=(READ, ADD, WRITE), only_looks=True),
    "swaps": Role(data=(READ, ADD, WRITE, DELETE)),
    "listens": Role(
        actions=(f"{QUEUES}/read",),
        # "process" gets and deletes; while it works, the host also moves the time when a message is seen again
        data=tuple(f"{QUEUES}/messages/{verb}" for verb in ("read", "process/action", "write")),
    ),
    "submits": Role(
        actions=(
            "Microsoft.App/jobs/read",
            "Microsoft.App/jobs/write",
            "Microsoft.App/jobs/start/action",
            "Microsoft.App/jobs/executions/read",
            "Microsoft.App/managedEnvironments/join/action",
            "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action",
        )
    ),
    "asks": Role(actions=("Microsoft.App/jobs/read", "Microsoft.App/jobs/executions/read")),
}


class Place(pulumi.ComponentResource):
    """Two groups: what a submitter may do ends at the second, in which there are jobs alone."""

    def __init__(self, stack: Stack) -> None:
        super().__init__("samara:azure:Place", named(stack, "place"))
        self.stack, self.mine = stack, pulumi.ResourceOptions(parent=self)
        self.group = self._group(stack.name)
        self.jobs_group = self._group(named(stack, "jobs"))
        self.logs = operationalinsights.Workspace(
            named(stack, "logs"),
            workspace_name=named(stack, "logs"),
            resource_group_name=self.group.name,
            location=stack.region,
            sku=operationalinsights.WorkspaceSkuArgs(name=operationalinsights.WorkspaceSkuNameEnum.PER_GB2018),
            retention_in_days=max(30, stack.log_days),  # Azure keeps them that long anyway, at no charge
            features=operationalinsights.WorkspaceFeaturesArgs(disable_local_auth=True),
            tags=tags(stack),
            opts=self.mine,
        )
        self.insights = applicationinsights.Component(
            named(stack, "insights"),
            resource_name_=named(stack, "insights"),
            resource_group_name=self.group.name,
            location=stack.region,
            kind="web",
            application_type=applicationinsights.ApplicationType.WEB,
            workspace_resource_id=self.logs.id,
            disable_local_auth=True,
            tags=tags(stack),
            opts=self.mine,
        )
        self.roles = {does: self._role(does, role) for does, role in ROLES.items()}
        self.register_outputs({"group": self.group.name})

    def identity(self, *parts: str, opts: pulumi.ResourceOptions) -> managedidentity.UserAssignedIdentity:
        name = named(self.stack, *parts, "identity")
        return managedidentity.UserAssignedIdentity(
            name,
            resource_name_=name,
            resource_group_name=self.group.name,
            location=self.stack.region,
            tags=tags(self.stack, parts[0]),
            opts=opts,
        )

    def let(
        self, name: str, principal: pulumi.Input[str], role: str, on: pulumi.Input[str], *,
        only: str = "", opts: pulumi.ResourceOptions,
    ) -> authorization.RoleAssignment:  # fmt: skip
        """A role, one of ours or ready-made, for `principal` on one resource, or `only` on some of what is in it."""
        ours = self.roles.get(role)
        definition = ours.id if ours else self._ready_made(role)
        assert len(only) <= LONGEST_CONDITION, f"{name} has more prefixes than a condition holds"  # noqa: S101
        return authorization.RoleAssignment(
            name,
            scope=on,
            principal_id=principal,
            principal_type=authorization.PrincipalType.SERVICE_PRINCIPAL,
            role_definition_id=definition,
            condition=only or None,
            condition_version="2.0" if only else None,
            opts=opts,
        )

    def _ready_made(self, role: str) -> str:
        subscription = f"/subscriptions/{self.stack.project}"
        return f"{subscription}/providers/Microsoft.Authorization/roleDefinitions/{READY_MADE[role]}"

    def _group(self, name: str) -> resources.ResourceGroup:
        return resources.ResourceGroup(
            f"{name}-group",
            resource_group_name=name,
            location=self.stack.region,
            tags=tags(self.stack),
            opts=pulumi.ResourceOptions(parent=self, protect=self.stack.protect),
        )

    def _role(self, does: str, role: Role) -> authorization.RoleDefinition:
        group = self.jobs_group if does in ("submits", "asks") else self.group
        return authorization.RoleDefinition(
            named(self.stack, "role", does),
            role_name=f"{unique(self.stack, self.stack.name)} {does}",  # one of a kind among all of a directory
            description=f"Samara: {does}, under the prefixes that each assignment names",
            scope=group.id,
            assignable_scopes=[group.id],
            permissions=[authorization.PermissionArgs(actions=list(role.actions), data_actions=list(role.data))],
            opts=self.mine,
        )


def unique(stack: Stack, name: str) -> str:
    """`name` with an end that no other subscription has: Azure wants some names to be alone in the world."""
    return f"{name}-{short(stack.project, stack.name)[:6]}"


def storage_name(stack: Stack, what: str) -> str:
    """What a storage account may be called: at most 24 letters and digits, alone in the world."""
    return f"{stack.name}{what}".replace("-", "")[:16] + short(stack.project, stack.name, what)[:8]


def under(prefixes: Sequence[str], role: Role) -> str:
    """The condition that a role is used under one of these prefixes; for listing, by what it asks for."""
    path = any_of(f"@Resource[{BLOBS}:path]", prefixes)
    asked = any_of(f"@Request[{BLOBS}:prefix]", prefixes)
    lists = f"(!(ActionMatches{{'{READ}'}} AND SubOperationMatches{{'Blob.List'}}))"
    parts = []
    for action in role.data:
        if action == READ:
            parts.append(f"((!(ActionMatches{{'{READ}'}} AND NOT SubOperationMatches{{'Blob.List'}})) OR ({path}))")
            parts.append(lists if role.only_looks else f"({lists} OR ({asked}))")
        else:
            parts.append(f"((!(ActionMatches{{'{action}'}})) OR ({path}))")
    return " AND ".join(parts)


def any_of(attribute: str, prefixes: Sequence[str]) -> str:
    """
    >>> any_of("@it", ["a/", "b/"])
    "@it StringStartsWith 'a/' OR @it StringStartsWith 'b/'"
    """
    return " OR ".join(f"{attribute} StringStartsWith '{prefix}'" for prefix in prefixes)
