"""Who may do what in which managed folder of a bucket, as Google's roles say. Who says nothing of itself owns all.

A client that speaks as somebody has `/as/{email}` behind the address of this server, in the place of a token. A role of
one's own comes with its `permissions` in the binding, for there is no IAM here that would know them.
"""

from collections import defaultdict
from typing import Any

from tests.emulators.gcs_protocol import Refusal

GRANTS = {
    "roles/storage.objectViewer": {"get", "list"},
    "roles/storage.objectCreator": {"create"},
    "roles/storage.objectUser": {"create", "delete", "get", "list", "update"},
}


class Permissions:
    def __init__(self) -> None:
        self._folders: dict[str, set[str]] = defaultdict(set)
        self._bindings: dict[tuple[str, str], list[tuple[set[str], str]]] = {}

    def fold(self, bucket: str, name: str) -> None:
        if not name.endswith("/"):
            raise Refusal(400, "invalid", "The name of a managed folder ends with a slash.")
        self._folders[bucket].add(name)

    def bind(self, bucket: str, folder: str, policy: dict[str, Any]) -> None:
        """Instead of what was bound there before."""
        if folder not in self._folders[bucket]:
            raise Refusal(404, "notFound", "The specified managed folder does not exist.")
        self._bindings[bucket, folder] = [
            (granted(one), member) for one in policy["bindings"] for member in one["members"]
        ]

    def check(self, who: str, permission: str, bucket: str, name: str) -> None:
        if who and not self._may(who, permission, bucket, name):
            message = f"{who} does not have storage.objects.{permission} access to the Google Cloud Storage object."
            why = f"Permission 'storage.objects.{permission}' denied on resource (or it may not exist)."
            raise Refusal(403, "forbidden", f"{message} {why}")

    def _may(self, who: str, permission: str, bucket: str, name: str) -> bool:
        return any(
            permission in permissions and member == f"serviceAccount:{who}"
            for folder in self._folders[bucket] if name.startswith(folder)
            for permissions, member in self._bindings.get((bucket, folder), ())
        )  # fmt: skip


def granted(binding: dict[str, Any]) -> set[str]:
    """What who is bound to that role may do with objects."""
    if binding["role"] not in GRANTS and "permissions" not in binding:
        raise Refusal(501, "notImplemented", f"This emulator does not know {binding['role']}.")
    own = {name.removeprefix("storage.objects.") for name in binding.get("permissions", ())}
    return GRANTS.get(binding["role"], own)
