"""The local platform's queue: every event has its effect, and none is worked on twice at a time."""

import queue
from datetime import UTC, datetime, timedelta

import pytest

from samara.dev.pending import Pending, Task

NOON = datetime(2013, 2, 14, 12, tzinfo=UTC)
INGEST = Task("ingest", "landing/leaves/a.csv", NOON)


def test_a_task_that_waits_already_is_not_added_again() -> None:
    pending = Pending()

    pending.add(INGEST)
    pending.add(Task("ingest", "landing/leaves/a.csv", NOON + timedelta(minutes=1)))

    assert pending.take(0.01) == INGEST
    with pytest.raises(queue.Empty):
        pending.take(0.01)


def test_a_task_that_comes_while_it_runs_is_run_once_more_and_not_at_the_same_time() -> None:
    pending = Pending()
    pending.add(INGEST)
    running = pending.take(0.01)
    assert running is not None

    pending.add(INGEST)
    pending.add(INGEST)

    with pytest.raises(queue.Empty):
        pending.take(0.01)
    pending.done(running)
    again = pending.take(0.01)
    assert again == INGEST
    pending.done(again)
    with pytest.raises(queue.Empty):
        pending.take(0.01)


def test_another_file_of_the_same_function_does_not_wait() -> None:
    pending = Pending()
    pending.add(INGEST)
    pending.take(0.01)

    other = Task("ingest", "landing/leaves/b.csv", NOON)
    pending.add(other)

    assert pending.take(0.01) == other


def test_everybody_who_takes_is_stopped() -> None:
    pending = Pending()

    pending.stop(2)

    assert pending.take(0.01) is None
    assert pending.take(0.01) is None
