"""Why the model said so: what each feature of one row added to its answer, by Shapley values. Pure.

A feature's value is its average contribution, over all orders in which the features could become known, to the
model's average answer over some background rows: rows like those it was trained on stand in for what is not known
yet. So the values and the background's average add up to the answer, features that change nothing get nothing, and
those that do the same get the same (Shapley 1953; Štrumbelj and Kononenko 2014; the interventional kind of `shap`).

What is asked for is the cheapest of three, and the answer says which it was:

- `additive`: no coalition of many tried shows that features act on each other; then what each does alone is its value.
  The values are exact, unless an interaction escaped every coalition that was tried.
- `enumerated`: all 2ⁿ coalitions; exact.
- `sampled`: random orders, each with its reverse, which halves the work for the same error or does better (Castro,
  Gómez and Tejada 2009; Mitchell, Cooper, Frank and Holmes 2022). The values still add up; each has a standard error.

Imported only when somebody asks for an explanation: it needs numpy, an answer does not.
"""

from collections.abc import Callable, Mapping, Sequence
from math import factorial, prod
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from samara.core.tensors import TEXT, WIDTH, Value
from samara.errors import Rejected

ROWS = 10_000  # asked at once: bounds the memory of a batch
TRIED = 32  # random coalitions, and their complements, on which a model must be additive to count as such
ROUNDING = 5e-7  # of the largest answer: what averages of float32 differ by for no reason of the model's
NEGLIGIBLE = 1e-5  # of the range of answers: an interaction too small to matter
FEWEST = 4  # coalitions: so two features are always enumerated
FEWEST_ORDERS = 2  # pairs, or there is no error to state
NUMBERS: dict[str, Any] = {
    "BOOL": np.bool_,
    "UINT8": np.uint8, "UINT16": np.uint16, "UINT32": np.uint32, "UINT64": np.uint64,
    "INT8": np.int8, "INT16": np.int16, "INT32": np.int32, "INT64": np.int64,
    "FP16": np.float16, "FP32": np.float32, "FP64": np.float64,
}  # fmt: skip

Values = Mapping[str, Value]
Ask = Callable[[dict[str, Value]], Mapping[str, Value]]
Numbers = NDArray[np.float64]
How = Literal["additive", "enumerated", "sampled"]
Coalitions = NDArray[np.bool_]
"""A row for each coalition, a column for each feature: whether it is known."""


class Target(NamedTuple):
    """The number that is explained: one column of an output. `class_` is the class whose probability it is."""

    output: str
    column: int = 0
    class_: int | str | None = None


class Attributions(NamedTuple):
    """`base` is the average answer over the background; `base` and all `values` add up to `prediction`.

    `errors` are standard errors of the values, 0 where they are exact; `coalitions` is how many were asked about.
    """

    target: Target
    base: float
    prediction: float
    values: dict[str, float]
    errors: dict[str, float]
    how: How
    coalitions: int

    @property
    def exact(self) -> bool:
        return self.how != "sampled"


def attributions(
    ask: Ask, row: Values, background: Values, *, target: Target, samples: int = 2048, seed: int = 0
) -> Attributions:
    """What each feature of the one `row` added, against the rows of `background`.

    `ask` answers as many rows as it is given. `samples` is how many coalitions may be asked about, each with every
    row of the background, besides the few that show whether features act on each other at all, and at least two
    orders of the features; the same `seed` gives the same answer. An input is a feature; of a model with a single
    input of several columns, each column is. `Rejected` when the model's answer is not one finite number for a row.
    """
    game = Game(ask, row, background, target)
    count = len(game.names)
    enumerable = 1 << count <= max(samples, FEWEST)
    draw = np.random.default_rng(seed)
    found = additive(game, draw) if tried(count) < 1 << count else None
    if found is None:
        found = enumerated(game) if enumerable else sampled(game, samples, draw)
    return Attributions(
        target=target,
        base=found.base,
        prediction=game.prediction,
        values=dict(zip(game.names, found.values.tolist(), strict=True)),
        errors=dict(zip(game.names, found.errors.tolist(), strict=True)),
        how=found.how,
        coalitions=game.asked,
    )


class Found(NamedTuple):
    """What one of the three ways comes to: a value and an error for each feature, in the order of the game's."""

    how: How
    base: float
    values: Numbers
    errors: Numbers


class Game:
    """The model as a game that features play: a coalition of known features is worth the average answer to the row
    with its other features taken from each row of the background in turn."""

    def __init__(self, ask: Ask, row: Values, background: Values, target: Target) -> None:
        self._ask, self._row, self._target = ask, row, target
        self._tables = {
            name: (cells(one_row(name, value)), cells(beside(name, value, background))) for name, value in row.items()
        }
        sizes = {len(others) for _, others in self._tables.values()}
        if len(sizes) != 1 or not 1 <= max(sizes) <= ROWS:
            why = f"has {sorted(sizes)} rows for the inputs of the model; it takes as many of each, at most {ROWS:,}"
            raise Rejected("background", why, code="bad_background")
        self._size = sizes.pop()
        (only, (table, _)), *more = self._tables.items()
        self._wide = not more and table.shape[1] > 1
        self.names = [f"{only}[{column}]" for column in range(table.shape[1])] if self._wide else list(row)
        self.prediction = float(numbers(ask(dict(row)), target, 1)[0])
        self.asked = 1

    def worth(self, coalitions: Coalitions) -> Numbers:
        """The worth of each coalition, asked for in batches of bounded size."""
        step = max(1, ROWS // self._size)
        pieces = [self._averages(coalitions[start : start + step]) for start in range(0, len(coalitions), step)]
        self.asked += len(coalitions)
        return np.concatenate(pieces)

    def _averages(self, coalitions: Coalitions) -> Numbers:
        """The average answers to the row, with what is not known of it taken from each row of the background."""
        rows = len(coalitions) * self._size
        given = {}
        for feature, (name, (mine, others)) in enumerate(self._tables.items()):
            known = coalitions if self._wide else coalitions[:, [feature]]
            mixed = np.where(known[:, None, :], mine, others)  # coalition, row of the background, column
            kind, shape = self._row[name].datatype, (rows, *self._row[name].shape[1:])
            data: Any = mixed.ravel().tolist() if kind == TEXT else memoryview(mixed.tobytes())
            given[name] = Value(kind, shape, data)
        answers = numbers(self._ask(given), self._target, rows)
        return np.asarray(answers.reshape(len(coalitions), self._size).mean(axis=1))


def one_row(name: str, value: Value) -> Value:
    """The row, if it is one."""
    if value.shape[:1] != (1,):
        raise Rejected(name, f"has shape {list(value.shape)}; one row is explained at a time", code="one_row")
    return value


def beside(name: str, row: Value, background: Values) -> Value:
    """What the background has for this input."""
    others = background.get(name)
    if others is None or (others.datatype, others.shape[1:]) != (row.datatype, row.shape[1:]):
        why = f"has not the {row.datatype} {list(row.shape[1:])} that the model takes"
        raise Rejected(f"background: {name}", why, code="bad_background")
    return others


def cells(value: Value) -> NDArray[Any]:
    """A tensor as a table of rows; numbers stay bytes, so that no kind of them is beyond us."""
    columns = prod(value.shape[1:])
    if value.datatype == TEXT:
        table = np.empty(value.size, dtype=object)
        table[:] = value.data
    else:
        table = np.frombuffer(value.data, dtype=f"u{WIDTH[value.datatype]}")
    return table.reshape(value.shape[0], columns)


def numbers(answer: Values, target: Target, rows: int) -> Numbers:
    """The explained number for each row, or `Rejected`."""
    value = answer.get(target.output)
    if value is None or value.datatype not in NUMBERS:
        why = "is no output of numbers" if value is None else f"is {value.datatype}, of which no average can be taken"
        raise Rejected(target.output, f"{why}; explain a probability or a prediction", code="not_explainable")
    if value.shape[:1] != (rows,) or not 0 <= target.column < prod(value.shape[1:]):
        why = f"has shape {list(value.shape)} where {rows:,} rows were asked, and column {target.column} is explained"
        raise Rejected(target.output, why, code="not_explainable")
    table = np.frombuffer(value.data, dtype=NUMBERS[value.datatype]).reshape(rows, -1)
    found = table[:, target.column].astype(np.float64)
    if not np.isfinite(found).all():
        why = "answers with NaN or infinity to a mixture of this row and the background; it has no average"
        raise Rejected(target.output, why, code="not_finite")
    return found


def tried(count: int) -> int:
    """How many coalitions the test of additivity takes: none, each feature alone, all, and random ones."""
    return 2 + count + 2 * TRIED


def additive(game: Game, draw: np.random.Generator) -> Found | None:
    """What each feature adds alone, if that explains every coalition tried; else None.

    Of all coalitions, an interaction of d features shows in at least one of 2ᵈ. So one of two features goes unseen
    by 64 random ones once in 10⁸ times.
    """
    count = len(game.names)
    some = draw.random((TRIED, count)) < 0.5
    tests = np.concatenate([some, ~some])
    worth = game.worth(np.concatenate([np.zeros((1, count), np.bool_), np.eye(count, dtype=np.bool_), tests]))
    base, values = float(worth[0]), worth[1 : count + 1] - worth[0]
    strays = np.append(base + tests @ values - worth[count + 1 :], base + values.sum() - game.prediction)
    worth = np.append(worth, game.prediction)
    small = max(ROUNDING * float(np.abs(worth).max()), NEGLIGIBLE * float(np.ptp(worth)))
    return Found("additive", base, values, np.zeros(count)) if np.abs(strays).max() <= small else None


def enumerated(game: Game) -> Found:
    """The exact values, from every coalition there is."""
    count = len(game.names)
    masks = np.arange(1 << count)
    known = (masks[:, None] >> np.arange(count) & 1).astype(np.bool_)
    worth = game.worth(known)
    orders = factorial(count)
    weights = np.array([factorial(size) * factorial(count - size - 1) / orders for size in range(count)])
    sizes = known.sum(axis=1)
    values = np.zeros(count)
    for feature in range(count):
        without = masks[~known[:, feature]]
        values[feature] = weights[sizes[without]] @ (worth[without | 1 << feature] - worth[without])
    return Found("enumerated", float(worth[0]), values, np.zeros(count))


def sampled(game: Game, samples: int, draw: np.random.Generator) -> Found:
    """The values and their standard errors, from random orders, each followed by its reverse.

    Every order's contributions add up to the same sum, so their averages do.
    """
    count = len(game.names)
    pairs = max(FEWEST_ORDERS, samples // (2 * (count - 1)))
    orders = draw.permuted(np.tile(np.arange(count), (pairs, 1)), axis=1)
    ranks = np.argsort(orders, axis=1)
    first = ranks[:, None, :] < np.arange(1, count)[None, :, None]  # pair, how many come first, feature
    worth = game.worth(np.concatenate([first, ~first]).reshape(-1, count)).reshape(2, pairs, count - 1)
    base = float(game.worth(np.zeros((1, count), np.bool_))[0])
    nothing, everything = np.full((pairs, 1), base), np.full((pairs, 1), game.prediction)
    there = np.diff(np.concatenate([nothing, worth[0], everything], axis=1), axis=1)  # by rank
    back = -np.diff(np.concatenate([everything, worth[1], nothing], axis=1), axis=1)
    each = np.take_along_axis((there + back) / 2, ranks, axis=1)
    return Found("sampled", base, each.mean(axis=0), each.std(axis=0, ddof=1) / np.sqrt(pairs))


def target_of(answer: Values, classes: Sequence[int | str], wanted: int | str | None = None) -> Target:
    """What there is to explain in the answer to one row: the prediction, or the probability of a class.

    It is the `wanted` class, or else the most probable one. `classes` are in the order of the probabilities.
    """
    if "probabilities" not in answer:
        if wanted is not None:
            raise Rejected("explain", "names a class, and the model answers with none; leave it out", code="no_class")
        return Target("prediction" if "prediction" in answer else next(iter(answer)))
    value = answer["probabilities"]
    probabilities = np.frombuffer(value.data, dtype=NUMBERS[value.datatype])
    names = list(classes) or list(range(len(probabilities)))
    if wanted is not None and wanted not in names:
        shown = ", ".join(map(str, names[:20]))
        raise Rejected("explain", f"{wanted!r} is no class of the model; they are {shown}", code="no_class")
    column = int(probabilities.argmax()) if wanted is None else names.index(wanted)
    return Target("probabilities", column, names[column])


def told(found: Attributions) -> dict[str, Any]:
    """The attributions as an answer says them, what weighs most first."""
    order = sorted(found.values, key=lambda name: (-abs(found.values[name]), name))
    said: dict[str, Any] = {
        "output": found.target.output,
        "base": found.base,
        "prediction": found.prediction,
        "how": found.how,
        "exact": found.exact,
        "coalitions": found.coalitions,
        "attributions": [{"feature": name, "value": found.values[name]} for name in order],
    }
    if found.target.class_ is not None:
        said["class"] = found.target.class_
    if not found.exact:
        for entry in said["attributions"]:
            entry["standard_error"] = found.errors[entry["feature"]]
    return said
