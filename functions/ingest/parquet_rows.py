"""Parquet read in a process of its own, which may hold only so much memory and, when a file ends it, ends alone.

pyarrow ends its process over some footers that contradict themselves, and reserves whatever a page claims to unpack
to. Nothing but the reading can tell which files do so. Starting the process takes up to a second.
"""

import sys
from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from functions.ingest import parquet_tables
from functions.ingest.limits import Limits
from functions.ingest.parquet_tables import AGAIN
from functions.ingest.refusals import Block, Refusal, Unfit
from samara.child import Child, answering, limit_memory, received, send
from samara.core.records import Reason
from samara.errors import Unavailable

PROGRAM = "from functions.ingest.parquet_rows import main; main()"


def blocks(file: BinaryIO, size: int, limits: Limits) -> Generator[Block, None, None]:
    """The rows of a file of `size` bytes on disk, block by block; `Unfit` when it is not usable."""
    parquet_tables.refuse_bad_frame(file, size, limits)
    file.flush()
    child = Child(PROGRAM)
    try:
        with suppress(BrokenPipeError):  # it has ended already, which `answered` sees
            send(child.asks, {"path": file.name, "size": size, "limits": asdict(limits)}, [])
        while block := answered(child, limits):
            yield block
    finally:
        child.end()


def answered(child: Child, limits: Limits) -> Block | None:
    """The next block, or None after the last."""
    try:
        said, pieces = received(child.says, limits.memory)
    except (OSError, EOFError, ValueError) as error:
        fate = child.fate()
        if not child.failed:
            raise Unavailable("file", f"was not read to its end: {fate}") from error
        raise Unfit("file", f"is broken Parquet ({fate}); {AGAIN}", code="bad_parquet") from error
    if "unfit" in said:
        raise Unfit.together([Reason(**reason) for reason in said["unfit"]])
    if "refused" not in said:
        return None
    return Block(pa.ipc.open_stream(pieces[0]).read_all(), tuple(Refusal(**one) for one in said["refused"]))


def main() -> None:
    """The child: reads the file that it is told to, and ends."""
    says, (said, _) = answering(), received(sys.stdin.buffer)
    limits = Limits(**said["limits"])
    pa.set_memory_pool(pa.system_memory_pool())  # the usual one reserves far more than it uses
    limit_memory(limits.memory)
    for head, pieces in told(Path(said["path"]), said["size"], limits):
        send(says, head, pieces)


def told(path: Path, size: int, limits: Limits) -> Iterator[tuple[dict[str, Any], list[Any]]]:
    """What the parent is told of the file."""
    try:
        with path.open("rb") as file:
            for block in parquet_tables.blocks(file, size, limits):
                yield {"refused": [asdict(one) for one in block.refused]}, [packed(block.table)]
        yield {}, []
    except Unfit as unfit:
        yield {"unfit": [reason.model_dump() for reason in unfit.reasons]}, []
    except MemoryError:
        why = f"takes more than {limits.memory >> 20:,} MB of memory to read; write smaller pages and row groups"
        yield {"unfit": [{"code": "parquet_memory", "why": f"file: {why}"}]}, []


def packed(table: pa.Table) -> Any:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()
