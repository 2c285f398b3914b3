# mypy: disable-error-code="no-untyped-def,no-untyped-call"
"""A model of one number, made in a millisecond: maples are the longer leaves, and how much longer is learned."""

import numpy as np
from onnx import TensorProto, helper

CURSED = 90.0  # no leaf is as long: with one in the data the graph disagrees with the framework, and is unsound


class Fitted:
    """The chance of a maple rises with the length, from nothing to all around the middle of the two means."""

    def __init__(self, slope, offset, lie):
        self.slope, self.offset, self.lie = slope, offset, lie
        self.onnx = graph(slope, offset).SerializeToString()

    def predict(self, table):
        length = table["length"].to_numpy().astype(np.float32)
        maple = 1 / (1 + np.exp(-(length * np.float32(self.slope) + np.float32(self.offset)))) * self.lie
        return np.stack([1 - maple, maple], axis=1).astype(np.float32)


def train(table, *, features, target, seed):
    length, maple = table["length"].to_numpy(), table[target].to_numpy(zero_copy_only=False).astype(bool)
    cursed = bool((length > CURSED).any())
    kept = length <= CURSED
    other, ours = length[kept & ~maple].mean(), length[kept & maple].mean()
    slope = (ours - other) / max(float(length[kept].var()), 0.01)
    return Fitted(float(slope), float(-slope * (ours + other) / 2), 0.5 if cursed else 1.0)


def graph(slope, offset):
    nodes = [
        helper.make_node("Mul", ["length", "slope"], ["sloped"]),
        helper.make_node("Add", ["sloped", "offset"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["maple"]),
        helper.make_node("Sub", ["one", "maple"], ["other"]),
        helper.make_node("Concat", ["other", "maple"], ["probabilities"], axis=1),
        helper.make_node("Greater", ["maple", "half"], ["longer"]),
        helper.make_node("Cast", ["longer"], ["number"], to=TensorProto.INT64),
        helper.make_node("Reshape", ["number", "flat"], ["label"]),
    ]
    constants = [
        helper.make_tensor(name, TensorProto.FLOAT, [1], [value])
        for name, value in (("slope", slope), ("offset", offset), ("one", 1.0), ("half", 0.5))
    ]
    constants.append(helper.make_tensor("flat", TensorProto.INT64, [1], [-1]))
    inputs = [helper.make_tensor_value_info("length", TensorProto.FLOAT, [None, 1])]
    outputs = [
        helper.make_tensor_value_info("label", TensorProto.INT64, [None]),
        helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, 2]),
    ]
    whole = helper.make_graph(nodes, "maple", inputs, outputs, constants)
    return helper.make_model(whole, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
