"""Loading and running a model costs its library, and nothing that a first answer can do without."""

import subprocess
import sys

from tests.shared.test_engines import layer

PROGRAM = """
import sys
from samara import engines
from samara.core.tensors import Value
session = engines.load(sys.stdin.buffer.read())
session.run({"x": Value("FP32", (1, 3), bytes(12))}, limit_s=9)
session.run({"x": Value("FP32", (1, 3), bytes(12))}, limit_s=9)
print(*sys.modules)
"""
HEAVY = {"numpy", "onnxruntime", "pydantic", "boto3", "logging", "json", "pathlib", "subprocess"}


def test_the_lean_engine_loads_nothing_heavy() -> None:
    said = subprocess.run([sys.executable, "-S", "-c", PATHS + PROGRAM], input=layer(), capture_output=True, check=True)

    assert HEAVY & {name.partition(".")[0] for name in said.stdout.decode().split()} == set()


PATHS = f"import sys; sys.path[:] = {sys.path!r}\n"  # without the start-up files of the environment, which import more
