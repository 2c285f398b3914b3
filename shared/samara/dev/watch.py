"""What people drop into the bucket's folder, noticed once it has stopped growing."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

Stat = tuple[int, int, int]


@dataclass(slots=True)
class FolderWatch:
    """Compares a folder with how it looked before. A hint only: `reconcile` finds what this misses.

    A file is reported when it looks the same in two looks in a row, so a copy in progress is left alone.
    """

    bucket: Path
    prefix: str
    reported: dict[str, Stat] = field(default_factory=dict)
    moving: dict[str, Stat] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.reported = dict(self._look())

    def news(self) -> list[str]:
        """Keys that are new, or new again, since the last call."""
        now = dict(self._look())
        fresh = {key: stat for key, stat in now.items() if self.reported.get(key) != stat}
        settled = [key for key, stat in fresh.items() if self.moving.get(key) == stat]
        self.moving = fresh
        self.reported.update((key, now[key]) for key in settled)
        return sorted(settled)

    def _look(self) -> Iterator[tuple[str, Stat]]:
        folders = [self.bucket / self.prefix]
        while folders:
            try:
                entries = list(os.scandir(folders.pop()))
            except OSError:
                continue  # not there yet, or gone again
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(Path(entry.path))
                elif entry.is_file(follow_symlinks=False):
                    try:
                        stat = entry.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue
                    key = Path(entry.path).relative_to(self.bucket).as_posix()
                    yield key, (stat.st_size, stat.st_mtime_ns, stat.st_ino)
