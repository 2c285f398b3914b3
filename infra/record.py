r"""Run the Pulumi program and write down what it would create, as a symbolic graph in JSON.

    PYTHONPATH=.:shared infra/.venv/bin/python -m infra.record \
      '{"samara:cloud": "aws", "samara:region": "eu-central-1"}' > graph.json

Each entry has `type`, `name`, `urn`, `inputs`, `depends_on` (URNs), `parent` (a URN) and `protect`. What only the cloud
will know is a token: `${samara-bucket#arn}` is the output `arn` of the resource of that name, and inside an output
the path goes on, as in `${app#identity.principalId}`. A list of which only the cloud knows the length is a list of
one token, to be spliced in. What the program looks up is an entry without a URN, whose tokens begin with its name.
The outputs of the stack are the `inputs` of its own entry, of type `pulumi:pulumi:Stack`.
"""

import asyncio
import json
import os
import sys
import tempfile
import typing
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pulumi
from pulumi import _types
from pulumi.runtime import mocks, rpc, settings
from pulumi.runtime.proto import resource_pb2
from pulumi.runtime.stack import run_in_stack

from infra.package import names
from infra.program import run
from samara.errors import SamaraError

DEEPEST = 3  # how far into nested outputs tokens reach
Values = dict[str, Any]


class Cloud(mocks.Mocks):
    """Answers every question with a token for the answer."""

    def __init__(self) -> None:
        self.lookups: dict[str, Values] = {}

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str, Values]:
        outputs = _types.resource_types(class_of(args.typ)) if args.custom else {}
        return f"${{{args.name}#id}}", unknown(f"{args.name}#", outputs, args.inputs)

    def call(self, args: mocks.MockCallArgs) -> tuple[Values, list[tuple[str, str]]]:
        name = args.token if not args.args else f"{args.token}({json.dumps(args.args, sort_keys=True)[1:-1]})"
        name = name.replace('"', "").replace("{", "<").replace("}", ">")
        self.lookups[name] = {"type": args.token, "inputs": args.args}
        return unknown(f"{name}#", answer_of(args.token), args.args), []


class Monitor(mocks.MockMonitor):
    """Writes down every registration, with what the mocks are not told: dependencies, parents and protection."""

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud)
        self.entries: list[Values] = []

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802  # gRPC's name
        if request.type == "pulumi:pulumi:Stack":
            urn = self.make_urn("", request.type, request.name)
            if all(entry["urn"] != urn for entry in self.entries):  # the mocks come with one of their own
                self._note(request, urn, {})
            return resource_pb2.RegisterResourceResponse(urn=urn)
        reply: Any = super().RegisterResource(request)  # type: ignore[no-untyped-call]  # Pulumi's
        self._note(request, reply.urn, plain(rpc.deserialize_properties(request.object)))
        return reply

    def RegisterResourceOutputs(self, request: Any) -> Any:  # noqa: N802  # gRPC's name
        for entry in self.entries:
            if entry["urn"] == request.urn and entry["type"] == "pulumi:pulumi:Stack":
                entry["inputs"] = plain(rpc.deserialize_properties(request.outputs))
        return super().RegisterResourceOutputs(request)  # type: ignore[no-untyped-call]  # Pulumi's

    def _note(self, request: Any, urn: str, inputs: Values) -> None:
        self.entries.append({
            "type": request.type,
            "name": request.name,
            "urn": urn,
            "inputs": inputs,
            "depends_on": sorted(request.dependencies),
            "parent": request.parent,
            "protect": bool(request.protect),
        })  # fmt: skip


def unknown(path: str, outputs: dict[str, Any], given: Values) -> Values:
    """`given`, and a token for each of the `outputs` that is not among it."""
    return {**given, **{name: value for name, value in tokens(path, outputs, given) if value is not None}}


def tokens(path: str, outputs: dict[str, Any], given: Values, deep: int = 0) -> Iterator[tuple[str, Any]]:
    """(output, token) for what is text, a list of texts or an object of such."""
    for name, kind in outputs.items():
        said = given.get(name)
        if _types.is_output_type(kind) and isinstance(said, dict | None) and deep < DEEPEST:
            inner = dict(tokens(f"{path}{name}.", _types.output_type_types(kind), said or {}, deep + 1))
            yield name, {**(said or {}), **inner}
        elif typing.get_origin(kind) in (dict, Mapping) and isinstance(said, list):
            yield name, {str(one): {} for one in said}  # Azure is given a list of identities, and tells of each
        elif said is None and kind is str:
            yield name, f"${{{path}{name}}}"
        elif said is None and typing.get_origin(kind) in (list, Sequence) and typing.get_args(kind) == (str,):
            yield name, [f"${{{path}{name}}}"]


@cache
def class_of(token: str) -> type:
    """The class of the resources of that type."""
    found = [one for one in below(pulumi.CustomResource) if getattr(one, "pulumi_type", "") == token]
    return found[0] if found else pulumi.CustomResource


def below(parent: type) -> Iterator[type]:
    child: type
    for child in parent.__subclasses__():
        yield child
        yield from below(child)


def answer_of(token: str) -> dict[str, Any]:
    """What the lookup of that name answers with: the properties of its result class, by Pulumi's names."""
    wanted = token.rsplit(":", 1)[-1]
    wanted = f"{wanted[0].upper()}{wanted[1:]}Result"
    package = "pulumi_" + token.split(":", 1)[0].replace("-", "_")
    for name, module in list(sys.modules.items()):
        if name.startswith(package) and (found := vars(module).get(wanted)) is not None:
            return dict(_types.output_type_types(found))
    return {}


def plain(value: Any) -> Any:  # noqa: PLR0911  # one answer for each kind of value
    """As JSON: files by their path, whole numbers as such."""
    match value:
        case dict():
            return {name: plain(one) for name, one in value.items()}
        case list():
            return [plain(one) for one in value]
        case float() if value.is_integer():
            return int(value)
        case pulumi.FileAsset() | pulumi.FileArchive():
            return {"file": str(value.path)}
        case pulumi.StringAsset():
            return {"text": value.text}
        case pulumi.AssetArchive():
            return {"files": plain(value.assets)}
        case pulumi.Resource():
            return f"${{{value._name}#id}}"
    return value


def record(configuration: dict[str, Any]) -> list[Values]:
    """The graph of the stack with that configuration."""
    given = {key: value if isinstance(value, str) else json.dumps(value) for key, value in configuration.items()}
    os.environ["PULUMI_CONFIG"] = json.dumps(given)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    cloud = Cloud()
    monitor = Monitor(cloud)
    mocks.set_mocks(cloud, project="samara", stack="test", preview=False, monitor=monitor)
    settings.set_root_resource(None)  # type: ignore[arg-type]  # so that the program's own stack is a new one
    loop.run_until_complete(run_in_stack(run))
    looked_up = [
        {"name": name, "urn": "", "depends_on": [], "parent": "", "protect": False, **one}
        for name, one in cloud.lookups.items()
    ]
    return [*looked_up, *monitor.entries]


def with_stand_ins(configuration: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The configuration with packages that are not there, if it names none: for what a graph says of them, their
    names are enough."""
    listed = {name: {"path": f"{name}.zip", "digest": f"{number:064x}"} for number, name in enumerate(names(), 1)}
    manifest = folder / "packages.json"
    manifest.write_text(json.dumps(listed))
    return {"samara:packages": str(manifest), **configuration}


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="samara-record-") as folder:
        try:
            graph = record(with_stand_ins(json.loads(sys.argv[1]), Path(folder)))
        except (SamaraError, pulumi.RunError) as error:
            sys.exit(str(error))
    json.dump(graph, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
