"""What was worked out once need not be worked out again: ten thousand seeds train the same few models.

Nothing here stands in for our code. What is pure is remembered by its argument. What is deterministic but for the
store is remembered as a tape: what it asked the store, and what it did upon being told so. Told the same again, it
would do the same, so its questions are put to the store again and its outcome is taken from the tape; told
anything new, it is run.
"""

import io
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import ExitStack, contextmanager
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, cast
from unittest.mock import patch

import pyarrow.parquet as pq

from functions.drift import handler as drift
from functions.ingest import handler as ingest
from functions.predict import served
from functions.reconcile import handler as reconcile
from functions.register import columns, inspect_model
from functions.register import handler as register
from functions.score import job as score_job
from functions.train import handler as train
from functions.train import job
from functions.validate import handler as validate
from samara import bundle, loading
from samara.app import App
from samara.core import definition, digests, heads, keys, odcs, records, windows
from samara.core.profile import Profile
from samara.core.windows import Window
from samara.errors import SamaraError
from samara.ports import Meta, Object, ObjectStore, Version
from tests.bench import in_process
from tests.simulation.world import Killed

MOST = 4096  # things remembered of one kind, the ones used last


class Remembered:
    """A pure function, by what `of` makes of its arguments. What it refuses it is asked again."""

    def __init__(self, function: Callable[..., Any], of: Callable[..., Hashable]) -> None:
        self.function = function
        self.of = of
        self.known: OrderedDict[Hashable, Any] = OrderedDict()

    def __call__(self, *given: Any, **named: Any) -> Any:
        key = self.of(*given, **named)
        found = self.known.get(key)
        if found is None:
            found = self.known[key] = self.function(*given, **named), given  # kept, so that an id names one thing
            if len(self.known) > MOST:
                self.known.popitem(last=False)
        else:
            self.known.move_to_end(key)
        return found[0]


@dataclass(slots=True, eq=False)
class Point:
    """Where a tape stands: what is asked next and what follows each answer; or, at an end, what came of it all."""

    asks: tuple[Any, ...] | None = None
    follows: dict[Hashable, "Point"] = field(default_factory=dict)
    end: Callable[..., Any] | None = None


def put(store: Any, asked: tuple[Any, ...]) -> tuple[Hashable, Any]:
    """An operation done, by name: its answer as a tape knows it, and the answer itself or the error to raise."""
    verb, key, *rest = asked
    try:
        if verb == "open":
            with store.open(key) as stream:
                data = stream.read()
            return data, data
        if verb == "create_from":
            return "done", store.create_from(key, io.BytesIO(rest[0]))
        answer = getattr(store, verb)(key, *rest)
    except SamaraError as error:
        return type(error).__name__, error
    if isinstance(answer, Object):
        return answer.data, answer
    if isinstance(answer, Meta):
        return (answer.version, answer.size), answer
    return "done", answer


class Recorder:
    """The store of a run that is put on tape. It begins with the answers that were given already."""

    def __init__(self, store: Any, point: Point, given: list[tuple[Hashable, Any]]) -> None:
        self.store = store
        self.point = point
        self.given = given[::-1]

    def head(self, key: str) -> Meta:
        return self._ask("head", key)  # type: ignore[no-any-return]  # as the store answers

    def get(self, key: str) -> Object:
        return self._ask("get", key)  # type: ignore[no-any-return]  # as the store answers

    def create(self, key: str, data: bytes) -> Version:
        return self._ask("create", key, data)  # type: ignore[no-any-return]  # as the store answers

    def open(self, key: str) -> BinaryIO:
        return io.BytesIO(self._ask("open", key))

    def create_from(self, key: str, source: BinaryIO) -> Version:
        return self._ask("create_from", key, source.read())  # type: ignore[no-any-return]  # as the store answers

    def _ask(self, *asked: Any) -> Any:
        self.point.asks = asked
        label, answer = self.given.pop() if self.given else put(self.store, asked)
        self.point = self.point.follows.setdefault(label, Point())
        if isinstance(answer, SamaraError):
            raise answer
        return answer


class Taped:
    """A function of some values and an `app`, deterministic but for what the app's store says.

    `of` names the values it depends on. `mends`, where the function changes an argument, carries the change over
    from the one the tape was made with.
    """

    def __init__(self, function: Callable[..., Any], of: Callable[..., Hashable], changes: str = "") -> None:
        self.function = function
        self.of = of
        self.changes = changes
        self.tapes: OrderedDict[Hashable, Point] = OrderedDict()

    def __call__(self, *given: Any) -> Any:
        app = next(value for value in given if isinstance(value, App))
        key = self.of(*given)
        start = self.tapes.get(key)
        if start is None:
            start = self.tapes[key] = Point()
            if len(self.tapes) > MOST:
                self.tapes.popitem(last=False)
        point, heard = start, list[tuple[Hashable, Any]]()
        while point.asks is not None:
            heard.append(put(app.store, point.asks))
            known = point.follows.get(heard[-1][0])
            if known is None:
                break
            point = known
        if point.end is not None:
            return point.end(*given)
        return self._run(start, heard, app, given)

    def _run(self, start: Point, heard: list[tuple[Hashable, Any]], app: App, given: tuple[Any, ...]) -> Any:
        recorder = Recorder(app.store, start, heard)
        watched = app._replace(store=cast("ObjectStore", recorder))
        try:
            value = self.function(*(watched if one is app else one for one in given))
        except Killed:
            raise
        except SamaraError as error:
            recorder.point.end = refusal(error)
            raise
        recorder.point.end = self._ending(value, given)
        return value

    def _ending(self, value: Any, given: tuple[Any, ...]) -> Callable[..., Any]:
        changed = [(place, vars(copy(one))) for place, one in enumerate(given) if type(one).__name__ == self.changes]

        def end(*others: Any) -> Any:
            for place, state in changed:
                vars(others[place]).update(state)
            return value

        return end


def refusal(error: SamaraError) -> Callable[..., Any]:
    """Raises the like of an error, without the frames that it came through."""
    kind, args, said = type(error), error.args, dict(vars(error))

    def end(*_: Any) -> Any:
        again = kind.__new__(kind, *args)
        vars(again).update(said)
        raise again

    return end


class Trained:
    """`in_process` training, remembered by the files it is given."""

    def __init__(self, fit: job.Fit) -> None:
        self.fit = fit
        self.known: OrderedDict[Hashable, tuple[job.Ended, dict[str, bytes]]] = OrderedDict()

    def __call__(self, work: Path, time_limit_s: float) -> job.Ended:
        key = tuple((path.name, path.read_bytes()) for path in sorted(work.rglob("*")) if path.is_file())
        if key not in self.known:
            ended = self.fit(work, time_limit_s)
            made = {
                name: (work / name).read_bytes() for name in ("outcome.json", "model.onnx") if (work / name).exists()
            }
            self.known[key] = ended, made
        ended, made = self.known[key]
        for name, data in made.items():
            (work / name).write_bytes(data)
        return ended


def bound(known: Remembered) -> Callable[..., Any]:
    """A plain function, as a class binds them."""

    def function(*given: Any) -> Any:
        return known(*given)

    return function


def quick_read(owner: type[Any]) -> "classmethod[Any, Any, Any]":
    original = vars(owner)["read"].__func__
    known = Remembered(original, lambda kind, data, _: (kind, data))
    return classmethod(bound(known))


def quick_parse(original: Callable[..., Any]) -> Remembered:
    return Remembered(original, lambda data, where: (data, where))


def identities(*given: Any) -> Hashable:
    return tuple(map(id, given))


class Parquet:
    """`pyarrow.parquet` for who reads whole payloads: by their digest, which is their file's name."""

    read_table = Remembered(pq.read_table, lambda path: path.name)


def quick_property(owner: type[Any], name: str, of: Callable[[Any], Hashable] = id) -> property:
    return property(Remembered(vars(owner)[name].fget, of))


PARSE, CONTRACT = quick_parse(definition.parse), quick_parse(odcs.parse)
TRAINED = Trained(in_process)
QUICK: tuple[tuple[Any, str, Any], ...] = (
    *((module, "parse", PARSE) for module in (drift, reconcile, register, train, job)),
    (validate, "parse", CONTRACT),
    (odcs, "parse", CONTRACT),
    (keys, "short", Remembered(digests.short, lambda *parts: parts)),
    (records.Plan, "run", quick_property(records.Plan, "run")),
    (records.ScoringPlan, "scoring", quick_property(records.ScoringPlan, "scoring")),
    (bundle, "pack", Remembered(bundle.pack, lambda folder: folder)),
    (keys, "sound", Remembered(keys.sound, lambda key: key)),
    *((Window, name, quick_property(Window, name, lambda window: window.name)) for name in ("start", "end")),
    (windows, "closed", Remembered(windows.closed, lambda at, *size: (windows.hour(at), *size))),
    (records.Record, "read", quick_read(records.Record)),
    (records.Record, "digest", quick_property(records.Record, "digest")),
    (heads.Head, "read", quick_read(heads.Head)),
    (Profile, "read", quick_read(Profile)),
    (loading, "session", Remembered(loading.session, lambda model: model)),
    (register, "flaws", Remembered(inspect_model.flaws, lambda model: model)),
    (register, "dangers", Remembered(register.dangers, lambda model: model)),
    (register, "pq", Parquet),
    (register, "metrics_of", Remembered(register.metrics_of, identities)),
    (columns, "rowwise", Remembered(columns.rowwise, identities)),
    (register, "baseline_of", Taped(register.baseline_of, lambda one, _: one.run.digest)),
    (ingest, "read", Taped(ingest.read, lambda delivery, _: (delivery.key, delivery.meta.version))),
    (
        validate,
        "judged_parts",
        Taped(validate.judged_parts, lambda batch, judge, _: (batch.digest, id(judge.contract)), changes="Judge"),
    ),
    (job, "in_child", TRAINED),
    (job, "attempted", Taped(job.attempted, lambda plan, *_: plan.run)),
    (score_job, "answered", Taped(score_job.answered, lambda scoring, _: scoring.digest)),
    (served, "loaded", Taped(served.loaded, lambda version, *_: version.artifact)),
)


@contextmanager
def quickly() -> Iterator[None]:
    """What is remembered need not be worked out while this lasts."""
    with ExitStack() as stack:
        for owner, name, put in QUICK:
            stack.enter_context(patch.object(owner, name, put))
        yield
