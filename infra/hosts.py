"""What a cloud starts for a function, and by which provider that reaches its bucket."""

from typing import NamedTuple

from functions.catalogue import CATALOGUE
from samara.catalogue import Function


class Host(NamedTuple):
    """The module that a cloud imports, the name of a provider (`samara.providers`), and the extra that both need.

    `wrapper` is a script of the zip that the cloud starts in place of its own program.
    """

    module: str
    provider: str
    extra: str
    wrapper: str = ""


READER = "predict"  # who reads Parquet where that is wanted, and can do without
WRAPPER = "start"  # its name in the zip
LOOP = """#!/bin/sh
# Lambda gives its interpreter, and the program of its runtime client, in whose place ours runs. Without `site`: all
# that is imported is in the package, or Python's own.
start="from samara.hosts import swift; swift.begin(); from samara.hosts import aws_loop; aws_loop.main()"
cd "$LAMBDA_TASK_ROOT" && exec "$1" -S -c "$start"
"""
HOSTS = {
    "aws": Host("samara.hosts.aws", "aws", "aws"),
    "gcp": Host("main", "gcp", "gcp"),
    "azure": Host("function_app", "azure", "azure"),
}
LEAN = {"aws": Host("samara.hosts.aws_lean", "s3", "aws-lean", LOOP)}


def host_of(function: Function, cloud: str) -> Host:
    """The lean host for a lean function, where the cloud has one."""
    return LEAN.get(cloud, HOSTS[cloud]) if function.lean else HOSTS[cloud]


def extras(package: str, cloud: str, *, parquet: bool = False) -> tuple[str, ...]:
    """The extras of the package of that name. A job has no host, and needs what the cloud's provider does."""
    hosted = {function.name: host_of(function, cloud).extra for function in CATALOGUE}
    return package, hosted.get(package, cloud), *(("parquet",) if parquet and package == READER else ())
