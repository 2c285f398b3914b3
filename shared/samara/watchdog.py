"""Ends what runs for too long: one thread for the whole process, asleep unless something nears its limit.

Beginning and ending a watch costs less than a microsecond: the thread is woken only when a new deadline comes
before the moment at which it would look anyway.
"""

import os
import threading
from collections.abc import Callable
from time import monotonic

NEVER = float("inf")


class Watchdog:
    """Calls `stop`, at most once for each watch, when the watch is still on at its deadline."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._start_afresh()

    def _start_afresh(self) -> None:
        """A child made by fork has none of its parent's threads, and may have a lock that nobody will ever release."""
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._watches: dict[object, tuple[float, Callable[[], object]]] = {}
        self._looks_at = NEVER
        self._thread: threading.Thread | None = None

    def begin(self, limit_s: float, stop: Callable[[], object]) -> object:
        """What to give to `end`. `stop` is called from another thread, `limit_s` seconds from now."""
        watch = object()
        deadline = monotonic() + limit_s
        self._watches[watch] = (deadline, stop)
        if deadline < self._looks_at:
            self._hasten()
        return watch

    def end(self, watch: object) -> bool:
        """Whether it was stopped. Afterwards it cannot be any more, so what `stop` refers to may go."""
        if self._watches.pop(watch, None) is not None:
            return False
        with self._lock:  # until it is stopped
            return True

    def _hasten(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._look, name="watchdog", daemon=True)
                self._thread.start()
        self._wake.set()

    def _look(self) -> None:
        while True:
            self._looks_at = NEVER  # first, so that whoever begins while we look wakes us once more
            self._looks_at = min((deadline for deadline, _ in tuple(self._watches.values())), default=NEVER)
            wait_s = self._looks_at - monotonic()
            self._wake.wait(None if self._looks_at == NEVER else max(wait_s, 0.0))
            self._wake.clear()
            now = monotonic()
            for watch, (deadline, _) in tuple(self._watches.items()):
                if deadline <= now:
                    self._stop(watch)

    def _stop(self, watch: object) -> None:
        with self._lock:  # held while stopping: nobody may take away what is being stopped
            found = self._watches.pop(watch, None)
            if found:
                found[1]()


WATCHDOG = Watchdog()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=WATCHDOG._start_afresh)
