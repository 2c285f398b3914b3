"""Register: put what a run made through its gates, number it, and move the aliases.

Wakes on  results/{model}/{run}.json
Reads     the run, its definition, the validations it trained on, the model, the held-out rows, the champion
Writes    a blob with the baseline: the profile of the features the model was trained on
      and a blob with the sheet: what an answer needs to know of its columns
     then models/{model}/{version}.json: gap-free numbers, one version for each run
     then aliases/{model}.json: champion when every gate passed, else challenger, or neither when it is not sound
      or  alerts/… when the run failed, or made what must not be served

Delivered twice, it finds the run's version and the move that it caused.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from math import prod
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from functions.register import columns, gates
from functions.register.inspect_model import flaws
from samara import loading, scoring
from samara.app import App
from samara.contained import Contained, Ended
from samara.core import keys, odcs, profile
from samara.core.aliases import Aliases, registered
from samara.core.contract import Contract
from samara.core.definition import Definition, features_among, parse
from samara.core.profile import Profile
from samara.core.records import Gate, Link, ModelVersion, Parity, Result, Run, Signature, Validation
from samara.core.sheet import Sheet
from samara.core.tensors import TEXT, WIDTH, Spec, Value
from samara.entry import on_object_created
from samara.errors import NotFound, Rejected, Unavailable
from samara.events import ObjectCreated

TRIAL_MEMORY_MB = 1024  # all that this function is given where it is deployed: more would end it, not the model
TRIAL_S = 30  # to load a model and to ask it once: the largest let in here, 512 MiB, needs a tenth of it
ATTEMPTS = 100  # to find a free number: more registrations of one model at once is a mistake worth hearing of


@dataclass(frozen=True, slots=True)
class Candidate:
    """A succeeded result with everything in it, and where it came from."""

    key: str
    result: Result
    run: Run
    definition: Definition
    artifact: str
    signature: Signature
    parity: Parity
    holdout: str


@dataclass(frozen=True, slots=True)
class Judgement:
    gates: tuple[Gate, ...]
    metrics: dict[str, float] = field(default_factory=dict)
    champion: int | None = None
    compared: dict[str, float] = field(default_factory=dict)
    sheet: Sheet | None = None


def run(event: ObjectCreated, app: App) -> ModelVersion | None:
    """The version of this result, or None when there is nothing to register."""
    result = app.find(Result, event.key)
    if result is None:
        return None
    if result.status == "failed":
        app.alert(event.key, "run failed", f"{result.why}; mend it, then publish and train again", event.at)
        return None

    try:
        found = numbered(event.key, result, event.at, app)
    except Rejected as error:
        app.alert(event.key, "cannot be registered", str(error), event.at)
        return None

    if not found.sound:
        unsound = "; ".join(f"{gate.name}: {gate.why}" for gate in found.gates if not gate.passed)
        app.alert(keys.version(found.model, found.version), "must not be served", unsound, event.at)
    move(found, event.at, app)
    return found


def candidate(key: str, result: Result, app: App) -> Candidate:
    run_key = keys.run(result.model, result.run)
    planned = app.find(Run, run_key)
    if planned is None:
        raise Rejected(key, "is the result of a run that nobody planned; delete it", code="unplanned")
    if not (result.artifact and result.signature and result.parity and result.holdout):
        raise Rejected(key, "says it succeeded, and lacks the model or what was measured of it", code="half_result")
    return Candidate(
        key=key,
        result=result,
        run=planned,
        definition=parse(app.blob(planned.plan.definition), run_key),
        artifact=result.artifact,
        signature=result.signature,
        parity=result.parity,
        holdout=result.holdout,
    )


def version_of(result: Result, versions: Sequence[str], app: App) -> ModelVersion | None:
    """The version among these keys that names this run, searched from the newest."""
    for key in reversed(versions):
        version = app.read(ModelVersion, key)
        if version.run == result.run:
            return version
    return None


def numbered(key: str, result: Result, at: datetime, app: App) -> ModelVersion:
    """The version of this result: the one there is, or the result judged, under the next free number.

    Looking for the run and choosing the number rest on one listing. Whoever registers the same run meanwhile
    takes the same number, and only one of us gets it.
    """
    judged_once: ModelVersion | None = None
    for _ in range(ATTEMPTS):
        versions = keys.versions(result.model, app.store.list(f"{keys.MODELS}{result.model}/"))
        if done := version_of(result, versions, app):
            return done
        judged_before = judged_once is not None
        judged_once = judged_once or unnumbered(candidate(key, result, app), at, app)
        last, champion = max(map(keys.number, versions), default=0), judged_once.compared_with or 0
        if champion > last and not judged_before:  # it came since the listing, or its record is gone: a look will tell
            continue
        number = max(last, champion) + 1  # never that of a champion whose record is gone
        version = judged_once.model_copy(update={"version": number})
        stored = app.write(keys.version(result.model, number), version)
        if stored.run == result.run:
            return stored
    raise Unavailable(result.model, f"no free version number after {ATTEMPTS} attempts")


def unnumbered(one: Candidate, at: datetime, app: App) -> ModelVersion:
    """What there is to say about a candidate, but for its number."""
    judgement = judged(one, app)
    return ModelVersion(
        made_by=app.maker,
        made_from=made_from(one, judgement, app),
        model=one.result.model,
        version=0,
        run=one.result.run,
        artifact=one.artifact,
        signature=one.signature,
        metrics=judgement.metrics,
        parity=one.parity,
        baseline=app.keep(baseline_of(one, app).to_bytes()),
        sheet=app.keep(judgement.sheet.to_bytes()) if judgement.sheet else None,
        compared_with=judgement.champion,
        compared_metrics=judgement.compared,
        gates=judgement.gates,
        noted={"at": at.isoformat()},
    )


def made_from(one: Candidate, judgement: Judgement, app: App) -> tuple[Link, ...]:
    """The result, its run and, where there was one, the champion it was compared with."""
    links = [one.result.link(one.key), one.run.link(keys.run(one.result.model, one.result.run))]
    if judgement.champion is not None:
        key = keys.version(one.result.model, judgement.champion)
        champion = app.find(ModelVersion, key)  # or else the gate says that it is gone
        links += [champion.link(key)] if champion else []
    return tuple(links)


def judged(one: Candidate, app: App) -> Judgement:
    """All gates. What is not safe is never loaded; what is, is asked about the held-out rows once more."""
    aliases = app.find_head(Aliases, keys.aliases(one.result.model)) or Aliases()
    safe, model = inspected(one, app)
    parity = gates.parity(one.parity)
    if not safe.passed:
        unasked = [Gate(name=name, passed=False, why=gates.NOT_ASKED) for name in ("signature", "measured")]
        return Judgement((safe, unasked[0], parity, unasked[1]), champion=aliases.champion)
    with app.fetched(one.holdout) as path:
        holdout = pq.read_table(path)
    wanted, limits, task = asked_features(one, holdout), one.definition.gates, one.definition.task
    try:
        loaded = loading.session(model)
        signature = gates.signature(scoring.signature(loaded), one.signature, wanted, task)
        metrics = metrics_of(loaded, holdout, one.definition)
        sheet = sheet_of(one, loaded, holdout, app) if signature.passed else None
    except Rejected as error:
        broken = Gate(name="signature", passed=False, why=str(error))
        return Judgement((safe, broken, parity), champion=aliases.champion)
    compared, trouble = champions(one, aliases.champion, holdout, app)
    return Judgement(
        (
            safe,
            signature,
            parity,
            gates.honest(one.result.metrics, metrics),
            gates.threshold(limits, metrics),
            gates.improvement(limits, metrics, aliases.champion, compared, trouble),
        ),
        metrics,
        aliases.champion,
        compared,
        sheet,
    )


def inspected(one: Candidate, app: App) -> tuple[Gate, bytes]:
    """The first gate, and the model's bytes, to be used only if it passed."""
    try:
        model = app.blob(one.artifact)
    except (NotFound, Rejected) as error:
        return gates.safe([str(error)]), b""
    return gates.safe(flaws(model) or dangers(model)), model


def dangers(model: bytes, memory_mb: int = TRIAL_MEMORY_MB, limit_s: float = TRIAL_S) -> list[str]:
    """What a process of its own did not survive: loading this model, and asking it about one row of next to nothing.

    A look at its bytes cannot tell. What fails as a model may is no danger: the gates that follow say why.
    """
    try:
        with Contained(model, memory_mb=memory_mb, limit_s=limit_s) as trial:
            trial.run({spec.name: blank(spec, memory_mb) for spec in trial.inputs})
    except Ended as error:
        return [f"{error.why}, when it is loaded and asked once"]
    except Rejected:
        return []
    return []


def blank(spec: Spec, memory_mb: int) -> Value:
    """One row of zeros or short texts, or `Ended` for a row that would not fit into the memory there is."""
    shape = tuple(1 if size < 0 else size for size in spec.shape)
    if prod(shape) * WIDTH.get(spec.datatype, 8) > memory_mb << 20:
        raise Ended("model", f"needs more memory than {memory_mb:,} MB", code="model_failed")
    if spec.datatype == TEXT:
        return Value(TEXT, shape, [b"0"] * prod(shape))  # an empty one doubled is still empty
    return Value(spec.datatype, shape, bytes(prod(shape) * WIDTH[spec.datatype]))


def asked_features(one: Candidate, holdout: Any) -> dict[str, str]:
    """The features, each with the datatype it is asked as."""
    table = scoring.asked(holdout, features_among(one.definition, holdout.column_names))
    return {
        name: "BYTES" if pa.types.is_string(table.schema.field(name).type) else "FP32"
        for name in features_among(one.definition, holdout.column_names)
    }


def metrics_of(loaded: Any, holdout: Any, definition: Definition) -> dict[str, float]:
    answers = scoring.answers(loaded, holdout, definition.task)
    return scoring.measured(answers, scoring.truth(holdout, definition.target, definition.task))


def champions(one: Candidate, champion: int | None, holdout: Any, app: App) -> tuple[dict[str, float], str]:
    """The champion's metrics on the challenger's held-out rows, or why it has none."""
    if champion is None:
        return {}, ""
    try:
        version = app.read(ModelVersion, keys.version(one.result.model, champion))
        return metrics_of(loading.session(app.blob(version.artifact)), holdout, one.definition), ""
    except (NotFound, Rejected) as error:
        return {}, f"{error}; compare them by hand, then promote the one you want"


def sheet_of(one: Candidate, loaded: Any, holdout: Any, app: App) -> Sheet:
    """What an answer needs to know of the model's columns. Some rows are asked once more, in several ways."""
    classes = scoring.answers(loaded, holdout.slice(0, 1), one.definition.task).classes
    return columns.sheet(
        one.definition,
        contract_of(one, app),
        baseline_of(one, app),
        holdout,
        [tensor.name for tensor in one.signature.inputs],
        classes=classes,
        rowwise=columns.rowwise(loaded, holdout, one.definition.task),
    )


def contract_of(one: Candidate, app: App) -> Contract | None:
    """The contract that the newest batch was measured against, or None when it cannot be read any more."""
    newest = app.read(Validation, one.run.plan.validations[-1].key)
    try:
        return odcs.parse(app.blob(newest.contract), keys.blob(newest.contract))
    except (NotFound, Rejected):
        return None


def baseline_of(one: Candidate, app: App) -> Profile:
    """The features' profile over all batches trained on: what drift is measured from."""
    validations = [app.read(Validation, link.key) for link in one.run.plan.validations]
    profiles = [Profile.read(app.blob(v.profile), v.batch) for v in validations if v.profile]
    whole = profile.merged(profiles)
    features = features_among(one.definition, (*whole.columns, one.definition.target))
    return whole.subset(features)


def move(version: ModelVersion, at: datetime, app: App) -> None:
    """The aliases after this version, moved once however often this runs."""
    app.swap(
        Aliases,
        keys.aliases(version.model),
        lambda aliases: registered(
            aliases,
            version.version,
            sound=version.sound,
            passed=version.passed,
            over=version.compared_with,
            at=at,
            cause=version.digest,
        ),
    )


handler = on_object_created(run)
