"""How requests reach a function: one by one in threads, or all that have arrived in one call.

Nothing waits for company. What has arrived in one turn of the event loop goes together; while every worker is busy,
what comes gathers, and goes together once one is free: the busier, the larger the groups and the less each costs.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from queue import SimpleQueue
from typing import Any, Protocol

from samara.catalogue import Function
from samara.entry import Handler, refusal
from samara.errors import Misconfigured
from samara.events import HttpResponse
from samara.hosts.connection import Turn
from samara.hosts.http import failure, response_of

MOST_TOGETHER = 128  # requests of one call, so that the first of them does not wait for ever more
WAITS_S = 0.001  # a call that waits longer had better wait in a thread; one that flushes a good disk does not
LONG_S = 0.005  # whoever computes longer than that lets everybody else wait, a health check above all
WEIGHT = 0.1  # of the latest call in what is thought of the next one
WORKERS = 2  # calls made at a time: while one waits for the disk, the other computes


class Workers:
    """A few threads, started when there is work. They never keep the process from ending."""

    def __init__(self, most: int, name: str) -> None:
        self._most = most
        self._name = name
        self._started = 0
        self._work: SimpleQueue[Callable[[], None] | None] = SimpleQueue()

    def run(self, work: Callable[[], None]) -> None:
        """Have `work` done, which raises nothing. To be called by one thread only."""
        if self._started < self._most:
            self._started += 1
            threading.Thread(target=self._live, name=f"{self._name}-{self._started}", daemon=True).start()
        self._work.put(work)

    def stop(self) -> None:
        for _ in range(self._started):
            self._work.put(None)

    def _live(self) -> None:
        while work := self._work.get():
            work()


class Way(Protocol):
    def add(self, turn: Turn) -> None:
        """Have this one answered too."""


class Apart:
    """Each request by a call of its own, in a thread."""

    def __init__(
        self,
        function: Function,
        run: Callable[[Any], Any],
        clock: Callable[[], datetime],
        workers: Workers,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._function = function
        self._run = run
        self._clock = clock
        self._workers = workers
        self._loop = loop

    def add(self, turn: Turn) -> None:
        request = turn.request(self._clock())
        late = self._loop.call_later(self._function.timeout_s, self._too_late, turn)

        def work() -> None:
            if turn.waiting:
                response = answered(self._function, lambda: [self._run(request)], 1)[0]
                later(self._loop, lambda: done(response))

        def done(response: HttpResponse) -> None:
            late.cancel()
            turn.answer(response)

        self._workers.run(work)

    def _too_late(self, turn: Turn) -> None:
        turn.answer(too_late(self._function))


class Together:
    """All requests that have arrived by one call: at once where it is quick, else in a thread.

    Measured, not told: a call that waits for a disk, or computes for long, would keep everybody else waiting, while a
    quick one costs twice as much in a thread. The measure is how many of the latest calls were slow: an average of
    seconds would believe a single long one for too long.
    """

    def __init__(
        self,
        function: Function,
        run: Callable[[Sequence[Any]], Sequence[Any]],
        clock: Callable[[], datetime],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._function = function
        self._run = run
        self._clock = clock
        self._workers = Workers(WORKERS, f"{function.name}-together")
        self._loop = loop
        self._arrived: list[Turn] = []
        self._busy = 0
        self._planned = False
        self._looks = True  # whether the next call is to be told computing from waiting
        self._slow = 1.0  # the share of the latest calls that were; the first ones load what others find loaded

    def add(self, turn: Turn) -> None:
        self._arrived.append(turn)
        self._plan()

    def stop(self) -> None:
        self._workers.stop()

    def _go(self) -> None:
        self._planned = False
        if not self._arrived or self._busy >= WORKERS:
            return
        turns, self._arrived = self._arrived[:MOST_TOGETHER], self._arrived[MOST_TOGETHER:]
        if self._slow < 0.5 and not self._busy:
            self._at_once(turns)
        else:
            self._in_a_thread(turns)
        if self._arrived:  # but let the loop read and write in between
            self._plan()

    def _plan(self) -> None:
        if not self._planned and self._busy < WORKERS:
            self._planned = True
            self._loop.call_soon(self._go)

    def _at_once(self, turns: list[Turn]) -> None:
        self._settle(turns, *self._measured(turns))

    def _in_a_thread(self, turns: list[Turn]) -> None:
        self._busy += 1
        late = self._loop.call_later(self._function.timeout_s, self._too_late, turns)

        def work() -> None:
            responses, slow = self._measured(turns)
            later(self._loop, lambda: done(responses, slow=slow))

        def done(responses: Sequence[HttpResponse], *, slow: bool) -> None:
            late.cancel()
            self._busy -= 1
            self._settle(turns, responses, slow)
            self._go()

        self._workers.run(work)

    def _measured(self, turns: list[Turn]) -> tuple[Sequence[HttpResponse], bool]:
        """The answers, and whether they were slow in coming."""
        looks, self._looks = self._looks, False
        computed = time.thread_time() if looks else 0.0
        at, started = self._clock(), time.perf_counter()
        requests = [turn.request(at) for turn in turns]
        responses = answered(self._function, lambda: self._run(requests), len(turns))
        took = time.perf_counter() - started
        if took > WAITS_S:  # perhaps it has waited, for which the next one is looked at, since looking takes its time
            self._looks = True
        waited = took - (time.thread_time() - computed) if looks else 0.0
        return responses, took > LONG_S or waited > WAITS_S

    def _settle(self, turns: list[Turn], responses: Sequence[HttpResponse], slow: bool) -> None:
        self._slow += WEIGHT * (slow - self._slow)
        for turn, response in zip(turns, responses, strict=True):
            turn.answer(response)

    def _too_late(self, turns: list[Turn]) -> None:
        for turn in turns:
            turn.answer(too_late(self._function))


class Both:
    """What asks for work goes together, and questions apart: how it is doing, a function says while it is at work."""

    def __init__(self, apart: Apart, together: Together) -> None:
        self._apart = apart
        self._together = together

    def add(self, turn: Turn) -> None:
        asks_for_work = turn.head is not None and turn.head.method == "POST"
        (self._together if asks_for_work else self._apart).add(turn)

    def stop(self) -> None:
        self._together.stop()


class Loading:
    """Where requests wait while their function is imported, which only then says which way it takes."""

    def __init__(self, function: Function, found: Callable[[Handler[Any]], Way], failed: Callable[[], None]) -> None:
        self._function = function
        self._found = found
        self._failed = failed
        self._waiting: list[Turn] = []

    def add(self, turn: Turn) -> None:
        self._waiting.append(turn)

    def begin(self, load: Callable[[], Handler[Any]], workers: Workers, loop: asyncio.AbstractEventLoop) -> None:
        def work() -> None:
            try:
                handler = load()
            except Exception as error:  # noqa: BLE001  # whoever asked is told, and the next one may have more luck
                response = failure(error, {"loading": self._function.name})
                later(loop, lambda: self._give_up(response))
            else:
                later(loop, lambda: self._pass_on(handler))

        workers.run(work)

    def _pass_on(self, handler: Handler[Any]) -> None:
        way = self._found(handler)
        for turn in self._waiting:
            way.add(turn)

    def _give_up(self, response: HttpResponse) -> None:
        self._failed()
        for turn in self._waiting:
            turn.answer(response)


def answered(function: Function, run: Callable[[], Sequence[Any]], count: int) -> Sequence[HttpResponse]:
    """`count` responses, whatever happens: what goes wrong with all of them is said to each."""
    try:
        responses = [response_of(function, response) for response in run()]
    except Exception as error:  # noqa: BLE001  # whoever asked gets an answer
        return [failure(error, {"answering": function.name})] * count
    except BaseException as error:  # noqa: BLE001  # code that means to end the process must not end a thread unheard
        ended = Misconfigured(function.name, f"tried to end the process by {type(error).__name__}")
        return [failure(ended, {})] * count
    if len(responses) != count:
        strange = Misconfigured(function.name, f"gave {len(responses)} answers to {count} requests")
        return [failure(strange, {})] * count
    return responses


def too_late(function: Function) -> HttpResponse:
    return refusal(503, "timeout", f"no answer within {function.timeout_s} seconds")


def later(loop: asyncio.AbstractEventLoop, work: Callable[[], None]) -> None:
    """Do `work` in the event loop; after the loop has ended, nobody is left to hear of it."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(work)
