"""Is this machine fit to run Samara, and is this project in order? Every check says the way out."""

import importlib.util
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from samara import app, catalogue, conformance, project
from samara.core import keys, records
from samara.core.aliases import Aliases
from samara.core.heads import ContractHead, Head, ModelHead
from samara.errors import Misconfigured, NotFound, SamaraError
from samara.ports import ObjectStore
from samara.settings import Settings

PACKAGES = ("pyarrow", "numpy", "onnx", "onnxruntime", "sklearn", "skl2onnx", "httptools", "jinja2")
HEADS: dict[str, type[Head]] = {
    keys.ALIASES: Aliases,
    f"{keys.CONFIG}contracts/": ContractHead,
    f"{keys.CONFIG}models/": ModelHead,
}


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
    yield checked("records", lambda: readable(whole))
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


def readable(whole: app.App) -> str:
    """Reads every record that is not a capture; a broken one is named."""
    count = 0
    for topic in (keys.DATASETS, keys.VALIDATIONS, keys.DECISIONS, keys.RUNS, keys.RESULTS, keys.MODELS, keys.DRIFT):
        for key in whole.store.list(topic):
            try:
                records.read_any(whole.store.get(key).data, key)
            except NotFound:
                continue
            count += 1
    return f"{count} records, every digest as it should be"


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
        found = [records.Alert.read(whole.store.get(key).data, key) for key in whole.store.list(keys.ALERTS)]
    except SamaraError as error:
        return Finding("alerts", False, str(error))
    if not found:
        return Finding("alerts", True, "none")
    last = found[-1]
    return Finding("alerts", False, f"{len(found)}; for example {last.subject}: {last.what}: {last.why}")
