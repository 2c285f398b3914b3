"""The distributions a package brings: those of its extras, at the versions and digests of requirements.lock.

uv says which ones they are for another machine's Python, fetches them and holds them against the lock. What it gave is
kept in `.cache`, pruned, compiled and compressed, so that a second build asks no network.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from infra import archive
from infra.pruned import Pruned, needless, rules
from samara.errors import Misconfigured

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / ".cache/parts"
LOCK = ROOT / "requirements.lock"
PROJECT = ROOT / "pyproject.toml"
LIBC = "manylinux_2_28"  # older than that of every runtime we target, and what pyarrow and onnxruntime are built for
PLATFORMS = {"x86_64": f"x86_64-{LIBC}", "arm64": f"aarch64-{LIBC}"}


@dataclass(frozen=True, slots=True)
class Target:
    """Where a package is to run, and whether predict is to read Parquet there.

    `machine` is x86_64 or arm64, in the words of the clouds.
    """

    cloud: str
    python: str
    machine: str
    parquet: bool = False

    @property
    def uv(self) -> tuple[str, ...]:
        """What tells uv to choose wheels for there instead of here."""
        platform = PLATFORMS.get(self.machine)
        if not platform:
            raise Misconfigured(self.machine, f"no such machine; choose one of {', '.join(PLATFORMS)}")
        return ("--python-version", self.python, "--python-platform", platform, "--only-binary", ":all:")


@dataclass(frozen=True, slots=True)
class Part:
    """A distribution, ready to be put into packages."""

    name: str
    path: Path

    @property
    def zipped(self) -> int:
        return self.path.stat().st_size


def parts(wanted: Sequence[str], target: Target, compiler: str, package: str) -> list[Part]:
    """What these requirements come to on `target`; `compiler` is the Python that compiles it, or nothing."""
    needed = closure(tuple(wanted), target)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(lambda pin: part(pin, target, compiler, package), needed))


def requirements(extras: Sequence[str]) -> tuple[str, ...]:
    """What pyproject.toml asks for when these extras are wanted."""
    project = tomllib.loads(PROJECT.read_text())["project"]
    unknown = [extra for extra in extras if extra not in project["optional-dependencies"]]
    if unknown:
        raise Misconfigured(unknown[0], "no such extra in pyproject.toml; each function, job and cloud has one")
    return (*project["dependencies"], *(line for e in extras for line in project["optional-dependencies"][e]))


@cache
def closure(wanted: tuple[str, ...], target: Target) -> tuple[str, ...]:
    """`name==version` of all that `wanted` comes to on `target`, of what is locked."""
    known = CACHE / f"{digest(*wanted, *target.uv, LOCK.read_text())}.txt"
    if not known.exists():
        found = uv("pip", "compile", "-", "--constraint", str(LOCK), *target.uv, *PLAIN, given="\n".join(wanted))
        fresh = [line.split()[0] for line in found.splitlines() if line.strip()]
        for pin in fresh:
            locked(pin)
        CACHE.mkdir(parents=True, exist_ok=True)
        growing = known.with_suffix(f".{os.getpid()}")
        growing.write_text("\n".join(fresh))
        growing.replace(known)
    return tuple(known.read_text().split())


def part(pin: str, target: Target, compiler: str, package: str = "") -> Part:
    """One distribution, from the cache or freshly fetched, pruned, compiled and compressed."""
    with_what = described(compiler) if compiler else "not compiled"
    left_out = rules(pin.partition("==")[0], package)
    key = digest(locked(pin), *target.uv, with_what, repr(left_out), str(archive.LEVEL))
    made = Part(pin, CACHE / f"{pin}-{key[:16]}.zip")
    if not made.path.exists():
        with tempfile.TemporaryDirectory(prefix="samara-part-") as name:
            asked, folder = Path(name) / "requirements.txt", Path(name) / "installed"
            asked.write_text(locked(pin))
            uv("pip", "install", "--target", str(folder), "--no-deps", "--require-hashes", *target.uv, "-r", str(asked))
            prune(folder, left_out)
            compiled(folder, compiler)
            archive.write(made.path, archive.entries(folder))
    return made


def prune(folder: Path, left_out: Sequence[Pruned]) -> None:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and needless(path.relative_to(folder).as_posix(), left_out):
            path.unlink()


def compiled(folder: Path, compiler: str) -> None:
    """Bytecode beside every module below `folder`, believed without a look at the source: a cloud's disk cannot change.

    Some distributions bring modules for another Python, which do not compile and are never imported.
    """
    if compiler:
        how = ("-m", "compileall", "-qq", "--invalidation-mode", "unchecked-hash", "-s", str(folder), str(folder))
        subprocess.run([compiler, *how], env={"PYTHONHASHSEED": "0"}, check=False)  # noqa: S603  # `interpreter` found it


@cache
def interpreter(version: str) -> str:
    """A Python of that version on this machine, or `Misconfigured`: bytecode is made by the Python that reads it."""
    candidates = [sys.executable, shutil.which(f"python{version}") or ""]
    managed = subprocess.run([uv_itself(), "python", "find", version], capture_output=True, text=True, check=False)  # noqa: S603  # ours
    for candidate in (*candidates, managed.stdout.strip()):
        if candidate and says_its_version(candidate) == version:
            return candidate
    why = (
        f"not on this machine, so nothing can be compiled for it; install it (`uv python install {version}`), set "
        "samara:python to a version that is here, or do without bytecode (samara:precompile false, or "
        "--no-precompile), which makes every cold start slower"
    )
    raise Misconfigured(f"python{version}", why)


def says_its_version(python: str) -> str:
    return ".".join(described(python).partition(" ")[0].split(".")[:2])


@cache
def described(python: str) -> str:
    """The version of that Python and of its bytecode, or nothing where it is no Python."""
    ask = "import importlib.util, sys; print(sys.version, importlib.util.MAGIC_NUMBER.hex())"
    return subprocess.run([python, "-I", "-c", ask], capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603  # says its version


def locked(pin: str) -> str:
    """The lines of requirements.lock that hold `pin` to its digests."""
    if pin not in lock():
        raise Misconfigured(pin, "is needed and not in requirements.lock; resolve it anew with `make lock`")
    return lock()[pin]


@cache
def lock() -> dict[str, str]:
    """What requirements.lock says, by `name==version`."""
    text = re.sub(r"^\s*#.*\n", "", LOCK.read_text(), flags=re.MULTILINE)
    return {found[1]: found[0] for found in re.finditer(r"^(\S+==[^\s;]+).*(?:\n[ \t]+\S.*)*", text, re.MULTILINE)}


PLAIN = ("--no-header", "--no-annotate", "--no-emit-index-url")


def uv(*arguments: str, given: str = "") -> str:
    """What uv answers, from its cache if it can: versions and digests are fixed. `Misconfigured` when it cannot."""
    for network in (("--offline",), ()):
        command = [uv_itself(), *arguments, "--quiet", "--python", sys.executable, *network]
        with tempfile.TemporaryDirectory() as folder:  # away from any pyproject.toml that it would obey
            ended = subprocess.run(command, input=given, cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603  # our own arguments
        if not ended.returncode:
            return ended.stdout
    raise Misconfigured("uv", f"{ended.stderr.strip() or 'it says nothing'} ({' '.join(arguments[:2])})")


@cache
def uv_itself() -> str:
    beside = (Path(sys.executable).parent / "uv", ROOT / "infra/.venv/bin/uv")
    found = next((str(path) for path in beside if path.exists()), shutil.which("uv"))
    if not found:
        raise Misconfigured("uv", "not found; `make setup` brings it into infra/.venv")
    return found


def digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()
