"""MLServer: a custom runtime, since `mlserver-onnx` is not on PyPI."""
# mypy: ignore-errors

from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse
from onnx_model import OUTPUT, Model


class OnnxRuntime(MLModel):
    async def load(self) -> bool:
        self._model = Model()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        found = self._model(NumpyCodec.decode_input(payload.inputs[0]))
        output = NumpyCodec.encode_output(OUTPUT, found)
        return InferenceResponse(model_name=self.name, model_version=self.version, outputs=[output])
