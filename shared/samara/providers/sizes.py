"""What every store refuses alike, before it asks its cloud."""

from samara.errors import Rejected
from samara.ports import LARGEST_HEAD


def small(key: str, data: bytes) -> bytes:
    """`data`, if a head may be that large."""
    if len(data) > LARGEST_HEAD:
        raise Rejected(key, f"has {len(data):,} bytes; heads are small, at most {LARGEST_HEAD:,}", code="too_large")
    return data
