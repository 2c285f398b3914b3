"""What Azure's worker indexes: the triggers of each function, and what they do with real messages."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, cast

import azure.functions as func
import pytest

from functions.catalogue import CATALOGUE
from samara.core import keys
from samara.events import azure as seam
from samara.hosts import azure
from samara.hosts.azure import application
from samara.hosts.process import Process, start
from samara.ports import ObjectStore
from samara.providers import store_at
from samara.providers.azure import DEVELOPMENT
from samara.settings import Settings
from tests.emulators import azurite, azurite_queues
from tests.events.samples import golden, raw

CSV = b"day,delay\n1,10\n2,20\n"
NOON = datetime(2013, 2, 14, 12, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def address() -> str:
    return azurite.fresh_container()


@pytest.fixture(scope="module")
def store(address: str) -> ObjectStore:
    return store_at(address)


def process(function: str, address: str = "", bus: str = "") -> Process:
    provider = "azure" if address else "memory"
    return start(Settings(function=function, provider=provider, store=address, bus=bus))


def triggers(made: Process) -> dict[str, Callable[..., Any]]:
    return {str(one.get_function_name()): one.get_user_function() for one in application(made).get_functions()}


def bindings(function: str) -> dict[str, list[dict[str, Any]]]:
    """What the host reads of an app: each trigger's bindings by its name, the trigger first."""
    return {
        str(one.get_function_name()): sorted(
            (b.get_dict_repr() for b in one.get_bindings()), key=lambda b: -("Trigger" in b["type"])
        )
        for one in application(process(function)).get_functions()
    }


def message(body: bytes) -> func.QueueMessage:
    from azure.functions.queue import QueueMessage  # noqa: PLC0415  # the class the worker gives, which has the times

    return cast("func.QueueMessage", QueueMessage(id="1", body=body, dequeue_count=1, insertion_time=NOON))  # type: ignore[no-untyped-call]  # half typed


def test_each_trigger_of_the_catalogue_is_one_of_azures() -> None:
    kinds = {
        function.name: sorted({each[0]["type"] for each in bindings(function.name).values()}) for function in CATALOGUE
    }

    assert kinds == {
        "ingest": ["queueTrigger"],
        "validate": ["queueTrigger"],
        "train": ["httpTrigger", "queueTrigger"],
        "register": ["queueTrigger"],
        "predict": ["httpTrigger", "timerTrigger"],
        "score": ["queueTrigger"],
        "feedback": ["httpTrigger"],
        "drift": ["timerTrigger"],
        "reconcile": ["timerTrigger"],
        "deadletter": ["queueTrigger"],
        "dashboard": ["httpTrigger"],
    }


def test_a_function_is_woken_by_the_queue_of_its_name() -> None:
    (queue,) = bindings("ingest")["ingest"]

    assert (queue["queueName"], queue["connection"]) == ("ingest", "BUS")


def test_timers_are_written_with_their_seconds() -> None:
    assert bindings("reconcile")["reconcile-timer"][0]["schedule"] == "0 */15 * * * *"
    assert bindings("drift")["drift-timer"][0]["schedule"] == "0 0 * * * *"


def test_nobody_answers_http_without_a_key() -> None:
    http = [each[0] for function in CATALOGUE for each in bindings(function.name).values() if "route" in each[0]]

    assert {one["authLevel"] for one in http} == {func.AuthLevel.FUNCTION}
    assert len(http) == 4


def test_whatever_is_poison_to_a_function_is_kept_and_told() -> None:
    found = bindings("deadletter")

    woken = [function.name for function in CATALOGUE if function.wakes_on]
    assert [each[0]["queueName"] for each in found.values()] == [f"{name}-poison" for name in woken]
    assert {each[1]["queueName"] for each in found.values()} == {"dead-letters"}


def test_an_upload_becomes_a_batch(address: str, store: ObjectStore) -> None:
    store.create("landing/late/a b.csv", CSV)
    event = golden("azure/event_grid_created")
    event["subject"] = "/blobServices/default/containers/flights/blobs/landing/late/a b.csv"
    take = triggers(process("ingest", address))["ingest"]

    take(message(json.dumps(event).encode()))
    take(message(json.dumps(event).encode()))

    assert len(list(store.list("datasets/late/"))) == 1


def test_what_is_malformed_fails_by_its_reason_until_it_is_poison() -> None:
    take = triggers(process("ingest"))["ingest"]

    with pytest.raises(Exception, match="not JSON"):
        take(message(b"?"))


def test_what_nobody_told_of_reconcile_puts_into_the_functions_queue() -> None:
    address = azurite.fresh_container()
    store_at(address).create("landing/lost/a.csv", CSV)
    azurite_queues.emptied("ingest")
    bus = f"queues://{DEVELOPMENT}?endpoint={azurite_queues.endpoint()}"

    triggers(process("reconcile", address, bus=bus))["reconcile-timer"](None)

    (told,) = azurite_queues.messages("ingest")
    assert seam.created(told, NOON).key == "landing/lost/a.csv"


class Kept:
    """An output binding, as the worker gives one."""

    def __init__(self) -> None:
        self.value = ""

    def set(self, value: str) -> None:
        self.value = value

    def get(self) -> str:
        return self.value


def test_a_poison_message_is_kept_as_it_was_and_told_to_people() -> None:
    made, kept = process("deadletter"), Kept()

    triggers(made)["ingest-poison"](message(raw("azure/event_grid_created")), kept)

    assert json.loads(kept.value) == golden("azure/event_grid_created")
    (alert,) = [made.app.store.get(key).data for key in made.app.store.list(keys.ALERTS)]
    assert b"ingest" in alert
    assert b"landing/late/a b%20c.csv" in alert


def asked(method: str, path: str, **headers: str) -> func.HttpRequest:
    named = {"Host": "x", **{name.replace("_", "-"): value for name, value in headers.items()}}
    return func.HttpRequest(method, f"https://samara.azurewebsites.net{path}", headers=named, body=b"")


def test_a_page_is_answered_with_what_keeps_browsers_in_check() -> None:
    answer = triggers(process("dashboard"))["dashboard-http"]

    page, head = answer(asked("GET", "/")), answer(asked("HEAD", "/"))

    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert page.get_body().startswith(b"<!doctype html>")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert (head.status_code, head.get_body()) == (200, b"")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [("GET", "/v2/models", 404, "unknown_path"), ("POST", "/", 405, "bad_method"), ("GET", "/a%2fb", 400, "bad_path")],
)
def test_what_is_not_its_own_is_refused_in_the_one_shape(method: str, path: str, status: int, code: str) -> None:
    reply = triggers(process("dashboard"))["dashboard-http"](asked(method, path))

    assert (reply.status_code, json.loads(reply.get_body())["code"]) == (status, code)


def test_who_asks_is_believed_only_where_azure_says_that_it_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    signed = asked("GET", "/", x_ms_client_principal_name="ann@example.com")

    by_key = azure.request(signed).caller
    monkeypatch.setenv("WEBSITE_AUTH_ENABLED", "True")
    by_identity = azure.request(signed).caller

    assert (by_key, by_identity) == ("", "ann@example.com"), "with a key alone, anybody may send that header"


INDEX = "from samara.hosts.azure import app; print(*(one.get_function_name() for one in app.get_functions()))"


def test_the_app_is_made_when_the_worker_indexes_it_by_the_environment() -> None:
    given = {
        "SAMARA_PROVIDER": "memory",
        "SAMARA_FUNCTION": "train",
        "BUS__queueServiceUri": "https://x.queue.core.windows.net",
    }
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **given}

    listed = subprocess.check_output([sys.executable, "-W", "error", "-c", INDEX], env=environment, text=True)

    assert listed.split() == ["train", "train-http"]
