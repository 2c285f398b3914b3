"""MLflow: save the model in its ONNX flavour, with a signature, where `mlflow models serve` is to find it."""
# mypy: ignore-errors

import os
import sys

import mlflow.onnx
import numpy as np
import onnx
from mlflow.models import ModelSignature
from mlflow.types import Schema, TensorSpec

if __name__ == "__main__":
    signature = ModelSignature(inputs=Schema([TensorSpec(np.dtype("float32"), (-1, 30), "X")]))
    mlflow.onnx.save_model(
        onnx.load(os.environ["BENCH_MODEL"]),
        sys.argv[1],
        signature=signature,
        pip_requirements=[],
        onnx_session_options={"intra_op_num_threads": 1},
    )
