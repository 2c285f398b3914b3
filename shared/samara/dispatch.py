"""From an event to the function it wakes, wherever that runs."""

import importlib
from typing import Any

from samara.app import App
from samara.catalogue import Function
from samara.entry import Handler
from samara.events import Event


def handler_of(name: str) -> Handler[Any]:
    """The handler of the function of that name. Like the catalogue, it is found by name, never imported."""
    handler: Handler[Any] = importlib.import_module(f"functions.{name}.handler").handler
    return handler


def deliver(function: Function, event: Event, app: App) -> Any:
    """Run `function` for `event` with the permissions its catalogue entry gives, and nothing else."""
    return handler_of(function.name)(event, app.acting_as(function))
