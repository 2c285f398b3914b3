"""What a bucket of Google's tells Pub/Sub: a message for each object that came, by the bucket's configurations."""

import base64
import json
import os
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any
from urllib.request import Request, urlopen

from tests.emulators.gcs_protocol import Refusal, Stored

TOPIC = "//pubsub.googleapis.com/"
KNOWN = {"topic", "payload_format", "event_types"}
Document = dict[str, Any]


class Notifications:
    """Sent one after the other, each when the answer to its write may have been given long ago."""

    def __init__(self) -> None:
        self._pubsub = os.environ.get("PUBSUB_EMULATOR_HOST", "")
        self._configured: dict[str, dict[str, Document]] = {}
        self._numbers = 0
        self._sender = ThreadPoolExecutor(1)

    def add(self, bucket: str, wish: Document) -> Document:
        if strange := sorted(set(wish) - KNOWN):
            raise Refusal(501, "notImplemented", f"This emulator does not know {', '.join(strange)}.")
        if not self._pubsub:
            raise Refusal(501, "notImplemented", "This emulator was started without a Pub/Sub.")
        if wish.get("event_types") != ["OBJECT_FINALIZE"] or wish.get("payload_format") != "JSON_API_V1":
            raise Refusal(501, "notImplemented", "This emulator tells of OBJECT_FINALIZE only, as JSON_API_V1.")
        if not wish.get("topic", "").startswith(TOPIC):
            raise Refusal(400, "invalid", f"Invalid Google Cloud Pub/Sub topic; it starts with {TOPIC}projects/.")
        self._numbers += 1
        added = {"kind": "storage#notification", "id": str(self._numbers), **wish}
        self._configured.setdefault(bucket, {})[added["id"]] = added
        return added

    def remove(self, bucket: str, number: str) -> None:
        if self._configured.get(bucket, {}).pop(number, None) is None:
            raise Refusal(404, "notFound", f"Notification {number} not found.")

    def finalized(self, resource: Document, before: Stored | None) -> None:
        for one in self._configured.get(resource["bucket"], {}).values():
            message = {"data": base64.b64encode(json.dumps(resource).encode()).decode(), "attributes": {
                "notificationConfig": f"projects/_/buckets/{resource['bucket']}/notificationConfigs/{one['id']}",
                "eventType": "OBJECT_FINALIZE",
                "payloadFormat": one["payload_format"],
                "bucketId": resource["bucket"],
                "objectId": resource["name"],
                "objectGeneration": resource["generation"],
                "eventTime": resource["updated"],
                **({"overwroteGeneration": before.resource["generation"]} if before else {}),
            }}  # fmt: skip
            sent = self._sender.submit(self._publish, one["topic"].removeprefix(TOPIC), message)
            sent.add_done_callback(Future.result)  # what goes wrong is in the log

    def _publish(self, topic: str, message: Document) -> None:
        asked = Request(
            f"http://{self._pubsub}/v1/{topic}:publish",
            data=json.dumps({"messages": [message]}).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urlopen(asked, timeout=30):  # noqa: S310  # our own server
            pass
