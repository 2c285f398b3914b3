"""The bucket when all is quiet, read once."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TypeVar

from samara.app import App
from samara.core import keys
from samara.core.aliases import Aliases
from samara.core.records import Capture, Decision, DriftReport, ModelVersion, Record, Result, Run, Scoring, read_any
from tests.simulation.people import MODEL, People
from tests.simulation.suite import Suite

R = TypeVar("R", bound=Record)
HEADS = (keys.ALIASES, keys.CONFIG, keys.LANDING)


@dataclass
class Found:
    suite: Suite
    people: People

    def __post_init__(self) -> None:
        self.app: App = self.suite.app()
        self.all = list(self.app.store.list(""))
        self.records: dict[str, Record] = {}
        for key in self.all:
            if not key.startswith((*HEADS, keys.BLOBS)):
                self.records[key] = read_any(self.app.store.get(key).data, key)
        self.aliases = self.app.find_head(Aliases, keys.aliases(MODEL)) or Aliases()
        self.versions = self.of(ModelVersion)
        self.decisions = self.of(Decision)
        self.results = self.of(Result)
        self.runs = self.of(Run)
        self.scorings = self.of(Scoring)
        self.drift = self.of(DriftReport)

    def of(self, kind: type[R]) -> dict[str, R]:
        return {key: record for key, record in self.records.items() if isinstance(record, kind)}

    @property
    def defined(self) -> bool:
        return keys.model_head(MODEL) in self.all

    @cached_property
    def captures(self) -> dict[str, dict[str, Capture]]:
        """By the hour in which they were asked for."""
        by_hour: dict[str, dict[str, Capture]] = defaultdict(dict)
        for key, capture in self.of(Capture).items():
            by_hour[keys.prediction_of(key).hour][key] = capture
        return dict(by_hour)

    def at(self, key: str) -> Record | None:
        return self.records.get(key)

    def stored_at(self, key: str) -> datetime:
        return self.app.store.head(key).at

    def has_stood(self, role: str, wanted: object) -> bool:
        """Whether that has ever been the word of the aliases about who is to be what."""
        return any(getattr(standing, role) == wanted for standing in (Aliases(), *self.aliases.moves))
