"""Whether a model is safe to load: what its bytes say, without running them. Pure.

ONNX can name files to read, carry functions and loops, and ask for tensors far larger than itself. None of that
is needed to answer a prediction, so none of it is let in.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain
from math import prod
from typing import Any

import numpy as np
import onnx
import onnx.shape_inference
from google.protobuf.message import DecodeError
from onnx import numpy_helper

LARGEST = 512 << 20  # bytes
MOST_NODES = 20_000
MOST_PARTS = 1_000_000  # messages, each of which takes two bytes of a file and a hundred times as much to look at
MOST_DIMENSIONS = 64  # what numpy holds; multiplying a million sizes takes hours
LONGEST_TEXT = 1 << 20  # bytes of documentation and metadata together
LONGEST_NAME = 200
DOMAINS = ("", "ai.onnx", "ai.onnx.ml")
OLDEST_OPSET = 7  # what onnxruntime still reads
UNBOUNDED = frozenset({"ConstantOfShape", "Expand", "Tile", "Range", "Resize", "Upsample", "CenterCropPad"})
DECIDING = {  # inputs, by place and name, whose values say how large the output is
    "Pad": {1: "pads"}, "OneHot": {1: "depth"}, "AffineGrid": {1: "size"}, "Col2Im": {1: "image_shape"},
    "HannWindow": {0: "size"}, "HammingWindow": {0: "size"}, "BlackmanWindow": {0: "size"}, "DFT": {1: "dft_length"},
    "MelWeightMatrix": {0: "num_mel_bins", 1: "dft_length"}, "MaxUnpool": {2: "output_shape"},
}  # fmt: skip
ENDLESS = frozenset({"Loop", "Scan", "If", "SequenceMap"})
RANDOM = frozenset(
    {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli"}
)
BITS = {  # of one value in `raw_data`; other types are not served
    onnx.TensorProto.FLOAT: 32, onnx.TensorProto.DOUBLE: 64, onnx.TensorProto.FLOAT16: 16,
    onnx.TensorProto.INT8: 8, onnx.TensorProto.INT16: 16, onnx.TensorProto.INT32: 32, onnx.TensorProto.INT64: 64,
    onnx.TensorProto.UINT8: 8, onnx.TensorProto.UINT16: 16, onnx.TensorProto.UINT32: 32, onnx.TensorProto.UINT64: 64,
    onnx.TensorProto.BOOL: 8,
}  # fmt: skip


def flaws(data: bytes) -> list[str]:
    """Everything that speaks against loading this model, most fundamental first; empty when it is safe."""
    if len(data) > LARGEST:
        return [f"has {len(data):,} bytes; {LARGEST:,} are allowed"]
    try:
        model = onnx.ModelProto.FromString(data)
    except (DecodeError, ValueError):
        return ["is no ONNX model: it is truncated, or another kind of file"]
    if not model.graph.node or not model.opset_import:
        return ["is no ONNX model: there is no graph in it"]
    if why := next(unreadable(model), ""):
        return [why]
    graph = model.graph
    found = list(chain(outside(model), frame(model), names(graph), operators(model), sizes(graph), tensors(graph)))
    return found or list(chain(trees(model.graph), broken(model))) or list(divisions(model))


def unreadable(model: Any) -> Iterator[str]:
    """Why it is not looked at any further. Texts that are none protobuf hands out as bytes, and onnxruntime fails on
    them."""
    if len(model.graph.node) > MOST_NODES:
        yield f"has {len(model.graph.node):,} nodes; {MOST_NODES:,} are allowed"
    for count, part in enumerate(parts(model)):
        if count == MOST_PARTS:
            yield f"is made of more than {MOST_PARTS:,} parts: nodes, tensors, attributes and the like"
        if any(isinstance(text, bytes) for text in texts(part)):
            yield "has names or texts that are not UTF-8; export it anew"


def parts(message: Any) -> Iterator[Any]:
    """A message and all messages in it."""
    yield message
    for field, value in message.ListFields():
        if field.type == field.TYPE_MESSAGE:
            for one in value if field.is_repeated else (value,):
                yield from parts(one)


def texts(message: Any) -> Iterator[str | bytes]:
    """The texts of a message, without those of the messages in it."""
    for field, value in message.ListFields():
        if field.type == field.TYPE_STRING:
            yield from value if field.is_repeated else (value,)


def outside(model: Any) -> Iterator[str]:
    """Whatever refers to files."""
    kept = [*model.graph.initializer, *(t for node in model.graph.node for a in node.attribute for t in held(a))]
    sparse = [*model.graph.sparse_initializer, *(a for node in model.graph.node for a in node.attribute if thin(a))]
    for tensor in kept:
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            yield f"tensor {shown(tensor.name)} lies in another file; keep all weights inside the model"
    if sparse:
        yield "has sparse tensors, which are not served; make them dense"


def held(attribute: Any) -> Sequence[Any]:
    return [*([attribute.t] if attribute.HasField("t") else []), *attribute.tensors]


def thin(attribute: Any) -> bool:
    return bool(attribute.HasField("sparse_tensor") or attribute.sparse_tensors)


def frame(model: Any) -> Iterator[str]:
    """What surrounds the graph: versions, functions, texts."""
    if model.functions:
        yield "defines functions of its own; export it with them inlined"
    if model.training_info:
        yield "carries training graphs; export it for inference"
    if model.ir_version > onnx.IR_VERSION:
        yield f"is of ONNX IR version {model.ir_version}; at most {onnx.IR_VERSION} is read here"
    for opset in model.opset_import:
        if opset.domain not in DOMAINS:
            yield f"uses operators of the domain {shown(opset.domain)}; only ai.onnx and ai.onnx.ml are served"
        elif opset.domain in ("", "ai.onnx") and not OLDEST_OPSET <= opset.version <= onnx.defs.onnx_opset_version():
            newest = onnx.defs.onnx_opset_version()
            yield f"is of opset {opset.version}; {OLDEST_OPSET} to {newest} are read here"
    texts = [model.doc_string, model.graph.doc_string, *(node.doc_string for node in model.graph.node)]
    texts += [text for entry in model.metadata_props for text in (entry.key, entry.value)]
    if sum(map(len, texts)) > LONGEST_TEXT:
        yield f"carries more than {LONGEST_TEXT:,} letters of documentation and metadata"


def names(graph: Any) -> Iterator[str]:
    """Inputs and outputs that one can ask for by name."""
    initialized = {tensor.name for tensor in graph.initializer}
    inputs = [value.name for value in graph.input]
    outputs = [value.name for value in graph.output]
    if not set(inputs) - initialized:
        yield "has no inputs: it would always say the same"
    if not outputs:
        yield "has no outputs"
    for what, given in (("inputs", inputs), ("outputs", outputs)):
        for name in sorted(name for name, times in Counter(given).items() if times > 1):
            yield f"has two {what} named {shown(name)}"
        for name in given:
            if not name or len(name) > LONGEST_NAME or not name.isprintable():
                yield f"has {what} with an unusable name: {shown(name)}"


def operators(model: Any) -> Iterator[str]:
    """Operators that are unknown, could run for ever, grow without bound, or answer by chance."""
    versions = {"" if o.domain == "ai.onnx" else o.domain: o.version for o in model.opset_import}
    seen = {("" if node.domain == "ai.onnx" else node.domain, node.op_type) for node in model.graph.node}
    for domain, name in sorted(seen):
        full = f"{domain or 'ai.onnx'}.{name}"
        if domain not in DOMAINS or domain not in versions or not known(name, versions[domain], domain):
            yield f"uses {shown(full)}, which is no operator of its opset"
        elif name in ENDLESS:
            yield f"uses {name}: what branches or loops may never end; export a model without"
        elif name in UNBOUNDED:
            yield f"uses {name}, whose output may be of any size; export a model without"
        elif name in RANDOM:
            yield f"uses {name}, whose answers differ from one request to the next"
    for node in model.graph.node:
        if any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute):
            yield f"node {shown(node.name)} holds a graph of its own; export a model without"


def sizes(graph: Any) -> Iterator[str]:
    """Sizes of outputs that a request may decide, by what it brings. A constant is what follows from nothing else."""
    constant = {"", *(tensor.name for tensor in graph.initializer)}
    for node in graph.node:
        if constant.issuperset(node.input):
            constant.update(node.output)
        for place, what in DECIDING.get(node.op_type, {}).items():
            if not constant.issuperset(node.input[place : place + 1]):
                why = f"gives as much as a request asks for; make the {what} of {node.op_type} a constant"
                yield f"node {shown(node.name)} {why}"


def known(name: str, version: int, domain: str) -> bool:
    return bool(onnx.defs.has(name, version, domain)) if 0 < version < 1000 else False


def tensors(graph: Any) -> Iterator[str]:
    """Tensors whose stated size is not that of the bytes they bring."""
    inside = [*graph.initializer, *(t for node in graph.node for a in node.attribute for t in held(a))]
    for tensor in inside:
        if len(tensor.dims) > MOST_DIMENSIONS:
            yield f"tensor {shown(tensor.name)} has {len(tensor.dims):,} dimensions; {MOST_DIMENSIONS} are allowed"
        elif any(size < 0 for size in tensor.dims):
            yield f"tensor {shown(tensor.name)} has a negative dimension"
        elif tensor.data_type != onnx.TensorProto.STRING and tensor.data_type not in BITS:
            yield f"tensor {shown(tensor.name)} is of a type that is not served"
        elif prod(tensor.dims) != count(tensor):
            says = "×".join(map(str, tensor.dims)) or "1"
            yield f"tensor {shown(tensor.name)} says it holds {says} values, and brings {count(tensor):,}"


def count(tensor: Any) -> int:
    """How many values a tensor brings."""
    if tensor.data_type != onnx.TensorProto.STRING and tensor.raw_data:
        whole, rest = divmod(len(tensor.raw_data) * 8, BITS[tensor.data_type])
        return -1 if rest else whole
    fields = (tensor.float_data, tensor.double_data, tensor.int32_data, tensor.int64_data, tensor.uint64_data)
    return len(tensor.string_data) if tensor.data_type == onnx.TensorProto.STRING else max(map(len, fields))


def trees(graph: Any) -> Iterator[str]:
    """Tree ensembles whose branches lead nowhere or back: onnxruntime follows them unchecked."""
    for node in graph.node:
        if node.op_type not in ("TreeEnsembleClassifier", "TreeEnsembleRegressor"):
            continue
        given = {attribute.name: attribute for attribute in node.attribute}
        ids = {name: np.array(given[name].ints if name in given else [], dtype=np.int64) for name in TREE}
        modes = np.array([bytes(mode) for mode in given["nodes_modes"].strings] if "nodes_modes" in given else [])
        if len({len(modes), *(len(values) for values in ids.values())}) != 1:
            yield f"node {shown(node.name)} describes its trees with lists of different lengths"
        elif not rooted(ids, modes != b"LEAF"):
            yield f"node {shown(node.name)} has a tree whose branches lead nowhere, back, or to a negative feature"


TREE = ("nodes_treeids", "nodes_nodeids", "nodes_featureids", "nodes_truenodeids", "nodes_falsenodeids")


def rooted(ids: dict[str, Any], inner: Any) -> bool:
    """Whether every branch leads to a node of its own tree, none of them to a root and no two to the same node.

    So every way from a root ends at a leaf.
    """
    tree, name, feature, yes, no = (ids[column] for column in TREE)
    nodes = list(zip(tree.tolist(), name.tolist(), strict=True))
    roots: dict[int, tuple[int, int]] = {}
    for one, number in nodes:
        roots.setdefault(one, (one, number))
    branches = [
        (one, child)
        for children in (yes[inner], no[inner])
        for one, child in zip(tree[inner].tolist(), children.tolist(), strict=True)
    ]
    distinct = set(branches)
    return (
        len(set(nodes)) == len(nodes)
        and len(distinct) == len(branches)
        and distinct <= set(nodes)
        and not distinct & set(roots.values())
        and bool((feature >= 0).all())
    )


def broken(model: Any) -> Iterator[str]:
    """What the format's own checker finds: cycles, missing inputs, wrong attributes."""
    try:
        onnx.checker.check_model(model)
    except (onnx.checker.ValidationError, ValueError) as error:
        yield f"is not valid ONNX: {(str(error).splitlines() or ['no reason given'])[0][:300]}"


def divisions(model: Any) -> Iterator[str]:
    """Integer divisions by what a request may bring: by nought, or of the least integer by −1, the processor ends the
    process that serves. A divisor in the model itself must be neither."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    kinds = {value.name: value.type.tensor_type.elem_type for value in (*graph.input, *graph.value_info, *graph.output)}
    kinds |= {tensor.name: tensor.data_type for tensor in graph.initializer}
    brought = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type not in ("Div", "Mod") or kinds.get(node.output[0], kinds.get(node.input[0])) in FLOATING:
            continue
        divisor = brought.get(node.input[1])
        if divisor is None or np.isin(numpy_helper.to_array(divisor), (0, -1)).any():
            yield f"node {shown(node.name)} divides integers, which can end the process; cast to float first"


FLOATING = (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16)


def shown(name: str) -> str:
    """A name out of a model, safe to show.

    >>> shown("a\\nb")
    "'a\\\\nb'"
    """
    return ascii(name[:60])
