"""Threads that bring a request each at the same time, answered together where a function can: as in
`samara.hosts.ways`, nobody waits for company, but while others are being answered, company gathers by itself."""

from collections.abc import Callable, Sequence
from threading import Lock, Semaphore
from time import perf_counter
from typing import TYPE_CHECKING

from samara.events import HttpRequest, HttpResponse

if TYPE_CHECKING:
    from concurrent.futures import Future

MOST_TOGETHER = 128  # requests of one call, so that the first of them does not wait for ever more
TOGETHER_S = 1.0  # that a call may take, by the latest one: all that go together wait for the last of them
UNSEEN_S = 0.04  # what a request is thought to take before one has been answered
AT_ONCE = 2  # calls: while one waits for the bucket, the other computes


class Gathered:
    """`run` answers all it is given, in order. Called by many threads at once, with a request each."""

    def __init__(self, run: Callable[[Sequence[HttpRequest]], Sequence[HttpResponse]]) -> None:
        self._run = run
        self._lock = Lock()
        self._waiting: list[tuple[HttpRequest, Future[HttpResponse]]] = []
        self._turns = Semaphore(AT_ONCE)
        self._each_s = UNSEEN_S  # what each request took of the latest call

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """The response to this request, or what `run` raised for those it was asked with."""
        if self._turns.acquire(blocking=False):
            try:
                if not self._waiting:  # there is nobody to go with, as always where a process gets one at a time
                    (response,) = self._timed([request])
                    return response
            finally:
                self._turns.release()
        from concurrent.futures import Future  # noqa: PLC0415  # who is alone need not wait for that

        answer: Future[HttpResponse] = Future()
        with self._lock:
            self._waiting.append((request, answer))
        with self._turns:  # of as many turns as there are requests, each answers what has gathered, if others have not
            self._answer_some()
        return answer.result()

    def _answer_some(self) -> None:
        with self._lock:
            most = max(1, min(MOST_TOGETHER, int(TOGETHER_S / self._each_s)))
            some, self._waiting = self._waiting[:most], self._waiting[most:]
        if not some:
            return
        try:
            responses = self._timed([request for request, _ in some])
            for (_, answer), response in zip(some, responses, strict=True):
                answer.set_result(response)
        except BaseException as error:  # noqa: BLE001  # each of them hears of it
            for _, answer in some:
                if not answer.done():
                    answer.set_exception(error)

    def _timed(self, requests: Sequence[HttpRequest]) -> Sequence[HttpResponse]:
        started = perf_counter()
        try:
            return self._run(requests)
        finally:
            self._each_s = max(perf_counter() - started, 1e-6) / len(requests)
