"""Validate: measure a batch against its data contract, keep the rows that hold to it, and say what the others break.

Wakes on  datasets/{dataset}/{batch}.json
Reads     the batch's parts, config/contracts/{dataset}.json and the contract it names
Writes    blobs of accepted rows, refused rows and the profile
     then quarantine/{dataset}/… when rows, or all of them, were refused
     then validations/{dataset}/{batch}.json, which wakes `train`
      or  alerts/… and nothing else, when there is no contract that could be used

Delivered twice, it writes the same bytes to the same keys. Without a contract the batch waits: `reconcile` wakes
it again.
"""

import math
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from functions.validate import refusals, rules, verdict
from functions.validate.rules import Judge
from functions.validate.verdict import Verdict
from samara.app import App
from samara.core import keys
from samara.core.contract import Contract
from samara.core.heads import ContractHead
from samara.core.odcs import parse
from samara.core.records import Batch, Part, Quarantine, Validation
from samara.entry import on_object_created
from samara.errors import NotFound, Rejected, Unavailable
from samara.events import ObjectCreated

ROWS = 1 << 15  # the most rows in memory at once; more are no faster
CELLS = 1 << 22  # the most values at once: in columns of numbers 32 MB, and several times that while they are judged
BYTES = 32 << 20  # the most at once of what a part unpacks to
MOST_LINES = 100_000  # refused rows written out one by one; the batch still has them all


def run(event: ObjectCreated, app: App) -> Validation | None:
    """The validation, or None when the batch is gone, cannot be read, or waits for a contract."""
    try:
        batch = app.find(Batch, event.key)
        done = app.find(Validation, keys.validation(event.key))
        if batch is None or done:
            return done
        agreed = agreed_contract(batch.dataset, event.at, app)
        if agreed is None:
            return None
        return measured(event, batch, *agreed, app)
    except Rejected as error:
        app.alert(event.key, f"cannot be validated: {error.subject}", str(error), event.at)
        return None


def agreed_contract(dataset: str, at: datetime, app: App) -> tuple[str, Contract] | None:
    """The contract in force and its digest; without a usable one a person is told, once."""
    key = keys.contract_head(dataset)
    try:
        head = app.find_head(ContractHead, key)
    except Rejected as error:
        app.alert(dataset, "contract head is broken", str(error), at)
        return None
    if head is None:
        why = "its batches wait for one; describe the columns in Open Data Contract Standard YAML and publish it"
        app.alert(dataset, "has no data contract", why, at)
        return None
    try:
        contract = parse(app.blob(head.contract), f"contract of {dataset}")
        rules.runnable(contract)
    except (Rejected, NotFound) as error:
        app.alert(dataset, f"contract {head.contract[:12]} cannot be used", f"{error}; its batches wait", at)
        return None
    return head.contract, contract


def measured(event: ObjectCreated, batch: Batch, name: str, contract: Contract, app: App) -> Validation:
    columns = [column.name for column in batch.columns]
    judge, parts, refused = Judge(contract), tuple[Part, ...](), None
    if verdict.absent(contract, columns):
        found = verdict.without(contract, columns, batch.rows)
    else:
        parts, refused = judged_parts(batch, judge, app)
        found = verdict.concluded(judge, columns)

    if found.reasons:
        quarantined(event, batch, found, judge, app, contract=name, rows=refused)
    return app.write(
        keys.validation(event.key),
        Validation(
            made_by=app.maker,
            made_from=(batch.link(event.key),),
            dataset=batch.dataset,
            batch=event.key,
            contract=name,
            verdict=found.word,
            checks=found.checks,
            rows=batch.rows,
            refused_rows=judge.refused if judge.rows else batch.rows,
            parts=parts,
            profile=app.keep(judge.profile.to_bytes()) if parts else None,
            noted={"at": event.at.isoformat(), "source_key": source_of(event.key, batch)},
        ),
    )


def quarantined(
    event: ObjectCreated, batch: Batch, found: Verdict, judge: Judge, app: App, *, contract: str, rows: str | None
) -> None:
    """The refused rows beside their reasons. Another contract refuses other rows, so it is part of the name."""
    app.write(
        keys.quarantine(batch.dataset, "rows", event.key, contract),
        Quarantine(
            made_by=app.maker,
            made_from=(batch.link(event.key),),
            dataset=batch.dataset,
            source_key=source_of(event.key, batch),
            source=batch.source,
            whole=found.word == "refused",
            reasons=found.reasons,
            rows=rows,
            row_count=judge.refused if judge.rows else batch.rows,
            noted={"at": event.at.isoformat()},
        ),
    )


def source_of(key: str, batch: Batch) -> str:
    """The uploaded file, so far as the batch noted it."""
    return str(batch.noted.get("source_key") or key)


def judged_parts(batch: Batch, judge: Judge, app: App) -> tuple[tuple[Part, ...], str | None]:
    """The accepted rows as typed Parquet, a part for each of the batch's, and the blob of the refused ones."""
    parts: list[Part] = []
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        refused = stack.enter_context((Path(folder) / "refused.jsonl").open("wb+"))
        for part in batch.parts:
            path = Path(folder) / "accepted.parquet"
            rows = judged_part(part, path, judge, refused, app)
            if rows:
                parts.append(Part(digest=app.keep_file(path), rows=rows, size=path.stat().st_size))
        refused.flush()
        return tuple(parts), app.keep_file(Path(refused.name)) if judge.refused else None


def judged_part(part: Part, path: Path, judge: Judge, refused: IO[bytes], app: App) -> int:
    """How many rows of one part are accepted, written to `path`; the others are appended to `refused`."""
    accepted = 0
    with pq.ParquetWriter(path, judge.schema, compression="zstd") as writer:
        for rows in stored_rows(part, app):
            offset, room = judge.rows, max(MOST_LINES - judge.refused, 0)
            judged = judge.take(rows)
            refused.writelines(refusals.lines(rows, judged, offset, room))
            if judged.accepted.num_rows:
                writer.write_batch(judged.accepted)
                accepted += judged.accepted.num_rows
    return accepted


def stored_rows(part: Part, app: App) -> Iterator[Any]:
    """A part's rows, some at a time."""
    try:
        with app.fetched(part.digest) as path, pq.ParquetFile(path) as file:
            for index in range(file.num_row_groups):  # one by one: together they hold twice the memory
                size = rows_at_once(file.metadata.row_group(index))
                yield from file.iter_batches(batch_size=size, row_groups=[index])
    except NotFound as error:
        raise Unavailable(error.subject, "a batch names this part, and it is not there yet") from error
    except pa.ArrowInvalid as error:
        raise Rejected(keys.blob(part.digest), f"no Parquet: {error}", code="bad_parquet") from error


def rows_at_once(group: Any) -> int:
    """How many rows of a row group are held in memory, by the footer alone: every delivery cuts it alike.

    Texts that repeat take more memory than it says, but ingest makes no group that unpacks to too much.
    """
    shares = (group.num_rows / ROWS, group.num_rows * group.num_columns / CELLS, group.total_byte_size / BYTES)
    return math.ceil(group.num_rows / math.ceil(max(shares))) if group.num_rows else 1


handler = on_object_created(run)
