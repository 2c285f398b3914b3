"""How values become bytes, and bytes become names."""

import json
from hashlib import sha256
from typing import Any

SPELLING = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def canonical(value: Any) -> bytes:
    """The one spelling of a JSON value: sorted keys, no spaces, UTF-8, shortest round-trip numbers.

    Not RFC 8785, which cannot hold integers beyond 2⁵³ and so would lose people's 64-bit identifiers.

    >>> canonical({"b": 1, "a": [True, None, 0.1]})
    b'{"a":[true,null,0.1],"b":1}'
    """
    return SPELLING.encode(value).encode()


def digest(data: bytes) -> str:
    """The SHA-256 of `data`, 64 hexadecimal digits."""
    return sha256(data).hexdigest()


def short(*parts: str) -> str:
    """A name made of what identifies a thing: 16 hexadecimal digits over its parts.

    >>> short("a", "bc") == short("ab", "c")
    False
    """
    return digest(canonical(parts))[:16]
