"""A process that runs functions for the local platform, one event after another, and ends when there are no more.

It stands in for the cloud's function host: a crash takes nothing else down, and nothing stays in memory while
nothing happens. It speaks JSON lines: an event on standard input, its outcome on standard output.
"""

import contextlib
import json
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, BinaryIO

from samara import catalogue, entry
from samara.app import App, build
from samara.dispatch import deliver
from samara.errors import Rejected, SamaraError
from samara.events import ObjectCreated, Tick, Wake
from samara.ports import Meta, Object, ObjectStore, Version
from samara.settings import from_environment


@dataclass(frozen=True, slots=True)
class NotingStore:
    """A store that notes which keys it created, so that the platform need not look for them."""

    store: ObjectStore
    created: list[str]

    def get(self, key: str) -> Object:
        return self.store.get(key)

    def head(self, key: str) -> Meta:
        return self.store.head(key)

    def list(self, prefix: str, after: str = "") -> Iterator[str]:
        return self.store.list(prefix, after)

    def part(self, key: str, start: int, size: int) -> Object:
        return self.store.part(key, start, size)

    def open(self, key: str) -> BinaryIO:
        return self.store.open(key)

    def create(self, key: str, data: bytes) -> Version:
        version = self.store.create(key, data)
        self.created.append(key)
        return version

    def create_from(self, key: str, source: BinaryIO) -> Version:
        version = self.store.create_from(key, source)
        self.created.append(key)
        return version

    def replace(self, key: str, data: bytes, version: Version) -> Version:
        return self.store.replace(key, data, version)

    def delete(self, key: str, version: Version) -> None:
        self.store.delete(key, version)


def perform(task: dict[str, Any], app: App, functions: catalogue.Catalogue) -> dict[str, Any]:
    """Run one task, and say what came of it: keys created, wakes asked for, or the error."""
    created: list[str] = []
    at = datetime.fromisoformat(task["at"])
    event = ObjectCreated(task["key"], at) if task["key"] else Tick(at)
    outcome: dict[str, Any] = {"created": created}
    try:
        function = catalogue.named(functions, task["function"])
        asked = deliver(function, event, app._replace(store=NotingStore(app.store, created)))
        if isinstance(asked, list):
            outcome["wakes"] = [[wake.function, wake.key] for wake in asked if isinstance(wake, Wake)]
    except SamaraError as error:
        outcome["error"] = [type(error).__name__, str(error)]
        outcome["final"] = isinstance(error, Rejected)
    except Exception as error:  # noqa: BLE001  # a bug in a function must not end the platform
        entry.log.exception(json.dumps({"function": task["function"], "key": task["key"], "outcome": "crashed"}))
        outcome["error"] = [type(error).__name__, f"{task['function']} failed; the log above says where"]
    return outcome


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the platform says when to end
    settings = from_environment()
    entry.log_to_stderr()
    app, functions = build(settings), catalogue.load(settings.catalogue)
    answers = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):  # what a library prints must not garble the answers
        for line in sys.stdin:
            answers.write(json.dumps(perform(json.loads(line), app, functions)) + "\n")
            answers.flush()


if __name__ == "__main__":
    main()
