"""Who is champion, who challenges, and how it came about. Pure: each decision is a new `Aliases` or a refusal."""

from collections.abc import Mapping
from datetime import datetime
from itertools import groupby

from pydantic import AwareDatetime, BaseModel, ConfigDict

from samara.core.heads import Head
from samara.errors import Conflict, Rejected

ROLLED_BACK = "rolled back"


class Move(BaseModel):
    """One change of who answers. `cause` is the digest of the version that earned it, or what a person said."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int
    at: AwareDatetime
    champion: int | None
    challenger: int | None
    cause: str
    shadow: int | None = None
    weights: dict[int, float] = {}


class Aliases(Head):
    """The alias head of one model. `moves` is its whole history, numbered from 1 without gaps.

    `weights` is the share of requests each version answers, together 1: a canary, or an A/B test. Where there are
    none the champion answers all. `shadow` is asked afterwards what others answered, and heard by nobody.
    """

    champion: int | None = None
    challenger: int | None = None
    shadow: int | None = None
    weights: dict[int, float] = {}  # noqa: RUF012  # pydantic copies it
    moves: tuple[Move, ...] = ()

    def caused(self, cause: str) -> bool:
        """Whether this cause has already had its effect, so that events may come twice."""
        return any(move.cause == cause for move in self.moves)

    def moved(
        self,
        *,
        champion: int | None,
        challenger: int | None,
        at: datetime,
        cause: str,
        shadow: int | None = None,
        weights: Mapping[int, float] | None = None,
    ) -> "Aliases":
        """The next move. The shares of requests hold for the champion they were made for: another one takes all."""
        weights = dict(self.weights if weights is None and champion == self.champion else weights or {})
        standing = {"champion": champion, "challenger": challenger, "shadow": shadow or self.shadow, "weights": weights}
        move = Move(number=len(self.moves) + 1, at=at, cause=cause, **standing)
        return self.model_copy(update={**standing, "moves": (*self.moves, move)})


def registered(
    aliases: Aliases,
    version: int,
    *,
    passed: bool,
    at: datetime,
    cause: str,
    sound: bool = True,
    over: int | None = None,
) -> Aliases:
    """After `version` was registered. Each registration leaves exactly one move, whatever it changes:

    - through all its gates, and compared with the present champion (`over`), it is champion;
    - not through all, or compared with a champion who has left since, it is challenger, for a person to judge;
    - not `sound` (unsafe to load, another signature, or disagreeing with its framework), it is neither;
    - older than the champion or challenger, its event came late: it takes nobody's place.
    """
    if aliases.caused(cause):
        return aliases
    champion, challenger = aliases.champion, aliases.challenger
    newest = max(champion or 0, challenger or 0)
    if sound and passed and over == champion and version > (champion or 0):
        challenger = challenger if challenger and challenger > version else None
        champion = version
    elif sound and version > newest:
        challenger = version
    return aliases.moved(champion=champion, challenger=challenger, at=at, cause=cause)


def promoted(aliases: Aliases, model: str, version: int, *, expect: int | None, at: datetime, by: str) -> Aliases:
    """`version` as champion by a person's word. `expect` names the champion they saw, else `Conflict`."""
    if expect is not None:
        seen(aliases, model, expect)
    if aliases.champion == version:
        return aliases
    challenger = None if aliases.challenger == version else aliases.challenger
    return aliases.moved(champion=version, challenger=challenger, at=at, cause=f"promoted by {by}")


def rolled_back(aliases: Aliases, model: str, expect: int | None, *, at: datetime, by: str) -> Aliases:
    """The champion before this one, as champion again. `expect` names the one to leave, else `Conflict`."""
    seen(aliases, model, expect)
    earlier = [version for version in succession(aliases) if version != aliases.champion]
    if not earlier:
        raise Rejected(model, "has had no other champion to go back to; promote a version instead", code="no_earlier")
    return aliases.moved(champion=earlier[-1], challenger=aliases.champion, at=at, cause=f"{ROLLED_BACK} by {by}")


def routed(aliases: Aliases, model: str, weights: Mapping[int, float], *, at: datetime, by: str) -> Aliases:
    """Requests shared among versions by a person's word; all to the champion where `weights` is empty."""
    if not all(0 < share <= 1 for share in weights.values()) or (weights and abs(sum(weights.values()) - 1) > 1e-9):
        why = f"shares must lie above 0 and add up to 1; these do not: {shares(weights)}"
        raise Rejected(model, why, code="bad_weights")
    if aliases.champion is None:
        raise Rejected(model, "has no champion yet; promote a version first", code="no_model")
    if weights and aliases.champion not in weights:
        why = f"shares must name the champion, v{aliases.champion}; promote another one to leave it out"
        raise Rejected(model, why, code="bad_weights")
    if aliases.weights == weights:
        return aliases
    return aliases.moved(
        champion=aliases.champion,
        challenger=aliases.challenger,
        weights=weights,
        at=at,
        cause=f"routed by {by}",
    )


def shadowed(aliases: Aliases, version: int | None, *, at: datetime, by: str) -> Aliases:
    """`version` as the shadow, or none."""
    if aliases.shadow == version:
        return aliases
    lit = aliases.model_copy(update={"shadow": None})
    return lit.moved(
        champion=lit.champion,
        challenger=lit.challenger,
        shadow=version,
        at=at,
        cause=f"shadow set by {by}",
    )


def succession(aliases: Aliases) -> list[int]:
    """The champions that led to this one. Who was rolled back is no longer among them, so one goes back further: to
    nobody twice, unless they were promoted again since."""
    line: list[int] = []
    for move in aliases.moves:
        if move.cause.startswith(ROLLED_BACK) and line:
            left = line[-1]
            line = [version for version, _ in groupby(version for version in line if version != left)]
        if move.champion is not None and move.champion not in line[-1:]:
            line.append(move.champion)
    return line


def roles(aliases: Aliases) -> dict[int, str]:
    """What each version is to the requests that come now, in words.

    >>> roles(Aliases(champion=4, challenger=5, shadow=3, weights={4: 0.8, 3: 0.2}))
    {4: 'champion, 80 %', 5: 'challenger', 3: 'shadow, 20 %'}
    """
    said: dict[int, list[str]] = {}
    for number, role in (
        (aliases.champion, "champion"),
        (aliases.challenger, "challenger"),
        (aliases.shadow, "shadow"),
    ):
        if number is not None:
            said.setdefault(number, []).append(role)
    for number, share in aliases.weights.items():
        said.setdefault(number, []).append(f"{100 * share:g} %")
    return {number: ", ".join(words) for number, words in said.items()}


def shares(weights: Mapping[int, float]) -> str:
    """
    >>> shares({4: 0.8, 3: 0.2})
    'v4 80 %, v3 20 %'
    """
    return ", ".join(f"v{number} {100 * share:g} %" for number, share in weights.items())


def seen(aliases: Aliases, model: str, expect: int | None) -> None:
    """Refuse to act on a champion who is not the one somebody saw."""
    if aliases.champion != expect:
        now, then = (f"v{number}" if number else "nobody" for number in (aliases.champion, expect))
        raise Conflict(model, f"the champion is {now}, not {then}: somebody moved it; look again, then repeat")
