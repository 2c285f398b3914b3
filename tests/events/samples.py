"""The payloads in `golden`, by cloud and name."""

import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).with_name("golden")


def raw(name: str) -> bytes:
    return (HERE / f"{name}.json").read_bytes()


def golden(name: str) -> Any:
    return json.loads(raw(name))
