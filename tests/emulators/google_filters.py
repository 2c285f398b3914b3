"""The filters of Google Pub/Sub: which messages a subscription gets, by their attributes.

The grammar is that of the public reference, as far as filters of ours use it: `attributes:key`,
`attributes.key = "value"` and `hasPrefix(attributes.key, "start")`, joined by `AND`, `OR` and `NOT`, of which the
first two mix only in parentheses. Anything else is refused, and so is what is too long.
"""

import json
import re
from collections.abc import Callable, Mapping

LONGEST = 256  # bytes
TOKEN = re.compile(r'\s*("(?:[^"\\]|\\.)*"|[A-Za-z_][\w-]*|[():=.,])')
Attributes = Mapping[str, str]
Wanted = Callable[[Attributes], bool]


class Malformed(ValueError):
    """Reads `filter: why`."""


def parsed(filter_: str) -> Wanted:
    """Whether a message with these attributes gets through.

    >>> wanted = parsed('hasPrefix(attributes.key, "a/") AND NOT (attributes:old OR attributes.of = "b")')
    >>> wanted({"key": "a/1"}), wanted({"key": "a/1", "old": ""}), wanted({"of": "c"})
    (True, False, False)
    """
    if len(filter_.encode()) > LONGEST:
        raise Malformed(f"{filter_}: longer than {LONGEST} bytes")
    return Filter(filter_).whole()


class Filter:
    """One pass over the tokens; each method takes what it names and gives whether messages fit it."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._left = list(tokens(text))

    def whole(self) -> Wanted:
        found = self._joined()
        if self._left:
            raise self._wrong(f"{self._left[0]} where it should end")
        return found

    def _joined(self) -> Wanted:
        parts, joints = [self._negated()], set()
        while self._left[:1] in (["AND"], ["OR"]):
            joints.add(self._left.pop(0))
            parts.append(self._negated())
        if len(joints) == 2:
            raise self._wrong("AND beside OR, which takes parentheses")
        every = all if joints == {"AND"} else any
        return lambda attributes: every(part(attributes) for part in parts)

    def _negated(self) -> Wanted:
        if self._left[:1] == ["NOT"]:
            self._left.pop(0)
            inner = self._negated()
            return lambda attributes: not inner(attributes)
        return self._term()

    def _term(self) -> Wanted:
        match self._next():
            case "(":
                inner = self._joined()
                self._expect(")")
                return inner
            case "hasPrefix":
                self._expect("(", "attributes", ".")
                key = self._key()
                self._expect(",")
                start = self._value()
                self._expect(")")
                return lambda attributes: attributes.get(key, "").startswith(start) and key in attributes
            case "attributes":
                return self._attribute()
        raise self._wrong("a term is attributes… or hasPrefix(attributes…)")

    def _attribute(self) -> Wanted:
        if self._left[:1] == [":"]:
            self._expect(":")
            present = self._key()
            return lambda attributes: present in attributes
        self._expect(".")
        key = self._key()
        self._expect("=")
        value = self._value()
        return lambda attributes: attributes.get(key) == value

    def _key(self) -> str:
        found = self._next()
        return str(json.loads(found)) if found.startswith('"') else found

    def _value(self) -> str:
        found = self._next()
        if not found.startswith('"'):
            raise self._wrong(f"{found} is no text in quotation marks")
        return str(json.loads(found))

    def _next(self) -> str:
        if not self._left:
            raise self._wrong("ends too early")
        return self._left.pop(0)

    def _expect(self, *wanted: str) -> None:
        for one in wanted:
            if (found := self._next()) != one:
                raise self._wrong(f"{found} where {one} should be")

    def _wrong(self, why: str) -> Malformed:
        return Malformed(f"{self._text}: {why}")


def tokens(text: str) -> list[str]:
    found, at = [], 0
    while at < len(text.rstrip()):
        one = TOKEN.match(text, at)
        if not one:
            raise Malformed(f"{text}: {text[at:]} is not in the grammar")
        found.append(one[1])
        at = one.end()
    return found
