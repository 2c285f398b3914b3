"""What answers HTTP takes a function's key, by HTTPS alone; that is in the code (`samara.hosts.azure`), and here."""

import pulumi

from infra.azure.function import Function
from samara.errors import Misconfigured


def url(function: Function) -> pulumi.Output[str]:
    """Where people reach it. Keys are told apart, so that no output holds a secret."""
    if function.stack.callers:
        raise Misconfigured("samara:callers", "Azure lets in who has a function's key; hand out keys, name no callers")
    return pulumi.Output.concat("https://", function.app.default_host_name)
