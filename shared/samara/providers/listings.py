"""What a listing promises, whatever a service answers."""

from collections.abc import Iterator

from samara.errors import Unsupported


def ascending(names: Iterator[str], subject: str, after: str = "") -> Iterator[str]:
    """`names`, as long as each comes after the one before: else nobody could go on, or come to an end."""
    for name in names:
        if name <= after:
            raise Unsupported(subject, f"lists {name} after {after}; its listings are in no order one can resume")
        yield name
        after = name
