"""A Lambda handler as short as can be: orjson, numpy, onnxruntime."""
# mypy: ignore-errors

import orjson
from onnx_model import Model

model = Model()


def handler(event, context):
    said = orjson.dumps(model.answer(orjson.loads(event["body"])))
    return {"statusCode": 200, "headers": {"content-type": "application/json"}, "body": said.decode()}
