"""What is wrong with a value that pydantic refused, in two words: where, and what."""

from pydantic import ValidationError


def first(error: ValidationError) -> tuple[str, str]:
    """The place of the first flaw, its parts joined by dots, and what pydantic says of it."""
    flaw = error.errors()[0]
    return ".".join(str(part) for part in flaw["loc"]), flaw["msg"]
