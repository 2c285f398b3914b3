"""This process: which function it was deployed to be, and what it needs to be that."""

import json
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from samara import catalogue, dispatch, providers
from samara.app import App, build
from samara.catalogue import Catalogue, Function
from samara.entry import Handler, log
from samara.errors import Misconfigured, Rejected
from samara.events import Event, GivenUp, HttpRequest, HttpResponse, Wake
from samara.hosts import http
from samara.hosts.gathered import Gathered
from samara.providers import Bus
from samara.settings import Settings, from_environment


class Process:
    def __init__(self, settings: Settings, function: Function, functions: Catalogue, app: App) -> None:
        self.settings = settings
        self.function = function
        self.functions = functions
        self.app = app

    @cached_property
    def bus(self) -> Bus:
        if not self.settings.bus:
            raise Misconfigured("SAMARA_BUS", f"missing; {self.function.name} asks for wakes, so say over what they go")
        return providers.load(self.settings.provider).bus(self.settings)

    @property
    def known(self) -> frozenset[str]:
        return frozenset(function.name for function in self.functions)

    def take(self, event: Event | Rejected) -> None:
        """Do what an event asks, and wake whom that asks for. What is raised makes the platform try again."""
        if isinstance(event, Rejected):
            log.error(json.dumps({"function": self.function.name, "outcome": "dead", "error": str(event)}))
            raise event
        if isinstance(event, GivenUp) and event.function == self.function.name:
            log.error(json.dumps({"function": self.function.name, "outcome": "dead", "error": event.why}))
            return  # it is the one that tells people: to wake it by its own failure would never end
        asked = self._handler(event, self._acting)
        wakes = [wake for wake in asked if isinstance(wake, Wake)] if isinstance(asked, list) else []
        if wakes:
            self.bus.wake(wakes)

    def hear(self, read: Callable[[], Event]) -> None:
        """As `take`, of an event that may not be understood."""
        try:
            event: Event | Rejected = read()
        except Rejected as error:
            event = error
        self.take(event)

    def answer(self, read: Callable[[], HttpRequest], *, alone: bool = False) -> HttpResponse:
        """The response to what `read` gives, whatever happens. It goes `alone` where requests come one at a time."""
        return http.answered(self._find, read, self._run if alone else self._run_with_others)

    def _run_with_others(self, function: Function, request: HttpRequest) -> Any:
        if function.name == self.function.name and self._handler.gathers(request.method, request.path):
            return self._gathered(request)
        return self._run(function, request)

    def _run(self, function: Function, request: HttpRequest) -> Any:
        if function.name != self.function.name:
            raise http.unknown(request.path)  # another function's, at an address of its own
        return self._handler(request, self._acting)

    @cached_property
    def _find(self) -> Callable[[HttpRequest], http.Addressee]:
        return http.addressees(self.functions)

    @cached_property
    def _handler(self) -> Handler[Any]:
        return dispatch.handler_of(self.function.name)

    @cached_property
    def _acting(self) -> App:
        return self.app.acting_as(self.function)

    @cached_property
    def _gathered(self) -> Gathered:
        """Where a function can answer requests together, those that come at the same time are."""
        handler, app = self._handler, self._acting

        def answers(requests: Sequence[HttpRequest]) -> Sequence[HttpResponse]:
            return [handler(requests[0], app)] if len(requests) == 1 else handler.answers(requests, app)

        return Gathered(answers)


def start(settings: Settings) -> Process:
    functions = catalogue.load(settings.catalogue)
    if not settings.function:
        raise Misconfigured("SAMARA_FUNCTION", "missing; it names the function of the catalogue that this process is")
    return Process(settings, catalogue.named(functions, settings.function), functions, build(settings))


class Once:
    """The process, made when first asked for, by whichever thread that is."""

    def __init__(self, make: Callable[[], Process]) -> None:
        self._make = make
        self._made: Process | None = None
        self._lock = threading.Lock()

    def __call__(self) -> Process:
        with self._lock:
            self._made = self._made or self._make()
        return self._made


this = Once(lambda: start(from_environment()))


def now() -> datetime:
    return datetime.now(UTC)
