"""The models by which ONNX holds its backends to the standard, served: they answer over HTTP what they must answer.

Each is asked in JSON, where JSON can say what it takes and gives, and with raw tensors; and where nothing is captured,
again and again, until it knows the question by heart. What is left out is left out by a rule, and counted, so that it
cannot silently grow.
"""

import struct
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import onnxruntime
import orjson
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper
from onnx.backend.test import loader
from onnx.backend.test.runner import Runner

from samara.core.strict import LARGEST
from samara.errors import Rejected

Array = NDArray[Any]

DATATYPES: dict[int, str] = {
    TensorProto.BOOL: "BOOL",
    TensorProto.INT8: "INT8",
    TensorProto.INT16: "INT16",
    TensorProto.INT32: "INT32",
    TensorProto.INT64: "INT64",
    TensorProto.UINT8: "UINT8",
    TensorProto.UINT16: "UINT16",
    TensorProto.UINT32: "UINT32",
    TensorProto.UINT64: "UINT64",
    TensorProto.FLOAT16: "FP16",
    TensorProto.FLOAT: "FP32",
    TensorProto.DOUBLE: "FP64",
    TensorProto.BFLOAT16: "BF16",
    TensorProto.STRING: "BYTES",
}
DTYPES: dict[str, Any] = {
    "BOOL": np.bool_,
    **{f"{sign}INT{bits}": f"{sign.lower()}int{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)},
    **{f"FP{bits}": f"float{bits}" for bits in (16, 32, 64)},
    "BF16": ml_dtypes.bfloat16,
}


@dataclass(frozen=True)
class Case:
    """One model, and what it must answer to what."""

    name: str
    model: onnx.ModelProto
    sets: Sequence[tuple[Sequence[Array], Sequence[Array]]]
    rtol: float
    atol: float

    def same(self, expected: Sequence[Array], answered: Sequence[Array]) -> bool:
        """Whether answers agree as far as ONNX's own runner asks of backends."""
        try:
            with np.errstate(invalid="ignore"):
                Runner.assert_similar_outputs(expected, answered, rtol=self.rtol, atol=self.atol)
        except AssertionError:
            return False
        return True


def cases() -> Iterator[Case]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # onnx computes what it expects, and overflows on purpose
        made: list[Any] = loader.load_model_tests(kind="node")
    for case in made:
        sets = [(arrays(inputs), arrays(outputs)) for inputs, outputs in case.data_sets] if plain(case.model) else []
        yield Case(case.name, case.model, sets, case.rtol, case.atol)
    for kind in ("simple", "pytorch-converted", "pytorch-operator"):
        made = loader.load_model_tests(kind=kind)
        for case in made:
            folder = Path(case.model_dir or "")
            model = onnx.load(folder / "model.onnx")
            sets = []
            if plain(model):
                sets = [(stored(one, "input"), stored(one, "output")) for one in sorted(folder.glob("test_data_set*"))]
            yield Case(case.name, model, sets, case.rtol, case.atol)


def plain(model: onnx.ModelProto) -> bool:
    """Whether all it takes and gives are tensors."""
    return all(value.type.HasField("tensor_type") for value in (*model.graph.input, *model.graph.output))


def arrays(values: Sequence[Any]) -> list[Array]:
    """Tensors as arrays; strings as objects, as onnxruntime has them."""
    found = [numpy_helper.to_array(one) if isinstance(one, TensorProto) else np.asarray(one) for one in values]
    return [one.astype(object) if one.dtype.kind in "SU" else one for one in found]


def stored(folder: Path, what: str) -> list[Array]:
    count = len(list(folder.glob(f"{what}_*.pb")))
    return arrays([onnx.load_tensor(str(folder / f"{what}_{number}.pb")) for number in range(count)])


def left_out(case: Case, name: str, online: Any) -> str:
    """The rule by which a model is not served here, or nothing, once it is."""
    if not plain(case.model):
        return "takes or gives a sequence, an optional or a map"
    tensors = [value.type.tensor_type for value in (*case.model.graph.input, *case.model.graph.output)]
    if any(tensor.elem_type not in DATATYPES for tensor in tensors):
        return "takes or gives a datatype that the protocol has no name for"
    try:
        signature = online.add(name, case.model.SerializeToString())
        online.add(f"{name}-again", case.model.SerializeToString(), captured=False)
    except Rejected:
        return "onnxruntime cannot load it"
    rowed = [place for place, tensor in enumerate(signature.inputs) if tensor.shape[:1] == (-1,)]
    for inputs, _ in case.sets:
        counts = {inputs[place].shape[0] for place in rowed}
        if len(counts) > 1 or 0 in counts:
            return "open first sizes that are not a number of rows"
    return ""


def asked_alone(case: Case, inputs: Sequence[Array]) -> list[Array] | None:
    """What the package onnxruntime answers by itself, None if it fails."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(case.model.SerializeToString(), options)
    names = [one.name for one in session.get_inputs()]
    try:
        return arrays(session.run(None, dict(zip(names, inputs, strict=True))))
    except Exception:  # noqa: BLE001  # onnxruntime's errors share no base class
        return None


def ask(http: HTTPConnection, name: str, head: bytes, follow: bytes = b"") -> list[Array] | str:
    """What the server answers to a request's JSON and the raw tensors that follow it, or why it does not."""
    headers = {"inference-header-content-length": str(len(head))} if b"binary_data_size" in head else {}
    http.request("POST", f"/v2/models/{name}/infer", head + follow, headers)
    response = http.getresponse()
    body = response.read()
    if response.status != 200:
        return body.decode()
    return answered(body, int(response.headers.get("inference-header-content-length", len(body))))


def spoken(case: Case, inputs: Sequence[Array], *, binary: bool) -> tuple[bytes, bytes]:
    """A request's JSON, and the raw tensors that follow it."""
    initial = {one.name for one in case.model.graph.initializer}
    names = [one.name for one in case.model.graph.input if one.name not in initial]
    told, follow = [], []
    for tensor, array in zip(names, inputs, strict=True):
        said: dict[str, Any] = {"name": tensor, "shape": list(array.shape), "datatype": datatype(array)}
        if binary:
            follow.append(raw(array))
            told.append({**said, "parameters": {"binary_data_size": len(follow[-1])}})
        else:
            told.append({**said, "data": listed(array)})
    return orjson.dumps({"inputs": told, "parameters": {"binary_data_output": binary}}), b"".join(follow)


def datatype(array: Array) -> str:
    if array.dtype.kind in "OSU":
        return "BYTES"
    return next(name for name, dtype in DTYPES.items() if array.dtype == dtype)


def text(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def raw(array: Array) -> bytes:
    if datatype(array) == "BYTES":
        texts = [text(value) for value in array.reshape(-1)]
        return b"".join(struct.pack("<I", len(one)) + one for one in texts)
    return array.tobytes()


def listed(array: Array) -> list[Any]:
    if datatype(array) == "BYTES":
        return [text(value).decode() for value in array.reshape(-1)]
    if datatype(array) in ("FP16", "FP32", "FP64", "BF16"):
        return [None if value != value else value for value in array.reshape(-1).astype(np.float64).tolist()]  # noqa: PLR0124
    return list(array.reshape(-1).tolist())


def answered(body: bytes, length: int) -> list[Array]:
    found, at = [], length
    for output in orjson.loads(body[:length])["outputs"]:
        shape, name = output["shape"], output["datatype"]
        values: Any = output.get("data")
        if values is None:
            size = output["parameters"]["binary_data_size"]
            piece, at = body[at : at + size], at + size
            values = texts(piece) if name == "BYTES" else np.frombuffer(piece, DTYPES[name])
        found.append(np.array(values, object if name == "BYTES" else DTYPES[name]).reshape(shape))
    assert at == len(body)
    return found


def texts(data: bytes) -> list[str]:
    found, at = [], 0
    while at < len(data):
        (size,) = struct.unpack_from("<I", data, at)
        found.append(data[at + 4 : at + 4 + size].decode())
        at += 4 + size
    return found


def numbers(arrays: Sequence[Array], *, missing: bool) -> bool:
    """Whether JSON has words for all these numbers: none for infinity, and for NaN, `missing`, on the way in only."""
    floats = [array.astype(np.float64) for array in arrays if datatype(array) in ("FP16", "FP32", "FP64", "BF16")]
    return not any(np.isinf(one).any() or (np.isnan(one).any() and not missing) for one in floats)


def equal(right: list[Array] | None, found: list[Array]) -> bool:
    """Whether an answer is bit by bit one that was right. Text is left to who compares more slowly."""
    return right is not None and [(one.dtype, one.shape, one.tobytes()) for one in right] == [
        (one.dtype, one.shape, one.tobytes()) for one in found
    ]


def outcome(http: HTTPConnection, name: str, case: Case) -> str:
    """How a served model did, in words that can be counted; words that name the model tell of a failure."""
    ways = Counter[str]()
    for inputs, expected in case.sets:
        asked = {"raw": spoken(case, inputs, binary=True)}
        if numbers(inputs, missing=True) and numbers(expected, missing=False):
            asked["in JSON"] = spoken(case, inputs, binary=False)
        right: list[Array] | None = None
        for way, (head, follow) in asked.items():
            if len(head) > LARGEST:
                continue
            found = ask(http, name, head, follow)
            if isinstance(found, list) and (equal(right, found) or case.same(expected, found)):
                ways[way] += 1
                right = found
                again = [ask(http, f"{name}-again", head, follow) for _ in range(3)]
                if all(isinstance(one, list) and (equal(found, one) or case.same(found, one)) for one in again):
                    continue
                return f"{case.name}: answers otherwise when it is asked again: {again}"
            alone = asked_alone(case, inputs)
            if alone is None and isinstance(found, str) and '"model_failed"' in found:
                return "onnxruntime itself fails when asked"
            if isinstance(found, str) or alone is None:
                return f"{case.name}: {found}"
            if case.same(expected, alone) or not case.same(alone, found):
                return f"{case.name}: answers wrongly"
            return "onnxruntime itself answers otherwise, and so do we"
    return "answers rightly, raw and in JSON" if ways["in JSON"] else "answers rightly, raw"


@pytest.mark.timeout(600)  # onnx takes its time to compute what it expects
def test_every_model_that_onnx_holds_backends_against_answers_over_http_what_it_must(online: Any) -> None:
    outcomes, rules = Counter[str](), Counter[str]()

    with closing(HTTPConnection("127.0.0.1", online.server.port, timeout=60)) as http:
        for place, case in enumerate(cases()):
            rule = left_out(case, f"m{place}", online)
            if rule:
                rules[rule] += 1
            else:
                outcomes[outcome(http, f"m{place}", case)] += 1

    assert outcomes == {
        "answers rightly, raw and in JSON": 1446,
        "answers rightly, raw": 32,
        "onnxruntime itself answers otherwise, and so do we": 22,
        "onnxruntime itself fails when asked": 3,
    }
    assert rules == {
        "onnxruntime cannot load it": 327,
        "takes or gives a datatype that the protocol has no name for": 164,
        "takes or gives a sequence, an optional or a map": 29,
        "open first sizes that are not a number of rows": 1,
    }
