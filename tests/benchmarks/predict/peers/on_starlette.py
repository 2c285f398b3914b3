"""Starlette with orjson: a route and a handler, as its documentation writes them."""
# mypy: ignore-errors

import orjson
from onnx_model import Model
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

model = Model()


async def infer(request: Request) -> Response:
    asked = orjson.loads(await request.body())
    return Response(orjson.dumps(model.answer(asked)), media_type="application/json")


app = Starlette(routes=[Route("/v2/models/{model}/infer", infer, methods=["POST"])])
