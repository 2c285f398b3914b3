"""One request on its way to its answer: what is known of it, what is captured of it, and what it is told. Pure.

Rows, and rules about them, are imported by who meets them: tensors alone, as most ask, need not wait for that.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from functions.predict import protocol, receipt, tensors, wire
from functions.predict.policy import Policy
from functions.predict.protocol import Fit, Route
from functions.predict.routing import Standing
from functions.predict.spelled import number, numbers
from functions.predict.wire import Asked
from samara.core import sealed
from samara.core.keys import Prediction
from samara.core.sealed import Maker
from samara.core.sheet import Sheet
from samara.core.tensors import Spec, Value
from samara.errors import Rejected, SamaraError
from samara.events import HttpRequest

if TYPE_CHECKING:
    from functions.predict.by_heart import Known
    from functions.predict.rows import Rows

AGE = "samara-alias-age-ms"  # the header that says how long ago it was looked up who is live
MILLISECOND = timedelta(milliseconds=1)
EMPTY: Mapping[Any, Any] = MappingProxyType({})
MOST_TOGETHER = 10_000  # rows in one run of a model, which bounds what its intermediate values take


class Version(NamedTuple):
    """A `ModelVersion`, as far as an answer needs it. `link` is its key and its digest, `names` are its outputs'.

    `unsound` says which gates it failed that each served version must pass. `rowwise` says that rows of several
    requests may be asked together.
    """

    model: str
    number: int
    link: tuple[str, str]
    artifact: str
    inputs: tuple[Spec, ...]
    outputs: tuple[Spec, ...]
    names: tuple[str, ...]
    sheet: Sheet | None
    unsound: str
    fit: Fit
    rowwise: bool


class Live(NamedTuple):
    """Who answers for a model and how, as it was at `at`, and until when that may be relied on.

    `versions` are those that have answered since, so that each request need not look for them, and `by_alias` those
    of them that answer by an alias whoever asks. `by_heart` is how to answer what is asked again and again, by its
    likeness: None what was asked once, False what must be looked at each time.
    """

    standing: Standing
    policy: Policy
    at: datetime
    until: datetime
    policy_until: datetime
    versions: dict[int, Version]
    by_alias: dict[str, Version]
    by_heart: dict[tuple[str, str | bytes], "Known | Literal[False] | None"]


class Work:
    """`error` ends it, and is captured too. `seconds` are those of the run of the model, which others may share. `id`
    is the client's, under which it may come again; empty if there is none.

    `move` is the number of the newest move of the alias by which the version was found, or None where a version was
    asked for by its number. `said` is the answer to rows, and `listed` the outputs that go out as JSON.

    What is not known yet is the class's: setting a dozen attributes of each would take longer than most that is done
    with them. So nobody writes into what they hold.
    """

    move: int | None = None
    asked: Asked | None = None
    rows: "Rows | None" = None
    said: Mapping[str, Any] = EMPTY
    version: Version | None = None
    values: Mapping[str, Value] = EMPTY
    count: int = 0
    outputs: Mapping[str, Value] = EMPTY
    listed: Mapping[str, list[Any]] = EMPTY
    vetoed: Mapping[int, tuple[str, str]] = EMPTY
    seconds: float = 0.0
    id: str = ""
    capture: str = ""
    error: SamaraError | None = None

    def __init__(self, event: HttpRequest, route: Route, live: Live, prediction: Prediction) -> None:
        self.event = event
        self.route = route
        self.live = live
        self.prediction = prediction

    @property
    def model(self) -> str:
        return self.route.model

    @property
    def policy(self) -> Policy:
        return self.live.policy


def fit(work: Work, version: Version) -> None:
    """What is asked, as the version takes it that is to answer."""
    work.version = version
    if work.asked:
        work.values, work.count = version.fit(work.asked)
        return
    from functions.predict import rows  # noqa: PLC0415

    content_type = work.event.headers.get("content-type", "")
    work.rows = rows.asked(content_type, inflated(work), version.inputs, version.sheet)
    work.values, work.count = work.rows.values, work.rows.size


def inflated(work: Work) -> bytes:
    headers = work.event.headers
    return wire.inflated(work.event.body, headers.get("content-encoding", "identity").strip().lower())


def id_of(work: Work) -> str:
    """The client's id in rows that are refused, if it can be found at all: others may have been answered under it."""
    from functions.predict import rows  # noqa: PLC0415

    try:
        return rows.id_of(work.event.headers.get("content-type", ""), inflated(work))
    except Rejected:
        return ""


def groups(works: Sequence[Work]) -> list[list[Work]]:
    """Those that may share a run of the model: of one version that is row-wise, with tensors that fit together.

    What has failed already is in none.
    """
    if len(works) == 1:
        return [[*works]] if works[0].error is None else []
    found: list[list[Work]] = []
    latest: dict[Any, tuple[list[Work], int]] = {}
    for work in works:
        version = work.version
        if work.error is not None or version is None:
            continue
        if not version.rowwise:
            found.append([work])
            continue
        form = (version.link, *[(name, value[1][1:]) for name, value in work.values.items()])
        group, many = latest.get(form, ([], MOST_TOGETHER))
        if many + work.count > MOST_TOGETHER:
            group, many = [], 0
            found.append(group)
        group.append(work)
        latest[form] = (group, many + work.count)
    return found


def judge(work: Work) -> None:
    """Hold the answer against the guardrails, and against what its form can carry."""
    version, policy = work.version, work.policy
    if work.error or version is None:
        return
    try:
        if policy.guardrails:
            from functions.predict import guardrails  # noqa: PLC0415

            work.vetoed = guardrails.vetoes(policy, version.sheet, work.values, work.outputs, work.count)
        if work.asked:
            work.listed = listed(work.asked, work.outputs)
            for row, (rule, why) in work.vetoed.items():
                raise Rejected(rule, f"vetoes row {row + 1}: {why}", code="vetoed")
        if work.rows:
            from functions.predict import rows  # noqa: PLC0415

            work.said = rows.answer(work.outputs, work.rows, version.sheet, work.vetoed)
    except SamaraError as error:
        work.error = error


def listed(asked: Asked, outputs: Mapping[str, Value]) -> dict[str, list[Any]]:
    """The outputs that go out as JSON, or a refusal of what cannot go out as it is wanted: before it is captured."""
    found = {}
    for name, binary, classes in asked.wanted or wire.each(tuple(outputs)):
        if classes:
            wire.rankable(outputs[name], name)
        elif not (asked.binary if binary is None else binary):
            found[name] = tensors.encode(outputs[name], name)
    return found


def body(work: Work, maker: Maker, status: int, code: str) -> dict[str, Any]:
    """The body of the capture, the same as `samara.core.records.Capture` has, with its floats spelled."""
    version, every = work.version, {**work.values, **work.outputs}
    inputs, masked = kept(work)
    said = sealed.body(
        "Capture",
        maker,
        made_from=[{"key": version.link[0], "digest": version.link[1]}] if version else None,
        model=work.model,
        prediction=work.prediction.id,
        rows=work.count,
        status=status,
        inputs=inputs,
        outputs={
            name: numbers(receipt.captured(value, work.count, work.listed.get(name)))
            for name, value in work.outputs.items()
        },
        shapes={name: list(value.shape) for name, value in every.items()} or None,
        masked=list(masked) or None,
        code=code or None,
        noted=noted(work),
    )
    return {**said, "version": version.number if version else None}


def kept(work: Work) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The inputs that may be captured, and the names of the others."""
    if not work.policy.capture.inputs:
        return {}, tuple(work.values)
    inputs = {name: numbers(receipt.captured(value, work.count)) for name, value in work.values.items()}
    sheet = work.version.sheet if work.version else None
    return sheet.masked(inputs) if sheet else (inputs, ())


def noted(work: Work) -> dict[str, Any]:
    """What is true of this request alone, and outside the digest."""
    said = {
        "at": work.event.at.isoformat(),
        "seconds": number(round(work.seconds, 6)),
        "id": work.id,
        "traceparent": protocol.traceparent(work.event.headers),
        "caller": work.event.caller,
        "move": work.move,
        "why": str(work.error)[:300] if work.error else None,
        "vetoed": {str(row + 1): rule for row, (rule, _) in work.vetoed.items()},
    }
    return {name: value for name, value in said.items() if value or value == 0}


def receipt_of(work: Work, version: Version, prediction: str) -> dict[str, Any]:
    """What answered, how it came to be live, how long it took, and where it is written down."""
    said = {
        "prediction": prediction,
        "version": version.number,
        "digest": version.artifact,
        "record": version.link[1],
        "milliseconds": round(work.seconds * 1000, 3),
    }
    if work.move is not None:
        said["move"] = work.move
    if work.capture:
        said["capture"] = work.capture
    return said
