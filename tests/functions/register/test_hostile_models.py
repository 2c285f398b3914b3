"""A model may look harmless and not be: it is tried in a process of its own before register loads it."""

import platform
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from functions.register import handler
from functions.register.inspect_model import flaws
from samara.app import App
from samara.core import keys
from samara.core.aliases import Aliases
from samara.core.records import ModelVersion
from samara.events import ObjectCreated
from tests.bench import NOON, Bench

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64


def model(nodes: list[Any], kept: list[Any]) -> bytes:
    graph = helper.make_graph(
        nodes,
        "hostile",
        [helper.make_tensor_value_info("x", FLOAT, [None, 1])],
        [helper.make_tensor_value_info("y", FLOAT, [None, None])],
        kept,
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(made.SerializeToString())


def explosive() -> bytes:
    """A few megabytes, of which one row makes terabytes: every value of a column plus every value of a line."""
    size = 1 << 20
    column = helper.make_tensor("column", FLOAT, [size, 1], bytes(4 * size), raw=True)
    line = helper.make_tensor("line", FLOAT, [1, size], bytes(4 * size), raw=True)
    nodes = [helper.make_node("Add", ["x", "column"], ["tall"]), helper.make_node("Add", ["tall", "line"], ["y"])]
    return model(nodes, [column, line])


def endless() -> bytes:
    """A loop that the inspection would see; here it stands for one that it does not."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Identity", ["sum"], ["next"])],
        "body",
        [
            helper.make_tensor_value_info("i", INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("sum", FLOAT, [None, 1]),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", FLOAT, [None, 1]),
        ],
    )
    kept = [helper.make_tensor("times", INT64, [], [2**62]), helper.make_tensor("yes", TensorProto.BOOL, [], [True])]
    return model([helper.make_node("Loop", ["times", "yes", "x"], ["y"], body=body)], kept)


def dividing() -> bytes:
    """The least whole number divided by −1, which is one more than the greatest: some processors end whoever asks."""
    nodes = [
        helper.make_node("Cast", ["x"], ["whole"], to=INT64),
        helper.make_node("Sub", ["whole", "one"], ["below"]),
        helper.make_node("Div", ["least", "below"], ["share"]),
        helper.make_node("Cast", ["share"], ["y"], to=FLOAT),
    ]
    kept = [helper.make_tensor("one", INT64, [1, 1], [1]), helper.make_tensor("least", INT64, [1, 1], [-(2**63)])]
    return model(nodes, kept)


def failing() -> bytes:
    """A model that answers one row with an error, as one may that knows no such category."""
    nodes = [helper.make_node("Cast", ["x"], ["at"], to=INT64), helper.make_node("Gather", ["none", "at"], ["y"])]
    return model(nodes, [helper.make_tensor("none", FLOAT, [0], np.array([], np.float32))])


def test_what_grows_without_bound_is_a_danger_though_nothing_in_it_looks_so() -> None:
    assert flaws(explosive()) == []
    assert handler.dangers(explosive()) == ["needs more memory than 1,024 MB, when it is loaded and asked once"]


def test_a_text_that_is_doubled_again_and_again_is_a_danger() -> None:
    doubled = [helper.make_node("StringConcat", [f"s{step}", f"s{step}"], [f"s{step + 1}"]) for step in range(60)]
    text = [helper.make_tensor_value_info(name, TensorProto.STRING, [None, 1]) for name in ("s0", "s60")]
    graph = helper.make_graph(doubled, "hostile", text[:1], text[1:])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9).SerializeToString()

    assert not flaws(made)
    assert "memory" in handler.dangers(made)[0]


def test_what_never_ends_is_a_danger() -> None:
    assert handler.dangers(endless(), limit_s=0.5) == ["takes longer than 0.5 s, when it is loaded and asked once"]


@pytest.mark.parametrize("size", [10**12, 2**62])
def test_an_input_that_no_memory_holds_is_a_danger(size: int) -> None:
    changed = onnx.ModelProto.FromString(failing())
    changed.graph.input[0].type.tensor_type.shape.dim[1].dim_value = size

    found = handler.dangers(changed.SerializeToString())

    assert found == ["needs more memory than 1,024 MB, when it is loaded and asked once"]


@pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64"), reason="only these processors stop at such a division"
)
def test_what_takes_its_process_down_is_a_danger() -> None:
    assert flaws(dividing()) != [], "inspection finds this one, and would not find every one"
    assert handler.dangers(dividing()) == ["its process died of SIGFPE, when it is loaded and asked once"]


@pytest.mark.parametrize("data", [failing(), b"no model"], ids=["failing", "no model"])
def test_what_fails_as_a_model_may_is_no_danger(data: bytes) -> None:
    assert handler.dangers(data) == []


def test_a_dangerous_model_is_registered_as_unsafe_and_never_loaded(
    bench: Bench, acting_as: Callable[[str], App]
) -> None:
    bench.publish()
    bench.accept()
    result = bench.result()
    key = keys.result(keys.run(result.model, result.run))
    bench.whole.store.delete(key, bench.whole.store.get(key).version)
    artifact = bench.whole.keep(explosive())
    bench.whole.write(key, result.model_copy(update={"artifact": artifact}))

    version = handler.run(ObjectCreated(key, NOON), acting_as("register"))

    assert isinstance(version, ModelVersion)
    assert not version.sound
    gate = next(gate for gate in version.gates if not gate.passed)
    assert (gate.name, gate.why) == ("safe", "needs more memory than 1,024 MB, when it is loaded and asked once")
    aliases = bench.whole.find_head(Aliases, keys.aliases("real"))
    assert aliases
    assert (aliases.champion, aliases.challenger) == (None, None)
