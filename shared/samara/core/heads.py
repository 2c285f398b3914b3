"""The few small documents that change: each carries the `write_id` of the write that made it.

A lost answer looks like a lost race. The write id tells them apart: whoever reads back its own id has won, even
when others have written since, because a head remembers the ids before its own (see `samara.app.App.swap`).
"""

from collections.abc import Iterable
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from samara.core import flaws
from samara.core.digests import canonical
from samara.core.records import Hex
from samara.errors import Rejected

REMEMBERED = 64  # writes, some 2 KB: as many as may come between a lost answer and the next look


class Head(BaseModel):
    """A mutable document. Frozen all the same: a change is a new value under a new `write_id`.

    `earlier` holds the ids of the writes before, newest first, as far back as is remembered.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    write_id: str = ""
    earlier: tuple[str, ...] = ()

    def written_over(self, before: Self, write_id: str) -> Self:
        """This change of `before`, as the write of that id."""
        earlier = (before.write_id, *before.earlier)[:REMEMBERED] if before.write_id else ()
        return self.model_copy(update={"write_id": write_id, "earlier": earlier})

    def holds(self, write_ids: Iterable[str]) -> bool:
        """Whether one of these writes made this head or one it came from, as far as is remembered."""
        return not {self.write_id, *self.earlier}.isdisjoint(write_ids)

    def remembers(self, write_id: str) -> bool:
        """Whether every write since that one is remembered. An empty id stands for there being no head yet."""
        return self.holds([write_id]) if write_id else len(self.earlier) < REMEMBERED

    def to_bytes(self) -> bytes:
        return canonical(self.model_dump(mode="json"))

    @classmethod
    def read(cls, data: bytes, key: str) -> Self:
        try:
            head = cls.model_validate_json(data)
        except ValidationError as error:
            field, flaw = flaws.first(error)
            said = f"{field}: {flaw}" if field else flaw
            why = f"holds no {cls.__name__}: {said}; restore it from the bucket's object versions"
            raise Rejected(key, why, code="bad_head") from error
        if not head.write_id:
            raise Rejected(key, "has no write_id, so it was edited by hand; use the samara commands", code="bad_head")
        return head


class ContractHead(Head):
    """Which contract a dataset is measured against now: the blob of its YAML."""

    contract: Hex


class ModelHead(Head):
    """Which definition and which source bundle a model is trained by now. `serving` is the blob of the definition's
    `serve` section, for whoever answers and has no time to read YAML."""

    definition: Hex
    bundle: Hex
    serving: Hex | None = None
