"""What a deployment on AWS is, read from the graph that the program would hand to Pulumi."""

import re
from pathlib import Path
from typing import Any

import pytest

from functions.catalogue import CATALOGUE
from samara import costs
from tests.infra.graph import Graph, Resource, record, stand_ins
from tests.infra.planted_aws import PLANTED, Planted
from tests.infra.policies import broken, texts
from tests.infra.policies_aws import INVOKE, JOB, LAMBDA, MACHINES, OBJECT, RULE, TARGET, rules

REGION = "eu-central-1"
STORE = f"s3://${{samara-bucket#bucket}}?region={REGION}"


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stand_ins(tmp_path_factory.mktemp("packages"))


@pytest.fixture(scope="module")
def graph(packages: Path) -> Graph:
    return record("aws", REGION, packages)


def lambda_of(graph: Graph, name: str) -> Resource:
    return next(one for one in graph.of(LAMBDA) if one.inputs["name"] == f"samara-{name}")


def settings_of(graph: Graph, name: str) -> dict[str, str]:
    variables: dict[str, str] = lambda_of(graph, name).inputs["environment"]["variables"]
    return variables


def test_a_deployment_breaks_no_rule(graph: Graph) -> None:
    assert broken(graph, rules()) == {}


@pytest.mark.parametrize(
    "choices",
    [
        {"machine": "arm64", "python": "3.14", "name": "flights-prod"},
        {"jobs": {"gpu": "l4", "spot": False, "subnets": ["subnet-1", "subnet-2"]}, "concurrency": 5},
        {"budget": {"usd": 20, "email": "ops@example.com"}, "tags": {"team": "delay"}, "protect": False},
        {"callers": ["arn:aws:iam::123456789012:role/app"], "keep_days": 7, "log_days": 90, "project": "123456789012"},
    ],
    ids=", ".join,
)
def test_no_choice_breaks_a_rule(packages: Path, choices: dict[str, Any]) -> None:
    assert broken(record("aws", REGION, packages, **choices), rules()) == {}


@pytest.mark.parametrize("planted", PLANTED, ids=str)
def test_a_planted_mistake_is_found_by_the_rules_for_it(graph: Graph, planted: Planted) -> None:
    found = broken(planted.plant(graph), rules())

    assert tuple(sorted(found)) == planted.found_by, found


def test_every_function_of_the_catalogue_is_deployed_as_its_entry_says(graph: Graph) -> None:
    for spec in CATALOGUE:
        inputs = lambda_of(graph, spec.name).inputs
        assert inputs["memorySize"] == spec.memory_mb
        assert inputs["timeout"] == spec.timeout_s
        assert inputs["handler"] == f"samara.hosts.{'aws_lean' if spec.lean else 'aws'}.handler"
        assert settings_of(graph, spec.name)["SAMARA_PROVIDER"] == ("s3" if spec.lean else "aws")
        assert settings_of(graph, spec.name)["SAMARA_FUNCTION"] == spec.name
    assert len(graph.of(LAMBDA)) == len(CATALOGUE)


def test_a_function_is_told_no_more_than_it_needs(graph: Graph) -> None:
    plain = {"SAMARA_PROVIDER": "aws", "SAMARA_FUNCTION": "ingest", "SAMARA_STORE": STORE}

    assert settings_of(graph, "ingest") == plain
    assert set(settings_of(graph, "train")) == {*plain, "SAMARA_JOBS", "SAMARA_CODE"}
    assert set(settings_of(graph, "reconcile")) == {*plain, "SAMARA_JOBS", "SAMARA_CODE", "SAMARA_BUS"}


def test_a_lean_function_starts_by_the_script_of_its_package(graph: Graph) -> None:
    wrapped = {spec.name: settings_of(graph, spec.name).get("AWS_LAMBDA_EXEC_WRAPPER") for spec in CATALOGUE}

    assert wrapped == {spec.name: "/var/task/start" if spec.lean else None for spec in CATALOGUE}


def test_code_lies_where_its_content_says(graph: Graph) -> None:
    listed = {one.inputs["key"]: one.inputs["source"]["file"] for one in graph.of(OBJECT)}

    assert len(listed) == len(CATALOGUE) + 1, "a package for each function, and the job's"
    for spec in CATALOGUE:
        key = lambda_of(graph, spec.name).inputs["s3Key"]
        assert listed[key].endswith(f"/{spec.name}.zip")
    assert listed[settings_of(graph, "train")["SAMARA_CODE"]].endswith("/train-job.zip")


def test_a_rule_hears_new_objects_and_the_wakes_that_name_its_function(graph: Graph) -> None:
    pattern = graph.named("samara-train-wakes").document("eventPattern")

    assert pattern == {
        "source": ["aws.s3", "samara"],
        "detail-type": ["Object Created", "Wake"],
        "detail": {
            "$or": [
                {
                    "bucket": {"name": ["${samara-bucket#bucket}"]},
                    "object": {"key": [{"prefix": "validations/"}, {"prefix": "drift/"}]},
                },
                {"function": ["train"]},
            ]
        },
    }


def test_what_is_given_up_is_kept_and_told(graph: Graph) -> None:
    rule = graph.named("samara-failures")
    ends = {target.inputs["arn"] for target in graph.pointing_at(rule, TARGET)}

    assert ends == {"${samara-dead-letters#arn}", "${samara-deadletter#arn}"}
    assert "${samara-train#arn}:" in rule.inputs["eventPattern"]


def test_the_one_that_tells_of_failures_is_not_told_of_its_own(graph: Graph) -> None:
    (own,) = (one for one in graph.of(INVOKE) if one.inputs["functionName"] == "samara-deadletter")

    assert own.inputs["destinationConfig"]["onFailure"]["destination"] == "${samara-dead-letters#arn}"
    assert "samara-deadletter#" not in graph.named("samara-failures").inputs["eventPattern"]


def test_no_pattern_is_longer_than_eventbridge_takes(packages: Path) -> None:
    long = record("aws", "ap-southeast-1", packages, name="sixteen-letters0")
    arn = "arn:aws:lambda:ap-southeast-1:123456789012:function:sixteen-letters0-deadletter"

    for rule in long.of(RULE):
        given = rule.inputs["eventPattern"]
        for name, output in rule.refers_to:
            given = given.replace(f"${{{name}#{output}}}", arn)
        assert len(given) <= 2048, rule.name


def test_idle_it_costs_nothing(graph: Graph) -> None:
    lines = costs.idle([(one.type, one.name, one.inputs) for one in graph.resources])

    assert {line.usd for line in lines} == {0.0}
    assert len(lines) == len(graph.resources)


def test_alarms_cost_so_they_are_asked_for(packages: Path) -> None:
    budget = {"usd": 20, "email": "ops@example.com", "alarms": True}
    found = broken(record("aws", REGION, packages, budget=budget), rules())

    assert list(found) == ["no standing charge"]
    assert found["no standing charge"][0].startswith("samara-dead-letters-alarm: costs 0.10 USD a month")


def test_a_job_is_started_again_only_when_its_machine_was_taken_away(graph: Graph) -> None:
    (job,) = graph.of(JOB)

    assert job.inputs["retryStrategy"] == {
        "attempts": 3,
        "evaluateOnExits": [{"action": "RETRY", "onStatusReason": "Host EC2*"}, {"action": "EXIT", "onReason": "*"}],
    }
    assert job.inputs["timeout"] == {"attemptDurationSeconds": 86_400}


def test_a_gpu_brings_machines_and_drivers_for_it(packages: Path) -> None:
    (machines,) = record("aws", REGION, packages, jobs={"gpu": "t4"}).of(MACHINES)
    resources = machines.inputs["computeResources"]

    assert resources["instanceTypes"] == ["g4dn"]
    assert resources["ec2Configurations"] == [{"imageType": "ECS_AL2023_NVIDIA"}]
    assert (resources["type"], resources["minVcpus"]) == ("SPOT", 0)


def test_callers_that_are_named_may_call_as_the_account_may(packages: Path) -> None:
    app = "arn:aws:iam::123456789012:role/app"
    graph = record("aws", REGION, packages, callers=[app])

    assert graph.named("samara-predict-caller-1-url").inputs["principal"] == app
    assert graph.named("samara-predict-caller-1-run").inputs["principal"] == app


def test_accounts_roles_and_users_may_be_callers(packages: Path) -> None:
    callers = [
        "210987654321",
        "arn:aws:iam::210987654321:root",
        "arn:aws-us-gov:iam::210987654321:user/team/ann",
        "arn:aws:sts::210987654321:assumed-role/app/ann@example.com",
    ]
    graph = record("aws", REGION, packages, callers=callers)

    assert [graph.named(f"samara-predict-caller-{number}-url").inputs["principal"] for number in range(1, 5)] == callers


@pytest.mark.parametrize(
    "caller", ["*", "arn:aws:iam::*:root", "arn:aws:iam::210987654321:role/*", "lambda.amazonaws.com"]
)
def test_everybody_is_no_caller(packages: Path, caller: str) -> None:
    with pytest.raises(RuntimeError, match=f"{re.escape(caller)} is everybody, or nobody"):
        record("aws", REGION, packages, callers=[caller])


def test_a_bucket_with_data_is_protected_unless_one_says_otherwise(graph: Graph, packages: Path) -> None:
    loose = record("aws", REGION, packages, protect=False)

    assert graph.named("samara-bucket").protect
    assert not graph.named("samara-bucket").inputs.get("forceDestroy")
    assert not loose.named("samara-bucket").protect
    assert loose.named("samara-bucket").inputs["forceDestroy"] is True


def test_rights_are_there_before_what_needs_them(graph: Graph) -> None:
    needs = lambda_of(graph, "train").depends_on

    assert any(urn.endswith("::samara-train-permissions") for urn in needs)
    assert any(urn.endswith("::samara-train-logs") for urn in needs)


def test_every_token_points_at_something(graph: Graph) -> None:
    names = {one.name for one in graph.entries}

    for one in graph.entries:
        for path, text in texts(one):
            for name, _output in Resource(one.type, one.name, one.urn, {"": text}).refers_to:
                assert name in names, f"{one.name}.{path}"


def test_other_parts_of_aws_have_other_arns(packages: Path) -> None:
    gov = record("aws", "us-gov-west-1", packages)

    joins = gov.named("samara-train-job-machine-permissions").inputs["policyArn"]
    assert joins.startswith("arn:aws-us-gov:iam::aws:policy/")


def test_people_are_told_what_to_do_next(graph: Graph) -> None:
    assert graph.outputs["urls"].keys() == {"train", "predict", "feedback", "dashboard"}
    assert graph.outputs["next"][0].startswith(f"export SAMARA_STORE='{STORE}'")
