"""What a model's bytes give away before anybody loads it."""

import time
from collections.abc import Callable
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from functions.register import inspect_model
from functions.register.inspect_model import flaws

FLOAT = TensorProto.FLOAT


def plain(**parts: Any) -> Any:
    """A model that adds one number to its input."""
    add = helper.make_node("Add", ["x", "one"], ["y"], name="add")
    one = helper.make_tensor("one", FLOAT, [1], [1.0])
    graph = helper.make_graph(
        parts.pop("nodes", [add]),
        "plain",
        [helper.make_tensor_value_info("x", FLOAT, [None, 1])],
        [helper.make_tensor_value_info("y", FLOAT, [None, 1])],
        [one],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8, **parts)


def stump(**changes: Any) -> Any:
    """A tree of one decision and two leaves."""
    attributes: dict[str, Any] = {
        "nodes_treeids": [0, 0, 0],
        "nodes_nodeids": [0, 1, 2],
        "nodes_featureids": [0, 0, 0],
        "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"],
        "nodes_values": [0.5, 0.0, 0.0],
        "nodes_truenodeids": [1, 0, 0],
        "nodes_falsenodeids": [2, 0, 0],
        "target_ids": [0, 0],
        "target_nodeids": [1, 2],
        "target_treeids": [0, 0],
        "target_weights": [1.0, 2.0],
        "n_targets": 1,
    }
    given = attributes | changes
    return plain(nodes=[helper.make_node("TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml", **given)])


def test_a_plain_model_and_a_tree_have_no_flaws() -> None:
    assert flaws(plain().SerializeToString()) == []
    assert flaws(stump().SerializeToString()) == []


WHOLE = plain().SerializeToString()


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\0", b"hello", b"<html></html>", b"PK\x03\x04", b"\x80\x04\x95pickle", WHOLE[: len(WHOLE) // 2],
        b"\xff" * 100, b"\x0a" * 10_000,
    ],
)  # fmt: skip
def test_what_is_no_model_is_said_to_be_none(data: bytes) -> None:
    (flaw,) = flaws(data)

    assert "is no ONNX model" in flaw


def outside(model: Any) -> None:
    tensor = model.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")


def outside_constant(model: Any) -> None:
    tensor = helper.make_tensor("c", FLOAT, [1], [1.0])
    tensor.external_data.add(key="location", value="/dev/zero")
    model.graph.node.append(helper.make_node("Constant", [], ["c"], value=tensor))


def sparse(model: Any) -> None:
    model.graph.sparse_initializer.add()


def function(model: Any) -> None:
    model.functions.add(name="f", domain="local")


def foreign_domain(model: Any) -> None:
    model.opset_import.add(domain="com.evil", version=1)


def foreign_operator(model: Any) -> None:
    model.graph.node.append(helper.make_node("Run", ["x"], ["z"], domain="com.microsoft"))


def unknown_operator(model: Any) -> None:
    model.graph.node.append(helper.make_node("Frobnicate", ["x"], ["z"]))


def endless_loop(model: Any) -> None:
    body = helper.make_graph([], "body", [], [])
    model.graph.node.append(helper.make_node("Loop", ["", ""], ["z"], body=body))


def enormous(model: Any) -> None:
    model.graph.node.append(helper.make_node("ConstantOfShape", ["x"], ["z"]))


def by_chance(model: Any) -> None:
    model.graph.node.append(helper.make_node("RandomNormal", [], ["z"], shape=[1]))


def hidden_graph(model: Any) -> None:
    graph = helper.make_graph([], "g", [], [])
    model.graph.node[0].attribute.append(helper.make_attribute("secret", graph))


def future_opset(model: Any) -> None:
    model.opset_import[0].version = 999


def no_opset_number(model: Any) -> None:
    model.opset_import[0].version = 0


def future_format(model: Any) -> None:
    model.ir_version = 99


def no_outputs(model: Any) -> None:
    del model.graph.output[:]


def no_inputs(model: Any) -> None:
    del model.graph.input[:]


def twin_inputs(model: Any) -> None:
    model.graph.input.append(model.graph.input[0])


def invisible_name(model: Any) -> None:
    model.graph.input[0].name = "x\u202e\n"


def many_words(model: Any) -> None:
    model.metadata_props.add(key="k", value="v" * (2 << 20))


def huge_claim(model: Any) -> None:
    model.graph.initializer[0].dims[:] = [10**9, 10**9]


def negative_size(model: Any) -> None:
    model.graph.initializer[0].dims[:] = [-1]


def half_a_number(model: Any) -> None:
    model.graph.initializer[0].ClearField("float_data")
    model.graph.initializer[0].raw_data = b"\0\0\0"


def unknown_type(model: Any) -> None:
    model.graph.initializer[0].data_type = 99


def circle(model: Any) -> None:
    model.graph.node[0].input[1] = "y"


def missing_input(model: Any) -> None:
    model.graph.node[0].input[1] = "nothing"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (outside, "another file"),
        (outside_constant, "another file"),
        (sparse, "sparse"),
        (function, "functions of its own"),
        (foreign_domain, "com.evil"),
        (foreign_operator, "com.microsoft.Run"),
        (unknown_operator, "Frobnicate"),
        (endless_loop, "may never end"),
        (enormous, "any size"),
        (by_chance, "differ from one request"),
        (hidden_graph, "graph of its own"),
        (future_opset, "opset 999"),
        (no_opset_number, "opset 0"),
        (future_format, "IR version 99"),
        (no_outputs, "no outputs"),
        (no_inputs, "no inputs"),
        (twin_inputs, "two inputs named 'x'"),
        (invisible_name, "unusable name"),
        (many_words, "documentation"),
        (huge_claim, "says it holds 1000000000×1000000000"),
        (negative_size, "negative dimension"),
        (half_a_number, "brings -1"),
        (unknown_type, "type that is not served"),
        (circle, "not valid ONNX"),
        (missing_input, "not valid ONNX"),
    ],
)
def test_each_danger_is_named(change: Callable[[Any], None], words: str) -> None:
    model = plain()

    change(model)

    assert any(words in flaw for flaw in flaws(model.SerializeToString())), flaws(model.SerializeToString())


def many_sizes(model: Any) -> None:
    model.graph.initializer[0].dims[:] = [2**62] * 1_000_000


def many_inputs(model: Any) -> None:
    model.graph.input.extend([model.graph.input[0]] * 100_000)


@pytest.mark.parametrize(("change", "words"), [(many_sizes, "1,000,000 dimensions"), (many_inputs, "two inputs")])
def test_a_danger_is_named_however_often_it_is_there(change: Callable[[Any], None], words: str) -> None:
    model = plain()
    change(model)
    started = time.monotonic()

    assert any(words in flaw for flaw in flaws(model.SerializeToString()))
    assert time.monotonic() - started < 30


@pytest.mark.parametrize("text", [b"Add", b"plain", b"x", b"y", b"one", b"add"])
def test_names_that_are_no_text_are_refused(text: bytes) -> None:
    assert flaws(WHOLE.replace(text, b"\xff" * len(text))) == ["has names or texts that are not UTF-8; export it anew"]


def divided(operator: str, kind: int, divisor: int | None) -> bytes:
    """x divided by a number of the model's own, or by another input."""
    more: dict[str, Any] = {"fmod": 1} if operator == "Mod" else {}
    node = helper.make_node(operator, ["x", "d"], ["y"], name="divide", **more)
    inputs = [helper.make_tensor_value_info(name, kind, [None]) for name in ("x", "d")]
    given = [helper.make_tensor("d", kind, [1], [divisor])] if divisor is not None else []
    outputs = [helper.make_tensor_value_info("y", kind, [None])]
    graph = helper.make_graph([node], "divided", inputs[: 2 - len(given)], outputs, given)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    data: bytes = model.SerializeToString()
    return data


@pytest.mark.parametrize("operator", ["Div", "Mod"])
@pytest.mark.parametrize("divisor", [None, 0, -1])
def test_a_division_that_a_request_could_end_the_process_by_is_refused(operator: str, divisor: int | None) -> None:
    (why,) = flaws(divided(operator, TensorProto.INT64, divisor))

    assert why == "node 'divide' divides integers, which can end the process; cast to float first"


@pytest.mark.parametrize("operator", ["Div", "Mod"])
def test_a_division_of_floats_or_by_a_harmless_number_is_fine(operator: str) -> None:
    assert flaws(divided(operator, FLOAT, None)) == []
    assert flaws(divided(operator, TensorProto.INT64, 7)) == []


def sized(operator: str, place: int, before: list[Any], decider: str) -> bytes:
    """A model of one operator, whose input at this place says how large the output is: another input, or what the
    nodes before come to. The model brings all other inputs."""
    given = ["one"] * max(place + 1, onnx.defs.get_schema(operator, 21, "").min_input)
    given[place] = decider
    attributes: dict[str, Any] = {"kernel_shape": [1, 1]} if operator == "MaxUnpool" else {}
    nodes = [*before, helper.make_node(operator, given, ["y"], name="grow", **attributes)]
    inputs = [helper.make_tensor_value_info("n", TensorProto.INT64, [None])]
    outputs = [helper.make_tensor_value_info("y", FLOAT, [None])]
    brought = [helper.make_tensor("one", TensorProto.INT64, [1], [1])]
    graph = helper.make_graph(nodes, "sized", inputs, outputs, brought)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    return bytes(made.SerializeToString())


growing = pytest.mark.parametrize(
    ("operator", "place", "what"),
    [
        ("Pad", 1, "pads"),
        ("OneHot", 1, "depth"),
        ("HannWindow", 0, "size"),
        ("HammingWindow", 0, "size"),
        ("BlackmanWindow", 0, "size"),
        ("AffineGrid", 1, "size"),
        ("MelWeightMatrix", 0, "num_mel_bins"),
        ("MelWeightMatrix", 1, "dft_length"),
        ("Col2Im", 1, "image_shape"),
        ("DFT", 1, "dft_length"),
        ("MaxUnpool", 2, "output_shape"),
    ],
)


@growing
@pytest.mark.parametrize(
    ("before", "decider"),
    [
        ([], "n"),
        ([helper.make_node("Mul", ["n", "one"], ["made"])], "made"),
        ([helper.make_node("Shape", ["n"], ["made"])], "made"),
    ],
    ids=["an input", "what follows from it", "its shape"],
)
def test_a_size_that_a_request_decides_is_refused(
    operator: str, place: int, what: str, before: list[Any], decider: str
) -> None:
    (why,) = flaws(sized(operator, place, before, decider))

    assert why == f"node 'grow' gives as much as a request asks for; make the {what} of {operator} a constant"


@growing
@pytest.mark.parametrize(
    ("before", "decider"),
    [
        ([], "one"),
        ([helper.make_node("Constant", [], ["made"], value_ints=[2])], "made"),
        (
            [
                helper.make_node("Constant", [], ["two"], value_ints=[2]),
                helper.make_node("Concat", ["one", "two"], ["made"], axis=0),
            ],
            "made",
        ),
    ],
    ids=["a weight", "a constant", "what follows from them"],
)
def test_a_size_that_the_model_itself_decides_is_fine(
    operator: str, place: int, what: str, before: list[Any], decider: str
) -> None:
    assert flaws(sized(operator, place, before, decider)) == [], what


@pytest.mark.parametrize("operator", ["DFT", "MaxUnpool"])
def test_a_size_that_nobody_states_is_that_of_the_input(operator: str) -> None:
    data = sized(operator, 0, [], "n")

    assert not any("as much as a request asks for" in flaw for flaw in flaws(data))


@pytest.mark.parametrize(
    "changes",
    [
        {"nodes_truenodeids": [0, 0, 0]},
        {"nodes_truenodeids": [7, 0, 0]},
        {"nodes_truenodeids": [2, 0, 0]},
        {"nodes_featureids": [-5, 0, 0]},
        {"nodes_nodeids": [0, 1, 1]},
        {"nodes_modes": ["LEAF"]},
    ],
)
def test_a_tree_that_leads_nowhere_or_back_is_refused(changes: dict[str, Any]) -> None:
    assert flaws(stump(**changes).SerializeToString())


def test_a_model_of_too_many_bytes_or_nodes_is_not_looked_at_further(monkeypatch: pytest.MonkeyPatch) -> None:
    crowded = plain(nodes=[helper.make_node("Relu", ["x"], [f"y{number}"]) for number in range(20_001)])
    monkeypatch.setattr(inspect_model, "LARGEST", 10_000_000)

    assert "20,001 nodes" in flaws(crowded.SerializeToString())[0]
    assert "bytes; 10,000,000 are allowed" in flaws(bytes(10_000_001))[0]


@pytest.mark.parametrize("field", ["initializer", "value_info", "output"])
def test_a_model_of_too_many_parts_is_not_looked_at_further(field: str, monkeypatch: pytest.MonkeyPatch) -> None:
    crowded = plain()
    for _ in range(10_000):
        getattr(crowded.graph, field).add()
    monkeypatch.setattr(inspect_model, "MOST_PARTS", 10_000)

    assert flaws(crowded.SerializeToString()) == [
        "is made of more than 10,000 parts: nodes, tensors, attributes and the like"
    ]
