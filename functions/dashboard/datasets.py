"""What the page of a dataset says, from what was found about it. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from functions.dashboard.found import DatasetFound
from functions.dashboard.view import Chip, Tile
from functions.dashboard.words import count, counted, noted_at, size
from samara.core import keys
from samara.core.records import Quarantine, Reason, Validation


@dataclass(frozen=True, slots=True)
class BatchRow:
    batch: str
    at: datetime | None
    source: str
    rows: str
    size: str
    columns: int
    verdict: Chip
    accepted: str
    checks: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, slots=True)
class ReasonRow:
    """Why something was refused. The first of the `examples` says that they are rows."""

    code: str
    column: str | None
    why: str
    rows: int
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class QuarantineRow:
    at: datetime | None
    source: str
    what: str
    reasons: tuple[ReasonRow, ...]


@dataclass(frozen=True, slots=True)
class DatasetPage:
    name: str
    tiles: tuple[Tile, ...]
    batches: tuple[BatchRow, ...]
    quarantine: tuple[QuarantineRow, ...]


def dataset_page(found: DatasetFound) -> DatasetPage:
    validations = found.validations.records.values()
    hint = "in the batches shown" if found.batches.note else ""
    accepted = sum(usable(validation) for validation in validations)
    return DatasetPage(
        found.dataset,
        (
            Tile(found.batches.count, "batches"),
            Tile(count(accepted), "rows accepted", hint=hint),
            Tile(count(sum(validation.rows for validation in validations) - accepted), "rows refused", hint=hint),
            Tile(found.quarantine.count, "quarantined", "bad" if found.quarantine.total else "good"),
        ),
        tuple(batch_rows(found)),
        tuple(quarantine_row(record) for _, record in found.quarantine.newest_first),
    )


def usable(validation: Validation) -> int:
    """The rows to train on: none of a file that was refused as a whole, whatever its good ones."""
    return sum(part.rows for part in validation.parts) if validation.verdict == "accepted" else 0


def batch_rows(found: DatasetFound) -> Iterator[BatchRow]:
    for key, batch in found.batches.newest_first:
        validation = found.validations.records.get(keys.validation(key))
        unreadable = keys.validation(key) in {problem.key for problem in found.validations.problems}
        yield BatchRow(
            batch=keys.stem(key),
            at=noted_at(batch.noted),
            source=str(batch.noted.get("source_key", "")).removeprefix(f"{keys.LANDING}{batch.dataset}/"),
            rows=count(batch.rows),
            size=size(batch.source_size),
            columns=len(batch.columns),
            verdict=batch_verdict(validation, unreadable=unreadable),
            accepted=count(usable(validation)) if validation else "–",
            checks=failed_checks(validation),
        )


def batch_verdict(validation: Validation | None, *, unreadable: bool) -> Chip:
    if unreadable:
        return Chip("unreadable validation", "bad")
    if validation is None:
        return Chip("waiting to be validated", "warn")
    return Chip(validation.verdict, "good" if validation.verdict == "accepted" else "bad")


def failed_checks(validation: Validation | None) -> tuple[tuple[str, str, str], ...]:
    """(check and column, how many rows if any, detail) of each promise that was not kept."""
    return tuple(
        (
            f"{check.name}: {check.column}" if check.column else check.name,
            counted(check.failed_rows, "row") if check.failed_rows else "",
            check.detail,
        )
        for check in (validation.checks if validation else ())
        if not check.passed
    )


def quarantine_row(record: Quarantine) -> QuarantineRow:
    what = "the whole file" if record.whole else counted(record.row_count, "row")
    return QuarantineRow(noted_at(record.noted), record.source_key, what, tuple(map(reason_row, record.reasons)))


def reason_row(reason: Reason) -> ReasonRow:
    first, *more = reason.examples or (None,)
    named = () if first is None else (f"row{'s' if more else ''} {first}", *map(str, more))
    return ReasonRow(reason.code, reason.column, reason.why, reason.rows, named)
