"""What could not be done is said to people, once."""

from collections.abc import Callable

from functions.deadletter.handler import run
from samara.app import App
from samara.core import keys
from samara.core.records import Alert
from samara.events import GivenUp
from samara.providers.memory import MemoryStore
from tests.conftest import NOON

LOST = GivenUp("ingest", "landing/flights/may.csv", "Unavailable", "the bucket was busy five times", NOON)
MISSED = GivenUp("drift", "", "Crashed", "ran out of memory", NOON)


def test_what_was_given_up_is_an_alert_that_names_it(acting_as: Callable[[str], App], whole: App) -> None:
    run(LOST, acting_as("deadletter"))

    alert = whole.read(Alert, keys.alert("landing/flights/may.csv", "ingest Unavailable"))
    assert (alert.subject, alert.why) == ("landing/flights/may.csv", "the bucket was busy five times")


def test_what_was_woken_by_no_object_is_named_for_its_function(acting_as: Callable[[str], App], whole: App) -> None:
    run(MISSED, acting_as("deadletter"))

    assert whole.read(Alert, keys.alert("drift", "drift Crashed")).subject == "drift"


def test_what_is_no_text_is_told_all_the_same(acting_as: Callable[[str], App], whole: App, store: MemoryStore) -> None:
    run(LOST._replace(subject="landing/\ud83d.csv", why="half of \udc4b"), acting_as("deadletter"))

    (key,) = store.list(keys.ALERTS)
    alert = whole.read(Alert, key)
    assert (alert.subject, alert.why) == ("landing/?.csv", "half of ?")


def test_delivered_twice_it_is_said_once(acting_as: Callable[[str], App], store: MemoryStore) -> None:
    run(LOST, acting_as("deadletter"))
    run(LOST, acting_as("deadletter"))

    assert len(list(store.list(keys.ALERTS))) == 1
