"""A cold start imports what an answer costs, and nothing more."""

import subprocess
import sys

HEAVY = (
    "pyarrow", "pandas", "onnx", "sklearn", "scipy", "jinja2", "yaml", "uvicorn", "click", "rich", "httpx",
)  # fmt: skip


def test_importing_the_handler_loads_nothing_it_does_not_need() -> None:
    program = f"import sys, functions.predict.handler; print(sorted(set({HEAVY}) & set(sys.modules)))"

    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert said.stdout.strip() == "[]"


def test_feedback_needs_no_numbers_at_all() -> None:
    heavy = (*HEAVY, "numpy", "onnxruntime")
    program = f"import sys, functions.feedback.handler; print(sorted(set({heavy}) & set(sys.modules)))"

    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert said.stdout.strip() == "[]"
