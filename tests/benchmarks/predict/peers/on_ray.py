"""Ray Serve: one replica behind its HTTP proxy on a node of its own."""
# mypy: ignore-errors

import ray
from onnx_model import PORT, Model
from ray import serve
from starlette.requests import Request


@serve.deployment(num_replicas=1, logging_config={"enable_access_log": False})
class Served:
    def __init__(self) -> None:
        self._model = Model()

    async def __call__(self, request: Request) -> dict:
        return self._model.answer(await request.json())


if __name__ == "__main__":
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": PORT})
    serve.run(Served.bind(), route_prefix="/v2/models/model/infer", blocking=True)
