"""The seam outward. Every provider module offers the same functions under the same names."""

import importlib
from typing import Protocol, cast

from samara.errors import Misconfigured
from samara.ports import JobRunner, ObjectStore
from samara.settings import Settings

NAMES = ("memory", "local")


class Provider(Protocol):
    """What a provider module offers."""

    def object_store(self, settings: Settings) -> ObjectStore: ...

    def job_runner(self, settings: Settings) -> JobRunner: ...


def load(name: str) -> Provider:
    """The provider module of that name: the only lazy import, so that a cloud's SDK costs only its users."""
    if name not in NAMES:
        raise Misconfigured(name, f"no such provider; choose one of {', '.join(NAMES)}")
    return cast("Provider", importlib.import_module(f"samara.providers.{name}"))
