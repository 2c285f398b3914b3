"""Subscriptions of Google Pub/Sub on loopback: each filters what its topic gets and pushes it until it is done with.

Each is a thread, which pushes one message at a time. What fails comes again, later each time, and goes to the dead
letters after as many attempts as the policy says. A subscription without a push endpoint keeps its messages.
"""

import heapq
import json
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from threading import Condition, Thread
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from tests.emulators import google_filters
from tests.emulators.gcs_protocol import rfc3339
from tests.emulators.google_filters import Wanted
from tests.emulators.google_pubsub import Topics

HASTE = 50  # how much shorter than Google's waits ours are
LONGEST_ACK_S = 600
DONE = (102, 200, 201, 202, 204)
SOURCE = "CloudPubSubDeadLetterSource"
UNUSED = {"name", "project", "labels", "messageRetentionDuration", "expirationPolicy"}
Document = dict[str, Any]
Publish = Callable[[str, Document], object]


@dataclass(frozen=True)
class Subscription:
    """As the inputs of Pulumi's resource say."""

    name: str
    project: str
    topic: str
    wanted: Wanted
    endpoint: str
    account: str
    audience: str
    deadline_s: float
    first_s: float
    most_s: float
    attempts: int
    dead: str

    @property
    def path(self) -> str:
        return f"projects/{self.project}/subscriptions/{self.name}"


def subscription(inputs: Document) -> Subscription:
    """What these inputs say, all of which are taken or known to need nothing here."""
    left = {name: value for name, value in inputs.items() if name not in UNUSED}
    push, retry, dead = (left.pop(name, {}) for name in ("pushConfig", "retryPolicy", "deadLetterPolicy"))
    token = push.pop("oidcToken", {})
    filter_ = left.pop("filter", "")
    made = Subscription(
        name=inputs["name"],
        project=inputs["project"],
        topic=left.pop("topic"),
        wanted=google_filters.parsed(filter_) if filter_ else lambda _: True,
        endpoint=push.pop("pushEndpoint", ""),
        account=token.pop("serviceAccountEmail", ""),
        audience=token.pop("audience", ""),
        deadline_s=left.pop("ackDeadlineSeconds"),
        first_s=seconds(retry.pop("minimumBackoff", "10s")),
        most_s=seconds(retry.pop("maximumBackoff", "600s")),
        attempts=dead.pop("maxDeliveryAttempts", 0),
        dead=dead.pop("deadLetterTopic", ""),
    )
    strange = {**left, **push, **retry, **dead, **token}
    if strange or made.deadline_s > LONGEST_ACK_S or (made.dead and not 5 <= made.attempts <= 100):
        raise ValueError(f"{made.name}: not as Pub/Sub takes it, or not emulated: {strange or inputs}")
    return made


def seconds(duration: str) -> float:
    return float(duration.removesuffix("s"))


def token(account: str, audience: str) -> str:
    """What a function gets to see of an identity's token: Cloud Run has verified it, and cut the signature."""
    claims = {
        "aud": audience, "azp": "1", "email": account, "email_verified": True,
        "exp": int(time.time()) + 3600, "iat": int(time.time()), "iss": "https://accounts.google.com", "sub": "1",
    }  # fmt: skip
    head, body = (
        urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
        for part in ({"alg": "RS256", "typ": "JWT"}, claims)
    )
    return f"Bearer {head}.{body}.SIGNATURE_REMOVED_BY_GOOGLE"


class PubSub:
    """The service: `topics`, and whatever subscriptions there are to them."""

    def __init__(self, topics: Topics) -> None:
        self.subscriptions: dict[str, Pusher] = {}
        self._topics = topics
        self._numbers = count(1)
        topics.heard = self._heard

    def subscribe(self, wish: Subscription) -> None:
        self.subscriptions[wish.name] = Pusher(wish, self._publish)

    def end(self) -> None:
        for one in self.subscriptions.values():
            one.end()

    @property
    def quiet(self) -> bool:
        """Whether everything was delivered, or given up."""
        return all(one.quiet for one in self.subscriptions.values())

    def again(self, topic: str) -> None:
        """Deliver everything of a topic once more, as Pub/Sub may."""
        for message in list(self._topics.messages[topic]):
            self._heard(topic, message)

    def _publish(self, topic: str, message: Document) -> None:
        status, answer = self._topics.publish(f"/v1/{topic}:publish", {"messages": [message]})
        assert status == 200, answer

    def _heard(self, topic: str, message: Document) -> None:
        kept = {"data": "", "attributes": {}, **message, "messageId": str(next(self._numbers))}
        kept["publishTime"] = rfc3339(datetime.now(UTC))
        for one in self.subscriptions.values():
            if one.subscription.topic == topic:
                one.take(kept)


@dataclass(order=True)
class Due:
    """A message and when to push it next."""

    at: float
    order: int
    message: Document = field(compare=False)
    attempt: int = field(default=1, compare=False)


class Pusher:
    """Brings one subscription's messages to where they are to go; `kept` are those that nothing is to push."""

    def __init__(self, subscription: Subscription, publish: Publish) -> None:
        self.subscription = subscription
        self.kept: list[Document] = []
        self.answers: list[tuple[str, int]] = []  # (what was told of, what the function answered)
        self._publish = publish
        self._waiting: list[Due] = []
        self._order = count()
        self._busy = False
        self._changed = Condition()
        self._ended = False
        self._thread = Thread(target=self._work, name=subscription.name, daemon=True)
        self._thread.start()

    def take(self, message: Document) -> None:
        if not self.subscription.wanted(message["attributes"]):
            return
        if not self.subscription.endpoint:
            self.kept.append(message)
            return
        self._later(Due(time.monotonic(), next(self._order), message))

    def end(self) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify()
        self._thread.join()

    @property
    def quiet(self) -> bool:
        with self._changed:
            return not self._busy and not self._waiting

    def _later(self, due: Due) -> None:
        with self._changed:
            heapq.heappush(self._waiting, due)
            self._changed.notify()

    def _work(self) -> None:
        while due := self._next():
            status = pushed(self.subscription, due)
            self.answers.append((due.message["attributes"].get("objectId", ""), status))
            if status not in DONE:
                self._failed(due)

    def _next(self) -> Due | None:
        """The message whose time has come, once there is one, or None in the end."""
        with self._changed:
            self._busy = False
            while not self._ended:
                wait = self._waiting[0].at - time.monotonic() if self._waiting else None
                if wait is not None and wait <= 0:
                    self._busy = True
                    return heapq.heappop(self._waiting)
                self._changed.wait(wait)
        return None

    def _failed(self, due: Due) -> None:
        mine = self.subscription
        if mine.dead and due.attempt >= mine.attempts:
            self._publish(mine.dead, buried(mine, due))
            return
        wait = min(mine.first_s * 2 ** (due.attempt - 1), mine.most_s) / HASTE
        self._later(Due(time.monotonic() + wait, next(self._order), due.message, due.attempt + 1))


def buried(mine: Subscription, due: Due) -> Document:
    """The message as the dead letters have it."""
    marks = {
        f"{SOURCE}DeliveryCount": str(due.attempt),
        f"{SOURCE}Subscription": mine.name,
        f"{SOURCE}SubscriptionProject": mine.project,
        f"{SOURCE}TopicPublishTime": due.message["publishTime"].replace("Z", "+00:00"),
    }
    return {"data": due.message["data"], "attributes": {**due.message["attributes"], **marks}}


def pushed(mine: Subscription, due: Due) -> int:
    """The status that the endpoint answers, or 0 when it cannot be reached or takes too long."""
    message = {**due.message, "message_id": due.message["messageId"], "publish_time": due.message["publishTime"]}
    attempt = {"deliveryAttempt": due.attempt} if mine.dead else {}
    asked = Request(  # noqa: S310  # our own server
        mine.endpoint,
        data=json.dumps({**attempt, "message": message, "subscription": mine.path}).encode(),
        headers={
            "Content-Type": "application/json",
            "User-Agent": "CloudPubSub-Google",
            "From": "noreply@google.com",
            **({"Authorization": token(mine.account, mine.audience)} if mine.account else {}),
        },
    )
    try:
        with urlopen(asked, timeout=mine.deadline_s) as answered:  # noqa: S310  # the same
            return int(answered.status)
    except HTTPError as refused:
        with refused:
            return refused.code
    except (URLError, OSError):
        return 0
