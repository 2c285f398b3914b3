"""Loading a model that somebody else made: one way, for the gates and for serving alike."""

from typing import Any

import onnxruntime

from samara.errors import Rejected

NOWHERE = "/dev/null/"  # a folder that cannot exist: a model may refer to no file


def session(model: bytes) -> Any:
    """An onnxruntime session for the model in these bytes, which may refer to no file outside them.

    One thread for each run: sums are added in the same order everywhere, requests already use every core, and
    threads that spin would be billed. `Rejected`, code `bad_model`, when it cannot be loaded.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what fails is raised; the library need not print it as well
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", NOWHERE)
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors share no base class
        raise Rejected("model", f"onnxruntime cannot load it: {first_line(error)}", code="bad_model") from error


def first_line(error: Exception) -> str:
    """The first line of what a library said, short enough to show."""
    return (str(error).splitlines() or [type(error).__name__])[0][:300]
