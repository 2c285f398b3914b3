"""JSON that a cloud hands over, field by field, and nothing loaded for it. Pure."""

from base64 import b64decode
from binascii import Error as NotBase64
from typing import Any

from samara.errors import Rejected


def malformed(what: str, why: str) -> Rejected:
    return Rejected(what, why, code="bad_event")


def field(value: Any, name: str) -> Any:
    """What is under that name, or nothing where `value` is no object."""
    return value.get(name) if isinstance(value, dict) else None


def in_base64(text: str, what: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except (NotBase64, ValueError) as error:
        raise malformed(what, "is not base64") from error
