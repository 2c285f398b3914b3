"""The job of score: ask a model about every row of a batch, and keep the answers as Parquet.

Started   as `python -m functions.score.job scorings/{model}/{scoring}.json` by the batch service
Reads     the scoring, and the model, contract and validated rows that its plan pins
Writes    blobs of the answers, one for each part of the batch
     then scores/{model}/{scoring}.json, succeeded or failed with a reason

Started twice, it writes the same bytes to the same keys. It holds some rows at a time, however many there are.
"""

import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from functions.score import columns
from samara import app as apps
from samara import catalogue, engines, settings
from samara.app import App
from samara.core import keys, odcs
from samara.core.contract import Contract
from samara.core.records import Column, Part, Scores, Scoring
from samara.engines import Session
from samara.entry import log, log_to_stderr
from samara.errors import Misconfigured, NotFound, Rejected

ROWS = 10_000  # asked at once: bounds the memory that a graph's intermediate values need

Piece = tuple[int, dict[str, Any] | None]
"""How many rows, and what was answered: an array for each output; None where the model failed."""


def main() -> None:
    log_to_stderr()
    here = settings.from_environment()
    score = catalogue.named(catalogue.load(here.catalogue), "score")
    run(sys.argv[1], apps.build(here).acting_as_job_of(score))


def run(key: str, app: App) -> Scores:
    """The scores of the scoring at `key`: those that are there, or those we now make."""
    done = app.find(Scores, keys.scores(key))
    if done:
        return done
    scoring = app.read(Scoring, key)
    started = time.perf_counter()
    try:
        said = answered(scoring, app)
    except NotFound as error:
        why = f"{error}, though the plan pins it; restore it from the bucket's object versions, then ask again"
        said = {"status": "failed", "why": why}
    except Rejected as error:
        if error.code == "altered":
            raise
        said = {"status": "failed", "why": str(error)}
    scores = Scores(
        made_by=app.maker,
        made_from=(scoring.link(key), scoring.plan.version, scoring.plan.validation),
        model=scoring.model,
        version=scoring.version,
        scoring=scoring.scoring,
        noted={"seconds": round(time.perf_counter() - started, 3)},
        **said,
    )
    return app.write(keys.scores(key), scores)


def answered(scoring: Scoring, app: App) -> dict[str, Any]:
    """What the scores say when all went well, or `Rejected` when this batch cannot be answered at all."""
    plan = scoring.plan
    identifying = identifiers(odcs.parse(app.blob(plan.contract), keys.blob(plan.contract)))
    about = {"model": scoring.model, "version": str(scoring.version), "scoring": scoring.scoring}
    with closing(engines.load(app.blob(plan.artifact))) as session:
        asking = Asking(session, identifying, {f"samara.{name}": value for name, value in about.items()})
        parts = []
        for number, part in enumerate((part for part in plan.parts if part.rows), start=1):
            parts.append(asking.part(part, app))
            said = {"part": number, "of": len(plan.parts), "rows": asking.rows, "refused_rows": asking.refused}
            log.info(json.dumps({"scoring": keys.scoring(scoring.model, scoring.scoring), **said}))
    return {
        "status": "succeeded",
        "columns": asking.columns,
        "parts": tuple(parts),
        "rows": asking.rows,
        "refused_rows": asking.refused,
    }


def identifiers(contract: Contract) -> list[str]:
    """The columns by which people know a row again. What is personal stays where it is."""
    return [
        name
        for name in dict.fromkeys(name for key in contract.keys for name in key)
        if not contract.column(name).personal
    ]


@dataclass(slots=True)
class Asking:
    """A session that is asked about one part after another, and what has come of it so far."""

    session: Session
    identifying: Sequence[str]
    about: dict[str, str]
    rows: int = 0
    refused: int = 0
    columns: tuple[Column, ...] = ()
    like: dict[str, Any] = field(default_factory=dict)
    failure: Rejected | None = None
    names: dict[str, list[str]] = field(default_factory=dict)

    def part(self, part: Part, app: App) -> Part:
        """The answers to the rows of a part, in their order, as a part of their own."""
        with app.fetched(part.digest) as source, tempfile.TemporaryDirectory(prefix="samara-score-") as folder:
            path = Path(folder) / "answers.parquet"
            writer, rows = None, 0
            try:
                for table in self.slices(source):
                    found = self.answers(table)
                    writer = writer or pq.ParquetWriter(path, found.schema, compression="zstd")
                    writer.write_table(found)
                    rows += found.num_rows
            finally:
                if writer:
                    writer.close()
            if rows != part.rows or writer is None:
                why = f"has {rows:,} rows where the plan says {part.rows:,}"
                raise Rejected(keys.blob(part.digest), why, code="altered")
            return Part(digest=app.keep_file(path), rows=rows, size=path.stat().st_size)

    def slices(self, source: Path) -> Iterator[Any]:
        wanted = dict.fromkeys((*self.identifying, *(spec.name for spec in self.session.inputs)))
        with pq.ParquetFile(source) as file:
            for batch in file.iter_batches(
                batch_size=ROWS, columns=[n for n in file.schema_arrow.names if n in wanted]
            ):
                yield pa.table(batch)

    def answers(self, table: Any) -> Any:
        """What is written about these rows. Those on which the model fails, or cannot be asked, stay empty."""
        pieces = list(self.pieces(table))
        self.like = next((found for _, found in pieces if found), self.like)
        if not self.like and self.failure:  # on all these rows: there is no telling what it would answer with
            raise self.failure
        arrays = {
            name: np.concatenate([found[name] if found else blank(like, count) for count, found in pieces])
            for name, like in self.like.items()
        }
        failed = np.concatenate([np.full(count, found is None) for count, found in pieces])
        refused = failed | columns.unanswered(arrays, table.num_rows)
        kept = table.select([name for name in self.identifying if name in table.column_names])
        if not self.names:
            self.names = columns.named(arrays, self.session.metadata, (columns.ROW, *kept.column_names))
        made = columns.written(kept, self.rows + 1, arrays, refused, self.names)
        self.rows += table.num_rows
        self.refused += int(refused.sum())
        self.columns = self.columns or tuple(Column(name=one.name, type=str(one.type)) for one in made.schema)
        return made.replace_schema_metadata(self.about)

    def pieces(self, table: Any) -> Iterator[Piece]:
        """The answers, all at once or, where the model fails, by halves until the rows it fails on stand alone."""
        rows = table.num_rows
        try:
            given = columns.given(table, self.session.inputs)
            yield rows, columns.answered(self.session.run(given), rows)
        except Rejected as error:
            if error.code not in ("model_failed", "too_large"):
                raise
            if rows > 1:
                yield from self.pieces(table.slice(0, rows // 2))
                yield from self.pieces(table.slice(rows // 2))
            else:
                self.failure = error
                yield rows, None


def blank(like: Any, rows: int) -> Any:
    return np.zeros((rows, like.shape[1]), dtype=like.dtype)


if __name__ == "__main__":
    try:
        main()
    except IndexError:
        raise Misconfigured("functions.score.job", "needs the key of a scoring") from None
