"""What things are called, and which settings a deployed function gets. The same on every cloud."""

from collections.abc import Mapping
from typing import TypeVar

from infra.config import Stack
from infra.hosts import host_of
from samara.catalogue import Function

RECONCILE = "reconcile"  # wakes others and asks after their jobs, so it is told of the bus and of the batch service
TO_TRY = (
    "samara publish PROJECT",
    "samara upload FILE --dataset DATASET",
    "samara status",
)
Text = TypeVar("Text")


def named(stack: Stack, *parts: str) -> str:
    """The name of one thing of this stack.

    >>> named(Stack(cloud="aws", region="eu-central-1"), "train", "role")
    'samara-train-role'
    """
    return "-".join((stack.name, *parts))


def tags(stack: Stack, of: str = "") -> dict[str, str]:
    """By which everything of this stack is found again and its bill is split; `of` is a function of the catalogue."""
    return {**stack.tags, "samara": stack.name, **({"samara-function": of} if of else {})}


def needs_jobs(function: Function) -> bool:
    """Whether it talks to the batch service: those that submit a job, and the one that asks what became of it."""
    return function.job is not None or function.name == RECONCILE


def variables(
    stack: Stack, function: Function, *, store: Text, jobs: Text, code: Text, bus: Text
) -> dict[str, Text | str]:
    """The settings of `function` (`samara.settings`): each function is told no more than it needs."""
    needed: Mapping[str, Text] = {
        "SAMARA_STORE": store,
        **({"SAMARA_JOBS": jobs, "SAMARA_CODE": code} if needs_jobs(function) else {}),
        **({"SAMARA_BUS": bus} if function.name == RECONCILE else {}),
    }
    return {"SAMARA_PROVIDER": host_of(function, stack.cloud).provider, "SAMARA_FUNCTION": function.name, **needed}


def code_key(package: str, digest: str) -> str:
    """Where a package lies in the bucket: by its content, so that what runs never changes under it."""
    return f"code/{package}/{digest}.zip"
