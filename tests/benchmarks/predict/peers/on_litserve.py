"""LitServe: one worker on one CPU, the protocol's JSON read and written by hand."""
# mypy: ignore-errors

import litserve as ls
import numpy as np
from onnx_model import OUTPUT, PORT, Model


class Served(ls.LitAPI):
    def setup(self, device: str) -> None:  # noqa: ARG002  # as it is called
        self._model = Model()

    def decode_request(self, request: dict) -> np.ndarray:
        tensor = request["inputs"][0]
        return np.array(tensor["data"], dtype=np.float32).reshape(tensor["shape"])

    def predict(self, x: np.ndarray) -> np.ndarray:
        return self._model(x)

    def encode_response(self, output: np.ndarray) -> dict:
        found = {"name": OUTPUT, "shape": list(output.shape), "datatype": "FP32", "data": output.ravel().tolist()}
        return {"model_name": "model", "model_version": "1", "outputs": [found]}


if __name__ == "__main__":
    server = ls.LitServer(Served(api_path="/v2/models/model/infer"), accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=PORT, generate_client_file=False, log_level="warning")
