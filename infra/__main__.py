"""Where Pulumi starts. `infra.program` is what it runs."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "shared")]

from infra.program import run  # noqa: E402  # found by the line above: Pulumi starts in this folder

run()
