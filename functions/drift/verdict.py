"""Whether a window has drifted, and why, in words. Pure; `samara.core.profile` measures, this judges."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from samara.core.definition import Drift
from samara.core.metrics import reaches
from samara.core.profile import Profile, ks, psi
from samara.core.records import ColumnDrift

NAMED = 5  # columns told by name; the report has them all


@dataclass(frozen=True, slots=True)
class Verdict:
    word: Literal["stable", "drifted", "too few rows"]
    why: str
    columns: tuple[ColumnDrift, ...]


def judged(baseline: Profile, current: Profile, limits: Drift, *, comparable: int) -> Verdict:
    """The verdict on a window. `comparable` rows have at least one of the baseline's columns."""
    columns = tuple(compared(name, baseline, current, limits) for name in baseline.columns)
    if current.rows < limits.min_rows:
        return Verdict("too few rows", f"{current.rows:,} rows were answered; {limits.min_rows:,} are needed", columns)
    if not comparable:
        why = f"none of the captures has a column of the baseline ({', '.join(list(baseline.columns)[:NAMED])})"
        return Verdict("too few rows", why, columns)
    drifted = [column for column in columns if column.drifted]
    if not drifted:
        why = f"none of {len(columns)} columns reached KS {limits.ks:g} or PSI {limits.psi:g}"
        return Verdict("stable", why, columns)
    return Verdict("drifted", told(drifted, limits), columns)


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
