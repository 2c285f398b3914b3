"""The program that runs a user's training code, exports what it made and measures it: `python -m functions.train.fit`.

What a data scientist writes, in the file and function that `train.entry` names, is

    def train(table, *, features, target, seed, **parameters):
        x, y = table.select(features), table[target].to_numpy()
        return make_pipeline(ColumnTransformer([("text", OneHotEncoder(), ["carrier"])]), …).fit(x, y)

`table` is a `pyarrow.Table` of the training rows. The feature columns are what the served model will be asked
with: float32, NaN where missing, for numbers and booleans; text, empty where missing. The other columns are as
the contract types them; the target is never missing. `parameters` are those of the definition. It returns

- a fitted scikit-learn estimator or pipeline, which Samara exports to ONNX with one input for each feature (fit
  it on `table.select(features)` so that columns can be named, or on an array of the columns in that order, and on
  the target as it is, text too), or
- any object with `.onnx`, the bytes of a model as `samara.scoring` describes them, and `.predict(table)`, which
  gives what the framework itself says: the probabilities [rows, classes] or the predictions [rows].

An ensemble takes no code: its members are composed into one graph, held to what they say apart.

The program has no access to the store. In its folder it finds `ask.json`, `train.parquet`, `holdout.parquet` and
`code/`, for an ensemble `member-0.onnx` and so on, and leaves `model.onnx` and `outcome.json`.
"""

import importlib
import json
import os
import platform
import random
import resource
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
import skl2onnx.common._container
from numpy.typing import NDArray
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.base import BaseEstimator, is_classifier, is_regressor
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline
from sklearn.utils._set_output import ADAPTERS_MANAGER
from sklearn.utils.validation import check_is_fitted
from threadpoolctl import threadpool_limits

from functions.train import ensemble
from functions.train.ask import Ask, Outcome
from samara import loading, scoring
from samara.core.records import Parity
from samara.errors import Rejected

OPSET = {"": 17, "ai.onnx.ml": 3}  # fixed, so that an upgrade of the exporter changes no bytes by itself
PACKAGES = ("numpy", "onnx", "onnxruntime", "pyarrow", "scikit-learn", "skl2onnx")
MOST_COMPARED = 50_000  # rows on which framework and graph are compared
LARGEST_FILE = 4 << 30  # bytes that the training code may write into one file
LONGEST_WHY = 2_000
MOST_NAMED = 10  # classes that a complaint names


class ArrowTables:
    """Lets scikit-learn pass columns of a `pyarrow.Table` through a transformer unchanged, as it does for pandas."""

    container_lib = "pyarrow"

    def create_container(self, X_output: Any, X_original: Any, columns: Any, inplace: bool = True) -> Any:  # noqa: ARG002, N803  # scikit-learn's protocol
        return self.rename_columns(X_output, columns() if callable(columns) else columns)

    def is_supported_container(self, X: Any) -> bool:  # noqa: N803  # scikit-learn's protocol
        return isinstance(X, pa.Table)

    def rename_columns(self, X: Any, columns: Any) -> Any:  # noqa: N803  # scikit-learn's protocol
        return X.rename_columns([str(name) for name in columns])

    def hstack(self, Xs: Any) -> Any:  # noqa: N803  # scikit-learn's protocol
        return np.hstack([np.asarray(table) for table in Xs])


ADAPTERS_MANAGER.register(ArrowTables())


def main() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_FILE, LARGEST_FILE))
    fit(Path(sys.argv[1]))
    os._exit(0)  # no thread that the training code left behind keeps a finished model waiting


def fit(work: Path) -> None:
    """Train, export and measure in `work`. Whatever the user's code does wrong ends up in `outcome.json`."""
    ask = Ask.model_validate_json((work / "ask.json").read_bytes())
    try:
        outcome = trained(ask, work)
    except Rejected as error:
        outcome = Outcome(why=str(error).encode(errors="replace").decode()[:LONGEST_WHY])  # lone surrogates
    (work / "outcome.json").write_text(outcome.model_dump_json())


def trained(ask: Ask, work: Path) -> Outcome:
    table, holdout = pq.read_table(work / "train.parquet"), pq.read_table(work / "holdout.parquet")
    with prepared(ask, work) as fitted_on, threadpool_limits(ask.threads):  # of what is loaded by now
        fitted = fitted_on(table)
        model = made(fitted, table, ask)
        loaded = loading.session(model)
        said = scoring.answers(loaded, holdout, ask.task)
        of_the_target(said.classes, table, ask)
        parity = compared(fitted, said, holdout, ask, work)
    metrics = {name: value for name, value in measured(said, holdout, ask).items() if np.isfinite(value)}
    if ask.metric not in metrics:
        raise undefined(ask)
    (work / "model.onnx").write_bytes(model)
    environment = {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}
    return Outcome(signature=scoring.signature(loaded), parity=parity, metrics=metrics, environment=environment)


@contextmanager
def prepared(ask: Ask, work: Path) -> Iterator[Callable[[Any], Any]]:
    """What makes a model of a table: the user's code, or the members of an ensemble."""
    if ask.ensemble:
        models = [(work / f"member-{place}.onnx").read_bytes() for place in range(len(ask.ensemble.members))]
        yield lambda table: ensemble.combined(models, ask, table)
    else:
        with imported(work / "code", ask.entry) as function:
            yield lambda table: called(function, table, ask, work)


def undefined(ask: Ask) -> Rejected:
    """What is to be said where a metric came to no number."""
    way_out = "has it rows of two classes? accuracy and log_loss take any"
    if ask.task == "regression":
        way_out = f"has {ask.target} rows that are NaN or infinite? the contract can refuse them"
    why = f"{ask.metric} is not defined on the holdout; {way_out}"
    return Rejected(f"gates.metric {ask.metric}", why, code="bad_metric")


def measured(said: scoring.Answers, holdout: Any, ask: Ask) -> dict[str, float]:
    return scoring.measured(said, scoring.truth(holdout, ask.target, ask.task))


@contextmanager
def imported(code: Path, entry: str) -> Iterator[Callable[..., Any]]:
    """The training function, and its neighbours importable while it runs. Nothing of them stays behind."""
    file, _, name = entry.partition(":")
    before = set(sys.modules)
    mine = {path.stem for path in code.iterdir()}
    hidden = {module: sys.modules.pop(module) for module in before if module.partition(".")[0] in mine}
    sys.path.insert(0, str(code))
    importlib.invalidate_caches()
    try:
        yield getattr(module_of(file, code), name, None) or missing(file, name)
    finally:
        sys.path.remove(str(code))
        for module in set(sys.modules) - before | {m for m in sys.modules if m.partition(".")[0] in mine}:
            if str(getattr(sys.modules[module], "__file__", "")).startswith(str(code)):
                del sys.modules[module]
        sys.modules.update(hidden)


def missing(file: str, name: str) -> Any:
    raise Rejected(f"{file}.py", f"has no function {name!r}; write one, or change train.entry", code="no_function")


def module_of(file: str, code: Path) -> Any:
    if not (code / f"{file}.py").is_file():
        raise Rejected(f"{file}.py", "is not in the source bundle; is train.entry right?", code="no_code")
    try:
        return importlib.import_module(file)
    except (Exception, SystemExit) as error:  # whatever the user's module does when it is imported
        raise failed(f"{file}.py cannot be imported", error, code.parent) from error


def called(function: Callable[..., Any], table: Any, ask: Ask, work: Path) -> Any:
    """What the training function returns, everything random seeded before."""
    random.seed(ask.seed)
    np.random.seed(ask.seed)  # what users' code and scikit-learn draw from by default
    try:
        return function(table, features=list(ask.features), target=ask.target, seed=ask.seed, **ask.parameters)
    except (Exception, SystemExit) as error:  # whatever the user's code does
        raise failed("the training code failed", error, work) from error


def failed(what: str, error: BaseException, work: Path) -> Rejected:
    """An error of the user's code in one line: what it was, and where in their files it happened."""
    inside = [f for f in traceback.extract_tb(error.__traceback__) if f.filename.startswith(str(work / "code"))]
    if isinstance(error, SyntaxError) and error.filename:
        place = f" ({Path(error.filename).name}, line {error.lineno})"
        said = error.msg
    else:
        place = f" ({Path(inside[-1].filename).name}, line {inside[-1].lineno})" if inside else ""
        said = str(error)
    called_exit = "; it should return the model, not call exit" if isinstance(error, SystemExit) else ""
    text = f"{type(error).__name__}: {said}{place}{called_exit}".replace(f"{work}/", "")
    return Rejected(what, text[:LONGEST_WHY], code="training_failed")


def made(fitted: Any, table: Any, ask: Ask) -> bytes:
    """The model in ONNX, with the names of its classes in its metadata."""
    if brings_its_graph(fitted):
        return bytes(fitted.onnx)
    if not isinstance(fitted, BaseEstimator):
        why = (
            f"returned {article(fitted)}; return a fitted scikit-learn estimator, or an object with .onnx and .predict"
        )
        raise Rejected(ask.entry, why, code="no_model")
    if ask.task == "classification" and not (is_classifier(fitted) and hasattr(fitted, "predict_proba")):
        why = f"returned {article(fitted)}, which gives no probabilities; the definition's task is classification"
        raise Rejected(ask.entry, why, code="wrong_task")
    if isinstance(getattr(fitted, "classes_", None), list):
        why = f"was fitted on several targets at once; fit it on {ask.target} alone, one value for each row"
        raise Rejected(ask.entry, why, code="wrong_task")
    if ask.task == "classification" and len(getattr(fitted, "classes_", "ab")) < 2:
        why = f"the rows it was fitted on have a single {ask.target}; there is nothing to tell apart"
        raise Rejected(ask.entry, why, code="single_class")
    if ask.task == "regression" and not is_regressor(fitted):
        why = f"returned {article(fitted)}, which is no regressor; the definition's task is regression"
        raise Rejected(ask.entry, why, code="wrong_task")
    return exported(fitted, table, ask)


def brings_its_graph(fitted: Any) -> bool:
    return isinstance(getattr(fitted, "onnx", None), bytes) and callable(getattr(fitted, "predict", None))


def article(value: Any) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"


def exported(fitted: Any, table: Any, ask: Ask) -> bytes:
    """A scikit-learn estimator as ONNX bytes that depend on nothing but the estimator."""
    types = inputs(fitted, table, ask)
    inside = getattr(fitted, "best_estimator_", fitted)  # of a search, which only asks it
    whole = column_by_column(inside, len(types))
    options = {id(whole): {"zipmap": False}} if ask.task == "classification" else None
    try:
        with lenient_booleans():
            model = skl2onnx.to_onnx(whole, initial_types=types, options=options, target_opset=OPSET)
    except Exception as error:  # skl2onnx's errors share no base class
        if unfitted(fitted):  # which fails here in many words, none of them that
            why = f"returned {article(fitted)} that was never fitted; return what its fit(…) gives"
            raise Rejected(ask.entry, why, code="no_model") from error
        why = f"scikit-learn's model cannot be exported to ONNX: {type(error).__name__}: {loading.first_line(error)}"
        raise Rejected(ask.entry, why + beforehand(whole, inside), code="not_exportable") from error
    if ask.task == "regression":
        renamed(model.graph, {model.graph.output[0].name: scoring.OUTPUTS["regression"][0]})
    else:
        classes = [name if isinstance(name, str) else int(name) for name in fitted.classes_.tolist()]
        onnx.helper.set_model_props(model, {scoring.CLASSES: json.dumps(classes)})
    renamed(model.graph, respelled(model.graph, [name for name, _ in types]))
    operators = sorted((one.domain, one.version) for one in model.opset_import)  # else by the process's hash seed
    del model.opset_import[:]
    model.opset_import.extend(onnx.helper.make_opsetid(domain, number) for domain, number in operators)
    return bytes(model.SerializeToString(deterministic=True))


def unfitted(fitted: BaseEstimator) -> bool:
    """Whether scikit-learn takes an estimator for one that has seen no rows yet."""
    try:
        check_is_fitted(fitted)
    except (NotFittedError, TypeError) as error:  # the latter of what cannot be fitted at all
        return isinstance(error, NotFittedError)
    return False


def beforehand(whole: Any, inside: BaseEstimator) -> str:
    """What to add where a step that takes columns by name lies too deep to be exported; else nothing."""
    if whole is inside or not any(isinstance(part, ColumnTransformer) for part in inside.get_params().values()):
        return ""
    return "; only the first step may take columns by name: make_pipeline(ColumnTransformer(…), …) around all others"


def column_by_column(fitted: Any, width: int) -> Any:
    """The estimator behind something that takes its columns one by one, which skl2onnx asks of no other."""
    first = fitted
    while isinstance(first, Pipeline):
        first = first.steps[0][1]
    if isinstance(first, ColumnTransformer):
        return fitted
    together = ColumnTransformer([("all", "passthrough", list(range(width)))]).fit(np.zeros((1, width)))
    return Pipeline([("columns", together), ("model", fitted)])


def inputs(fitted: Any, table: Any, ask: Ask) -> list[tuple[str, Any]]:
    """One input for each feature, in the order the estimator was fitted with."""
    names: Sequence[str] = list(getattr(fitted, "feature_names_in_", ask.features))
    strange = [name for name in names if name not in ask.features]
    if strange:
        why = f"was fitted on {', '.join(strange)}, which the definition does not count among the features"
        raise Rejected(ask.entry, why, code="bad_signature")
    answers = [name for name in names if name in scoring.OUTPUTS[ask.task]]
    if answers:
        why = "is a feature, and what the model's answer is called; rename the column, or leave it out of the features"
        raise Rejected(answers[0], why, code="bad_signature")
    text = {name for name in names if pa.types.is_string(table.schema.field(name).type)}
    return [(name, (StringTensorType if name in text else FloatTensorType)([None, 1])) for name in names]


def respelled(graph: Any, names: Sequence[str]) -> dict[str, str]:
    """New names by old ones, so that the inputs are called as the features are. skl2onnx spells them its own way, with
    letters and digits, and unlike anything inside the graph: what is inside makes way."""
    changed = {value.name: name for value, name in zip(graph.input, names, strict=True) if value.name != name}
    inside = {tensor.name for tensor in graph.initializer} | {name for node in graph.node for name in node.output}
    for name in inside.intersection(changed.values()):
        changed[name] = f"{name} inside"  # no name of skl2onnx's has a space
    return changed


def renamed(graph: Any, changed: Mapping[str, str]) -> None:
    """Give tensors of the graph the names that stand by theirs."""
    for node in graph.node:
        node.output[:] = [changed.get(name, name) for name in node.output]
        node.input[:] = [changed.get(name, name) for name in node.input]
    for named in (*graph.input, *graph.output, *graph.initializer, *graph.value_info):
        named.name = changed.get(named.name, named.name)


@contextmanager
def lenient_booleans() -> Iterator[None]:
    """skl2onnx 1.20 writes truth values where ONNX keeps integers; protobuf refuses numpy's, and from 7 on all."""
    container = skl2onnx.common._container  # where the one call is that needs mending
    original = container.make_node

    def make_node(*args: Any, **attributes: Any) -> Any:
        for name, value in attributes.items():
            if isinstance(value, list) and any(isinstance(item, (bool, np.bool_)) for item in value):
                attributes[name] = [int(item) for item in value]
        return original(*args, **attributes)

    container.make_node = make_node
    try:
        yield
    finally:
        container.make_node = original


def of_the_target(classes: Sequence[int | str], table: Any, ask: Ask) -> None:
    """Refuse a model with classes that no training row has in place of some that these have: it was fitted on something
    else than the target. Who knows all of them may know more, and a rare one may be unknown.

    The classes of an ensemble are those of its members, who know them from rows of their own.
    """
    if not classes or ask.ensemble:
        return
    distinct = table.group_by(ask.target).aggregate([])
    there = sorted(scoring.truth(distinct, ask.target, ask.task).tolist())
    if not (set(classes) <= set(there) or set(classes) >= set(there)):
        why = f"answers with the classes {few(classes)}; {ask.target} has {few(there)}: fit on the target as it is"
        raise Rejected(ask.entry, why, code="other_classes")


def few(classes: Sequence[int | str]) -> str:
    """The first of them, text in quotes.

    >>> few([0, 1]), few(["0", "1"]), few(range(1000))
    ('0, 1', "'0', '1'", '0, 1, 2, 3, 4, 5, 6, 7, 8, 9, …')
    """
    first = ", ".join(map(repr, classes[:MOST_NAMED]))
    return f"{first}, …" if len(classes) > MOST_NAMED else first


def compared(fitted: Any, said: scoring.Answers, holdout: Any, ask: Ask, work: Path) -> Parity:
    """How far the graph strays from the framework. Labels may differ only where two classes are nearly equal."""
    rows = holdout.slice(0, MOST_COMPARED)
    scores = said.scores[: rows.num_rows]
    try:
        framework = framework_answers(fitted, rows, ask)
    except (Exception, SystemExit) as error:  # whatever the predict of the user's model does
        raise failed("asking the trained model failed", error, work) from error
    if framework.scores.shape != scores.shape:
        why = f"the framework answers with shape {framework.scores.shape}, the exported model with {scores.shape}"
        raise Rejected(ask.entry, why, code="bad_signature")
    unit = largest(framework.scores) if ask.task == "regression" else 1.0
    difference = float(np.max(np.abs(framework.scores - scores), initial=0.0)) / unit
    agreed = difference <= ask.tolerance and labels_follow(said, rows.num_rows, ask.tolerance)
    if agreed and framework.labels is not None:
        nothing_lost(said, framework.labels, ask)
    return Parity(
        rows=rows.num_rows,
        largest_difference=difference if np.isfinite(difference) else float(np.finfo(np.float64).max),
        tolerance=ask.tolerance,
        agreed=agreed,
    )


def largest(answers: NDArray[np.float64]) -> float:
    """What differences are a share of: graphs count in floats of 32 bits, which hold 7 digits of whatever size.

    >>> largest(np.array([0.2, -0.5])), largest(np.array([250_000.0, -400_000.0]))
    (1.0, 400000.0)
    """
    return max(1.0, float(np.max(np.abs(answers), initial=0.0)))


def labels_follow(said: scoring.Answers, rows: int, tolerance: float) -> bool:
    """Whether each label is the class of the largest probability, or as good as the largest."""
    if said.labels is None:
        return True
    labels, scores = said.labels[:rows], said.scores[:rows]
    given = np.full(rows, -1.0)
    for place, name in enumerate(said.classes):
        given = np.where(labels == name, scores[:, place], given)
    return bool(np.all(given >= scores.max(axis=1, initial=0.0) - 2 * tolerance))


def nothing_lost(said: scoring.Answers, labels: NDArray[Any], ask: Ask) -> None:
    """Refuse a graph with other labels than `predict` gives, but for rows where two classes are nearly equal."""
    rows = len(labels)
    second, best = np.sort(said.scores[:rows], axis=1)[:, -2:].T
    assert said.labels is not None  # noqa: S101  # or there were no probabilities
    other = (labels != said.labels[:rows]) & (best - second > 2 * ask.tolerance)
    if other.any():
        why = f"the exported graph answers {other.sum():,} of {rows:,} rows with another label than predict does"
        lost = "the export loses what predict does beyond naming the most probable class, as with a tuned threshold"
        way_out = "return the estimator inside, whose labels follow from its probabilities"
        raise Rejected(ask.entry, f"{why}: {lost}; {way_out}", code="other_labels")


def framework_answers(fitted: Any, rows: Any, ask: Ask) -> scoring.Answers:
    """What the framework itself says, with labels where it is scikit-learn, whose `predict` gives them."""
    if not isinstance(fitted, BaseEstimator):
        return scoring.Answers(None, np.asarray(fitted.predict(rows), dtype=np.float64))
    names = getattr(fitted, "feature_names_in_", None)
    given = rows.select(list(names)) if names is not None else array(rows.select(list(ask.features)))
    if ask.task == "regression":
        return scoring.Answers(None, np.asarray(fitted.predict(given), dtype=np.float64).reshape(-1))
    labels = None if brings_its_graph(fitted) else np.asarray(fitted.predict(given), dtype=object).reshape(-1)
    return scoring.Answers(labels, np.asarray(fitted.predict_proba(given), dtype=np.float64))


def array(rows: Any) -> NDArray[Any]:
    """The columns side by side, for estimators that were fitted on an array."""
    text = any(pa.types.is_string(field.type) for field in rows.schema)
    columns = [np.asarray(column.to_numpy()) for column in rows.columns]
    found = np.empty((rows.num_rows, len(columns)), dtype=object if text else np.float32)
    for place, column in enumerate(columns):
        found[:, place] = column
    return found


if __name__ == "__main__":
    main()
