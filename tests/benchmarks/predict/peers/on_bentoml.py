"""BentoML: a service with one worker, arrays in and out by its own JSON."""
# mypy: ignore-errors

from typing import Annotated

import bentoml
import numpy as np
from bentoml.validators import DType
from onnx_model import Model


@bentoml.service(workers=1, logging={"access": {"enabled": False}})
class Served:
    def __init__(self) -> None:
        self._model = Model()

    @bentoml.api
    def predict(self, inputs: Annotated[np.ndarray, DType("float32")]) -> np.ndarray:
        return self._model(inputs)
