"""A bucket in a folder: an object is a file, and its key is the path below the folder.

A write goes to a temporary file beside the bucket, is synced, and gets its name in one step: by a hard link, which
fails where the name is taken, or by a rename under a lock that the kernel releases when its holder dies. So kill
anything at any instant: a reader finds the old object, the new one or none. No link is followed inside the bucket.

Two things a cloud can do and a folder cannot: hold an object at `a` beside one at `a/b` (refused), and tell two
writes of the same bytes apart (heads carry a `write_id`, so no two are the same).
"""

import os
import re
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import BinaryIO, NoReturn

from samara.core.digests import digest
from samara.core.keys import flaw, sound, sound_prefix
from samara.errors import Conflict, Misconfigured, NotFound, Rejected, Unavailable, Unsupported
from samara.ports import LARGEST_HEAD, JobRunner, Meta, Object, ObjectStore, Version
from samara.providers import local_files as files
from samara.providers.addresses import provider_of
from samara.providers.local_files import translated
from samara.providers.local_jobs import LocalJobs
from samara.providers.sizes import small
from samara.settings import Settings

__all__ = ["LocalJobs", "LocalStore", "job_runner", "object_store"]

CHUNK = 1 << 20
ATTEMPTS = 10  # to name a file while others remove the folder it goes to
ABANDONED_S = 3600.0  # nobody writes a temporary file that has not grown for an hour


class LocalStore:
    """`root` is the bucket's folder. Temporary files and locks lie beside it, where no listing sees them."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self._temporary = self._root.parent / "tmp"
        self._locks = self._root.parent / "locks"
        with translated(str(root), absent=Misconfigured):
            files.private_folders(self._root.parent, self._root, self._temporary, self._locks)
            files.forget_older(self._temporary, ABANDONED_S)

    def get(self, key: str) -> Object:
        with self.open(key) as file, translated(key):
            data = file.read()
            status = os.fstat(file.fileno())
        return Object(data, version_of(data, status), written_at(status))

    def head(self, key: str) -> Meta:
        with self.open(key) as file, translated(key):
            start = file.read(LARGEST_HEAD + 1)
            status = os.fstat(file.fileno())
        size = len(start) if len(start) <= LARGEST_HEAD else status.st_size
        return Meta(key, size, version_of(start, status), written_at(status))

    def part(self, key: str, start: int, size: int) -> Object:
        with self.open(key) as file, translated(key):
            first = file.read(LARGEST_HEAD + 1)
            file.seek(start)
            data = file.read(size)
            status = os.fstat(file.fileno())
        return Object(data, version_of(first, status), written_at(status))

    def list(self, prefix: str, after: str = "") -> Iterator[str]:
        return self._walked(sound_prefix(prefix), after)

    def open(self, key: str) -> BinaryIO:
        with translated(sound(key), absent=NotFound), self._folder(key) as folder:
            return files.opened(name_in(key), folder, key)

    def create(self, key: str, data: bytes) -> Version:
        return self.create_from(key, data)

    def create_from(self, key: str, source: BinaryIO | bytes) -> Version:
        with translated(sound(key)):
            if os.path.lexists(f"{self._root}/{key}"):  # most of what is created twice has long been there
                self._refuse_taken(key)
            with self._written(source) as (file, version):
                self._name(file, key)
            return version

    def replace(self, key: str, data: bytes, version: Version) -> Version:
        small(key, data)
        with translated(sound(key), absent=Conflict), self._alone_with(key):
            self._expect(key, version)
            with self._written(data) as (file, new), self._folder(key) as folder:
                os.rename(file, name_in(key), dst_dir_fd=folder)
                os.fsync(folder)
        return new

    def delete(self, key: str, version: Version) -> None:
        with translated(sound(key), absent=Conflict), self._alone_with(key):
            self._expect(key, version)
            with self._folder(key) as folder:
                os.unlink(name_in(key), dir_fd=folder)
                os.fsync(folder)

    @contextmanager
    def _folder(self, key: str, *, make: bool = False) -> Iterator[int]:
        """The open folder of `key`, reached step by step so that no link leads out of the bucket."""
        with translated(str(self._root), absent=Misconfigured):
            folder = os.open(self._root, files.FOLDER)
        try:
            for segment in key.split("/")[:-1]:
                below = files.entered(segment, folder, make=make)
                os.close(folder)
                folder = below
            yield folder
        finally:
            os.close(folder)

    @contextmanager
    def _written(self, source: BinaryIO | bytes) -> Iterator[tuple[str, Version]]:
        """A synced temporary file with all of `source`, and the version it will have under its name."""
        path, start = f"{self._temporary}/{os.urandom(16).hex()}", bytearray()
        try:
            with open(path, "xb", buffering=0, opener=files.private) as file:  # a path costs more here
                for chunk in (source,) if isinstance(source, bytes) else iter(partial(source.read, CHUNK), b""):
                    start += chunk[: LARGEST_HEAD + 1 - len(start)]
                    files.write_all(file, chunk)
                os.fsync(file.fileno())
                version = version_of(bytes(start), os.fstat(file.fileno()))
            yield path, version
        finally:
            with suppress(FileNotFoundError):
                os.unlink(path)  # noqa: PTH108  # as above

    def _name(self, file: str, key: str) -> None:
        """Let a finished file appear at `key`, where nothing may be yet."""
        for _ in range(ATTEMPTS):
            try:
                with self._folder(key, make=True) as folder:
                    self._link(file, key, folder)
                    os.fsync(folder)
            except FileExistsError:
                self._refuse_taken(key)
            except FileNotFoundError:  # the folder was empty, and somebody removed it
                continue
            except NotADirectoryError as error:
                why = "needs a folder where an object or a link is; choose another key"
                raise Rejected(key, why, code="bad_key") from error
            else:
                return
        raise Unavailable(key, "others keep removing its folder")

    def _link(self, file: str, key: str, folder: int) -> None:
        try:
            os.link(file, name_in(key), dst_dir_fd=folder)
        except OSError as error:
            if error.errno not in files.NO_LINKS:
                raise
            with self._alone_with(key):
                if name_in(key) in os.listdir(folder):
                    raise FileExistsError from error
                os.rename(file, name_in(key), dst_dir_fd=folder)

    def _refuse_taken(self, key: str) -> None:
        """Say what is in the way at `key`. A folder without files is not: it is removed."""
        with suppress(FileNotFoundError, NotADirectoryError), self._folder(key) as folder:
            mode = os.stat(name_in(key), dir_fd=folder, follow_symlinks=False).st_mode
            if stat.S_ISREG(mode):
                os.fsync(folder)  # what we say is there must outlast a power cut
                raise Conflict(key)
            if not stat.S_ISDIR(mode):
                raise Rejected(key, "a link or special file lies there; remove it", code="bad_key")
            try:
                files.without_files(name_in(key), folder)
            except OSError as error:
                why = "is a folder that holds objects, so it cannot be one; choose another key"
                raise Rejected(key, why, code="bad_key") from error

    def _expect(self, key: str, version: Version) -> None:
        try:
            found = self.head(key)
        except NotFound:
            raise Conflict(key, "nothing is there any more") from None
        if found.version != version:
            raise Conflict(key)

    def _alone_with(self, key: str) -> AbstractContextManager[None]:
        return files.locked(self._locks / digest(key.encode())[:2], key)

    def _walked(self, prefix: str, after: str) -> Iterator[str]:
        """Depth first, a folder sorted by its name and the slash: that is the order of whole keys."""
        waiting = [prefix[: prefix.rfind("/") + 1]]
        while waiting:
            key = waiting.pop()
            if key and not key.endswith("/"):
                yield key
                continue
            waiting += sorted((k for k in self._below(key) if wanted(k, prefix, after)), reverse=True)

    def _below(self, above: str) -> Iterator[str]:
        """The keys of the objects in one folder, and its folders with a slash behind."""
        try:
            with self._folder(above) as folder:
                names = files.entries(folder)
        except OSError as error:
            if error.errno in files.NOT_THERE:
                return
            with translated(above):
                raise
        yield from (above + name for name in names if not flaw((above + name).rstrip("/")))


def wanted(key: str, prefix: str, after: str) -> bool:
    """Whether an object, or some below a folder, is to be listed."""
    return key.startswith(prefix) and (key > after or (key.endswith("/") and after.startswith(key)))


def name_in(key: str) -> str:
    return key.rpartition("/")[2]


def version_of(start: bytes, status: os.stat_result) -> Version:
    """The digest of a small object. What is larger than a head hardly ever changes, so there size, time and inode
    will do; `start` need not be all of it."""
    if len(start) <= LARGEST_HEAD:
        return Version(digest(start))
    return Version(f"{status.st_size}-{status.st_mtime_ns}-{status.st_ino}")


def written_at(status: os.stat_result) -> datetime:
    return datetime.fromtimestamp(status.st_mtime, UTC)


def object_store(settings: Settings) -> ObjectStore:
    """In the home, or of an address `file:/folder`."""
    if settings.store and provider_of(settings.store) != "local":
        raise Misconfigured(settings.store, "not a folder; choose its provider too, by SAMARA_PROVIDER")
    if re.match(r"file:(\Z|~|//(?!/))", settings.store):  # the last would be a machine's name
        raise Misconfigured(settings.store, "names no folder of this machine; write file:/folder, with all of its path")
    return LocalStore(settings.bucket)


def job_runner(settings: Settings) -> JobRunner:
    return LocalJobs(settings)


def bus(settings: Settings) -> NoReturn:  # noqa: ARG001  # every provider takes its settings
    raise Unsupported("local", "wakes what a function asks for by itself, from the function's answer; run samara dev")
