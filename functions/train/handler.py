"""Train: decide whether a cause leads to training, pin what it depends on, and hand it to the batch service.

Wakes on  validations/{dataset}/{batch}.json, drift/{model}/{window}.json, POST /train/{model},
          and decisions/{model}/… when `reconcile` finds one that was not carried out
Reads     config/models/…, the definitions they name, the dataset's batches and validations, and for an ensemble
          the aliases and versions of its members
Writes    decisions/{model}/{cause}.json: one for each cause, with the plan pinned inside or the reason why not
     then runs/{model}/{run}.json
     then jobs/{model}/{run}/submission.json, once the job is submitted, whose result wakes `register`

Delivered twice, it finds its first decision and carries out that one; the same plan is the same run and job.
"""

import json
from collections.abc import Iterable
from datetime import datetime

from functions.train import decide
from functions.train.decide import Verdict
from functions.train.plan import Accepted, job, pinned
from samara import batches
from samara.app import App
from samara.core import keys
from samara.core.aliases import Aliases
from samara.core.definition import Definition, parse
from samara.core.heads import ModelHead
from samara.core.records import (
    Decision,
    DriftReport,
    Link,
    ModelVersion,
    Plan,
    Result,
    Run,
    Submission,
    Validation,
)
from samara.core.windows import Window
from samara.entry import json_response, on_created_or_http, refusal, refused
from samara.errors import Rejected, SamaraError
from samara.events import HttpRequest, HttpResponse, ObjectCreated

LONGEST_WHY = 500
NO_MEMBER = "no_member"


def run(event: ObjectCreated | HttpRequest, app: App) -> list[Decision] | HttpResponse:
    if isinstance(event, HttpRequest):
        return asked(event, app)
    if event.key.startswith(keys.VALIDATIONS):
        return validated(event, app)
    if event.key.startswith(keys.DRIFT):
        decisions = [drifted(event, app)]
    elif event.key.startswith(keys.DECISIONS):
        decisions = [app.find(Decision, event.key)]
    else:
        decisions = []
    return [carried_out(decision, event.at, app) for decision in decisions if decision]


def validated(event: ObjectCreated, app: App) -> list[Decision]:
    """The first training of each model of an accepted batch's dataset. One broken definition stops no other model."""
    validation = app.find(Validation, event.key)
    if validation is None or validation.verdict != "accepted":
        return []
    decisions, broken = [], None
    for key in app.store.list(f"{keys.CONFIG}models/"):
        try:
            decision = begun(keys.stem(key), event, validation, app)
        except Rejected as error:
            broken = error
        else:
            decisions += [decision] if decision else []
    if broken:
        raise broken
    return decisions


def begun(model: str, event: ObjectCreated, validation: Validation, app: App) -> Decision | None:
    """The decision to train the first version, or None when the model has nothing to do with the batch, or is an
    ensemble whose members are still to come: `reconcile` asks again."""
    known = defined(model, app)
    if known is None or known[1].dataset != validation.dataset:
        return None
    stored = app.find(Decision, keys.decision(model, decide.FIRST))
    if stored is None:
        head, definition = known
        try:
            plan = planned(head, definition, app)
        except Rejected as error:
            if error.code == NO_MEMBER:
                return None
            raise
        made_from = (validation.link(event.key),)
        stored = decided(model, decide.FIRST, decide.first(definition), plan, made_from=made_from, at=event.at, app=app)
    return carried_out(stored, event.at, app)


def drifted(event: ObjectCreated, app: App) -> Decision | None:
    """The one decision about a drift report, or None when the report or the model is gone."""
    report = app.find(DriftReport, event.key)
    known = defined(report.model, app) if report else None
    if report is None or known is None:
        return None
    stored = app.find(Decision, keys.decision(report.model, event.key))
    if stored is not None:
        return stored
    head, definition = known
    verdict = decide.drifted(report, definition, windows_trained(report, definition, app))
    plan = planned(head, definition, app) if verdict.train else None
    if plan and app.find(Run, keys.run(report.model, plan.run)):
        why = f"{verdict.why}; but run {plan.run} has trained on all there is: wait for the next accepted batch"
        verdict, plan = Verdict(train=False, why=why), None
    return decided(report.model, event.key, verdict, plan, made_from=(report.link(event.key),), at=event.at, app=app)


def asked(request: HttpRequest, app: App) -> HttpResponse:
    """A training because a person wants it: from what is there now."""
    model = request.path.removeprefix("/train").strip("/")
    if request.method != "POST":
        return refusal(405, "method_not_allowed", "training is asked for with POST")
    try:
        why = reason(request.body)
        known = defined(keys.named(model, "model"), app)
        if known is None:
            return refusal(404, "no_model", f"{model}: no such model; publish a definition of it first")
        head, definition = known
        plan = planned(head, definition, app)
        if plan is None:
            way_out = (
                f"no accepted batch of {definition.dataset} to train on; put a file into landing/{definition.dataset}/"
            )
            return refusal(409, "no_batch", f"{model}: {way_out}")
        cause = f"asked {plan.run}"
        decision = decided(model, cause, Verdict(train=True, why=why), plan, made_from=(), at=request.at, app=app)
        done = app.find(Result, keys.result(keys.run(model, plan.run)))
        carried_out(decision, request.at, app)
    except SamaraError as error:
        return refused(error)
    answer = {"model": model, "run": plan.run, "decision": keys.decision(model, cause)}
    return json_response(200 if done else 202, {**answer, "status": done.status if done else "submitted"})


def reason(body: bytes) -> str:
    """What the person said: `{"why": "…"}`, or nothing."""
    try:
        said = json.loads(body) if body.strip() else {}
    except (ValueError, RecursionError):
        raise Rejected("body", 'not JSON; send {"why": "…"} or nothing', code="bad_body") from None
    why = said.get("why", "a person asked for it") if isinstance(said, dict) else None
    if not isinstance(why, str) or len(why) > LONGEST_WHY or set(said) - {"why"}:
        what = f'holds something else than {{"why": "…"}} with at most {LONGEST_WHY} characters'
        raise Rejected("body", what, code="bad_body")
    return why.encode(errors="replace").decode()  # a lone surrogate has no UTF-8


def defined(model: str, app: App) -> tuple[ModelHead, Definition] | None:
    """What the model is trained by now, or None when there is no such model."""
    key = keys.model_head(model)
    head = app.find_head(ModelHead, key)
    if head is None:
        return None
    definition = parse(app.blob(head.definition), key)
    if definition.model != model:
        raise Rejected(key, f"names the definition of {definition.model!r}; publish the project again", code="bad_head")
    return head, definition


def planned(head: ModelHead, definition: Definition, app: App) -> Plan | None:
    """What a training would depend on by now, or None when there is no accepted batch."""
    names = definition.ensemble.members if definition.ensemble else ()
    members = tuple(member(name, app) for name in names)
    return pinned(head, definition, accepted(definition.dataset, app), members)


def member(name: str, app: App) -> Link:
    """The version that `model@alias` or `model@version` stands for by now."""
    model, _, which = name.partition("@")
    aliases = app.find_head(Aliases, keys.aliases(model)) or Aliases()
    number = int(which) if which.isdecimal() else getattr(aliases, which)
    key = keys.version(model, number or 0)
    version = app.find(ModelVersion, key) if number else None
    if version is None:
        raise Rejected(name, f"there is no such version; train {model} first, or name another", code=NO_MEMBER)
    if not version.sound:
        raise Rejected(name, f"v{number} did not pass the gates that every version must; name another", code="unsound")
    return version.link(key)


def accepted(dataset: str, app: App) -> Iterable[Accepted]:
    for key, validation in batches.accepted(dataset, app):
        yield Accepted(key, validation, batches.arrived(validation, key, app))


def windows_trained(report: DriftReport, definition: Definition, app: App) -> Iterable[Window]:
    """The windows, from where this one's cool-down begins, whose drift has led to training."""
    before = decide.earliest(Window(report.window), definition.drift.cooldown).previous
    prefix = keys.decision(report.model, keys.drift(report.model, before)).removesuffix(f"{before.name}.json")
    for key in app.store.list(prefix, after=f"{prefix}{before.name}.json"):
        decision = app.read(Decision, key)
        if decision.plan:
            yield Window(keys.stem(decision.cause))


def decided(
    model: str, cause: str, verdict: Verdict, plan: Plan | None, *, made_from: tuple[Link, ...], at: datetime, app: App
) -> Decision:
    """The decision about this cause: ours, or the one that was there first."""
    why = verdict.why if plan or not verdict.train else f"{verdict.why}; but there is no accepted batch to train on"
    decision = Decision(
        made_by=app.maker,
        made_from=made_from,
        model=model,
        cause=cause,
        why=why,
        plan=plan,
        noted={"at": at.isoformat()},
    )
    return app.write(keys.decision(model, cause), decision)


def carried_out(decision: Decision, at: datetime, app: App) -> Decision:
    """See to it that what was decided is under way: its run recorded, its job submitted, unless it has a result."""
    if decision.plan is None:
        return decision
    model, plan = decision.model, decision.plan
    key = keys.run(model, plan.run)
    planned = Run(
        made_by=app.maker,
        made_from=(decision.link(keys.decision(model, decision.cause)), *plan.validations, *plan.members),
        model=model,
        run=plan.run,
        cause=decision.cause,
        plan=plan,
        noted={"at": at.isoformat()},
    )
    planned = app.write(key, planned)
    if app.find(Result, keys.result(key)) is None:
        wanted = job(model, plan, parse(app.blob(plan.definition), key))
        claim = Submission(
            made_by=app.maker,
            made_from=(planned.link(key),),
            model=model,
            run=plan.run,
            noted={"handle": wanted.name, "at": at.isoformat()},
        )
        app.write(keys.submission(key), claim)  # before the job, for a job nobody claimed could end unseen
        app.jobs.submit(wanted)
    return decision


handler = on_created_or_http(run)
