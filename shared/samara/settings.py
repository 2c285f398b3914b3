"""How this process is set up: a few environment variables, read once, named in every complaint about them."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from samara.errors import Misconfigured

HOME = ".samara"


class Settings(NamedTuple):
    """`home` is the folder of the local provider: its bucket, its jobs, its locks.

    In a cloud `store` is the address of the bucket (`samara.providers.addresses`), `jobs` says where jobs run and
    `bus` how functions are woken, in the words of the provider's `job_runner` and `bus`. `function` is the one that
    this process was deployed to be, and `caller` the account whose posts to it are events, where those come by HTTP.
    `private` is set where the platform lets in nobody whom it has not identified, so that we may believe who asks.
    `code` is the key of the package from which a job gets its code, or nothing where the job's machine has it.
    `engine` is what runs models, if not the usual one, and `cache` a folder of this user's alone in which they are kept
    as they are after optimisation, so that large ones load faster (`samara.engines.load`).
    """

    provider: str = "local"
    home: Path = Path(HOME)
    store: str = ""
    jobs: str = ""
    bus: str = ""
    function: str = ""
    caller: str = ""
    private: str = ""
    code: str = ""
    catalogue: str = "functions.catalogue"
    engine: str = ""
    cache: str = ""

    @property
    def bucket(self) -> Path:
        """The folder of the local provider's bucket."""
        return Path(self.store.removeprefix("file:")) if self.store else self.home / "bucket"

    def environment(self) -> dict[str, str]:
        """These settings as the environment of a child process."""
        absolute = self._replace(home=self.home.absolute())  # the child may start in another folder
        return {f"SAMARA_{name.upper()}": str(value) for name, value in absolute._asdict().items() if value}


def from_environment(environ: Mapping[str, str] = os.environ) -> Settings:
    """`SAMARA_PROVIDER`, `SAMARA_HOME` and so on, empty ones aside; an unknown or wrong one is refused by name."""
    given = {
        name.removeprefix("SAMARA_").lower(): value for name, value in environ.items() if name.startswith("SAMARA_")
    }
    for name in given:
        if name not in Settings._fields:
            there = ", ".join(f"SAMARA_{one.upper()}" for one in sorted(Settings._fields))
            raise Misconfigured(f"SAMARA_{name.upper()}", f"no such setting; there are {there}")
    said = {name: Path(value) if name == "home" else value for name, value in given.items() if value}
    return Settings(**said)  # type: ignore[arg-type]


def nearest_home(start: Path) -> Path | None:
    """The closest `.samara` folder at or above `start`, as git finds its own."""
    for folder in (start, *start.parents):
        if (folder / HOME).is_dir():
            return folder / HOME
    return None
