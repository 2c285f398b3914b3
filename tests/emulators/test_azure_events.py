"""The stand-in for Event Grid filters as Event Grid's reference says, and tells of blobs as its own sample does."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from azure.storage.blob import BlobProperties

from tests.emulators.azure_account import Account
from tests.emulators.azure_events import CREATED, Subscription, cloud_event
from tests.events.samples import golden

PLACE = "/blobServices/default/containers/bucket/blobs/"
SEVERAL = {"key": "subject", "operatorType": "StringBeginsWith", "values": [f"{PLACE}drift/", f"{PLACE}runs/"]}
ACCOUNT = Account("samaradata", "", "", "", Path("certificate.pem"))


@pytest.mark.parametrize(
    ("filter", "key", "wanted"),
    [
        ({}, "landing/a.csv", True),
        ({"includedEventTypes": ["Microsoft.Storage.BlobDeleted"]}, "landing/a.csv", False),
        ({"subjectBeginsWith": f"{PLACE}landing/"}, "landing/a.csv", True),
        ({"subjectBeginsWith": f"{PLACE}landing/"}, "runs/landing/a.csv", False),
        ({"subjectBeginsWith": f"{PLACE}landing/"}, "Landing/a.csv", True),
        ({"subjectBeginsWith": f"{PLACE}landing/", "isSubjectCaseSensitive": True}, "Landing/a.csv", False),
        ({"subjectEndsWith": ".json"}, "landing/a.csv", False),
        ({"subjectBeginsWith": PLACE, "advancedFilters": [SEVERAL]}, "drift/late/a.json", True),
        ({"subjectBeginsWith": PLACE, "advancedFilters": [SEVERAL]}, "landing/a.csv", False),
    ],
)
def test_a_subscription_gets_what_all_of_its_filters_let_through(
    filter: dict[str, object],  # noqa: A002  # the input's own name
    key: str,
    wanted: bool,
) -> None:
    assert Subscription(filter, "queue").wants(CREATED, f"{PLACE}{key}") is wanted


@pytest.mark.parametrize(
    "unknown", [{"subjectContains": "a"}, {"advancedFilters": [{**SEVERAL, "operatorType": "StringContains"}]}]
)
def test_a_filter_that_is_not_known_is_refused_rather_than_ignored(unknown: dict[str, object]) -> None:
    with pytest.raises(AssertionError, match="not known here"):
        Subscription(unknown, "queue").wants(CREATED, PLACE)


def test_an_event_has_what_microsofts_sample_has() -> None:
    said = {"ETag": '"0x8D"', "Content-Length": 3, "Last-Modified": datetime(2026, 1, 1, tzinfo=UTC)}
    blob = BlobProperties(name="landing/a.csv", **said)
    sample = golden("azure/cloudevent_created")

    event = cloud_event(ACCOUNT, "/subscriptions/x", "bucket", blob)

    assert set(event) == set(sample) - {"dataschema"}
    assert set(event["data"]) == set(sample["data"]) - {"clientRequestId"}
    assert event["subject"] == f"{PLACE}landing/a.csv"
