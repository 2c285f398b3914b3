"""Floor: a protocol of asyncio on uvloop that reads just enough HTTP, in JSON and in binary tensors. No routes."""
# mypy: ignore-errors

import asyncio

import numpy as np
import orjson
import uvloop
from onnx_model import OUTPUT, PORT, Model

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
BINARY = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\n"
    b"inference-header-content-length: %d\r\ncontent-length: %d\r\n\r\n"
)
model = Model()


def number(head: bytes, name: bytes) -> int:
    """The value of that header, or −1."""
    at = head.find(name) + len(name)
    return int(head[at : head.find(b"\r", at)]) if at >= len(name) else -1


def answered(body: bytes) -> bytes:
    said = orjson.dumps(model.answer(orjson.loads(body)))
    return HEAD % len(said) + said


def answered_in_binary(body: bytes, json_size: int) -> bytes:
    tensor = orjson.loads(memoryview(body)[:json_size])["inputs"][0]
    found = model(np.frombuffer(body, dtype="<f4", offset=json_size).reshape(tensor["shape"]))
    data = found.tobytes()
    size = {"binary_data_size": len(data)}
    output = {"name": OUTPUT, "shape": list(found.shape), "datatype": "FP32", "parameters": size}
    said = orjson.dumps({"model_name": "model", "model_version": "1", "outputs": [output]})
    return BINARY % (len(said), len(said) + len(data)) + said + data


class Answers(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.read = transport, b""

    def data_received(self, data):
        self.read += data
        while (end := self.read.find(b"\r\n\r\n")) >= 0:
            head = self.read[:end].lower() + b"\r"
            total = end + 4 + max(number(head, b"\r\ncontent-length:"), 0)
            if len(self.read) < total:
                return
            body, self.read = self.read[end + 4 : total], self.read[total:]
            json_size = number(head, b"\r\ninference-header-content-length:")
            self.transport.write(answered(body) if json_size < 0 else answered_in_binary(body, json_size))


async def main():
    server = await asyncio.get_running_loop().create_server(Answers, "127.0.0.1", PORT)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
