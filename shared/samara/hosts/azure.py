"""What Azure's Python worker indexes: `app`, which `function_app.py` imports. It holds one function of the catalogue.

Its queues are found by the connection `BUS`, which is keyless when these are set: `BUS__queueServiceUri`
(`https://{account}.queue.core.windows.net`), `BUS__credential` (`managedidentity`) and, for an identity that several
apps share, `BUS__clientId`. Objects come by the queue named as the function; `dead-letters` is kept for people.

What is raised makes a message visible again. After five tries (`maxDequeueCount` in `host.json`) Azure moves it to
`{queue}-poison`, so a `Rejected` is tried again too, in vain but harmlessly. Timers are not tried again: the next one
finds what is left.

A function key tells that somebody has it, and not who. Who asks is known where the app has App Service Authentication
besides, as Azure says by `WEBSITE_AUTH_ENABLED`, which is also what its own host goes by.
"""

import logging
import os
from typing import Any

import azure.functions as func

from samara.catalogue import Every, Failed, Function, Http
from samara.entry import log
from samara.events import GivenUp, HttpRequest, azure
from samara.hosts.process import Process, now, this

CONNECTION = "BUS"
KEPT = "dead-letters"
TRIES = 5  # `maxDequeueCount` in `host.json`
SCHEDULES = {"minute": "0 * * * * *", "quarter": "0 */15 * * * *", "hour": "0 0 * * * *"}
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")  # all, so that we say which are right


def __getattr__(name: str) -> Any:
    """`app`, made when it is first asked for."""
    if name != "app":
        raise AttributeError(name)
    log.setLevel(logging.INFO)  # the worker passes on what reaches the root logger, with severity and time
    globals()["app"] = made = application(this())
    return made


def application(process: Process) -> func.FunctionApp:
    """The triggers that the function's entry in the catalogue names."""
    app = func.FunctionApp()
    function = process.function
    if function.wakes_on:
        on_message(app, process)
    for trigger in function.on:
        if isinstance(trigger, Every):
            on_timer(app, process, trigger)
    if any(isinstance(trigger, Http) for trigger in function.on):
        on_request(app, process)
    if any(isinstance(trigger, Failed) for trigger in function.on):
        for other in process.functions:
            if other.wakes_on:
                on_poison(app, process, other)
    return app


def on_message(app: func.FunctionApp, process: Process) -> None:
    @app.function_name(process.function.name)
    @app.queue_trigger(arg_name="message", queue_name=process.function.name, connection=CONNECTION)
    def take(message: func.QueueMessage) -> None:
        process.hear(lambda: azure.created(message.get_body(), message.insertion_time or now()))


def on_timer(app: func.FunctionApp, process: Process, trigger: Every) -> None:
    @app.function_name(f"{process.function.name}-timer")
    @app.timer_trigger(arg_name="timer", schedule=SCHEDULES[trigger.in_a_cloud], run_on_startup=False)
    def take(timer: func.TimerRequest) -> None:  # noqa: ARG001  # the host calls it by that name
        process.take(azure.tick(now(), trigger.in_a_cloud))


def on_request(app: func.FunctionApp, process: Process) -> None:
    """Every path of this app, so that its errors are ours too. `host.json` leaves out the prefix `api`."""

    @app.function_name(f"{process.function.name}-http")
    @app.route(route="{*path}", methods=METHODS, auth_level=func.AuthLevel.FUNCTION)
    def answer(req: func.HttpRequest) -> func.HttpResponse:
        response = process.answer(lambda: request(req))
        body = b"" if req.method == "HEAD" else response.body
        return func.HttpResponse(body, status_code=response.status, headers=dict(response.headers))


def on_poison(app: func.FunctionApp, process: Process, other: Function) -> None:
    """Tell of what another function gave up, and keep it."""

    @app.function_name(f"{other.name}-poison")
    @app.queue_trigger(arg_name="message", queue_name=f"{other.name}-poison", connection=CONNECTION)
    @app.queue_output(arg_name="kept", queue_name=KEPT, connection=CONNECTION)
    def take(message: func.QueueMessage, kept: func.Out[str]) -> None:
        body = message.get_body()
        kept.set(body.decode(errors="replace"))
        process.take(given_up(other, message))


def given_up(other: Function, message: func.QueueMessage) -> GivenUp:
    return azure.given_up(message.get_body(), other.name, TRIES, message.insertion_time or now())


def request(req: func.HttpRequest) -> HttpRequest:
    identified = os.environ.get("WEBSITE_AUTH_ENABLED", "").lower() == "true"
    return azure.request(req.method, req.url, req.headers, req.get_body(), now(), identified=identified)
