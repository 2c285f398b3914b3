"""The program that Pulumi runs: read what this stack should be, package the functions, deploy the catalogue."""

import importlib

import pulumi
from pulumi.runtime.config import get_config_env

from infra import config
from infra.packages import Packages, prebuilt
from samara.errors import SamaraError


def run() -> None:
    """Deploy the stack that Pulumi's configuration describes to the cloud it names."""
    try:
        deploy(config.read(get_config_env()))
    except SamaraError as error:
        raise pulumi.RunError(str(error)) from error  # which Pulumi shows without a trace of our code


def deploy(stack: config.Stack) -> None:
    """The catalogue on the cloud of `stack`."""
    importlib.import_module(f"infra.{stack.cloud}").deploy(stack, packaged(stack))
    pulumi.export("cloud", stack.cloud)
    pulumi.export("region", stack.region)


def packaged(stack: config.Stack) -> Packages:
    """The packages of this stack: those that were built before, or fresh ones."""
    if stack.packages:
        return prebuilt(stack.packages)
    from infra.package import OUT, Target, build_all  # noqa: PLC0415  # who brings packages needs nothing to build them

    return build_all(Target(stack.cloud, stack.python, stack.machine, stack.parquet), OUT, stack.precompile)
