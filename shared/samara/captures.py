"""Reading what was captured: one prediction to an object, or a line for each of several that came together."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import takewhile
from typing import Any, NamedTuple

from samara.ahead import ahead
from samara.app import App
from samara.core import keys
from samara.core.lineage import misplaced
from samara.core.records import Capture, Feedback, last_words
from samara.core.windows import Window
from samara.errors import NotFound, Rejected

Word = tuple[str, str, tuple[Any, ...]]
"""When something was said of a prediction, the digest of the record of it, and the truth about each row."""

PASSES = 64  # over what was drawn, so that whoever stops early has seen of every hour
FEW = 64  # objects of captures whose truths are held at a time: one capture may have a million rows
DEPTH = 3  # slashes in the key of a capture: below its topic, model and hour. What lies elsewhere is a stray file


class Drawn(NamedTuple):
    """The keys of the objects that were drawn, in an order whose every beginning is about as fair as the whole. How
    many captures are `there` to draw from, by the names of the objects."""

    keys: list[str]
    there: int


def windows_with(app: App, model: str, closed: Sequence[Window]) -> Iterator[Window]:
    """Those of these windows, oldest first, that have captures. Listing skips those without."""
    found = ""
    for window in closed:
        start = prefix(keys.CAPTURES, model, window)
        if found < start:
            found = next(app.store.list(f"{keys.CAPTURES}{model}/", after=start), "")
        if not found:
            return
        if found.startswith(start):
            yield window


def prefix(topic: str, model: str, window: Window) -> str:
    """Where a window's captures or feedback lie: its name begins the name of each of its hours."""
    return f"{topic}{model}/{window.name}"


def drawn(app: App, model: str, window: Window, most: int) -> Drawn:
    """A fair part of the window's captures, or all of them.

    Their names are drawn by lot, or are digests, and they are listed by the hour. So every second of them is as good
    as all, and every second of those again, until no more than `most` are left, or one object.
    """
    taken: list[str] = []
    there = held_there = passed = 0
    step = 1
    for key in app.store.list(prefix(keys.CAPTURES, model, window)):
        there += held(key)
        passed += 1
        if (passed - 1) % step:
            continue
        taken.append(key)
        held_there += held(key)
        while held_there > most and len(taken) > 1:
            taken, step = taken[::2], step * 2
            held_there = sum(map(held, taken))
    return Drawn([key for start in range(PASSES) for key in taken[start::PASSES]], there)


def first(app: App, model: str, hour: Window, most: int) -> list[str]:
    """The keys of the hour's first objects, with `most` captures or all. They are a fair part of it, as all are whose
    names were drawn by lot, and nobody lists the others."""
    taken: list[str] = []
    there = 0
    for key in app.store.list(prefix(keys.CAPTURES, model, hour)):
        taken.append(key)
        there += held(key)
        if there >= most:
            break
    return taken


def with_truths(
    app: App, model: str, window: Window, asked: Sequence[str]
) -> Iterator[tuple[str, Capture | None, tuple[Any, ...]]]:
    """The captures in the objects at these keys, as `each` has them, and what is known about each row of them.

    Few truths are held, and whoever stops listening has had few read in vain.
    """
    there = said(app, model, window, asked)
    for start in range(0, len(asked), FEW):
        few = asked[start : start + FEW]
        known_here = told(app, there, few)
        for name, capture in each(app, few):
            yield name, capture, known_here.get(capture.prediction, ()) if capture else ()


def said(app: App, model: str, window: Window, asked: Sequence[str]) -> dict[str, list[str]]:
    """The keys of all that was said about the predictions whose captures lie at these keys, by where it lies."""
    found: dict[str, list[str]] = {one.truths: [] for one in predictions(asked)}
    last = max(found, default="") + "~"  # behind all that was said about it
    for key in takewhile(last.__ge__, app.store.list(prefix(keys.FEEDBACK, model, window))):
        if (place := key[: key.rfind("/") + 1]) in found:
            found[place].append(key)
    return found


def told(app: App, said_there: Mapping[str, Sequence[str]], asked: Sequence[str]) -> dict[str, tuple[Any, ...]]:
    """What comes of all that was said about the predictions whose captures lie at these keys."""
    words: dict[str, list[Word]] = defaultdict(list)
    for _, one in feedback(app, (key for about in predictions(asked) for key in said_there[about.truths])):
        if one is not None:
            words[one.prediction].append(word(one))
    return {prediction: known(theirs) for prediction, theirs in words.items()}


def predictions(asked: Iterable[str]) -> Iterator[keys.Prediction]:
    """Those whose captures lie at these keys, as far as their names say."""
    return (one for key in asked if key.count("/") == DEPTH for one in keys.predictions_at(key))


def feedback(app: App, said_at: Iterable[str]) -> Iterator[tuple[str, Feedback | None]]:
    """What was said at these keys; None for what cannot be read."""

    def said(key: str) -> Feedback | None:
        try:
            return app.read(Feedback, key)
        except (Rejected, NotFound):
            return None

    return ahead(said, said_at, app.at_once)


def word(said: Feedback) -> Word:
    return str(said.noted.get("at", "")), said.digest, said.truth


def known(words: Iterable[Word]) -> tuple[Any, ...]:
    """What these words about one prediction come to, in whatever order they are given."""
    return last_words([truth for _, _, truth in sorted(words, key=lambda one: one[:2])])


def each(app: App, asked: Iterable[str]) -> Iterator[tuple[str, Capture | None]]:
    """The captures in the objects at these keys, in their order, each by its name; None for one that cannot be read.

    A line broken or cut off is that prediction's loss, not that of the others.
    """
    for key, data in ahead(lambda key: found(app, key), asked, app.at_once):
        yield from within(key, data)


def found(app: App, key: str) -> bytes | None:
    try:
        return app.store.get(key).data
    except NotFound:
        return None


def within(key: str, data: bytes | None) -> Iterator[tuple[str, Capture | None]]:
    if data is None:
        yield key, None
        return
    lines = [data]
    if several := key.endswith(".jsonl"):
        lines = data.removesuffix(b"\n").split(b"\n")
        lines += [b""] * (held(key) - len(lines))
    for place, line in enumerate(lines, start=1):
        named = f"{key}#{place}" if several else key
        try:
            capture = Capture.read(line, named)
        except Rejected:
            yield named, None
            continue
        yield named, None if misplaced(capture, named) else capture


def held(key: str) -> int:
    """How many captures an object of several holds, as its name says.

    >>> held("captures/late/2013-02-14T05/00112233445566aa.32.jsonl"), held("captures/late/2013-02-14T05/notes.2013")
    (32, 1)
    """
    if not key.endswith(".jsonl"):
        return 1
    count = key.removesuffix(".jsonl").rpartition(".")[2]
    return int(count) if len(count) <= 4 and count.isdecimal() else 1
