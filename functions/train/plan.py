"""What a training is pinned to. Pure: the same bucket gives the same plan, and the same plan is the same run."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from samara.core import keys
from samara.core.definition import Definition
from samara.core.heads import ModelHead
from samara.core.records import Link, Plan, Validation
from samara.ports import Job

MARGIN_S = 600.0  # for fetching, checking and storing around the training itself
MEMORY_MB = 8192


@dataclass(frozen=True, slots=True)
class Accepted:
    """An accepted batch: its validation, where that lies, and when the batch arrived."""

    key: str
    validation: Validation
    arrived: datetime


def pinned(
    head: ModelHead, definition: Definition, accepted: Iterable[Accepted], members: tuple[Link, ...] = ()
) -> Plan | None:
    """The newest batches by arrival, or None when there is none, and an ensemble's members. A tie is broken by key.

    Rows that are in two batches are trained on twice, but a part with the same bytes only once: what is held
    out of one must not come back through the other.
    """
    newest = sorted(accepted, key=lambda one: (one.arrived, one.key))[-definition.train.batches :]
    if not newest:
        return None
    parts = {part.digest: part for one in newest for part in one.validation.parts}
    return Plan(
        definition=head.definition,
        bundle=head.bundle,
        validations=tuple(one.validation.link(one.key) for one in newest),
        parts=tuple(parts.values()),
        holdout=newest[-1].validation.parts,
        members=members,
    )


def job(model: str, plan: Plan, definition: Definition) -> Job:
    """The program that carries a plan out. Its name is the run's, so it runs once however often it is submitted."""
    return Job(
        name=f"{model}-{plan.run}",
        module="functions.train.job",
        arguments=(keys.run(model, plan.run),),
        time_limit_s=definition.train.time_limit_s + MARGIN_S,
        memory_mb=MEMORY_MB,
    )
