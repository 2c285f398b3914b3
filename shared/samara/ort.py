"""The lean engine: a session of ONNX Runtime without numpy, and without importing the package `onnxruntime`.

Importing the two takes three times as long as everything else that a first answer needs. Once warm, a run here
costs no more than through the package: when inputs come in shapes that came before, all arguments of the call lie
prepared (`Frame`), the shapes of the outputs are known, and running is a single call into C.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from ctypes import (
    Structure,
    addressof,
    byref,
    c_char,
    c_char_p,
    c_int,
    c_int64,
    c_size_t,
    c_ssize_t,
    c_void_p,
    create_string_buffer,
    memmove,
    py_object,
    pythonapi,
    sizeof,
    string_at,
)  # fmt: skip
from functools import partial
from itertools import accumulate, pairwise
from math import prod
from struct import pack
from threading import Lock
from typing import Any

from samara.core.tensors import TEXT, WIDTH, Form, Raw, Spec, Value
from samara.errors import Rejected
from samara.ort_api import FATAL, Api, Failure, api
from samara.watchdog import WATCHDOG

NOWHERE = b"/dev/null/"  # a folder that cannot exist: a model may refer to no file
EVERY_OPTIMISATION, NO_OPTIMISATION = 99, 0
WEIGHTS = b"model.weights"  # the file in which an optimised model keeps its larger tensors
SMALL = b"1024"  # bytes of those that stay in the model itself
WORTH_KEEPING = 1 << 20  # bytes: smaller models take the same 8 ms to load, optimised before or not
TENSOR = 1
KINDS = ("of unknown kind", "a tensor", "a sequence", "a map", "opaque", "a sparse tensor", "an optional value")
TYPES: dict[str, int] = {
    "FP32": 1, "UINT8": 2, "INT8": 3, "UINT16": 4, "INT16": 5, "INT32": 6, "INT64": 7, TEXT: 8, "BOOL": 9,
    "FP16": 10, "FP64": 11, "UINT32": 12, "UINT64": 13, "BF16": 16,
}  # fmt: skip
DATATYPES = {number: name for name, number in TYPES.items()}
UNSERVED = {
    14: "complex64", 15: "complex128", 17: "float8", 18: "float8", 19: "float8", 20: "float8", 21: "uint4", 22: "int4",
    23: "float4", 24: "float8", 25: "uint2", 26: "int2",
}  # fmt: skip
LARGEST_FRAME = 1 << 16  # bytes of tensors: below, copying them costs less than telling the library where they lie
MOST_FRAMES = 128  # combinations of shapes remembered: at most 8 MiB for each thread that runs at the same time
ALIGNMENT = 64  # bytes: a cache line, and the widest vector register
WIDEST = 8  # bytes of the widest value: not every processor reads one from any address
BASE = 1 << 20  # bytes that any session may hold; models of a few kilobytes hold a third of it
COPIES = 3  # of its weights that a session holds: as they came, as the kernels like them, and what loading leaves
TREES = 7  # times the size of its model that an ensemble of trees holds

pythonapi.PyBytes_AsString.restype = c_void_p

Shape = tuple[int, ...]


def load(model: bytes, *, threads: int = 1, cache: "str | os.PathLike[str] | None" = None, digest: str = "") -> "Lean":
    """A session for the model in these bytes, which may refer to no file outside them.

    One thread for each run: sums are added in the same order everywhere, requests already use every core, and
    threads that spin would be billed. `cache` is a folder for optimised models (`samara.optimised`), and `digest`
    the SHA-256 of these bytes, if known. `Rejected`, code `bad_model`, when it cannot be loaded, or takes or gives
    what is no tensor.
    """
    library = api()
    if library is None:
        raise Rejected("onnxruntime", "its library is not installed here", code="no_engine")
    try:
        if cache and len(model) >= WORTH_KEEPING:
            from samara import optimised  # noqa: PLC0415 - few have a folder for it

            return Lean(optimised.graph(library, model, threads, cache, digest), held(model))
        return Lean(Graph(library, model, threads), held(model))
    except Failure as error:
        raise Rejected("model", f"onnxruntime cannot load it: {error}", code="bad_model") from error


def held(model: bytes) -> int:
    """About how many bytes of memory a session of it holds, at most."""
    return BASE + (TREES if b"TreeEnsemble" in model else COPIES) * len(model)


class Graph:
    """A loaded model as the library holds it, freed when nobody refers to it any more: not while a run needs it."""

    def __init__(self, library: Api, model: bytes | str, threads: int, *, save: str = "") -> None:
        """`model` is its bytes; or the path under which an earlier process saved it (`save`), optimised."""
        self.api = library
        self.address: int | None = None
        options = library.made("CreateSessionOptions")
        try:
            library.check(library.SetIntraOpNumThreads(options, threads))
            library.check(library.SetInterOpNumThreads(options, 1))
            library.check(library.SetSessionLogSeverityLevel(options, FATAL))
            level = EVERY_OPTIMISATION if isinstance(model, bytes) else NO_OPTIMISATION
            library.check(library.SetSessionGraphOptimizationLevel(options, level))
            if save:
                library.check(library.SetOptimizedModelFilePath(options, library.path(save)))
                self._set(options, b"session.optimized_model_external_initializers_file_name", WEIGHTS)
                self._set(options, b"session.optimized_model_external_initializers_min_size_in_bytes", SMALL)
            if isinstance(model, bytes):
                self._set(options, b"session.model_external_initializers_file_folder_path", NOWHERE)
                self.address = library.made("CreateSessionFromArray", library.environment, model, len(model), options)
            else:
                self.address = library.made("CreateSession", library.environment, library.path(model), options)
        finally:
            library.ReleaseSessionOptions(options)

    def _set(self, options: int, name: bytes, value: bytes) -> None:
        self.api.check(self.api.AddSessionConfigEntry(options, name, value))

    def __del__(self) -> None:
        if self.address:
            self.api.ReleaseSession(self.address)

    def specs(self, what: str) -> tuple[Spec, ...]:
        """Its inputs or its outputs, for `what` is "Input" or "Output"."""
        count = self.api.number(f"SessionGet{what}Count", self.address)
        return tuple(self._spec(what, place) for place in range(count))

    def _spec(self, what: str, place: int) -> Spec:
        c = self.api
        name = c.text(c.made(f"SessionGet{what}Name", self.address, place, c.allocator))
        info = c.made(f"SessionGet{what}TypeInfo", self.address, place)
        try:
            kind = c.number("GetOnnxTypeFromTypeInfo", info)
            if kind != TENSOR:
                raise unserved(what, name, KINDS[kind] if kind < len(KINDS) else KINDS[0])
            datatype, shape = measured(c, c.made("CastTypeInfoToTensorInfo", info))
        finally:
            c.ReleaseTypeInfo(info)
        if datatype not in DATATYPES:
            raise unserved(what, name, f"a tensor of {UNSERVED.get(datatype, 'an unknown type')}")
        return Spec(name, DATATYPES[datatype], shape)

    def metadata(self) -> dict[str, str]:
        """What its maker wrote into it, beside the graph."""
        c = self.api
        info = c.made("SessionGetModelMetadata", self.address)
        try:
            keys, count = c_void_p(), c_int64()
            c.check(c.ModelMetadataGetCustomMetadataMapKeys(info, c.allocator, byref(keys), byref(count)))
            if not keys.value:
                return {}
            addresses = (c_void_p * count.value).from_address(keys.value)
            names = [c.text(address) for address in addresses if address]
            c.check(c.AllocatorFree(c.allocator, keys))
            look = partial(c.made, "ModelMetadataLookupCustomMetadataMap", info, c.allocator)
            found = {name: look(name.encode()) for name in names}
            return {name: c.text(address) for name, address in found.items() if address}
        finally:
            c.ReleaseModelMetadata(info)


def unserved(what: str, name: str, kind: str) -> Rejected:
    why = f"{what.lower()} {name[:60]!a} is {kind}; only tensors of numbers, booleans and text are served"
    return Rejected("model", why, code="bad_model")


def measured(c: Api, info: int) -> tuple[int, Shape]:
    """The number of a tensor's datatype, and its shape; the library writes −1 for any size."""
    rank = c.number("GetDimensionsCount", info)
    sizes = (c_int64 * rank)()
    c.check(c.GetDimensions(info, sizes, rank))
    return c.number("GetTensorElementType", info), tuple(sizes)


class Lean:
    """A session; see `samara.engines.Session`. Threads may run it at the same time, and close it meanwhile."""

    again_bytes = LARGEST_FRAME

    def __init__(self, graph: Graph, size: int) -> None:
        self.inputs = graph.specs("Input")
        self.outputs = graph.specs("Output")
        self.metadata = graph.metadata()
        self.size = size
        self._graph: Graph | None = graph
        self._names = tuple(spec.name for spec in self.inputs)
        self._all = tuple(spec.name for spec in self.outputs)
        self._known: dict[Form, Known] = {}
        self._lock = Lock()

    def run(self, given: Mapping[str, Value], wanted: Sequence[str] = (), limit_s: float = 0) -> dict[str, Value]:
        """The outputs `wanted`, or all; see `samara.engines.Session.run`."""
        try:
            key = (tuple(wanted) or self._all, tuple([given[name][1] for name in self._names]))
            known = self._known[key]
        except KeyError:  # for the first time, or something is missing
            return self._learn(given, wanted, limit_s)
        if len(given) != len(self._names):
            fits(given, self.inputs, wanted, self._all)
        try:
            frame = known.frames.pop()  # nobody else has it until it is put back
        except IndexError:
            frame = Frame(self._open(), self.inputs, key, known.outputs)
        try:
            answers = frame.run(given, limit_s)
        except Failure:  # perhaps only because an output changed its shape: then it works without foresight
            return self._learn(given, wanted, limit_s, changed=True)
        if not frame.spent:
            known.frames.append(frame)
        return answers

    def again(self, form: Form, numbers: Sequence[Raw], limit_s: float = 0) -> list[bytes] | None:
        """What `run` answers in a form that it has answered before; see `samara.engines.Session.again`."""
        try:
            known = self._known[form]
            frame = known.frames.pop()
        except (KeyError, IndexError):  # it is new here, or all frames are in use
            return None
        if frame.raw is None:
            known.frames.append(frame)
            return None
        try:
            answers = frame.again(numbers, limit_s)
        except Failure:
            return None
        if not frame.spent:
            known.frames.append(frame)
        return answers

    def close(self) -> None:
        """Free what it holds, once the runs under way are over. Runs asked for later fail."""
        with self._lock:
            self._graph = None
            self._known = {}

    def _open(self) -> Graph:
        graph = self._graph
        if graph is None:
            raise Rejected("model", "its session is closed", code="model_failed")
        return graph

    def _learn(
        self, given: Mapping[str, Value], wanted: Sequence[str], limit_s: float, *, changed: bool = False
    ) -> dict[str, Value]:
        """Run with shapes not known to answer as before, and remember which shapes were answered, unless they have
        `changed`: what changed once may change every time."""
        fits(given, self.inputs, wanted, self._all)
        key = (tuple(wanted) or self._all, tuple([given[name].shape for name in self._names]))
        try:
            answers = Frame(self._open(), self.inputs, key, (), given).run(given, limit_s)
        except Failure as error:
            raise Rejected("model", f"fails when it is asked: {error}", code="model_failed") from error
        size = sum(value.weight for value in (*given.values(), *answers.values()))
        with self._lock:
            if size <= LARGEST_FRAME and self._graph:
                outputs = [Spec(name, value.datatype, value.shape) for name, value in answers.items()]
                self._known[key] = Known(() if changed else tuple(outputs))
                if len(self._known) > MOST_FRAMES:
                    del self._known[next(iter(self._known))]
        return answers


def fits(given: Mapping[str, Value], inputs: Sequence[Spec], wanted: Sequence[str], outputs: Sequence[str]) -> None:
    """Raises `Rejected` unless all inputs are given by name and nothing else, and only outputs are wanted."""
    names = [spec.name for spec in inputs]
    for name in names:
        if name not in given:
            raise Rejected(name, "the model takes it, and it is not given", code="bad_input")
    for name in given:
        if name not in names:
            raise Rejected(name, f"the model takes no such input; it takes {', '.join(names)}", code="bad_input")
    for name in wanted:
        if name not in outputs:
            raise Rejected(name, f"the model gives no such output; it gives {', '.join(outputs)}", code="bad_output")


class Known:
    """What is remembered of some shapes of inputs: the outputs they lead to, if always the same, and idle frames."""

    __slots__ = ("frames", "outputs")

    def __init__(self, outputs: tuple[Spec, ...]) -> None:
        self.frames: list[Frame] = []
        self.outputs = outputs


class Frame:
    """All that a run hands to the library, for inputs of certain shapes. For one run at a time.

    Tensors of numbers lie in memory of the frame, to which inputs are copied and in which outputs whose shape is
    foreseen are written; the library refuses to write one of another shape. With `lent`, the inputs are used where
    they are instead. Text, outputs that are not foreseen, and those that are inputs, the library keeps itself. Once a
    frame has held long texts it is `spent`, since the room for them would stay as long as it does; or once it was
    told to stop. A frame is `raw` when all in it is numbers, and in its own memory.
    """

    def __init__(
        self,
        graph: Graph,
        inputs: Sequence[Spec],
        key: Form,
        foreseen: Sequence[Spec],
        lent: Mapping[str, Value] | None = None,
    ) -> None:
        wanted, shapes = key
        self._graph, self._api = graph, graph.api
        self._options: int = self._api.made("CreateRunOptions")
        self._stop = partial(self._api.RunOptionsSetTerminate, self._options)
        self._binding: int | None = None
        self._kept: list[object] = []  # what must not be freed before the values that lie in it
        self._count = len(inputs)
        self.spent = False
        self._values = (c_void_p * (self._count + len(wanted)))()
        self._numbers: list[tuple[str, str, memoryview | None]] = []
        self._texts: list[tuple[str, int, int]] = []
        self._outputs: list[tuple[str, str, Shape, memoryview | None, int]] = []
        for place, ((name, datatype, _), shape) in enumerate(zip(inputs, shapes, strict=True)):
            self._take(place, Spec(name, datatype, shape), lent)
        taken = {spec.name for spec in inputs}  # where one is given as it is, the library writes nothing
        outputs = {spec.name: spec for spec in foreseen if spec.datatype != TEXT and spec.name not in taken}
        for place, name in enumerate(wanted, self._count):
            _, datatype, shape = outputs.get(name, Spec(name, "", ()))
            view = self._room(place, outputs[name]) if datatype else None
            self._outputs.append((name, datatype, shape, view, place))
        into = [view for _, _, view in self._numbers if view is not None]
        outof = [view for _, _, _, view, _ in self._outputs if view is not None]
        foreseen_all = len(outof) == len(wanted)
        self.raw = (into, outof) if foreseen_all and len(into) == len(inputs) else None
        names = [spec.name.encode() for spec in inputs], [name.encode() for name in wanted]
        self._call = self._bound(*names) if foreseen_all else self._prepared(*names)

    def __del__(self) -> None:
        if self._binding:
            self._api.ReleaseIoBinding(self._binding)
        for value in self._values:
            self._api.ReleaseValue(value)
        self._api.ReleaseRunOptions(self._options)

    def run(self, given: Mapping[str, Value], limit_s: float) -> dict[str, Value]:
        """The outputs for inputs of this frame's shapes. `Failure` when the model, or what was foreseen, fails."""
        for name, datatype, view in self._numbers:
            kind, _, data = given[name]
            if kind != datatype:
                raise mistyped(name, datatype, kind)
            if view is not None:
                view[:] = data if type(data) is bytes and len(data) == len(view) else plain(name, data, len(view))
        for text in self._texts:
            self._write(*text, given)
        self._run(limit_s)
        return {
            name: self._read(place) if view is None else Value(datatype, shape, view.tobytes())
            for name, datatype, shape, view, place in self._outputs
        }

    def again(self, numbers: Sequence[Raw], limit_s: float) -> list[bytes]:
        """`run` for a frame that is `raw`: from the values of the inputs to those of the outputs."""
        assert self.raw  # noqa: S101 - whoever calls has looked
        into, outof = self.raw
        for view, data in zip(into, numbers, strict=True):
            view[:] = data
        self._run(limit_s)
        return [view.tobytes() for view in outof]

    def _run(self, limit_s: float) -> None:
        if not limit_s:
            self._api.check(self._call())
            return
        watch = WATCHDOG.begin(limit_s, self._stop)
        try:
            status = self._call()
        finally:
            stopped = WATCHDOG.end(watch)
        if stopped:  # perhaps too late to matter; but it would stop the next run as well
            self.spent = True
        if not status:
            return
        try:
            self._api.check(status)
        except Failure as error:
            if stopped:
                raise Rejected("model", f"takes longer than {limit_s:g} s", code="too_slow") from error
            raise

    def _bound(self, takes: Sequence[bytes], gives: Sequence[bytes]) -> Callable[[], int | None]:
        """The call where all outputs are foreseen, which costs a quarter less than the other."""
        api, session = self._api, self._graph.address
        self._binding = binding = api.made("CreateIoBinding", session)
        for name, value in zip(takes, self._values, strict=False):
            api.check(api.BindInput(binding, name, value))
        for name, value in zip(gives, self._values[self._count :], strict=True):
            api.check(api.BindOutput(binding, name, value))
        return partial(api.RunWithBinding, session, self._options, binding)

    def _prepared(self, takes: Sequence[bytes], gives: Sequence[bytes]) -> Callable[[], int | None]:
        """The call where the library makes some of the outputs."""
        names = [*takes, *gives]
        array = (c_char_p * len(names))(*names)
        self._kept.append(array)
        into, outof = addressof(array), addressof(self._values)
        after_names, after_values = into + len(takes) * sizeof(c_void_p), outof + len(takes) * sizeof(c_void_p)
        return partial(
            self._api.Run,
            self._graph.address, self._options, into, outof, len(takes), after_names, len(gives), after_values,
        )  # fmt: skip

    def _take(self, place: int, spec: Spec, lent: Mapping[str, Value] | None) -> None:
        """Make the value of one input."""
        if min(spec.shape, default=0) < 0:
            raise Rejected(spec.name, f"has the shape {list(spec.shape)}; no size is negative", code="bad_input")
        if spec.datatype == TEXT:
            made = self._api.made("CreateTensorAsOrtValue", self._api.allocator, sizes(spec.shape), len(spec.shape), 8)
            self._values[place] = made
            self._texts.append((spec.name, made, prod(spec.shape)))
        elif lent is None:
            self._numbers.append((spec.name, spec.datatype, self._room(place, spec)))
        else:
            loan = Loan(spec.name, lent[spec.name].data, prod(spec.shape) * WIDTH[spec.datatype])
            self._kept.append(loan)
            self._lay(place, spec, loan.address)
            self._numbers.append((spec.name, spec.datatype, None))

    def _room(self, place: int, spec: Spec) -> memoryview:
        """The memory of a new value, kept by this frame."""
        size = prod(spec.shape) * WIDTH[spec.datatype]
        room = bytearray(size + ALIGNMENT)  # cannot move while a view of it exists
        start = addressof(c_char.from_buffer(room))
        skip = -start % ALIGNMENT
        self._lay(place, spec, start + skip)
        return memoryview(room)[skip : skip + size]

    def _lay(self, place: int, spec: Spec, address: int) -> None:
        """Make a value of the memory at that address."""
        size = prod(spec.shape) * WIDTH[spec.datatype]
        self._values[place] = self._api.made(
            "CreateTensorWithDataAsOrtValue",
            self._api.memory, address, size, sizes(spec.shape), len(spec.shape), TYPES[spec.datatype],
        )  # fmt: skip

    def _write(self, name: str, value: int, count: int, given: Mapping[str, Value]) -> None:
        """Texts into a value of the library's. A text may hold any bytes, zeros too."""
        kind, _, texts = given[name]
        if kind != TEXT:
            raise mistyped(name, TEXT, kind)
        if not isinstance(texts, (list, tuple)) or len(texts) != count:
            raise Rejected(name, f"is no list of the {count} values that its shape says", code="bad_input")
        if set(map(type, texts)) - {bytes}:  # ctypes would take numbers for addresses
            raise Rejected(name, "holds what is no byte string", code="bad_input")
        if not texts:
            return
        joined = b"\0".join(texts)
        self.spent = self.spent or len(joined) > LARGEST_FRAME
        first: int = pythonapi.PyBytes_AsString(py_object(joined))
        starts = accumulate([len(text) + 1 for text in texts[:-1]], initial=first)
        self._api.check(self._api.FillStringTensor(value, pack(f"{count}P", *starts), count))
        if joined.count(b"\0") >= count:  # where C ends a text
            for place, text in enumerate(texts):
                room = self._api.made("GetResizedStringTensorElementBuffer", value, place, len(text))
                memmove(room, text, len(text))

    def _read(self, place: int) -> Value:
        """An output that the library holds, which is freed."""
        c = self._api
        value: int = self._values[place] or 0
        try:
            info = c.made("GetTensorTypeAndShape", value)
            try:
                number, shape = measured(c, info)
            finally:
                c.ReleaseTensorTypeAndShapeInfo(info)
            datatype = DATATYPES[number]
            if datatype == TEXT:
                return Value(TEXT, shape, texts_of(c, value, prod(shape)))
            size = prod(shape) * WIDTH[datatype]
            return Value(datatype, shape, string_at(c.made("GetTensorMutableData", value), size) if size else b"")
        finally:
            self._values[place] = None
            c.ReleaseValue(value)


def texts_of(c: Api, value: int, count: int) -> list[bytes]:
    size = c.number("GetStringTensorDataLength", value)
    letters, starts = create_string_buffer(size + 1), (c_size_t * count)()
    if count:
        c.check(c.GetStringTensorContent(value, letters, size, starts, count))
    raw = letters.raw
    return [raw[start:end] for start, end in pairwise([*starts, size])]


class Loan:
    """The memory of somebody's buffer, not to be freed or moved while this exists; a copy if it is badly placed."""

    def __init__(self, name: str, data: Any, size: int) -> None:
        self._view = Buffer()
        self._holds = False
        try:
            pythonapi.PyObject_GetBuffer(py_object(data), byref(self._view), 0)
        except (BufferError, TypeError) as error:
            raise Rejected(name, f"is no contiguous buffer: {error}", code="bad_input") from error
        self._holds = True
        if self._view.length != size:
            raise Rejected(name, f"brings {self._view.length} bytes, and its shape says {size}", code="bad_input")
        self.address: int = self._view.address or 0
        if self.address % WIDEST or not size:
            copy = create_string_buffer(string_at(self.address, size), size + 1)
            self._copy, self.address = copy, addressof(copy)

    def __del__(self) -> None:
        if self._holds:
            pythonapi.PyBuffer_Release(byref(self._view))


class Buffer(Structure):
    """Python's `Py_buffer`, part of its stable interface since 3.11."""

    _fields_ = (
        ("address", c_void_p), ("owner", c_void_p), ("length", c_ssize_t), ("itemsize", c_ssize_t), ("readonly", c_int),
        ("ndim", c_int), ("format", c_void_p), ("shape", c_void_p), ("strides", c_void_p), ("suboffsets", c_void_p),
        ("internal", c_void_p),
    )  # fmt: skip


def plain(name: str, data: Any, size: int) -> memoryview:
    """The bytes of a buffer of that size, whatever it says its items are."""
    try:
        view = memoryview(data)
        raw = view.cast("B") if view.nbytes else memoryview(b"")
    except TypeError as error:
        raise Rejected(name, f"is no contiguous buffer: {error}", code="bad_input") from error
    if len(raw) != size:
        raise Rejected(name, f"brings {len(raw)} bytes, and its shape says {size}", code="bad_input")
    return raw


def mistyped(name: str, datatype: str, kind: str) -> Rejected:
    return Rejected(name, f"is {kind}, and the model takes {datatype}", code="bad_input")


def sizes(shape: Shape) -> Any:
    return (c_int64 * len(shape))(*shape)
