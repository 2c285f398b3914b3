"""Which version answers: by number, by alias, or by the shares of a canary. Pure.

A share is held against a number between 0 and 1 that follows from the model and a key, so that who sends the same
key is answered by the same version: while shares stay, and while they move for all whose number they do not pass.
"""

import json
from hashlib import sha256
from typing import Any, NamedTuple

from samara.errors import Rejected

NOBODY = "has no {}; promote a version, or train one that passes its gates"
NO_SHADOW = "has no shadow; name one with `samara shadow {} VERSION`"


class Standing(NamedTuple):
    """The alias head of a model, as far as an answer needs it. `move` is the number of its newest move."""

    champion: int | None
    challenger: int | None
    shadow: int | None
    weights: tuple[tuple[int, float], ...]
    move: int

    @classmethod
    def read(cls, data: bytes, key: str) -> "Standing":
        try:
            said: dict[str, Any] = json.loads(data)
            weights = tuple(sorted((int(version), float(share)) for version, share in said.get("weights", {}).items()))
            return cls(said["champion"], said["challenger"], said.get("shadow"), weights, len(said["moves"]))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            why = "not an alias head; restore it from the bucket's object versions"
            raise Rejected(key, why, code="bad_head") from error


def chosen(standing: Standing, model: str, alias: str, key: str) -> int:
    """The version that answers by `alias`, or for no alias by the shares, or `Rejected` when there is nobody."""
    if not alias and standing.weights:
        return shared(standing.weights, fraction(model, key))
    number: int | None = getattr(standing, alias or "champion")
    if number is None:
        why = NO_SHADOW.format(model) if alias == "shadow" else NOBODY.format(alias or "champion")
        raise Rejected(model, why, code="no_model")
    return number


def shared(weights: tuple[tuple[int, float], ...], at: float) -> int:
    """The version in whose share `at` lies, from 0 up to 1, in the order of their numbers.

    >>> [shared(((3, 0.9), (4, 0.1)), at) for at in (0.0, 0.89, 0.9, 0.999)]
    [3, 3, 4, 4]
    """
    for version, share in weights:
        at -= share
        if at < 0:
            return version
    return weights[-1][0]  # what rounding leaves over


def fraction(model: str, key: str) -> float:
    """A number from 0 up to 1 that follows from a key, spread evenly: the first 53 bits of a SHA-256."""
    found = sha256(f"{model}\0{key}".encode(errors="surrogatepass")).digest()
    return (int.from_bytes(found[:8], "big") >> 11) / (1 << 53)
