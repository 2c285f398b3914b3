"""What became of a conditional write whose answer got lost.

A store that commits a write and then fails to say so makes whoever sends it again look like the loser of a race:
every official SDK turns a lost answer into a false conflict by its own silent retries. So those are off for
conditional writes, and they are retried here, where it is known whether an earlier attempt is in doubt.

While none is, a conflict is a conflict and costs nothing more. After one was, what is there decides: our bytes are
our write, for payloads are named by their digest and heads carry a `write_id`.
"""

from collections.abc import Callable
from typing import TypeVar

from samara.errors import Conflict, NotFound, SamaraError, Unavailable, Unknown
from samara.patience import stand_back
from samara.ports import Object, Version

ATTEMPTS = 6
FIRST_S, MOST_S = 0.05, 2.0  # between two attempts: at most 4 s for all of them
Found = TypeVar("Found")
Written = TypeVar("Written", Version, bool)


def patiently(read: Callable[[], Found]) -> Found:
    """What `read` gives, in the end: while it is `Unavailable` it is asked again, since reading changes nothing."""
    for attempt in range(ATTEMPTS - 1):
        try:
            return read()
        except Unavailable:
            stand_back(attempt, FIRST_S, MOST_S)
    return read()


def settled(key: str, write: Callable[[], Written], ours: Callable[[], Written | None]) -> Written:
    """What `write` gives, or would have given if its answer had come.

    `write` raises `Conflict` when the store refused it and `Unavailable` when no clear answer came. `ours` gives
    what it would have given, if what is at `key` now is its work, else None. Something else being there after a
    lost answer makes it `Unknown`: ours may have been there before.
    """
    doubt: Unavailable | None = None
    for attempt in range(ATTEMPTS):
        try:
            return write()
        except Unavailable as error:
            doubt = error
            stand_back(attempt, FIRST_S, MOST_S)
        except Conflict:
            if doubt is None:
                raise
            break
        except SamaraError as error:  # keys that ran out, for one, say nothing about the attempt before
            if doubt is None:
                raise
            raise Unknown(key, f"{Unknown.usual}; then {error}") from error
    try:
        written = ours()
    except SamaraError as error:
        raise Unknown(key) from error
    if written is None:
        raise Unknown(key) from doubt
    return written


def same(read: Callable[[], Object], data: bytes) -> Callable[[], Version | None]:
    """The version of what `read` finds, if it has these bytes."""

    def ours() -> Version | None:
        now = read()
        return now.version if now.data == data else None

    return ours


def gone(head: Callable[[str], object], key: str) -> bool | None:
    """True when nothing is at `key` any more, which is what a removal comes to, whoever's it was."""
    try:
        head(key)
    except NotFound:
        return True
    return None
