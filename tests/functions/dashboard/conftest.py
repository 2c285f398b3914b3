"""A year of one model, as the functions would have left it in the bucket: what the pages are shown with."""

import math
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from samara.app import App
from samara.core import keys
from samara.core.aliases import Aliases, Move
from samara.core.digests import digest, short
from samara.core.heads import ContractHead, ModelHead
from samara.core.keys import Prediction
from samara.core.records import (
    Batch,
    Capture,
    Check,
    Column,
    ColumnDrift,
    Decision,
    DriftReport,
    Feedback,
    Gate,
    Link,
    ModelVersion,
    Parity,
    Part,
    Plan,
    Quarantine,
    Reason,
    Result,
    Run,
    Scores,
    Scoring,
    ScoringPlan,
    ShadowReport,
    Signature,
    Submission,
    Tensor,
    Validation,
)
from samara.core.windows import Window, hour
from samara.events import HttpRequest, HttpResponse

COLUMNS = ("hour", "carrier", "origin", "dest", "distance", "temp", "wind_speed", "precip", "visib")
SIGNATURE = Signature(
    inputs=tuple(Tensor(name=name, datatype="FP32", shape=(-1, 1)) for name in COLUMNS),
    outputs=(Tensor(name="probability", datatype="FP32", shape=(-1,)),),
)
YEAR_END = datetime(2014, 1, 1, 1, 30, tzinfo=UTC)


class Story:
    """Writes what a year would have left. Each method gives the link that the next one follows."""

    def __init__(self, app: App, *, model: str = "late", dataset: str = "flights") -> None:
        self.app = app
        self.model = model
        self.dataset = dataset
        self.chance = random.Random(7)  # noqa: S311  # a picture needs no secret

    def month(self, month: int, *, refused: int = 0) -> Link:
        """An uploaded file, its batch and its accepted validation."""
        at, rows = datetime(2013, month, 28, 6, tzinfo=UTC), 27_000 - 40 * month
        data = f"month {month} of {self.dataset}".encode()
        key = f"landing/{self.dataset}/2013-{month:02d}.csv"
        self.app.store.create(key, data)
        batch = Batch(
            made_by=self.app.maker,
            dataset=self.dataset,
            source=digest(data),
            source_size=rows * 71,
            format="csv",
            columns=tuple(Column(name=name, type="string") for name in COLUMNS),
            rows=rows,
            parts=(self.part(b"raw " + data, rows),),
            noted={"source_key": key, "at": at.isoformat()},
        )
        batch_key = keys.batch(self.dataset, batch.source)
        self.app.write(batch_key, batch)
        validation = Validation(
            made_by=self.app.maker,
            made_from=(batch.link(batch_key),),
            dataset=self.dataset,
            batch=batch_key,
            contract=self.app.keep(b"contract"),
            verdict="accepted",
            checks=(Check(name="between", column="temp", passed=not refused, failed_rows=refused, detail="above 120"),),
            rows=rows,
            refused_rows=refused,
            parts=(self.part(b"typed " + data, rows - refused),),
            profile=self.app.keep(b"profile " + data),
            noted={"at": (at + timedelta(minutes=1)).isoformat()},
        )
        self.app.write(keys.validation(batch_key), validation)
        if refused:
            self.refused(key, f"temp above 120 in {refused} rows", rows=refused, at=at)
        return validation.link(keys.validation(batch_key))

    def refused(self, source_key: str, why: str, *, rows: int = 0, at: datetime = YEAR_END) -> None:
        record = Quarantine(
            made_by=self.app.maker,
            dataset=self.dataset,
            source_key=source_key,
            source=digest(source_key.encode()),
            whole=not rows,
            reasons=(Reason(code="bad_value", why=why, column="temp" if rows else None, rows=rows, examples=(17,)),),
            row_count=rows,
            noted={"at": at.isoformat()},
        )
        self.app.write(keys.quarantine(self.dataset, source_key, why), record)

    def part(self, data: bytes, rows: int) -> Part:
        return Part(digest=self.app.keep(data), rows=rows, size=len(data))

    def run(self, validation: Link, cause: str, why: str, at: datetime) -> Link:
        """A decision to train and the submitted run it led to."""
        parts = self.app.read(Validation, validation.key).parts
        plan = Plan(
            definition=self.app.keep(b"definition"),
            bundle=self.app.keep(b"bundle"),
            validations=(validation,),
            parts=parts,
            holdout=parts,
        )
        noted = {"at": at.isoformat()}
        decision = Decision(
            made_by=self.app.maker,
            made_from=(validation,),
            model=self.model,
            cause=cause,
            why=why,
            plan=plan,
            noted=noted,
        )
        self.app.write(keys.decision(self.model, cause), decision)
        planned = Run(
            made_by=self.app.maker,
            made_from=(decision.link(keys.decision(self.model, cause)),),
            model=self.model,
            run=plan.run,
            cause=cause,
            plan=plan,
            noted=noted,
        )
        key = keys.run(self.model, plan.run)
        self.app.write(key, planned)
        submission = Submission(made_by=self.app.maker, model=self.model, run=plan.run, noted={"handle": "1", **noted})
        self.app.write(keys.submission(key), submission)
        return planned.link(key)

    def not_trained(self, cause: str, why: str, at: datetime) -> None:
        decision = Decision(
            made_by=self.app.maker, model=self.model, cause=cause, why=why, noted={"at": at.isoformat()}
        )
        self.app.write(keys.decision(self.model, cause), decision)

    def result(self, run: Link, at: datetime, *, auc: float = 0.0, failed: str = "") -> Link:
        result = Result(
            made_by=self.app.maker,
            made_from=(run,),
            model=self.model,
            run=keys.stem(run.key),
            status="failed" if failed else "succeeded",
            why=failed,
            artifact=None if failed else self.app.keep(b"onnx" + run.digest.encode() * 300),
            metrics={} if failed else {"auc": auc},
            holdout=None if failed else self.app.keep(b"holdout" + run.digest.encode()),
            noted={"at": at.isoformat()},
        )
        self.app.write(keys.result(run.key), result)
        return result.link(keys.result(run.key))

    def version(self, number: int, result: Link, at: datetime, *, auc: float, over: float | None) -> Link:
        found = self.app.read(Result, result.key)
        better = over is None or auc >= over + 0.005
        version = ModelVersion(
            made_by=self.app.maker,
            made_from=(result,),
            model=self.model,
            version=number,
            run=found.run,
            artifact=found.artifact or "",
            signature=SIGNATURE,
            metrics={"auc": auc, "accuracy": auc + 0.12, "log_loss": 1.1 - auc},
            parity=Parity(rows=5400, largest_difference=3.2e-7, tolerance=1e-4, agreed=True),
            baseline=self.app.keep(b"baseline" + result.digest.encode()),
            compared_with=number - 1 or None,
            compared_metrics={} if over is None else {"auc": over},
            gates=(
                Gate(name="safe", passed=True, why="only operators that compute, 18 of them"),
                Gate(name="parity", passed=True, why="3.2e-07 apart at most, 1e-04 allowed"),
                Gate(name="threshold", passed=True, why=f"auc {auc:.3f}, at least 0.600 wanted"),
                Gate(name="improvement", passed=better, why=improvement(auc, over)),
            ),
            noted={"at": at.isoformat()},
        )
        self.app.write(keys.version(self.model, number), version)
        return version.link(keys.version(self.model, number))

    def moves(self, *moves: tuple[int | None, int | None, datetime, str]) -> None:
        history = tuple(
            Move(number=index, at=at, champion=champion, challenger=challenger, cause=cause)
            for index, (champion, challenger, at, cause) in enumerate(moves, 1)
        )
        champion, challenger = moves[-1][:2]
        head = Aliases(write_id="w", champion=champion, challenger=challenger, moves=history)
        self.app.store.create(keys.aliases(self.model), head.to_bytes())

    def asked(self, at: datetime, version: Link, number: int = 0, *, feedback: bool = False) -> Prediction:
        prediction = Prediction(self.model, hour(at), short(self.model, at.isoformat(), str(number)))
        capture = Capture(
            made_by=self.app.maker,
            made_from=(version,),
            model=self.model,
            version=keys.number(version.key),
            prediction=prediction.id,
            rows=2,
            status=200,
            inputs={
                "hour": [17, 6],
                "carrier": ["UA", "B6"],
                "origin": ["EWR", "JFK"],
                "dest": ["ORD", "BOS"],
                "distance": [719.0, 187.0],
                "temp": [41.0, 38.48],
                "wind_speed": [12.65858, None],
            },
            outputs={"probability": [0.412345, 0.08121]},
            noted={"at": at.isoformat()},
        )
        self.app.write(prediction.capture, capture)
        if feedback:
            truth = Feedback(
                made_by=self.app.maker, model=self.model, prediction=prediction.id, truth=(True, None), noted={}
            )
            self.app.write(prediction.feedback(truth.digest), truth)
        return prediction

    def drift(self, month: int, version: int, strayed: dict[str, float], *, auc: float, rows: int = 26_000) -> None:
        window = Window(f"2013-{month:02d}")
        columns = tuple(self.column(name, strayed.get(name), rows) for name in COLUMNS)
        named = [column.name for column in columns if column.drifted]
        report = DriftReport(
            made_by=self.app.maker,
            model=self.model,
            version=version,
            window=window.name,
            rows=rows,
            verdict="drifted" if named else "stable",
            why=f"{', '.join(named)} drifted" if named else "no column reached its limit",
            columns=columns,
            performance={"auc": auc, "accuracy": auc + 0.1},
            labelled_rows=rows - 900,
            noted={"at": window.end.isoformat()},
        )
        self.app.write(keys.drift(self.model, window), report)

    def column(self, name: str, psi: float | None, rows: int) -> ColumnDrift:
        measured = psi if psi is not None else abs(self.chance.gauss(0.02, 0.02))
        return ColumnDrift(
            name=name,
            rows=rows,
            psi=round(measured, 4),
            ks=round(math.sqrt(measured) / 3, 4),
            missing=0.004,
            drifted=measured >= 0.25,
        )

    def defined(self) -> None:
        bundle, definition = self.app.keep(b"bundle"), self.app.keep(b"definition")
        model, contract = ModelHead(write_id="w", definition=definition, bundle=bundle), self.app.keep(b"contract")
        self.app.store.create(keys.model_head(self.model), model.to_bytes())
        head = ContractHead(write_id="w", contract=contract)
        self.app.store.create(keys.contract_head(self.dataset), head.to_bytes())

    def year(self) -> Prediction:
        """Twelve months, four versions, two drifts, a failed run and one still running. Gives the last prediction."""
        self.defined()
        months = {month: self.month(month, refused=31 if month == 7 else 0) for month in range(1, 12)}
        self.refused("landing/flights/notes.txt", "not CSV, JSON lines or Parquet; save it as one of these")
        versions = self.versions(months)
        self.windows()
        self.shadowed("2013-12-30T05", rows=840, equal=0.9762)
        self.shadowed("2013-12-30T06", rows=911, equal=0.9813, left_out=3, labelled=420)
        self.scored(versions[3], months[11], rows=26_559, refused=12)
        self.scored(versions[3], months[10], failed="ran out of memory at 4,096 MB; ask for more")
        self.scored(versions[0], months[9])
        self.app.alert(f"results/{self.model}/x.json", "run failed", "ran out of memory; ask for more", YEAR_END)
        for day in range(40):
            for number in range(self.chance.randint(2, 9)):
                self.asked(datetime(2013, 11, 20, day % 24, 5, tzinfo=UTC) + timedelta(days=day), versions[3], number)
        return self.asked(YEAR_END, versions[3], feedback=True)

    def versions(self, months: dict[int, Link]) -> list[Link]:
        cause, first_day = "drift/late/2013-{:02d}.json", timedelta(hours=1)
        told = (
            (1, "first", "the first accepted batch of flights", 0.681, None),
            (4, cause.format(4), "temp drifted in 2013-04", 0.703, 0.674),
            (6, cause.format(7), "temp and hour drifted in 2013-07", 0.704, 0.702),
            (9, "retrain asked for by anna", "asked for by hand, on 2013-09", 0.726, 0.701),
        )
        versions, moves = [], []
        for number, (month, why, said, auc, over) in enumerate(told, 1):
            at = Window(f"2013-{month:02d}").end + first_day
            result = self.result(self.run(months[month], why, said, at), at + timedelta(seconds=64), auc=auc)
            versions.append(self.version(number, result, at + timedelta(seconds=70), auc=auc, over=over))
            champion = 2 if number == 3 else number
            moves.append((champion, 3 if number == 3 else None, at + timedelta(seconds=71), versions[-1].digest))
        at = Window("2013-11").end
        moves.append((2, 4, at, "rolled back by anna"))
        moves.append((4, None, at + timedelta(days=1), "promoted by anna"))
        self.moves(*moves)
        self.not_trained(cause.format(8), "drifted, but 2013-07 was retrained for and 1 window cools down", at)
        failed = self.run(months[10], cause.format(11), "precip drifted in 2013-11", at)
        self.result(failed, at + timedelta(minutes=9), failed="ran out of memory at 8,192 MB; ask for more")
        self.run(months[11], cause.format(12), "dest drifted in 2013-12", Window("2013-12").end + first_day)
        return versions

    def windows(self) -> None:
        strayed: dict[int, dict[str, float]] = {
            3: {"temp": 0.14},
            4: {"temp": 0.41},
            6: {"temp": 0.12},
            7: {"temp": 0.62, "hour": 0.27},
            8: {"temp": 0.55},
            11: {"precip": 0.33},
            12: {"dest": 0.26, "visib": 0.09},
        }
        champions = (1, 1, 1, 1, 2, 2, 2, 2, 2, 4, 2, 4)
        live = (0.68, 0.675, 0.66, 0.63, 0.70, 0.695, 0.66, 0.665, 0.69, 0.72, 0.69, 0.71)
        for month, (champion, auc) in enumerate(zip(champions, live, strict=True), 1):
            self.drift(month, champion, strayed.get(month, {}), auc=auc)

    def shadowed(self, hour: str, *, rows: int, equal: float, left_out: int = 0, labelled: int = 0) -> None:
        report = ShadowReport(
            made_by=self.app.maker,
            model=self.model,
            version=3,
            hour=hour,
            rows=rows,
            captures=rows // 2,
            left_out=left_out,
            equal=equal,
            mean_difference=0.0213,
            largest_difference=0.31,
            labelled_rows=labelled,
            answered_error=0.112 if labelled else None,
            shadow_error=0.127 if labelled else None,
        )
        self.app.write(keys.shadow(self.model, hour), report)

    def scored(self, version: Link, validation: Link, *, rows: int = 0, refused: int = 0, failed: str = "") -> None:
        """A batch that is to be answered, and with `rows` or `failed` what came of it."""
        found, checked = self.app.read(ModelVersion, version.key), self.app.read(Validation, validation.key)
        plan = ScoringPlan(
            version=version,
            artifact=found.artifact,
            validation=validation,
            contract=checked.contract,
            parts=checked.parts,
        )
        asked: dict[str, Any] = {"model": self.model, "version": found.version, "scoring": plan.scoring}
        scoring = Scoring(
            made_by=self.app.maker,
            made_from=(version, validation),
            dataset=self.dataset,
            batch=keys.stem(checked.batch),
            plan=plan,
            noted={"at": YEAR_END.isoformat()},
            **asked,
        )
        key = keys.scoring(self.model, plan.scoring)
        self.app.write(key, scoring)
        if rows or failed:
            scores = Scores(
                made_by=self.app.maker,
                made_from=(scoring.link(key),),
                status="failed" if failed else "succeeded",
                why=failed,
                rows=rows,
                refused_rows=refused,
                **asked,
            )
            self.app.write(keys.scores(key), scores)


def improvement(auc: float, over: float | None) -> str:
    if over is None:
        return "nobody to compare with"
    return f"auc {auc:.3f} against {over:.3f} of the champion, 0.005 more wanted"


@pytest.fixture
def story(whole: App) -> Story:
    return Story(whole)


@pytest.fixture
def ask(acting_as: Callable[[str], App]) -> Callable[..., HttpResponse]:
    """What the dashboard answers to a GET of `path`."""
    from functions.dashboard.handler import run  # noqa: PLC0415  # only where it is asked

    def get(path: str, at: datetime = YEAR_END, accept: str = "text/html", method: str = "GET") -> HttpResponse:
        return run(HttpRequest(method, path, at, headers={"accept": accept}), acting_as("dashboard"))

    return get
