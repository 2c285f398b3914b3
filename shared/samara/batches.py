"""Which batches of a dataset there are to work with, and which of them is the newest."""

from collections.abc import Iterator
from datetime import datetime

from samara.app import App
from samara.core import keys
from samara.core.records import Batch, Validation


def accepted(dataset: str, app: App) -> Iterator[tuple[str, Validation]]:
    """The accepted batches that have rows, by the key of their validation."""
    for key in app.store.list(f"{keys.VALIDATIONS}{dataset}/"):
        validation = app.read(Validation, key)
        if validation.verdict == "accepted" and validation.parts:
            yield key, validation


def arrived(validation: Validation, key: str, app: App) -> datetime:
    """When a batch was uploaded, as it noted itself, which a copy of the bucket keeps; else when it was validated."""
    batch = app.find(Batch, validation.batch)
    try:
        at = datetime.fromisoformat(str(batch.noted["at"] if batch else ""))
    except (KeyError, ValueError):  # no digest guards what is noted
        return app.store.head(key).at
    return at if at.tzinfo else app.store.head(key).at


def newest(dataset: str, app: App) -> tuple[str, Validation] | None:
    """The accepted batch that arrived last, a tie broken by key; None when there is none."""
    dated = [(arrived(validation, key, app), key, validation) for key, validation in accepted(dataset, app)]
    return max(dated, key=lambda one: one[:2])[1:] if dated else None
