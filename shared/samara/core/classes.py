"""What a class is called, whoever names it. Pure."""

from typing import Any


def named(value: Any) -> str:
    """A class by one name, whether it is said as a truth value, a number or text.

    >>> [named(value) for value in (True, 1, 1.0, "1", "true", "AA")]
    ['1', '1', '1', '1', '1', 'AA']
    """
    if isinstance(value, str) and value.lower() in ("true", "false"):
        value = value.lower() == "true"
    if isinstance(value, bool) or (isinstance(value, float) and value.is_integer()):
        value = int(value)
    return str(value)
