"""What the programs need to know of a package: where the zip is, and the digest of its content."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from samara.errors import Misconfigured


class Packaged(Protocol):
    """A zip that is ready to go up. `infra.package` builds them."""

    @property
    def path(self) -> Path: ...

    @property
    def digest(self) -> str: ...


Packages = Mapping[str, Packaged]


@dataclass(frozen=True, slots=True)
class Prebuilt:
    """A package that was built before, on another machine perhaps."""

    path: Path
    digest: str


def prebuilt(manifest: Path) -> Packages:
    """The packages that `manifest` lists, a JSON file of `{name: {"path": …, "digest": …}}`."""
    try:
        listed = json.loads(manifest.read_text())
        return {name: Prebuilt(manifest.parent / one["path"], one["digest"]) for name, one in listed.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        why = (
            f'{error}; it is a JSON file of {{"ingest": {{"path": …, "digest": …}}, …}}, or leave samara:packages away'
        )
        raise Misconfigured(str(manifest), why) from error
