"""JSON that a cloud hands over, field by field, and nothing loaded for it. Pure."""

import base64
from typing import Any

from samara.errors import Rejected


def malformed(what: str, why: str) -> Rejected:
    return Rejected(what, why, code="bad_event")


def field(value: Any, name: str) -> Any:
    """What is under that name, or nothing where `value` is no object."""
    return value.get(name) if isinstance(value, dict) else None


def in_base64(text: str, what: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:  # of which binascii's is one
        raise malformed(what, "is not base64") from error
