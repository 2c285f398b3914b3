"""Samara: an MLOps control loop made of stateless functions, with one bucket as its only state."""

import os

__version__ = "0.1.0"

# ONNX Runtime tells its makers about each model it loads, from release 1.29 on, unless it is told not to before that.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
