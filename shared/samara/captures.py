"""Reading what was captured: one prediction to an object, or a line for each of several that came together."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from samara.app import App
from samara.core import keys
from samara.core.lineage import misplaced
from samara.core.records import Capture, Feedback, last_words
from samara.core.windows import Window
from samara.errors import NotFound, Rejected

Word = tuple[str, str, tuple[Any, ...]]
"""When something was said of a prediction, the digest of the record of it, and the truth about each row."""


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


def truths(app: App, model: str, window: Window) -> dict[str, tuple[Any, ...]]:
    """The last word about each row of the window's predictions."""
    words: dict[str, list[Word]] = defaultdict(list)
    for _, said in feedback(app, prefix(keys.FEEDBACK, model, window)):
        if said is not None:
            words[said.prediction].append(word(said))
    return {prediction: known(theirs) for prediction, theirs in words.items()}


def feedback(app: App, prefix: str) -> Iterator[tuple[str, Feedback | None]]:
    """All that was said under `prefix`, with its key; None for what cannot be read."""
    for key in app.store.list(prefix):
        try:
            yield key, app.read(Feedback, key)
        except (Rejected, NotFound):
            yield key, None


def word(said: Feedback) -> Word:
    return str(said.noted.get("at", "")), said.digest, said.truth


def known(words: Iterable[Word]) -> tuple[Any, ...]:
    """What these words about one prediction come to, in whatever order they are given."""
    return last_words([truth for _, _, truth in sorted(words, key=lambda one: one[:2])])


def under(app: App, prefix: str) -> Iterator[tuple[str, Capture | None]]:
    """Each capture under `prefix` with its key, as keys sort; None for one that cannot be read."""
    for key in app.store.list(prefix):
        yield from within(app, key)


def within(app: App, key: str) -> Iterator[tuple[str, Capture | None]]:
    """The captures in one object. A line broken or cut off is that prediction's loss, not that of the others."""
    try:
        data = app.store.get(key).data
    except NotFound:
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

    >>> held("captures/late/2013-02-14T05/00112233445566aa.32.jsonl")
    32
    """
    count = key.removesuffix(".jsonl").rpartition(".")[2]
    return int(count) if len(count) <= 4 and count.isdecimal() else 1
