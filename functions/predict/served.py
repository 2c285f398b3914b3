"""What stands behind a model's answers: who is live, which version that is, its loaded graph. Part of the handler."""

import json
import os
from datetime import datetime, timedelta
from threading import Lock
from typing import Any

from functions.predict.policy import Policy
from functions.predict.protocol import Fit
from functions.predict.routing import Standing
from functions.predict.warm import Kept
from functions.predict.work import Live, Version
from samara import engines
from samara.app import App
from samara.core import keys, sealed
from samara.core.sheet import Sheet
from samara.core.tensors import Spec
from samara.engines import Session
from samara.entry import log
from samara.errors import NotAtOnce, NotFound, Rejected
from samara.ports import ObjectStore

STALE_POLICY = timedelta(seconds=10)  # a policy is published by hand; an alias also moves when something is on fire


def half_of_memory() -> float:
    """Bytes that models may hold: half of what this machine has, which on the clouds is what the function was given."""
    try:
        pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # there is no such word on Windows
        return 1 << 30
    return pages * size / 2


SESSIONS: Kept[tuple[str, tuple[int, float] | None], Session] = Kept(half_of_memory(), lambda session: session.size)
VERSIONS: Kept[tuple[ObjectStore, str], Version] = Kept(256)
LIVE: Kept[tuple[ObjectStore, str], Live] = Kept(256)
LOOKING, LOOKED_FOR = Lock(), set[tuple[ObjectStore, str]]()


def live(model: str, at: datetime, app: App) -> Live:
    """Who answers for `model`, at most as old as its policy allows. A clock that stands still keeps nothing.

    When somebody else is champion now, they are loaded before anybody is sent to them: until then, requests that
    come meanwhile go on to be answered by who was live.
    """
    place = (app.store, model)
    kept = LIVE.peek(place)
    if kept is None:
        not_now(app)
        return LIVE.put(place, looked_up(model, None, at, app))
    if kept.at < at <= kept.until or place in LOOKED_FOR:
        return kept
    not_now(app)
    with LOOKING:
        others = place in LOOKED_FOR
        LOOKED_FOR.add(place)
    if others:
        return kept
    try:
        return LIVE.put(place, looked_up(model, kept, at, app))
    finally:
        LOOKED_FOR.discard(place)


def not_now(app: App) -> None:
    """Before what asks the store or loads a model: a store that stumbles must not hold up those who need nothing."""
    if app.hasty:
        raise NotAtOnce


def looked_up(model: str, kept: Live | None, at: datetime, app: App) -> Live:
    standing = standing_of(model, app)
    if kept and kept.at < at <= kept.policy_until:
        policy, policy_until = kept.policy, kept.policy_until
    else:
        policy, policy_until = policy_of(model, app), at + STALE_POLICY
    found = Live(standing, policy, at, at + timedelta(seconds=policy.stale_s), policy_until, {}, {}, {})
    if kept and standing.move != kept.standing.move:
        warmed(model, found, app)
    return found


def standing_of(model: str, app: App) -> Standing:
    key = keys.aliases(model)
    try:
        return Standing.read(app.store.get(key).data, key)
    except NotFound:
        pass
    try:
        app.store.head(keys.model_head(model))
    except NotFound as error:
        raise Rejected(model, "no such model; /v2/models lists what there is", code="unknown_model") from error
    raise Rejected(model, "has no version yet; train one first", code="no_model")


def policy_of(model: str, app: App) -> Policy:
    """What the model's definition says about serving; the usual where it says nothing."""
    try:
        head = json.loads(app.store.get(keys.model_head(model)).data)
        name = head.get("serving")
        return Policy.read(app.blob(name)) if name else Policy()
    except NotFound:
        return Policy()
    except (ValueError, TypeError, AttributeError) as error:
        raise Rejected(keys.model_head(model), "not a model head; publish the model again", code="bad_head") from error


def warmed(model: str, found: Live, app: App) -> None:
    """Load whom requests will be sent to. What cannot be loaded is said to whom it should have answered."""
    wanted = {number for number, _ in found.standing.weights} | {found.standing.champion}
    for number in wanted - {None}:
        try:
            session(version(model, number or 0, app), found.policy, app)
        except Rejected as error:
            log.error(json.dumps({"model": model, "version": number, "failed": str(error)[:1000]}))


def version(model: str, number: int, app: App) -> Version:
    key = keys.version(model, number)
    if VERSIONS.peek((app.store, key)) is None:
        not_now(app)
    try:
        return VERSIONS.get((app.store, key), lambda: read(key, app))
    except NotFound as error:
        raise Rejected(f"{model} version {number}", "there is none", code="unknown_version") from error


def masked(version: Version, policy: Policy) -> Version:
    """A version as it answers now: what is personal by now is, whatever it was when the version was trained."""
    sheet = version.sheet
    if sheet is None or not policy.personal:
        return version
    columns = [one._replace(personal=one.personal or one.name in policy.personal) for one in sheet.columns]
    return version._replace(sheet=sheet._replace(columns=tuple(columns)))


def read(key: str, app: App) -> Version:
    """The record at `key`, its digest verified, and what it says of its columns."""
    said, digest = sealed.intact(app.store.get(key).data, key, "ModelVersion")
    try:
        if keys.version(said["model"], said["version"]) != key:
            why = f"holds version {said['version']} of {said['model']}; restore it from the bucket's object versions"
            raise Rejected(key, why, code="bad_record")
        failed = [gate for gate in said["gates"] if gate["name"] in sealed.MUST_PASS and not gate["passed"]]
        sheet = Sheet.read(app.blob(said["sheet"])) if "sheet" in said else None
        takes, gives = specs(said["signature"]["inputs"]), specs(said["signature"]["outputs"])
        return Version(
            model=said["model"],
            number=said["version"],
            link=(key, digest),
            artifact=said["artifact"],
            inputs=takes,
            outputs=gives,
            names=tuple(spec.name for spec in gives),
            sheet=sheet,
            unsound="; ".join(f"{gate['name']}: {gate['why']}" for gate in failed),
            fit=Fit(takes, gives),
            rowwise=sheet is not None and sheet.rowwise and all(spec.shape[:1] == (-1,) for spec in takes + gives),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Rejected(key, f"not a ModelVersion: {error!r}", code="bad_record") from error


def specs(tensors: list[dict[str, Any]]) -> tuple[Spec, ...]:
    return tuple(Spec(one["name"], one["datatype"], tuple(one["shape"])) for one in tensors)


def session(asked: Version, policy: Policy, app: App) -> Session:
    """The loaded graph of a version, by the digest of its bytes and what it may take: equal models are loaded once."""
    if asked.unsound:
        why = f"version {asked.number} must not be served, having failed a gate that each must pass; promote another"
        raise Rejected(asked.model, why, code="model_unavailable")
    try:
        key = asked.artifact, (policy.memory_mb, policy.limit_s) if policy.contained else None
        if SESSIONS.peek(key) is None:
            not_now(app)
        return SESSIONS.get(key, lambda: loaded(asked, policy, app))
    except (NotFound, Rejected) as error:
        log.error(json.dumps({"model": asked.model, "version": asked.number, "failed": str(error)[:1000]}))
        why = f"version {asked.number} cannot be loaded; promote another one"
        raise Rejected(asked.model, why, code="model_unavailable") from error


def loaded(asked: Version, policy: Policy, app: App) -> Session:
    data = app.blob(asked.artifact)
    if policy.contained:
        from samara.contained import Contained  # noqa: PLC0415  # it brings subprocess, which few need

        return Contained(data, memory_mb=policy.memory_mb, limit_s=policy.limit_s)
    return engines.load(data, digest=asked.artifact)
