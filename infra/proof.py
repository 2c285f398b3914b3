"""Does a package hold all that it imports? Asked of the package itself, in a process that sees nothing else."""

import json
import platform
import subprocess
import tempfile
import zipfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from functions.catalogue import CATALOGUE
from infra import dists
from infra.dists import Target
from infra.hosts import host_of
from samara.catalogue import named
from samara.errors import Misconfigured

VENDORED = ".python_packages/lib/site-packages"  # where Azure's worker looks
MACHINES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}
STORES = {"aws": "s3://bucket", "gcp": "gs://bucket", "azure": "az://account/container"}
PROGRAM = """
import importlib, json, sys
sys.path[:0] = sys.argv[1].split(":")
for name in sys.argv[2:]:
    importlib.import_module(name)
json.dump(sorted(sys.modules), sys.stdout)
"""


def runs_here(target: Target) -> bool:
    """Whether this machine can run what is built for `target`."""
    if MACHINES.get(platform.machine().lower()) != target.machine or platform.system() != "Linux":
        return False
    try:
        dists.interpreter(target.python)
    except Misconfigured:
        return False
    return True


def imported(package: Path, name: str, target: Target) -> list[str]:
    """The modules that are loaded once the function, or job, of that name could begin its work."""
    with tempfile.TemporaryDirectory(prefix="samara-proof-") as folder:
        zipfile.ZipFile(package).extractall(folder)
        provider = target.cloud if name.endswith("-job") else host_of(named(CATALOGUE, name), target.cloud).provider
        setting = {"PROVIDER": provider, "STORE": STORES[target.cloud], "FUNCTION": name}
        ran = alone(Path(folder), target, setting, PROGRAM, *entrances(name, target.cloud))
    if ran.returncode:
        why = ran.stderr.strip().splitlines()[-1:] or ["it ended without a word"]
        raise Misconfigured(package.name, f"cannot start, for {why[0]}; what it lacks belongs into its extra")
    modules: list[str] = json.loads(ran.stdout)
    return modules


def entrances(name: str, cloud: str) -> tuple[str, ...]:
    """What a cloud imports to start it, and what that imports at the first event."""
    if name.endswith("-job"):
        jobs = (function.job.module for function in CATALOGUE if function.job)
        return *jobs, f"functions.{name.removesuffix('-job')}.fit", f"samara.providers.{cloud}"
    host = host_of(named(CATALOGUE, name), cloud)
    loop = ("samara.hosts.aws_loop",) if host.wrapper else ()
    return host.module, *loop, f"functions.{name}.handler", f"samara.providers.{host.provider}"


def alone(
    folder: Path, target: Target, setting: Mapping[str, str], program: str, *arguments: str
) -> subprocess.CompletedProcess[str]:
    """`program` with an unpacked package and Python's own to import, and nothing in its environment but ours."""
    path = f"{folder}:{folder / VENDORED}"
    return subprocess.run(  # noqa: S603  # a Python that `interpreter` found
        [dists.interpreter(target.python), "-I", "-S", "-c", program, path, *arguments],
        env={f"SAMARA_{name}": value for name, value in setting.items()},
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip


def heaviest(modules: list[str]) -> tuple[str, int]:
    """The package that most of the modules are of."""
    return Counter(module.partition(".")[0] for module in modules).most_common(1)[0]
