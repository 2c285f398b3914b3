"""What the bucket gave: some records, those that could not be read, and how many there are in all. Pure values."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Generic, TypeVar

from functions.dashboard.words import noted_at
from samara.core.aliases import Aliases
from samara.core.records import (
    Alert,
    Batch,
    Decision,
    DriftReport,
    ModelVersion,
    Quarantine,
    Record,
    Result,
    Run,
    Scores,
    Scoring,
    ShadowReport,
    Validation,
)

R = TypeVar("R", bound=Record)
NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that should have been shown here and could not be read."""

    key: str
    why: str


@dataclass(frozen=True, slots=True)
class Found(Generic[R]):
    """The records that were read, by key. `total` counts those that exist; `cut` when not even all were counted."""

    records: dict[str, R] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    total: int = 0
    cut: bool = False

    @property
    def newest_first(self) -> list[tuple[str, R]]:
        """By when they say they were made; those that do not say come last."""
        return sorted(self.records.items(), key=lambda item: noted_at(item[1].noted) or NEVER, reverse=True)

    @property
    def count(self) -> str:
        return f"{self.total:,}{'+' if self.cut else ''}"

    @property
    def note(self) -> str:
        """What is not shown, when not everything is."""
        left = self.total - len(self.records) - len(self.problems)
        return f"{len(self.records):,} of {self.count} are shown" if left > 0 or self.cut else ""


@dataclass(frozen=True, slots=True)
class Keys:
    """Keys that were listed, in ascending order. `cut` when there are more of them."""

    keys: Sequence[str] = ()
    cut: bool = False

    @property
    def count(self) -> str:
        return f"{len(self.keys):,}{'+' if self.cut else ''}"


@dataclass(frozen=True, slots=True)
class ModelFound:
    """All that was read about one model. `sizes` are the bytes of its artifacts, None for one that is gone."""

    model: str
    at: datetime
    aliases: Aliases
    problems: tuple[Problem, ...]
    versions: Found[ModelVersion]
    sizes: dict[str, int | None]
    decisions: Found[Decision]
    runs: Found[Run]
    results: Found[Result]
    running: int
    submitted: frozenset[str]
    drift: Found[DriftReport]
    alerts: Found[Alert]
    captures: Keys
    shadows: Found[ShadowReport]
    scorings: Found[Scoring]
    scores: Found[Scores]


@dataclass(frozen=True, slots=True)
class GlanceFound:
    """The little about a model that the first page needs."""

    model: str
    aliases: Aliases
    problems: tuple[Problem, ...]
    versions: Found[ModelVersion]
    running: int
    drift: Found[DriftReport]


@dataclass(frozen=True, slots=True)
class DatasetFound:
    """All that was read about one dataset."""

    dataset: str
    batches: Found[Batch]
    validations: Found[Validation]
    quarantine: Found[Quarantine]
