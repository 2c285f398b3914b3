"""KServe: a custom model on its own model server, HTTP only."""
# mypy: ignore-errors

from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer
from kserve.utils.utils import generate_uuid
from onnx_model import OUTPUT, PORT
from onnx_model import Model as Onnx


class Served(Model):
    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.load()

    def load(self) -> bool:
        self._model = Onnx()
        self.ready = True
        return True

    async def predict(self, payload: InferRequest, headers=None, response_headers=None) -> InferResponse:  # noqa: ARG002  # as it is called
        found = self._model(payload.inputs[0].as_numpy())
        output = InferOutput(OUTPUT, list(found.shape), "FP32")
        output.set_data_from_numpy(found, binary_data=payload.use_binary_outputs)
        return InferResponse(payload.id or generate_uuid(), self.name, [output])


if __name__ == "__main__":
    server = ModelServer(http_port=PORT, enable_grpc=False, workers=1, enable_latency_logging=False)
    server.start([Served("model")])
