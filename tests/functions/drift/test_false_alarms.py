"""How seldom drift cries wolf, and what it never misses, with the limits that a definition has by default."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from functions.drift.verdict import judged
from samara.core import profile
from samara.core.definition import Drift
from samara.core.profile import Profile

Table = dict[str, "np.ndarray[Any, Any]"]
CARRIERS = np.array([f"carrier {number:02}" for number in range(16)])
AIRPORTS = np.array([f"airport {number:03}" for number in range(300)])


def drawn(rows: int, random: np.random.Generator) -> Table:
    """Ten columns of numbers and three of categories, shaped as real ones are."""
    return {
        "normal": random.normal(0, 1, rows),
        "far": random.normal(1013, 8, rows),
        "skewed": random.lognormal(3, 1, rows),
        "waiting": random.exponential(30, rows),
        "uniform": random.uniform(-5, 5, rows),
        "heavy": random.standard_t(2, rows),
        "count": random.poisson(3, rows).astype(float),
        "hour": random.integers(5, 24, rows).astype(float),
        "mostly zero": np.where(random.random(rows) < 0.9, 0.0, random.exponential(1, rows)),
        "gaps": np.where(random.random(rows) < 0.2, np.nan, random.normal(5, 2, rows)),
        "flag": np.where(random.random(rows) < 0.1, "true", "false"),
        "carrier": random.choice(CARRIERS, rows, p=shares(16)),
        "airport": random.choice(AIRPORTS, rows, p=shares(300)),
    }


def shares(many: int) -> "np.ndarray[Any, Any]":
    weights = 1 / np.arange(1, many + 1)
    result: np.ndarray[Any, Any] = weights / weights.sum()
    return result


def profiled(table: Table) -> Profile:
    columns: dict[str, profile.Column] = {
        name: profile.numeric(values) if values.dtype.kind == "f" else profile.categories(values.tolist())
        for name, values in table.items()
    }
    return Profile(rows=len(table["normal"]), columns=columns)


BASELINE = profiled(drawn(20_000, np.random.default_rng(0)))


@pytest.mark.parametrize("rows", [200, 1000])
def test_two_hundred_windows_of_the_same_distribution_raise_no_alarm(rows: int) -> None:
    random = np.random.default_rng(rows)

    verdicts = [judged(BASELINE, profiled(drawn(rows, random)), Drift(), comparable=rows) for _ in range(200)]

    assert [verdict.why for verdict in verdicts if verdict.word == "drifted"] == []


def towns(rows: int, many: int, random: np.random.Generator, new: float = 0.0) -> Profile:
    """One of `many` rare categories in each row, or a new one in a share of them."""
    names = np.array([f"town {number}" for number in range(many)])
    drawn = np.where(random.random(rows) < new, "a new town", random.choice(names, rows))
    return Profile(rows=rows, columns={"town": profile.categories(drawn.tolist())})


@pytest.mark.parametrize("rows", [200, 1000])
@pytest.mark.parametrize("many", [1_000, 3_000, 30_000])
def test_rare_categories_that_few_training_rows_have_not_met_raise_no_alarm(many: int, rows: int) -> None:
    random = np.random.default_rng(many + rows)
    trained_on = towns(2_000, many, random)

    verdicts = [judged(trained_on, towns(rows, many, random), Drift(), comparable=rows) for _ in range(50)]

    assert [verdict.why for verdict in verdicts if verdict.word == "drifted"] == []


@pytest.mark.parametrize("many", [300, 1_000])
def test_a_new_category_is_found_among_rare_ones_that_come_and_go(many: int) -> None:
    random = np.random.default_rng(many)
    trained_on = towns(2_000, many, random)

    verdicts = [judged(trained_on, towns(1000, many, random, 0.1), Drift(), comparable=1000) for _ in range(50)]

    assert [verdict.word for verdict in verdicts] == ["drifted"] * 50


def changed(name: str, change: Callable[[Any], Any]) -> Callable[[Table], Table]:
    return lambda table: {**table, name: change(table[name])}


FOUND: dict[str, tuple[str, Callable[[Table], Table]]] = {
    "a shift of one deviation": ("normal", changed("normal", lambda v: v + 1)),
    "the same shift far from zero": ("far", changed("far", lambda v: v + 8)),
    "minutes in place of hours": ("waiting", changed("waiting", lambda v: v * 60)),
    "fahrenheit in place of celsius": ("normal", changed("normal", lambda v: v * 9 / 5 + 32)),
    "a sign turned round": ("skewed", changed("skewed", lambda v: -v)),
    "half of it missing": ("normal", changed("normal", lambda v: np.where(np.arange(v.size) % 2, np.nan, v))),
    "a third of a new category": (
        "carrier",
        changed("carrier", lambda v: np.where(np.arange(v.size) % 10 < 3, "carrier 99", v)),
    ),
    "a flag that is set as often as not": (
        "flag",
        changed("flag", lambda v: np.where(np.arange(v.size) % 2, "true", "false")),
    ),
}


@pytest.mark.parametrize(("column", "change"), FOUND.values(), ids=FOUND.keys())
def test_a_real_change_is_found_and_named(column: str, change: Callable[[Table], Table]) -> None:
    table = change(drawn(1000, np.random.default_rng(7)))

    verdict = judged(BASELINE, profiled(table), Drift(), comparable=1000)

    assert verdict.word == "drifted"
    assert [found.name for found in verdict.columns if found.drifted] == [column]
    assert verdict.why.startswith(f"{column}: ")
