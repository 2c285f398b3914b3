"""What must be true of the aliases when all is quiet: who answers, who answered before, and at whose word."""

from collections import Counter
from collections.abc import Iterator

from samara.core.aliases import ROLLED_BACK, Aliases, Move
from tests.simulation.found import Found
from tests.simulation.people import DONE, NOT_DONE


def the_aliases_have_a_linear_history(found: Found) -> Iterator[str]:
    causes = Counter(move.cause for move in found.aliases.moves)
    for version in found.versions.values():
        if causes.pop(version.digest, 0) != 1:
            yield f"v{version.version} was to leave one move of the aliases"
    said = {order.cause for order in found.people.orders}
    for cause, count in causes.items():
        if cause not in said:
            yield f"nobody is the cause of {count} moves: {cause}"
        elif count > 1:
            yield f"{count} moves of the aliases because of one word: {cause}"


def the_champion_earned_it(found: Found) -> Iterator[str]:
    versions = {version.version: version for version in found.versions.values()}
    by_digest = {version.digest: version for version in found.versions.values()}
    before = None
    for move in found.aliases.moves:
        version = by_digest.get(move.cause)
        if version and move.champion != before:
            if move.champion != version.version or not version.passed:
                yield f"move {move.number} made v{move.champion} champion, which its cause did not earn"
            if version.compared_with != before:
                yield f"move {move.number} put v{version.version} over v{before}, and it was compared with another"
        if move.champion is not None and not (move.champion in versions and versions[move.champion].sound):
            yield f"the champion v{move.champion} is not sound"
        before = move.champion
    if found.aliases.champion is None and any(version.passed for version in versions.values()):
        yield "a version passed its gates, and there is no champion"


def a_rollback_brings_the_champion_before(found: Found) -> Iterator[str]:
    """The one that the present champion took the place of. A second rollback goes further back, to whomever."""
    champion, before, went_back = None, None, False
    for move in found.aliases.moves:
        if move.cause.startswith(ROLLED_BACK):
            if move.champion == champion or (move.champion != before and not went_back):
                yield f"move {move.number} rolled back v{champion}, which came after v{before}, to v{move.champion}"
            champion, went_back = move.champion, True
        elif move.champion != champion:
            champion, before, went_back = move.champion, champion, False


def who_else_answers_is_as_people_said(found: Found) -> Iterator[str]:
    """Shadows and shares are people's words, and shares hold for the champion they were made for."""
    sound = {version.version for version in found.versions.values() if version.sound}
    roles = {order.cause: order.role for order in found.people.orders}
    before: Aliases | Move = Aliases()
    for move in found.aliases.moves:
        if {move.shadow, *move.weights} - sound - {None}:
            yield f"move {move.number} has v{move.shadow} and {move.weights} answer, and not all of them are sound"
        if move.shadow != before.shadow and roles.get(move.cause) != "shadow":
            yield f"move {move.number} has the shadow {move.shadow}, and nobody said so"
        due = before.weights if move.champion == before.champion else {}
        if move.weights != due and roles.get(move.cause) != "weights":
            yield f"move {move.number} shares requests as {move.weights}, and nobody said so"
        before = move


def what_people_were_told_is_true(found: Found) -> Iterator[str]:
    causes = Counter(move.cause for move in found.aliases.moves)
    for order in found.people.orders:
        stood = order.role and found.has_stood(order.role, order.wanted)
        if order.told == DONE and not causes[order.cause] and not stood:
            yield f"{order.cause}: told that it is done, and it is not"
        if order.told == NOT_DONE and causes[order.cause]:
            yield f"{order.cause}: told that it is not done, and it is"
