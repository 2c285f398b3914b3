"""How requests reach a function: one by one in threads, or all that have arrived in one call.

Nothing waits for company. What has arrived in one turn of the event loop goes together; while every worker is busy,
what comes gathers, and goes together once one is free: the busier, the larger the groups and the less each costs. What
takes long by itself goes in small groups, or alone: its answer would have to wait for all the others.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from math import inf
from queue import SimpleQueue
from typing import Any, Protocol

from samara.catalogue import Function
from samara.entry import Handler, refusal
from samara.errors import Misconfigured, NotAtOnce
from samara.events import HttpResponse
from samara.hosts.connection import Turn
from samara.hosts.http import failure, response_of
from samara.hosts.loop import Loop

MOST_TOGETHER = 128  # requests of one call, so that the first of them does not wait for ever more
TOGETHER_S = 1.0  # that a call may take, by the latest of its kind: all that go together wait for the last of them
UNSEEN_S = 0.04  # what a request is thought to take of which nobody knows
WAITS_S = 0.001  # a call that waits longer had better wait in a thread; one that flushes a good disk does not
LONG_S = 0.005  # whoever computes longer than that lets everybody else wait, a health check above all
STUCK_S = 0.05  # and one such call is enough
WEIGHT = 0.1  # of the latest call in what is thought of the next one
OFTEN = 0.5  # the share of slow calls from which the next one is thought slow
WORKERS = 2  # calls made at a time: while one waits for the disk, the other computes
MOST_KINDS = 1_024  # of requests remembered: callers choose what they ask for

Kind = tuple[str, int]
Run = Callable[[Sequence[Any]], Sequence[Any]]


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

    def look(self, now: float) -> None:
        """End the waiting for what takes too long, by `time.monotonic`."""


class Running:
    """The calls that are under way, the oldest first: all of them may take equally long."""

    def __init__(self, function: Function) -> None:
        self._function = function
        self._begun: dict[int, tuple[float, Sequence[Turn]]] = {}

    def begin(self, turns: Sequence[Turn]) -> None:
        self._begun[id(turns)] = time.monotonic() + self._function.timeout_s, turns

    def end(self, turns: Sequence[Turn]) -> None:
        del self._begun[id(turns)]

    def look(self, now: float) -> int:
        """Answer for those that take too long. How many there are, until they end."""
        late = [turns for due, turns in self._begun.values() if due < now]
        for turns in late:
            self.give_up(turns)
        return len(late)

    def give_up(self, turns: Sequence[Turn]) -> None:
        for turn in turns:
            turn.answer(refusal(503, "timeout", f"no answer within {self._function.timeout_s} seconds"))


class Apart:
    """Each request by a call of its own, in a thread."""

    def __init__(
        self,
        function: Function,
        run: Callable[[Any], Any],
        clock: Callable[[], datetime],
        workers: Workers,
        loop: Loop,
    ) -> None:
        self._function = function
        self._run = run
        self._clock = clock
        self._workers = workers
        self._loop = loop
        self._running = Running(function)

    def add(self, turn: Turn) -> None:
        request, turns = turn.request(self._clock()), [turn]
        self._running.begin(turns)

        def work() -> None:
            responses = answered(self._function, lambda: [self._run(request)], 1) if turn.waiting else ()
            self._loop.soon(lambda: done(responses))

        def done(responses: Sequence[HttpResponse]) -> None:
            self._running.end(turns)
            for response in responses:
                turn.answer(response)

        self._workers.run(work)

    def look(self, now: float) -> None:
        self._running.look(now)

    def stop(self) -> None:
        self._workers.stop()


class Together:
    """All requests that have arrived by one call: at once where it is quick, else in a thread.

    Measured, not told: a call that waits for a disk, or computes for long, would keep everybody else waiting, while a
    quick one costs twice as much in a thread. The measure is how many of the latest calls were slow: an average of
    seconds would believe a single long one for too long. It is kept for each kind of request, its address and about
    how large it is, and begins as slow: of what has not been seen yet, nobody knows. What runs `hastily` may raise
    `NotAtOnce`, and runs in a thread then.
    """

    def __init__(
        self,
        function: Function,
        run: Run,
        hastily: Run,
        clock: Callable[[], datetime],
        loop: Loop,
    ) -> None:
        self._function = function
        self._run = run
        self._hastily = hastily
        self._clock = clock
        self._workers = Workers(WORKERS, f"{function.name}-together")
        self._loop = loop
        self._running = Running(function)
        self._quick: list[Turn] = []
        self._arrived: list[tuple[float, Turn]] = []  # and when each must be answered
        self._busy = 0
        self._planned = False
        self._looks = True  # whether the next call is to be told computing from waiting
        self._slow: dict[Kind, float] = {}  # the share of the latest calls that were
        self._each_s: dict[Kind, float] = {}  # what each request took of the latest call
        self._elsewhere: Counter[str] = Counter()  # in how many calls in threads an address is asked

    def add(self, turn: Turn) -> None:
        if self._quickly([kind(turn)]):
            self._quick.append(turn)
        else:
            self._arrived += self._waiting([turn])
        self._plan()

    def look(self, now: float) -> None:
        if self._running.look(now) >= WORKERS:  # who came meanwhile would wait for what may never end
            now = inf
        late = [turn for due, turn in self._arrived if due < now]
        if late:
            self._arrived = [one for one in self._arrived if one[0] >= now]
            self._running.give_up(late)

    def _waiting(self, turns: Iterable[Turn]) -> list[tuple[float, Turn]]:
        due = time.monotonic() + self._function.timeout_s
        return [(due, turn) for turn in turns]

    def stop(self) -> None:
        self._workers.stop()

    def _go(self) -> None:
        self._planned = False
        if self._arrived and self._busy < WORKERS:
            most = self._most()
            turns, self._arrived = [turn for _, turn in self._arrived[:most]], self._arrived[most:]
            (self._at_once if self._quickly(set(map(kind, turns))) else self._in_a_thread)(turns)
        if self._quick:
            turns, self._quick = self._quick[:MOST_TOGETHER], self._quick[MOST_TOGETHER:]
            self._at_once(turns)
        self._plan()  # what is left, but let the loop read and write in between

    def _plan(self) -> None:
        if not self._planned and (self._quick or (self._arrived and self._busy < WORKERS)):
            self._planned = True
            self._loop.soon(self._go)

    def _most(self) -> int:
        """How many of those that have arrived go together: at least one."""
        left_s = TOGETHER_S
        for count, (_, turn) in enumerate(self._arrived[:MOST_TOGETHER]):
            left_s -= self._each_s.get(kind(turn), UNSEEN_S)
            if left_s < 0:
                return max(1, count)
        return MOST_TOGETHER

    def _quickly(self, kinds: Iterable[Kind]) -> bool:
        """Whether these are quick kinds. While threads are at work on their address, they had better gather."""
        return all(self._slow.get(one, 1.0) < OFTEN and one[0] not in self._elsewhere for one in kinds)

    def _at_once(self, turns: list[Turn]) -> None:
        try:
            responses, took, waited = self._measured(turns, self._hastily)
        except NotAtOnce:
            self._arrived[:0] = self._waiting(turns)
            self._slow.update(dict.fromkeys(map(kind, turns), OFTEN))
        else:
            self._settle(turns, responses, took, waited)

    def _in_a_thread(self, turns: list[Turn]) -> None:
        self._busy += 1
        self._running.begin(turns)
        asked = Counter({kind(turn)[0] for turn in turns})
        self._elsewhere += asked

        def work() -> None:
            found = self._measured(turns, self._run)
            self._loop.soon(lambda: done(*found))

        def done(responses: Sequence[HttpResponse], took: float, waited: float) -> None:
            self._running.end(turns)
            self._busy -= 1
            self._elsewhere -= asked
            self._settle(turns, responses, took, waited)
            self._go()

        self._workers.run(work)

    def _measured(self, turns: list[Turn], run: Run) -> tuple[Sequence[HttpResponse], float, float]:
        """The answers, how long they took, and how much of that was waiting, where that was looked at."""
        looks, self._looks = self._looks, False
        computed = time.thread_time() if looks else 0.0
        at, started = self._clock(), time.perf_counter()
        requests = [turn.request(at) for turn in turns]
        responses = answered(self._function, lambda: run(requests), len(turns))
        took = time.perf_counter() - started
        if took > WAITS_S:  # perhaps it has waited, for which the next one is looked at, since looking takes its time
            self._looks = True
        waited = took - (time.thread_time() - computed) if looks else 0.0
        return responses, took, waited

    def _settle(self, turns: list[Turn], responses: Sequence[HttpResponse], took: float, waited: float) -> None:
        slow = took > LONG_S or waited > WAITS_S
        if len(self._slow) > MOST_KINDS:
            self._slow.clear()
            self._each_s.clear()
        for one in set(map(kind, turns)):
            self._each_s[one] = took / len(turns)
            before = self._slow.get(one, 1.0)
            self._slow[one] = 1.0 if took > STUCK_S else before + WEIGHT * (slow - before)
        for turn, response in zip(turns, responses, strict=True):
            turn.answer(response)


class Both:
    """What asks for work goes together, and questions apart: how it is doing, a function says while it is at work.
    For work that `lasts` nobody else waits, whether they ask for work or have a question."""

    def __init__(self, gathers: Callable[[str, str], bool], apart: Apart, lasting: Apart, together: Together) -> None:
        self._gathers = gathers
        self._apart = apart
        self._lasting = lasting
        self._together = together

    def add(self, turn: Turn) -> None:
        method, path = (turn.head.method, turn.head.path) if turn.head else ("", "")
        if self._gathers(method, path):
            self._together.add(turn)
        else:
            (self._lasting if method == "POST" else self._apart).add(turn)

    def look(self, now: float) -> None:
        self._apart.look(now)
        self._lasting.look(now)
        self._together.look(now)

    def stop(self) -> None:
        self._lasting.stop()
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

    def look(self, now: float) -> None:
        """Importing takes the time it takes."""

    def begin(self, load: Callable[[], Handler[Any]], workers: Workers, loop: Loop) -> None:
        def work() -> None:
            try:
                handler = load()
            except Exception as error:  # noqa: BLE001  # whoever asked is told, and the next one may have more luck
                response = failure(error, {"loading": self._function.name})
                loop.soon(lambda: self._give_up(response))
            else:
                loop.soon(lambda: self._pass_on(handler))

        workers.run(work)

    def _pass_on(self, handler: Handler[Any]) -> None:
        way = self._found(handler)
        for turn in self._waiting:
            way.add(turn)

    def _give_up(self, response: HttpResponse) -> None:
        self._failed()
        for turn in self._waiting:
            turn.answer(response)


def kind(turn: Turn) -> Kind:
    """What requests have in common that take about as long: their address, and the octal digits of their size."""
    return turn.head.path if turn.head else "", len(turn.body).bit_length() // 3


def answered(function: Function, run: Callable[[], Sequence[Any]], count: int) -> Sequence[HttpResponse]:
    """`count` responses, whatever happens: what goes wrong with all of them is said to each."""
    try:
        responses = [response_of(function, response) for response in run()]
    except NotAtOnce:
        raise
    except Exception as error:  # noqa: BLE001  # whoever asked gets an answer
        return [failure(error, {"answering": function.name})] * count
    except BaseException as error:  # noqa: BLE001  # code that means to end the process must not end a thread unheard
        ended = Misconfigured(function.name, f"tried to end the process by {type(error).__name__}")
        return [failure(ended, {})] * count
    if len(responses) != count:
        strange = Misconfigured(function.name, f"gave {len(responses)} answers to {count} requests")
        return [failure(strange, {})] * count
    return responses
