"""What should have happened and has not: listings in, wakes out. Pure.

Every rule reads "this exists, and what follows from it does not". A rule that fires too often costs an
invocation that finds its work done; a rule that is missing loses somebody's upload.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from zlib import crc32

from samara.core import keys
from samara.core.aliases import Aliases
from samara.core.definition import Definition
from samara.core.records import ModelVersion
from samara.events import Wake


def taking_turns(uploads: Iterable[str], at: datetime, most: int) -> list[str]:
    """The uploads whose turn it is in this minute, all of them unless they are more than about `most`.

    An upload's name alone says when its turn is, so it is not missed while others come and go. How many turns there
    are is a power of two: ticks an odd number of minutes apart, be it one or fifteen, come to each of them.
    """
    found = list(uploads)
    turns = 1 << (max(0, len(found) - 1) // most).bit_length()
    turn = int(at.timestamp()) // 60 % turns
    return [key for key in found if crc32(key.encode()) % turns == turn]


def unread(receipts: Mapping[str, str], existing: frozenset[str]) -> Iterator[Wake]:
    """Uploads without a receipt. `receipts` maps each landing key to the receipt its present version should have."""
    for key, receipt in receipts.items():
        if receipt not in existing:
            yield Wake("ingest", key)


def unvalidated(batches: Iterable[str], validations: frozenset[str]) -> Iterator[Wake]:
    for key in batches:
        if keys.validation(key) not in validations:
            yield Wake("validate", key)


def undecided(
    definitions: Iterable[Definition], validations: Iterable[str], reports: Iterable[str], decisions: frozenset[str]
) -> Iterator[Wake]:
    """Models that never had a first training although there is data, and drift nobody has answered yet."""
    waiting = {d.dataset for d in definitions if keys.decision(d.model, "first") not in decisions}
    for key in validations:
        if keys.owner(key) in waiting:
            yield Wake("train", key)
    known = {d.model for d in definitions}
    for key in reports:
        if keys.owner(key) in known and keys.decision(keys.owner(key), key) not in decisions:
            yield Wake("train", key)


def recent(decisions: Iterable[str], results: frozenset[str], newest: int) -> Iterator[str]:
    """The decisions of one model worth a look: about the newest windows, and all that somebody asked for, whose names
    do not sort as they follow but say which run they led to, unless that has its result."""
    windows = []
    for key in decisions:
        name = keys.stem(key)
        if name.startswith("drift-"):
            windows.append(key)
        elif keys.result(keys.run(keys.owner(key), name.removeprefix("asked-"))) not in results:
            yield key
    yield from windows[-newest:]


def unanswered(scorings: Iterable[str], scores: frozenset[str]) -> Iterator[str]:
    """Scorings that have not come to anything yet."""
    return (key for key in scorings if keys.scores(key) not in scores)


def unregistered(results: Iterable[str], versions: Iterable[ModelVersion]) -> Iterator[Wake]:
    """Results whose run is in no version. `results` holds only those that succeeded."""
    registered = {keys.result(keys.run(version.model, version.run)) for version in versions}
    for key in results:
        if key not in registered:
            yield Wake("register", key)


def unmoved(versions: Iterable[ModelVersion], aliases: Aliases) -> Iterator[Wake]:
    """Versions whose registration ended before the aliases had heard of them."""
    heard = {move.cause for move in aliases.moves}
    for version in versions:
        if version.digest not in heard:
            yield Wake("register", keys.result(keys.run(version.model, version.run)))
