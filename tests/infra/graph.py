"""A recorded graph, as tests read it: resources by type and name, tokens that point from one to another."""

import copy
import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from functions.catalogue import CATALOGUE

ROOT = Path(__file__).parents[2]
PYTHON = os.environ.get("INFRA_PYTHON", str(ROOT / "infra/.venv/bin/python"))
TOKEN = re.compile(r"\$\{([^#{}]+)#([^{}]+)\}")
STACK = "pulumi:pulumi:Stack"


@dataclass(frozen=True, slots=True)
class Resource:
    """One entry. `inputs` are in Pulumi's own names, which are camel case."""

    type: str
    name: str
    urn: str
    inputs: dict[str, Any]
    depends_on: tuple[str, ...] = ()
    parent: str = ""
    protect: bool = False

    def document(self, name: str) -> dict[str, Any]:
        """The input of that name that is JSON in a text, or is it already."""
        given = self.inputs.get(name) or {}
        return dict(json.loads(given)) if isinstance(given, str) else dict(given)

    @property
    def refers_to(self) -> set[tuple[str, str]]:
        """Every (name, output) that its inputs mention."""
        return set(TOKEN.findall(json.dumps(self.inputs)))

    @property
    def custom(self) -> bool:
        """Whether it is a thing in the cloud, rather than a component, a provider or a lookup."""
        return bool(self.urn) and not self.type.startswith(("pulumi:", "samara:"))


@dataclass(frozen=True, slots=True)
class Graph:
    """Every entry, in the order the program registered them."""

    entries: tuple[Resource, ...]

    @property
    def resources(self) -> tuple[Resource, ...]:
        """The things in the cloud."""
        return tuple(one for one in self.entries if one.custom)

    @property
    def outputs(self) -> dict[str, Any]:
        """What the stack exports."""
        return next(one.inputs for one in self.entries if one.type == STACK)

    def of(self, *types: str) -> tuple[Resource, ...]:
        return tuple(one for one in self.entries if one.type in types)

    def named(self, name: str) -> Resource:
        """The one thing in the cloud of that logical name."""
        (found,) = (one for one in self.resources if one.name == name)
        return found

    def pointing_at(self, target: Resource, *types: str) -> tuple[Resource, ...]:
        """Those of these types whose inputs mention an output of `target`."""
        return tuple(one for one in self.of(*types) if target.name in {name for name, _ in one.refers_to})

    def editing(self, name: str, edit: Callable[[dict[str, Any]], object]) -> "Graph":
        """A copy in which `edit` changed the inputs of the resource of that name: for planting mistakes."""
        changed = copy.deepcopy(self.named(name).inputs)
        edit(changed)
        swapped = (replace(one, inputs=changed) if one.custom and one.name == name else one for one in self.entries)
        return Graph(tuple(swapped))

    def without(self, name: str) -> "Graph":
        """A copy in which that resource is missing."""
        gone = self.named(name)
        return Graph(tuple(one for one in self.entries if one is not gone))

    def adding(self, kind: str, name: str, **inputs: Any) -> "Graph":
        """A copy with one more resource."""
        return Graph((*self.entries, Resource(kind, name, f"urn:pulumi:test::samara::{kind}::{name}", inputs)))


def load(text: str) -> Graph:
    """The graph that `infra.record` wrote."""
    return Graph(tuple(
        Resource(**{**entry, "depends_on": tuple(entry["depends_on"])}) for entry in json.loads(text)
    ))  # fmt: skip


def record(cloud: str, region: str, packages: Path, **settings: Any) -> Graph:
    """Run the program for `cloud` in infra's own environment, with these settings of the stack, and read its graph."""
    given = {"cloud": cloud, "region": region, "packages": str(packages), **settings}
    configuration = json.dumps({f"samara:{name}": value for name, value in given.items()})
    return load(_recorded(configuration))


@cache
def _recorded(configuration: str) -> str:
    home = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'shared'}"}
    done = subprocess.run(
        [PYTHON, "-m", "infra.record", configuration],
        cwd=ROOT, env=home, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(done.stderr[-4000:])
    return done.stdout


def stand_ins(folder: Path) -> Path:
    """A manifest of packages that weigh nothing: for what a graph says, only their paths and digests matter."""
    names = [f.name for f in CATALOGUE] + [f"{f.name}-job" for f in CATALOGUE if f.job]
    for name in names:
        (folder / f"{name}.zip").write_bytes(name.encode())
    listed = {name: {"path": f"{name}.zip", "digest": f"{number:064x}"} for number, name in enumerate(names, 1)}
    manifest = folder / "packages.json"
    manifest.write_text(json.dumps(listed))
    return manifest


def walk(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """(path, value) for everything inside."""
    yield path, value
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in pairs:
        yield from walk(inner, f"{path}.{name}".lstrip("."))
