"""Whether a window has drifted, and why, in words. Pure; `samara.core.profile` measures, this judges."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from samara.core.definition import Drift
from samara.core.metrics import reaches
from samara.core.profile import Profile, ks, psi
from samara.core.records import ColumnDrift

NAMED = 5  # columns told by name; the report has them all


Word = Literal["stable", "drifted", "too few rows"]


class Share(NamedTuple):
    """How many of a window's captures were looked at, and how many are there."""

    looked_at: int
    there: int

    def of_all(self, rows: int) -> int:
        """About how many rows all captures have, of which those looked at have so many.

        >>> Share(50, 1000).of_all(70)
        1400
        """
        return rows * self.there // self.looked_at if self.looked_at else rows

    def told(self) -> str:
        """For the end of a sentence; empty where all were looked at."""
        if self.looked_at == self.there:
            return ""
        return f"; a fair part was looked at, {self.looked_at:,} of {self.there:,} captures"


ALL = Share(1, 1)


@dataclass(frozen=True, slots=True)
class Verdict:
    word: Word
    why: str
    columns: tuple[ColumnDrift, ...]


def judged(baseline: Profile, current: Profile, limits: Drift, *, comparable: int, share: Share = ALL) -> Verdict:
    """The verdict on a window, of which `current` is a `share`. `comparable` rows have a column of the baseline."""
    columns = tuple(compared(name, baseline, current, limits) for name in baseline.columns)
    drifted = [column for column in columns if column.drifted]
    rows = share.of_all(current.rows)
    word: Word
    if rows < limits.min_rows:
        word, why = "too few rows", f"{rows:,} rows were answered; {limits.min_rows:,} are needed"
    elif not comparable:
        few = ", ".join(list(baseline.columns)[:NAMED])
        word, why = "too few rows", f"none of the captures has a column of the baseline ({few})"
    elif drifted:
        word, why = "drifted", told(drifted, limits)
    else:
        word, why = "stable", f"none of {len(columns)} columns reached KS {limits.ks:g} or PSI {limits.psi:g}"
    return Verdict(word, why + share.told(), columns)


def compared(name: str, baseline: Profile, current: Profile, limits: Drift) -> ColumnDrift:
    """How far one column strayed: not at all, as far as is known, when none of its rows was kept."""
    before, now = baseline.columns[name], current.columns.get(name)
    missing_before = before.missing / baseline.rows if baseline.rows else 0.0
    kept = now.count + now.missing if now else 0
    strayed = ColumnDrift(
        name=name,
        rows=now.count if now else 0,
        psi=psi(before, now) if now else None,
        ks=ks(before, now) if now else None,
        missing=now.missing / kept if now and kept else missing_before,
        missing_before=missing_before,
        drifted=False,
    )
    return strayed.model_copy(update={"drifted": bool(figures(strayed, limits))})


def told(drifted: Sequence[ColumnDrift], limits: Drift) -> str:
    """Which columns and by how much, the worst first."""
    worst = sorted(drifted, key=lambda column: (-(column.psi or 0.0), column.name))
    said = [f"{column.name}: {', '.join(figures(column, limits))}" for column in worst[:NAMED]]
    more = f"; and {len(worst) - NAMED} more" if len(worst) > NAMED else ""
    return "; ".join(said) + more


def figures(column: ColumnDrift, limits: Drift) -> list[str]:
    """The figures that reached their limit: the distance judges numbers, the index what has no distance."""
    found = []
    if column.ks is not None and reaches(column.ks, limits.ks):
        found.append(f"KS {column.ks:.2f} (limit {limits.ks:g})")
    if column.ks is None and column.psi is not None and reaches(column.psi, limits.psi):
        found.append(f"PSI {column.psi:.2f} (limit {limits.psi:g})")
    if reaches(abs(column.missing - column.missing_before), limits.missing):
        found.append(f"{column.missing:.0%} missing, {column.missing_before:.0%} before")
    return found
