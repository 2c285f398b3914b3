"""What the page of a prediction says: what was asked and answered, and where the answer came from. Pure."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic import JsonValue

from functions.dashboard.found import Found
from functions.dashboard.view import Chip
from functions.dashboard.words import counted, noted_at, number
from samara.core.keys import Prediction
from samara.core.lineage import Step, Trail, answered
from samara.core.records import Capture, Feedback, last_words

MOST_ROWS = 6  # of a request, side by side
MOST_VALUES = 60  # inputs and outputs


@dataclass(frozen=True, slots=True)
class ValueRow:
    """One input, output or truth, with its value in each of the first rows."""

    name: str
    role: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StepRow:
    """One step of the trail. `depth` is how far it is indented."""

    depth: int
    verified: bool
    kind: str
    key: str
    digest: str
    note: str
    problem: str


@dataclass(frozen=True, slots=True)
class PredictionPage:
    id: str
    model: str
    at: datetime | None
    state: tuple[Chip, ...]
    rows: tuple[int, ...]
    values: tuple[ValueRow, ...]
    left_out: str
    steps: tuple[StepRow, ...]
    summary: str
    whole: bool
    cut: bool


def prediction_page(
    prediction: Prediction, capture: Capture | None, feedback: Found[Feedback], trail: Trail
) -> PredictionPage:
    """`capture` is None when it cannot be read; the trail says why."""
    values = value_rows(capture, feedback) if capture else []
    shown = min(capture.rows, MOST_ROWS) if capture else 0
    return PredictionPage(
        id=prediction.id,
        model=prediction.model,
        at=noted_at(capture.noted) if capture else None,
        state=state(capture, feedback, trail),
        rows=tuple(range(1, shown + 1)),
        values=tuple(values[:MOST_VALUES]),
        left_out=left_out(capture.rows - shown if capture else 0, len(values) - MOST_VALUES),
        steps=tuple(
            StepRow(depth, step.verified, spaced(step.kind), place(step), step.digest, step.note, step.problem)
            for depth, step in trail.outline()
        ),
        summary=trail.summary,
        whole=trail.whole,
        cut=trail.cut,
    )


def spaced(kind: str) -> str:
    """
    >>> spaced("ModelVersion"), spaced("code bundle")
    ('Model version', 'Code bundle')
    """
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", kind).capitalize()


def place(step: Step) -> str:
    """Where a step lies; of a payload only the topic, since its digest is shown beside it."""
    return step.key.removesuffix(f"/{step.digest}") if step.digest else step.key


def state(capture: Capture | None, feedback: Found[Feedback], trail: Trail) -> tuple[Chip, ...]:
    chips = list(answer(capture, feedback)) if capture else [Chip("its record cannot be read", "bad")]
    if trail.whole:
        return (*chips, Chip(f"lineage verified, {counted(len(trail.steps), 'link')}", "good"))
    if trail.problems:
        return (*chips, Chip(f"lineage broken, {counted(len(trail.problems), 'problem')}", "bad"))
    return (*chips, Chip(f"lineage verified as far as shown, {counted(len(trail.steps), 'link')}", "warn"))


def answer(capture: Capture, feedback: Found[Feedback]) -> Iterator[Chip]:
    """What came of a request. One that was refused waits for no truth."""
    refused = capture.status != 200
    yield Chip(answered(capture), "bad" if refused else "calm")
    if capture.rows or not refused:
        yield Chip(counted(capture.rows, "row"))
    if feedback.records:
        yield Chip(f"truth known: {feedback.note}" if feedback.note else "truth known", "good")
    elif not refused:
        yield Chip("truth not known yet")


def left_out(rows: int, values: int) -> str:
    said = [counted(left, thing) for left, thing in ((rows, "row"), (values, "value")) if left > 0]
    return f"{' and '.join(said)} more" if said else ""


def value_rows(capture: Capture, feedback: Found[Feedback]) -> list[ValueRow]:
    asked = [ValueRow(name, "input", by_row(value, capture.rows)) for name, value in capture.inputs.items()]
    given = [ValueRow(name, "output", by_row(value, capture.rows)) for name, value in capture.outputs.items()]
    truth = last_words([record.truth for _, record in reversed(feedback.newest_first)])
    told = [ValueRow("truth", "feedback", by_row(list(truth), capture.rows))] if truth else []
    masked = [ValueRow(name, "input", ("not kept",) * min(capture.rows, MOST_ROWS)) for name in capture.masked]
    return [*given, *told, *asked, *masked]


def by_row(value: JsonValue, rows: int) -> tuple[str, ...]:
    """A tensor's values, split among the first rows; what cannot be split is shown whole, once."""
    if isinstance(value, list) and rows > 0 and value and len(value) % rows == 0:
        width = len(value) // rows
        return tuple(spelled(value[row * width : (row + 1) * width]) for row in range(min(rows, MOST_ROWS)))
    return (spelled([value]),)


def spelled(values: Sequence[JsonValue]) -> str:
    """One value as itself, several as a list in JSON's words; floats to four digits.

    >>> spelled(["a, b"]), spelled([None]), spelled(["a, b", None, True, 1234.5678])
    ('a, b', 'null', '["a, b", null, true, 1235]')
    """
    if len(values) == 1:
        return values[0] if isinstance(values[0], str) else in_json(values[0])
    return f"[{', '.join(map(in_json, values[:20]))}{', …' if len(values) > 20 else ''}]"


def in_json(value: JsonValue) -> str:
    """A value without marks between thousands, which would read as another one in a list."""
    return number(value).replace(",", "") if isinstance(value, float) else json.dumps(value, ensure_ascii=False)
