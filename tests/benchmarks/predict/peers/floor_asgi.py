"""Floor: an ASGI application and nothing else, on uvicorn with httptools and uvloop. No routes."""
# mypy: ignore-errors

import orjson
from onnx_model import Model

model = Model()


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    said = orjson.dumps(model.answer(orjson.loads(body)))
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(said))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": said})
