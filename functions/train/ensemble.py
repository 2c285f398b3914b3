"""Several models as one: their graphs side by side under one set of inputs, and a last step that combines them. Pure.

What comes of it is a model like any other, so nothing that serves, judges or explains models knows of ensembles.
Only operators that the gates let in are added. Members of different opsets are brought to the newest among them.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import skl2onnx
from numpy.typing import NDArray
from onnx import TensorProto, compose, helper, numpy_helper, version_converter
from skl2onnx.common.data_types import FloatTensorType
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from functions.train.ask import Ask
from samara import loading, scoring
from samara.errors import Rejected

ML = "ai.onnx.ml"
OLDEST = {"": 13, ML: 3}  # opsets that have every operator of the last step
EXTENDED = {"TreeEnsembleClassifier": 3, "TreeEnsembleRegressor": 3, "LabelEncoder": 4}  # up to here, only added to
OWN = "ensemble/"  # before every name that is no member's: members' start with `member-0/` and so on
STACKED = f"{OWN}stacked"

Class = int | str
Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class Member:
    """A model of the ensemble, by the name that the definition gives it."""

    name: str
    model: Any
    session: Any
    classes: tuple[Class, ...]

    def answers(self, table: Any, task: str) -> scoring.Answers:
        """What it says when it is asked by itself."""
        try:
            return scoring.answers(self.session, table, task)
        except Rejected as error:
            raise Rejected(self.name, f"cannot be a member: {error}", code=error.code) from error


@dataclass(frozen=True, slots=True)
class Combined:
    """An ensemble: one graph, and the same worked out from what its members say one by one, which it is held to."""

    onnx: bytes
    members: tuple[Member, ...]
    classes: tuple[Class, ...]
    ask: Ask
    stack: Any = None

    def predict(self, table: Any) -> Floats:
        """The probabilities [rows, classes] or predictions [rows], without the composed graph."""
        said = [given(member, table, self.classes, self.ask) for member in self.members]
        if self.stack is None:
            return np.asarray(sum(share * one for share, one in zip(shares(self.ask), said, strict=True)))
        answers = np.hstack([one.reshape(table.num_rows, -1) for one in said])
        return np.asarray(self.stack.predict_proba(answers) if self.classes else self.stack.predict(answers))


def combined(models: Sequence[bytes], ask: Ask, table: Any) -> Combined:
    """The ensemble of these models, or `Rejected` with what keeps them from being one.

    Only a stack learns anything of the rows of `table`.
    """
    assert ask.ensemble  # noqa: S101  # or nobody had called
    members = tuple(member(*one, ask, table) for one in zip(ask.ensemble.members, models, strict=True))
    agreeing(members, ask)
    classes = members[0].classes
    if ask.ensemble.how != "stacked":
        return Combined(composed(members, classes, ask), members, classes, ask)
    stack = stacked(members, classes, ask, table)
    return Combined(composed(members, classes, ask, stack), members, classes, ask, stack)


def member(name: str, model: bytes, ask: Ask, table: Any) -> Member:
    """A member that answers this task, asked about one row to see how."""
    loaded = Member(name, onnx.ModelProto.FromString(model), loading.session(model), ())
    for node in loaded.session.get_inputs():
        if node.name not in ask.features:
            why = f"takes {node.name!r}, which is no feature of the ensemble; add it to its features"
            raise Rejected(name, why, code="bad_signature")
    classes = loaded.answers(table.slice(0, 1), ask.task).classes
    return Member(name, loaded.model, loaded.session, classes)


def agreeing(members: Sequence[Member], ask: Ask) -> None:
    """Refuse members that tell different classes apart, and features that none of them takes."""
    first = members[0]
    for one in members[1:]:
        if set(one.classes) != set(first.classes):
            theirs, ours = (", ".join(map(str, classes)) for classes in (one.classes, first.classes))
            why = f"tells apart {theirs}, where {first.name} tells apart {ours}; combine models of the same classes"
            raise Rejected(one.name, why, code="other_classes")
    taken = {node.name for one in members for node in one.session.get_inputs()}
    unused = [name for name in ask.features if name not in taken]
    if unused:
        used = ", ".join(name for name in ask.features if name in taken)
        why = f"no member takes {', '.join(unused)}; name what they take: {used}"
        raise Rejected("features", why, code="bad_signature")


def shares(ask: Ask) -> tuple[float, ...]:
    """How much each member's answer counts; together 1."""
    assert ask.ensemble  # noqa: S101  # or nobody had called
    return ask.ensemble.weights or (1 / len(ask.ensemble.members),) * len(ask.ensemble.members)


def given(member: Member, table: Any, classes: tuple[Class, ...], ask: Ask) -> Floats:
    """What a member brings to the last step: predictions, or a column for each of these classes."""
    said = member.answers(table, ask.task)
    if said.labels is None:
        return said.scores
    if ask.ensemble and ask.ensemble.how == "vote":
        return np.stack([said.labels == name for name in classes], axis=1).astype(np.float64)
    return np.asarray(said.scores[:, [said.classes.index(name) for name in classes]])


def stacked(members: Sequence[Member], classes: tuple[Class, ...], ask: Ask, table: Any) -> Any:
    """What is learnt from the members' answers to the training rows: a logistic, or a ridge regression."""
    said = [given(one, table, classes, ask).reshape(table.num_rows, -1) for one in members]
    answers, truth = np.hstack(said).astype(np.float32), scoring.truth(table, ask.target, ask.task)
    if ask.task == "regression":
        return make_pipeline(StandardScaler(), Ridge()).fit(answers, truth)
    known = set(truth.tolist())
    if known != set(classes):
        there, told = (", ".join(sorted(map(str, names))) for names in (known, classes))
        raise Rejected(ask.target, f"is {there} in the rows; the members tell apart {told}", code="other_classes")
    return LogisticRegression(max_iter=1000, random_state=ask.seed).fit(answers, truth)


class Assembly:
    """A graph under construction, every name in it distinct."""

    def __init__(self, opsets: dict[str, int]) -> None:
        self.opsets = opsets
        self.inputs: dict[str, Any] = {}
        self._nodes: list[Any] = []
        self._constants: dict[str, Any] = {}

    def embed(self, graph: Any, prefix: str) -> None:
        """All of another graph: its inputs by their own names, everything else behind the prefix."""
        constant = {tensor.name for tensor in graph.initializer}
        asked = [value for value in graph.input if value.name not in constant]  # old graphs list both
        del graph.value_info[:]
        del graph.quantization_annotation[:]
        del graph.input[:]
        inside = compose.add_prefix_graph(graph, prefix)
        self._nodes.extend(inside.node)
        self._constants.update({tensor.name: tensor for tensor in inside.initializer})
        for value in asked:
            kind = value.type.tensor_type.elem_type
            self.inputs.setdefault(value.name, helper.make_tensor_value_info(value.name, kind, [None, 1]))

    def node(self, kind: str, inputs: Sequence[str], output: str, domain: str = "", **attributes: Any) -> str:
        """One more operator. Gives the name of what comes out of it."""
        self._nodes.append(helper.make_node(kind, list(inputs), [output], output, domain=domain, **attributes))
        return output

    def constant(self, name: str, values: Any) -> str:
        """A tensor of numbers, from an array, or of text, from a list. Gives its name."""
        if isinstance(values, np.ndarray):
            self._constants[name] = numpy_helper.from_array(values, name)
        else:
            data = [value.encode() for value in values]
            self._constants[name] = helper.make_tensor(name, TensorProto.STRING, [len(data)], data)
        return name

    def model(self, outputs: Sequence[Any], ir_version: int) -> Any:
        """The whole, of this IR version or the newer one that its opsets need."""
        inputs = list(self.inputs.values())
        graph = helper.make_graph(self._nodes, "ensemble", inputs, outputs, list(self._constants.values()))
        opsets = [helper.make_opsetid(domain, number) for domain, number in sorted(self.opsets.items())]
        ir_version = max(ir_version, helper.find_min_ir_version_for(opsets))
        return helper.make_model(graph, opset_imports=opsets, ir_version=ir_version, producer_name="samara")


def composed(members: Sequence[Member], classes: tuple[Class, ...], ask: Ask, stack: Any = None) -> bytes:
    """The one graph: the members', and what combines their answers."""
    opsets = {
        domain: max(oldest, *(opsets_of(one.model).get(domain, 0) for one in members))
        for domain, oldest in OLDEST.items()
    }
    assembly = Assembly(opsets)
    for place, one in enumerate(members):
        assembly.embed(at(opsets, one.name, one.model).graph, within(place))
    brought = [answer(assembly, place, one, classes, ask) for place, one in enumerate(members)]
    answered = "probabilities" if classes else "prediction"
    if stack is None:
        weighed(assembly, brought, ask, answered)
    else:
        classes = learnt(assembly, brought, stack, answered)
    outputs = [helper.make_tensor_value_info(answered, TensorProto.FLOAT, [None, max(len(classes), 1)])]
    if classes:
        outputs.insert(0, labelled(assembly, classes))
    model = assembly.model(outputs, max(one.model.ir_version for one in members))
    if classes:
        helper.set_model_props(model, {scoring.CLASSES: json.dumps(list(classes))})
    return bytes(model.SerializeToString(deterministic=True))


def within(place: int) -> str:
    return f"member-{place}/"


def opsets_of(model: Any) -> dict[str, int]:
    """The opset of each domain, as it is named last: skl2onnx names some twice, with the same number."""
    return {"" if one.domain == "ai.onnx" else one.domain: one.version for one in model.opset_import}


def at(opsets: dict[str, int], name: str, model: Any) -> Any:
    """A copy of the model of that name, converted to these opsets."""
    had = opsets_of(model)
    for node in model.graph.node:
        if node.domain == ML and not unchanged(node.op_type, had[ML], opsets[ML]):
            why = f"uses {node.op_type} of {ML} {had[ML]}, which means something else in {opsets[ML]}; export it anew"
            raise Rejected(name, why, code="other_opset")
    if had.get("", opsets[""]) == opsets[""]:
        return onnx.ModelProto.FromString(model.SerializeToString())
    try:
        return version_converter.convert_version(model, opsets[""])
    except (RuntimeError, ValueError) as error:
        why = f"is of opset {had['']} and cannot be brought to {opsets['']}: {loading.first_line(error)}"
        raise Rejected(name, why, code="other_opset") from error


def unchanged(operator: str, before: int, after: int) -> bool:
    """Whether an operator of the one opset of `ai.onnx.ml` is the same in the other.

    >>> unchanged("Scaler", 1, 3), unchanged("LabelEncoder", 1, 3), unchanged("LabelEncoder", 2, 4)
    (True, False, True)
    """
    since = [onnx.defs.get_schema(operator, version, ML).since_version for version in (before, after)]
    extended = operator in EXTENDED and since[1] <= EXTENDED[operator] and (operator, since[0]) != ("LabelEncoder", 1)
    return since[0] == since[1] or extended


def answer(assembly: Assembly, place: int, member: Member, classes: tuple[Class, ...], ask: Ask) -> str:
    """What `given` says, in the graph: the name of a float tensor [rows, classes or 1]."""
    mine = f"{OWN}{place}/"
    if not classes:
        flat = assembly.constant(f"{mine}shape", np.array([-1, 1], dtype=np.int64))
        return assembly.node("Reshape", [floating(assembly, place, "prediction", member), flat], f"{mine}column")
    if ask.ensemble and ask.ensemble.how == "vote":
        return vote(assembly, place, classes)
    found = floating(assembly, place, "probabilities", member)
    if member.classes == classes:
        return found
    order = np.array([member.classes.index(name) for name in classes], dtype=np.int64)
    return assembly.node("Gather", [found, assembly.constant(f"{mine}order", order)], f"{mine}ordered", axis=1)


def floating(assembly: Assembly, place: int, output: str, member: Member) -> str:
    """A member's output as float32, which it should be."""
    kinds = {node.name: node.type for node in member.session.get_outputs()}
    found = f"{within(place)}{output}"
    if kinds[output] == "tensor(float)":
        return found
    return assembly.node("Cast", [found], f"{OWN}{place}/{output}", to=TensorProto.FLOAT)


def vote(assembly: Assembly, place: int, classes: tuple[Class, ...]) -> str:
    """1 in the column of the class that the label names, 0 elsewhere."""
    mine = f"{OWN}{place}/"
    shape = assembly.constant(f"{mine}shape", np.array([-1, 1], dtype=np.int64))
    label = assembly.node("Reshape", [f"{within(place)}label", shape], f"{mine}label")
    known = [number if isinstance(number, int) else order for order, number in enumerate(classes)]
    if isinstance(classes[0], str):  # text can be compared from opset 19 on
        places = {"keys_strings": list(classes), "values_int64s": known, "default_int64": -1}
        label = assembly.node("LabelEncoder", [label], f"{mine}place", ML, **places)
    names = assembly.constant(f"{mine}classes", np.array([known], dtype=np.int64))
    same = assembly.node("Equal", [label, names], f"{mine}same")
    return assembly.node("Cast", [same], f"{mine}vote", to=TensorProto.FLOAT)


def weighed(assembly: Assembly, brought: Sequence[str], ask: Ask, answered: str) -> None:
    """The weighted sum of what the members brought."""
    parts = []
    for place, (name, share) in enumerate(zip(brought, shares(ask), strict=True)):
        weight = assembly.constant(f"{OWN}{place}/weight", np.array(share, dtype=np.float32))
        parts.append(assembly.node("Mul", [name, weight], f"{OWN}{place}/weighed"))
    assembly.node("Sum", parts, answered)


def learnt(assembly: Assembly, brought: Sequence[str], stack: Any, answered: str) -> tuple[Class, ...]:
    """What the stack makes of what the members brought. Gives the classes in its order."""
    classifies = answered == "probabilities"
    exported = skl2onnx.to_onnx(
        stack,
        initial_types=[(STACKED, FloatTensorType([None, stack.n_features_in_]))],
        options={id(stack): {"zipmap": False}} if classifies else None,
        target_opset=OLDEST,
    )
    graph = at(assembly.opsets, "stack", exported).graph
    assembly.node("Concat", brought, graph.input[0].name, axis=1)
    del graph.input[:]
    made = graph.output[-1].name  # behind the label, where there is one
    assembly.embed(graph, f"{OWN}stack/")
    assembly.node("Identity", [f"{OWN}stack/{made}"], answered)
    return tuple(name if isinstance(name, str) else int(name) for name in stack.classes_.tolist()) if classifies else ()


def labelled(assembly: Assembly, classes: tuple[Class, ...]) -> Any:
    """The class of the largest probability, the first of equals, as the output `label`."""
    texts = isinstance(classes[0], str)
    names = assembly.constant(f"{OWN}classes", list(classes) if texts else np.array(classes, dtype=np.int64))
    largest = assembly.node("ArgMax", ["probabilities"], f"{OWN}largest", axis=1, keepdims=0)
    assembly.node("Gather", [names, largest], "label", axis=0)
    return helper.make_tensor_value_info("label", TensorProto.STRING if texts else TensorProto.INT64, [None])
