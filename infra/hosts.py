"""What a cloud starts for a function, and by which provider that reaches its bucket."""

from typing import NamedTuple

from functions.catalogue import CATALOGUE
from samara.catalogue import Function


class Host(NamedTuple):
    """The module that a cloud imports, and the name of a provider (`samara.providers`)."""

    module: str
    provider: str


HOSTS = {
    "aws": Host("samara.hosts.aws", "aws"),
    "gcp": Host("main", "gcp"),
    "azure": Host("function_app", "azure"),
}
LEAN = {"aws": Host("samara.hosts.aws_lean", "s3")}


def host_of(function: Function, cloud: str) -> Host:
    """The lean host for a lean function, where the cloud has one."""
    return LEAN.get(cloud, HOSTS[cloud]) if function.lean else HOSTS[cloud]


def without_sdk(package: str, cloud: str) -> bool:
    """Whether the package of that name does without the cloud's extra, because its host and its provider do."""
    return cloud in LEAN and any(function.lean and function.name == package for function in CATALOGUE)
