"""What a file system can do for us, and what its refusals mean."""

import errno
import fcntl
import io
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from samara.errors import Misconfigured, NotFound, Rejected, SamaraError, Unavailable

PATIENCE_S = 30.0  # a lock is held for a few milliseconds; longer means that its holder is stopped
PAUSE_S = 0.001
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EXDEV, errno.EMLINK, errno.ENOSYS)

MEANING: dict[int, type[SamaraError]] = {
    errno.ENOSPC: Unavailable,
    errno.EDQUOT: Unavailable,
    errno.EFBIG: Unavailable,
    errno.EROFS: Unavailable,  # what the kernel makes of a failing disk
    errno.EIO: Unavailable,
    errno.EMFILE: Unavailable,
    errno.ENFILE: Unavailable,
    errno.ENOMEM: Unavailable,
    errno.EAGAIN: Unavailable,
    errno.ESTALE: Unavailable,
    errno.EACCES: Misconfigured,
    errno.EPERM: Misconfigured,
    errno.EXDEV: Misconfigured,
    errno.EEXIST: Misconfigured,
    errno.ENOLCK: Misconfigured,
    errno.ENAMETOOLONG: Rejected,
}


@contextmanager
def translated(subject: str, absent: type[SamaraError] = Unavailable) -> Iterator[None]:
    """Raise our error for the system's, with the system's as the cause. Codes we don't know pass through.

    `absent` is what a missing file means here; unless told, that something vanished under our hands.
    """
    try:
        yield
    except OSError as error:
        meaning = absent if error.errno in NOT_THERE else MEANING.get(error.errno or 0)
        if meaning is None:
            raise
        why = "" if meaning is NotFound else f"the file system says: {os.strerror(error.errno or 0)}"
        raise meaning(subject, why) from error


def private(path: str | os.PathLike[str], flags: int) -> int:
    """An opener of files that nobody else may read."""
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def private_folders(*folders: Path) -> None:
    for folder in folders:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)


@contextmanager
def locked(path: Path, subject: str) -> Iterator[None]:
    """Alone, among threads and processes, with the lock file at `path`. The kernel lets go when we die."""
    lock = private(path, os.O_RDWR | os.O_CREAT)
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not taken(lock):
            if time.monotonic() > deadline:
                raise Unavailable(subject, f"locked by another process for {PATIENCE_S:.0f} s; is one stopped?")
            time.sleep(PAUSE_S)
        try:
            yield
        finally:
            fcntl.flock(lock, fcntl.LOCK_UN)  # closing would not do while a forked child has it open
    finally:
        os.close(lock)


def taken(lock: int) -> bool:
    """Whether the lock is ours now."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def write_all(file: io.FileIO, data: bytes) -> None:
    """A file system may take less than it is given."""
    left = memoryview(data)
    while left:
        left = left[file.write(left) :]


def opened(name: str, folder: int, key: str) -> BinaryIO:
    """The regular file of that name in an open folder. Links are not followed, pipes and devices not touched."""
    regular_only(os.stat(name, dir_fd=folder, follow_symlinks=False), key)
    file = os.open(name, FILE, dir_fd=folder)
    try:
        regular_only(os.fstat(file), key)  # it may have been exchanged since
    except BaseException:
        os.close(file)
        raise
    return os.fdopen(file, "rb")


def regular_only(status: os.stat_result, key: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise NotFound(key, "not a regular file; folders, links and special files are no objects")


def entered(name: str, folder: int, *, make: bool) -> int:
    """The folder of that name in an open folder, opened, or made first. Links are not followed."""
    try:
        return os.open(name, FOLDER, dir_fd=folder)
    except FileNotFoundError:
        if not make:
            raise
    with suppress(FileExistsError):
        os.mkdir(name, 0o700, dir_fd=folder)
    os.fsync(folder)
    return os.open(name, FOLDER, dir_fd=folder)


def entries(folder: int) -> list[str]:
    """The names of the files and, with a slash behind, of the folders in an open folder; nothing else."""
    with os.scandir(folder) as found:
        return [
            f"{entry.name}/" if entry.is_dir(follow_symlinks=False) else entry.name
            for entry in found
            if entry.is_dir(follow_symlinks=False) or entry.is_file(follow_symlinks=False)
        ]


def without_files(name: str, folder: int) -> None:
    """Remove a tree of empty folders. `OSError` when there is anything else in it."""
    for _, folders, _, above in os.fwalk(name, topdown=False, dir_fd=folder):
        for empty in folders:
            os.rmdir(empty, dir_fd=above)
    os.rmdir(name, dir_fd=folder)


def forget_older(folder: Path, age_s: float) -> None:
    """Remove the files that were last written longer ago."""
    now = time.time()
    for path in folder.iterdir():
        with suppress(FileNotFoundError):  # another process does the same
            if now - path.lstat().st_mtime > age_s:
                path.unlink()
