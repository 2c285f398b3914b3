"""A play in words: who did what to which key, what was done to them, and what is wrong in the end."""

from collections.abc import Iterator
from datetime import timedelta

from tests.simulation.simulation import Played
from tests.simulation.world import BEGIN, Line


def told(played: Played, bug: str = "") -> Iterator[str]:
    """Line by line. Reads are left out, except those that something happened to."""
    yield f"seed {played.seed}{f' with the bug {bug}' if bug else ''}:"
    yield from (f"  WRONG: {wrong}" for wrong in played.wrong or ())
    if not played.wrong:
        yield "  everything is as it must be"
    yield f"{'It takes' if played.wrong else 'There were'} {len(played.twists)} turns of events:"
    yield from (f"  {twist}" for twist in played.twists)
    yield "What happened:"
    yield from (f"  {line(step)}" for step in played.story)
    yield f"Replay it: python -m tests.simulation {played.seed}{f' --bug {bug}' if bug else ''}"


def line(step: Line) -> str:
    at, who, did, what, outcome = step
    instant = (BEGIN + timedelta(seconds=at)).strftime("%d %H:%M:%S.%f")[:-3]
    said = " ".join(word for word in (did, what) if word)
    return f"{instant}  {who}: {said}" + (f" → {outcome}" if outcome else "")
