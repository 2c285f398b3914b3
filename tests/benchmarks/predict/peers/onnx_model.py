"""The model as a hand-written server holds it: one session on one thread, the only package beside it numpy."""
# mypy: ignore-errors

import os

import numpy as np
import onnxruntime as ort

INPUT, OUTPUT = "X", "probabilities"
PORT = int(os.environ.get("PORT", "0"))


class Model:
    """Reads the path of the model from `BENCH_MODEL`."""

    def __init__(self) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = ort.InferenceSession(os.environ["BENCH_MODEL"], options, providers=["CPUExecutionProvider"])

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Probabilities, one row for each row of `rows` (n × 30, float32)."""
        return self._session.run([OUTPUT], {INPUT: rows})[0]

    def answer(self, asked: dict) -> dict:
        """What the Open Inference Protocol says to a request of one tensor, both as the JSON that travels."""
        tensor = asked["inputs"][0]
        found = self(np.array(tensor["data"], dtype=np.float32).reshape(tensor["shape"]))
        output = {"name": OUTPUT, "shape": list(found.shape), "datatype": "FP32", "data": found.ravel().tolist()}
        return {"model_name": "model", "model_version": "1", "outputs": [output]}
