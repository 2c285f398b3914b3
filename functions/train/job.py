"""The job of train: run the user's training code on the pinned data, and say what came of it.

Started   as `python -m functions.train.job runs/{model}/{run}.json` by the batch service
Reads     the run, and the definition, source bundle, parts and members of an ensemble that its plan pins
Writes    blobs of the model, the held-out rows and the log
     then results/{model}/{run}.json, succeeded or failed with a reason, which wakes `register`

Started twice, it writes the same bytes to the same keys. The user's code runs in a process of its own, with no
way to the store; what fails there is a failed result, and so are data that are gone; what else fails here is an error
and no result.
"""

import os
import selectors
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import ValidationError

from functions.train.ask import Ask, Outcome
from functions.train.held_out import Rows, has_seen, held_out
from samara import app as apps
from samara import bundle, catalogue, scoring, settings
from samara.app import App
from samara.child import signal_name
from samara.core import keys
from samara.core.definition import Definition, features_among, parse
from samara.core.digests import canonical
from samara.core.records import Link, ModelVersion, Part, Plan, Result, Run
from samara.entry import log_to_stderr
from samara.errors import Misconfigured, NotFound, Rejected

KEPT_LOG = 64 << 10  # bytes of the log's beginning, and as many of its end
LARGEST_MODEL = 1 << 30
LARGEST_OUTCOME = 1 << 20
LAST_LINES = 10
LONGEST_WORDS = 2_000
PASSED_ON = ("PATH", "PYTHONPATH", "LANG")


@dataclass(slots=True)
class Log:
    """The beginning and the end of what a program said, however much it was."""

    first: bytes = b""
    last: bytes = b""
    dropped: int = 0

    def add(self, said: bytes) -> None:
        room = KEPT_LOG - len(self.first)
        self.first += said[:room]
        self.last += said[room:]
        if len(self.last) > KEPT_LOG:
            self.dropped += len(self.last) - KEPT_LOG
            self.last = self.last[-KEPT_LOG:]

    def __bytes__(self) -> bytes:
        gap = f"\n… {self.dropped:,} bytes left out …\n".encode() if self.dropped else b""
        return self.first + gap + self.last


@dataclass(frozen=True, slots=True)
class Ended:
    """How the training program ended: with nothing to say, or with `why` there can be no model."""

    why: str = ""
    log: Log = field(default_factory=Log)


Fit = Callable[[Path, float], Ended]
"""Runs `functions.train.fit` on a work folder within so many seconds."""


def main() -> None:
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))  # by way of every `finally`
    log_to_stderr()
    here = settings.from_environment()
    train = catalogue.named(catalogue.load(here.catalogue), "train")
    run(sys.argv[1], apps.build(here).acting_as_job_of(train))


def run(run_key: str, app: App, fit: Fit | None = None) -> Result:
    """The result of a run: the one that is there, or the one we now make. `fit` is `in_child` unless given."""
    done = app.find(Result, keys.result(run_key))
    if done:
        return done
    planned = app.read(Run, run_key)
    definition = parse(app.blob(planned.plan.definition), run_key)
    started = time.perf_counter()
    # a process that the training left behind may write on while the folder is removed
    with tempfile.TemporaryDirectory(prefix="samara-train-", ignore_cleanup_errors=True) as folder:
        work = Path(folder).resolve()
        ended, said = attempted(planned.plan, definition, work, app, fit or in_child)
        result = Result(
            made_by=app.maker,
            made_from=(planned.link(run_key),),
            model=planned.model,
            run=planned.run,
            noted={
                "seconds": round(time.perf_counter() - started, 3),
                "log": app.keep(bytes(ended.log)),
            },
            **said,
        )
    return app.write(keys.result(run_key), result)


def attempted(plan: Plan, definition: Definition, work: Path, app: App, fit: Fit) -> tuple[Ended, dict[str, Any]]:
    """How the program ended, and what the result says about it."""
    ended = Ended()
    try:
        prepare(plan, definition, work, app)
        holdout = app.keep_file(work / "holdout.parquet")  # before the user's code can write another one there
        ended = fit(work, definition.train.time_limit_s)
        outcome = read_outcome(work, ended)
        model = read_plain(work / "model.onnx", LARGEST_MODEL)
    except NotFound as error:
        why = f"{error}, though the plan pins it; restore it from the bucket's object versions, then ask --again"
        return ended, {"status": "failed", "why": why}
    except Rejected as error:
        if error.code == "altered":
            raise
        why = str(error).replace(f"{work}/", "").replace(str(work), "")
        return ended, {"status": "failed", "why": in_one_line(why)}
    return ended, {
        "status": "succeeded",
        "artifact": app.keep(model),
        "holdout": holdout,
        "signature": outcome.signature,
        "parity": outcome.parity,
        "metrics": outcome.metrics,
        "environment": outcome.environment,
    }


def in_one_line(said: str) -> str:
    r"""What a program said, fit for a line of a terminal: it may have said it in colours and many lines.

    >>> in_one_line("no\n  way\x1b[0m")
    'no way [0m'
    """
    return " ".join("".join(letter if letter.isprintable() else " " for letter in said).split())


def prepare(plan: Plan, definition: Definition, work: Path, app: App) -> None:
    """The folder in which the training program finds everything it needs."""
    (work / "code").mkdir()
    bundle.unpack(app.blob(plan.bundle), work / "code")
    for place, link in enumerate(plan.members):
        (work / f"member-{place}.onnx").write_bytes(model_of(link, plan, definition, app))
    columns = split(plan, definition, work, app)
    ask = Ask(
        entry=definition.train.entry,
        features=features_among(definition, columns),
        target=definition.target,
        task=definition.task,
        metric=definition.gates.metric,
        tolerance=definition.gates.parity,
        seed=definition.train.seed,
        threads=definition.train.threads,
        parameters=definition.train.parameters,
        ensemble=definition.ensemble,
    )
    (work / "ask.json").write_text(ask.model_dump_json())


def model_of(member: Link, plan: Plan, definition: Definition, app: App) -> bytes:
    """The model of a pinned version, which must not know the rows that the ensemble is measured by."""
    version = app.read(ModelVersion, member.key)
    if version.digest != member.digest:
        raise Rejected(member.key, "is not the version that the plan pinned", code="altered")
    run_key = keys.run(version.model, version.run)
    theirs = app.read(Run, run_key).plan
    if has_seen(theirs, parse(app.blob(theirs.definition), run_key).train, plan, definition.train):
        why = "was trained on rows that the ensemble is measured by; give both the same train.holdout and train.split"
        raise Rejected(f"{version.model}@{version.version}", why, code="seen")
    return app.blob(version.artifact)


def split(plan: Plan, definition: Definition, work: Path, app: App) -> list[str]:
    """Training and held-out rows as two files, one part in memory at a time. Gives the names of the columns."""
    kept_apart = dict(held_out(plan.holdout, definition.train.holdout, definition.train.split))
    counts = {"train.parquet": 0, "holdout.parquet": 0}
    writers: dict[str, Any] = {}
    schema: Any = None
    try:
        for part in plan.parts:
            apart = kept_apart.get(part.digest, np.zeros(part.rows, dtype=np.bool_))
            with rows_of(part, apart, definition, app) as (table, mask):
                schema = schema or table.schema
                same = alike(table, schema, definition)
                for name, rows in (("train.parquet", pc.invert(mask)), ("holdout.parquet", mask)):
                    chosen = same.filter(rows)
                    counts[name] += chosen.num_rows
                    if name not in writers:
                        writers[name] = pq.ParquetWriter(work / name, chosen.schema, compression="zstd")
                    writers[name].write_table(chosen)
    finally:
        for writer in writers.values():
            writer.close()
    if not all(counts.values()):
        why = f"leaves {counts['train.parquet']:,} rows to train on and {counts['holdout.parquet']:,} to hold out"
        raise Rejected(f"{definition.model}: the plan", f"{why}; it takes more rows of data", code="too_few_rows")
    return list(schema.names)


def alike(table: Any, schema: Any, definition: Definition) -> Any:
    """The columns of a part as the first part has them, or `Rejected` when the contract was changed in between."""
    kinds = {column.name: column.type for column in table.schema}
    for column in schema:
        kind = kinds.get(column.name, "missing")
        if kind != column.type:
            why = f"is {column.type} in one batch and {kind} in a later one: the contract has changed"
            way_out = "set train.batches to train on the newest only, or upload the older file again"
            raise Rejected(f"{definition.model}: column {column.name}", f"{why}; {way_out}", code="other_schema")
    return table.select(schema.names)


@contextmanager
def rows_of(part: Part, apart: Rows, definition: Definition, app: App) -> Iterator[tuple[Any, Any]]:
    """The rows of a part whose target is known, its features as the model is asked with them, and their mask."""
    with app.fetched(part.digest) as path:
        table = pq.read_table(path)
        if table.num_rows != part.rows:
            why = f"has {table.num_rows:,} rows where the plan says {part.rows:,}"
            raise Rejected(keys.blob(part.digest), why, code="altered")
        features = features_among(definition, table.column_names)
        known = pc.is_valid(table[definition.target])
        table, mask = table.filter(known), pa.array(apart).filter(known.combine_chunks())
        scoring.truth(table, definition.target, definition.task)
        yield scoring.asked(table, features).combine_chunks(), mask


def in_child(work: Path, time_limit_s: float) -> Ended:
    """Run the program in a process group of its own, and leave nothing of that group behind."""
    command = [sys.executable, "-P", "-m", "functions.train.fit", str(work)]
    with subprocess.Popen(  # noqa: S603  # our own program, with a folder of our own as its argument
        command,
        cwd=work,
        env=environment(work, asked_threads(work)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as child:
        log = Log()
        try:
            in_time = followed(child, log, time.monotonic() + time_limit_s)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
        code = child.wait()
    if not in_time:
        why = f"did not end within {time_limit_s:g} s and was stopped; raise train.time_limit_s, or train on less"
        return Ended(f"the training code {why}", log)
    return Ended(departure(code), log)


def asked_threads(work: Path) -> int:
    return Ask.model_validate_json((work / "ask.json").read_bytes()).threads


def environment(work: Path, threads: int) -> dict[str, str]:
    """What the training code may know of ours: no credentials, no settings. Hashes and sums come out the same."""
    passed_on = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    fixed = {
        "HOME": str(work),
        "TMPDIR": str(work),
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",  # or the last words before a crash are lost
        "OMP_WAIT_POLICY": "PASSIVE",  # threads that spin while they wait take 50 times as long on a busy machine
    }
    limited = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    return {**passed_on, **fixed, **limited}


def followed(child: "subprocess.Popen[bytes]", log: Log, deadline: float) -> bool:
    """Read what the child says until it ends. False when the deadline came first.

    It waits for the child, not for the end of its output, which some process it left behind may hold open.
    """
    assert child.stdout is not None  # noqa: S101  # we asked for a pipe
    os.set_blocking(child.stdout.fileno(), False)
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        while (left := deadline - time.monotonic()) > 0:
            ended = child.poll() is not None
            readable = selector.select(0 if ended else min(left, 0.05))
            said = os.read(child.stdout.fileno(), 1 << 16) if readable else b""
            log.add(said)
            if ended and not said:
                return True
            if readable and not said:  # it has closed its output, and may still work
                selector.unregister(child.stdout)
                with suppress(subprocess.TimeoutExpired):
                    child.wait(deadline - time.monotonic())
                return child.poll() is not None
    return False


def departure(code: int) -> str:
    """Why a program that ended with this code can have left no model; empty for 0."""
    if code == 0:
        return ""
    if code > 0:
        return f"the training code ended with exit code {code}"
    hint = ": out of memory, perhaps" if -code == signal.SIGKILL else ""
    return f"the training code was ended by {signal_name(-code)}{hint}"


def read_outcome(work: Path, ended: Ended) -> Outcome:
    """What the program left behind, or `Rejected` with the reason why there is no model."""
    lines = bytes(ended.log).decode(errors="replace").splitlines()[-LAST_LINES:]
    last = f"; its last words: {' | '.join(lines)[-LONGEST_WORDS:]}" if lines else ""
    if ended.why:
        raise Rejected("training", f"{ended.why}{last}", code="training_failed")
    try:
        outcome = Outcome.model_validate_json(read_plain(work / "outcome.json", LARGEST_OUTCOME))
        canonical(outcome.model_dump(mode="json"))  # raises ValueError on NaN and infinity, which no record can say
    except (Rejected, ValidationError, ValueError):
        why = f"the training code ended by itself with exit code 0 and left no model{last}"
        raise Rejected("training", why, code="no_model") from None
    if outcome.why or outcome.signature is None or outcome.parity is None:
        raise Rejected("training", outcome.why or "left half an outcome", code="training_failed")
    return outcome


def read_plain(path: Path, largest: int) -> bytes:
    """A file that the user's code could have tampered with: only a plain one is read, and not an endless one."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise Rejected(path.name, "is not there as a plain file", code="no_model") from error
    with os.fdopen(descriptor, "rb") as file:
        known = os.fstat(descriptor)
        if not stat.S_ISREG(known.st_mode) or known.st_size > largest:
            why = f"is no plain file of at most {largest:,} bytes"
            raise Rejected(path.name, why, code="no_model")
        return file.read()


if __name__ == "__main__":
    try:
        main()
    except IndexError:
        raise Misconfigured("functions.train.job", "needs the key of a run") from None
