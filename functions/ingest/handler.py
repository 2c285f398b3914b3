"""Ingest: turn an uploaded file into a batch, or quarantine it with every reason.

Wakes on  landing/{dataset}/{name}
Reads     the upload, and whether a receipt for this write of it exists
Writes    blobs/ with the rows as Parquet, then datasets/{dataset}/{batch}.json, which wakes `validate`,
          and quarantine/{dataset}/… with the rows refused
      or  quarantine/{dataset}/… for the whole file
          and last receipts/…, which says what became of this write

Delivered twice, it finds its receipt and does nothing; killed before that, it writes the same again.
The upload stays where it is.
"""

import errno
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from functions.ingest import csv_rows, formats, json_rows, parquet_rows, parts
from functions.ingest.limits import LIMITS, MB
from functions.ingest.refusals import Block, Tally, Unfit
from functions.ingest.streams import Exact, Measured, text
from samara.app import App
from samara.core import keys
from samara.core.records import Batch, Column, Part, Quarantine, Reason, Receipt
from samara.entry import on_object_created
from samara.errors import NotFound, Rejected, Unavailable
from samara.events import ObjectCreated
from samara.ports import Meta, Version

UNNAMED = "unnamed"  # where uploads are quarantined whose key names no dataset
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # the last for one file, whatever else is on the disk


def run(event: ObjectCreated, app: App) -> Receipt | None:
    if not event.key.startswith(keys.LANDING) or event.key.endswith("/"):  # not ours, or the marker of a folder
        return None
    try:
        return receipt(delivered(event, app), app)
    except NotFound:  # gone, before or while it was read: there is nothing to do
        return None


@dataclass(frozen=True, slots=True)
class Delivery:
    """One write of one landing key."""

    event: ObjectCreated
    meta: Meta

    @property
    def key(self) -> str:
        """The key as a record can hold it."""
        return self.event.key.encode(errors="backslashreplace").decode()

    @property
    def noted(self) -> dict[str, Any]:
        return {"source_key": self.key, "source_version": self.meta.version, "at": self.event.at.isoformat()}


@dataclass(slots=True)
class Upload:
    """What was found in a file. Without `reasons` it is fit to be a batch."""

    source: str = ""
    size: int = 0
    format: str = ""
    columns: tuple[Column, ...] = ()
    parts: list[Part] = field(default_factory=list)
    refused: Tally = field(default_factory=Tally)
    reasons: tuple[Reason, ...] = ()

    @property
    def rows(self) -> int:
        return sum(part.rows for part in self.parts)


def delivered(event: ObjectCreated, app: App) -> Delivery:
    """What lies at the key now. A key that no store would read is a write without size and version."""
    if keys.flaw(event.key):
        return Delivery(event, Meta(event.key, 0, Version(""), event.at))
    return Delivery(event, app.store.head(event.key))


def receipt(delivery: Delivery, app: App) -> Receipt:
    """What became of this write, decided now unless it was before."""
    place = keys.Landed(delivery.key).receipt(delivery.meta.version)
    if done := app.find(Receipt, place):
        return done

    key, record = outcome(delivery, app)

    said = Receipt(
        made_by=app.maker,
        made_from=(record.link(key),),
        noted=delivery.noted,
        source_key=delivery.key,
        outcome="batch" if isinstance(record, Batch) else "quarantine",
    )
    return app.write(place, said)


def outcome(delivery: Delivery, app: App) -> tuple[str, Batch | Quarantine]:
    """The key of what an upload comes to, and the record there."""
    key, size = delivery.key, delivery.meta.size
    try:
        dataset = keys.Landed(key).dataset
    except Rejected as bad:
        unread = Upload(reasons=(Reason(code=bad.code, why=str(bad)),))
        return quarantined(unread, keys.quarantine(safe_dataset(key), key), delivery, app)
    if size > LIMITS.source:
        why = f"{key}: has {size:,} bytes and {LIMITS.source:,} are the most; split it"
        unread = Upload(reasons=(Reason(code="too_large", why=why),))
        return quarantined(unread, keys.quarantine(dataset, key, delivery.meta.version), delivery, app)

    upload = read(delivery, app)

    if upload.reasons:
        return quarantined(upload, keys.quarantine(dataset, key, upload.source), delivery, app)
    if upload.refused.rows:
        quarantined(upload, keys.quarantine(dataset, "rows", upload.source), delivery, app)
    return batched(upload, keys.batch(dataset, upload.source), delivery, app)


def safe_dataset(key: str) -> str:
    """The dataset that a key we would not follow names, if it names one at all."""
    name, slash, _ = key.removeprefix(keys.LANDING).partition("/")
    return name if slash and keys.NAME.fullmatch(name) else UNNAMED


def read(delivery: Delivery, app: App) -> Upload:
    """The file, read once in bounded memory, its parts kept on the way."""
    upload = Upload()
    with app.store.open(delivery.key) as file:
        source = Measured(file)
        try:
            with temporary_folder(source) as folder, ExitStack() as stack:
                upload.format, blocks = opened(delivery, source, folder, stack)
                keep_parts(upload, blocks, folder, stack, app)
                parts.refuse_mostly_refused(upload.rows, upload.refused, LIMITS)
        except Unfit as unfit:
            upload.reasons = tuple(dict.fromkeys((*unfit.reasons, *upload.refused.reasons)))
        source.drain()
    if app.store.head(delivery.key).version != delivery.meta.version:
        raise Unavailable(delivery.key, "was replaced while it was read; it will be read again")
    upload.source, upload.size = source.digest, source.size
    return upload


@contextmanager
def temporary_folder(source: Measured) -> Iterator[Path]:
    """A folder for a while. What finds no room there makes the upload `Unfit`, unless it is others who fill the disk.

    A store says `Unavailable` when it is the bucket that has no room, which no upload is to blame for.
    """
    with tempfile.TemporaryDirectory(prefix="samara-") as name:
        folder = Path(name)
        try:
            yield folder
        except OSError as error:
            if source.failure is not None or error.errno not in NO_ROOM:
                raise
            taken = sum(path.stat().st_size for path in folder.iterdir())
            if error.errno != errno.EFBIG and taken < LIMITS.disk_share * shutil.disk_usage(folder).total:
                raise Unavailable(name, "the disk is full of other files; make room") from error
            raise no_room() from error


def no_room() -> Unfit:
    return Unfit("file", "takes more disk to read than there is for temporary files; split it", code="too_large")


def opened(delivery: Delivery, source: Measured, folder: Path, stack: ExitStack) -> tuple[str, Iterator[Block]]:
    """The format of the file and its rows, block by block, while `stack` is open."""
    stream = Exact(source)
    spool = stack.enter_context((folder / "spool").open("w+b"))  # for what must be read more than once
    head = stream.peek(formats.HEAD)
    if formats.is_parquet(head):
        if delivery.meta.size > shutil.disk_usage(folder).total > 0:  # none, where a file system does not say
            raise no_room()
        while piece := stream.read(MB):
            spool.write(piece)
        blocks = stack.enter_context(closing(parquet_rows.blocks(spool, source.size, LIMITS)))
        return formats.Format.PARQUET, blocks
    packing = formats.packing(head)
    plain = text(stream, source, packing, LIMITS)
    kind = formats.of_text(plain.peek(formats.HEAD), delivery.key)
    rows = csv_rows.blocks(plain, LIMITS) if kind is formats.Format.CSV else json_rows.blocks(plain, spool, LIMITS)
    return formats.described(kind, packing), rows


def keep_parts(upload: Upload, blocks: Iterator[Block], folder: Path, stack: ExitStack, app: App) -> None:
    """Write the rows as Parquet, one part on disk at a time."""
    path = folder / "part.parquet"
    writer: Any = None
    rows = 0
    for group in parts.grouped(blocks, upload.refused, LIMITS):
        schema = group.table.schema
        upload.columns = tuple(Column(name=column.name, type=str(column.type)) for column in schema)
        writer = writer or stack.enter_context(parts.writer(str(path), schema))
        writer.write_table(group.table, row_group_size=group.table.num_rows)
        rows += group.table.num_rows
        if group.full:
            writer.close()
            upload.parts.append(Part(digest=app.keep_file(path), rows=rows, size=path.stat().st_size))
            writer, rows = None, 0


def batched(upload: Upload, place: str, delivery: Delivery, app: App) -> tuple[str, Batch]:
    batch = Batch(
        made_by=app.maker,
        noted=delivery.noted,
        dataset=keys.owner(place),
        source=upload.source,
        source_size=upload.size,
        format=upload.format,
        columns=upload.columns,
        rows=upload.rows,
        parts=tuple(upload.parts),
        refused=upload.refused.reasons,
    )
    return place, app.write(place, batch)


def quarantined(upload: Upload, place: str, delivery: Delivery, app: App) -> tuple[str, Quarantine]:
    """The refusal of the file, or of some of its rows. The first rows refused lie beside it as JSON lines."""
    refused = upload.refused
    quarantine = Quarantine(
        made_by=app.maker,
        noted=delivery.noted,
        dataset=keys.owner(place),
        source_key=delivery.key,
        source=upload.source or None,
        whole=bool(upload.reasons),
        reasons=upload.reasons or refused.reasons,
        rows=app.keep(b"".join(refused.lines)) if refused.lines else None,
        row_count=refused.rows,
    )
    return place, app.write(place, quarantine)


handler = on_object_created(run)
