"""Event Grid on loopback: tells of each blob that is new, by a message in the queue of every subscription it fits.

Azurite tells nobody of anything, so the containers are looked at again and again. Messages are CloudEvents as Microsoft
documents them; a filter that is not known here is refused.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event, Lock, Thread
from typing import Any
from uuid import uuid4

from azure.storage.blob import BlobProperties

from tests.emulators.azure_account import Account

CREATED = "Microsoft.Storage.BlobCreated"
FILTERS = {"includedEventTypes", "subjectBeginsWith", "subjectEndsWith", "isSubjectCaseSensitive", "advancedFilters"}
POLL_S = 0.1
Document = dict[str, Any]


@dataclass(frozen=True)
class Subscription:
    """`filter` is as the resource's input has it."""

    filter: Mapping[str, Any]
    queue: str

    def wants(self, kind: str, subject: str) -> bool:
        assert set(self.filter) <= FILTERS, f"a filter that is not known here: {set(self.filter) - FILTERS}"
        sensitive = self.filter.get("isSubjectCaseSensitive", False)
        begins, ends = self.filter.get("subjectBeginsWith", ""), self.filter.get("subjectEndsWith", "")
        if not sensitive:
            subject, begins, ends = subject.lower(), begins.lower(), ends.lower()
        return (
            kind in self.filter.get("includedEventTypes", [kind])
            and subject.startswith(begins)
            and subject.endswith(ends)
            and all(advanced(one, subject) for one in self.filter.get("advancedFilters", []))
        )


def advanced(one: Mapping[str, Any], subject: str) -> bool:
    """Advanced filters never mind the case."""
    assert (one["key"], one["operatorType"]) == ("subject", "StringBeginsWith"), f"not known here: {one}"
    return any(subject.lower().startswith(value.lower()) for value in one["values"])


@dataclass
class Topic:
    """Of one account. `source` is its resource id."""

    account: Account
    source: str
    containers: tuple[str, ...]
    subscriptions: tuple[Subscription, ...]
    told: set[tuple[str, str, str]] = field(default_factory=set)
    looking: Lock = field(default_factory=Lock)
    ended: Event = field(default_factory=Event)

    @contextmanager
    def watching(self) -> Iterator[None]:
        thread = Thread(target=self._watch)
        thread.start()
        try:
            yield
        finally:
            self.ended.set()
            thread.join()

    @contextmanager
    def losing(self) -> Iterator[None]:
        """What is created meanwhile, nobody is ever told of."""
        with self.looking:
            yield
            for _ in self._fresh():
                pass

    def _watch(self) -> None:
        while not self.ended.wait(POLL_S):
            with self.looking:
                for container, blob in self._fresh():
                    self._tell(container, blob)

    def _fresh(self) -> Iterator[tuple[str, BlobProperties]]:
        for container in self.containers:
            for blob in self.account.client.get_container_client(container).list_blobs():
                version = (container, blob.name, blob.etag)
                if version not in self.told:
                    self.told.add(version)
                    yield container, blob

    def _tell(self, container: str, blob: BlobProperties) -> None:
        event = cloud_event(self.account, self.source, container, blob)
        for one in self.subscriptions:
            if one.wants(event["type"], event["subject"]):
                self.account.put(one.queue, json.dumps(event).encode())


def cloud_event(account: Account, source: str, container: str, blob: BlobProperties) -> Document:
    return {
        "source": source,
        "subject": f"/blobServices/default/containers/{container}/blobs/{blob.name}",
        "type": CREATED,
        "time": blob.last_modified.isoformat(),
        "id": str(uuid4()),
        "data": {
            "api": "PutBlob",
            "requestId": str(uuid4()),
            "eTag": blob.etag.strip('"'),
            "contentType": "application/octet-stream",
            "contentLength": blob.size,
            "blobType": "BlockBlob",
            "url": f"https://{account.name}.blob.core.windows.net/{container}/{blob.name}",
            "sequencer": "00000000000000000000000000000000",
            "storageDiagnostics": {"batchId": str(uuid4())},
        },
        "specversion": "1.0",
    }
