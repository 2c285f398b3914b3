"""A thousand requests for each datatype, most of them damaged: each is refused in words or answered exactly.

The model answers what it is asked. What a request means is read a second time here, by Python's own JSON and numpy, so
that an answer to something else than what was sent is found.
"""

import gzip
import json
import struct
import zlib
from collections import Counter
from contextlib import closing
from http.client import HTTPConnection
from random import Random
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from onnx import TensorProto, helper

EACH = 1000
HEADER = "inference-header-content-length"

MADE = {
    "BOOL": (TensorProto.BOOL, np.bool_),
    "INT8": (TensorProto.INT8, np.int8),
    "INT16": (TensorProto.INT16, np.int16),
    "INT32": (TensorProto.INT32, np.int32),
    "INT64": (TensorProto.INT64, np.int64),
    "UINT8": (TensorProto.UINT8, np.uint8),
    "UINT16": (TensorProto.UINT16, np.uint16),
    "UINT32": (TensorProto.UINT32, np.uint32),
    "UINT64": (TensorProto.UINT64, np.uint64),
    "FP16": (TensorProto.FLOAT16, np.float16),
    "FP32": (TensorProto.FLOAT, np.float32),
    "FP64": (TensorProto.DOUBLE, np.float64),
    "BF16": (TensorProto.BFLOAT16, ml_dtypes.bfloat16),
    "BYTES": (TensorProto.STRING, object),
}
STRANGE: tuple[Any, ...] = (
    None, True, False, 0, -1, 1.5, 1e39, -1e400, 2**31, 2**63, 2**64, 10**400, "", "x", "\0", "é", "😀", [], [[]], {},
    {"a": 1},
    float("nan"), float("inf"), "FP32", "BYTES", [1, 2], [[1], [2]],
)  # fmt: skip
SPLINTERS = (
    b"", b'"', b":", b",", b"[", b"]", b"{", b"}", b"0", b"-", b"e9", b".", b"\\", b"\\u0000", b"\\ud800", b"\xff",
    b"\0", b"null",
    b"true", b'"id":"a",', b'"data":[1],', b'"shape":[1],', b'"parameters":{"binary_data_size":1},', b"\x01\0\0\0",
)  # fmt: skip


def echo(kind: int) -> bytes:
    """y = x, of any number of rows."""
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "echo",
        [helper.make_tensor_value_info("x", kind, [None, 1])],
        [helper.make_tensor_value_info("y", kind, [None, 1])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    data: bytes = model.SerializeToString()
    return data


def values(draw: Random, datatype: str, count: int) -> list[Any]:
    """What a JSON request may hold of that datatype, its extremes among them."""
    dtype = MADE[datatype][1]
    if datatype == "BYTES":
        return [
            "".join(draw.choices(["a", ":", "é", "😀", '"', "\\", " ", "[", "12"], k=draw.randrange(4)))
            for _ in range(count)
        ]
    if datatype == "BOOL":
        return [draw.random() < 0.5 for _ in range(count)]
    if datatype.startswith(("INT", "UINT")):
        limits = np.iinfo(dtype)
        return [draw.choice([limits.min, limits.max, draw.randint(limits.min, limits.max)]) for _ in range(count)]
    most = float(ml_dtypes.finfo(dtype).max)  # type: ignore[no-untyped-call]  # it has no hints
    return [
        draw.choice([0.0, -0.0, most, -most, None, 7, draw.gauss(0, 100), draw.gauss(0, 1e-6)]) for _ in range(count)
    ]


def raw(draw: Random, datatype: str, count: int) -> bytes:
    if datatype == "BYTES":
        texts = [draw.randbytes(draw.randrange(5)) for _ in range(count)]
        return b"".join(struct.pack("<I", len(text)) + text for text in texts)
    if datatype == "BOOL":
        return bytes(draw.choices([0, 1], k=count))
    return draw.randbytes(count * np.dtype(MADE[datatype][1]).itemsize)


def request(draw: Random, datatype: str) -> tuple[dict[str, str], bytes]:
    """A request that is right, unless `broken` makes it wrong while it is still a structure."""
    count = draw.randint(1, 4)
    shape = draw.choice([[count], [count, 1]])
    x: dict[str, Any] = {"name": "x", "shape": shape, "datatype": datatype}
    said: dict[str, Any] = {"inputs": [x]}
    if draw.random() < 0.3:
        said["id"] = f"{datatype}:{draw.randrange(10**9)}"
    if draw.random() < 0.5:
        said["outputs"] = [{"name": "y", "parameters": {"binary_data": draw.random() < 0.7}}]
    elif draw.random() < 0.7:
        said["parameters"] = {"binary_data_output": True}
    follow = b""
    if draw.random() < 0.5:
        follow = raw(draw, datatype, count)
        x["parameters"] = {"binary_data_size": len(follow)}
    else:
        data = values(draw, datatype, count)
        x["data"] = [[value] for value in data] if len(shape) == 2 and draw.random() < 0.5 else data
    if draw.random() < 0.4:
        said = broken(draw, said)
    head = json.dumps(said, ensure_ascii=draw.random() < 0.5).encode("utf-8", "surrogatepass")
    return ({HEADER: str(len(head))} if follow else {}), head + follow


def broken(draw: Random, said: Any) -> Any:
    """A JSON value with something strange in it, or something less."""
    if draw.random() < 0.2 or not isinstance(said, dict | list) or not said:
        return draw.choice(STRANGE)
    copy: Any = dict(said) if isinstance(said, dict) else list(said)
    place = draw.choice(list(said)) if isinstance(said, dict) else draw.randrange(len(said))
    if draw.random() < 0.15:
        del copy[place]
    else:
        copy[place] = broken(draw, said[place])
    return copy


def damaged(draw: Random, headers: dict[str, str], body: bytes) -> tuple[dict[str, str], bytes]:
    """The bytes of a request with some of them changed, or others altogether."""
    if draw.random() < 0.05:
        return headers, draw.randbytes(draw.randrange(200))
    data = bytearray(body)
    for _ in range(draw.choice([0, 0, 1, 1, 2, 5])):
        at = draw.randrange(len(data) + 1)
        data[at : at + draw.choice([0, 0, 1, 1, 3, 30])] = draw.choice(SPLINTERS)
    if HEADER in headers and draw.random() < 0.15:
        headers = {HEADER: str(int(headers[HEADER]) + draw.choice([-1, 1, 4, -(10**9), 10**9]))}
    return headers, bytes(data)


def compressed(draw: Random, headers: dict[str, str], body: bytes) -> tuple[dict[str, str], bytes]:
    coding = draw.choice(["gzip", "deflate"])
    packed = gzip.compress(body) if coding == "gzip" else zlib.compress(body)
    if draw.random() < 0.5:
        headers, packed = damaged(draw, headers, packed)
    return {**headers, "content-encoding": coding}, packed


def meant(headers: dict[str, str], body: bytes, datatype: str) -> Any:
    """What a request that is answered has asked: the values of its only input."""
    if coding := headers.get("content-encoding"):
        body = gzip.decompress(body) if coding == "gzip" else zlib.decompress(body)
    length = int(headers.get(HEADER, len(body)))
    (x,) = json.loads(body[:length])["inputs"]
    assert (x["name"], x["datatype"]) == ("x", datatype)
    if "data" not in x:
        return read(body[length:], datatype)
    data = [value for row in x["data"] for value in (row if isinstance(row, list) else [row])]
    if datatype == "BYTES":
        return [text.encode() for text in data]
    if "INT" in datatype:
        return np.array(data, MADE[datatype][1])
    return np.array([float("nan") if value is None else value for value in data]).astype(MADE[datatype][1])


def read(data: bytes, datatype: str) -> Any:
    """Raw values."""
    if datatype != "BYTES":
        return np.frombuffer(data, MADE[datatype][1])
    found, at = [], 0
    while at < len(data):
        (size,) = struct.unpack_from("<I", data, at)
        found.append(data[at + 4 : at + 4 + size])
        at += 4 + size
    return found


def told(headers: Any, body: bytes, datatype: str) -> Any:
    length = int(headers.get(HEADER, len(body)))
    (y,) = json.loads(body[:length])["outputs"]
    assert (y["name"], y["datatype"], y["shape"][1:]) == ("y", datatype, [1])
    if "data" not in y:
        return read(body[length:], datatype)
    return [text.encode() for text in y["data"]] if datatype == "BYTES" else np.array(y["data"], MADE[datatype][1])


def same(one: Any, other: Any) -> bool:
    """Bit for bit, but that one NaN is as good as another."""
    if isinstance(one, list):
        return bool(one == other)
    return one.shape == other.shape and bool(((one == other) | ((one != one) & (other != other))).all())  # noqa: PLR0124


@pytest.mark.parametrize("datatype", MADE)
def test_a_request_is_answered_with_exactly_what_it_asked_or_refused_in_words(datatype: str, online: Any) -> None:
    draw = Random(datatype)  # noqa: S311  # the same requests each time
    name = f"echo-{datatype.lower()}"
    online.add(name, echo(MADE[datatype][0]))
    statuses = Counter[int]()

    with closing(HTTPConnection("127.0.0.1", online.server.port, timeout=60)) as http, np.errstate(invalid="ignore"):
        for _ in range(EACH):
            headers, body = request(draw, datatype)
            if draw.random() < 0.6:
                headers, body = damaged(draw, headers, body)
            if draw.random() < 0.1:
                headers, body = compressed(draw, headers, body)
            http.request("POST", f"/v2/models/{name}/infer", body, headers)
            response = http.getresponse()
            said = response.read()

            statuses[response.status] += 1
            if response.status == 200:
                assert same(meant(headers, body, datatype), told(response.headers, said, datatype)), (headers, body)
            else:
                assert 400 <= response.status < 500, (headers, body, said)
                assert set(json.loads(said)) == {"error", "code"}

    assert statuses[200] > EACH // 4, "else this shows nothing"
    assert statuses[400] > EACH // 4, "else this shows nothing"
