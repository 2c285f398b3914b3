"""From the start of a process to its first answer, without any server: what Python, numpy and onnxruntime cost, and
what Samara's handler adds.

The time that a process's main thread waited for a CPU is taken off, where the system tells it: it is that of others.
"""

import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.predict import environments, ours
from tests.benchmarks.predict.contenders import Place, surroundings
from tests.benchmarks.predict.dialects import DIALECTS
from tests.benchmarks.predict.environments import python_of
from tests.benchmarks.predict.processes import Cpus, on
from tests.benchmarks.predict.servers import Unfit
from tests.benchmarks.predict.specimen import FEATURES, INPUT, OUTPUT, Specimen

HERE = Path(__file__).parent
NOTHING, FLOOR, SAMARA, CAPTURED = (
    "python -c pass", "+ numpy + onnxruntime + session + run", "Samara's handler", "Samara's handler, durable capture",
)  # fmt: skip
DONE = """
import os
told = "/proc/self/schedstat"
print(200, open(told).read().split()[1] if os.path.exists(told) else 0, flush=True)"""
SESSION = f"""
import os
import numpy as np
import onnxruntime as ort
options = ort.SessionOptions()
options.intra_op_num_threads = 1
session = ort.InferenceSession(os.environ["BENCH_MODEL"], options, providers=["CPUExecutionProvider"])
session.run(["{OUTPUT}"], {{"{INPUT}": np.zeros((1, {FEATURES}), dtype=np.float32)}})"""


@dataclass(frozen=True, slots=True)
class Start:
    """`heavy` are packages that were loaded by the first answer and need not be."""

    ms: float
    heavy: tuple[str, ...] = ()


def programs(place: Place) -> dict[str, tuple[list[str], dict[str, str]]]:
    """What is started, and with what in its environment. They share one folder, which is filled here."""
    body = place.folder / "asked.json"
    body.write_bytes(DIALECTS["v2"].said(place.subject.batch(1, 0)[0])[1])
    made: dict[str, tuple[list[str], dict[str, str]]] = {
        NOTHING: (["-c", DONE], {}),
        "+ numpy": (["-c", f"import numpy{DONE}"], {}),
        "+ numpy + onnxruntime": (["-c", f"import onnxruntime{DONE}"], {}),
        FLOOR: (["-c", SESSION + DONE], {}),
    }
    for name, captured in {SAMARA: False, CAPTURED: True}.items():
        home = place.folder / ("captured" if captured else "home")
        ours.in_folder(home, place.subject, captured=captured)
        more = {"SAMARA_PROVIDER": "local", "SAMARA_HOME": str(home)}
        made[name] = ([str(HERE / "starts" / "first_answer.py"), str(body)], more)
    return made


def started(python: Path, arguments: list[str], env: dict[str, str], cpus: Cpus) -> Start:
    """One process, from before it is there until the line it writes when it has answered."""
    with on(cpus.server):
        at = time.perf_counter()
        process = subprocess.Popen(
            [str(python), *arguments], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
    with process:
        assert process.stdout
        assert process.stderr
        line = process.stdout.readline().split()
        took = time.perf_counter() - at
        if line[:1] != ["200"]:
            raise Unfit(f"{arguments[0]}: {' '.join(line)} {process.stderr.read()[-1000:]}")
    return Start(took * 1e3 - int(line[1]) / 1e6, tuple(line[2:]))


def place_for(folder: Path, subject: Specimen) -> Place:
    folder.mkdir(parents=True, exist_ok=True)
    return Place(folder, 0, subject, python_of(environments.SAMARA))


def environment(place: Place, more: dict[str, str]) -> dict[str, str]:
    return {**surroundings(place), **more}
