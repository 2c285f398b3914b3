"""Whether a batch may be trained on: every promise with how it was kept, and one word. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from functions.validate.rules import Judge, Promise, Tally
from samara.core.contract import Contract, Rule
from samara.core.records import Check, Reason

MOST_REFUSED = 0.5  # more wrong than right: this is not the file, or not the contract, that was meant
CHECK_NAMES = {
    "rowCount": "row_count",
    "nullValues": "null_values",
    "missingValues": "missing_values",
    "invalidValues": "invalid_values",
    "duplicateValues": "duplicate_values",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """`reasons` says why the batch, or rows of it, were refused."""

    word: Literal["accepted", "refused"]
    checks: tuple[Check, ...]
    reasons: tuple[Reason, ...]


def absent(contract: Contract, columns: Sequence[str]) -> list[str]:
    """The required columns that a batch lacks: without one of them no row can keep the contract."""
    return [column.name for column in contract.columns if column.required and column.name not in columns]


def without(contract: Contract, columns: Sequence[str], rows: int) -> Verdict:
    """The verdict on a batch that lacks required columns."""
    checks = tuple(presence(contract, columns, rows))
    reasons = tuple(
        Reason(code=check.name, why=check.detail, column=check.column, rows=rows)
        for check in checks
        if not check.passed
    )
    return Verdict("refused", checks, reasons)


def presence(contract: Contract, columns: Sequence[str], rows: int) -> Iterator[Check]:
    """One check for each column that only one of contract and batch has."""
    for column in contract.columns:
        if column.name not in columns:
            detail = "is not in the batch; add it, or make it optional in the contract"
            detail = detail if column.required else "is not in the batch; it is optional, so it is read as missing"
            failed = rows if column.required else 0
            yield Check(
                name="missing_column",
                column=column.name,
                passed=not column.required,
                failed_rows=failed,
                detail=detail,
            )
    for name in columns:
        if name not in contract.names:
            detail = "is not in the contract, so it is kept out of training"
            yield Check(name="unknown_column", column=name, passed=True, failed_rows=0, detail=detail)


def concluded(judge: Judge, columns: Sequence[str]) -> Verdict:
    """The verdict after all rows were judged."""
    rowwise = [checked(promise, tally) for promise, tally in judge.promises.items()]
    about_all = [*row_counts(judge), *(measured(rule, judge) for rule in judge.contract.rules)]
    fatal = [check for check, stops in about_all if stops and not check.passed]
    checks = [*presence(judge.contract, columns, judge.rows), *rowwise, *(check for check, _ in about_all)]
    if judge.contract.left_alone:
        listed = ", ".join(judge.contract.left_alone[:10])
        detail = f"rules for other engines, not evaluated here: {listed}"
        checks.append(Check(name="not_evaluated", column=None, passed=True, failed_rows=0, detail=detail))
    reasons = [
        Reason(code=p.check, why=f"{p.column} {p.why}", column=p.column, rows=t.rows, examples=tuple(t.first))
        for p, t in judge.promises.items()
        if t.rows
    ]
    reasons += [Reason(code=c.name, why=c.detail, column=c.column, rows=c.failed_rows) for c in fatal]
    return Verdict("refused" if fatal else "accepted", tuple(checks), tuple(reasons))


def checked(promise: Promise, tally: Tally) -> Check:
    numbers = ", ".join(str(number) for number in tally.first)
    more = ", …" if tally.rows > len(tally.first) else ""
    which = f"row {numbers}" if tally.rows == 1 else f"rows {numbers}{more}"
    return Check(
        name=promise.check,
        column=promise.column,
        passed=not tally.rows,
        failed_rows=tally.rows,
        detail=f"{promise.why}: {which}" if tally.rows else "",
    )


def row_counts(judge: Judge) -> Iterator[tuple[Check, bool]]:
    """That some rows remain, and not only a minority of them."""
    left = judge.rows - judge.refused
    detail = "" if left else "no row is left to train on"
    yield Check(name="row_count", column=None, passed=left > 0, failed_rows=judge.refused, detail=detail), True
    share = judge.refused / judge.rows if judge.rows else 0.0
    detail = f"{judge.refused:,} of {judge.rows:,} rows are refused"
    if share > MOST_REFUSED:
        detail += f", more than {MOST_REFUSED:.0%}: is this the right file, and the right contract?"
    passed = share <= MOST_REFUSED
    yield Check(name="refused_rows", column=None, passed=passed, failed_rows=judge.refused, detail=detail), True


def measured(rule: Rule, judge: Judge) -> tuple[Check, bool]:
    """A rule about the whole, measured on the rows that remain, and whether it decides the verdict."""
    rows, count = judge.rows - judge.refused, judge.measured[rule]
    value = (100 * count / rows if rows else 0.0) if rule.percent else count
    kept = rule.holds(value)
    return Check(
        name=CHECK_NAMES[rule.metric],
        column=", ".join(rule.columns) or None,
        passed=kept,
        failed_rows=0 if kept or rule.metric == "rowCount" else count,
        detail=f"{rule.metric} is {value:g}{' percent' if rule.percent else ''} and {rule.words}",
    ), rule.fatal
