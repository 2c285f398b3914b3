"""An environment for each peer, made once by uv from its pinned requirements: peers share no package with each other
or with us, so each is measured as those who install it get it.

The first line of `peers/{name}.txt` names what was asked for; to renew the rest, give that to `uv pip compile
--no-header --no-annotate` under Python 3.11.
"""

import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
CACHE = ROOT / ".cache" / "bench"
PEERS = Path(__file__).parent / "peers"
OURS = ("samara", "onnxruntime", "numpy", "orjson", "uvloop", "httptools", "pydantic")


def python_of(name: str) -> Path:
    """The interpreter of a peer's environment; ours where no name is given."""
    return CACHE / "env" / name / "bin" / "python" if name else Path(sys.executable)


def requirements(name: str) -> Path:
    return PEERS / f"{name}.txt"


def is_ready(name: str) -> bool:
    """Whether the environment is what its requirements say."""
    if not name:
        return True
    said = CACHE / "env" / name / "requirements.txt"
    return said.exists() and said.read_bytes() == requirements(name).read_bytes()


def make(name: str) -> None:
    """The environment, made anew. `CalledProcessError` when uv cannot."""
    folder = CACHE / "env" / name
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or "uv"
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    run = [uv, "venv", "--quiet", "--python", sys.executable, str(folder)]
    subprocess.run(run, check=True, capture_output=True, text=True)
    run = [uv, "pip", "install", "--quiet", "--no-deps", "--compile-bytecode", "--python", str(python_of(name))]
    subprocess.run([*run, "-r", str(requirements(name))], check=True, capture_output=True, text=True)
    shutil.copy(requirements(name), folder / "requirements.txt")


def versions(name: str) -> dict[str, str]:
    """What is installed there, as far as a reader needs it to repeat the figures."""
    if not name:
        return {package: version(package) for package in OURS}
    lines = (line.partition("==") for line in requirements(name).read_text().splitlines() if line[:1] not in ("#", ""))
    return {package: pinned for package, _, pinned in lines}
