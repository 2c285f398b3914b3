"""From a request and its answer to why each row got it. Imported when somebody asks, for it needs numpy. Pure."""

from typing import Any

from functions.predict import explain, rows
from functions.predict.explain import Ask, target_of
from functions.predict.work import Version, Work
from samara.core.digests import short
from samara.core.sheet import Sheet
from samara.core.tensors import Value, cut
from samara.errors import Rejected

MOST_ROWS = 20  # in one request: each is asked about many times over


def explained(work: Work, version: Version, ask: Ask) -> list[dict[str, Any] | None]:
    """What each column added to each row's answer, against the rows that training saw; None for a vetoed one.

    Of a classification the probability of the class that was answered is explained, of a regression the prediction.
    """
    if work.count > MOST_ROWS:
        why = f"has {work.count:,} rows; at most {MOST_ROWS} are explained at once"
        raise Rejected("body", why, code="too_many_rows")
    background = background_of(work, version)
    ones = [1] * work.count
    asked = {name: cut(value, ones) for name, value in work.values.items()}
    answers = {name: cut(value, ones) for name, value in work.outputs.items()}
    classes = version.sheet.classes if version.sheet else ()
    told: list[dict[str, Any] | None] = []
    for row in range(work.count):
        if row in work.vetoed:  # what may not be said may not be explained either
            told.append(None)
            continue
        found = explain.attributions(
            ask,
            {name: values[row] for name, values in asked.items()},
            background,
            target=target_of({name: values[row] for name, values in answers.items()}, classes),
            samples=work.policy.explain.samples,
            seed=int(short(work.prediction.id, str(row)), 16),
        )
        told.append(in_words(explain.told(found), version.sheet))
    return told


def in_words(said: dict[str, Any], sheet: Sheet | None) -> dict[str, Any]:
    """With the class that is explained as the answer beside it has it."""
    return {**said, "class": rows.in_words(said["class"], sheet)} if sheet and "class" in said else said


def background_of(work: Work, version: Version) -> dict[str, Value]:
    sheet = version.sheet
    if sheet is None or not sheet.background_rows:
        why = f"version {version.number} has no rows to compare with; train it again to have its answers explained"
        raise Rejected(version.model, why, code="no_background")
    return rows.background(sheet, version.inputs, work.policy.explain.rows)
