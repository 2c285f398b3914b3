"""The host of functions that people wait for answers and logs as the other one does, whoever runs it."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.emulators import s3
from tests.events.samples import golden
from tests.hosts.lambda_process import Invocation, Lambda, deployed

OURS = ("timestamp", "location", "xray_trace_id")  # which tell one line from another, not one host from another


@pytest.fixture(scope="module")
def address() -> str:
    return s3.fresh_bucket()


@pytest.fixture(scope="module", params=["aws_lean", "aws_loop"])
def host(request: pytest.FixtureRequest) -> str:
    """Called by Amazon's runtime client, or run by the loop in its place."""
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def predict(address: str, host: str) -> Iterator[Lambda]:
    with deployed("predict", host=host, provider="s3", store=address) as running:
        yield running


@pytest.fixture(scope="module")
def elder(address: str) -> Iterator[Lambda]:
    with deployed("predict", store=address) as running:
        yield running


def asked(method: str, path: str, **changes: Any) -> Any:
    payload = golden("aws/function_url")
    payload["requestContext"]["http"]["method"] = method
    return {**payload, "rawPath": path, "rawQueryString": "", "body": None, "isBase64Encoded": False, **changes}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v2/health/live", 200),
        ("GET", "/v2/models", 200),
        ("GET", "/v2/models/late", 404),
        ("PUT", "/v2/models", 405),
        ("GET", "/elsewhere", 404),
        ("GET", "/v2/../models", 400),
        ("OPTIONS", "/v2/models", 204),
    ],
)
def test_it_answers_as_the_other_host_does(predict: Lambda, elder: Lambda, method: str, path: str, status: int) -> None:
    ours, theirs = predict(asked(method, path)), elder(asked(method, path))

    assert ours.result == theirs.result
    assert ours.result["statusCode"] == status


def test_head_is_get_without_the_body(predict: Lambda) -> None:
    reply = predict(asked("HEAD", "/v2/models")).result

    assert (reply["statusCode"], reply["body"]) == (200, "")


def test_a_line_has_the_fields_that_the_other_host_gives_it(address: str, host: str) -> None:
    ours, theirs = first(address, host, "s3"), first(address, "aws", "aws")

    assert steady(ours.logged[0]) == steady(theirs.logged[0])
    assert ours.logged[0]["cold_start"] is True
    assert ours.logged[0]["function_request_id"] == "request-0"


def test_its_metrics_are_the_other_hosts(address: str, host: str) -> None:
    ours, theirs = first(address, host, "s3"), first(address, "aws", "aws")

    (mine,), (other,) = ([line for line in invocation.logged if "_aws" in line] for invocation in (ours, theirs))
    assert mine.keys() == other.keys()
    assert said(mine) == said(other)


def first(address: str, host: str, provider: str) -> Invocation:
    """What becomes of the first request that a process gets."""
    with deployed("predict", host=host, provider=provider, store=address) as fresh:
        return fresh(asked("GET", "/v2/models"))


def steady(line: dict[str, Any]) -> dict[str, Any]:
    message = {name: value for name, value in line["message"].items() if name != "ms"}
    return {**{name: value for name, value in line.items() if name not in OURS}, "message": message}


def said(metric: dict[str, Any]) -> Any:
    """The declarations, in one order."""
    (declared,) = metric["_aws"]["CloudWatchMetrics"]
    names = sorted(declared["Metrics"], key=lambda one: str(one["Name"]))
    dimensions = [sorted(some) for some in declared["Dimensions"]]
    return declared["Namespace"], dimensions, [(one["Name"], one["Unit"]) for one in names], metric["Events"]


def test_a_second_line_is_not_said_to_be_the_first(predict: Lambda) -> None:
    predict(asked("GET", "/v2/models"))

    (line, _metric) = predict(asked("GET", "/v2/models")).logged

    assert line["cold_start"] is False
    assert "cold" not in line["message"]


@pytest.mark.parametrize("payload", [golden("aws/eventbridge_object_created"), golden("aws/sqs_batch"), [], "x"])
def test_what_it_does_not_take_fails_by_its_reason(predict: Lambda, payload: Any) -> None:
    invocation = predict(payload)

    assert (invocation.error, invocation.logged[0]["message"]["outcome"]) == ("Rejected", "dead")
    assert "have samara.hosts.aws take all else" in invocation.why


def test_a_tick_is_taken(predict: Lambda) -> None:
    invocation = predict(golden("aws/tick"))

    assert invocation.error == ""
    assert invocation.logged[-1]["message"]["at"] == "2022-03-22T18:59:43+00:00"


def test_what_is_wrong_with_the_deployment_is_told_to_who_asks_first(host: str) -> None:
    with deployed("predict", host=host, provider="s3", store="gs://flights") as broken:
        invocation = broken(asked("GET", "/v2/models"))

    assert (invocation.error, invocation.why.split(":")[0]) == ("Misconfigured", "gs")
