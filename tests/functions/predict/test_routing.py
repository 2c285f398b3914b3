"""Who answers, by alias and by shares."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.predict.routing import Standing, chosen, fraction, shared
from samara.core.aliases import Aliases
from samara.errors import Rejected

LATE = Standing(champion=3, challenger=4, shadow=5, weights=((3, 0.9), (4, 0.1)), move=7)
SHARES = st.dictionaries(st.integers(1, 99), st.integers(1, 20), min_size=1, max_size=6).map(
    lambda parts: tuple(sorted((version, part / sum(parts.values())) for version, part in parts.items()))
)


def test_an_alias_means_its_version_whatever_the_shares() -> None:
    assert [chosen(LATE, "late", alias, "") for alias in ("champion", "challenger", "shadow")] == [3, 4, 5]


def test_without_an_alias_the_shares_decide() -> None:
    answers = [chosen(LATE, "late", "", str(key)) for key in range(2000)]

    assert set(answers) == {3, 4}
    assert 120 < answers.count(4) < 280


def test_where_nobody_is_that_is_said_with_the_way_out() -> None:
    with pytest.raises(Rejected, match="late: has no champion; promote a version") as refused:
        chosen(Standing(None, None, None, (), 0), "late", "", "")

    assert refused.value.code == "no_model"


@pytest.mark.parametrize(
    ("alias", "way_out"),
    [
        ("challenger", "late: has no challenger; promote a version, or train one that passes its gates"),
        ("shadow", "late: has no shadow; name one with `samara shadow late VERSION`"),
    ],
)
def test_the_way_out_is_that_of_the_alias_that_was_asked(alias: str, way_out: str) -> None:
    with pytest.raises(Rejected) as refused:
        chosen(Standing(3, None, None, (), 0), "late", alias, "")

    assert (str(refused.value), refused.value.code) == (way_out, "no_model")


@given(SHARES, st.floats(0, 1, exclude_max=True))
def test_every_number_falls_into_one_share(weights: tuple[tuple[int, float], ...], at: float) -> None:
    assert shared(weights, at) in dict(weights)


@given(st.text(), st.floats(0.01, 0.99), st.floats(0.01, 0.99))
def test_who_moves_when_a_share_grows_moves_towards_it(key: str, one: float, other: float) -> None:
    at = fraction("late", key)
    before, after = (shared(((3, 1 - share), (4, share)), at) for share in sorted((one, other)))

    assert (before, after) in {(3, 3), (3, 4), (4, 4)}


@given(st.text(), st.text())
def test_a_fraction_lies_from_nought_up_to_one(model: str, key: str) -> None:
    assert 0 <= fraction(model, key) < 1
    assert fraction(model, key) == fraction(model, key)


def test_a_head_says_the_same_to_us_as_to_everybody() -> None:
    head = Aliases(write_id="one", champion=3, challenger=4, shadow=5, weights={4: 0.1, 3: 0.9})

    assert Standing.read(head.to_bytes(), "aliases/late.json") == Standing(3, 4, 5, ((3, 0.9), (4, 0.1)), 0)


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"champion":1}', b'{"champion":1,"challenger":2,"moves":3}'])
def test_what_is_no_head_is_refused_by_its_key(data: bytes) -> None:
    with pytest.raises(Rejected, match=r"aliases/late.json: not an alias head") as refused:
        Standing.read(data, "aliases/late.json")

    assert refused.value.code == "bad_head"
