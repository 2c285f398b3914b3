"""ONNX Runtime's C API by ctypes: its library, found without importing its package, and its functions by name.

The API is a table of functions to which each release appends, so that a function keeps its place for ever.
https://onnxruntime.ai/docs/api/c/struct_ort_api.html
"""

import os
from ctypes import CDLL, CFUNCTYPE, POINTER, PYFUNCTYPE, byref, c_char_p, c_int, c_size_t, c_uint32, c_void_p, c_wchar_p
from functools import cache
from importlib.machinery import PathFinder
from threading import Lock
from typing import Any

VERSION = 15  # of the API, of 2023: the youngest function used here came with it
FATAL = 4  # what fails is raised; the library need not print it as well

P = c_void_p
STATUS = c_void_p
PATH = c_wchar_p if os.name == "nt" else c_char_p
FUNCTIONS: dict[str, tuple[int, Any, tuple[Any, ...]]] = {
    "GetErrorMessage": (2, c_char_p, (P,)),
    "CreateEnv": (3, STATUS, (c_int, c_char_p, P)),
    "CreateSession": (7, STATUS, (P, PATH, P, P)),
    "CreateSessionFromArray": (8, STATUS, (P, c_char_p, c_size_t, P, P)),
    "Run": (9, STATUS, (P, P, P, P, c_size_t, P, c_size_t, P)),
    "CreateSessionOptions": (10, STATUS, (P,)),
    "SetOptimizedModelFilePath": (11, STATUS, (P, PATH)),
    "SetSessionLogSeverityLevel": (22, STATUS, (P, c_int)),
    "SetSessionGraphOptimizationLevel": (23, STATUS, (P, c_int)),
    "SetIntraOpNumThreads": (24, STATUS, (P, c_int)),
    "SetInterOpNumThreads": (25, STATUS, (P, c_int)),
    "SessionGetInputCount": (30, STATUS, (P, P)),
    "SessionGetOutputCount": (31, STATUS, (P, P)),
    "SessionGetInputTypeInfo": (33, STATUS, (P, c_size_t, P)),
    "SessionGetOutputTypeInfo": (34, STATUS, (P, c_size_t, P)),
    "SessionGetInputName": (36, STATUS, (P, c_size_t, P, P)),
    "SessionGetOutputName": (37, STATUS, (P, c_size_t, P, P)),
    "CreateRunOptions": (39, STATUS, (P,)),
    "RunOptionsSetTerminate": (46, STATUS, (P,)),
    "CreateTensorAsOrtValue": (48, STATUS, (P, P, c_size_t, c_int, P)),
    "CreateTensorWithDataAsOrtValue": (49, STATUS, (P, P, c_size_t, P, c_size_t, c_int, P)),
    "GetTensorMutableData": (51, STATUS, (P, P)),
    "FillStringTensor": (52, STATUS, (P, P, c_size_t)),
    "GetStringTensorDataLength": (53, STATUS, (P, P)),
    "GetStringTensorContent": (54, STATUS, (P, P, c_size_t, P, c_size_t)),
    "CastTypeInfoToTensorInfo": (55, STATUS, (P, P)),
    "GetOnnxTypeFromTypeInfo": (56, STATUS, (P, P)),
    "GetTensorElementType": (60, STATUS, (P, P)),
    "GetDimensionsCount": (61, STATUS, (P, P)),
    "GetDimensions": (62, STATUS, (P, P, c_size_t)),
    "GetTensorTypeAndShape": (65, STATUS, (P, P)),
    "CreateCpuMemoryInfo": (69, STATUS, (c_int, c_int, P)),
    "AllocatorFree": (76, STATUS, (P, P)),
    "GetAllocatorWithDefaultOptions": (78, STATUS, (P,)),
    "ReleaseStatus": (93, None, (P,)),
    "ReleaseSession": (95, None, (P,)),
    "ReleaseValue": (96, None, (P,)),
    "ReleaseRunOptions": (97, None, (P,)),
    "ReleaseTypeInfo": (98, None, (P,)),
    "ReleaseTensorTypeAndShapeInfo": (99, None, (P,)),
    "ReleaseSessionOptions": (100, None, (P,)),
    "SessionGetModelMetadata": (111, STATUS, (P, P)),
    "ModelMetadataLookupCustomMetadataMap": (116, STATUS, (P, P, c_char_p, P)),
    "ReleaseModelMetadata": (118, None, (P,)),
    "ModelMetadataGetCustomMetadataMapKeys": (123, STATUS, (P, P, P, P)),
    "AddSessionConfigEntry": (130, STATUS, (P, c_char_p, c_char_p)),
    "RunWithBinding": (133, STATUS, (P, P, P)),
    "CreateIoBinding": (134, STATUS, (P, P)),
    "ReleaseIoBinding": (135, None, (P,)),
    "BindInput": (136, STATUS, (P, c_char_p, P)),
    "BindOutput": (137, STATUS, (P, c_char_p, P)),
    "GetResizedStringTensorElementBuffer": (252, STATUS, (P, c_size_t, c_size_t, P)),
}
"""Each function's place in the table, what it returns and what it takes."""

LONG = {"CreateEnv", "CreateSession", "CreateSessionFromArray", "Run", "RunWithBinding", "ReleaseSession"}
"""These let other threads run meanwhile; the others are over sooner than threads could change."""


class Failure(Exception):
    """What the library says went wrong, its first line."""


class Api:
    """The functions of one library, each under its own name. Those that return a status raise `Failure` by `check`."""

    def __init__(self, library: str) -> None:
        base = CDLL(library).OrtGetApiBase
        base.restype = POINTER(c_void_p)
        find, say = base()[0], base()[1]
        table = CFUNCTYPE(POINTER(c_void_p), c_uint32)(find)(VERSION)
        if not table:
            raise Failure(f"{library} is older than 1.{VERSION}")
        self.version: str = CFUNCTYPE(c_char_p)(say)().decode()
        slow, quick = CFUNCTYPE(None), PYFUNCTYPE(None)
        for name, (place, result, takes) in FUNCTIONS.items():
            function = (slow if name in LONG else quick)(table[place])
            function.restype, function.argtypes = result, takes
            setattr(self, name, function)
        self.environment = self.made("CreateEnv", FATAL, b"samara")  # never released: it lives as long as the process
        self.memory = self.made("CreateCpuMemoryInfo", 0, 0)
        self.allocator = self.made("GetAllocatorWithDefaultOptions")

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)  # for the type checker: all functions are set as attributes

    def made(self, function: str, *given: Any) -> Any:
        """What a function answers by writing it to its last argument: an address, or None."""
        made = c_void_p()
        self.check(getattr(self, function)(*given, byref(made)))
        return made.value

    def number(self, function: str, *given: Any) -> int:
        """What a function answers by writing a number to its last argument."""
        made = c_size_t()
        self.check(getattr(self, function)(*given, byref(made)))
        return made.value

    def text(self, address: int) -> str:
        """A text that the library allocated, which is freed."""
        try:
            return (c_char_p(address).value or b"").decode(errors="replace")
        finally:
            self.check(self.AllocatorFree(self.allocator, address))

    def path(self, path: str) -> str | bytes:
        """A path as the library takes it."""
        return path if os.name == "nt" else os.fsencode(path)

    def check(self, status: int | None) -> None:
        """Raises `Failure` with what the library says, if it says anything."""
        if status:
            said = (self.GetErrorMessage(status) or b"").decode(errors="replace")
            self.ReleaseStatus(status)
            raise Failure((said.splitlines() or ["no reason given"])[0][:300])


LOADING = Lock()


def api() -> Api | None:
    """The API of the installed library, loaded once, or None where there is none that could be used."""
    with LOADING:
        return loaded()


@cache
def loaded() -> Api | None:
    found = library()
    try:
        return Api(found) if found else None
    except (Failure, OSError):
        return None


def library() -> str | None:
    """The path of the library inside the installed package `onnxruntime`, none of whose code is run to find it."""
    package = PathFinder.find_spec("onnxruntime")
    for folder in (package.submodule_search_locations or ()) if package else ():
        inside = os.path.join(folder, "capi")  # noqa: PTH118 - pathlib takes as long to import as all else here
        for name in sorted(os.listdir(inside)) if os.path.isdir(inside) else ():  # noqa: PTH112, PTH208 - the same
            if name.startswith("libonnxruntime.") or name == "onnxruntime.dll":
                return os.path.join(inside, name)  # noqa: PTH118 - the same
    return None
