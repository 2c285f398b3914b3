"""One zip for each function and each job, for one cloud, one Python and one machine: what a cloud runs.

All of `samara` and `functions` is in each, so that the code digest which records carry is the same everywhere, with the
distributions of the extras of the function and of the cloud, or of its lean host.
The same input makes the same bytes. One that is heavier than its entry in the catalogue allows is not built, and
what makes it heavy is named.

    python -m infra.package --cloud aws --machine arm64 --only predict
"""

import argparse
import hashlib
import json
import platform
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from functions.catalogue import CATALOGUE
from infra import archive, dists, hosts, proof
from infra.archive import Entry
from infra.dists import ROOT, Part, Target
from infra.proof import VENDORED
from samara.app import PACKED, code_digest
from samara.catalogue import named, submitter
from samara.errors import Misconfigured, SamaraError

__all__ = ["Package", "Target", "build", "build_all"]

LAMBDA_UNZIPPED, UNZIPPED = 262_144_000, 400_000_000  # Lambda's limit, with all layers, and ours where none is as low
JOB_ZIP_MB, JOB_UNZIPPED = 200, 800_000_000  # fetched once for a training, onto a machine with a disk
PARQUET_ZIP_MB = 40  # what predict may have more where it is to read Parquet
MB = 10**6
OUT = ROOT / "build"
PYTHON = "3.13"
FRAMEWORK = "functions-framework"  # on Google the platform's own, beside the zip
HOST = {
    "version": "2.0",
    "extensionBundle": {"id": "Microsoft.Azure.Functions.ExtensionBundle", "version": "[4.*, 5.0.0)"},
    "extensions": {"queues": {"maxDequeueCount": 5, "messageEncoding": "base64"}, "http": {"routePrefix": ""}},
}


@dataclass(frozen=True, slots=True)
class Package:
    """A zip that is ready to go up. `digest` is the SHA-256 of its bytes; the sizes are in bytes.

    `modules` is how many a start loads, where this machine can run it.
    """

    name: str
    target: Target
    path: Path
    digest: str
    zipped: int
    unzipped: int
    modules: int | None = None


@dataclass(frozen=True, slots=True)
class Budget:
    zipped: int
    unzipped: int
    modules: int


def build_all(target: Target, out: Path, precompile: bool = True) -> dict[str, Package]:
    """Every package of the catalogue by name, and beside them `packages.json`, by which they can be deployed later."""
    built = {name: build(name, target, out, precompile) for name in names()}
    listed = {name: {"path": package.path.name, "digest": package.digest} for name, package in built.items()}
    (folder(target, out) / "packages.json").write_text(json.dumps(listed, indent=2) + "\n")
    return built


def names() -> list[str]:
    """Every function, and what all jobs run from, as `{function}-job` after the first that submits one."""
    first = submitter(CATALOGUE).name
    return [name for f in CATALOGUE for name in ((f.name, f"{f.name}-job") if f.name == first else (f.name,))]


def build(name: str, target: Target, out: Path, precompile: bool = True) -> Package:
    """The package of that name, within its budget and, where this machine can run it, proven to start."""
    if target.cloud not in hosts.HOSTS:
        raise Misconfigured(target.cloud, f"no cloud we package for; choose one of {', '.join(hosts.HOSTS)}")
    if name not in names():
        raise Misconfigured(name, f"no such package; there are {', '.join(names())}")
    compiler = dists.interpreter(target.python) if precompile else ""
    content, parts = assembled(name, target, compiler)
    held_to_sizes(name, content, parts, budget(name, target))
    path = folder(target, out) / f"{name}.zip"
    archive.write(path, content)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    package = Package(name, target, path, digest, path.stat().st_size, sum(entry.size for entry in content))
    if not proof.runs_here(target):
        return package
    loaded = proof.imported(path, name, target)
    held_to_modules(name, loaded, budget(name, target))
    return replace(package, modules=len(loaded))


def assembled(name: str, target: Target, compiler: str) -> tuple[list[Entry], list[Part]]:
    """All that is in the package, and the distributions among it."""
    extras = hosts.extras(name, target.cloud, parquet=target.parquet)
    wanted = [line for line in dists.requirements(extras) if not line.startswith(FRAMEWORK)]
    parts = dists.parts(wanted, target, compiler, name)
    return [*code(compiler), *front(name, target), *vendored(parts, name, target)], parts


def folder(target: Target, out: Path) -> Path:
    return out / f"{target.cloud}-python{target.python}-{target.machine}{'-parquet' * target.parquet}"


@cache
def code(compiler: str) -> tuple[Entry, ...]:
    """Our own: every file that `samara.app.code_digest` sees, its bytecode, and what that digest is."""
    with tempfile.TemporaryDirectory(prefix="samara-part-") as name:
        for home, source in (("samara", ROOT / "shared/samara"), ("functions", ROOT / "functions")):
            for path in source.rglob("*"):
                if path.is_file() and "__pycache__" not in path.parts:
                    copy = Path(name) / home / path.relative_to(source)
                    copy.parent.mkdir(parents=True, exist_ok=True)
                    copy.write_bytes(path.read_bytes())
        dists.compiled(Path(name), compiler)
        (Path(name) / "samara" / PACKED).write_text(code_digest())
        return tuple(archive.entries(Path(name)))


def front(name: str, target: Target) -> list[Entry]:
    """The few files by which a cloud's runtime finds the function. A job is told its module, and needs none."""
    if name.endswith("-job"):
        return []
    if target.cloud == "aws":  # Lambda is told the module: infra.aws.function
        wrapper = hosts.host_of(named(CATALOGUE, name), target.cloud).wrapper
        return [archive.entry(hosts.WRAPPER, wrapper.encode(), archive.PROGRAM)] if wrapper else []
    if target.cloud == "gcp":
        main = 'from samara.hosts.gcp import function\n\n__all__ = ["function"]\n'
        return [text("main.py", main), text("requirements.txt", framework(target))]
    app = 'from samara.hosts.azure import app\n\n__all__ = ["app"]\n'
    return [text("function_app.py", app), text("host.json", json.dumps(HOST, indent=2) + "\n")]


def framework(target: Target) -> str:
    """What Google's buildpack installs so that it can start `main.py`, held to our lock. All else is in the zip."""
    wanted = [line for line in dists.requirements((target.cloud,)) if line.startswith(FRAMEWORK)]
    pins = dists.closure(tuple(wanted), target)
    return "".join(f"{dists.locked(pin).rstrip()}\n" for pin in pins)


def text(name: str, content: str) -> Entry:
    return archive.entry(name, content.encode())


def vendored(parts: Sequence[Part], name: str, target: Target) -> Iterator[Entry]:
    """The distributions where the cloud's runtime looks for them."""
    below = f"{VENDORED}/" if target.cloud == "azure" and not name.endswith("-job") else ""
    for part in parts:
        for entry in archive.read(part.path):
            yield entry.below(below)


def budget(name: str, target: Target) -> Budget:
    """What the catalogue allows, and the cloud."""
    if name.endswith("-job"):
        return Budget(JOB_ZIP_MB * MB, JOB_UNZIPPED, sys.maxsize)
    function = named(CATALOGUE, name)
    unzipped = LAMBDA_UNZIPPED if target.cloud == "aws" else UNZIPPED
    more = PARQUET_ZIP_MB if target.parquet and name == hosts.READER else 0
    return Budget((function.zip_mb + more) * MB, unzipped, function.modules)


def held_to_sizes(name: str, content: Sequence[Entry], parts: Sequence[Part], allowed: Budget) -> None:
    """Refuse a package that is heavier than it may be, and name what is heaviest in it."""
    zipped, unzipped = archive.weight(content), sum(entry.size for entry in content)
    largest = max(parts, key=lambda part: part.zipped)
    for what, is_now, may_be in (("zipped", zipped, allowed.zipped), ("unzipped", unzipped, allowed.unzipped)):
        if is_now > may_be:
            raise Misconfigured(
                name,
                f"{is_now / MB:.1f} MB {what}, and may be {may_be / MB:.0f}; most of it is {largest.name}, "
                f"{largest.zipped / MB:.1f} MB zipped: prune it (infra/pruned.py), do without, or allow more",
            )


def held_to_modules(name: str, loaded: list[str], allowed: Budget) -> None:
    """Refuse a package whose start loads more than it may, and name whose modules most of them are."""
    if len(loaded) > allowed.modules:
        heaviest, count = proof.heaviest(loaded)
        raise Misconfigured(
            name,
            f"a start loads {len(loaded)} modules, and may load {allowed.modules}; most are of {heaviest}, {count}: "
            "import it where it is needed, do without, or allow more",
        )


def table(packages: Sequence[Package]) -> str:
    lines = [f"{'package':<12}{'MB zipped':>16}{'MB unzipped':>18}{'modules':>14}"]
    for one in packages:
        may = budget(one.name, one.target)
        modules = f"{one.modules} of {may.modules}" if may.modules < sys.maxsize else str(one.modules)
        zipped, unzipped = (
            f"{one.zipped / MB:.1f} of {may.zipped // MB}",
            f"{one.unzipped / MB:.1f} of {may.unzipped // MB}",
        )
        lines.append(f"{one.name:<12}{zipped:>16}{unzipped:>18}{'–' if one.modules is None else modules:>14}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m infra.package", description="Build what a cloud runs.")
    here = proof.MACHINES.get(platform.machine().lower(), "x86_64")
    parser.add_argument("--cloud", required=True, choices=hosts.HOSTS)
    parser.add_argument("--machine", default=here, choices=dists.PLATFORMS)
    parser.add_argument("--python", default=PYTHON, help=f"of the cloud's runtime; {PYTHON}")
    parser.add_argument("--only", metavar="NAME", choices=names(), help="one package instead of all")
    parser.add_argument("--out", type=Path, default=OUT, help="where to; build/")
    parser.add_argument("--parquet", action="store_true", help="have predict read Parquet bodies: twice as heavy")
    parser.add_argument("--no-precompile", action="store_true", help="leave bytecode out: slower starts")
    given = parser.parse_args(arguments)
    target, precompile = Target(given.cloud, given.python, given.machine, given.parquet), not given.no_precompile
    try:
        if given.only:
            built = [build(given.only, target, given.out, precompile)]
        else:
            built = list(build_all(target, given.out, precompile).values())
    except SamaraError as error:
        sys.exit(str(error))
    sys.stdout.write(f"{table(built)}\n\n{folder(target, given.out)}\n")


if __name__ == "__main__":
    main()
