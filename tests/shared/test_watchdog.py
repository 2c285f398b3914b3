"""What runs too long is stopped, once; what ends in time is not, however close."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from samara.watchdog import Watchdog


def test_what_is_still_on_at_its_deadline_is_stopped_once() -> None:
    watchdog, stopped = Watchdog(), threading.Event()
    watch = watchdog.begin(0.01, stopped.set)

    assert stopped.wait(30)
    assert watchdog.end(watch)


def test_what_ended_before_is_not_stopped_and_says_so() -> None:
    watchdog, stopped = Watchdog(), threading.Event()
    watch = watchdog.begin(0.05, stopped.set)

    assert not watchdog.end(watch)
    assert not stopped.wait(0.2)


def test_a_near_deadline_is_kept_while_a_far_one_waits() -> None:
    watchdog, stopped = Watchdog(), threading.Event()
    far = watchdog.begin(3600, lambda: None)

    near = watchdog.begin(0.01, stopped.set)

    assert stopped.wait(30)
    assert watchdog.end(near)
    assert not watchdog.end(far)


def test_whoever_is_told_that_it_was_not_stopped_never_is_afterwards() -> None:
    watchdog = Watchdog()

    def race(number: int) -> bool:
        stopped = threading.Event()
        watch = watchdog.begin(number % 7 / 1000, stopped.set)
        time.sleep(number % 5 / 1000)
        said = watchdog.end(watch)
        before = stopped.is_set()
        time.sleep(0.01)
        return said == before == stopped.is_set()

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(race, range(400)))
