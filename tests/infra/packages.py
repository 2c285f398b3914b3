"""Packages for whoever tests with them: built once for all workers, and again only when what is in them changes."""

import dataclasses
import fcntl
import json
import platform
import shutil
import sys
from pathlib import Path
from typing import Any

from infra import dists, package, proof
from infra.package import Package, Target
from samara.app import code_digest

CACHE = dists.ROOT / ".cache/packages"
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
MACHINE = proof.MACHINES[platform.machine().lower()]
BUILDER = ("archive", "dists", "hosts", "package", "proof", "pruned")


def here(cloud: str) -> Target:
    """What runs on this machine, in this Python."""
    return Target(cloud, VERSION, MACHINE)


def built(name: str, cloud: str) -> Package:
    """The package of that name for this machine."""
    target = here(cloud)
    home = CACHE / cloud / state()
    known = home / f"{name}.json"
    home.mkdir(parents=True, exist_ok=True)
    with (CACHE / cloud / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # whoever comes second finds it built
        if not known.exists():
            fresh = package.build(name, target, home)
            known.write_text(json.dumps(dataclasses.asdict(fresh), default=str))
            forget(name, cloud)
        stored: dict[str, Any] = json.loads(known.read_text())
    return Package(**{**stored, "target": target, "path": Path(stored["path"])})


def all_of(cloud: str) -> dict[str, Package]:
    """Every package of the catalogue for this machine, by name."""
    return {name: built(name, cloud) for name in package.names()}


def manifest(cloud: str) -> Path:
    """The file that names them all, as a stack's configuration wants it."""
    listed = {name: {"path": str(one.path), "digest": one.digest} for name, one in all_of(cloud).items()}
    path = CACHE / cloud / state() / "packages.json"
    path.write_text(json.dumps(listed, indent=2))
    return path


def state() -> str:
    """The digest of all that a package is made from, and of what makes it."""
    made_by = [(dists.ROOT / "infra" / f"{name}.py").read_text() for name in BUILDER]
    pinned = [dists.LOCK.read_text(), dists.PROJECT.read_text(), sys.version]
    return dists.digest(code_digest(), *made_by, *pinned)[:16]


def forget(name: str, cloud: str) -> None:
    """Drop what was built of it before: packages are large."""
    for folder in (CACHE / cloud).iterdir():
        if folder.is_dir() and folder.name != state():
            for old in folder.rglob(f"{name}.*"):
                old.unlink(missing_ok=True)
            if not any(path.is_file() for path in folder.rglob("*.zip")):
                shutil.rmtree(folder, ignore_errors=True)
