"""What the job and the training program say to each other through files. Light: the job needs no framework."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, JsonValue

from samara.core.definition import Ensemble
from samara.core.records import Parity, Signature


class Ask(BaseModel):
    """What is to be trained. `entry` reads `file:function`. With an `ensemble`, its members' models lie beside it
    instead of code, numbered from 0."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    entry: str
    features: tuple[str, ...]
    target: str
    task: Literal["classification", "regression"]
    metric: str
    tolerance: float
    seed: int
    threads: int
    parameters: dict[str, JsonValue]
    ensemble: Ensemble | None = None


class Outcome(BaseModel):
    """What came of it. With a `why` it failed, and the rest says nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    why: str = ""
    signature: Signature | None = None
    parity: Parity | None = None
    metrics: dict[str, float] = {}
    environment: dict[str, str] = {}
