"""From any record back to the file somebody uploaded, each link verified on the way. Pure: it is handed a reader.

Every record names what it was made from by key and digest, and every payload by its digest alone. So a walk
along those names proves, or names exactly, what is missing or was altered since.
"""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

from samara.core import keys
from samara.core.records import (
    Batch,
    Capture,
    Decision,
    DriftReport,
    Feedback,
    ModelVersion,
    Part,
    Plan,
    Quarantine,
    Record,
    Result,
    Run,
    Scores,
    Scoring,
    ScoringPlan,
    ShadowReport,
    Validation,
    read_any,
)
from samara.errors import NotFound, SamaraError, Unavailable

MOST = 10_000  # steps: lineage reaches through every retraining, and somebody waits for the answer
UPLOAD = "uploaded file"
REPLACED = "the file was replaced or removed since; the batch still proves the digest of its bytes"
UNKNOWN = (
    "missing: the id may be mistyped, or the model's policy captures only a share of its answers: serve.capture.share"
)


@dataclass(frozen=True, slots=True)
class Step:
    """One record, payload or uploaded file on the trail.

    `digest` is the one its name or its referrer's link demands. `note` says in a few words what it is about,
    `problem` what is wrong when it is not `verified`. `children` are the indices in `Trail.steps` of what it
    was made from and of the payloads it names; of a record that is not verified nothing is followed.
    """

    key: str
    kind: str
    digest: str
    verified: bool
    problem: str = ""
    note: str = ""
    children: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Trail:
    """What a walk met, each thing once, nearest first. `cut` says it stopped at its limit with more to see."""

    steps: tuple[Step, ...]
    cut: bool = False

    @property
    def start(self) -> Step:
        return self.steps[0]

    @property
    def problems(self) -> tuple[Step, ...]:
        return tuple(step for step in self.steps if not step.verified)

    @property
    def verified(self) -> int:
        """How many of the steps are what they were."""
        return sum(step.verified for step in self.steps)

    @property
    def whole(self) -> bool:
        """Whether every step was looked at and verified."""
        return not self.cut and not self.problems

    @property
    def summary(self) -> str:
        links = "link" if len(self.steps) == 1 else "links"
        said = f"{len(self.steps):,} {links}, {self.verified:,} verified"
        if self.cut:
            said += f"; stopped after {len(self.steps):,}, there are more"
        if self.problems:
            first = self.problems[0]
            said += f"; first problem: {first.key}: {first.problem}"
        return said

    def outline(self) -> Iterator[tuple[int, Step]]:
        """The steps as an indented list: (depth, step), each once, below the nearest that names it."""
        below: dict[int, list[int]] = {}
        placed = {0}
        for index, step in enumerate(self.steps):
            below[index] = [child for child in dict.fromkeys(step.children) if child not in placed]
            placed.update(below[index])
        waiting = [(0, 0)]
        while waiting:
            depth, index = waiting.pop()
            yield depth, self.steps[index]
            waiting.extend((depth + 1, child) for child in reversed(below[index]))


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a record names: where it should lie, as what, and with which digest (None for the start of a walk)."""

    key: str
    kind: str
    digest: str | None
    note: str = ""


RECORD = "record"


def walk(start: str, get: Callable[[str], bytes], digest_of: Callable[[str], str], *, most: int = MOST) -> Trail:
    """The trail from the record at `start` back to the uploaded files, every step of it verified.

    `get` reads a record and `digest_of` hashes a stored object by streaming it; both raise `NotFound`. What is
    missing or altered is a step with a `problem`, and the walk goes on beside it. Only `Unavailable` is raised.
    """
    steps: list[Step] = []
    known: dict[tuple[str, str | None], int] = {(start, None): 0}
    waiting = deque([Wanted(start, RECORD, None)])
    while waiting and len(steps) < most:
        step, named = examined(waiting.popleft(), get, digest_of)
        children: list[int] = []
        for wanted in named:
            identity = (wanted.key, wanted.digest)
            if identity not in known:
                known[identity] = len(known)
                waiting.append(wanted)
            children.append(known[identity])
        steps.append(replace(step, children=tuple(children)))
    seen = len(steps)
    within = (replace(step, children=tuple(child for child in step.children if child < seen)) for step in steps)
    return Trail(tuple(within), cut=bool(waiting))


def examined(
    wanted: Wanted, get: Callable[[str], bytes], digest_of: Callable[[str], str]
) -> tuple[Step, tuple[Wanted, ...]]:
    """One step of the trail, and what it names in turn."""
    step = Step(wanted.key, wanted.kind, wanted.digest or "", verified=False, note=wanted.note)
    try:
        if wanted.kind != RECORD:
            return measured(step, digest_of), ()
        record = read_any(get(wanted.key), wanted.key)
    except Unavailable:
        raise
    except NotFound:
        return replace(step, problem=absent(wanted)), ()
    except SamaraError as error:
        return replace(step, problem=error.why), ()
    found = record.digest
    step = replace(step, kind=record.kind, digest=wanted.digest or found, note=about(record))
    if found != step.digest:
        why = f"replaced by another {record.kind}: its digest is {found[:12]}…, not the one it is linked by"
        return replace(step, problem=why), ()
    if other := misplaced(record, wanted.key):
        return replace(step, problem=f"holds another {other[:120]}"), ()
    return replace(step, verified=True), tuple(names(record))


def absent(wanted: Wanted) -> str:
    """What to say of a thing that is not there. A capture that nothing links to may never have been."""
    if wanted.kind == UPLOAD:
        return REPLACED
    return UNKNOWN if wanted.digest is None and wanted.key.startswith(keys.CAPTURES) else "missing"


def misplaced(record: Record, key: str) -> str:
    """What a sound record is about that lies where another prediction's or version's should, if it does."""
    match record:
        case Capture():
            with suppress(SamaraError):
                if keys.Prediction.parse(record.prediction).capture == key:
                    return ""
            return f"prediction, {record.prediction}"
        case ModelVersion() if keys.version(record.model, record.version) != key:
            return f"version, {record.model} {record.version}"
    return ""


def measured(step: Step, digest_of: Callable[[str], str]) -> Step:
    """A payload or upload, verified by its bytes alone."""
    if step.kind == UPLOAD and not step.key.startswith(keys.LANDING):
        return replace(step, problem="the batch does not say which file it came from")
    if digest_of(step.key) == step.digest:
        return replace(step, verified=True)
    altered = "altered: its bytes do not have the digest they are named for"
    return replace(step, problem=REPLACED if step.kind == UPLOAD else altered)


def names(record: Record) -> Iterator[Wanted]:
    """Everything a record points to: the records it was made from, then its payloads, then its uploaded file."""
    for link in record.made_from:
        yield Wanted(link.key, RECORD, link.digest)
    match record:
        case Batch():
            yield from (part_of("Parquet part", part) for part in record.parts)
            yield Wanted(str(record.noted.get("source_key", "")), UPLOAD, record.source)
        case Validation():
            yield payload("contract", record.contract)
            yield from (part_of("validated rows", part) for part in record.parts)
            yield from payloads(("profile", record.profile))
        case Decision(plan=Plan() as plan) | Run(plan=plan):
            yield from planned(plan)
        case Result():
            yield from payloads(("model", record.artifact), ("holdout", record.holdout))
        case ModelVersion():
            yield from payloads(("model", record.artifact), ("baseline", record.baseline), ("sheet", record.sheet))
        case Quarantine():
            yield from payloads(("refused rows", record.rows))
        case DriftReport():
            yield from payloads(("list of captures", record.captures))
        case Scoring(plan=asked):
            yield from to_be_answered(asked)
        case Scores():
            yield from (part_of("answers", part) for part in record.parts)
        case _:
            pass


def planned(plan: Plan) -> Iterator[Wanted]:
    for link in (*plan.validations, *plan.members):
        yield Wanted(link.key, RECORD, link.digest)
    yield from payloads(("model definition", plan.definition), ("code bundle", plan.bundle))
    yield from (part_of("training rows", part) for part in plan.parts)
    yield from (part_of("holdout rows", part) for part in plan.holdout)


def to_be_answered(plan: ScoringPlan) -> Iterator[Wanted]:
    yield from (Wanted(link.key, RECORD, link.digest) for link in (plan.version, plan.validation))
    yield from payloads(("model", plan.artifact), ("contract", plan.contract))
    yield from (part_of("validated rows", part) for part in plan.parts)


def payload(kind: str, digest: str) -> Wanted:
    return Wanted(keys.blob(digest), kind, digest)


def payloads(*found: tuple[str, str | None]) -> Iterator[Wanted]:
    return (payload(kind, digest) for kind, digest in found if digest is not None)


def part_of(kind: str, part: Part) -> Wanted:
    return Wanted(keys.blob(part.digest), kind, part.digest, f"{part.rows:,} rows, {part.size:,} bytes")


def about(record: Record) -> str:
    """What a record says, in a few words."""
    said = ""
    match record:
        case Capture():
            said = f"{record.rows:,} rows, {answered(record)}" if record.rows else answered(record)
        case Feedback():
            said = f"the truth about {len(record.truth):,} rows"
        case ModelVersion():
            said = f"{record.model} v{record.version}, {'passed its gates' if record.passed else 'held by its gates'}"
        case Result():
            said = f"{record.status}: {record.why}" if record.why else record.status
        case Run():
            said = f"cause: {record.cause}"
        case Decision():
            said = record.why
        case Validation():
            said = f"{record.verdict}, {record.rows:,} rows, {record.refused_rows:,} refused"
        case Batch():
            said = f"{record.rows:,} rows of {record.format}"
        case Quarantine():
            said = record.source_key if record.whole else f"{record.row_count:,} rows of {record.source_key}"
        case DriftReport():
            said = f"window {record.window}: {record.verdict}"
        case _:
            said = about_asking_again(record)
    return said


def answered(capture: Capture) -> str:
    """Which version answered, or why none did, as far as it was noted."""
    if capture.status == 200:
        return f"answered by v{capture.version}" if capture.version else "answered by no version"
    refused = f"status {capture.status} {capture.code}".rstrip()
    return ": ".join(filter(None, ("not answered", refused, str(capture.noted.get("why") or ""))))


def about_asking_again(record: Record) -> str:
    match record:
        case Scoring():
            return f"v{record.version} is asked about batch {record.batch} of {record.dataset}"
        case Scores():
            return f"{record.status}: {record.why}" if record.why else f"{record.rows:,} rows, by v{record.version}"
        case ShadowReport():
            return f"v{record.version} over {record.rows:,} rows of {record.hour}"
        case _:
            return ""
