"""Optimised models are kept for the next process, and whatever happens to the folder, the model is loaded."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from samara import engines, ort, ort_api
from samara.core.tensors import Value
from samara.errors import Rejected

SIDE = 640  # squared, times four bytes: more than is worth keeping


def large() -> bytes:
    """Two layers with weights of 1.6 MB each."""
    random = np.random.default_rng(0)
    weights = [random.normal(size=(SIDE, SIDE)).astype(np.float32) for _ in range(2)]
    nodes = [
        helper.make_node("MatMul", ["x", "w0"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("MatMul", ["b", "w1"], ["c"]),
        helper.make_node("Softmax", ["c"], ["y"]),
    ]
    shapes = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, SIDE]) for name in "xy"]
    kept = [numpy_helper.from_array(array, f"w{place}") for place, array in enumerate(weights)]
    graph = helper.make_graph(nodes, "large", shapes[:1], shapes[1:], kept)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(made, {"classes": "[1]"})
    return bytes(made.SerializeToString())


LARGE = large()
GIVEN = {"x": Value("FP32", (1, SIDE), np.linspace(-1, 1, SIDE, dtype=np.float32).tobytes())}
EXPECTED = ort.load(LARGE).run(GIVEN)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_next_session_comes_from_the_folder_and_answers_the_same_to_the_last_bit(tmp_path: Path) -> None:
    first = engines.load(LARGE, cache=tmp_path / "new")
    kept = files(tmp_path)

    second = engines.load(LARGE, cache=tmp_path / "new")

    assert {Path(name).name for name in kept} == {"model.onnx", "model.weights", "checksums"}
    assert files(tmp_path) == kept
    assert first.run(GIVEN) == second.run(GIVEN) == EXPECTED
    assert (first.inputs, first.outputs, first.metadata) == (second.inputs, second.outputs, second.metadata)


def test_it_is_what_lies_in_the_folder_that_is_loaded(tmp_path: Path) -> None:
    engines.load(LARGE, cache=tmp_path, digest="a")

    session = engines.load(b"no model" * 200_000, cache=tmp_path, digest="a")

    assert session.run(GIVEN) == EXPECTED


@pytest.mark.parametrize("name", ["model.onnx", "model.weights", "checksums"])
def test_what_was_damaged_is_not_used_and_made_anew(tmp_path: Path, name: str) -> None:
    engines.load(LARGE, cache=tmp_path)
    kept = files(tmp_path)
    (damaged,) = tmp_path.rglob(name)
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")

    session = engines.load(LARGE, cache=tmp_path)

    assert session.run(GIVEN) == EXPECTED
    assert files(tmp_path) == kept


@pytest.mark.parametrize("said", [b"\xff\xfe", b"\0" * 40, b""])
def test_checksums_that_are_none_are_those_of_no_model(tmp_path: Path, said: bytes) -> None:
    engines.load(LARGE, cache=tmp_path)
    kept = files(tmp_path)
    (checksums,) = tmp_path.rglob("checksums")
    checksums.write_bytes(said)

    assert engines.load(LARGE, cache=tmp_path).run(GIVEN) == EXPECTED
    assert files(tmp_path) == kept


def test_a_folder_without_its_model_is_filled_anew(tmp_path: Path) -> None:
    engines.load(LARGE, cache=tmp_path)
    kept = files(tmp_path)
    for path in tmp_path.rglob("*.*"):
        path.unlink()
    next(tmp_path.rglob("checksums")).write_bytes(b"")

    assert engines.load(LARGE, cache=tmp_path).run(GIVEN) == EXPECTED
    assert files(tmp_path) == kept


def test_a_folder_that_cannot_be_one_costs_nothing_but_time(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    assert engines.load(LARGE, cache=tmp_path / "file").run(GIVEN) == EXPECTED


def test_small_models_and_broken_ones_are_not_kept(tmp_path: Path) -> None:
    shapes = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None]) for name in "xy"]
    small = helper.make_graph([helper.make_node("Neg", ["x"], ["y"])], "small", shapes[:1], shapes[1:])
    made: Any = helper.make_model(small, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)

    engines.load(made.SerializeToString(), cache=tmp_path)
    with pytest.raises(Rejected, match="onnxruntime cannot load it"):
        engines.load(LARGE[:-1000], cache=tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_the_library_is_found_without_running_its_package() -> None:
    found = ort_api.library()

    assert found
    assert Path(found).name.startswith("libonnxruntime") or Path(found).name == "onnxruntime.dll"


def test_the_environment_may_name_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMARA_CACHE", str(tmp_path / "named"))

    engines.load(LARGE)

    assert files(tmp_path / "named")
