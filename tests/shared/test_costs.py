"""What a deployment costs while nothing happens, from what Pulumi says of it."""

import pytest

from samara.costs import exported, idle, read, total
from samara.errors import Rejected

NAT = "aws:ec2/natGateway:NatGateway"
BUCKET = "aws:s3/bucket:Bucket"
MACHINES = "aws:batch/computeEnvironment:ComputeEnvironment"


def test_what_is_billed_by_use_costs_nothing_while_idle() -> None:
    (line,) = idle([(BUCKET, "data", {})])

    assert (line.usd, line.why) == (0.0, "stored gigabytes and requests")


def test_what_is_billed_by_the_hour_costs_all_month() -> None:
    lines = idle([(NAT, "way-out", {}), (BUCKET, "data", {})])

    assert total(lines) == pytest.approx(35.04)


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe\x00", b"[" * 100_000], ids=repr)
def test_what_is_no_json_is_refused(data: bytes) -> None:
    with pytest.raises(Rejected, match="is not JSON; give what pulumi stack export"):
        read(data)


@pytest.mark.parametrize(("least", "usd"), [(0, 0.0), (None, 0.0), (2, 70.08)])
def test_machines_cost_when_some_are_always_on(least: int | None, usd: float) -> None:
    (line,) = idle([(MACHINES, "gpus", {"computeResources": {"minVcpus": least}})])

    assert line.usd == pytest.approx(usd)


def test_a_function_costs_when_it_is_kept_warm() -> None:
    warm: tuple[str, str, dict[str, str]] = (
        "aws:lambda/provisionedConcurrencyConfig:ProvisionedConcurrencyConfig",
        "warm",
        {},
    )
    frozen = ("aws:lambda/function:Function", "frozen", {"snapStart": {"applyOn": "PublishedVersions"}})

    assert all(line.usd for line in idle([warm, frozen]))


def test_what_is_not_in_the_list_is_unknown_and_never_free() -> None:
    (line,) = idle([("aws:redshift/cluster:Cluster", "warehouse", {})])

    assert line.usd is None
    assert line.why == "not in the price list"


BUCKETS = [
    {"type": "pulumi:pulumi:Stack", "urn": "urn:pulumi:prod::samara::pulumi:pulumi:Stack::samara-prod"},
    {"type": "samara:aws:Function", "urn": "urn:pulumi:prod::samara::samara:aws:Function::samara-train"},
    {"type": BUCKET, "urn": f"urn:pulumi:prod::samara::{BUCKET}::data", "inputs": {"forceDestroy": False}},
]


@pytest.mark.parametrize(
    "written",
    [
        BUCKETS,
        {"version": 3, "deployment": {"resources": BUCKETS}},
        {"steps": [*({"op": "create", "newState": one} for one in BUCKETS), {"op": "delete", "oldState": {}}]},
    ],
    ids=["a list", "pulumi stack export", "pulumi preview --json"],
)
def test_the_resources_are_found_in_what_pulumi_writes(written: object) -> None:
    assert exported(written) == [(BUCKET, "data", {"forceDestroy": False})]


@pytest.mark.parametrize(
    "written",
    [
        {},
        {"deployment": None},
        {"deployment": {}},
        {"deployment": {"resources": None}},
        "text",
        None,
        5,
        [5],
        [{"urn": "a::b"}],
        [{"urn": "a::b", "type": 5}],
    ],
)
def test_other_json_is_refused_with_the_way_out(written: object) -> None:
    with pytest.raises(Rejected, match="pulumi stack export"):
        exported(written)
