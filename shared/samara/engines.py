"""What runs models: one `Session` for all engines, and `load`, which chooses among them.

The lean engine (`samara.ort`) is the default. The package `onnxruntime` (`samara.ort_package`) takes over where the
library cannot be used on its own, and where an accelerator is asked for. `samara.contained` runs a model that
nobody trusts yet in a process that can be ended.
"""

import os
from collections.abc import Mapping, Sequence
from threading import Thread
from typing import Protocol

from samara import ort_api
from samara.core.tensors import Form, Raw, Spec, Value
from samara.errors import Misconfigured

LEAN, PACKAGE = "lean", "package"
ACCELERATORS = ("cuda", "tensorrt", "coreml", "directml")


class Session(Protocol):
    """A loaded model. Threads may run it at the same time."""

    @property
    def inputs(self) -> tuple[Spec, ...]: ...

    @property
    def outputs(self) -> tuple[Spec, ...]: ...

    @property
    def metadata(self) -> dict[str, str]:
        """What its maker wrote into it, beside the graph."""

    @property
    def size(self) -> int:
        """About how many bytes of memory it may hold, at most; what a run needs for a moment is not among them."""

    def run(self, given: Mapping[str, Value], wanted: Sequence[str] = (), limit_s: float = 0) -> dict[str, Value]:
        """The outputs `wanted`, in that order, or all.

        `Rejected`, code `bad_input` or `bad_output`, when what is given or wanted is not what the model takes or
        gives; `model_failed` when it fails; `too_slow` when it takes longer than `limit_s` seconds, if not 0.
        """

    @property
    def again_bytes(self) -> int:
        """The most bytes of inputs and outputs with which `again` may answer; 0 where it never does."""

    def again(self, form: Form, numbers: Sequence[Raw], limit_s: float = 0) -> list[bytes] | None:
        """The raw values of the outputs in `form`, from those of the inputs, as many and as long as it says, in the
        model's order. None where `run` must be asked: it has not answered in this form lately, something in it is
        text or of no fixed size, or there is no quicker way. `Rejected`, code `too_slow`, as there.
        """

    def close(self) -> None:
        """Free what it holds, once the runs under way are over. Runs asked for later are `Rejected`."""


def warm() -> None:
    """Begin to load the lean engine's library, which takes as long as all the rest, while the caller does the rest.

    With one processor alone nothing is done meanwhile, and a thread has to beg for its memory by the page.
    """
    alone = hasattr(os, "sched_getaffinity") and len(os.sched_getaffinity(0)) == 1
    if alone:
        ort_api.api()
    else:
        Thread(target=ort_api.api, name="warm").start()  # no daemon: who ends while a library is loaded may crash


def load(
    model: bytes, *, engine: str = "", threads: int = 1, cache: "str | os.PathLike[str] | None" = None, digest: str = ""
) -> Session:
    """A session for the model in these bytes, which may refer to no file outside them.

    `engine` is `lean`, `package` or an accelerator: `cuda`, `tensorrt`, `coreml`, `directml`. Without one,
    `SAMARA_ENGINE` says which; without that, it is the lean one. `cache` is a folder in which models are kept as
    they are after optimisation, where that saves time (`samara.optimised`), under their `digest`, the SHA-256 of these
    bytes, which is worked out if it is not given; without one, it is `SAMARA_CACHE`, or there is none. `Rejected`,
    code `bad_model`, when the model cannot be loaded.
    """
    asked = (engine or os.environ.get("SAMARA_ENGINE", "")).lower()
    if asked not in ("", LEAN, PACKAGE, *ACCELERATORS):
        there = ", ".join((LEAN, PACKAGE, *ACCELERATORS))
        raise Misconfigured("SAMARA_ENGINE", f"{asked} is no engine; there are {there}")
    if asked in ("", LEAN) and ort_api.api() is not None:
        from samara import ort  # noqa: PLC0415 - with the package, none of it is needed

        return ort.load(model, threads=threads, cache=cache or os.environ.get("SAMARA_CACHE") or None, digest=digest)
    from samara import ort_package  # noqa: PLC0415 - it imports numpy

    return ort_package.load(model, accelerator=asked if asked in ACCELERATORS else "", threads=threads)
