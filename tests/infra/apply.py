"""Creates what a recorded graph says on the emulators of AWS, with exactly the inputs that the program gave.

A resource is created once everything is there that it mentions or depends on, and as late as possible among the
others: of two that the program leaves unordered, the one that it names last comes first, so that a dependency which
is only hoped for shows. A type nobody has a rule for, an input that no rule takes and an output that no rule knows
are refused: what is not tried here must not look as if it were.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from tests.infra import aws_lookups, aws_resources
from tests.infra.graph import TOKEN, Graph, Resource


class Unapplied(Exception):
    """Reads `resource: why`."""

    def __init__(self, resource: Resource, why: str) -> None:
        super().__init__(f"{resource.name} ({resource.type}): {why}")


@dataclass(frozen=True)
class Applied:
    """A graph that is there now."""

    outputs: dict[str, dict[str, Any]] = field(default_factory=dict)  # of each resource, by its logical name
    exports: dict[str, Any] = field(default_factory=dict)

    def id(self, name: str) -> str:
        """What the cloud calls the resource of that logical name."""
        found: str = self.outputs[name]["id"]
        return found


def apply(graph: Graph) -> Applied:
    """Create everything in `graph`."""
    applied = Applied()
    for one in graph.entries:
        if not one.urn:
            applied.outputs[one.name] = looked_up(one)
    for one in in_order(graph):
        applied.outputs[one.name] = created(one, resolved(one, one.inputs, applied.outputs))
    exporting = next((one for one in graph.entries if one.type == "pulumi:pulumi:Stack"), None)
    if exporting:
        applied.exports.update(resolved(exporting, exporting.inputs, applied.outputs))
    return applied


def in_order(graph: Graph) -> Iterator[Resource]:
    """The things in the cloud, each behind all that it needs."""
    waiting = {one.urn: (one, needs(one, graph)) for one in graph.resources}
    while waiting:
        ready = [one for one, needed in waiting.values() if not needed & set(waiting)]
        if not ready:
            one = next(iter(waiting.values()))[0]
            raise Unapplied(one, f"waits for what waits for it; so do {len(waiting) - 1} others")
        waiting.pop(ready[-1].urn)
        yield ready[-1]


def needs(one: Resource, graph: Graph) -> set[str]:
    """The URNs of what must be there before: what it mentions, depends on, or is a part of."""
    mentioned = {name for name, _ in one.refers_to}
    return {other.urn for other in graph.resources if other.name in mentioned} | {*one.depends_on, one.parent}


def looked_up(one: Resource) -> dict[str, Any]:
    """What the program was not told but asks the cloud for."""
    if one.type not in aws_lookups.ANSWERS:
        raise Unapplied(one, "no answer is known; add one to aws_lookups.ANSWERS")
    return aws_lookups.ANSWERS[one.type](one.inputs)


def created(one: Resource, given: dict[str, Any]) -> dict[str, Any]:
    """Create `one`. Its outputs, among which its inputs count."""
    if one.type not in aws_resources.RULES:
        raise Unapplied(one, "no rule creates this; add one to aws_resources.RULES")
    inputs = aws_resources.Inputs(given)
    try:
        outputs = aws_resources.RULES[one.type](one.name, inputs)
    except (BotoCoreError, ClientError) as refused:
        raise Unapplied(one, str(refused)) from refused
    if left := inputs.left():
        raise Unapplied(one, f"nothing was done with {', '.join(left)}")
    return {**given, **outputs}


def resolved(one: Resource, value: Any, outputs: Mapping[str, Mapping[str, Any]]) -> Any:
    """`value` with what the cloud now knows in the place of tokens."""
    if isinstance(value, dict):
        return {name: resolved(one, inner, outputs) for name, inner in value.items()}
    if isinstance(value, list):
        return [each for inner in value for each in spliced(inner, resolved(one, inner, outputs))]
    if not isinstance(value, str):
        return value
    if whole := TOKEN.fullmatch(value):
        return output(one, whole[1], whole[2], outputs)
    return TOKEN.sub(lambda token: str(output(one, token[1], token[2], outputs)), value)


def spliced(token: Any, value: Any) -> list[Any]:
    """A token in a list may stand for many."""
    return value if isinstance(token, str) and isinstance(value, list) else [value]


def output(one: Resource, name: str, path: str, outputs: Mapping[str, Mapping[str, Any]]) -> Any:
    found: Any = outputs.get(name)
    if found is None:
        raise Unapplied(one, f"mentions {name}, which is not there")
    for step in path.split("."):
        if not isinstance(found, Mapping) or step not in found:
            raise Unapplied(one, f"wants {path} of {name}, which is not among its outputs; add it to its rule")
        found = found[step]
    return found
