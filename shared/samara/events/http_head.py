"""A request's path, query and headers, read strictly, and nothing loaded for it. Pure.

Strict where servers are lenient: what two readers of a request could understand differently is `Rejected`.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import parse_qsl, unquote_to_bytes

from samara.core.strict import shown
from samara.errors import Rejected

LONGEST_PATH = 2_048
LONGEST_QUERY = 4_096
MOST_FIELDS = 100  # of a query
LONGEST_HEADERS = 16_384  # bytes of all of them, as common servers have it
MOST_HEADERS = 100
CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")
CONTROLS_BUT_TAB = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")


def path_of(raw: bytes) -> str:
    """The path, decoded once. Whatever could name another path after one more reading is refused.

    >>> path_of(b"/v2/models/late")
    '/v2/models/late'
    """
    return known_path(raw) if len(raw) < 200 else read_path(raw)  # long ones would fill the memory


def read_path(raw: bytes) -> str:
    if len(raw) > LONGEST_PATH:
        raise Rejected("path", f"has {len(raw):,} bytes; {LONGEST_PATH:,} are the most", code="long_path")
    try:
        path = unquote_to_bytes(raw).decode("utf-8")
    except UnicodeDecodeError as error:
        raise Rejected("path", "is not UTF-8", code="bad_path") from error
    hidden = re.search(rb"%(2f|5c|25)", raw, re.IGNORECASE)
    if not path.startswith("/") or hidden or "\\" in path or CONTROLS.search(path):
        raise Rejected(shown(path), "starts without / or hides special characters", code="bad_path")
    if "//" in path or any(part in (".", "..") for part in path.split("/")):
        raise Rejected(shown(path), "has //, . or .. in it; write it out", code="bad_path")
    return path


known_path = lru_cache(1_024)(read_path)


def query_of(raw: bytes) -> dict[str, str]:
    """The query's fields; of one given twice, the last counts."""
    if not raw:
        return {}
    if len(raw) > LONGEST_QUERY:
        raise Rejected("query", f"has {len(raw):,} bytes; {LONGEST_QUERY:,} are the most", code="long_path")
    if raw.count(b"&") >= MOST_FIELDS:
        raise Rejected("query", f"has more than {MOST_FIELDS} fields", code="bad_query")
    try:
        pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, errors="strict")
    except ValueError as error:
        raise Rejected("query", "is not a query of UTF-8 fields", code="bad_query") from error
    if any(CONTROLS.search(text) for pair in pairs for text in pair):
        raise Rejected("query", "has control characters", code="bad_query")
    return dict(pairs)


ONCE = ("host", "content-length", "content-type", "content-encoding", "transfer-encoding", "origin")


def headers_of(pairs: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Headers by lower-case name; what is given several times is joined by commas, unless it decides something."""
    found: dict[str, str] = {}
    size = 0
    for count, (raw_name, raw_value) in enumerate(pairs, start=1):
        size += len(raw_name) + len(raw_value)
        if size > LONGEST_HEADERS or count > MOST_HEADERS:
            why = f"have more than {LONGEST_HEADERS:,} bytes or {MOST_HEADERS} lines"
            raise Rejected("headers", why, code="long_headers")
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1").strip()
        if CONTROLS_BUT_TAB.search(value):
            raise Rejected("headers", "have control characters", code="bad_headers")
        if name in found and name in ONCE:
            raise Rejected(name, "is there twice", code="bad_headers")
        found[name] = f"{found[name]}, {value}" if name in found else value
    if "content-length" in found and "transfer-encoding" in found:
        raise Rejected("content-length", "contradicts transfer-encoding; send one of them", code="bad_headers")
    return found


def too_large(largest: int) -> Rejected:
    return Rejected("body", f"is too large; {largest:,} bytes are the most", code="too_large")
