"""The seam outward. Every provider module offers the same functions under the same names."""

import importlib
from collections.abc import Sequence
from typing import Protocol, cast

from samara.errors import Misconfigured
from samara.events import Wake
from samara.ports import JobRunner, ObjectStore
from samara.providers import addresses
from samara.settings import Settings

CLOUDS = ("aws", "s3", "gcp", "azure", "libcloud")
NAMES = ("memory", "local", *CLOUDS)


class Bus(Protocol):
    """The way back: how a function that ran asks the platform to wake others."""

    def wake(self, wakes: Sequence[Wake]) -> None:
        """Ask for all of these. They come at least once each, or `Unavailable` says that some may not."""


class Provider(Protocol):
    """What a provider module offers."""

    def object_store(self, settings: Settings) -> ObjectStore: ...

    def job_runner(self, settings: Settings) -> JobRunner: ...

    def bus(self, settings: Settings) -> Bus: ...


def load(name: str) -> Provider:
    """The provider module of that name: the only lazy import, so that a cloud's SDK costs only its users."""
    if name not in NAMES:
        raise Misconfigured(name, f"no such provider; choose one of {', '.join(NAMES)}")
    try:
        return cast("Provider", importlib.import_module(f"samara.providers.{name}"))
    except ModuleNotFoundError as error:
        raise Misconfigured(
            name, f"needs {error.name}, which is not installed; install Samara's extra {name}"
        ) from error


def store_at(address: str) -> ObjectStore:
    """The store at an address such as `s3://name`, whatever provider this process is set up for."""
    name = addresses.provider_of(address)
    return load(name).object_store(Settings(provider=name, store=address))
