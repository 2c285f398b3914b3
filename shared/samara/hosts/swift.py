"""How a process comes to its first answer soon: what nothing needs by then is neither loaded nor looked for."""

import gc
import importlib
import os
import sys
from threading import RLock
from types import ModuleType
from typing import Any

LATER = (
    "array", "base64", "copy", "fnmatch", "heapq", "inspect", "ipaddress", "ntpath", "platform", "selectors", "signal",
    "traceback", "unicodedata", "zlib",
)  # fmt: skip
"""Modules of Python's own that others import in any case, and use only for what nobody asks for at a start."""
YOUNG = (
    20_000  # objects before a look for garbage: with Python's own number, a sixth of a server's time was spent on it
)


class Later(ModuleType):
    """A module that is loaded when something of it is first asked for, by whichever thread."""

    loading = RLock()

    def __getattr__(self, name: str) -> Any:
        with self.loading:
            if sys.modules.get(self.__name__) is self:
                del sys.modules[self.__name__]
                self.__dict__.update(importlib.import_module(self.__name__).__dict__)
        return getattr(sys.modules[self.__name__], name)


def begin() -> None:
    """Before anything else is imported. While modules load nothing is garbage, and looking takes a tenth of a start."""
    gc.disable()
    for name in LATER:
        sys.modules.setdefault(name, Later(name))
    platform = sys.modules["platform"]
    if isinstance(platform, Later) and hasattr(os, "uname"):  # the one thing that is asked at once, by uuid
        platform.__dict__["system"] = lambda: os.uname().sysname


def done() -> None:
    """All is loaded. Look for garbage now and then, and never again at what is there by now: it stays.

    Only a look can find cycles, of which requests and events make none.
    """
    gc.freeze()
    gc.enable()
    gc.set_threshold(YOUNG, 50, 100)
