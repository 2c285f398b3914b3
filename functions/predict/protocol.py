"""Open Inference Protocol v2: from a path to what is asked, from what is asked to what a model takes. Pure.

Two freedoms beyond the protocol: a column may have shape [n] or [n, 1], and a version may be named by its alias.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from samara.core import keys
from samara.core.strict import shown
from samara.core.tensors import TEXT, Spec, Value
from samara.errors import Rejected

if TYPE_CHECKING:
    from functions.predict.wire import Asked, Wanted

Shape = tuple[int, ...]
Form = tuple[tuple[str, str, Shape], ...]  # of each tensor its name, datatype and shape

MOST_FORMS = 256  # remembered of each version
MOST_ROWS = 100_000  # in one request; a batch job is the way for more
VERSION = r"champion|challenger|shadow|[1-9][0-9]{0,9}"
TRACEPARENT = r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
PLATFORM = "onnxruntime_onnx"
EXTENSIONS = ("binary_tensor_data", "classification", "model_configuration", "model_repository")

What = Literal[
    "server", "live", "ready", "models", "index",
    "model", "model ready", "config", "infer", "rows", "explain", "batch", "batch state",
]  # fmt: skip
POSTED: frozenset[What] = frozenset(("index", "infer", "rows", "explain", "batch"))
FIXED: dict[tuple[str, ...], What] = {
    (): "server",
    ("",): "server",
    ("health", "live"): "live",
    ("health", "ready"): "ready",
    ("models",): "models",
    ("repository", "index"): "index",
}
OF_MODEL: dict[str, What] = {
    "": "model",
    "ready": "model ready",
    "config": "config",
    "infer": "infer",
    "rows": "rows",
    "explain": "explain",
    "batch": "batch",
}


class Route(NamedTuple):
    """What a path asks for. `version` is a number, an alias, or empty for the champion."""

    what: What
    model: str = ""
    version: str = ""

    @property
    def method(self) -> str:
        return "POST" if self.what in POSTED else "GET"


@lru_cache(1024)
def route(path: str) -> Route:
    """
    >>> route("/v2/models/late/versions/3/infer")
    Route(what='infer', model='late', version='3')
    """
    parts = tuple(path.split("/")[2:])
    if parts in FIXED:
        return Route(FIXED[parts])
    match parts:
        case ("models", model, "versions", version, *rest) if version and len(rest) < 2:
            return of_model(path, model, version, rest)
        case ("models", model, *rest) if len(rest) < 2:
            return of_model(path, model, "", rest)
        case ("models", model, "batch", scoring) if keys.NAME.fullmatch(model) and keys.NAME.fullmatch(scoring):
            return Route("batch state", model)
        case ("repository", "models", model, ("load" | "unload") as verb):
            why = f"is not {verb}ed by hand; versions are loaded when they are asked for, and promoted by aliases"
            raise Rejected(shown(model), why, code="not_ours")
    raise unknown(path)


def of_model(path: str, model: str, version: str, rest: list[str]) -> Route:
    what = OF_MODEL.get(rest[0] if rest else "")
    if what is None or rest == [""] or not model:
        raise unknown(path)
    if version and not re.fullmatch(VERSION, version):
        why = "versions are numbers from 1, champion, challenger or shadow"
        raise Rejected(shown(version), why, code="unknown_version")
    if not keys.NAME.fullmatch(model):
        raise Rejected(shown(model), "no model has such a name", code="unknown_model")
    return Route(what, model, version)


def unknown(path: str) -> Rejected:
    return Rejected(shown(path), "no such address; /v2/models lists what there is", code="unknown_path")


class Fit:
    """What a request must be to fit one version of a model. Made once for a version, then called for each request."""

    def __init__(self, inputs: Sequence[Spec], outputs: Sequence[Spec], most_rows: int = MOST_ROWS) -> None:
        self._takes = {spec.name: spec for spec in inputs}
        self._answers = tuple(spec.name for spec in outputs)
        self._rowed = tuple(spec.name for spec in inputs if spec.shape[:1] == (-1,))
        self._most_rows = most_rows
        self._known = lru_cache(MOST_FORMS)(self._judged)

    def __call__(self, asked: "Asked") -> tuple[dict[str, Value], int]:
        """The tensors the model takes, and how many rows they have: the first size that all with an open first size
        share, else 1. `Rejected` names the tensor, what is wrong and what is expected."""
        form = tuple([(name, datatype, shape) for name, (datatype, shape, _) in asked.inputs])
        reshaped, rows = self._known(form, asked.wanted)
        fitted = dict(asked.inputs)
        for name, shape in reshaped:
            fitted[name] = fitted[name]._replace(shape=shape)
        return fitted, rows

    def _judged(self, form: Form, wanted: tuple["Wanted", ...]) -> tuple[list[tuple[str, Shape]], int]:
        """The shapes that must change for the model to take them, and the rows, of requests that look like this."""
        shapes: dict[str, Shape] = {}
        for name, datatype, shape in form:
            if name not in self._takes:
                why = f"is no input of this model; it takes {listed(tuple(self._takes))}"
                raise Rejected(shown(name), why, code="bad_input")
            shapes[name] = as_taken(datatype, shape, self._takes[name])
        for name in self._takes:
            if name not in shapes:
                raise Rejected(name, "is missing from the inputs", code="bad_input")
        for name, _, _ in wanted:
            if name not in self._answers:
                why = f"is no output of this model; it answers {listed(self._answers)}"
                raise Rejected(shown(name), why, code="bad_output")
        return [(name, shapes[name]) for name, _, shape in form if shapes[name] != shape], self._rows(shapes)

    def _rows(self, shapes: Mapping[str, Shape]) -> int:
        if not self._rowed:
            return 1
        first, *others = self._rowed
        rows = shapes[first][0]
        for name in others:
            if shapes[name][0] != rows:
                raise Rejected(name, f"has {shapes[name][0]:,} rows, but {first} has {rows:,}", code="bad_input")
        if rows == 0:
            raise Rejected(first, "has no rows; send at least one", code="bad_input")
        if rows > self._most_rows:
            why = f"has {rows:,} rows; send at most {self._most_rows:,} at once"
            raise Rejected(first, why, code="too_many_rows")
        return rows


def listed(names: tuple[str, ...]) -> str:
    return ", ".join(names) if len(names) <= 20 else f"{', '.join(names[:20])} and {len(names) - 20} more"


def as_taken(datatype: str, shape: Shape, spec: Spec) -> Shape:
    """The shape in which the model sees a tensor, if its datatype and shape are those of the model."""
    expected = spec.shape
    if datatype != spec.datatype:
        why = f"has datatype {shown(datatype)}; this model takes {spec.datatype}"
        raise Rejected(spec.name, why, code="bad_input")
    taken = shape
    if len(shape) == 1 and len(expected) == 2 and expected[1] == 1:
        taken = (*shape, 1)
    if len(shape) == 2 and len(expected) == 1 and shape[1] == 1:
        taken = shape[:1]
    if len(taken) != len(expected) or any(
        wanted not in (-1, size) for size, wanted in zip(taken, expected, strict=True)
    ):
        said = list(shape) if max(shape, default=0) < 10**15 else "with enormous sizes"
        why = f"has shape {said}; this model takes {list(expected)}, −1 being any size"
        raise Rejected(spec.name, why, code="bad_input")
    return taken


def server(version: str) -> dict[str, Any]:
    return {"name": "samara", "version": version, "extensions": list(EXTENSIONS)}


def metadata(
    model: str, numbers: Iterable[int], inputs: Sequence[Spec], outputs: Sequence[Spec], **parameters: Any
) -> dict[str, Any]:
    """A model as the protocol describes it. `parameters` name the version that is described, and its digest."""
    return {
        "name": model,
        "versions": [str(number) for number in numbers],
        "platform": PLATFORM,
        "inputs": [described(spec) for spec in inputs],
        "outputs": [described(spec) for spec in outputs],
        "parameters": parameters,
    }


def described(spec: Spec) -> dict[str, Any]:
    return {"name": spec.name, "datatype": spec.datatype, "shape": list(spec.shape)}


def config(model: str, inputs: Sequence[Spec], outputs: Sequence[Spec]) -> dict[str, Any]:
    """A model as Triton's clients ask for it: without the size of the rows where all its tensors have them, and then
    with how many it takes at once."""
    by_rows = all(spec.shape[:1] == (-1,) for spec in (*inputs, *outputs))
    return {
        "name": model,
        "platform": PLATFORM,
        "backend": "onnxruntime",
        "max_batch_size": MOST_ROWS if by_rows else 0,
        "input": [configured(spec, by_rows) for spec in inputs],
        "output": [configured(spec, by_rows) for spec in outputs],
    }


def configured(spec: Spec, by_rows: bool) -> dict[str, Any]:
    datatype = "TYPE_STRING" if spec.datatype == TEXT else f"TYPE_{spec.datatype}"
    return {"name": spec.name, "data_type": datatype, "dims": list(spec.shape[1 if by_rows else 0 :])}


def index(models: Iterable[tuple[str, int, str]]) -> list[dict[str, str]]:
    """The repository as Triton lists it. Each model comes as its name, a version, and why it is not ready, if so."""
    return [
        {"name": name, "version": str(version), "state": "UNAVAILABLE" if why else "READY", "reason": why}
        for name, version, why in models
    ]


def traceparent(headers: Mapping[str, str]) -> str | None:
    """The W3C trace context of a request, if it is well-formed; anything else is ignored, as the standard says."""
    given = headers.get("traceparent", "")
    return given if re.fullmatch(TRACEPARENT, given) else None
