"""Addresses for the functions that answer requests: callers sign with their own identity, and nobody else gets in."""

import re

import pulumi_aws as aws

from infra.aws.function import LambdaFunction
from infra.aws.place import Place
from infra.names import named
from samara.catalogue import Http
from samara.errors import Misconfigured

SOMEBODY = re.compile(r"\d{12}|arn:aws[a-z-]*:(iam|sts)::\d{12}:[^*\s]+")  # an account, or who is known in one


def expose(place: Place, answering: LambdaFunction) -> aws.lambda_.FunctionUrl | None:
    """The address of a function that answers HTTP, open to the account and to the stack's callers."""
    if not any(isinstance(trigger, Http) for trigger in answering.spec.on):
        return None
    name = named(place.stack, answering.spec.name)
    url = aws.lambda_.FunctionUrl(
        f"{name}-url",
        function_name=answering.function.name,
        authorization_type="AWS_IAM",
        invoke_mode="BUFFERED",
        opts=place.opts(answering),
    )
    for number, caller in enumerate((place.account, *map(somebody, place.stack.callers))):
        _let_in(place, answering, f"{name}-caller-{number}", caller)
    return url


def somebody(caller: str) -> str:
    """`caller`, if it is one account, role or user. Lambda would take a star for everybody with an account."""
    if not SOMEBODY.fullmatch(caller):
        why = "is everybody, or nobody; name accounts by 12 digits, and roles and users by their ARN"
        raise Misconfigured("samara:callers", f"{caller} {why}")
    return caller


def _let_in(place: Place, answering: LambdaFunction, name: str, caller: str) -> None:
    """Lambda asks for both: the right to call the address, and the right to run the function through it."""
    aws.lambda_.Permission(
        f"{name}-url",
        action="lambda:InvokeFunctionUrl",
        function=answering.function.name,
        principal=caller,
        function_url_auth_type="AWS_IAM",
        opts=place.opts(answering),
    )
    aws.lambda_.Permission(
        f"{name}-run",
        action="lambda:InvokeFunction",
        function=answering.function.name,
        principal=caller,
        invoked_via_function_url=True,
        opts=place.opts(answering),
    )
