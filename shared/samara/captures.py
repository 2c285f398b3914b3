"""Reading what was captured: one prediction to an object, or a line for each of several that came together."""

from collections.abc import Iterator

from samara.app import App
from samara.core import keys
from samara.core.records import Capture
from samara.errors import NotFound, Rejected


def under(app: App, prefix: str) -> Iterator[tuple[str, Capture | None]]:
    """Each capture under `prefix` with its key, as keys sort; None for one that cannot be read."""
    for key in app.store.list(prefix):
        yield from within(app, key)


def within(app: App, key: str) -> Iterator[tuple[str, Capture | None]]:
    """The captures in one object. A line that is broken is that prediction's loss, not that of the others."""
    try:
        data = app.store.get(key).data
    except NotFound:
        yield key, None
        return
    several = key.endswith(".jsonl")
    lines = data.split(b"\n") if several else [data]
    for place, line in enumerate(lines, start=1):
        named = f"{key}#{place}" if several else key
        try:
            capture = Capture.read(line, named)
        except Rejected:
            yield named, None
            continue
        yield named, capture if capture.prediction == keys.prediction_of(named).id else None
