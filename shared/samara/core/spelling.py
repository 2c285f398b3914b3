"""The types that a contract can give a column, and how their values are written. Pure, and quick to import."""

from typing import Literal

Type = Literal["string", "integer", "number", "boolean", "date", "timestamp"]
TYPES: tuple[Type, ...] = ("string", "integer", "number", "boolean", "date", "timestamp")

DAY = (
    r"(?:[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    r"|02-(?:0[1-9]|1[0-9]|2[0-8]))"
    r"|(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29)"
)
CLOCK = r"(?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:\.[0-9]{1,6})?)?"
ZONE = r"(?:Z|[+-](?:[01][0-9]|2[0-3])(?::?[0-5][0-9])?)"
SPELLING: dict[Type, str] = {
    "integer": r"-?[0-9]{1,40}",
    "number": r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?",
    "boolean": r"(?:(?i:true|false)|0|1)",
    "date": DAY,
    "timestamp": rf"{DAY}(?:[T ]{CLOCK}{ZONE}?)?",
}
"""How a value of each type is written, whole, for `re` and RE2 alike. Every day that matches is in the calendar."""
