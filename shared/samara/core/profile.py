"""How the values of each column are distributed, small enough to keep and mergeable in any order.

A profile of many files is the merge of the profiles of each. Numbers are kept as a logarithmic histogram, whose
merge is exact addition; categories as counts. Once there are too many, buckets grow and categories are sampled, in a
way that depends on nothing but the values themselves. So merging is commutative, and associative up to the rounding of
`mean` and `deviation`.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)

from samara.core import flaws
from samara.core.digests import canonical
from samara.errors import Rejected

ACCURACY = 0.001  # of a quantile, relative: 1 % would hide how pressure in hPa or warmth in kelvin moves
GAMMA = (1 + ACCURACY) / (1 - ACCURACY)
LOG_GAMMA = math.log(GAMMA)
LARGEST = 1.7976931348623157e308
ZERO = 400_000  # more than any bucket's number: places the buckets of both signs on one axis
MOST_BUCKETS = 2_048  # of both signs: 2,048 different values, or sizes from 1 to 60, never fill more
MOST_CATEGORIES = 1_000  # exact up to here, a sample of the categories beyond
LONGEST_CATEGORY = 200  # letters: longer ones are named by their beginning and their digest
FLOOR = 1e-4  # keeps the logarithm finite when a bin is empty on one side
OFTEN = 10  # times: of what comes so often, one in e^10 samples of that size has nothing
TOP = 10  # categories with a bin of their own: rarer ones are absent from 200 rows by chance, which looks like drift

K = TypeVar("K", int, str)
Finite = Annotated[float, Field(allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class NumericProfile(Part):
    """Numbers. `count` values are present and finite, `missing` are not.

    `deviation` is that of the population. `positives` and `negatives` count values by the bucket of their size:
    bucket i holds sizes in (γ^(i−1), γ^i] with γ = (1 + ACCURACY)/(1 − ACCURACY), so its middle is within
    ACCURACY of all it holds, relatively. Source: Masson, Rim & Lee, DDSketch, VLDB 2019.

    Beyond MOST_BUCKETS, two neighbours become one, `level` times, where `level` is the least that suffices: γ is
    squared each time. So it depends on the values alone, not on the order in which they came.
    Source: Epicoco et al., UDDSketch, IEEE Access 2020.
    """

    kind: Literal["numeric"] = "numeric"
    count: Count = 0
    missing: Count = 0
    level: Annotated[int, Field(ge=0, le=16)] = 0
    minimum: Finite | None = None
    maximum: Finite | None = None
    mean: Finite | None = None
    deviation: Finite | None = None
    negatives: dict[int, Count] = {}
    zeros: Count = 0
    positives: dict[int, Count] = {}

    @model_serializer(mode="wrap")
    def _written(self, written: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without the level where it is 0, as before there were levels."""
        body: dict[str, Any] = written(self)
        return body if self.level else {name: value for name, value in body.items() if name != "level"}

    def quantile(self, share: float) -> float | None:
        """The value below which that share of values lies, within its bucket's size; None without values."""
        axis, counts = axis_of(self)
        if not axis.size or self.minimum is None or self.maximum is None:
            return None
        rank = share * (self.count - 1)
        position = int(axis[np.searchsorted(np.cumsum(counts), rank, side="right").clip(max=axis.size - 1)])
        return min(max(middle(position, self.level), self.minimum), self.maximum)


class CategoryProfile(Part):
    """Text or truth values, by how often each occurs.

    Beyond MOST_CATEGORIES different ones, only those are kept whose digest starts with `level` zero bits, where
    `level` is the least that suffices; the rows of all others are `others`. What is kept is kept exactly, and it
    depends on the categories alone, not on the order in which they came, so profiles stay mergeable and comparable.
    The price: a frequent category may be among `others`. Source: Gibbons, Distinct Sampling, VLDB 2001.
    """

    kind: Literal["categories"] = "categories"
    count: Count = 0
    missing: Count = 0
    level: Annotated[int, Field(ge=0, le=64)] = 0
    others: Count = 0
    counts: dict[str, Count] = {}

    @property
    def distinct(self) -> int:
        """How many different categories there are: exact at level 0, else estimated within a few percent."""
        return len(self.counts) << self.level


class MomentProfile(Part):
    """Dates or timestamps, as seconds since 1970 in UTC. Time passes, so their distribution is nobody's drift."""

    kind: Literal["moments"] = "moments"
    count: Count = 0
    missing: Count = 0
    first: Finite | None = None
    last: Finite | None = None


Column = Annotated[NumericProfile | CategoryProfile | MomentProfile, Field(discriminator="kind")]


class Profile(Part):
    """The profile of a table: how many rows, and each column's own."""

    kind: Literal["Profile"] = "Profile"
    schema_: Literal[1] = Field(default=1, alias="schema")
    rows: Count = 0
    columns: dict[str, Column] = {}

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    def subset(self, names: Iterable[str]) -> "Profile":
        """Only those columns, in that order; `Rejected` when one is not there."""
        names = tuple(names)
        for name in names:
            if name not in self.columns:
                raise Rejected(name, f"not in the profile; it has {', '.join(list(self.columns)[:20])}")
        return self.model_copy(update={"columns": {name: self.columns[name] for name in names}})

    def to_bytes(self) -> bytes:
        return canonical(self.model_dump(mode="json", by_alias=True))

    @classmethod
    def read(cls, data: bytes, where: str = "profile") -> "Profile":
        """The profile in `data`, or `Rejected`."""
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            field, why = flaws.first(error)
            raise Rejected(where, f"not a profile: {field}: {why}", code="bad_profile") from error


def numeric(values: "np.ndarray[Any, Any]", missing: int = 0) -> NumericProfile:
    """The profile of numbers of any real dtype. What is not finite counts as missing.

    >>> numeric(np.array([1.0, 2.0, np.nan])).count
    2
    """
    floats = np.asarray(values, dtype=np.float64).ravel()
    finite = floats[np.isfinite(floats)]
    missing += int(floats.size - finite.size)
    if not finite.size:
        return NumericProfile(missing=missing)
    least, most = float(finite.min()), float(finite.max())
    scale = max(abs(least), abs(most)) or 1.0  # squares of the largest floats would overflow
    scaled = finite / scale
    found = NumericProfile(
        count=int(finite.size),
        missing=missing,
        minimum=least,
        maximum=most,
        mean=clipped(float(scaled.mean()) * scale, least, most),
        deviation=min(float(scaled.std()) * scale, LARGEST),
        negatives=buckets(-finite[finite < 0]),
        zeros=int((finite == 0).sum()),
        positives=buckets(finite[finite > 0]),
    )
    return bounded(found)


def buckets(sizes: "np.ndarray[Any, Any]") -> dict[int, int]:
    """How many of these sizes, all above zero, lie in each bucket."""
    numbers, counts = np.unique(np.ceil(np.log(sizes) / LOG_GAMMA).astype(np.int64), return_counts=True)
    return dict(zip(numbers.tolist(), counts.tolist(), strict=True))


def bounded(one: NumericProfile) -> NumericProfile:
    """The same values in no more buckets than there is room for, by the rule of `NumericProfile`."""
    while len(one.negatives) + len(one.positives) > MOST_BUCKETS:
        one = coarser(one, one.level + 1)
    return one


def coarser(one: NumericProfile, level: int) -> NumericProfile:
    """The same values in the buckets of a level that is at least theirs."""
    steps = level - one.level
    if not steps:
        return one
    sides = {"negatives": joined(one.negatives, steps), "positives": joined(one.positives, steps)}
    return one.model_copy(update={"level": level, **sides})


def joined(counts: Mapping[int, int], steps: int) -> dict[int, int]:
    """The counts of buckets after neighbours became one so many times: 2i − 1 and 2i become i.

    >>> joined({-1: 1, 0: 2, 1: 3, 2: 4, 3: 5}, 1)
    {0: 3, 1: 7, 2: 5}
    """
    total: dict[int, int] = {}
    for number, count in counts.items():
        place = -(-number >> steps)
        total[place] = total.get(place, 0) + count
    return total


def alike(one: NumericProfile, other: NumericProfile) -> tuple[NumericProfile, NumericProfile]:
    """Both in buckets of the same sizes."""
    level = max(one.level, other.level)
    return coarser(one, level), coarser(other, level)


def categories(values: Sequence[str] | Mapping[str, int], missing: int = 0) -> CategoryProfile:
    """The profile of categories, given one by one or counted already.

    >>> categories(["a", "b", "a"]).counts
    {'a': 2, 'b': 1}
    """
    counted: dict[str, int] = {}
    if isinstance(values, Mapping):
        for name, count in values.items():
            counted[shortened(name)] = counted.get(shortened(name), 0) + count
    else:
        for name in values:
            counted[shortened(name)] = counted.get(shortened(name), 0) + 1
    return sampled(counted, 0, sum(counted.values()), missing)


def moments(seconds: "np.ndarray[Any, Any]", missing: int = 0) -> MomentProfile:
    """The profile of instants, in seconds since 1970 in UTC."""
    if not seconds.size:
        return MomentProfile(missing=missing)
    return MomentProfile(
        count=int(seconds.size), missing=missing, first=float(seconds.min()), last=float(seconds.max())
    )


def shortened(name: str) -> str:
    """A category's name in the profile."""
    if len(name) <= LONGEST_CATEGORY:
        return name.encode(errors="replace").decode()  # a lone surrogate cannot be written down
    mark = blake2b(name.encode(errors="replace"), digest_size=8).hexdigest()
    return f"{name[: LONGEST_CATEGORY // 2].encode(errors='replace').decode()}… {mark}"


def zero_bits(name: str) -> int:
    """With how many zero bits a category's digest starts: at least n for one in 2ⁿ."""
    return 64 - int.from_bytes(blake2b(name.encode(), digest_size=8).digest()).bit_length()


def sampled(counts: Mapping[str, int], level: int, count: int, missing: int) -> CategoryProfile:
    """Of these categories as many as there is room for, by the rule of `CategoryProfile`."""
    kept = dict(counts)
    if level or len(kept) > MOST_CATEGORIES:
        bits = {name: zero_bits(name) for name in kept}
        while len(kept := {n: c for n, c in kept.items() if bits[n] >= level}) > MOST_CATEGORIES:
            level += 1
    ordered = dict(sorted(kept.items()))
    return CategoryProfile(
        count=count, missing=missing, level=level, others=count - sum(ordered.values()), counts=ordered
    )


def merge(one: Profile, other: Profile) -> Profile:
    """The profile of both tables' rows together. A column that one of them lacks is missing from all its rows."""
    names = sorted({*one.columns, *other.columns})
    if not one.rows and not one.columns:
        return other
    if not other.rows and not other.columns:
        return one
    return Profile(
        rows=one.rows + other.rows,
        columns={name: together(name, *(padded(side, name) for side in (one, other))) for name in names},
    )


def padded(profile: Profile, name: str) -> "Column | int":
    """A column's profile, or how many rows lack it."""
    return profile.columns.get(name, profile.rows)


def together(name: str, one: "Column | int", other: "Column | int") -> Column:
    match one, other:
        case (int(), int()):
            raise Rejected(name, "is in neither profile")
        case (int(), _):
            return together(name, other, one)
        case (_, int()):
            return one.model_copy(update={"missing": one.missing + other})
        case (NumericProfile(), NumericProfile()):
            return bounded(both_numeric(*alike(one, other)))
        case (CategoryProfile(), CategoryProfile()):
            level = max(one.level, other.level)
            counts = added(one.counts, other.counts)
            return sampled(counts, level, one.count + other.count, one.missing + other.missing)
        case (MomentProfile(), MomentProfile()):
            return MomentProfile(
                count=one.count + other.count,
                missing=one.missing + other.missing,
                first=either(min, one.first, other.first),
                last=either(max, one.last, other.last),
            )
    raise Rejected(name, "is of one kind in one profile and of another in the other; they cannot be merged")


def both_numeric(one: NumericProfile, other: NumericProfile) -> NumericProfile:
    """Two profiles of one level as one. Moments by Chan, Golub & LeVeque 1979, scaled so that nothing overflows."""
    minimum, maximum = either(min, one.minimum, other.minimum), either(max, one.maximum, other.maximum)
    mean, deviation = one.mean, one.deviation
    if mean is None:
        mean, deviation = other.mean, other.deviation
    elif other.mean is not None and minimum is not None and maximum is not None:
        scale = max(abs(minimum), abs(maximum)) or 1.0
        total = one.count + other.count
        parts = [
            (side.count / total, (side.mean or 0.0) / scale, (side.deviation or 0.0) / scale) for side in (one, other)
        ]
        center = math.fsum(share * at for share, at, _ in parts)
        spread = math.fsum(share * (off * off + (at - center) ** 2) for share, at, off in parts)
        mean = clipped(center * scale, minimum, maximum)
        deviation = min(math.sqrt(spread) * scale, LARGEST)
    return NumericProfile(
        count=one.count + other.count,
        missing=one.missing + other.missing,
        level=one.level,
        minimum=minimum,
        maximum=maximum,
        mean=mean,
        deviation=deviation,
        negatives=added(one.negatives, other.negatives),
        zeros=one.zeros + other.zeros,
        positives=added(one.positives, other.positives),
    )


def merged(profiles: Iterable[Profile]) -> Profile:
    """The profile of all their rows together; of none, the empty one."""
    result = Profile()
    for profile in profiles:
        result = merge(result, profile)
    return result


def added(one: Mapping[K, int], other: Mapping[K, int]) -> dict[K, int]:
    total = dict(one)
    for key, count in other.items():
        total[key] = total.get(key, 0) + count
    return dict(sorted(total.items()))


def either(choose: Callable[[float, float], float], one: float | None, other: float | None) -> float | None:
    if one is None or other is None:
        return other if one is None else one
    return choose(one, other)


def clipped(value: float, least: float, most: float) -> float:
    return min(max(value, least), most)


Axis = tuple["np.ndarray[Any, Any]", "np.ndarray[Any, Any]"]


def axis_of(profile: NumericProfile) -> Axis:
    """The buckets in the order of the values they hold, as positions on one axis, and how many each holds."""
    placed = [(-ZERO - number, count) for number, count in profile.negatives.items()]
    placed += [(0, profile.zeros)] if profile.zeros else []
    placed += [(ZERO + number, count) for number, count in profile.positives.items()]
    placed.sort()
    return np.array([at for at, _ in placed], dtype=np.int64), np.array([n for _, n in placed], dtype=np.int64)


def middle(position: int, level: int) -> float:
    """The value that stands for all values of a bucket."""
    if position == 0:
        return 0.0
    number = abs(position) - ZERO
    try:
        size = math.exp((number << level) * LOG_GAMMA) * 2 / (GAMMA ** (1 << level) + 1)
    except OverflowError:
        size = LARGEST
    return math.copysign(min(size, LARGEST), position)


def psi(baseline: Column, current: Column, bins: int = 10) -> float | None:
    """The population stability index, Σ (q − p) ln(q / p) over bins: 0 for the same shares, and without bound.

    For numbers the bins are quantiles of `baseline`; a value that fills a bin alone has one to itself, so that a
    constant column has a below and an above. For categories they are the TOP most frequent of `baseline`, its
    remaining ones together, and those that are new, if more are than chance brings. What is missing is a bin of its
    own. Empty bins count as FLOOR. None where it does not apply: for instants, and for profiles of different kinds.
    By custom 0.1 is worth a look and 0.25 worth a retraining; deciding so is the caller's. Source: Siddiqi, Credit
    Risk Scorecards, 2006.

    >>> steady = np.linspace(0, 1, 1000)
    >>> psi(numeric(steady), numeric(steady)), psi(numeric(steady), numeric(steady + 0.5)) > 0.25
    (0.0, True)
    """
    match baseline, current:
        case (NumericProfile(), NumericProfile()):
            expected, found = shares_of_numbers(*alike(baseline, current), bins)
        case (CategoryProfile(), CategoryProfile()):
            expected, found = shares_of_categories(baseline, current)
        case _:
            return None
    return stability([*expected, baseline.missing], [*found, current.missing])


def stability(expected: Sequence[int], found: Sequence[int]) -> float:
    """The index over two lists of counts, bin by bin; 0 when one side has counted nothing at all."""
    if not sum(expected) or not sum(found):
        return 0.0
    p = np.maximum(np.asarray(expected, dtype=np.float64) / sum(expected), FLOOR)
    q = np.maximum(np.asarray(found, dtype=np.float64) / sum(found), FLOOR)
    return float(((q - p) * np.log(q / p)).sum())


def shares_of_numbers(baseline: NumericProfile, current: NumericProfile, bins: int) -> tuple[list[int], list[int]]:
    """How many values of each, of one level, lie in the bins that `baseline` defines."""
    axis, counts = axis_of(baseline)
    cuts: set[int] = set()
    if axis.size:
        running = np.cumsum(counts)
        wanted = np.arange(1, bins) * (baseline.count / bins)
        cuts.update(axis[np.searchsorted(running, wanted, side="left")].tolist())
        heavy = axis[counts >= baseline.count / bins]
        cuts.update(heavy.tolist())
        cuts.update((heavy - 1).tolist())
    edges = np.array(sorted(cuts), dtype=np.int64)
    return binned(axis, counts, edges), binned(*axis_of(current), edges)


def binned(axis: "np.ndarray[Any, Any]", counts: "np.ndarray[Any, Any]", edges: "np.ndarray[Any, Any]") -> list[int]:
    """The counts between the edges; each edge belongs to the bin below it."""
    totals = np.zeros(edges.size + 1, dtype=np.int64)
    np.add.at(totals, np.searchsorted(edges, axis, side="left"), counts)
    return [int(total) for total in totals]


def shares_of_categories(baseline: CategoryProfile, current: CategoryProfile) -> tuple[list[int], list[int]]:
    """How many rows of each lie in the bins that `baseline` defines, both sampled at the same level.

    Of rare categories that `baseline` has not met, rows like its own have about the share that it met only once: so
    many are no news. Source: Good, The population frequencies of species, Biometrika 1953. What comes OFTEN is not
    rare, and `baseline` would have met it.
    """
    level = max(baseline.level, current.level)
    old = sampled(baseline.counts, level, baseline.count, 0)
    new = sampled(current.counts, level, current.count, 0)
    if old.level != new.level:  # at the higher of two levels one side filled up again
        level = max(old.level, new.level)
        old, new = sampled(old.counts, level, old.count, 0), sampled(new.counts, level, new.count, 0)
    ranked = sorted(old.counts, key=lambda name: (-old.counts[name], name))
    top, rest = ranked[:TOP], ranked[TOP:]
    unseen = [count for name, count in new.counts.items() if name not in old.counts]
    once = sum(old.counts[name] == 1 for name in rest)
    often = max(OFTEN, OFTEN * new.count / old.count) if once else 0
    by_chance = sum(count for count in unseen if count < often)
    expected, found = (once, by_chance) if by_chance * old.count > once * new.count else (0, 0)
    remaining = [sum(side.counts.get(name, 0) for name in rest) for side in (old, new)]
    return (
        [*(old.counts[name] for name in top), remaining[0] - expected, old.others, expected, 0],
        [
            *(new.counts.get(name, 0) for name in top), remaining[1] + by_chance - found, new.others, found,
            sum(unseen) - by_chance,
        ],
    )  # fmt: skip


def ks(baseline: Column, current: Column) -> float | None:
    """The Kolmogorov–Smirnov distance: the largest gap between the two distribution functions, from 0 to 1.

    It is read off at the buckets, so it is at most the exact distance, and below it by no more than the fullest
    bucket holds. None where it does not apply: for anything but numbers. 0 when one side has no values at all:
    that they are missing is for `psi` to say.

    >>> ks(numeric(np.array([1.0, 2.0])), numeric(np.array([3.0, 4.0])))
    1.0
    """
    if not isinstance(baseline, NumericProfile) or not isinstance(current, NumericProfile):
        return None
    if not baseline.count or not current.count:
        return 0.0
    (left, expected), (right, found) = (axis_of(side) for side in alike(baseline, current))
    at = np.union1d(left, right)
    gaps = distribution(at, left, expected) - distribution(at, right, found)
    return float(np.abs(gaps).max().clip(0, 1))


def distribution(
    at: "np.ndarray[Any, Any]", axis: "np.ndarray[Any, Any]", counts: "np.ndarray[Any, Any]"
) -> "np.ndarray[Any, Any]":
    """The share of values at or below each place."""
    running = np.concatenate([[0], np.cumsum(counts)])
    result: np.ndarray[Any, Any] = running[np.searchsorted(axis, at, side="right")] / running[-1]
    return result
