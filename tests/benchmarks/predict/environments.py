"""An environment for each contender, made by uv: they share no package, so each is measured as those who install it
get it. What developers have installed beside Samara costs a tenth of its start, by what it has Python do at each one.

Peers' are made once from their pinned requirements. The first line of `peers/{name}.txt` names what was asked for; to
renew the rest, give that to `uv pip compile --no-header --no-annotate` under Python 3.11. Samara's is what its lock
says, with a wheel of this checkout, which is built and put in anew each time.
"""

import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
CACHE = ROOT / ".cache" / "bench"
PEERS = Path(__file__).parent / "peers"
SAMARA = "samara"
TOLD = ("samara", "onnxruntime", "numpy", "orjson", "httptools", "pydantic")


def python_of(name: str) -> Path:
    """The interpreter of a contender's environment; the one that runs this where no name is given."""
    return CACHE / "env" / name / "bin" / "python" if name else Path(sys.executable)


def requirements(name: str) -> Path:
    return PEERS / f"{name}.txt"


def is_ready(name: str) -> bool:
    """Whether the environment is what its requirements say."""
    if name in ("", SAMARA):
        return not name
    said = CACHE / "env" / name / "requirements.txt"
    return said.exists() and said.read_bytes() == requirements(name).read_bytes()


def make(name: str) -> None:
    """The environment, made anew. `CalledProcessError` when uv cannot."""
    if name == SAMARA:
        make_ours()
        return
    empty(name)
    install(name, "--no-deps", "-r", str(requirements(name)))
    shutil.copy(requirements(name), CACHE / "env" / name / "requirements.txt")


def make_ours() -> None:
    built = CACHE / "wheel"
    shutil.rmtree(built, ignore_errors=True)
    told(sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(built))
    if not python_of(SAMARA).exists():
        empty(SAMARA)
    (wheel,) = built.glob("*.whl")
    install(
        SAMARA, "--reinstall-package", "samara", "--constraints", str(ROOT / "requirements.lock"), f"{wheel}[local]"
    )


def empty(name: str) -> None:
    folder = CACHE / "env" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    told(uv(), "venv", "--quiet", "--python", sys.executable, str(folder))


def install(name: str, *what: str) -> None:
    told(uv(), "pip", "install", "--quiet", "--compile-bytecode", "--python", str(python_of(name)), *what)


def uv() -> str:
    return shutil.which("uv", path=str(Path(sys.executable).parent)) or "uv"


def told(*command: str) -> None:
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)


def versions(name: str) -> dict[str, str]:
    """What is installed there, as far as a reader needs it to repeat the figures."""
    if name in ("", SAMARA):
        return {package: version(package) for package in TOLD}
    lines = (line.partition("==") for line in requirements(name).read_text().splitlines() if line[:1] not in ("#", ""))
    return {package: pinned for package, _, pinned in lines}
