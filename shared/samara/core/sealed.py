"""What every record is as bytes, without the models that check it: canonical JSON that carries its own digest. Pure.

`samara.core.records` says what may stand in a record and is what nearly everybody reads and writes through. Where
each millisecond before the first answer counts, in prediction, the frame alone is enough: digests are held here.
"""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

from samara.core.digests import canonical, digest
from samara.errors import Rejected

SCHEMA = 1
MUST_PASS = ("safe", "signature", "parity")
"""The gates without which a version is never served, whoever asks for it."""
OURS = {"digest", "noted"}


class Maker(NamedTuple):
    """Which function wrote a record, and the digest of the code it ran."""

    function: str
    code: str


def digest_of(body: dict[str, Any]) -> str:
    """The SHA-256 of the canonical JSON of everything but `noted`."""
    return digest(canonical({name: value for name, value in body.items() if name != "noted"}))


def seal(body: dict[str, Any], spell: Callable[[Any], bytes] = canonical) -> tuple[bytes, str]:
    """A record's body as it is written, and the digest that is in it. A field at its default must have been left out.

    Everything is spelled once: the keys sort as they are joined here. `spell` does what `canonical` does.
    """
    names = sorted(body.keys() | OURS)
    first, second = names.index("digest"), names.index("noted")
    rest = names[:first], names[first + 1 : second], names[second + 1 :]
    parts = [{name: body[name] for name in some} for some in rest]
    before, between, after = [spell(part)[1:-1] if part else b"" for part in parts]
    found = digest(b"{" + b",".join(filter(None, (before, between, after))) + b"}")
    noted = spell({"noted": body["noted"]})[1:-1] if "noted" in body else b""
    whole = (before, b'"digest":"' + found.encode() + b'"', between, noted, after)
    return b"{" + b",".join(filter(None, whole)) + b"}", found


def body(kind: str, maker: Maker, **said: Any) -> dict[str, Any]:
    """The body of a record of that kind. What is None is at its default, so it is left out."""
    filled = {name: value for name, value in said.items() if value is not None}
    return {**filled, "made_by": {"function": maker.function, "code": maker.code}, "kind": kind, "schema": SCHEMA}


def unseal(data: bytes, key: str) -> tuple[dict[str, Any], str]:
    """The body in `data` and the digest it claims, or `Rejected` when this is no record, or of a later Samara."""
    try:
        said = json.loads(data)
        claimed = said.pop("digest")
        _, schema = said["kind"], said["schema"]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise Rejected(key, "not a record: no JSON object with digest, kind and schema", code="bad_record") from error
    known(schema, SCHEMA, key)
    return said, claimed


def known(schema: Any, ours: int, key: str) -> None:
    """Refuse what a later Samara wrote, since we would misread it."""
    if schema != ours:
        why = f"written by a later Samara (schema {schema!r}, this one reads {ours}); upgrade to read it"
        raise Rejected(key, why, code="unknown_schema")


def intact(data: bytes, key: str, kind: str) -> tuple[dict[str, Any], str]:
    """The body of a record of that kind and its digest, verified; else `Rejected`."""
    said, claimed = unseal(data, key)
    if said["kind"] != kind:
        raise Rejected(key, f"not a {kind} but {said['kind']!r}", code="bad_record")
    try:
        found = digest_of(said)
    except ValueError:  # NaN, infinity or a lone surrogate: no writer of ours could have said that
        found = ""
    if found != claimed:
        raise altered(key)
    return said, claimed


def altered(key: str) -> Rejected:
    why = "altered since it was written: its digest does not match what it says"
    return Rejected(key, why, code="altered")
