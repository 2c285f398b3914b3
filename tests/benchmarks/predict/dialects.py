"""How a server is asked and how its answer is read: the Open Inference Protocol, or what a peer has instead."""

import struct
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from operator import sub
from typing import Any

import orjson

from tests.benchmarks.predict.specimen import FEATURES, INPUT, OUTPUT, Row

CLOSE = 1e-5  # how far a right answer may be off: float32, and its way through decimal digits
JSON = b"content-type: application/json\r\n"


class Wrong(Exception):
    """An answer that is not the model's."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """`said` gives header lines and body of a request about some rows; `heard` the probabilities of an answer, of
    which it gets the head in lower case and the body."""

    said: Callable[[list[Row]], tuple[bytes, bytes]]
    heard: Callable[[bytes, bytes], list[float]]

    def request(self, path: str, rows: list[Row]) -> bytes:
        """A whole request over a connection that stays."""
        lines, body = self.said(rows)
        return b"POST %s HTTP/1.1\r\nhost: 127.0.0.1\r\n%scontent-length: %d\r\n\r\n%s" % (
            path.encode(), lines, len(body), body,
        )  # fmt: skip

    def check(self, status: int, head: bytes, body: bytes, expected: list[float]) -> None:
        """`Wrong` unless it is a 200 with the right numbers, and as many as there should be."""
        if status != 200:
            raise Wrong(f"status {status}: {body[:300]!r}")
        try:
            found = self.heard(head, body)
        except (LookupError, TypeError, ValueError, struct.error) as error:
            raise Wrong(f"cannot be read ({error!r}): {body[:300]!r}") from error
        if len(found) != len(expected) or not all(map(CLOSE.__ge__, map(abs, map(sub, found, expected)))):
            raise Wrong(f"{found[:4]} where {expected[:4]} is right")


def tensor(rows: list[Row], **more: Any) -> dict[str, Any]:
    return {"name": INPUT, "shape": [len(rows), FEATURES], "datatype": "FP32", **more}


def said_v2(rows: list[Row]) -> tuple[bytes, bytes]:
    data = [value for row in rows for value in row]
    return JSON, orjson.dumps({"inputs": [tensor(rows, data=data)], "outputs": [{"name": OUTPUT}]})


def heard_v2(head: bytes, body: bytes) -> list[float]:
    outputs = {output["name"]: output for output in orjson.loads(body)["outputs"]}
    return flat(outputs[OUTPUT]["data"])


def said_binary(rows: list[Row]) -> tuple[bytes, bytes]:
    data = array("f", [value for row in rows for value in row]).tobytes()
    output = {"name": OUTPUT, "parameters": {"binary_data": True}}
    described = tensor(rows, parameters={"binary_data_size": len(data)})
    head = orjson.dumps({"inputs": [described], "outputs": [output]})
    lines = b"content-type: application/octet-stream\r\ninference-header-content-length: %d\r\n" % len(head)
    return lines, head + data


def heard_binary(head: bytes, body: bytes) -> list[float]:
    size = int(head.partition(b"\r\ninference-header-content-length:")[2].partition(b"\r")[0])
    outputs = orjson.loads(body[:size])["outputs"]
    if [output["name"] for output in outputs] != [OUTPUT]:
        raise ValueError([output["name"] for output in outputs])
    return array("f", body[size:]).tolist()


def said_rows(rows: list[Row]) -> tuple[bytes, bytes]:
    return JSON, orjson.dumps({"inputs": rows})


def heard_array(head: bytes, body: bytes) -> list[float]:
    return flat(orjson.loads(body))


def heard_predictions(head: bytes, body: bytes) -> list[float]:
    return flat(orjson.loads(body)["predictions"][OUTPUT])


def flat(values: list[Any]) -> list[float]:
    return [value for row in values for value in row] if values and isinstance(values[0], list) else values


DIALECTS: dict[str, Dialect] = {
    "v2": Dialect(said_v2, heard_v2),
    "v2 binary": Dialect(said_binary, heard_binary),
    "BentoML": Dialect(said_rows, heard_array),
    "MLflow": Dialect(said_rows, heard_predictions),
}
