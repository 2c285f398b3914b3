"""The engine that creates a recorded graph on emulators: all of it, in an order that holds, or not at all."""

import json
import zipfile
from pathlib import Path
from uuid import uuid4

import pytest

from functions.catalogue import CATALOGUE
from samara.catalogue import Every, Http
from tests.emulators import localstack
from tests.infra import graph as graphs
from tests.infra.apply import Applied, Unapplied, apply, in_order
from tests.infra.graph import Graph, Resource

BUCKET, VERSIONING = "aws:s3/bucket:Bucket", "aws:s3/bucketVersioning:BucketVersioning"
QUEUE, POLICY, ROLE = "aws:sqs/queue:Queue", "aws:sqs/queuePolicy:QueuePolicy", "aws:iam/role:Role"
WHO = "aws:index/getCallerIdentity:getCallerIdentity"
TRUST = json.dumps({"Version": "2012-10-17", "Statement": []})


def one(kind: str, name: str, /, *depends_on: str, **inputs: object) -> Resource:
    return Resource(kind, name, f"urn:{name}", inputs, tuple(f"urn:{other}" for other in depends_on))


def test_tokens_become_what_the_cloud_says() -> None:
    policy = json.dumps({"Version": "2012-10-17", "Statement": [{"Sid": "Of${who#accountId}", "Resource": "${q#arn}"}]})
    graph = Graph((Resource(WHO, "who", "", {}), one(QUEUE, "q"), one(POLICY, "p", queueUrl="${q#url}", policy=policy)))

    url = apply(graph).id("q")

    asked = localstack.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["Policy", "QueueArn"])
    said = json.loads(asked["Attributes"]["Policy"])["Statement"]
    assert said == [{"Sid": f"Of{localstack.ACCOUNT}", "Resource": asked["Attributes"]["QueueArn"]}]


def test_inputs_arrive_as_they_were_given() -> None:
    given = {"bucket": "${b#id}", "versioningConfiguration": {"status": "Enabled"}}
    applied = apply(Graph((one(BUCKET, "b", tags={"samara": "test"}), one(VERSIONING, "v", **given))))

    s3, name = localstack.client("s3"), applied.id("b")
    assert s3.get_bucket_versioning(Bucket=name)["Status"] == "Enabled"
    assert s3.get_bucket_tagging(Bucket=name)["TagSet"] == [{"Key": "samara", "Value": "test"}]


def test_a_token_for_a_list_is_as_many_as_there_are() -> None:
    subnets = "aws:ec2/getSubnets:getSubnets"
    lookup = Resource(subnets, "subnets", "", {"filters": [{"name": "default-for-az", "values": ["true"]}]})
    exporting = Resource("pulumi:pulumi:Stack", "stack", "urn:stack", {"subnets": ["first", "${subnets#ids}"]})

    exports = apply(Graph((lookup, exporting))).exports

    assert exports["subnets"][0] == "first"
    assert len(exports["subnets"]) > 2
    assert all(each.startswith("subnet-") for each in exports["subnets"][1:])


def test_a_role_is_known_to_functions_and_to_jobs() -> None:
    name = apply(Graph((one(ROLE, "r", assumeRolePolicy=TRUST),))).id("r")

    arns = {iam.get_role(RoleName=name)["Role"]["Arn"] for iam in (localstack.client("iam"), localstack.on_moto("iam"))}
    assert arns == {f"arn:aws:iam::{localstack.ACCOUNT}:role/{name}"}


def test_each_is_created_after_what_it_needs_and_otherwise_the_last_first() -> None:
    graph = Graph((
        one(QUEUE, "mentioned"),
        one(BUCKET, "awaited"),
        one(POLICY, "mentions", queueUrl="${mentioned#url}"),
        one(BUCKET, "waits", "awaited"),
        one(BUCKET, "free"),
    ))  # fmt: skip

    assert [each.name for each in in_order(graph)] == ["free", "awaited", "waits", "mentioned", "mentions"]


@pytest.mark.parametrize(
    ("graph", "why"),
    [
        (Graph((one("aws:kinesis/stream:Stream", "s"),)), "no rule creates this"),
        (Graph((one(BUCKET, "b", corsRules=[{}]),)), "nothing was done with corsRules"),
        (Graph((one(QUEUE, "q", weight=1),)), "Weight"),
        (Graph((one(POLICY, "p", queueUrl="${q#url}"),)), "mentions q, which is not there"),
        (Graph((one(QUEUE, "q"), one(POLICY, "p", queueUrl="${q#length}"))), "wants length of q"),
        (Graph((one(QUEUE, "a", "b"), one(QUEUE, "b", "a"))), "waits for what waits for it"),
        (Graph((Resource("aws:ec2/getAmi:getAmi", "ami", "", {}),)), "no answer is known"),
    ],
    ids=["type", "input", "attribute", "name", "output", "cycle", "lookup"],
)
def test_what_it_cannot_do_it_refuses(graph: Graph, why: str) -> None:
    with pytest.raises(Unapplied, match=why):
        apply(graph)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Applied:
    """Everything that the program makes, with packages that hold nothing; under a name of its own."""
    folder = tmp_path_factory.mktemp("packages")
    manifest = graphs.stand_ins(folder)
    for package in folder.glob("*.zip"):
        with zipfile.ZipFile(package, "w") as archive:
            archive.writestr("nothing.py", "")
    budget = {"usd": 10, "email": "owner@example.com", "alarms": True}
    settings = {"name": f"s{uuid4().hex[:6]}", "protect": False, "budget": budget, "jobs": {"gpu": "l4"}}
    return apply(graphs.record("aws", localstack.REGION, Path(manifest), **settings))


def test_the_whole_program_applies_with_a_function_for_each_entry(whole: Applied) -> None:
    functions = localstack.client("lambda")

    for entry in CATALOGUE:
        name = next(each["id"] for key, each in whole.outputs.items() if key.endswith(f"-{entry.name}"))
        there = functions.get_function_configuration(FunctionName=name)
        assert (there["MemorySize"], there["Timeout"]) == (entry.memory_mb, entry.timeout_s)
        assert there["Environment"]["Variables"]["SAMARA_FUNCTION"] == entry.name
        assert there["Environment"]["Variables"]["SAMARA_STORE"] == whole.exports["store"]


def test_the_whole_program_applies_with_a_clock_for_each_period_and_a_url_for_who_answers(whole: Applied) -> None:
    groups = [each["groupName"] for each in whole.outputs.values() if "groupName" in each]
    clocks = [trigger for entry in CATALOGUE for trigger in entry.on if isinstance(trigger, Every)]
    answering = {entry.name for entry in CATALOGUE if any(isinstance(trigger, Http) for trigger in entry.on)}

    stored = localstack.client("scheduler").list_schedules(GroupName=groups[0])["Schedules"]
    assert len(stored) == len(clocks)
    assert set(whole.exports["urls"]) == answering
    assert "${" not in json.dumps(whole.exports)


def test_the_whole_program_applies_with_a_queue_for_jobs(whole: Applied) -> None:
    queue, definition = whole.exports["jobs"].partition("?")[0].removeprefix("batch://").split("/")

    batch = localstack.client("batch")
    assert batch.describe_job_queues(jobQueues=[queue])["jobQueues"][0]["state"] == "ENABLED"
    (found,) = batch.describe_job_definitions(jobDefinitionName=definition)["jobDefinitions"]
    assert found["containerProperties"]["jobRoleArn"].startswith(f"arn:aws:iam::{localstack.ACCOUNT}:role/")
