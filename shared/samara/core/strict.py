"""JSON as strangers send it, read strictly: what two readers could understand differently is refused. Pure.

Every refusal is a `Rejected` with a code: `bad_json`, `too_deep`, `too_large` or `media_type`.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, NoReturn

from samara.errors import Rejected

LARGEST = 6 << 20  # bytes: what every cloud's functions take in one request
DEEPEST = 32  # a tensor of rank 30 inside a request
TOKENS = rb'(?s)"(?:[^"\\]++|\\.)*+"?|[\[\]{}]'  # strings, even unclosed, and brackets outside


def asked(headers: Mapping[str, str], body: bytes) -> Any:
    """The JSON value a request carries. No `content-type` at all counts as JSON: some official clients send none."""
    media_type(headers, "application/json")
    return value(sized(headers, body))


def sized(headers: Mapping[str, str], body: bytes) -> bytes:
    """`body`, if it is as large as it looks: not compressed, and no larger than we take."""
    if headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise Rejected("content-encoding", "send the body as it is, not compressed", code="media_type")
    if len(body) > LARGEST:
        raise Rejected("body", f"has {len(body):,} bytes; {LARGEST:,} are the most", code="too_large")
    return body


def media_type(headers: Mapping[str, str], *allowed: str) -> str:
    """The media type of a request, if it is one of `allowed`; the first of them when the request names none."""
    kind, _, rest = headers.get("content-type", allowed[0]).lower().partition(";")
    charset = re.search(r"charset\s*=\s*\"?([^\s\";]*)", rest)
    if kind.strip() not in allowed or (charset and charset[1] not in ("utf-8", "utf8")):
        raise Rejected("content-type", f"send {' or '.join(allowed)} in UTF-8", code="media_type")
    return kind.strip()


def value(data: bytes, where: str = "body") -> Any:
    """The JSON value in `data`.

    >>> value(b'{"a": [1, null]}')
    {'a': [1, None]}
    """
    if too_deep(data):
        raise Rejected(where, f"is nested deeper than {DEEPEST} levels", code="too_deep")
    try:
        text = data.decode("utf-8")
        found = json.loads(text, object_pairs_hook=without_twins, parse_constant=no_number)
    except UnicodeDecodeError as error:
        raise Rejected(where, f"is not UTF-8 at byte {error.start}", code="bad_json") from error
    except json.JSONDecodeError as error:
        raise Rejected(where, f"is not JSON at character {error.pos}", code="bad_json") from error
    except RecursionError as error:
        raise Rejected(where, f"is nested deeper than {DEEPEST} levels", code="too_deep") from error
    except ValueError as error:  # Python reads integers of at most 4,300 digits
        raise Rejected(where, "has a number with thousands of digits", code="bad_json") from error
    if "\\u" in text and not speakable(found):
        raise Rejected(where, "has \\u0000 or half a surrogate pair in a string", code="bad_json")
    return found


def too_deep(data: bytes) -> bool:
    """Whether `data` nests deeper than we read, found in one pass and before anything is built from it."""
    if data.count(b"[") + data.count(b"{") <= DEEPEST:
        return False
    depth = 0
    for token in re.finditer(TOKENS, data):
        letter = token[0]
        if letter in (b"[", b"{"):
            depth += 1
            if depth > DEEPEST:
                return True
        elif letter in (b"]", b"}"):
            depth -= 1
    return False


def without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys are all different: of two equal ones, readers disagree which counts."""
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twin = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]  # add gives None, which is the point
        raise Rejected(shown(twin), "is there twice in one object", code="bad_json")
    return found


def no_number(name: str) -> NoReturn:
    why = f"has {name}, which is no JSON number; write null where a number is missing"
    raise Rejected("body", why, code="bad_json")


def speakable(found: Any) -> bool:
    """Whether every string can be written as UTF-8 text without NUL."""
    match found:
        case str():
            return "\0" not in found and not any("\ud800" <= letter <= "\udfff" for letter in found)
        case list():
            return all(speakable(item) for item in found)
        case dict():
            return all(speakable(key) and speakable(item) for key, item in found.items())
        case _:
            return True


def shown(text: Any) -> str:
    """What a stranger wrote, short and harmless enough to say back.

    >>> shown("x" * 100), shown(b"?")
    ('xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…', 'a value')
    """
    if not isinstance(text, str):
        return "a value"
    short = ascii(text[:40])[1:-1]
    return short + "…" if len(text) > 40 else short
