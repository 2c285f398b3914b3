"""Models as they are after optimisation, kept in a folder, so that the next process need not optimise them again.

Weights lie in a file of their own, which is mapped and not read. Measured with ONNX Runtime 1.31, processor time of
loading: 24 MB of convolutions 206 ms, kept 9; 48 MB of dense layers 218 ms, kept 83. Checking the files adds 1 ms
for 1.4 MB. What is kept holds for one release of the library and one kind of processor, which its name says: kept at
a lower level it would hold for every processor, and convolutions would take 89 ms.
"""

import os
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from zlib import crc32

from samara.ort import WEIGHTS, Graph
from samara.ort_api import Api, Failure

MODEL, CHECK = "model.onnx", "checksums"
FORMAT = "1"  # of the folder; to be raised when what is kept changes
PIECE = 1 << 20  # bytes read at once
FEATURES = ("flags", "Features")  # the lines of /proc/cpuinfo that say what a processor can do


def graph(library: Api, model: bytes, threads: int, cache: "str | os.PathLike[str]", digest: str) -> Graph:
    """The model from the folder `cache`, or from its bytes, and then kept there. `Failure` if it cannot be loaded.

    A folder that cannot be written, is full, or holds what was damaged costs time and nothing else. Whoever can write
    there says what is loaded: it belongs to this process's user alone.
    """
    processor = features()
    if not processor:  # what is kept may not hold for the next one
        return Graph(library, model, threads)
    name = sha256(f"{FORMAT} {library.version} {processor} {digest or sha256(model).hexdigest()}".encode()).hexdigest()
    kept = Path(cache) / name
    try:
        if intact(kept):
            return Graph(library, str(kept / MODEL), threads)
        if kept.exists():
            rmtree(kept)
    except (Failure, OSError):
        return Graph(library, model, threads)
    return kept_now(library, model, threads, kept)


def features() -> str:
    """What this machine's processor can do, or nothing where that cannot be told."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith(FEATURES):
                return line.partition(":")[2].strip()
    return ""


def kept_now(library: Api, model: bytes, threads: int, kept: Path) -> Graph:
    """The model from its bytes. It appears in the folder all at once, or not at all."""
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        making = Path(mkdtemp(dir=kept.parent, prefix="."))
    except OSError:
        return Graph(library, model, threads)
    try:
        made = Graph(library, model, threads, save=str(making / MODEL))
        (making / CHECK).write_bytes(checksums(making))
        with suppress(OSError):  # another process was faster
            making.rename(kept)
    except (Failure, OSError):  # no space left, or a model that cannot be loaded: then it fails once more
        return Graph(library, model, threads)
    else:
        return made
    finally:
        rmtree(making, ignore_errors=True)


def intact(kept: Path) -> bool:
    """Whether there is a model, every byte as it was written."""
    found = checksums(kept)
    return bool(found) and (kept / CHECK).exists() and (kept / CHECK).read_bytes() == found


def checksums(folder: Path) -> bytes:
    """A checksum of each file that belongs to the model; one without large tensors has no file of weights.

    It tells damage, not malice, and so need be no digest, which takes five times as long.
    """
    found = []
    for path in (folder / MODEL, folder / os.fsdecode(WEIGHTS)):
        if path.exists():
            total = 0
            with path.open("rb") as file:
                while piece := file.read(PIECE):
                    total = crc32(piece, total)
            found.append(f"{total:08x} {path.name}\n")
    return "".join(found).encode()
