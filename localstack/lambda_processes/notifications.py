"""Keys in S3's events for EventBridge as S3 sends them: as they are. LocalStack encodes them."""

import json
from typing import Any
from urllib.parse import unquote

from localstack.services.s3.notifications import EventBridgeNotifier


def mend() -> None:
    original = EventBridgeNotifier._get_event_payload

    def payload(*arguments: Any, **named: Any) -> Any:
        entry = original(*arguments, **named)
        detail = json.loads(entry["Detail"] or "{}")
        detail["object"]["key"] = unquote(detail["object"]["key"])
        return {**entry, "Detail": json.dumps(detail)}

    EventBridgeNotifier._get_event_payload = staticmethod(payload)  # type: ignore[method-assign]
