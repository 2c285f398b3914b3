"""One function served in a process of its own, as in a container: loaded first, then answered for until told to end."""

import json
import os
import signal
import sys
from collections.abc import Sequence

from samara import catalogue, dispatch, entry
from samara.app import build
from samara.entry import log
from samara.errors import Misconfigured
from samara.events import HttpRequest, HttpResponse
from samara.hosts import swift
from samara.hosts.server import LOOPBACK, Routes, Server, now
from samara.settings import Settings, from_environment

LEVELS = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40}


def alone(settings: Settings, name: str, host: str, port: int, models: Sequence[str] = ()) -> Server:
    """A server for one function of the catalogue, not yet running. What it imports, and `models`, are loaded first."""
    functions = catalogue.load(settings.catalogue)
    function = catalogue.named(functions, name)
    app = build(settings)
    anywhere = host not in (LOOPBACK, "::1", "localhost")
    server = Server(Routes((function,), app, now, anywhere=anywhere), port, host)
    handler = dispatch.handler_of(name)
    for model in models:
        ready(handler(HttpRequest("GET", f"/v2/models/{model}/ready", now()), app.acting_as(function)), model)
    if anywhere:
        log.warning(json.dumps({"serving": server.url, "warning": "whoever can reach this address may ask"}))
    return server


def ready(response: HttpResponse, model: str) -> None:
    if response.status != 200:
        raise Misconfigured(model, f"cannot be served: {response.body.decode(errors='replace')[:500]}")


def until_told(server: Server) -> None:
    """Run a server until this process is asked to end."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: server.soon())
    log.info(json.dumps({"serving": server.url}))
    swift.done()
    server.run()


def from_surroundings() -> None:
    """Serve what the environment and the command line name."""
    level = os.environ.get("LOG_LEVEL", "INFO").upper()
    if level not in LEVELS:
        raise Misconfigured("LOG_LEVEL", f"{level!r} is no level; there are {', '.join(LEVELS)}")
    entry.log_to_stderr(LEVELS[level])
    settings = from_environment()
    host, port = os.environ.get("HOST", LOOPBACK), os.environ.get("PORT", "8080")
    if not port.isdecimal():
        raise Misconfigured("PORT", f"{port!r} is no number of a port")
    until_told(alone(settings, settings.function or "predict", host, int(port), sys.argv[1:]))
