"""An alert holds until the bucket shows that what it tells of was mended, or a person removes it."""

from datetime import datetime, timedelta

import pytest

from samara import alerts
from samara.app import App
from samara.core import keys
from samara.core.digests import digest
from samara.core.heads import ContractHead
from samara.core.records import Alert, ModelVersion, Parity, Signature
from samara.providers.memory import MemoryStore
from tests.conftest import NOON

SOME = digest(b"some")
AN_HOUR = timedelta(hours=1)


def holding(app: App) -> list[tuple[str, str]]:
    """Whom the alerts that hold are about, and what they say, newest first."""
    told = {key: app.read(Alert, key) for key in app.store.list(keys.ALERTS)}
    return [(alert.subject, alert.what) for alert in alerts.holding(app, told).values()]


def agreed(app: App, contract: str) -> None:
    app.store.create(keys.contract_head("leafs"), ContractHead(write_id="w", contract=contract).to_bytes())


def registered(app: App, number: int, at: datetime) -> None:
    version = ModelVersion(
        made_by=app.maker, model="late", version=number, run=f"run{number}", artifact=SOME,
        signature=Signature(inputs=(), outputs=()), metrics={}, baseline=SOME, compared_with=None, compared_metrics={},
        parity=Parity(rows=1, largest_difference=0.0, tolerance=1e-4, agreed=True), gates=(),
        noted={"at": at.isoformat()},
    )  # fmt: skip
    app.write(keys.version("late", number), version)


def test_that_a_contract_is_missing_is_said_until_there_is_one(whole: App) -> None:
    whole.alert("leafs", "has no data contract", "its batches wait for one", NOON)

    before = holding(whole)
    agreed(whole, SOME)

    assert before == [("leafs", "has no data contract")]
    assert holding(whole) == []


def test_that_a_contract_cannot_be_used_is_said_until_another_is_in_force(whole: App, store: MemoryStore) -> None:
    whole.alert("leafs", f"contract {SOME[:12]} cannot be used", "no YAML; its batches wait", NOON)
    agreed(whole, SOME)

    before = holding(whole)
    head = store.get(keys.contract_head("leafs"))
    store.replace(keys.contract_head("leafs"), head.data.replace(SOME.encode(), digest(b"new").encode()), head.version)

    assert before == [("leafs", f"contract {SOME[:12]} cannot be used")]
    assert holding(whole) == []


def test_a_broken_contract_is_said_as_long_as_it_is_broken(whole: App, store: MemoryStore) -> None:
    whole.alert("leafs", "contract head is broken", "holds no ContractHead", NOON)
    version = store.create(keys.contract_head("leafs"), b"{")

    before = holding(whole)
    store.delete(keys.contract_head("leafs"), version)
    agreed(whole, SOME)

    assert before == [("leafs", "contract head is broken")]
    assert holding(whole) == []


@pytest.mark.parametrize(
    ("subject", "what"),
    [
        ("results/late/x.json", "run failed"),
        ("results/late/x.json", "cannot be registered"),
        ("models/late/0000000001.json", "must not be served"),
    ],
)
def test_what_became_of_a_run_is_said_until_a_later_version_is_registered(whole: App, subject: str, what: str) -> None:
    registered(whole, 1, NOON - AN_HOUR)
    whole.alert(subject, what, "ran out of memory", NOON)

    before = holding(whole)
    registered(whole, 2, NOON + AN_HOUR)

    assert before == [(subject, what)], "an earlier version mends nothing"
    assert holding(whole) == []


def test_another_models_version_mends_nothing(whole: App) -> None:
    whole.alert("results/early/x.json", "run failed", "ran out of memory", NOON)

    registered(whole, 1, NOON + AN_HOUR)

    assert holding(whole) == [("results/early/x.json", "run failed")]


def test_what_the_bucket_cannot_tell_holds_until_a_person_removes_it(whole: App, store: MemoryStore) -> None:
    whole.alert("late", "drift cannot be measured: blobs/x", "is missing", NOON)
    agreed(whole, SOME)
    registered(whole, 1, NOON + AN_HOUR)

    before = holding(whole)
    key = next(iter(store.list(keys.ALERTS)))
    store.delete(key, store.head(key).version)

    assert before == [("late", "drift cannot be measured: blobs/x")]
    assert holding(whole) == []


def test_the_newest_alert_comes_first_and_says_when(whole: App) -> None:
    for number in range(9):
        whole.alert(f"late v{number}", "is late", "who knows", NOON + number * AN_HOUR)

    told = {key: whole.read(Alert, key) for key in whole.store.list(keys.ALERTS)}
    newest = next(iter(alerts.holding(whole, told).values()))

    assert [subject for subject, _ in holding(whole)] == [f"late v{number}" for number in reversed(range(9))]
    assert alerts.when(newest) == "2013-02-14 20:00 UTC"
