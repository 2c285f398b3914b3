"""What was refused and why: a whole file, or rows of one."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from samara.core.digests import canonical
from samara.core.records import Reason
from samara.errors import Rejected

SHOWN = 10  # row numbers named in a reason
LISTED = 10_000  # refused rows written out: more than anyone reads; the upload itself is kept
TEXT = 500  # characters of a refused row written out


class Unfit(Rejected):
    """A whole file is refused, for every one of `reasons`."""

    def __init__(self, subject: str, why: str, *, code: str = "rejected", column: str | None = None) -> None:
        super().__init__(subject, why, code=code)
        self.reasons: tuple[Reason, ...] = (Reason(code=code, why=f"{subject}: {why}", column=column),)

    @classmethod
    def together(cls, reasons: Sequence[Reason]) -> "Unfit":
        """One refusal for several reasons: people fix files in one go."""
        unfit = cls("file", "; ".join(reason.why for reason in reasons), code=reasons[0].code)
        unfit.reasons = tuple(reasons)
        return unfit


@dataclass(frozen=True, slots=True)
class Refusal:
    """One row refused. `row` counts from 1 for the first row of data; blank lines are not rows."""

    row: int
    code: str
    why: str
    text: str


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive rows of a file: those accepted, as a table, and those refused."""

    table: pa.Table
    refused: tuple[Refusal, ...] = ()


def excerpt(text: str | bytes) -> str:
    """The beginning of a refused row, speakable as JSON whatever it holds."""
    if isinstance(text, str):
        text = text[:TEXT].encode(errors="backslashreplace")
    return text[: 4 * TEXT].decode(errors="backslashreplace")[:TEXT]


@dataclass(slots=True)
class Tally:
    """The refused rows of a file, counted by code; the first of them kept to be shown."""

    rows: int = 0
    lines: list[bytes] = field(default_factory=list)
    _counts: dict[str, int] = field(default_factory=dict)
    _whys: dict[str, str] = field(default_factory=dict)
    _examples: dict[str, list[int]] = field(default_factory=dict)

    def add(self, refused: Iterable[Refusal]) -> None:
        for one in refused:
            self.rows += 1
            self._counts[one.code] = self._counts.get(one.code, 0) + 1
            self._whys.setdefault(one.code, one.why)
            examples = self._examples.setdefault(one.code, [])
            if len(examples) < SHOWN:
                examples.append(one.row)
            if len(self.lines) < LISTED:
                said = {"row": one.row, "code": one.code, "why": one.why, "text": one.text}
                self.lines.append(canonical(said) + b"\n")

    @property
    def reasons(self) -> tuple[Reason, ...]:
        return tuple(
            Reason(code=code, why=self._whys[code], rows=self._counts[code], examples=tuple(self._examples[code]))
            for code in sorted(self._counts)
        )
