"""The full engine: a session of the package `onnxruntime`, which knows accelerators and needs numpy.

For whoever asks for an accelerator, and for platforms whose library cannot be loaded on its own.
"""

import logging
from collections.abc import Mapping, Sequence
from ctypes import string_at
from functools import partial
from math import prod
from typing import Any

import numpy as np
import onnxruntime

from samara import ort
from samara.core.tensors import TEXT, WIDTH, Form, Raw, Spec, Value
from samara.errors import Rejected
from samara.ort import TYPES, mistyped, plain
from samara.watchdog import WATCHDOG

CPU = "CPUExecutionProvider"
PROVIDERS = {  # each with what must be installed for it
    "cuda": ("CUDAExecutionProvider", "install onnxruntime-gpu, on a machine with CUDA"),
    "tensorrt": ("TensorrtExecutionProvider", "install onnxruntime-gpu and TensorRT, on a machine with CUDA"),
    "coreml": ("CoreMLExecutionProvider", "it comes with onnxruntime for macOS"),
    "directml": ("DmlExecutionProvider", "install onnxruntime-directml, on Windows"),
}
NAMES = {
    "float": "FP32", "double": "FP64", "float16": "FP16", "bfloat16": "BF16", "string": TEXT, "bool": "BOOL",
    "int8": "INT8", "int16": "INT16", "int32": "INT32", "int64": "INT64",
    "uint8": "UINT8", "uint16": "UINT16", "uint32": "UINT32", "uint64": "UINT64",
}  # fmt: skip
BITS = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}  # values as mere bits: only the library reads them

log = logging.getLogger("samara")


def load(model: bytes, *, accelerator: str = "", threads: int = 1) -> "Full":
    """As `samara.ort.load`, on an accelerator if it is there; if not, on the CPU, and a warning says so."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 4  # what fails is raised; the library need not print it as well
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", ort.NOWHERE.decode())
    providers = [*available(accelerator), CPU]
    try:
        session = onnxruntime.InferenceSession(model, options, providers=providers)
    except Exception as error:  # onnxruntime's errors share no base class
        raise Rejected("model", f"onnxruntime cannot load it: {first_line(error)}", code="bad_model") from error
    if accelerator and session.get_providers()[0] == CPU and len(providers) > 1:
        warn(accelerator, "it is installed and does not start")
    return Full(session, ort.held(model))


def available(accelerator: str) -> list[str]:
    """The provider of that accelerator, or none, with a warning, where it is missing."""
    if not accelerator:
        return []
    provider, _ = PROVIDERS[accelerator]
    if provider in onnxruntime.get_available_providers():
        return [provider]
    warn(accelerator, "it is not there")
    return []


def warn(accelerator: str, why: str) -> None:
    provider, way = PROVIDERS[accelerator]
    there = ", ".join(onnxruntime.get_available_providers())
    log.warning(
        "SAMARA_ENGINE asks for %s (%s), and %s: models run on the CPU. There are %s. To get it, %s",
        accelerator, provider, why, there, way,
    )  # fmt: skip


class Full:
    """A session; see `samara.engines.Session`."""

    again_bytes = 0

    def __init__(self, session: Any, size: int) -> None:
        self.inputs = tuple(spec("Input", node) for node in session.get_inputs())
        self.outputs = tuple(spec("Output", node) for node in session.get_outputs())
        self.metadata = dict(session.get_modelmeta().custom_metadata_map)
        self.size = size
        self._session: Any = session

    def run(self, given: Mapping[str, Value], wanted: Sequence[str] = (), limit_s: float = 0) -> dict[str, Value]:
        """The outputs `wanted`, or all; see `samara.engines.Session.run`."""
        session = self._session
        if session is None:
            raise Rejected("model", "its session is closed", code="model_failed")
        names = tuple(spec.name for spec in self.outputs)
        ort.fits(given, self.inputs, wanted, names)
        texts = any(taken.datatype == TEXT for taken in self.inputs)
        feeds = {taken.name: tensor(taken, given[taken.name]) for taken in self.inputs}
        options = onnxruntime.RunOptions()
        watch = WATCHDOG.begin(limit_s, partial(setattr, options, "terminate", True)) if limit_s else None
        stopped = False
        try:
            run = session.run if texts else session.run_with_ort_values  # which takes no text
            answered = run(list(wanted or names), feeds, options)
        except Exception as error:  # onnxruntime's errors share no base class
            stopped = WATCHDOG.end(watch) if watch else False
            if stopped:
                raise Rejected("model", f"takes longer than {limit_s:g} s", code="too_slow") from error
            raise Rejected("model", f"fails when it is asked: {first_line(error)}", code="model_failed") from error
        if watch:
            WATCHDOG.end(watch)
        kinds = {given.name: given.datatype for given in self.outputs}
        return {name: value(kinds[name], found) for name, found in zip(wanted or names, answered, strict=True)}

    def again(self, form: Form, numbers: Sequence[Raw], limit_s: float = 0) -> list[bytes] | None:  # noqa: ARG002
        """There is no quicker way than `run`."""
        return None

    def close(self) -> None:
        """Free what it holds, once the runs under way are over. Runs asked for later fail."""
        self._session = None


def spec(what: str, node: Any) -> Spec:
    """What the package says of an input or output. `Rejected` if it is no tensor, or of values not served."""
    kind = node.type
    name = kind.removeprefix("tensor(").removesuffix(")")
    if name not in NAMES:
        raise ort.unserved(what, node.name, kind)
    return Spec(node.name, NAMES[name], tuple(size if isinstance(size, int) else -1 for size in node.shape))


def tensor(taken: Spec, one: Value) -> Any:
    """A value as the package takes it."""
    name, datatype, _ = taken
    if one.datatype != datatype:
        raise mistyped(name, datatype, one.datatype)
    if datatype == TEXT:
        return array_of(name, one)
    raw = plain(name, one.data, prod(one.shape) * WIDTH[datatype])
    array = np.frombuffer(raw, BITS[WIDTH[datatype]]).reshape(one.shape)
    return onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(array, TYPES[datatype])


def array_of(name: str, one: Value) -> Any:
    """Text as numpy holds it for the package, which reads it as UTF-8 up to the first zero."""
    try:
        texts = np.array([text.decode() for text in one.data], dtype=object).reshape(one.shape)
    except (UnicodeDecodeError, AttributeError, TypeError, ValueError) as error:
        raise Rejected(name, f"holds what this engine cannot take as text: {error}", code="bad_input") from error
    if any("\0" in text for text in texts.reshape(-1)):
        raise Rejected(name, "holds what this engine cannot take as text: a zero byte", code="bad_input")
    return texts


def value(datatype: str, found: Any) -> Value:
    """A value as the package gives it: an array of its own kind or of numpy's."""
    shape = tuple(found.shape() if callable(found.shape) else found.shape)
    if datatype == TEXT:
        texts = found.numpy() if callable(found.shape) else found
        return Value(TEXT, shape, [text.encode() for text in texts.reshape(-1)])
    if isinstance(found, np.ndarray):
        return Value(datatype, shape, found.tobytes())
    size = prod(shape) * WIDTH[datatype]
    return Value(datatype, shape, string_at(found.data_ptr(), size) if size else b"")


def first_line(error: Exception) -> str:
    """The first line of what a library said, short enough to show."""
    return (str(error).splitlines() or [type(error).__name__])[0][:300]
