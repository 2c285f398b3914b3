"""FastAPI with the protocol as pydantic models, request and response, as its documentation writes them."""
# mypy: ignore-errors

import numpy as np
from fastapi import FastAPI
from onnx_model import OUTPUT, Model
from pydantic import BaseModel

model = Model()
app = FastAPI()


class Tensor(BaseModel):
    name: str
    shape: list[int]
    datatype: str
    data: list[float]


class Wanted(BaseModel):
    name: str


class Asked(BaseModel):
    id: str | None = None
    inputs: list[Tensor]
    outputs: list[Wanted] = []


class Answer(BaseModel):
    model_name: str
    model_version: str
    outputs: list[Tensor]


@app.post("/v2/models/{name}/infer")
async def infer(name: str, asked: Asked) -> Answer:
    tensor = asked.inputs[0]
    found = model(np.array(tensor.data, dtype=np.float32).reshape(tensor.shape))
    output = Tensor(name=OUTPUT, shape=list(found.shape), datatype="FP32", data=found.ravel().tolist())
    return Answer(model_name=name, model_version="1", outputs=[output])
