"""Is this machine fit to run Samara, and is this project in order? Every check says the way out."""

import importlib.util
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from samara import app, captures, catalogue, conformance, project
from samara.alerts import WAY_OUT, holding, when
from samara.core import keys, records
from samara.core.aliases import Aliases
from samara.core.heads import ContractHead, Head, ModelHead
from samara.errors import Misconfigured, NotFound, Rejected, SamaraError
from samara.ports import ObjectStore
from samara.settings import Settings

PACKAGES = ("pyarrow", "numpy", "onnx", "onnxruntime", "sklearn", "skl2onnx", "httptools", "jinja2")
HEADS: dict[str, type[Head]] = {
    keys.ALIASES: Aliases,
    f"{keys.CONFIG}contracts/": ContractHead,
    f"{keys.CONFIG}models/": ModelHead,
}
RECORDS = (  # those that may be many come last
    keys.RECEIPTS, keys.DATASETS, keys.QUARANTINE, keys.VALIDATIONS, keys.DECISIONS, keys.RUNS, keys.JOBS, keys.RESULTS,
    keys.MODELS, keys.DRIFT, keys.SCORINGS, keys.SCORES, keys.ALERTS, keys.SHADOWS, keys.FEEDBACK,
)  # fmt: skip
PATIENCE_S = 30.0  # to look at records, at captures, and at payloads: a few ten thousand, or some ten GB


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: what was looked at, whether it is in order, and what was found or is to be done."""

    subject: str
    fine: bool
    says: str


def run(settings: Settings) -> Iterator[Finding]:
    """Every check, as it is made."""
    yield python()
    yield packages()
    yield checked("catalogue", lambda: f"{len(catalogue.load(settings.catalogue))} functions, no circle")
    if not settings.bucket.is_dir():
        yield Finding("project", False, f"none at {settings.home}; make one with `samara init`")
        return
    whole = app.build(settings)
    yield checked("store", lambda: promises(whole.store))
    yield checked("project", lambda: published(settings))
    yield checked("records", lambda: looked_at(RECORDS, lambda key: record(whole, key), whole))
    yield checked("captures", lambda: looked_at([keys.CAPTURES], lambda key: capture(whole, key), whole))
    yield checked("payloads", lambda: looked_at([keys.BLOBS], lambda key: payload(whole, key), whole))
    yield checked("heads", lambda: standing(whole))
    yield alerts(whole)


def checked(subject: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(subject, True, check())
    except (SamaraError, OSError) as error:
        return Finding(subject, False, str(error))


def python() -> Finding:
    version = ".".join(str(part) for part in sys.version_info[:3])
    fine = sys.version_info >= (3, 11)
    return Finding("python", fine, f"{version}, {os.cpu_count()} cores" if fine else f"{version}; use 3.11 or newer")


def packages() -> Finding:
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        return Finding("packages", False, f"missing {', '.join(missing)}; install samara[local]")
    return Finding("packages", True, f"{len(PACKAGES)} of {len(PACKAGES)} there")


def promises(store: ObjectStore) -> str:
    """Whether the store keeps what the functions rely on, tried at keys of its own."""
    probe = conformance.Probe(store)
    started = time.perf_counter()
    try:
        for promise in conformance.QUICK:
            promise.kept(probe)
    except conformance.Broken as error:
        raise Misconfigured("store", f"{error}; see `samara doctor --store ADDRESS`") from error
    finally:
        probe.cleaned()
    took = time.perf_counter() - started
    return f"creates once, swaps only over what was read; {took * 1000:.0f} ms for a dozen durable writes and looks"


def published(settings: Settings) -> str:
    found = project.read(settings.home.parent)
    if not found.definitions:
        return f"no model definition in {found.folder}"
    return f"{len(found.contracts)} contracts, {len(found.definitions)} models: {', '.join(found.definitions)}"


def looked_at(topics: Iterable[str], look: Callable[[str], int], whole: app.App) -> str:
    """Looks at what is stored there, as far as time allows, and says how much that was. What is broken is named."""
    until, count = time.monotonic() + PATIENCE_S, 0
    for key in (key for topic in topics for key in whole.store.list(topic)):
        if time.monotonic() > until:
            more = "there are more; `samara why` looks at all that one of them comes from"
            return f"{count:,} looked at, every digest as it should be; {more}"
        with suppress(NotFound):  # gone meanwhile
            count += look(key)
    return f"{count:,} looked at, every digest as it should be"


def record(whole: app.App, key: str) -> int:
    records.read_any(whole.store.get(key).data, key)
    return 1


def capture(whole: app.App, key: str) -> int:
    """How many captures the object at `key` holds, one or several."""
    count = 0
    for named, found in captures.within(key, captures.found(whole, key)):
        if found is None:
            whole.store.head(key)  # `NotFound` when it is gone
            raise Rejected(named, "altered, cut off or misplaced; its answer can no longer be walked back")
        count += 1
    return count


def payload(whole: app.App, key: str) -> int:
    if whole.digest_of(key) != keys.stem(key):
        raise Rejected(key, "altered: its bytes do not have the digest they are named for")
    return 1


def standing(whole: app.App) -> str:
    """Reads what says which version is live, and which contract and definition hold; a broken one is named."""
    count = 0
    for topic, kind in HEADS.items():
        for key in whole.store.list(topic):
            whole.find_head(kind, key)
            count += 1
    return f"{count} of them, each as it should be"


def alerts(whole: app.App) -> Finding:
    try:
        told = {key: whole.read(records.Alert, key) for key in whole.store.list(keys.ALERTS)}
    except SamaraError as error:
        return Finding("alerts", False, str(error))
    found = list(holding(whole, told).values())
    if not found:
        return Finding("alerts", True, "none")
    newest = f"{when(found[0])}, {found[0].subject}: {found[0].what}: {found[0].why}"
    return Finding("alerts", False, f"{len(found)}; the newest of {newest}; `samara status` shows all. {WAY_OUT}")
