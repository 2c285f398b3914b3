"""What is written and never changes: each record says what it was made from, and by which code.

A record's digest covers all it says except `noted`, which holds when and where it was made and how long that
took. So the same work done twice, or on another cloud, has the same digest, and every link is one to content.
"""

import json
from collections.abc import Sequence
from itertools import zip_longest
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, PlainSerializer, ValidationError

from samara.core import flaws
from samara.core.digests import canonical, short
from samara.core.sealed import MUST_PASS, Maker, altered, digest_of, intact, seal, unseal
from samara.errors import Rejected

Hex = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""A SHA-256 in hexadecimal: the name of a blob, or the digest of a record."""


class Value(BaseModel):
    """A part of a record."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, ser_json_inf_nan="constants")


class Link(Value):
    """Another record, by its key and the digest it had when we read it."""

    key: str
    digest: Hex


class Record(Value):
    """The frame of every record. Subclasses add what is said; none changes meaning under the same `schema`."""

    kind: str
    schema_: Literal[1] = Field(default=1, alias="schema")
    made_by: Annotated[Maker, PlainSerializer(Maker._asdict)]
    made_from: tuple[Link, ...] = ()
    noted: dict[str, JsonValue] = {}

    def body(self) -> dict[str, Any]:
        """What is written. A field at its default is left out, so that a later Samara may add one with a default
        and every record written before keeps its digest."""
        said = self.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        return {**said, "kind": self.kind, "schema": self.schema_}

    @property
    def digest(self) -> str:
        """The SHA-256 of the canonical JSON of everything but `noted`."""
        return digest_of(self.body())

    def to_bytes(self) -> bytes:
        return seal(self.body())[0]

    def link(self, key: str) -> Link:
        return Link(key=key, digest=self.digest)

    @classmethod
    def read(cls, data: bytes, key: str) -> Self:
        """The record in `data`, or `Rejected` when it is broken, altered or from a later Samara."""
        body, claimed = unseal(data, key)
        try:
            record = cls.model_validate(body)
        except ValidationError as error:
            intact(data, key, cls.__name__)  # else it is of another kind, or was altered, and that is to be said
            field, flaw = flaws.first(error)
            why = f"no {cls.__name__} that this Samara reads: {field}: {flaw}; upgrade, if a later one wrote it"
            raise Rejected(key, why, code="bad_record") from error
        try:
            same = record.digest == claimed
        except ValueError:  # NaN, infinity or a lone surrogate: no writer of ours could have said that
            same = False
        if not same:
            raise altered(key)
        return record


class Reason(Value):
    """Why something was refused, in the user's words: a stable code, what is wrong, and the way out."""

    code: str
    why: str
    column: str | None = None
    rows: int = 0
    examples: tuple[int, ...] = ()
    """Numbers of the first rows concerned, counted from 1 for the first row of data."""


class Column(Value):
    name: str
    type: str


class Part(Value):
    """One Parquet file of a batch."""

    digest: Hex
    rows: int
    size: int


class Batch(Record):
    """An uploaded file as Parquet, every value as it was written. `noted` names the file it came from."""

    kind: Literal["Batch"] = "Batch"
    dataset: str
    source: Hex
    source_size: int
    format: str
    columns: tuple[Column, ...]
    rows: int
    parts: tuple[Part, ...]
    refused: tuple[Reason, ...] = ()


class Receipt(Record):
    """What became of one write of one landing key. `made_from` names the batch or the quarantine."""

    kind: Literal["Receipt"] = "Receipt"
    source_key: str
    outcome: Literal["batch", "quarantine"]


class Quarantine(Record):
    """A file, or rows of one, refused with every reason. `rows` is the blob that holds the refused rows."""

    kind: Literal["Quarantine"] = "Quarantine"
    dataset: str
    source_key: str
    source: Hex | None
    whole: bool
    reasons: tuple[Reason, ...]
    rows: Hex | None = None
    row_count: int = 0


class Check(Value):
    """One promise of the contract, kept or not."""

    name: str
    column: str | None
    passed: bool
    failed_rows: int
    detail: str = ""


class Validation(Record):
    """A batch measured against its contract. `parts` hold the accepted rows, typed as the contract says."""

    kind: Literal["Validation"] = "Validation"
    dataset: str
    batch: str
    contract: Hex
    verdict: Literal["accepted", "refused"]
    checks: tuple[Check, ...]
    rows: int
    refused_rows: int
    parts: tuple[Part, ...]
    profile: Hex | None


class Plan(Value):
    """Everything a training depends on. `holdout` names those of the `parts` of which a share of rows is kept
    from training: the newest batch's; `members` the model versions that an ensemble is made of, in its order.
    `again` counts the tries that failed before this one."""

    definition: Hex
    bundle: Hex
    validations: tuple[Link, ...]
    parts: tuple[Part, ...]
    holdout: tuple[Part, ...]
    members: tuple[Link, ...] = ()
    again: int = 0

    @property
    def run(self) -> str:
        """The id of the run that carries this plan out: its digest, so the same plan is the same run. What is at its
        default goes unsaid, so plans from before there were ensembles keep theirs."""
        return short(canonical(self.model_dump(mode="json", exclude_defaults=True)).decode())

    @property
    def once_more(self) -> "Plan":
        """The same, to be tried after it failed: another run."""
        return self.model_copy(update={"again": self.again + 1})


class Decision(Record):
    """Whether a cause leads to training, and why (not). There is one for each cause, for ever."""

    kind: Literal["Decision"] = "Decision"
    model: str
    cause: str
    why: str
    plan: Plan | None = None


class Run(Record):
    """A pinned plan. Its id is the digest of the plan, so the same plan is the same run."""

    kind: Literal["Run"] = "Run"
    model: str
    run: str
    cause: str
    plan: Plan


class Submission(Record):
    """The claim that a run was handed to the batch service; `noted` holds the service's handle."""

    kind: Literal["Submission"] = "Submission"
    model: str
    run: str


class Tensor(Value):
    """An input or output as Open Inference Protocol v2 names it; −1 stands for any size."""

    name: str
    datatype: str
    shape: tuple[int, ...]


class Signature(Value):
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


class Parity(Value):
    """How far the exported graph strays from the framework, over `rows` rows of the holdout: in estimates beyond 1
    as a share of the largest."""

    rows: int
    largest_difference: float
    tolerance: float
    agreed: bool


class Result(Record):
    """What a run came to."""

    kind: Literal["Result"] = "Result"
    model: str
    run: str
    status: Literal["succeeded", "failed"]
    why: str = ""
    artifact: Hex | None = None
    signature: Signature | None = None
    parity: Parity | None = None
    metrics: dict[str, float] = {}
    holdout: Hex | None = None
    environment: dict[str, str] = {}


class Gate(Value):
    """One condition for going live."""

    name: str
    passed: bool
    why: str


class ModelVersion(Record):
    """A model that could be served, with the verdict of its gates and the baseline its drift is measured from.

    `sheet` is the blob that says what an answer needs to know of the model's columns.
    """

    kind: Literal["ModelVersion"] = "ModelVersion"
    model: str
    version: int
    run: str
    artifact: Hex
    signature: Signature
    metrics: dict[str, float]
    parity: Parity
    baseline: Hex
    compared_with: int | None
    compared_metrics: dict[str, float]
    gates: tuple[Gate, ...]
    sheet: Hex | None = None

    @property
    def passed(self) -> bool:
        return all(gate.passed for gate in self.gates)

    @property
    def sound(self) -> bool:
        """Whether it may be served at all. One that is not is never loaded, whoever asks for it."""
        return all(gate.passed for gate in self.gates if gate.name in MUST_PASS)


class Capture(Record):
    """What was asked and what was answered. `code` says why, where `status` is not 200.

    `masked` names the inputs whose values are not kept: personal ones, and all where a policy says so.
    """

    kind: Literal["Capture"] = "Capture"
    model: str
    version: int | None
    prediction: str
    rows: int
    status: int
    inputs: dict[str, JsonValue]
    outputs: dict[str, JsonValue]
    shapes: dict[str, tuple[int, ...]] = {}
    code: str = ""
    masked: tuple[str, ...] = ()


class Feedback(Record):
    """The truth about a prediction, one value for each of its rows; None where it is not known yet."""

    kind: Literal["Feedback"] = "Feedback"
    model: str
    prediction: str
    truth: tuple[bool | int | float | str | None, ...]


def last_words(truths: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
    """Row by row what was said last: a truth that leaves a row open takes nothing back.

    >>> last_words([(1, None, None), (None, 1, None), (0, None, None)])
    (0, 1, None)
    """
    rows = zip_longest(*truths)
    return tuple(next((value for value in reversed(row) if value is not None), None) for row in rows)


class ColumnDrift(Value):
    """How far one column strayed from the baseline. `psi` and `ks` are None where they do not apply."""

    name: str
    rows: int
    psi: float | None
    ks: float | None
    missing: float
    missing_before: float = 0.0
    drifted: bool


class DriftReport(Record):
    """One window of captures against the training profile of the version that answered them.

    `captures` is the blob that lists the captures measured, a line each: the key, a space, the record's digest.
    """

    kind: Literal["DriftReport"] = "DriftReport"
    model: str
    version: int
    window: str
    rows: int
    verdict: Literal["stable", "drifted", "too few rows"]
    why: str
    columns: tuple[ColumnDrift, ...]
    performance: dict[str, float] = {}
    labelled_rows: int = 0
    unreadable: int = 0
    captures: Hex | None = None


class ScoringPlan(Value):
    """Everything that answering a batch depends on: a version with its model, a validation with its rows.

    `after` are the scores of a try that failed, after which somebody wanted another one.
    """

    version: Link
    artifact: Hex
    validation: Link
    contract: Hex
    parts: tuple[Part, ...]
    after: Link | None = None

    @property
    def scoring(self) -> str:
        """The id of the scoring that carries this plan out: its digest, so the same plan is the same scoring."""
        return short(canonical(self.model_dump(mode="json", exclude_none=True)).decode())


class Scoring(Record):
    """A batch that a version is to answer, pinned. `batch` is the batch's id within its dataset."""

    kind: Literal["Scoring"] = "Scoring"
    model: str
    version: int
    dataset: str
    batch: str
    scoring: str
    plan: ScoringPlan


class Scores(Record):
    """What a scoring came to. `parts` hold an answer for each row of the batch, in the batch's order.

    The answers of `refused_rows` are empty: the model failed on them, or answered with NaN or infinity.
    """

    kind: Literal["Scores"] = "Scores"
    model: str
    version: int
    scoring: str
    status: Literal["succeeded", "failed"]
    why: str = ""
    columns: tuple[Column, ...] = ()
    parts: tuple[Part, ...] = ()
    rows: int = 0
    refused_rows: int = 0


class ShadowReport(Record):
    """What a shadow, `version`, says to what others were asked in one hour, against what they answered.

    `equal` is the share of rows with the same labels, the differences are absolute and between numbers; each is
    None where there is nothing of that kind. Errors are over the rows whose truth is known: the share of wrong
    labels, or the mean absolute error. `left_out` counts captures that cannot be asked about or compared.
    """

    kind: Literal["ShadowReport"] = "ShadowReport"
    model: str
    version: int
    hour: str
    rows: int
    captures: int
    left_out: int = 0
    equal: float | None = None
    mean_difference: float | None = None
    largest_difference: float | None = None
    labelled_rows: int = 0
    answered_error: float | None = None
    shadow_error: float | None = None


class Alert(Record):
    """What a person should hear."""

    kind: Literal["Alert"] = "Alert"
    subject: str
    what: str
    why: str


KINDS: dict[str, type[Record]] = {
    record.model_fields["kind"].default: record
    for record in (
        Batch, Receipt, Quarantine, Validation, Decision, Run, Submission, Result, ModelVersion, Capture,
        Feedback, DriftReport, Scoring, Scores, ShadowReport, Alert,
    )
}  # fmt: skip


def read_any(data: bytes, key: str) -> Record:
    """The record in `data`, whatever its kind."""
    try:
        kind = json.loads(data)["kind"]
        record = KINDS[kind]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise Rejected(key, "not a record of any kind this Samara knows", code="bad_record") from error
    return record.read(data, key)
