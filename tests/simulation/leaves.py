"""What is uploaded, what is asked and what is true: leaves of maples and of others, which their length tells apart."""

import csv
import io
import json
import random
from functools import cache

DATASET = "leaves"
GOOD = 4  # of the files are fit to train on, and the first of them
ASKED = 8  # leaves in a request
Truth = tuple[bool | None, ...]


def leaves(seed: int, rows: int = 24, grown: float = 0.0, guessed: bool = False) -> list[dict[str, object]]:
    """Maples are longer; `grown` is what the season adds; who guesses cannot tell them."""
    dice = random.Random(seed)  # noqa: S311  # data, not secrets
    found: list[dict[str, object]] = []
    for _ in range(rows):
        maple = dice.random() < 0.5
        told = dice.random() < 0.5 if guessed else maple
        found.append({"length": round(dice.gauss(9.0 if maple else 7.0, 1.0) + grown, 2), "maple": str(told).lower()})
    return found


def written(rows: list[dict[str, object]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, ["length", "maple"])
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


@cache
def files() -> dict[str, bytes]:
    """What may be uploaded, by what it is."""
    return {
        "few leaves": written(leaves(1, 8)),
        "more leaves": written(leaves(2, 16)),
        "many leaves": written(leaves(3, 32)),
        "summer leaves": written(leaves(8, 32, grown=4.0)),
        "guessed leaves": written(leaves(4, guessed=True)),
        "cursed leaves": written([*leaves(5), {"length": 95.0, "maple": "true"}]),
        "smudged leaves": written([*leaves(6), {"length": "long", "maple": "true"}]),
        "no leaves": written([{**row, "length": "long"} for row in leaves(1)]),
        "half a file": b"\x1f\x8b\x08 not a gzip file",
    }


def asked(identity: str | None, grown: bool) -> bytes:
    lengths = [row["length"] for row in leaves(7, ASKED, grown=6.0 if grown else 0.0)]
    inputs = [{"name": "length", "shape": [ASKED, 1], "datatype": "FP32", "data": lengths}]
    return json.dumps({"inputs": inputs, **({"id": identity} if identity else {})}).encode()


@cache
def truth() -> Truth:
    """Which of the leaves that are asked about are maples'."""
    return tuple(row["maple"] == "true" for row in leaves(7, ASKED))


@cache
def second_thoughts() -> tuple[Truth, ...]:
    """What somebody says who looks twice: first half of it, most of that wrong; then all but what was right."""
    right, *wrong = truth()[: ASKED // 2]
    hasty = (right, *(not said for said in wrong))
    return (*hasty, *(None,) * (ASKED - len(hasty))), (None, *truth()[1:])
