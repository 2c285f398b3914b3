"""`python -m tests.simulation SEED` replays one seed; `--seeds FROM:TO` plays many on every core, up to a failure."""

import argparse
import multiprocessing
import os
import sys
import time

from tests.simulation.bugs import BUGS, planted
from tests.simulation.chunk import played_chunk
from tests.simulation.shrink import shrunk
from tests.simulation.simulation import play, staged
from tests.simulation.story import told

CHUNK = 100


def main() -> int:
    asked = arguments()
    if asked.seeds is not None:
        return played_many(asked.seeds[0], asked.seeds[1], asked.processes, asked.bug)
    with staged(), planted(asked.bug):
        played = play(asked.seed)
        if played.wrong:
            played = shrunk(played)
    print("\n".join(told(played, asked.bug)))  # noqa: T201  # what was asked for
    return 1 if played.wrong else 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("seed", nargs="?", type=int, default=0, help="the seed to replay")
    parser.add_argument("--seeds", type=span, metavar="FROM:TO", help="play these, the last not included")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="how many at once")
    parser.add_argument("--bug", default="", choices=["", *BUGS], help="with this mistake planted in the code")
    return parser.parse_args()


def span(text: str) -> tuple[int, int]:
    first, _, end = text.partition(":")
    return int(first), int(end)


def played_many(first: int, end: int, processes: int, bug: str) -> int:
    """Play a span of seeds. Stops at the first failure, tells it as shortly as it can be told, and gives 1."""
    chunks = [(start, min(start + CHUNK, end), bug) for start in range(first, end, CHUNK)]
    began, done, operations = time.monotonic(), 0, 0
    with multiprocessing.get_context("spawn").Pool(processes, maxtasksperchild=500) as pool:
        for failed, seeds, asked in pool.imap_unordered(played_chunk, chunks):
            done, operations = done + seeds, operations + asked
            rate = done / (time.monotonic() - began)
            left = (end - first - done) / rate
            say(f"\r{done:,} of {end - first:,} seeds, {rate:.0f} a second, {left / 60:,.0f} min left ")
            if failed is not None:
                pool.terminate()
                with staged(), planted(bug):
                    print("\n" + "\n".join(told(shrunk(failed), bug)))  # noqa: T201  # what was asked for
                return 1
    say(f"\n{operations:,} operations, and everything was as it must be\n")
    return 0


def say(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
