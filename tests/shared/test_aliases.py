"""Who answers: laws that hold whatever is registered, in whatever order, however often."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samara.core.aliases import Aliases, promoted, registered, rolled_back, routed, shadowed
from samara.errors import Conflict, Rejected

NOON = datetime(2013, 2, 14, 12, 0, tzinfo=UTC)


def after(*registrations: tuple[int, bool, bool]) -> Aliases:
    """The aliases after these (version, sound, passed), each compared with the champion of its time."""
    aliases = Aliases()
    for version, sound, passed in registrations:
        aliases = registered(
            aliases, version, sound=sound, passed=passed, over=aliases.champion, at=NOON, cause=f"v{version}"
        )
    return aliases


def answering(aliases: Aliases) -> tuple[int | None, int | None]:
    return aliases.champion, aliases.challenger


def test_through_its_gates_champion_else_challenger_and_unsound_neither() -> None:
    assert answering(after((1, True, True))) == (1, None)
    assert answering(after((1, True, True), (2, True, False))) == (1, 2)
    assert answering(after((1, True, True), (2, True, False), (3, True, True))) == (3, None)
    assert answering(after((1, True, True), (2, False, False))) == (1, None)


def test_a_version_that_beat_a_champion_who_has_left_since_waits_for_a_person() -> None:
    aliases = after((1, True, True), (2, True, True))

    late = registered(aliases, 3, passed=True, over=1, at=NOON, cause="v3")

    assert answering(late) == (2, 3)


Registrations = st.permutations([1, 2, 3, 4, 5]).flatmap(
    lambda order: st.tuples(*(st.tuples(st.just(version), st.booleans(), st.booleans()) for version in order))
)


@given(Registrations)
def test_however_they_arrive_the_newest_that_passed_is_champion(given_: tuple[tuple[int, bool, bool], ...]) -> None:
    aliases = after(*given_)

    passed = [version for version, sound, passed in given_ if sound and passed]
    waiting = [version for version, sound, passed in given_ if sound and not passed]
    assert aliases.champion == max(passed, default=None)
    assert aliases.challenger == max((v for v in waiting if v > (aliases.champion or 0)), default=None)


@given(Registrations)
def test_each_registration_leaves_one_move_numbered_without_gaps(given_: tuple[tuple[int, bool, bool], ...]) -> None:
    aliases = after(*given_)

    again = [
        registered(aliases, version, sound=sound, passed=passed, over=aliases.champion, at=NOON, cause=f"v{version}")
        for version, sound, passed in given_
    ]

    assert [move.number for move in aliases.moves] == [1, 2, 3, 4, 5]
    assert all(other == aliases for other in again), "an event that comes twice changes nothing"
    assert (aliases.moves[-1].champion, aliases.moves[-1].challenger) == answering(aliases)


@given(Registrations)
def test_history_is_only_ever_added_to(given_: tuple[tuple[int, bool, bool], ...]) -> None:
    before, whole = after(*given_[:3]), after(*given_)

    assert whole.moves[:3] == before.moves


def test_a_person_promotes_what_they_saw_and_not_what_moved_meanwhile() -> None:
    aliases = after((1, True, True), (2, True, False))

    by_hand = promoted(aliases, "real", 2, expect=1, at=NOON, by="ada")

    assert answering(by_hand) == (2, None)
    assert by_hand.moves[-1].cause == "promoted by ada"
    with pytest.raises(Conflict, match="the champion is v2"):
        promoted(by_hand, "real", 1, expect=1, at=NOON, by="ada")
    assert promoted(by_hand, "real", 2, expect=2, at=NOON, by="ada") is by_hand


def test_rolling_back_brings_the_champion_before() -> None:
    aliases = after((1, True, True), (2, True, True))

    back = rolled_back(aliases, "real", aliases.champion, at=NOON, by="ada")

    assert answering(back) == (1, 2)
    with pytest.raises(Rejected, match="no other champion"):
        rolled_back(after((1, True, True)), "real", 1, at=NOON, by="ada")


def test_rolling_back_twice_goes_back_twice() -> None:
    aliases = after((1, True, True), (2, True, True), (3, True, True))

    once = rolled_back(aliases, "real", 3, at=NOON, by="ada")
    twice = rolled_back(once, "real", 2, at=NOON, by="ada")

    assert (once.champion, twice.champion) == (2, 1)
    assert [move.number for move in twice.moves] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("champions", "back"),
    [([1, 2, 3], [2, 1]), ([1, 2, 1, 2], [1]), ([1, 2, 3, 2, 4], [2, 3, 1]), ([1, 2, 3, 2], [3, 1])],
)
def test_rollbacks_bring_nobody_back_who_was_rolled_back(champions: list[int], back: list[int]) -> None:
    aliases = Aliases()
    for version in champions:
        aliases = promoted(aliases, "real", version, expect=None, at=NOON, by="ada")

    for version in back:
        aliases = rolled_back(aliases, "real", aliases.champion, at=NOON, by="ada")
        assert aliases.champion == version

    with pytest.raises(Rejected, match="no other champion"):
        rolled_back(aliases, "real", aliases.champion, at=NOON, by="ada")
    again = promoted(aliases, "real", champions[-1], expect=None, at=NOON, by="ada")
    assert rolled_back(again, "real", champions[-1], at=NOON, by="ada").champion == back[-1]


def test_of_two_people_rolling_back_at_once_the_second_is_told() -> None:
    aliases = rolled_back(after((1, True, True), (2, True, True)), "real", 2, at=NOON, by="ada")

    with pytest.raises(Conflict, match="not v2"):
        rolled_back(aliases, "real", 2, at=NOON, by="bob")


def test_shares_hold_while_the_champion_does() -> None:
    shared = routed(champion(1), "late", {1: 0.9, 2: 0.1}, at=NOON, by="ann")

    challenged = shared.moved(champion=1, challenger=3, at=NOON, cause="registered")
    later = challenged.moved(champion=3, challenger=None, at=NOON, cause="promoted")

    assert challenged.weights == {1: 0.9, 2: 0.1}
    assert later.weights == {}


def test_a_shadow_stays_through_every_promotion_until_it_is_taken_back() -> None:
    followed = shadowed(champion(1), 2, at=NOON, by="ann")

    later = followed.moved(champion=3, challenger=None, at=NOON, cause="promoted")

    assert (later.shadow, shadowed(later, None, at=NOON, by="ann").shadow) == (2, None)


@pytest.mark.parametrize(
    ("weights", "why"),
    [
        ({1: 0.5}, "add up to 1"),
        ({1: 1.5, 2: -0.5}, "add up to 1"),
        ({2: 1.0}, "must name the champion, v1"),
    ],
)
def test_shares_that_make_no_sense_are_refused(weights: dict[int, float], why: str) -> None:
    with pytest.raises(Rejected, match=why):
        routed(champion(1), "late", weights, at=NOON, by="ann")


def test_what_changes_nothing_is_no_move() -> None:
    shared = routed(champion(1), "late", {1: 0.9, 2: 0.1}, at=NOON, by="ann")

    assert routed(shared, "late", {1: 0.9, 2: 0.1}, at=NOON, by="bob") == shared
    assert shadowed(shared, None, at=NOON, by="bob") == shared


def champion(version: int) -> Aliases:
    return Aliases().moved(champion=version, challenger=None, at=NOON, cause="test")
