"""Writing down what was asked and answered, before anybody is told. A part of the handler."""

import json
import os
from collections.abc import Sequence
from datetime import timedelta

from functions.predict import receipt, served, work
from functions.predict.spelled import spelled
from functions.predict.work import Work
from samara.app import App
from samara.core import sealed
from samara.core.keys import Prediction
from samara.entry import log, refused_with
from samara.errors import Conflict, NotFound, Rejected, SamaraError

RETRY = timedelta(minutes=10)  # how late a client may repeat a request in the next hour and meet its first answer
MOST = 9_999  # captures in one object
DRAWN = 64  # names at a time: a system call for each would take longer than all else that makes one
NAMES: list[str] = []  # drawn, and nobody's yet
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=NAMES.clear)  # or parent and child would give the same


def unique() -> str:
    """A name that no other request has: 64 bits of chance."""
    while True:
        try:
            return NAMES.pop()
        except IndexError:
            drawn = os.urandom(8 * DRAWN).hex()
            NAMES.extend([drawn[start : start + 16] for start in range(0, len(drawn), 16)])


def captured(works: Sequence[Work], app: App) -> None:
    """Write down these, those under a client's id alone, the others of a model together.

    What cannot be written is not answered. A refusal never takes the place of the answer to the same id.
    """
    by_model: dict[str, list[Work]] = {}
    for one in works:
        if not one.policy.captures(one.prediction.id):
            continue
        if one.id and not one.error:
            keep_named(one, app)
        elif not (one.id and met(one, app)):
            by_model.setdefault(one.model, []).append(one)
    for many in by_model.values():
        for start in range(0, len(many), MOST):
            keep(many[start : start + MOST], app)


def keep(works: Sequence[Work], app: App) -> None:
    """One object for all of these, a line each; a record as any other for one."""
    hour, name = works[0].prediction.hour, unique()
    places = [Prediction(works[0].model, hour, name)]
    if len(works) > 1:
        places = Prediction.among(works[0].model, hour, name, len(works))
    for one, place in zip(works, places, strict=True):
        one.prediction = place
    try:
        put(places[0].capture.partition("#")[0], b"\n".join([sealed_capture(one, app) for one in works]), app)
    except SamaraError as error:
        for one in works:
            if one.error:
                lost(one.model, one.error, error)
            one.capture, one.error = "", one.error or error


def lost(model: str, refusal: SamaraError, error: SamaraError) -> None:
    """A refusal is told even where it cannot be written down. Then the log is all that has it."""
    status, code = refused_with(refusal)
    log.error(json.dumps({"model": model, "status": status, "code": code, "not captured": str(error)[:1000]}))


def put(key: str, data: bytes, app: App) -> None:
    """Write under a name that nobody else has: what is there already is ours, written before its answer got lost."""
    try:
        app.store.create(key, data)
    except Conflict:
        if app.store.get(key).data != data:
            raise


def sealed_capture(one: Work, app: App) -> bytes:
    said = work.body(one, app.maker, *(refused_with(one.error) if one.error else (200, "")))
    data, one.capture = sealed.seal(said, spelled)
    return data


def keep_named(one: Work, app: App) -> None:
    """Write the capture of a request that may have come before; if so, its first answer is the answer."""
    try:
        earlier = before(one, app)
        if earlier is None:
            app.store.create(one.prediction.capture, sealed_capture(one, app))
        else:
            repeat(one, earlier, app)
    except Conflict:
        again(one, app)
    except SamaraError as error:
        one.capture, one.error = "", error


def again(one: Work, app: App) -> None:
    try:
        repeat(one, app.said(one.prediction.capture), app)
    except SamaraError as error:
        one.error = error


def met(one: Work, app: App) -> bool:
    """Whether what would be refused now has been answered before; if so, its first answer is the answer."""
    try:
        repeat(one, before(one, app) or app.said(one.prediction.capture), app)
    except NotFound:
        return False
    except SamaraError as error:
        one.error = error
    return True


def before(one: Work, app: App) -> bytes | None:
    """The capture of the same request in the hour before, if that hour has only just ended."""
    hour = (one.event.at - RETRY).isoformat()[:13]
    if hour == one.prediction.hour:
        return None
    earlier = Prediction(one.model, hour, one.prediction.unique)
    try:
        said = app.said(earlier.capture)
    except NotFound:
        return None
    one.prediction = earlier
    return said


def repeat(one: Work, earlier: bytes, app: App) -> None:
    """Answer as it was answered the first time, by whichever version that was, which takes it as it did then."""
    said, one.capture = sealed.intact(earlier, one.prediction.capture, "Capture")
    if said["prediction"] != one.prediction.id:
        why = f"holds another prediction, {said['prediction']}; restore it from the bucket's object versions"
        raise Rejected(one.prediction.capture, why, code="altered")
    version = served.version(said["model"], said["version"], app)
    work.fit(one, version)
    one.error = None
    one.move, one.seconds = said["noted"].get("move"), said["noted"]["seconds"]
    one.outputs = {
        spec.name: receipt.value(spec.datatype, said["shapes"][spec.name], said["outputs"][spec.name], spec.name)
        for spec in version.outputs
    }
    work.judge(one)
