"""What a handler gets: the store and the jobs it may use, and the few verbs it reads and writes records by."""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, TypeVar
from uuid import uuid4

from samara import providers
from samara.catalogue import Function
from samara.core import keys
from samara.core.digests import canonical, digest
from samara.core.sealed import Maker, body, seal
from samara.errors import Conflict, NotFound, Rejected, Unavailable, Unknown
from samara.patience import Queue
from samara.ports import JobRunner, ObjectStore, Version
from samara.providers import CLOUDS
from samara.providers.nowhere import NoJobs
from samara.scoped import ScopedStore
from samara.settings import Settings

if TYPE_CHECKING:  # whoever reads records imports them; an answer needs none of pydantic
    from samara.core.heads import Head
    from samara.core.records import Record

    AnyRecord = TypeVar("AnyRecord", bound=Record)
    AnyHead = TypeVar("AnyHead", bound=Head)
else:  # a bound by name has typing compile it, for which Python makes a hundred classes
    AnyRecord, AnyHead = TypeVar("AnyRecord"), TypeVar("AnyHead")
ATTEMPTS = 100  # to swap one head: more writers than that at once is a mistake worth hearing of
AT_ONCE = 8  # reads of a cloud's store: they keep one processor busy, and no SDK's connections run out
CHUNK = 1 << 20
PIECE = 64 << 10  # bytes: more than nearly every file of code has
PACKED = "code.sha256"  # in a package, the digest of its code


class App(NamedTuple):
    """One function's view of the world. `maker` is signed into every record it writes.

    `hasty`, it may raise `NotAtOnce` before it begins what takes its time: it is run where everybody waits for it.
    `at_once` is how many objects are best read at a time: several, where the store is a journey away.
    """

    store: ObjectStore
    jobs: JobRunner
    maker: Maker
    hasty: bool = False
    at_once: int = 1

    def acting_as(self, function: Function) -> "App":
        """The same world with the permissions, and under the name, of `function`."""
        scoped = ScopedStore(self.store, function.name, function.reads, function.creates, function.swaps)
        return self._replace(store=scoped, maker=Maker(function=function.name, code=self.maker.code))

    def acting_as_job_of(self, function: Function) -> "App":
        """The same world with the permissions of the job that `function` submits."""
        if function.job is None:
            raise Rejected(function.name, "submits no job")
        name = f"{function.name} job"
        scoped = ScopedStore(self.store, name, function.job.reads, function.job.creates, ())
        return self._replace(store=scoped, maker=Maker(function=name, code=self.maker.code))

    def read(self, kind: type[AnyRecord], key: str) -> AnyRecord:
        """The record at `key`; `NotFound` when there is none, `Rejected` when it is not what it should be."""
        return kind.read(self.said(key), key)

    def said(self, key: str) -> bytes:
        """The bytes of the record at `key`, which may be one line of an object that holds several captures."""
        several, member, place = key.partition(keys.MEMBER)
        if not member:
            return self.store.get(key).data
        lines = self.store.get(f"{several}.jsonl").data.split(b"\n")
        if not place.isdecimal() or not 0 < int(place) <= len(lines):
            raise NotFound(key)
        return lines[int(place) - 1]

    def find(self, kind: type[AnyRecord], key: str) -> AnyRecord | None:
        """The record at `key`, or None when there is none."""
        try:
            return self.read(kind, key)
        except NotFound:
            return None

    def write(self, key: str, record: AnyRecord) -> AnyRecord:
        """`record` at `key`, or the one that was there first: go on with what this gives you.

        The key of a record follows from its identity, so whoever wrote first wrote the same.
        """
        try:
            self.store.create(key, record.to_bytes())
        except Conflict:
            return type(record).read(self.store.get(key).data, key)
        return record

    def blob(self, name: str) -> bytes:
        """The payload of that digest, verified."""
        data = self.store.get(keys.blob(name)).data
        if digest(data) != name:
            raise Rejected(
                keys.blob(name),
                "altered: its bytes do not have the digest they are named for",
                code="altered",
            )
        return data

    def keep(self, data: bytes) -> str:
        """Store a payload under its digest, and give that digest. Storing it twice is storing it once."""
        name = digest(data)
        with suppress(Conflict):  # the same bytes, by construction
            self.store.create(keys.blob(name), data)
        return name

    def keep_file(self, path: Path) -> str:
        """`keep` for a file that may not fit in memory."""
        with path.open("rb") as file:
            name = hashlib.file_digest(file, "sha256").hexdigest()
            file.seek(0)
            with suppress(Conflict):  # the same bytes, by construction
                self.store.create_from(keys.blob(name), file)
        return name

    def digest_of(self, key: str) -> str:
        """The SHA-256 of whatever is stored at `key`, read in bounded memory."""
        seen = hashlib.sha256()
        with self.store.open(key) as source:
            while chunk := source.read(CHUNK):
                seen.update(chunk)
        return seen.hexdigest()

    @contextmanager
    def fetched(self, name: str) -> Iterator[Path]:
        """The payload of that digest as a temporary file, verified while it was copied."""
        from tempfile import TemporaryDirectory  # noqa: PLC0415  # an answer needs none of all that it loads

        with TemporaryDirectory(prefix="samara-") as folder:
            path = Path(folder) / name
            with self.store.open(keys.blob(name)) as source, path.open("wb") as target:
                found = copied(source, target)
            if found != name:
                raise Rejected(
                    keys.blob(name),
                    "altered: its bytes do not have the digest they are named for",
                    code="altered",
                )
            yield path

    def find_head(self, kind: type[AnyHead], key: str) -> AnyHead | None:
        """The head at `key`, or None when there is none yet."""
        try:
            return kind.read(self.store.get(key).data, key)
        except NotFound:
            return None

    def swap(
        self, kind: type[AnyHead], key: str, change: Callable[[AnyHead], AnyHead], start: AnyHead | None = None
    ) -> AnyHead:
        """Change the head at `key` from whatever it is, and give the head as it then stands.

        Where there is none yet, `start` is stored, or what `change` makes of an empty head. `change` is called
        again with the newer head whenever somebody else wrote first, so it must be pure. A write whose answer got
        lost is found again by its `write_id`.
        """
        queue, tried = Queue(), list[str]()
        doubted: str | None = None
        for _ in range(ATTEMPTS):
            try:
                before, version = self._stored(kind, key, start)
            except Unavailable:
                if not tried:
                    raise
                queue.lose()  # a write of ours may be there: only a look can tell
                continue
            if before.holds(tried):
                return before
            if doubted is not None and not before.remembers(doubted):
                raise Unknown(key, "others wrote so often since that ours cannot be told from a write that got lost")
            after = change(before)
            if after == before and (version is not None or start is None):
                return before
            after = after.written_over(before, uuid4().hex)
            tried.append(after.write_id)
            try:
                self._put(key, after.to_bytes(), version)
            except Conflict:  # somebody else wrote first
                queue.lose()
            except Unavailable:  # or only the answer got lost: our id will tell
                doubted = before.write_id if doubted is None else doubted
                queue.lose()
            else:
                return after
        raise Unknown(key, f"still contended, or not to be written, after {ATTEMPTS} attempts")

    def _stored(self, kind: type[AnyHead], key: str, start: AnyHead | None) -> tuple[AnyHead, Version | None]:
        """The head at `key` and its version, or what there is to start from and None."""
        try:
            stored = self.store.get(key)
        except NotFound:
            return start or kind(), None
        return kind.read(stored.data, key), stored.version

    def _put(self, key: str, data: bytes, version: Version | None) -> None:
        if version is None:
            self.store.create(key, data)
        else:
            self.store.replace(key, data, version)

    def alert(self, subject: str, what: str, why: str, at: datetime) -> None:
        """Say once what a person should hear. Who alerts need not be able to read alerts.

        What is told may be a stranger's: half a character in it is shown as a question mark.
        """
        subject, what, why = [text.encode(errors="replace").decode() for text in (subject, what, why)]
        alert = body("Alert", self.maker, subject=subject, what=what, why=why, noted={"at": at.isoformat()})
        with suppress(Conflict):  # said before
            self.store.create(keys.alert(subject, what), seal(alert)[0])


def build(settings: Settings) -> App:
    """The app of this process: the one place where providers are chosen."""
    store = providers.load(settings.provider).object_store(settings)
    maker = Maker(function="samara", code=code_digest())
    return App(store, job_runner(settings), maker, at_once=AT_ONCE if settings.provider in CLOUDS else 1)


def job_runner(settings: Settings) -> JobRunner:
    """Where this process runs jobs: on nodes of another cloud than the bucket's, if it is set up so, or nowhere."""
    if not settings.jobs and settings.provider in CLOUDS:
        return NoJobs()
    elsewhere = settings.jobs.startswith("libcloud:")
    return providers.load("libcloud" if elsewhere else settings.provider).job_runner(settings)


def copied(source: BinaryIO, target: BinaryIO) -> str:
    """Copy in bounded memory, and give the digest of what went through."""
    seen = hashlib.sha256()
    while chunk := source.read(CHUNK):
        seen.update(chunk)
        target.write(chunk)
    return seen.hexdigest()


@cache
def code_digest() -> str:
    """The digest of the code that runs: every file of `samara` and `functions`, by name and content.

    A package says it itself: in a cloud nobody alters it, and each file is fetched when it is first read.
    """
    here = Path(__file__).parent
    if (packed := here / PACKED).is_file():
        return packed.read_text()
    beside = (here.parent / "functions", here.parents[1] / "functions")  # installed, and in a checkout
    roots = [here, *(root for root in beside if root.is_dir())]
    return digest(canonical({name: found for root in roots for name, found in files_below(str(root), root.name)}))


def files_below(folder: str, name: str) -> Iterator[tuple[str, str]]:
    """The name and the digest of every file, in no order. Each start waits for this, so it opens files as the system
    does."""
    for entry in os.scandir(folder):
        if entry.is_file():
            seen, file = hashlib.sha256(), os.open(entry.path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
            try:
                while len(piece := os.read(file, PIECE)) == PIECE:
                    seen.update(piece)
            finally:
                os.close(file)
            seen.update(piece)
            yield f"{name}/{entry.name}", seen.hexdigest()
        elif entry.is_dir(follow_symlinks=False) and entry.name != "__pycache__":
            yield from files_below(entry.path, f"{name}/{entry.name}")
