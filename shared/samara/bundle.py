"""A project's source files as one deterministic archive, and back. The same files are the same bytes anywhere.

Nothing is compressed and no times are kept, because both would differ from machine to machine. What comes out
of the bucket is unpacked as if a stranger had packed it.
"""

import io
import os
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from samara.core.keys import unspeakable
from samara.errors import Rejected

SOURCES = {".py", ".json", ".toml", ".txt", ".yaml", ".yml"}
LARGEST = 16 << 20  # bytes of all files together: code is small, data belongs into landing/
MOST = 1000  # files
LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the earliest time a zip can name


def pack(folder: Path) -> bytes:
    """The source files below `folder` as a zip. Hidden files, caches and links are left out."""
    paths = list(sources(folder))
    size = sum(path.stat().st_size for path in paths)
    if size > LARGEST or len(paths) > MOST:
        why = f"has {len(paths):,} source files of {size:,} bytes; {MOST:,} and {LARGEST:,} are allowed: move data out"
        raise Rejected(str(folder), why, code="bundle_too_large")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for path in paths:
            entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), LONG_AGO)
            entry.create_system, entry.external_attr = 3, 0o644 << 16  # as Unix writes it, on any system
            archive.writestr(entry, path.read_bytes())
    return buffer.getvalue()


def sources(folder: Path) -> Iterator[Path]:
    """The files a bundle holds, in the order of their names."""
    found: list[Path] = []
    for above, folders, names in os.walk(folder, onerror=unless_forbidden):  # which enters no folder that is a link
        folders[:] = [name for name in folders if not name.startswith(".") and name != "__pycache__"]
        found += [Path(above, name) for name in names if not name.startswith(".")]
    for path in sorted(found, key=lambda path: path.relative_to(folder).as_posix()):
        if path.suffix in SOURCES and path.is_file() and not path.is_symlink():
            yield path


def unless_forbidden(error: OSError) -> None:
    """A folder that we may not look into holds nothing of ours; any other trouble would leave code behind."""
    if not isinstance(error, PermissionError):
        raise error


def unpack(data: bytes, folder: Path) -> None:
    """The files of a bundle below `folder`, or `Rejected` before anything is written."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            check(entries)
            contents = {entry.filename: archive.read(entry) for entry in entries}
    except (zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError, ValueError) as error:
        raise Rejected("bundle", f"not a source bundle: {error}", code="bad_bundle") from error
    for name, content in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            file.write(content)


def check(entries: list[zipfile.ZipInfo]) -> None:
    """Refuse an archive that could write elsewhere, twice to one place, or more than a bundle may hold."""
    if len(entries) > MOST or sum(entry.file_size for entry in entries) > LARGEST:
        raise Rejected("bundle", f"holds more than {MOST:,} files or {LARGEST:,} bytes", code="bundle_too_large")
    seen: set[str] = set()
    for entry in entries:
        shown = ascii(entry.filename[:100])
        if not contained(entry.filename):
            raise Rejected("bundle", f"{shown} leads out of its folder", code="bad_bundle")
        if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG):
            raise Rejected("bundle", f"{shown} is not a plain file", code="bad_bundle")
        parents = {str(parent) for parent in PurePosixPath(entry.filename).parents}
        if entry.filename in seen or parents & seen:
            raise Rejected("bundle", f"{shown} is there twice, or below a file", code="bad_bundle")
        if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
            raise Rejected("bundle", f"{shown} is compressed or encrypted; bundles are neither", code="bad_bundle")
        seen.add(entry.filename)


def contained(name: str) -> bool:
    """Whether a name in an archive stays below the folder it is unpacked into.

    >>> contained("train.py"), contained("../train.py"), contained("/train.py"), contained("a//b.py")
    (True, False, False, False)
    """
    parts = name.split("/")
    return not ("\\" in name or ":" in name or any(unspeakable(letter) for letter in name)) and not any(
        part in ("", ".", "..") for part in parts
    )
