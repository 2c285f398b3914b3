"""What a stack may be asked to be, and what one hears when it cannot be that."""

import json
from pathlib import Path

import pytest

from infra.config import Stack, read
from infra.names import code_key, named, tags, variables
from infra.packages import prebuilt
from samara.catalogue import Function
from samara.errors import Misconfigured

AWS = {"samara:cloud": "aws", "samara:region": "eu-central-1"}
GCP = {"samara:cloud": "gcp", "samara:region": "europe-west3", "samara:project": "flights-prod"}
AZURE = {
    "samara:cloud": "azure",
    "samara:region": "westeurope",
    "samara:project": "11111111-2222-3333-4444-555555555555",
}


def refused(given: dict[str, str]) -> str:
    with pytest.raises(Misconfigured) as error:
        read(given)
    return str(error.value)


@pytest.mark.parametrize("given", [AWS, GCP, AZURE], ids=["aws", "gcp", "azure"])
def test_a_cloud_a_region_and_where_it_is_billed_are_enough(given: dict[str, str]) -> None:
    stack = read(given)

    assert stack.name == "samara"
    assert stack.protect, "data is not thrown away by accident"
    assert (stack.jobs.gpu, stack.jobs.spot) == ("none", True)
    assert stack.budget is None


def test_pulumis_own_settings_are_none_of_ours() -> None:
    assert read({**AWS, "aws:region": "us-east-1", "pulumi:tags": "{}"}) == read(AWS)


def test_what_is_nested_comes_as_json_and_all_else_as_text() -> None:
    given = {
        "samara:jobs": json.dumps({"gpu": "l4", "max_vcpus": "128", "spot": "false"}),
        "samara:callers": json.dumps(["arn:aws:iam::123456789012:role/app"]),
        "samara:keep_days": "7",
        "samara:protect": "false",
    }

    stack = read({**AWS, **given})

    assert (stack.jobs.gpu, stack.jobs.max_vcpus, stack.jobs.spot) == ("l4", 128, False)
    assert stack.callers == ("arn:aws:iam::123456789012:role/app",)
    assert (stack.keep_days, stack.protect) == (7, False)


def test_jobs_start_from_an_image_that_has_the_python_of_the_stack() -> None:
    assert read({**AWS, "samara:python": "3.12"}).image == "public.ecr.aws/docker/library/python:3.12-slim"
    assert read({**AWS, "samara:jobs": '{"image": "acme/torch:2"}'}).image == "acme/torch:2"


def test_all_that_is_wrong_is_said_at_once_with_the_way_out() -> None:
    said = refused({"samara:cloud": "aws", "samara:machine": "mips", "samara:regoin": "eu", "samara:keep_days": "0"})

    assert "nothing was created" in said
    assert "samara:region: missing; pulumi config set --path samara:region eu-central-1" in said
    assert "samara:machine: input should be 'x86_64' or 'arm64'" in said
    assert "samara:regoin: no such setting; remove it by pulumi config rm --path samara:regoin" in said
    assert "samara:keep_days: input should be greater than or equal to 1" in said


def test_an_empty_configuration_says_where_to_begin() -> None:
    said = refused({})

    assert "samara:cloud: missing; pulumi config set --path samara:cloud aws, gcp or azure" in said


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({**AWS, "samara:region": "Frankfurt"}, "samara:region: 'Frankfurt' is no region of aws; try eu-central-1"),
        ({**GCP, "samara:region": "eu-central-1"}, "samara:region: 'eu-central-1' is no region of gcp; try europe-w"),
        ({**AZURE, "samara:region": "West Europe"}, "samara:region: 'West Europe' is no region of azure; try westeu"),
        ({**GCP, "samara:project": ""}, "samara:project: '' does not fit; give the id of a Google Cloud project"),
        ({**AZURE, "samara:project": ""}, "samara:project: '' does not fit; give the id of an Azure subscription"),
        ({**AWS, "samara:project": "12"}, "samara:project: '12' does not fit; give the twelve digits of an account"),
        ({**GCP, "samara:machine": "arm64"}, "samara:machine: gcp runs functions on x86_64 only"),
        (
            {**AWS, "samara:machine": "arm64", "samara:jobs": '{"gpu": "l4"}'},
            "samara:machine: machines with a GPU are x86",
        ),
        ({**AZURE, "samara:jobs": '{"spot": true}'}, "samara:jobs.spot: Container Apps has no spot machines; leave it"),
        ({**AZURE, "samara:concurrency": "39"}, "samara:concurrency: azure bounds instances at 40 or more; raise it"),
        ({**AZURE, "samara:jobs": '{"gpu": "h100"}'}, "samara:jobs.gpu: azure has no h100; it has none, t4, a100"),
        ({**GCP, "samara:jobs": '{"subnets": ["a"]}'}, "samara:jobs.subnets: only AWS Batch takes subnets"),
        ({**AWS, "samara:name": "Sixteen Letters!"}, "samara:name: string should match pattern"),
        ({**AWS, "samara:name": "a-name-far-too-long-for-it"}, "samara:name: string should match pattern"),
        ({**AWS, "samara:log_days": "31"}, "samara:log_days: 31 is none of 1, 3, 5, 7, 14, 30"),
        ({**AWS, "samara:tags": '{"Team": "delay"}'}, "samara:tags: use lower case letters"),
        ({**AWS, "samara:budget": '{"usd": 5, "email": "ops"}'}, "samara:budget.email: string should match pattern"),
        ({**AWS, "samara:budget": '{"usd": 0, "email": "a@b.c"}'}, "samara:budget.usd: input should be greater than 0"),
        ({**AWS, "samara:jobs": '{"gpus": 1}'}, "samara:jobs.gpus: no such setting"),
        ({**AWS, "samara:jobs": '{"gpu"'}, "samara:jobs: not JSON"),
    ],
    ids=lambda value: value.split(":")[1] if isinstance(value, str) else "",
)
def test_what_a_cloud_has_not_is_refused(given: dict[str, str], complaint: str) -> None:
    assert complaint in refused(given)


@pytest.mark.parametrize(
    "given",
    [
        {**AZURE, "samara:jobs": '{"spot": false}', "samara:concurrency": "40"},
        {**AWS, "samara:machine": "arm64", "samara:concurrency": "1"},
        {**GCP, "samara:jobs": '{"spot": true}', "samara:concurrency": "39"},
    ],
    ids=lambda given: given["samara:cloud"],
)
def test_what_another_cloud_lacks_is_taken_by_this_one(given: dict[str, str]) -> None:
    assert read(given).cloud == given["samara:cloud"]


def test_several_misfits_are_all_named() -> None:
    said = refused({**AZURE, "samara:machine": "arm64", "samara:region": "eu-central-1"})

    assert "samara:machine:" in said
    assert "samara:region:" in said


def test_what_belongs_to_a_stack_says_so() -> None:
    stack = Stack(cloud="aws", region="eu-central-1", name="flights", tags={"team": "delay"})

    assert named(stack, "train", "role") == "flights-train-role"
    assert tags(stack, "train") == {"team": "delay", "samara": "flights", "samara-function": "train"}
    assert tags(stack) == {"team": "delay", "samara": "flights"}


def test_a_tag_of_ones_own_cannot_hide_whose_it_is() -> None:
    assert tags(Stack(cloud="aws", region="eu-central-1", tags={"samara": "mine"}))["samara"] == "samara"


def test_a_function_without_jobs_is_not_told_where_they_run() -> None:
    stack, spec = Stack(cloud="aws", region="eu-central-1"), Function("predict", on=(), does="")

    told = variables(stack, spec, store="s3://b", jobs="batch://q/d", code="code/x.zip", bus="events://default")

    assert told == {"SAMARA_PROVIDER": "aws", "SAMARA_FUNCTION": "predict", "SAMARA_STORE": "s3://b"}


def test_code_is_named_for_its_content() -> None:
    assert code_key("train-job", "ab" * 32) == f"code/train-job/{'ab' * 32}.zip"


def test_packages_built_before_are_found_beside_their_manifest(tmp_path: Path) -> None:
    manifest = tmp_path / "packages.json"
    manifest.write_text('{"ingest": {"path": "ingest.zip", "digest": "ab"}}')

    packages = prebuilt(manifest)

    assert (packages["ingest"].path, packages["ingest"].digest) == (tmp_path / "ingest.zip", "ab")


@pytest.mark.parametrize("text", ["", "[1]", '{"ingest": 1}', '{"ingest": {"path": "a"}}'])
def test_a_manifest_that_is_none_is_refused_by_name(tmp_path: Path, text: str) -> None:
    manifest = tmp_path / "packages.json"
    manifest.write_text(text)

    with pytest.raises(Misconfigured, match=r"packages\.json: .*leave samara:packages away"):
        prebuilt(manifest)
