"""Train: decide whether a cause leads to training, pin what it depends on, and hand it to the batch service.

Wakes on  validations/{dataset}/{batch}.json, drift/{model}/{window}.json, POST /train/{model},
          and decisions/{model}/… when `reconcile` finds one that was not carried out
Reads     config/models/…, the definitions they name, the dataset's batches and validations, and for an ensemble
          the aliases, versions and runs of its members
Writes    decisions/{model}/{cause}.json: one for each cause, with the plan pinned inside or the reason why not
     then runs/{model}/{run}.json
     then jobs/{model}/{run}/submission.json, once the job is submitted, whose result wakes `register`

Delivered twice, it finds its first decision and carries out that one; the same plan is the same run and job. One that
failed stays so until somebody asks for it `again`, or drift does where the job died without a word.
Windows that are reported at once are decided as if they had come in their order, whoever is woken first.
"""

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
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
from samara.errors import NotFound, Rejected, SamaraError
from samara.events import HttpRequest, HttpResponse, ObjectCreated

LONGEST_WHY = 500
FIELDS = {"why": str, "again": bool}
NO_MEMBER = "no_member"


def run(event: ObjectCreated | HttpRequest, app: App) -> list[Decision] | HttpResponse:
    if isinstance(event, HttpRequest):
        return asked(event, app)
    if event.key.startswith(keys.VALIDATIONS):
        return validated(event, app)
    if event.key.startswith(keys.DRIFT):
        return [carried_out(decision, event.at, app) for decision in drifted(event, app)]
    decision = app.find(Decision, event.key) if event.key.startswith(keys.DECISIONS) else None
    return [carried_out(decision, event.at, app)] if decision else []


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


def drifted(event: ObjectCreated, app: App) -> Iterator[Decision]:
    """The one decision about a drift report, or none when the report or the model is gone.

    Before it come those about earlier reports that still wait for theirs: two that are decided at once would not
    know of each other. Each is made when the one before it is carried out.
    """
    report = app.find(DriftReport, event.key)
    known = defined(report.model, app) if report else None
    if report is None or known is None:
        return
    stored = app.find(Decision, keys.decision(report.model, event.key))
    if stored is not None:
        yield stored
        return
    for key in waiting(report, known[1], app):
        with suppress(NotFound, Rejected):  # its own event tells why, and it stops no later one
            yield judged(key, app.read(DriftReport, key), known, event.at, app)
    yield judged(event.key, report, known, event.at, app)


def judged(key: str, report: DriftReport, known: tuple[ModelHead, Definition], at: datetime, app: App) -> Decision:
    """The decision about the drift report at this key."""
    head, definition = known
    verdict = decide.drifted(report, definition, windows_trained(report, definition, app))
    plan = planned(head, definition, app) if verdict.train else None
    made_from: tuple[Link, ...] = (report.link(key),)
    if plan and app.find(Run, keys.run(report.model, plan.run)):
        last, result = last_try(report.model, plan, app)
        verdict = decide.tried(verdict, last.run, result)
        plan = last.once_more if verdict.train else None
        made_from += came_to(result)
    return decided(report.model, key, verdict, plan, made_from=made_from, at=at, app=app)


def last_try(model: str, plan: Plan, app: App) -> tuple[Plan, Result | None]:
    """The plan of the newest try, and what that came to, if it has ended.

    Another one follows from its failure, so that two who want another try at once want the same one.
    """
    while True:
        result = app.find(Result, keys.result(keys.run(model, plan.run)))
        if result is None or result.status == "succeeded":
            return plan, result
        if app.find(Run, keys.run(model, plan.once_more.run)) is None:
            return plan, result
        plan = plan.once_more


def came_to(result: Result | None) -> tuple[Link, ...]:
    """The link to a result, for a decision that is made from it too; none when there is none yet."""
    return (result.link(keys.result(keys.run(result.model, result.run))),) if result else ()


def waiting(report: DriftReport, definition: Definition, app: App) -> list[str]:
    """The keys of the reports, oldest first, that nobody has decided about and whose training could keep this one
    from starting another, or one of themselves."""
    found, window = list[str](), Window(report.window)
    if not decide.drifted(report, definition, trained=()).train:
        return found
    while earlier := undecided(report.model, decide.cooling(window, definition.drift.cooldown), app):
        found, window = earlier + found, Window(keys.stem(earlier[0]))
    return found


def undecided(model: str, windows: list[Window], app: App) -> list[str]:
    """The keys of the reports about these windows that nobody has decided about."""
    if not windows:
        return []
    before = windows[0].previous
    decisions = set(decisions_after(before, model, app))
    reports = set(app.store.list(f"{keys.DRIFT}{model}/", after=keys.drift(model, before)))
    expected = [keys.drift(model, window) for window in windows]
    return [key for key in expected if key in reports and keys.decision(model, key) not in decisions]


def asked(request: HttpRequest, app: App) -> HttpResponse:
    """A training because a person wants it: from what is there now."""
    model = request.path.removeprefix("/train").strip("/")
    if request.method != "POST":
        return refusal(405, "method_not_allowed", "training is asked for with POST")
    try:
        why, again = wish(request.body)
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
        said = submitted(model, plan, why, request.at, app, again=again)
    except SamaraError as error:
        return refused(error)
    return json_response(202 if said["status"] == "submitted" else 200, said)


def submitted(model: str, plan: Plan, why: str, at: datetime, app: App, *, again: bool) -> dict[str, str]:
    """Where the newest try of a plan stands; or `again`, if that one failed, one after it."""
    plan, result = last_try(model, plan, app)
    failure = came_to(result) if result and result.status == "failed" and again else ()
    if failure:
        plan, result = plan.once_more, None
    cause = f"asked {plan.run}"
    decision = decided(model, cause, Verdict(train=True, why=why), plan, made_from=failure, at=at, app=app)
    carried_out(decision, at, app)
    said = {"model": model, "run": plan.run, "decision": keys.decision(model, cause)}
    said |= {"status": result.status if result else "submitted"}
    return said | ({"why": f"{result.why}; {decide.WAYS_ON}"} if result and result.status == "failed" else {})


def wish(body: bytes) -> tuple[str, bool]:
    """What the person said, `{"why": "…", "again": true}`, each of which may be left out: why they ask, and whether a
    failure is to be repeated."""
    try:
        said = json.loads(body) if body.strip() else {}
    except (ValueError, RecursionError):
        raise Rejected("body", 'not JSON; send {"why": "…"} or nothing', code="bad_body") from None
    known = isinstance(said, dict) and all(type(one) is FIELDS.get(name) for name, one in said.items())
    if not known or len(said.get("why", "")) > LONGEST_WHY:
        what = f'holds something else than {{"why": "…"}} with at most {LONGEST_WHY} characters, and "again": true'
        raise Rejected("body", f"{what} to have tried once more what failed", code="bad_body")
    why = said.get("why", "a person asked for it")
    return why.encode(errors="replace").decode(), said.get("again", False)  # a lone surrogate has no UTF-8


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
    members = tuple(member(name, definition.model, app) for name in names)
    return pinned(head, definition, accepted(definition.dataset, app), members)


def member(name: str, ensemble: str, app: App) -> Link:
    """The version that `model@alias` or `model@version` stands for by now, which must not be made of the ensemble."""
    model, _, which = name.partition("@")
    aliases = app.find_head(Aliases, keys.aliases(model)) or Aliases()
    number = int(which) if which.isdecimal() else getattr(aliases, which)
    key = keys.version(model, number or 0)
    version = app.find(ModelVersion, key) if number else None
    if version is None:
        raise Rejected(name, f"there is no such version; train {model} first, or name another", code=NO_MEMBER)
    if not version.sound:
        raise Rejected(name, f"v{number} did not pass the gates that every version must; name another", code="unsound")
    if ensemble in map(keys.owner, made_of(version, app)):
        why = f"is itself made of {ensemble}, so both would grow with each training; name another"
        raise Rejected(name, why, code="made_of_itself")
    return version.link(key)


def made_of(version: ModelVersion, app: App) -> set[str]:
    """The keys of the versions that an ensemble is made of, and of those that these are made of; else none."""
    found, left = set[str](), [version]
    while left:
        one = left.pop()
        plan = app.read(Run, keys.run(one.model, one.run)).plan
        new = {link.key for link in plan.members} - found
        found |= new
        left += [app.read(ModelVersion, key) for key in sorted(new)]
    return found


def accepted(dataset: str, app: App) -> Iterable[Accepted]:
    for key, validation in batches.accepted(dataset, app):
        yield Accepted(key, validation, batches.arrived(validation, key, app))


def windows_trained(report: DriftReport, definition: Definition, app: App) -> Iterator[Window]:
    """The windows, from where this one's cool-down begins, whose drift has led to training."""
    before = decide.earliest(Window(report.window), definition.drift.cooldown).previous
    for key in decisions_after(before, report.model, app):
        decision = app.read(Decision, key)
        if decision.plan:
            yield Window(keys.stem(decision.cause))


def decisions_after(window: Window, model: str, app: App) -> Iterator[str]:
    """The keys of the decisions about later windows than this one."""
    key = keys.decision(model, keys.drift(model, window))
    return app.store.list(key.removesuffix(f"{window.name}.json"), after=key)


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
            noted={"handle": wanted.name, "at": at.isoformat(), "time_limit_s": wanted.time_limit_s},
        )
        app.write(keys.submission(key), claim)  # before the job, for a job nobody claimed could end unseen
        app.jobs.submit(wanted)
    return decision


handler = on_created_or_http(run)
