"""The laws of profiles and of the distances between them: see `samara/core/profile.py`."""

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samara.core import profile
from samara.core.profile import (
    ACCURACY,
    MOST_BUCKETS,
    MOST_CATEGORIES,
    CategoryProfile,
    Column,
    NumericProfile,
    Profile,
    categories,
    ks,
    merge,
    merged,
    moments,
    numeric,
    psi,
)
from samara.errors import Rejected

Values = list[float | None]
FLOATS = st.lists(st.floats(width=64) | st.integers(-50, 50).map(float) | st.none(), max_size=60)
WORDS = st.lists(st.sampled_from([f"w{number}" for number in range(40)]) | st.none(), max_size=60)


def of(numbers: Values, words: list[str | None]) -> Profile:
    """A table of a column of numbers and one of words, as long as the shorter."""
    rows = min(len(numbers), len(words))
    present = np.array([value for value in numbers[:rows] if value is not None], dtype=np.float64)
    said = [word for word in words[:rows] if word is not None]
    return Profile(
        rows=rows,
        columns={"n": numeric(present, rows - present.size), "w": categories(said, rows - len(said))},
    )


PROFILES = st.builds(of, FLOATS, WORDS)


def spread(seed: int, rows: int, orders: int) -> "np.ndarray[Any, Any]":
    """Numbers of both signs and of sizes over so many orders of magnitude each way."""
    random = np.random.default_rng(seed)
    sizes: np.ndarray[Any, Any] = 10 ** random.uniform(-orders, orders, rows) * random.choice([-1, 1], rows)
    return sizes


SPREADS = st.builds(spread, st.integers(0, 99), st.sampled_from([0, 50, 3_000, 9_000]), st.sampled_from([1, 20, 300]))


def counted(one: Profile) -> Any:
    """All of a profile but its rounded moments."""
    body = json.loads(one.to_bytes())
    for column in body["columns"].values():
        column.pop("mean", None)
        column.pop("deviation", None)
    return body


def close(one: Profile, other: Profile) -> bool:
    """Whether two profiles' moments agree but for rounding."""
    for name, column in one.columns.items():
        same = other.columns[name]
        if isinstance(column, NumericProfile) and isinstance(same, NumericProfile) and column.mean is not None:
            size = max(abs(column.minimum or 0.0), abs(column.maximum or 0.0))
            for left, right in ((column.mean, same.mean), (column.deviation, same.deviation)):
                if not math.isclose(left or 0.0, right or 0.0, rel_tol=1e-6, abs_tol=size * 1e-6):
                    return False
    return True


@given(PROFILES, PROFILES)
def test_merging_is_commutative(one: Profile, other: Profile) -> None:
    assert merge(one, other).to_bytes() == merge(other, one).to_bytes()


@given(PROFILES, PROFILES, PROFILES)
def test_merging_is_associative(one: Profile, two: Profile, three: Profile) -> None:
    left, right = merge(merge(one, two), three), merge(one, merge(two, three))

    assert counted(left) == counted(right)
    assert close(left, right)


@given(PROFILES)
def test_the_empty_profile_changes_nothing(one: Profile) -> None:
    assert merge(one, Profile()) == merge(Profile(), one) == merged([one]) == one


@given(FLOATS, FLOATS, WORDS, WORDS)
def test_the_profile_of_all_rows_is_the_merge_of_the_profiles_of_the_parts(
    first: Values, second: Values, some: list[str | None], more: list[str | None]
) -> None:
    one, two = min(len(first), len(some)), min(len(second), len(more))
    whole = of(first[:one] + second[:two], some[:one] + more[:two])

    parts = merge(of(first, some), of(second, more))

    assert counted(parts) == counted(whole)
    assert close(parts, whole)


@given(PROFILES)
def test_a_profile_is_read_as_it_was_written_and_is_finite(one: Profile) -> None:
    data = one.to_bytes()

    assert Profile.read(data).to_bytes() == data
    assert b"Infinity" not in data
    assert b"NaN" not in data


@pytest.mark.parametrize("data", [b"", b"{}x", b'{"schema":2}', b'{"rows":-1}', b'{"columns":{"a":{"kind":"x"}}}'])
def test_what_is_no_profile_is_refused(data: bytes) -> None:
    with pytest.raises(Rejected, match="not a profile"):
        Profile.read(data)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=200), st.floats(0, 1))
def test_quantiles_are_within_the_accuracy_of_the_sketch(values: list[float], share: float) -> None:
    exact = sorted(values)[math.floor(share * (len(values) - 1))]

    found = numeric(np.array(values)).quantile(share)

    assert found is not None
    assert abs(found - exact) <= ACCURACY * 1.01 * abs(exact) + 1e-300


@given(st.tuples(SPREADS, SPREADS, SPREADS))
@settings(max_examples=30, deadline=None)
def test_numbers_of_all_sizes_merge_as_exactly_as_others_and_into_no_more_buckets_than_there_may_be(
    each: "tuple[np.ndarray[Any, Any], ...]",
) -> None:
    one, two, three = (Profile(rows=values.size, columns={"n": numeric(values)}) for values in each)
    values = np.concatenate(each)
    whole = Profile(rows=values.size, columns={"n": numeric(values)})

    left, right = merge(merge(one, two), three), merge(one, merge(two, three))

    assert counted(left) == counted(right) == counted(whole)
    assert merge(one, two).to_bytes() == merge(two, one).to_bytes()
    assert Profile.read(left.to_bytes()) == left
    column = left.columns["n"]
    assert isinstance(column, NumericProfile)
    assert len(column.negatives) + len(column.positives) <= MOST_BUCKETS


@given(SPREADS, st.floats(0, 1))
@settings(max_examples=50, deadline=None)
def test_quantiles_of_numbers_of_all_sizes_are_within_the_bucket_of_the_exact_one(
    values: "np.ndarray[Any, Any]", share: float
) -> None:
    column = numeric(values)
    found = column.quantile(share)
    if found is None:
        assert not values.size
        return
    exact = np.sort(values)[math.floor(share * (values.size - 1))]
    gamma = profile.GAMMA ** (1 << column.level)

    assert abs(found - exact) <= (gamma - 1) / (gamma + 1) * 1.01 * abs(exact)


@given(SPREADS, SPREADS)
@settings(max_examples=30, deadline=None)
def test_distances_between_numbers_in_buckets_of_different_sizes_are_between_none_and_all(
    one: "np.ndarray[Any, Any]", other: "np.ndarray[Any, Any]"
) -> None:
    left, right = numeric(one), numeric(other)

    assert psi(left, left) == ks(left, left) == 0.0
    assert 0 <= (psi(left, right) or 0) < math.inf
    exact = exact_ks(one.tolist(), other.tolist()) if one.size and other.size else 0.0
    assert ks(left, right) == pytest.approx(exact, abs=0.05 if min(one.size, other.size) > 50 else 1)


def test_numbers_that_fill_few_buckets_are_written_as_before_there_were_levels() -> None:
    data = Profile(rows=2, columns={"n": numeric(np.array([1.0, -1.0]))}).to_bytes()

    assert data == (
        b'{"columns":{"n":{"count":2,"deviation":1.0,"kind":"numeric","maximum":1.0,"mean":0.0,"minimum":-1.0,'
        b'"missing":0,"negatives":{"0":1},"positives":{"0":1},"zeros":0}},"kind":"Profile","rows":2,"schema":1}'
    )
    assert Profile.read(data).to_bytes() == data


def test_a_profile_from_before_there_were_levels_may_have_any_number_of_buckets() -> None:
    many = NumericProfile(count=20_000, minimum=1.0, maximum=2e17, positives=dict.fromkeys(range(1, 20_001), 1))
    old = Profile(rows=20_000, columns={"n": many})

    again = merge(Profile.read(old.to_bytes()), old).columns["n"]

    assert isinstance(again, NumericProfile)
    assert (again.level, set(again.positives.values())) == (4, {32})
    assert sum(again.positives.values()) == again.count


def test_beyond_the_most_categories_a_sample_is_kept_that_no_order_changes() -> None:
    names = [f"category {number}" for number in range(5000)]
    parts = [categories(names[start : start + 500] * 2) for start in range(0, 5000, 500)]

    forward = merged(Profile(rows=1000, columns={"c": part}) for part in parts).columns["c"]
    backward = merged(Profile(rows=1000, columns={"c": part}) for part in reversed(parts)).columns["c"]
    at_once = categories(names + names)

    assert forward == backward == at_once
    assert len(at_once.counts) <= MOST_CATEGORIES
    assert set(at_once.counts.values()) == {2}, "what is kept is kept exactly"
    assert sum(at_once.counts.values()) + at_once.others == at_once.count == 10_000
    assert at_once.distinct == pytest.approx(5000, rel=0.2)


def test_a_million_categories_stay_small() -> None:
    found = categories({f"user {number}": 1 for number in range(1_000_000)})

    assert len(Profile(rows=1_000_000, columns={"c": found}).to_bytes()) < 100_000
    assert psi(found, found) == 0.0


def test_an_enormous_category_is_named_by_its_beginning() -> None:
    found = categories(["x" * 1_000_000, "x" * 1_000_001, "\ud800"])

    assert len(found.counts) == 3
    assert all(len(name) < 200 for name in found.counts)


def test_columns_are_chosen_by_name_and_a_missing_one_is_named() -> None:
    one = of([1.0], ["a"])

    assert list(one.subset(["w"]).columns) == ["w"]
    with pytest.raises(Rejected, match="gone"):
        one.subset(["gone"])


def test_a_column_of_two_kinds_cannot_be_merged() -> None:
    number, word = Profile(rows=1, columns={"a": numeric(np.ones(1))}), Profile(rows=1, columns={"a": categories("x")})

    with pytest.raises(Rejected, match="a: is of one kind"):
        merge(number, word)


def test_a_column_that_one_side_lacks_is_missing_there() -> None:
    found = merge(Profile(rows=2, columns={"a": numeric(np.ones(2))}), Profile(rows=3, columns={}))

    assert (found.columns["a"].count, found.columns["a"].missing) == (2, 3)


COLUMNS = PROFILES.flatmap(lambda one: st.sampled_from(list(one.columns.values())))


@given(PROFILES, PROFILES)
def test_the_index_is_never_negative_and_both_distances_are_finite(one: Profile, other: Profile) -> None:
    for name in ("n", "w"):
        index, distance = psi(one.columns[name], other.columns[name]), ks(one.columns[name], other.columns[name])

        assert index is not None
        assert 0 <= index < math.inf
        assert distance is None or 0 <= distance <= 1


@given(COLUMNS)
def test_nothing_has_drifted_from_itself(column: Column) -> None:
    assert psi(column, column) == 0.0
    assert ks(column, column) in (0.0, None)


def exact_ks(one: list[float], other: list[float]) -> float:
    at = np.unique(one + other)
    left = np.searchsorted(np.sort(one), at, side="right") / len(one)
    right = np.searchsorted(np.sort(other), at, side="right") / len(other)
    return float(np.abs(left - right).max())


def fullest(column: NumericProfile) -> float:
    return max([*column.negatives.values(), *column.positives.values(), column.zeros]) / column.count


SAMPLES = st.lists(st.floats(-100, 100) | st.integers(-3, 3).map(float), min_size=1, max_size=80)


@given(SAMPLES, SAMPLES)
def test_the_distance_is_the_exact_one_but_for_the_fullest_bucket(one: list[float], other: list[float]) -> None:
    left, right = numeric(np.array(one)), numeric(np.array(other))
    exact = exact_ks(one, other)

    found = ks(left, right)

    assert found is not None
    assert found <= exact + 1e-12
    assert found >= exact - max(fullest(left), fullest(right)) - 1e-12


def test_on_real_sizes_the_distance_agrees_with_the_exact_one_to_three_digits() -> None:
    random = np.random.default_rng(0)
    one, other = random.normal(50, 10, 5000), random.normal(52, 10, 5000)

    assert ks(numeric(one), numeric(other)) == pytest.approx(exact_ks(one.tolist(), other.tolist()), abs=0.005)


CONSTANT, NONE, ONE = numeric(np.full(1000, 7.0)), numeric(np.array([]), 1000), numeric(np.array([7.0]))


@pytest.mark.parametrize("current", [np.full(1000, 6.0), np.full(1000, 8.0), np.full(1000, -7.0), np.zeros(1000)])
def test_a_constant_that_moves_either_way_has_drifted(current: "np.ndarray[Any, Any]") -> None:
    assert (psi(CONSTANT, numeric(current)) or 0) > 0.25
    assert ks(CONSTANT, numeric(current)) == 1.0


@pytest.mark.parametrize(("one", "other"), [(CONSTANT, NONE), (NONE, CONSTANT), (numeric(np.array([])), CONSTANT)])
def test_where_all_is_missing_the_distances_are_finite_and_the_index_says_so(
    one: NumericProfile, other: NumericProfile
) -> None:
    assert ks(one, other) == 0.0
    index = psi(one, other)
    assert index is not None
    assert index > 0.25 or not one.count + one.missing


def test_single_values_and_absurd_ones_are_finite() -> None:
    absurd = numeric(np.array([1.7e308, -1.7e308, 5e-324, math.inf, math.nan]))

    assert (absurd.count, absurd.missing) == (3, 2)
    assert absurd.deviation is not None
    assert math.isfinite(absurd.deviation)
    assert math.isfinite(psi(ONE, absurd) or 0)
    assert math.isfinite(psi(absurd, ONE) or 0)


def test_all_new_categories_are_drift_and_finite() -> None:
    old, new = categories(["a", "b"] * 500), categories(["c"] * 1000)

    index = psi(old, new)

    assert index is not None
    assert 0.25 < index < 100
    assert ks(old, new) is None


def test_instants_do_not_drift_but_say_their_span() -> None:
    column = moments(np.array([10.0, 20.0]), 1)

    assert psi(column, column) is None
    assert ks(column, column) is None
    assert profile.together("t", column, moments(np.array([5.0]))).model_dump()["first"] == 5.0


def test_columns_of_different_kinds_have_no_distance() -> None:
    assert psi(numeric(np.ones(3)), CategoryProfile(count=3)) is None


def test_a_small_column_far_from_zero_shows_its_drift() -> None:
    random = np.random.default_rng(1)
    pressure = random.normal(1013, 8, 5000)

    assert (psi(numeric(pressure), numeric(pressure + 8)) or 0) > 0.25
    assert (ks(numeric(pressure), numeric(pressure + 8)) or 0) > 0.2
