"""How a model answers: the `serve` section of its definition as it was published, read without YAML or pydantic. Pure.

`samara.core.definition.Serve` says what may stand in it and what it means; the defaults here are the same, for models
that were published before there was such a section.
"""

import json
from typing import Literal, NamedTuple

from samara.core.digests import digest
from samara.core.sealed import known
from samara.errors import Rejected

SCHEMA = 1
DIGITS = 13  # of a digest
IDS = 1 << 4 * DIGITS  # that these digits can tell apart: 52 bits, which a float holds exactly


class Captured(NamedTuple):
    share: float = 1.0
    inputs: bool = True


class Guardrail(NamedTuple):
    name: str
    input: str | None = None
    output: Literal["prediction", "probabilities"] | None = None
    minimum: float | None = None
    maximum: float | None = None
    known: bool = False
    at_least: float | None = None


class Explain(NamedTuple):
    rows: int = 100
    samples: int = 256


class Policy(NamedTuple):
    """`personal` are the columns that the contract in force calls so, whatever it did when a version was trained."""

    capture: Captured = Captured()
    guardrails: tuple[Guardrail, ...] = ()
    limit_s: float = 10.0
    contained: bool = False
    memory_mb: int = 1024
    stale_s: float = 1.0
    explain: Explain = Explain()
    personal: tuple[str, ...] = ()

    def captures(self, prediction: str) -> bool:
        """Whether the prediction of this id is among the share that is captured. The same id always is, or never.

        >>> Policy().captures("any"), Policy(Captured(share=0.0)).captures("any")
        (True, False)
        """
        share = self.capture.share
        return share > 0 and (share == 1 or int(digest(prediction.encode())[:DIGITS], 16) < share * IDS)

    @classmethod
    def read(cls, data: bytes, where: str = "serving") -> "Policy":
        """The policy that was published in `data`, or `Rejected` when it is none, or of a later Samara."""
        try:
            said = json.loads(data)
            known(said.pop("schema"), SCHEMA, where)
            capture, explain = Captured(**said.pop("capture")), Explain(**said.pop("explain"))
            guardrails = tuple(Guardrail(**rule) for rule in said.pop("guardrails"))
            personal = tuple(said.pop("personal", ()))
            return cls(capture=capture, explain=explain, guardrails=guardrails, personal=personal, **said)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise Rejected(where, "not how a model answers; publish its project again", code="bad_record") from error
