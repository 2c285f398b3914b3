"""Asking for a whole batch to be answered, and where that stands. Imported only when somebody does.

A request pins what the answers depend on and writes it under scorings/, which wakes `score`; so the same request,
however often it comes, is one scoring and one job. One that failed stays so until somebody asks for it `again`.
"""

import json
from datetime import datetime
from typing import Any

from functions.predict.protocol import Route
from samara import batches
from samara.app import App
from samara.core import keys
from samara.core.aliases import Aliases
from samara.core.records import ModelVersion, Scores, Scoring, ScoringPlan, Validation
from samara.errors import NotFound, Rejected
from samara.events import HttpRequest

FIELDS = {"dataset": str, "batch": str, "again": bool}


def answered(route: Route, event: HttpRequest, app: App) -> tuple[int, dict[str, Any]]:
    """The status and the answer to POST …/batch, or to GET …/batch/{scoring}."""
    if event.method == "POST":
        said = submitted(route.model, route.version, event.body, event.at, app)
        return 202 if said["status"] == "submitted" else 200, said
    return 200, state(route.model, event.path.rpartition("/")[2], app)


def submitted(model: str, version: str, body: bytes, at: datetime, app: App) -> dict[str, Any]:
    """The scoring that the request asks for, and where it stands.

    `version` is a number, an alias, or empty for the champion. Without a batch, the newest accepted one of the
    dataset is meant. `NotFound` where there is no such thing, `Rejected` when the request makes no sense.
    """
    dataset, batch, again = asked(body)
    record = version_of(keys.named(model, "model"), version, app)
    key, validation = validated(dataset, batch, app)
    plan = ScoringPlan(
        version=record.link(keys.version(model, record.version)),
        artifact=record.artifact,
        validation=validation.link(key),
        contract=validation.contract,
        parts=validation.parts,
    )
    plan = last_try(model, plan, app, again=again)
    scoring = Scoring(
        made_by=app.maker,
        made_from=(plan.version, plan.validation, *((plan.after,) if plan.after else ())),
        model=model,
        version=record.version,
        dataset=dataset,
        batch=keys.stem(key),
        scoring=plan.scoring,
        plan=plan,
        noted={"at": at.isoformat()},
    )
    return told(app.write(keys.scoring(model, plan.scoring), scoring), app)


def last_try(model: str, plan: ScoringPlan, app: App, *, again: bool) -> ScoringPlan:
    """The plan of the newest try, or `again` of one after it if that one failed.

    It follows from the failure, so that two who want another try at once want the same one.
    """
    while True:
        key = keys.scores(keys.scoring(model, plan.scoring))
        scores = app.find(Scores, key)
        if scores is None or scores.status == "succeeded":
            return plan
        another = plan.model_copy(update={"after": scores.link(key)})
        if not again and app.find(Scoring, keys.scoring(model, another.scoring)) is None:
            return plan
        plan = another


def state(model: str, scoring_id: str, app: App) -> dict[str, Any]:
    """Where a scoring stands, or `NotFound`."""
    scoring = app.find(Scoring, keys.scoring(keys.named(model, "model"), keys.named(scoring_id, "scoring")))
    if scoring is None:
        raise NotFound(f"{model} scoring {scoring_id}", "there is none; ask for one with POST")
    return told(scoring, app)


def told(scoring: Scoring, app: App) -> dict[str, Any]:
    """What a client is told: who answers what, and the blobs of the answers once they are there."""
    key = keys.scores(keys.scoring(scoring.model, scoring.scoring))
    scores = app.find(Scores, key)
    said: dict[str, Any] = {
        "scoring": scoring.scoring,
        "model": scoring.model,
        "version": scoring.version,
        "dataset": scoring.dataset,
        "batch": scoring.batch,
        "asked_rows": sum(part.rows for part in scoring.plan.parts),
        "status": scores.status if scores else "submitted",
        "scores": key,
    }
    if scores:
        parts = [{"key": keys.blob(part.digest), "rows": part.rows, "size": part.size} for part in scores.parts]
        said |= {"rows": scores.rows, "refused_rows": scores.refused_rows, "parts": parts}
        said |= {"why": f'{scores.why}; ask with "again": true to have it tried once more'} if scores.why else {}
    return said


def asked(body: bytes) -> tuple[str, str, bool]:
    """The dataset and the batch, which may be empty, that a request names, and whether a failure is to be repeated."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict) or any(type(one) is not FIELDS.get(name) for name, one in said.items()):
        why = (
            'send {"dataset": "…"} as JSON, "batch": "…" for another batch than the newest, and "again": true to have '
            "tried once more what failed"
        )
        raise Rejected("body", why, code="bad_body")
    if "dataset" not in said:
        raise Rejected("body", "has no dataset; name the one whose batch is to be answered", code="bad_body")
    batch = said.get("batch", "")
    dataset = keys.named(said["dataset"], "dataset")
    return dataset, keys.named(batch, "batch") if batch else "", said.get("again", False)


def version_of(model: str, wanted: str, app: App) -> ModelVersion:
    """The version that is to answer; one that may not be served may not answer a batch either."""
    if wanted.isascii() and wanted.isdigit():
        number = int(wanted[:10])
    else:
        head = app.find_head(Aliases, keys.aliases(model)) or Aliases()
        by_alias = {"champion": head.champion, "challenger": head.challenger, "shadow": head.shadow}
        found = by_alias.get(wanted or "champion")
        if found is None:
            raise NotFound(f"{model} {wanted or 'champion'}", "there is none yet; promote a version, or name one")
        number = found
    record = app.find(ModelVersion, keys.version(model, number))
    if record is None:
        raise NotFound(f"{model} v{number}", "no such version")
    if not record.sound:
        raise Rejected(f"{model} v{number}", "did not pass what each version must; choose another", code="unsound")
    return record


def validated(dataset: str, batch: str, app: App) -> tuple[str, Validation]:
    """The batch's validation and its key: of the one that is named, or of the newest accepted one."""
    if not batch:
        found = batches.newest(dataset, app)
        if found is None:
            raise NotFound(dataset, f"has no accepted batch; put a file into {keys.LANDING}{dataset}/")
        return found
    key = f"{keys.VALIDATIONS}{dataset}/{batch}.json"
    validation = app.find(Validation, key)
    if validation is None:
        raise NotFound(f"batch {batch} of {dataset}", "there is none")
    if validation.verdict != "accepted" or not validation.parts:
        raise Rejected(f"batch {batch} of {dataset}", "was refused by its contract; choose another", code="refused")
    return key, validation
