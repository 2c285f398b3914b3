"""The whole suite under thousands of simulated storms: what is promised holds, and what breaks it is found.

To replay a failing seed: `python -m tests.simulation SEED`. For many more: `make simulate`.
"""

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.simulation import weather
from tests.simulation.bugs import BUGS, planted
from tests.simulation.shrink import shrunk
from tests.simulation.simulation import play, staged
from tests.simulation.story import told

SEEDS = 10_000
IN_ONE_TEST = 250
ENOUGH = 1_000  # seeds in which every planted bug is found
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def stage() -> Iterator[None]:
    with staged():
        yield


@pytest.mark.parametrize("first", range(0, SEEDS, IN_ONE_TEST))
def test_whatever_goes_wrong_everything_is_as_it_must_be(first: int) -> None:
    for seed in range(first, first + IN_ONE_TEST):
        played = play(seed)
        assert not played.wrong, "\n".join(told(shrunk(played)))


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_found(bug: str) -> None:
    with planted(bug):
        assert any(play(seed).wrong for seed in range(ENOUGH)), f"{bug} was not found in {ENOUGH:,} seeds"


def test_everything_that_can_go_wrong_does() -> None:
    happened = Counter(twist.what for seed in range(400) for twist in play(seed).twists)

    rare = [what for what in weather.EVERYTHING if happened[what] < 3]
    assert not rare


def test_a_seed_is_the_same_story_every_time_and_in_every_process() -> None:
    here = "".join(play(seed).digest for seed in range(40))
    again = "".join(play(seed).digest for seed in range(40))
    program = (
        "from tests.simulation.simulation import play, staged\n"
        "with staged():\n"
        "    print(''.join(play(seed).digest for seed in range(40)), end='')\n"
    )

    elsewhere = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "7"},
        capture_output=True,
        check=True,
        text=True,
    ).stdout

    assert here == again == elsewhere


def test_a_failing_seed_is_told_by_the_few_turns_it_takes() -> None:
    with planted("batches_not_reconciled"):
        failed = next(played for seed in range(ENOUGH) if (played := play(seed)).wrong)
        short = shrunk(failed)

    assert short.wrong
    assert len(short.twists) <= 3 < len(failed.twists)
    assert any(weather.UNHEARD in line for line in told(short))
