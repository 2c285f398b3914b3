"""Open Inference Protocol v2 over JSON: from a path to what is asked, from a body to tensors, and back. Pure.

What is not in the protocol is refused by name, so that a typing mistake is not silently ignored. Two freedoms:
`data` may be flat or nested, and a column may have shape [n] or [n, 1].
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

from functions.predict import tensors
from functions.predict.tensors import Array
from samara.core import keys
from samara.core.records import Capture, ModelVersion, Signature, Tensor
from samara.core.strict import shown
from samara.errors import Rejected

MOST_ROWS = 100_000  # in one request; a batch job is the way for more
ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@+=/-]{0,127}")
VERSION = re.compile(r"champion|challenger|[1-9][0-9]{0,9}")
TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
PLATFORM = "onnxruntime_onnx"


@dataclass(frozen=True, slots=True)
class Route:
    """What a path asks for. `version` is a number, an alias, or empty for the champion."""

    what: Literal["server", "live", "ready", "models", "model", "model ready", "infer"]
    model: str = ""
    version: str = ""

    @property
    def method(self) -> str:
        return "POST" if self.what == "infer" else "GET"


def route(path: str) -> Route:
    """
    >>> route("/v2/models/late/versions/3/infer")
    Route(what='infer', model='late', version='3')
    """
    match path.split("/")[2:]:
        case [] | [""]:
            return Route("server")
        case ["health", "live"]:
            return Route("live")
        case ["health", "ready"]:
            return Route("ready")
        case ["models"]:
            return Route("models")
        case ["models", model, "versions", version, *rest] if rest in ([], ["ready"], ["infer"]):
            if not VERSION.fullmatch(version):
                why = "versions are numbers from 1, champion or challenger"
                raise Rejected(shown(version), why, code="unknown_version")
            return of_model(model, version, rest)
        case ["models", model, *rest] if rest in ([], ["ready"], ["infer"]):
            return of_model(model, "", rest)
    raise Rejected(shown(path), "no such address; /v2/models lists what there is", code="unknown_path")


def of_model(model: str, version: str, rest: list[str]) -> Route:
    if not keys.NAME.fullmatch(model):
        raise Rejected(shown(model), "no model has such a name", code="unknown_model")
    if rest == ["infer"]:
        return Route("infer", model, version)
    return Route("model ready" if rest else "model", model, version)


@dataclass(frozen=True, slots=True)
class Input:
    """One input as the client sent it."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: Any


@dataclass(frozen=True, slots=True)
class Asked:
    """A well-formed request, before anybody asked which model it is for. `wanted` is empty for all outputs."""

    id: str
    inputs: tuple[Input, ...]
    wanted: tuple[str, ...]


def asked(body: Any, model: str) -> Asked:
    """The request in a JSON body. `model_name` is tolerated, as KServe's client sends it, if it names this model."""
    fields(body, "body", must=("inputs",), may=("id", "parameters", "outputs", "model_name"))
    if body.get("model_name", model) != model:
        raise Rejected("model_name", f"names another model than the address, {model}", code="bad_request")
    if not isinstance(body["inputs"], list) or not body["inputs"]:
        raise Rejected("inputs", "must be a list of tensors with one for each input", code="bad_request")
    outputs = body.get("outputs", [])
    if not isinstance(outputs, list):
        raise Rejected("outputs", 'must be a list of {"name": …}', code="bad_request")
    inputs = tuple(one_input(tensor) for tensor in body["inputs"])
    wanted = tuple(one_output(output) for output in outputs)
    for what, names in (("inputs", [tensor.name for tensor in inputs]), ("outputs", list(wanted))):
        if len(set(names)) != len(names):
            raise Rejected(what, "names one tensor twice", code="bad_request")
    return Asked(client_id(body.get("id", "")), inputs, wanted)


def fields(body: Any, where: str, must: tuple[str, ...], may: tuple[str, ...]) -> None:
    """Refuse what is not an object with these fields."""
    if not isinstance(body, dict):
        raise Rejected(where, f"must be an object with {', '.join(must)}", code="bad_request")
    for name in must:
        if name not in body:
            raise Rejected(where, f"has no {name}", code="bad_request")
    for name in body:
        if name not in must + may:
            why = f"is not known here; {where} may have {', '.join(must + may)}"
            raise Rejected(shown(name), why, code="unknown_field")
    if not isinstance(body.get("parameters", {}), dict):
        raise Rejected("parameters", "must be an object", code="bad_request")


def client_id(given: Any) -> str:
    if isinstance(given, str) and (given == "" or ID.fullmatch(given)):
        return given
    why = "must be a string of at most 128 letters, digits and ._:@+=/-, starting with a letter or digit"
    raise Rejected("id", why, code="bad_id")


def one_input(tensor: Any) -> Input:
    if isinstance(tensor, dict) and "data" not in tensor:
        given = tensor.get("parameters")
        if isinstance(given, dict) and given.keys() & {"binary_data_size", "shared_memory_region"}:
            raise binary()
    fields(tensor, "input", must=("name", "shape", "datatype", "data"), may=("parameters",))
    name, shape, datatype = tensor["name"], tensor["shape"], tensor["datatype"]
    if not isinstance(name, str) or not isinstance(datatype, str):
        raise Rejected("input", "its name and datatype must be strings", code="bad_request")
    if not isinstance(shape, list) or len(shape) > 16 or any(type(size) is not int or size < 0 for size in shape):
        raise Rejected(shown(name), "its shape must be a list of sizes, none negative", code="bad_request")
    return Input(name, datatype, tuple(shape), tensor["data"])


def one_output(output: Any) -> str:
    fields(output, "output", must=("name",), may=("parameters",))
    name = output["name"]
    if not isinstance(name, str):
        raise Rejected("output", "its name must be a string", code="bad_request")
    return name


def binary() -> Rejected:
    why = "binary tensors are not read here; send every tensor's data as JSON (binary_data=False in tritonclient)"
    return Rejected("body", why, code="media_type")


@dataclass(frozen=True, slots=True)
class Rows:
    """A request that fits a model: its values as they were sent, and the tensors they make."""

    count: int
    values: dict[str, list[Any]]
    shapes: dict[str, tuple[int, ...]]
    tensors: dict[str, Array]


def fitted(request: Asked, signature: Signature) -> Rows:
    """The request as the model takes it, or `Rejected` naming the tensor, what is wrong and what is expected."""
    given = {tensor.name: tensor for tensor in request.inputs}
    takes = {tensor.name: tensor for tensor in signature.inputs}
    for name in given:
        if name not in takes:
            why = f"is no input of this model; it takes {listed(tuple(takes))}"
            raise Rejected(shown(name), why, code="bad_input")
    for name in takes:
        if name not in given:
            raise Rejected(name, "is missing from the inputs", code="bad_input")
    answers = tuple(tensor.name for tensor in signature.outputs)
    for name in request.wanted:
        if name not in answers:
            why = f"is no output of this model; it answers {listed(answers)}"
            raise Rejected(shown(name), why, code="bad_output")
    shapes = {name: shape_of(given[name], tensor) for name, tensor in takes.items()}
    count = rows(shapes)
    values = {name: tensors.flat(given[name].data, given[name].shape, name) for name in takes}
    arrays = {name: tensors.decode(values[name], takes[name].datatype, name).reshape(shapes[name]) for name in takes}
    return Rows(count, values, shapes, arrays)


def listed(names: tuple[str, ...]) -> str:
    return ", ".join(names) if len(names) <= 20 else f"{', '.join(names[:20])} and {len(names) - 20} more"


def shape_of(given: Input, expected: Tensor) -> tuple[int, ...]:
    """The shape the model sees, if datatype and shape are those of the signature."""
    if given.datatype != expected.datatype:
        why = f"has datatype {shown(given.datatype)}; this model takes {expected.datatype}"
        raise Rejected(given.name, why, code="bad_input")
    shape = given.shape
    if expected.shape[1:] == (1,) and len(shape) == 1:
        shape = (*shape, 1)
    elif len(expected.shape) == 1 and len(shape) == 2 and shape[1] == 1:
        shape = shape[:1]
    fits = len(shape) == len(expected.shape)
    if not fits or any(wanted not in (-1, size) for size, wanted in zip(shape, expected.shape, strict=True)):
        why = f"has shape {short_shape(given.shape)}; this model takes {list(expected.shape)}, −1 being any size"
        raise Rejected(given.name, why, code="bad_input")
    return shape


def short_shape(shape: tuple[int, ...]) -> str:
    return str(list(shape)) if max((*shape, 0)) < 10**15 else "with enormous sizes"


def rows(shapes: Mapping[str, tuple[int, ...]]) -> int:
    """How many rows the request has: the first size, which all inputs share."""
    counts = {name: shape[0] if shape else 1 for name, shape in shapes.items()}
    name, count = next(iter(counts.items()), ("inputs", 1))
    for other, found in counts.items():
        if found != count:
            raise Rejected(other, f"has {found} rows, but {name} has {count}", code="bad_input")
    if count > MOST_ROWS:
        raise Rejected(name, f"has {count} rows; send at most {MOST_ROWS:,} at once", code="too_many_rows")
    if any(prod(shape) == 0 for shape in shapes.values()):
        raise Rejected(name, "has no rows; send at least one", code="bad_input")
    return count


def answer(capture: Capture, version: ModelVersion, request: Asked) -> dict[str, Any]:
    """The answer to a request, from its capture: what is stored and what is answered cannot differ."""
    return {
        "model_name": capture.model,
        "model_version": str(version.version),
        "id": request.id or capture.prediction,
        "parameters": {
            "prediction": capture.prediction,
            "version": version.version,
            "digest": version.artifact,
            "capture": capture.digest,
        },
        "outputs": [
            {
                "name": tensor.name,
                "shape": list(capture.shapes[tensor.name]),
                "datatype": tensor.datatype,
                "data": capture.outputs[tensor.name],
            }
            for tensor in version.signature.outputs
            if tensor.name in (request.wanted or (tensor.name,))
        ],
    }


def metadata(version: ModelVersion, numbers: list[int]) -> dict[str, Any]:
    """A model as the protocol describes it. `parameters` name the version that is described."""
    return {
        "name": version.model,
        "versions": [str(number) for number in numbers],
        "platform": PLATFORM,
        "inputs": [described(tensor) for tensor in version.signature.inputs],
        "outputs": [described(tensor) for tensor in version.signature.outputs],
        "parameters": {"version": version.version, "digest": version.artifact},
    }


def described(tensor: Tensor) -> dict[str, Any]:
    return {"name": tensor.name, "datatype": tensor.datatype, "shape": list(tensor.shape)}


def traceparent(headers: Mapping[str, str]) -> str | None:
    """The W3C trace context of a request, if it is well-formed; anything else is ignored, as the standard says."""
    given = headers.get("traceparent", "")
    return given if TRACEPARENT.fullmatch(given) else None
