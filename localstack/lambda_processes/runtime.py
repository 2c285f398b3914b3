"""The program of every function's process: Lambda's interpreter, with nothing to import but the function's own package.

As on Lambda the package comes first, then the standard library. Of what else is installed beside this interpreter
only the runtime itself can be imported, so that a dependency which the package lacks is missed here too.

`python -I -u runtime.py FOLDER [OPTIONS] -m MODULE` runs a module, as a wrapper may ask for in place of Lambda's
client. Whatever else it is given, it runs that client. Options come too late to be heeded.
"""

import os
import runpy
import sys
import sysconfig
import threading
import time
from collections.abc import Sequence
from importlib.machinery import BuiltinImporter, FrozenImporter, ModuleSpec, PathFinder
from types import ModuleType

RUNTIME = ("awslambdaric", "runtime_client", "simplejson", "snapshot_restore_py")
LIBRARY = sysconfig.get_path("stdlib")
WATCH_S = 0.5
INSTALLED = "site-packages"


class RuntimeOnly:
    """Finds the runtime in the folders where it is installed, and nothing else there."""

    def __init__(self, folders: list[str]) -> None:
        self._folders = folders

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if path is None and name in RUNTIME:
            return PathFinder.find_spec(name, self._folders, target)
        return None


def end_with_parent() -> None:
    """End at once when the process that started this one has ended."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(WATCH_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def main(package: str, *asked: str) -> None:
    end_with_parent()
    library = [each for each in sys.path if each.startswith(LIBRARY) and INSTALLED not in each]
    sys.meta_path[:] = [BuiltinImporter, FrozenImporter, PathFinder, RuntimeOnly([*sys.path])]
    sys.path[:] = [package, *library]
    if "-m" in asked:
        runpy.run_module(asked[asked.index("-m") + 1], run_name="__main__", alter_sys=True)
        return
    from awslambdaric.__main__ import main as serve  # type: ignore[import-untyped]  # noqa: PLC0415  # found only now

    serve(["awslambdaric", os.environ["_HANDLER"]])


if __name__ == "__main__":
    main(*sys.argv[1:])
