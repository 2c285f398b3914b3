"""The job runs what users wrote, however badly it behaves, and always says what came of it."""

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pytest

from functions.train import job
from functions.train.held_out import held_out
from samara import loading, scoring
from samara.app import App
from samara.core import keys
from samara.core.records import Part, Result, Run
from samara.errors import Rejected
from tests.bench import LOGISTIC, Bench, coins, in_process, parquet

BOOSTED = """
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder


def train(table, *, features, target, seed):
    text = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    columns = ColumnTransformer([("text", text, ["metal"]), ("numbers", "passthrough", ["weight"])])
    model = make_pipeline(columns, HistGradientBoostingClassifier(max_iter=5, random_state=seed))
    return model.fit(table.select(features), table[target].to_numpy())
"""

LINEAR = """
from sklearn.linear_model import LinearRegression


def train(table, *, features, target, seed):
    return LinearRegression().fit(table.select(features), table[target].to_numpy())
"""

PRICED = """
from sklearn.ensemble import GradientBoostingRegressor


def train(table, *, features, target, seed, off):
    prices = 400_000.0 * table[target].to_numpy()
    model = GradientBoostingRegressor(random_state=seed).fit(table.select(features), prices)
    asked = model.predict
    model.predict = lambda rows: asked(rows) * (1 + off)
    return model
"""

DELEGATED = """
import train_model as inner
from pathlib import Path


class Wrapped:
    def __init__(self, model, onnx, features, off):
        self.model, self.onnx, self.features, self.off = model, onnx, features, off

    def predict(self, table):
        return self.model.predict_proba(table.select(self.features)) + self.off


def train(table, *, features, target, seed, off):
    import skl2onnx
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType
    model = inner.train(table, features=features, target=target, seed=seed)
    types = [("metal", StringTensorType([None, 1])), ("weight", FloatTensorType([None, 1]))]
    graph = skl2onnx.to_onnx(model, initial_types=types, options={id(model): {"zipmap": False}}, target_opset=17)
    return Wrapped(model, graph.SerializeToString(), features, off)
""".replace(
    "import train_model as inner",
    "import types\ninner = types.ModuleType('inner')\nexec(" + repr(LOGISTIC) + ", inner.__dict__)",
)


def ran(bench: Bench, code: str = LOGISTIC, table: Any = None, **changes: Any) -> Result:
    bench.publish(code, **changes)
    bench.accept(table)
    return bench.result()


def model_of(bench: Bench, result: Result) -> Any:
    assert result.status == "succeeded", result.why
    assert result.artifact
    return loading.session(bench.whole.blob(result.artifact))


def test_a_run_leaves_a_model_that_agrees_with_its_framework(bench: Bench) -> None:
    result = ran(bench)

    assert result.status == "succeeded", result.why
    assert result.signature
    assert [(t.name, t.datatype, t.shape) for t in result.signature.inputs] == [
        ("metal", "BYTES", (-1, 1)),
        ("weight", "FP32", (-1, 1)),
    ]
    assert [t.name for t in result.signature.outputs] == ["label", "probabilities"]
    assert result.parity
    assert result.parity.agreed
    assert result.parity.rows == 60
    assert result.metrics["auc"] > 0.9
    assert set(result.environment) == {
        "python", "numpy", "onnx", "onnxruntime", "pyarrow", "scikit-learn", "skl2onnx",
    }  # fmt: skip


def test_the_same_plan_gives_the_same_result_to_the_byte(bench: Bench, whole: App) -> None:
    first = ran(bench)
    key = keys.result(keys.run("real", first.run))
    whole.store.delete(key, whole.store.get(key).version)

    again = job.run(keys.run("real", first.run), whole, in_process)

    assert again.digest == first.digest
    assert again.artifact == first.artifact


def test_a_run_with_a_result_is_not_run_again(bench: Bench, whole: App) -> None:
    first = ran(bench)

    again = job.run(keys.run("real", first.run), whole, lambda _work, _limit: pytest.fail("it ran"))

    assert again == first


def test_the_held_out_rows_are_a_share_of_the_newest_batch_only(bench: Bench) -> None:
    bench.publish(train={"batches": 2, "holdout": 0.1})
    bench.accept(coins(100, seed=1))
    bench.accept(coins(200, seed=2), hours=1)

    result = bench.result()

    assert result.holdout
    with bench.whole.fetched(result.holdout) as path:
        kept = pa.parquet.read_table(path)
    newest = set(coins(200, seed=2)["weight"].cast(pa.float32()).to_pylist())
    assert kept.num_rows == 20
    assert set(kept["weight"].to_pylist()) <= newest


@pytest.mark.parametrize("split", ["last", "random"])
def test_a_larger_share_holds_out_the_same_rows_and_more(split: Any) -> None:
    parts = [Part(digest="ab" * 32, rows=600, size=0), Part(digest="cd" * 32, rows=400, size=0)]

    none, less, more = (
        np.concatenate([mask for _, mask in held_out(parts, share, split)]) for share in (0.0, 0.2, 0.5)
    )

    assert (none.sum(), less.sum(), more.sum()) == (0, 200, 500)
    assert more[less].all()


def test_by_default_the_end_of_the_batch_is_held_out() -> None:
    parts = [Part(digest="ab" * 32, rows=6, size=0), Part(digest="cd" * 32, rows=4, size=0)]

    assert [mask.sum() for _, mask in held_out(parts, 0.5, "last")] == [1, 4]
    assert [mask.sum() for _, mask in held_out(parts, 0.5, "random")] == [3, 2]


def test_missing_values_unseen_categories_and_rows_without_a_target(bench: Bench) -> None:
    table = coins(300)
    missing = np.arange(300) % 7 == 0
    table = table.set_column(1, "metal", pa.array(table["metal"].to_pylist(), mask=missing))
    table = table.set_column(2, "weight", pa.array(table["weight"].to_numpy(), mask=np.roll(missing, 1)))
    table = table.set_column(3, "real", pa.array(table["real"].to_numpy(), mask=np.roll(missing, 2)))

    result = ran(bench, BOOSTED, table)

    assert result.parity
    assert result.parity.agreed
    assert result.parity.rows == (~np.roll(missing, 2))[240:].sum()
    unseen = pa.table({"metal": ["lead", None], "weight": [12.0, None]})
    assert scoring.answers(model_of(bench, result), unseen, "classification").scores.shape == (2, 2)


def test_an_estimate_is_measured_in_its_own_unit(bench: Bench) -> None:
    gates = {"metric": "rmse", "at_most": 3}
    changes = {"target": "weight", "task": "regression", "features": ["serial", "real"], "gates": gates}

    result = ran(bench, LINEAR, **changes)

    assert result.status == "succeeded", result.why
    assert set(result.metrics) == {"rmse", "mae"}
    assert result.metrics["rmse"] < 3
    assert result.signature
    assert [t.name for t in result.signature.outputs] == ["prediction"]


@pytest.mark.parametrize("off", [0.0, 0.001])
def test_a_large_estimate_agrees_by_as_many_digits_as_a_graph_has(bench: Bench, off: float) -> None:
    """The price of a house, say: floats of 32 bits hold seven of its digits, and so no cents."""
    gates = {"metric": "rmse", "at_most": 1e9}
    changes = {"target": "weight", "task": "regression", "features": ["serial", "real"], "gates": gates}

    result = ran(bench, PRICED, train={"parameters": {"off": off}}, **changes)

    assert result.status == "succeeded", result.why
    assert result.parity
    assert result.parity.agreed is (off == 0)
    assert result.parity.largest_difference == pytest.approx(off, abs=1e-6)


def test_without_features_every_column_but_the_target_is_one(bench: Bench) -> None:
    result = ran(bench, features=[])

    assert result.signature
    assert {t.name for t in result.signature.inputs} == {"serial", "metal", "weight"}


@pytest.mark.parametrize("off", [0.0, 0.01])
def test_any_framework_may_bring_its_own_graph_and_is_held_to_it(bench: Bench, off: float) -> None:
    result = ran(bench, DELEGATED, train={"parameters": {"off": off}})

    assert result.status == "succeeded", result.why
    assert result.parity
    assert result.parity.agreed is (off == 0)
    assert result.parity.largest_difference == pytest.approx(off, abs=1e-6)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("def train(table, **rest):\n    return 1 / 0", "ZeroDivisionError: division by zero (train.py, line 2)"),
        ("def train(table, **rest):\n    import sys\n    sys.exit(0)", "should return the model, not call exit"),
        ("import sys\nsys.exit(3)", "SystemExit: 3"),
        ("import no_such_package", "No module named 'no_such_package'"),
        ("def train(:", "SyntaxError"),
        ("def fit(): ...", "has no function 'train'"),
        ("train = 7", "not callable"),
        ("def train(table): ...", "unexpected keyword argument"),
        ("def train(table, **rest): ...", "returned nothing"),
        ("def train(table, **rest):\n    return {}", "returned a dict"),
        (
            "import sklearn.linear_model as m\ndef train(table, **rest):\n    return m.LinearRegression()",
            "gives no probabilities",
        ),
        (
            "import sklearn.linear_model as m\ndef train(table, **rest):\n    return m.LogisticRegression()",
            "returned a LogisticRegression that was never fitted; return what its fit(…) gives",
        ),
        (
            "class Own:\n    onnx, predict = b'no model', print\ndef train(table, **rest):\n    return Own()",
            "onnxruntime cannot load it",
        ),
        ("def train(table, **rest):\n    raise ValueError('é\\ud800' * 9999)", "ValueError"),
        ("def train(table, **rest):\n    raise ValueError('a\\n\\x1b[31mb')", "ValueError: a [31mb (train.py, line 2)"),
    ],
)
def test_code_that_fails_is_a_failed_result_with_the_reason(bench: Bench, code: str, words: str) -> None:
    result = ran(bench, code)

    assert result.status == "failed"
    assert words in result.why
    assert result.artifact is None
    assert "/tmp" not in result.why  # noqa: S108  # a folder's random name would make every failure another one
    assert len(result.why) < 3000


@pytest.mark.parametrize(
    ("instead", "words"),
    [
        ("raise ValueError('no such column')", "ValueError: no such column (train.py, line"),
        ("raise SystemExit(3)", "SystemExit: 3 (train.py, line"),
        ("return 'a word'", "ValueError: could not convert string to float"),
        ("return [[0.5, 0.5], [1.0]]", "ValueError: setting an array element"),
    ],
)
def test_a_model_whose_own_predict_fails_is_told_in_one_line(bench: Bench, instead: str, words: str) -> None:
    code = DELEGATED.replace("return self.model.predict_proba(table.select(self.features)) + self.off", instead)

    result = ran(bench, code, train={"parameters": {"off": 0.0}})

    assert result.status == "failed"
    assert f"asking the trained model failed: {words}" in result.why


def test_an_estimator_that_onnx_cannot_express_is_named(bench: Bench) -> None:
    code = """
from sklearn.base import BaseEstimator, ClassifierMixin
import numpy as np

class Guess(ClassifierMixin, BaseEstimator):
    classes_ = np.array([0, 1])
    def predict_proba(self, x): ...

def train(table, **rest):
    return Guess()
"""

    result = ran(bench, code)

    assert "cannot be exported to ONNX" in result.why
    assert "Guess" in result.why


SEARCHED = """
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.calibration import CalibratedClassifierCV
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
import numpy as np


def train(table, *, features, target, seed):
    x, y = table.select(features), table[target].to_numpy()
    columns = make_column_transformer((OneHotEncoder(), ["metal"]), remainder="passthrough")
    return MODEL
"""


@pytest.mark.parametrize(
    "model",
    [
        'GridSearchCV(make_pipeline(columns, LogisticRegression()), {"logisticregression__C": [0.1, 1]}).fit(x, y)',
        "make_pipeline(make_pipeline(columns, StandardScaler()), LogisticRegression()).fit(x, y)",
    ],
    ids=["search", "nested"],
)
def test_columns_are_taken_by_name_within_a_search_and_within_a_pipeline(bench: Bench, model: str) -> None:
    result = ran(bench, SEARCHED.replace("MODEL", model))

    assert result.status == "succeeded", result.why
    assert result.parity
    assert result.parity.agreed


@pytest.mark.parametrize("task", ["classification", "regression"])
@pytest.mark.parametrize(
    ("metal", "weight", "serial"),
    [
        ("kind of metal", "weight (g)", "weight_g"),
        ("a b", "a_b", "a.b"),
        ("a_b", "a b", "a.b"),
        ("variable", "variable1", "variable2"),
        ("0", "1", "2"),
        ("größe", "重さ", "metal "),
    ],
)
def test_a_column_may_be_called_what_it_likes(bench: Bench, task: str, metal: str, weight: str, serial: str) -> None:
    model = "LogisticRegression" if task == "classification" else "LinearRegression"
    code = SEARCHED.replace("LogisticRegression\n", f"{model}\n").replace('"metal"', "features[0]")
    table = coins().rename_columns([serial, metal, weight, "real"])
    table = table if task == "classification" else table.set_column(3, "real", table[weight])
    changes = {"task": task, "features": [metal, weight, serial]}

    result = ran(
        bench,
        code.replace("MODEL", f"make_pipeline(columns, StandardScaler(), {model}()).fit(x, y)"),
        table,
        gates={"metric": "log_loss" if task == "classification" else "mae"},
        **changes,
    )

    assert result.status == "succeeded", result.why
    assert result.signature
    assert [tensor.name for tensor in result.signature.inputs] == [metal, weight, serial]
    assert result.parity
    assert result.parity.agreed


@pytest.mark.parametrize(
    ("task", "name"), [("classification", "label"), ("classification", "probabilities"), ("regression", "prediction")]
)
def test_a_feature_that_is_called_as_the_answer_is_said_to_be(bench: Bench, task: str, name: str) -> None:
    table = coins().rename_columns(["serial", "metal", name, "real"])
    model = "make_pipeline(columns, LogisticRegression()).fit(x, y)"
    if task == "regression":
        table, model = table.set_column(3, "real", table[name]), model.replace("Logistic", "Linear")
    gates = {"metric": "auc" if task == "classification" else "mae"}
    code = SEARCHED.replace("import LogisticRegression", "import LinearRegression, LogisticRegression")

    result = ran(bench, code.replace("MODEL", model), table, task=task, features=["metal", name], gates=gates)

    assert result.status == "failed"
    assert f"{name}: is a feature, and what the model's answer is called; rename the column" in result.why


def test_columns_taken_by_name_too_deep_to_be_exported_are_said_to_be(bench: Bench) -> None:
    model = "CalibratedClassifierCV(make_pipeline(columns, LogisticRegression())).fit(x, y)"

    result = ran(bench, SEARCHED.replace("MODEL", model))

    assert result.status == "failed"
    assert "only the first step may take columns by name" in result.why


@pytest.mark.parametrize("y", ["np.stack([y, ~y], axis=1)", "np.stack([y, y, y], axis=1)"])
def test_a_model_of_several_targets_is_said_to_be_one(bench: Bench, y: str) -> None:
    model = f"make_pipeline(columns, RandomForestClassifier(5)).fit(x, {y})"

    result = ran(bench, SEARCHED.replace("MODEL", model))

    assert result.status == "failed"
    assert "was fitted on several targets at once; fit it on real alone" in result.why


def test_an_estimate_that_cannot_be_measured_says_why(bench: Bench) -> None:
    real = pa.array([float(one) for one in range(49)] + [float("inf")])
    code = LINEAR.replace("table[target].to_numpy()", "range(table.num_rows)")

    result = ran(
        bench,
        code,
        coins(50).set_column(3, "real", real),
        task="regression",
        features=["weight"],
        gates={"metric": "rmse"},
    )

    assert result.status == "failed"
    assert "rmse is not defined on the holdout; has real rows that are NaN or infinite?" in result.why


def test_a_model_that_answers_with_nan_fails(bench: Bench) -> None:
    weights = coins(300)["weight"].to_numpy().copy()
    code = (
        LOGISTIC.replace("return model.fit(", "model.fit(") + "    model[-1].coef_ *= float('nan')\n    return model\n"
    )

    result = ran(bench, code, coins(300).set_column(2, "weight", pa.array(weights)))

    assert result.status == "failed"
    assert "NaN" in result.why


@pytest.mark.parametrize(
    ("real", "words"),
    [
        ([False] + [True] * 49, "auc is not defined"),
        ([True] * 49 + [False], "have a single real"),
    ],
)
def test_a_holdout_or_a_training_set_of_one_class_is_said_to_be_one(bench: Bench, real: list[bool], words: str) -> None:
    result = ran(bench, BOOSTED, coins(50).set_column(3, "real", pa.array(real)))

    assert result.status == "failed"
    assert words in result.why


@pytest.mark.parametrize(
    ("changes", "table", "words"),
    [
        ({"features": ["colour"]}, None, "no column 'colour'"),
        ({"target": "colour"}, None, "no column 'colour'"),
        ({"target": "weight"}, None, "cannot be the target of classification"),
        ({"train": {"entry": "other:train"}}, None, "not in the source bundle"),
        ({}, coins(1), "more rows"),
        ({}, coins(9).set_column(2, "weight", pa.array([0] * 9, pa.date32())), "derive a number"),
    ],
)
def test_a_plan_that_cannot_be_prepared_is_a_failed_result(
    bench: Bench, changes: dict[str, Any], table: Any, words: str
) -> None:
    if "target" in changes:
        changes = {**changes, "features": ["metal"]}

    result = ran(bench, LOGISTIC, table, **changes)

    assert result.status == "failed"
    assert words in result.why


def test_a_part_that_was_altered_is_an_error_and_no_result(bench: Bench, whole: App) -> None:
    bench.publish()
    bench.accept()
    key = bench.asked_run()
    part = keys.blob(whole.read(Run, key).plan.parts[0].digest)
    whole.store.replace(part, parquet(coins(seed=9)), whole.store.get(part).version)

    with pytest.raises(Rejected, match="altered"):
        job.run(key, whole, in_process)

    assert not list(whole.store.list("results/"))


def test_a_part_that_is_gone_is_a_failed_result_that_names_it(bench: Bench, whole: App) -> None:
    bench.publish()
    bench.accept()
    key = bench.asked_run()
    part = keys.blob(whole.read(Run, key).plan.parts[0].digest)
    whole.store.delete(part, whole.store.get(part).version)

    result = job.run(key, whole, in_process)

    assert result.status == "failed"
    assert f"{part}: nothing is stored there, though the plan pins it" in result.why


def test_user_modules_do_not_stay_behind(bench: Bench) -> None:
    first = ran(bench, "def train(table, **rest):\n    raise ValueError('one')")
    bench.publish("def train(table, **rest):\n    raise ValueError('two')")

    second = bench.result()

    assert "one" in first.why
    assert "two" in second.why


# From here on the program runs as it does in production: as a process of its own.


def in_child(bench: Bench, code: str, **changes: Any) -> Result:
    bench.publish(code, **changes)
    bench.accept()
    return job.run(bench.asked_run(), bench.whole)


def log_of(bench: Bench, result: Result) -> str:
    return bench.whole.blob(str(result.noted["log"])).decode()


def gone(pid: int) -> bool:
    """Whether a process has ended, once the kernel has had time to deliver the signal."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        deadline = time.monotonic() + 10
        while process.status() != psutil.STATUS_ZOMBIE:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
    return True


def test_a_child_comes_to_the_same_result_as_this_process(bench: Bench, whole: App) -> None:
    child = in_child(bench, "print('hello')\n" + LOGISTIC)
    key = keys.result(keys.run("real", child.run))
    whole.store.delete(key, whole.store.get(key).version)

    here = job.run(keys.run("real", child.run), whole, in_process)

    assert child.status == "succeeded", child.why
    assert here.digest == child.digest
    assert log_of(bench, child) == "hello\n"


def test_a_hanging_program_is_stopped_with_everything_it_started(bench: Bench, tmp_path: Path) -> None:
    code = f"""
import os, time
def train(table, **rest):
    for _ in range(3):
        if not os.fork():
            break
    with open({str(tmp_path / "pids")!r}, "a") as file:
        file.write(f"{{os.getpid()}}\\n")
    print("still here", flush=True)
    time.sleep(3600)
"""
    started = time.monotonic()

    result = in_child(bench, code, train={"time_limit_s": 25})  # a busy machine takes 10 s to get to the first line

    assert "did not end within 25 s" in result.why
    assert "still here" in result.why
    pids = [int(line) for line in (tmp_path / "pids").read_text().split()]
    assert len(pids) == 4
    assert all(gone(pid) for pid in pids)
    assert time.monotonic() - started < 90


def test_a_thread_left_behind_keeps_no_finished_model_waiting(bench: Bench) -> None:
    left = "    from threading import Event, Thread\n    Thread(target=Event().wait).start()\n"
    bench.publish(LOGISTIC.replace("    text =", f"{left}    text ="), train={"time_limit_s": 120})
    bench.accept()

    result = job.run(bench.asked_run(), bench.whole)

    assert result.status == "succeeded", result.why


def test_children_left_behind_are_gone_and_their_output_is_not_waited_for(bench: Bench, tmp_path: Path) -> None:
    code = f"""
import os, time, subprocess
left = subprocess.Popen(["sleep", "3600"])
open({str(tmp_path / "pid")!r}, "w").write(str(left.pid))
os._exit(0)
"""

    result = in_child(bench, code)

    assert "left no model" in result.why
    pid = int((tmp_path / "pid").read_text())
    assert gone(pid)


def test_a_flood_of_output_keeps_its_beginning_and_its_end(bench: Bench) -> None:
    code = """
import os
def train(table, **rest):
    print("first words")
    for _ in range(50):
        print("x" * 1_000_000)
    print("last words", flush=True)
    os.kill(os.getpid(), 9)
"""

    result = in_child(bench, code)

    log = log_of(bench, result)
    assert log.startswith("first words\n")
    assert log.endswith("last words\n")
    assert "bytes left out" in log
    assert len(log) < 200_000
    assert "ended by SIGKILL" in result.why


def test_the_training_code_sees_no_credentials(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a secret")
    monkeypatch.setenv("SAMARA_HOME", "a place")
    code = "import os\nprint(dict(os.environ))\nprint(sorted(os.listdir()))\nos._exit(5)"

    result = in_child(bench, code)

    log = log_of(bench, result)
    assert "exit code 5" in result.why
    assert "HOME" in log
    assert "secret" not in log
    assert "SAMARA" not in log


def test_a_link_left_in_place_of_the_model_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("a secret")
    (tmp_path / "model.onnx").symlink_to(tmp_path / "secret")
    os.mkfifo(tmp_path / "outcome.json")

    for name in ("model.onnx", "outcome.json"):
        with pytest.raises(Rejected, match="plain file"):
            job.read_plain(tmp_path / name, 1000)
