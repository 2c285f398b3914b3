"""Which alerts still hold. An alert is written once and stays; what it tells of may long be mended.

Where the bucket shows that, the alert is over and nobody shows it any more: a dataset has another contract, or a model
a version that was registered later. Any other holds until a person has mended what it tells of and removes its object.
"""

import re
from collections.abc import Mapping
from functools import cache, partial

from samara.app import App
from samara.core import keys
from samara.core.heads import ContractHead
from samara.core.records import Alert, ModelVersion, Record
from samara.errors import NotFound, Rejected

OF_A_CONTRACT = re.compile("has no data contract|contract head is broken|contract [0-9a-f]{12} cannot be used")
OF_A_RUN = ("run failed", "cannot be registered", "must not be served")
WAY_OUT = (
    "An alert ends by itself once its dataset has another contract, or its model a later version. Any other ends when "
    "you have mended what it tells of and removed its object from the bucket."
)


def holding(app: App, told: Mapping[str, Alert]) -> dict[str, Alert]:
    """Those of these alerts that still hold, newest first."""
    trouble, registered = cache(partial(contract_trouble, app)), cache(partial(last_registered, app))

    def holds(alert: Alert) -> bool:
        if OF_A_CONTRACT.fullmatch(alert.what):
            return alert.what == trouble(alert.subject)
        if alert.what in OF_A_RUN and alert.subject.startswith((keys.RESULTS, keys.MODELS)) and said_at(alert):
            return said_at(alert) >= registered(keys.owner(alert.subject))
        return True

    newest_first = sorted(told.items(), key=lambda item: said_at(item[1]), reverse=True)
    return {key: alert for key, alert in newest_first if holds(alert)}


def contract_trouble(app: App, dataset: str) -> str:
    """What would be said now of a dataset's contract, if it could not be used."""
    try:
        head = app.find_head(ContractHead, keys.contract_head(dataset))
    except Rejected:
        return "contract head is broken"
    return f"contract {head.contract[:12]} cannot be used" if head else "has no data contract"


def last_registered(app: App, model: str) -> str:
    """When the newest version of a model was registered; nothing when there is none, or it cannot be read."""
    newest = max(keys.versions(model, app.store.list(f"{keys.MODELS}{model}/")), default="")
    try:
        return said_at(app.read(ModelVersion, newest)) if newest else ""
    except (Rejected, NotFound):
        return ""


def said_at(record: Record) -> str:
    """When a record says it was made: in UTC, so that such texts sort as time does."""
    return str(record.noted.get("at", ""))


def when(record: Record) -> str:
    """The minute in which a record was made, as people write it."""
    return f"{said_at(record)[:16].replace('T', ' ')} UTC" if said_at(record) else "–"
