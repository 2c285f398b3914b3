"""Register numbers what runs made, and lets through its gates only what is better and safe."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import onnx
import pytest

from functions.register import handler
from functions.register.gates import improvement, threshold
from samara.app import App
from samara.core import keys
from samara.core.aliases import Aliases
from samara.core.definition import Gates
from samara.core.profile import Profile
from samara.core.records import Alert, Gate, ModelVersion, Result, Tensor
from samara.events import ObjectCreated
from samara.ports import Version
from samara.providers.memory import MemoryJobs, MemoryStore
from tests.bench import NOON, Bench, coins

Acting = Callable[[str], App]

BACKWARDS = """
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

def train(table, *, features, target, seed):
    model = make_pipeline(make_column_transformer((OneHotEncoder(), ["metal"])), LogisticRegression())
    return model.fit(table.select(features), table[target].to_numpy())
"""


def registered(bench: Bench, acting_as: Acting, result: Result) -> ModelVersion:
    event = ObjectCreated(keys.result(keys.run(result.model, result.run)), NOON)
    version = handler.run(event, acting_as("register"))
    assert version
    return version


def forged(bench: Bench, result: Result, **changes: Any) -> Result:
    """The result as it would be had the job said otherwise."""
    key = keys.result(keys.run(result.model, result.run))
    bench.whole.store.delete(key, bench.whole.store.get(key).version)
    return bench.whole.write(key, result.model_copy(update=changes))


def aliases(bench: Bench) -> Aliases:
    return bench.whole.find_head(Aliases, keys.aliases("real")) or Aliases()


def verdicts(version: ModelVersion) -> dict[str, bool]:
    return {gate.name: gate.passed for gate in version.gates}


def failed(version: ModelVersion) -> list[Gate]:
    return [gate for gate in version.gates if not gate.passed]


def alerts(bench: Bench) -> list[Alert]:
    return [bench.whole.read(Alert, key) for key in bench.whole.store.list("alerts/")]


def test_the_first_version_that_passes_its_gates_is_champion(bench: Bench, acting_as: Acting) -> None:
    bench.publish()
    bench.accept()

    version = registered(bench, acting_as, bench.result())

    assert version.version == 1
    assert verdicts(version) == dict.fromkeys(
        ("safe", "signature", "parity", "measured", "threshold", "improvement"), True
    )
    assert (aliases(bench).champion, aliases(bench).challenger) == (1, None)
    assert aliases(bench).moves[0].cause == version.digest
    assert not alerts(bench)


def test_the_baseline_is_the_profile_of_the_features_over_all_batches(bench: Bench, acting_as: Acting) -> None:
    bench.publish(features=["weight", "metal"], train={"batches": 2})
    bench.accept(coins(100, seed=1))
    bench.accept(coins(200, seed=2), hours=1)

    version = registered(bench, acting_as, bench.result())

    baseline = Profile.read(bench.whole.blob(version.baseline))
    assert baseline.rows == 300
    assert set(baseline.columns) == {"weight", "metal"}


def test_below_its_threshold_a_version_remains_challenger(bench: Bench, acting_as: Acting) -> None:
    bench.publish(gates={"metric": "auc", "at_least": 0.9999})
    bench.accept(coins(noise=3))

    version = registered(bench, acting_as, bench.result())

    assert [gate.name for gate in failed(version)] == ["threshold"]
    assert "at least 0.9999" in failed(version)[0].why
    assert (aliases(bench).champion, aliases(bench).challenger) == (None, 1)


def test_a_better_model_takes_over_and_an_equal_or_worse_one_does_not(bench: Bench, acting_as: Acting) -> None:
    bench.publish(BACKWARDS, features=["metal"], gates={"metric": "log_loss", "at_most": 1})
    bench.accept()
    first = registered(bench, acting_as, bench.result())
    bench.publish(features=["metal", "weight"], gates={"metric": "log_loss", "at_most": 1})

    better = registered(bench, acting_as, bench.result())
    bench.publish(train={"seed": 1}, gates={"metric": "log_loss", "at_most": 1})
    equal = registered(bench, acting_as, bench.result())

    assert (better.compared_with, better.passed) == (1, True)
    assert better.compared_metrics["log_loss"] > better.metrics["log_loss"]
    assert [link.key for link in better.made_from][-1] == keys.version("real", first.version)
    assert [gate.name for gate in failed(equal)] == ["improvement"]
    assert (aliases(bench).champion, aliases(bench).challenger) == (2, 3)
    assert [move.champion for move in aliases(bench).moves] == [1, 2, 2]


def test_better_by_less_than_asked_is_not_enough(bench: Bench, acting_as: Acting) -> None:
    bench.publish(BACKWARDS, features=["metal"], gates={"metric": "auc"})
    bench.accept()
    registered(bench, acting_as, bench.result())
    bench.publish(gates={"metric": "auc", "improves_by": 0.9})

    version = registered(bench, acting_as, bench.result())

    assert [gate.name for gate in failed(version)] == ["improvement"]
    assert "by at least 0.9" in failed(version)[0].why


def test_better_by_just_as_much_as_asked_is_enough() -> None:
    asked = Gates(metric="accuracy", improves_by=0.1)

    assert improvement(asked, {"accuracy": 0.9}, 1, {"accuracy": 0.8}).passed
    assert not improvement(asked, {"accuracy": 0.8999}, 1, {"accuracy": 0.8}).passed


def test_a_figure_that_just_fails_is_not_shown_as_its_limit() -> None:
    asked = Gates(metric="mae", at_most=1e-5)

    assert threshold(asked, {"mae": 1.2e-5}).why == "mae is 1.2e-05, asked is at most 1e-05"
    assert "mae 1.2e-05 against 1.1e-05 of v1" in improvement(asked, {"mae": 1.2e-5}, 1, {"mae": 1.1e-5}).why
    assert threshold(Gates(metric="auc", at_least=0.6), {"auc": 0.59996}).why.startswith("auc is 0.59996, asked is")


def test_an_outlier_in_the_held_out_rows_does_not_keep_a_model_from_being_registered(
    bench: Bench, acting_as: Acting
) -> None:
    table = coins()
    price = [*[float(weight) for weight in table["weight"].to_pylist()[:-1]], 1e200]
    table = table.set_column(table.schema.get_field_index("real"), "real", [price])
    code = "from sklearn.linear_model import LinearRegression\n\n\ndef train(table, *, features, target, seed):\n"
    code += "    return LinearRegression().fit(table.select(features), table[target].to_numpy())"
    bench.publish(code, task="regression", features=["weight"], gates={"metric": "mae"})
    bench.accept(table)

    version = registered(bench, acting_as, bench.result())

    assert version.sound
    assert version.metrics["rmse"] == pytest.approx(1e200 / 60**0.5)


def as_integers(model: Any) -> None:
    """Probabilities of 0 and 1, in whole numbers."""
    graph = model.graph
    for node in graph.node:
        node.output[:] = ["shares" if name == "probabilities" else name for name in node.output]
    graph.node.append(onnx.helper.make_node("Cast", ["shares"], ["probabilities"], to=onnx.TensorProto.INT64))
    graph.output[1].type.tensor_type.elem_type = onnx.TensorProto.INT64


def classes(text: str) -> Callable[[Any], None]:
    def change(model: Any) -> None:
        onnx.helper.set_model_props(model, {"classes": text})

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (as_integers, "answers with probabilities of INT64; answer with FP32"),
        (classes("[" * 100_000), "does not name its 2 classes"),
        (classes(r'["tin", "\ud800"]'), "does not name its 2 classes"),
        (classes("[1, 1]"), "does not name its 2 classes"),
    ],
    ids=["integers", "nested", "half a letter", "twins"],
)
def test_a_model_whose_answers_cannot_be_read_is_not_served(
    change: Callable[[Any], None], words: str, bench: Bench, acting_as: Acting
) -> None:
    bench.publish()
    bench.accept()
    result = bench.result()
    model = onnx.ModelProto.FromString(bench.whole.blob(str(result.artifact)))
    change(model)

    version = registered(bench, acting_as, forged(bench, result, artifact=bench.whole.keep(model.SerializeToString())))

    assert not version.sound
    assert words in "; ".join(gate.why for gate in failed(version))


def test_a_champion_that_cannot_answer_the_new_rows_is_left_to_a_person(bench: Bench, acting_as: Acting) -> None:
    bench.publish(features=["metal", "weight", "serial"])
    first = bench.accept()
    registered(bench, acting_as, bench.result())
    bench.publish()
    bench.accept(coins(seed=3).drop_columns(["serial"]), hours=1)

    version = registered(bench, acting_as, bench.result())

    assert first
    assert "compare them by hand" in failed(version)[0].why
    assert (aliases(bench).champion, aliases(bench).challenger) == (1, 2)


def test_without_the_champions_record_a_version_is_left_to_a_person_under_a_number_of_its_own(
    bench: Bench, acting_as: Acting
) -> None:
    bench.publish(gates={"metric": "auc"})
    bench.accept()
    first = keys.version("real", registered(bench, acting_as, bench.result()).version)
    bench.publish(gates={"metric": "auc"}, train={"seed": 1})
    result = bench.result()
    bench.whole.store.delete(first, bench.whole.store.get(first).version)

    version = registered(bench, acting_as, result)

    assert (version.version, version.compared_with) == (2, 1)
    assert [gate.name for gate in failed(version)] == ["improvement"]
    assert f"cannot be compared with v1: {first}: nothing is stored there" in failed(version)[0].why
    assert (aliases(bench).champion, aliases(bench).challenger) == (1, 2)


@pytest.mark.parametrize("stray", ["0000000001 copy.json", ".DS_Store"])
def test_a_stray_file_among_the_versions_stops_nothing(stray: str, bench: Bench, acting_as: Acting) -> None:
    bench.publish()
    bench.accept()
    first = keys.version("real", registered(bench, acting_as, bench.result()).version)
    bench.whole.store.create(f"models/real/{stray}", bench.whole.store.get(first).data)
    bench.publish(train={"seed": 1})

    assert registered(bench, acting_as, bench.result()).version == 2


def test_a_failed_run_is_told_to_a_person_once(bench: Bench, acting_as: Acting) -> None:
    bench.publish("def train(table, **rest):\n    return 1 / 0")
    bench.accept()
    result = bench.result()
    event = ObjectCreated(keys.result(keys.run("real", result.run)), NOON)

    for _ in range(2):
        assert handler.run(event, acting_as("register")) is None

    (alert,) = alerts(bench)
    assert "division by zero" in alert.why
    assert not list(bench.whole.store.list("models/"))
    assert not aliases(bench).moves


def test_told_five_times_it_is_one_version_and_one_move(bench: Bench, acting_as: Acting) -> None:
    bench.publish()
    bench.accept()
    result = bench.result()

    versions = [registered(bench, acting_as, result) for _ in range(5)]

    assert {version.version for version in versions} == {1}
    assert len(aliases(bench).moves) == 1


def test_many_registrations_at_once_leave_no_gap_and_no_double(bench: Bench, acting_as: Acting) -> None:
    bench.accept()
    results = []
    for seed in range(4):
        bench.publish(train={"seed": seed})
        results.append(bench.result())

    with ThreadPoolExecutor(8) as pool:
        versions = list(pool.map(lambda result: registered(bench, acting_as, result), results * 2))

    assert sorted({version.version for version in versions}) == [1, 2, 3, 4]
    stored = [bench.whole.read(ModelVersion, key) for key in bench.whole.store.list("models/")]
    assert sorted(version.run for version in stored) == sorted(result.run for result in results)
    assert [move.number for move in aliases(bench).moves] == [1, 2, 3, 4]
    assert aliases(bench).champion is not None


class Mortal:
    """A store that dies before its n-th write."""

    def __init__(self, store: MemoryStore, lives: int) -> None:
        self._store, self._lives = store, lives

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def create(self, key: str, data: bytes) -> Version:
        if not self._lives:
            raise KeyboardInterrupt
        self._lives -= 1
        return self._store.create(key, data)


@pytest.mark.parametrize("lives", [0, 1, 2, 3])
def test_killed_before_any_write_and_woken_again_it_ends_the_same(
    bench: Bench, acting_as: Acting, store: MemoryStore, jobs: MemoryJobs, lives: int
) -> None:
    bench.publish()
    bench.accept()
    result = bench.result()
    event = ObjectCreated(keys.result(keys.run("real", result.run)), NOON)
    dying = App(Mortal(store, lives), jobs, acting_as("register").maker)

    with pytest.raises(KeyboardInterrupt):
        handler.run(event, dying)
    version = registered(bench, acting_as, result)

    assert version.version == 1
    assert len(list(store.list("models/"))) == 1
    assert aliases(bench).champion == 1


def test_an_unsafe_model_gets_a_number_but_is_neither_champion_nor_challenger(bench: Bench, acting_as: Acting) -> None:
    bench.publish()
    bench.accept()
    pickled = bench.whole.keep(b"\x80\x04\x95renamed to .onnx")
    result = forged(bench, bench.result(), artifact=pickled)

    version = registered(bench, acting_as, result)

    assert not version.sound
    assert "no ONNX model" in failed(version)[0].why
    assert (aliases(bench).champion, aliases(bench).challenger) == (None, None)
    assert aliases(bench).caused(version.digest), "or reconcile would ask for it for ever"
    assert "must not be served" in alerts(bench)[0].what


def test_a_model_that_is_gone_or_altered_is_not_loaded(bench: Bench, acting_as: Acting) -> None:
    bench.publish()
    bench.accept()
    result = bench.result()
    key = keys.blob(str(result.artifact))
    bench.whole.store.replace(key, b"other bytes", bench.whole.store.get(key).version)

    version = registered(bench, acting_as, result)

    assert "altered" in failed(version)[0].why
    assert not version.sound


def test_a_model_that_strays_from_its_framework_is_not_served(bench: Bench, acting_as: Acting) -> None:
    bench.publish()
    bench.accept()
    result = bench.result()
    assert result.parity
    strayed = result.parity.model_copy(update={"largest_difference": 0.5})  # and yet it says that it agreed

    version = registered(bench, acting_as, forged(bench, result, parity=strayed))

    assert [gate.name for gate in failed(version)] == ["parity"]
    assert aliases(bench).champion is None


def test_metrics_that_were_made_up_are_found_out(bench: Bench, acting_as: Acting) -> None:
    bench.publish()
    bench.accept()
    result = bench.result()

    version = registered(bench, acting_as, forged(bench, result, metrics={**result.metrics, "auc": 1.0}))

    assert [gate.name for gate in failed(version)] == ["measured"]
    assert version.metrics["auc"] == pytest.approx(result.metrics["auc"])


def renamed_input(model: Any) -> None:
    for node in model.graph.node:
        node.input[:] = ["heft" if name == "weight" else name for name in node.input]
    next(value for value in model.graph.input if value.name == "weight").name = "heft"


def dropped_output(model: Any) -> None:
    del model.graph.output[0]


def renamed_classes(model: Any) -> None:
    onnx.helper.set_model_props(model, {"classes": "[0, 1, 2]"})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (renamed_input, "heft"),
        (dropped_output, "label"),
        (renamed_classes, "name its 2 classes"),
    ],
)
def test_a_model_whose_signature_is_another_is_not_served(
    bench: Bench, acting_as: Acting, change: Callable[[Any], None], words: str
) -> None:
    bench.publish()
    bench.accept()
    result = bench.result()
    model = onnx.load_model_from_string(bench.whole.blob(str(result.artifact)))
    change(model)

    other = forged(bench, result, artifact=bench.whole.keep(model.SerializeToString()))
    version = registered(bench, acting_as, other)

    (gate,) = failed(version)
    assert gate.name == "signature"
    assert words in gate.why
    assert not version.sound


def test_a_job_that_lies_about_the_signature_is_found_out(bench: Bench, acting_as: Acting) -> None:
    bench.publish()
    bench.accept()
    result = bench.result()
    assert result.signature
    extra = Tensor(name="secret", datatype="FP32", shape=(-1, 1))
    lie = result.signature.model_copy(update={"inputs": (*result.signature.inputs, extra)})

    version = registered(bench, acting_as, forged(bench, result, signature=lie))

    assert "not what the job said" in failed(version)[0].why


def test_swapped_labels_do_not_reach_the_threshold(bench: Bench, acting_as: Acting) -> None:
    bench.publish()
    bench.accept()
    result = bench.result()
    model = onnx.load_model_from_string(bench.whole.blob(str(result.artifact)))
    onnx.helper.set_model_props(model, {"classes": "[1, 0]"})

    other = forged(bench, result, artifact=bench.whole.keep(model.SerializeToString()))
    version = registered(bench, acting_as, other)

    assert {"measured", "threshold"} <= {gate.name for gate in failed(version)}
    assert aliases(bench).champion is None


def test_a_result_that_nobody_planned_or_that_lacks_half_is_told_and_not_registered(
    bench: Bench, acting_as: Acting
) -> None:
    maker = bench.whole.maker
    stray = Result(made_by=maker, model="real", run="0" * 16, status="succeeded")
    bench.publish()
    bench.accept()
    half = forged(bench, bench.result(), holdout=None)
    bench.whole.write("results/real/0000000000000000.json", stray)

    for result in (stray, half):
        event = ObjectCreated(keys.result(keys.run("real", result.run)), NOON)
        assert handler.run(event, acting_as("register")) is None

    assert sorted(alert.what for alert in alerts(bench)) == ["cannot be registered"] * 2
    assert not list(bench.whole.store.list("models/"))


def test_an_event_for_a_result_that_is_gone_does_nothing(acting_as: Acting) -> None:
    assert handler.run(ObjectCreated("results/real/0.json", NOON), acting_as("register")) is None
