"""The few small documents that change: each carries the `write_id` of the write that made it.

A lost response looks like a lost race, because every official SDK retries silently. The write id tells them
apart: whoever reads back its own id has won (see `samara.app.App.swap`).
"""

from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from samara.core import flaws
from samara.core.digests import canonical
from samara.core.records import Hex
from samara.errors import Rejected


class Head(BaseModel):
    """A mutable document. Frozen all the same: a change is a new value under a new `write_id`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    write_id: str = ""

    def to_bytes(self) -> bytes:
        return canonical(self.model_dump(mode="json"))

    @classmethod
    def read(cls, data: bytes, key: str) -> Self:
        try:
            head = cls.model_validate_json(data)
        except ValidationError as error:
            field, flaw = flaws.first(error)
            why = f"not a {cls.__name__}: {field}: {flaw}; restore it from the bucket's object versions"
            raise Rejected(key, why, code="bad_head") from error
        if not head.write_id:
            raise Rejected(key, "has no write_id, so it was edited by hand; use the samara commands", code="bad_head")
        return head


class ContractHead(Head):
    """Which contract a dataset is measured against now: the blob of its YAML."""

    contract: Hex


class ModelHead(Head):
    """Which definition and which source bundle a model is trained by now."""

    definition: Hex
    bundle: Hex
