"""Triton's own client, as it is published, talks to us: what it sends by default is understood, what it asks is told.

It brings gevent, which changes how Python waits; so it runs in a process of its own, and tells what it saw as JSON.
"""

import json
import subprocess
import sys
from typing import Any

import pytest
from onnx import TensorProto, helper

KINDS = {
    "BOOL": TensorProto.BOOL,
    "INT8": TensorProto.INT8,
    "INT16": TensorProto.INT16,
    "INT32": TensorProto.INT32,
    "INT64": TensorProto.INT64,
    "UINT8": TensorProto.UINT8,
    "UINT16": TensorProto.UINT16,
    "UINT32": TensorProto.UINT32,
    "UINT64": TensorProto.UINT64,
    "FP16": TensorProto.FLOAT16,
    "FP32": TensorProto.FLOAT,
    "FP64": TensorProto.DOUBLE,
    "BF16": TensorProto.BFLOAT16,
    "BYTES": TensorProto.STRING,
}

BEFORE = """
import json, sys
import ml_dtypes
import numpy as np
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException, triton_to_np_dtype

client = triton.InferenceServerClient(sys.argv[1])

def tensor(name, array, datatype, binary=True):
    made = triton.InferInput(name, list(array.shape), datatype)
    made.set_data_from_numpy(array, binary_data=binary)
    return made

def refused(work):
    try:
        work()
    except InferenceServerException as error:
        return [error.status(), error.message()]

scores = np.array([[1, 5, 3], [9, 8, 7]], np.float32)
"""


def graph(nodes: list[Any], inputs: list[Any], outputs: list[Any]) -> bytes:
    made = helper.make_graph(nodes, "graph", inputs, outputs)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    data: bytes = model.SerializeToString()
    return data


def echo() -> bytes:
    """Each input of every datatype, as it came."""
    info = helper.make_tensor_value_info
    return graph(
        [helper.make_node("Identity", [f"in_{name}"], [f"out_{name}"]) for name in KINDS],
        [info(f"in_{name}", kind, [None, 1]) for name, kind in KINDS.items()],
        [info(f"out_{name}", kind, [None, 1]) for name, kind in KINDS.items()],
    )


def double() -> bytes:
    """y = x + x, z = x."""
    info = helper.make_tensor_value_info
    return graph(
        [helper.make_node("Add", ["x", "x"], ["y"]), helper.make_node("Identity", ["x"], ["z"])],
        [info("x", TensorProto.FLOAT, [None, 3])],
        [info("y", TensorProto.FLOAT, [None, 3]), info("z", TensorProto.FLOAT, [None, 3])],
    )


@pytest.fixture(scope="module")
def url(online: Any) -> str:
    """Where a server answers for the models `echo` and `double`."""
    online.add("echo", echo())
    online.add("double", double())
    return f"127.0.0.1:{online.server.port}"


def seen(url: str, program: str) -> Any:
    """What a program of a user of tritonclient prints, its last line as JSON."""
    ran = subprocess.run(
        [sys.executable, "-c", BEFORE + program, url], capture_output=True, text=True, timeout=120, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout.splitlines()[-1])


def test_it_sees_who_is_there(url: str) -> None:
    said = seen(
        url,
        """
print(json.dumps({
    "live": client.is_server_live(), "ready": client.is_server_ready(),
    "model": client.is_model_ready("double"), "version": client.is_model_ready("double", "1"),
    "nobody": client.is_model_ready("nobody"), "no version": client.is_model_ready("double", "9"),
    "server": client.get_server_metadata(), "metadata": client.get_model_metadata("double"),
    "config": client.get_model_config("double", "1"), "index": client.get_model_repository_index(),
}))
""",
    )

    assert [said[name] for name in ("live", "ready", "model", "version", "nobody", "no version")] == [
        *(True, True, True, True),
        *(False, False),
    ]
    assert said["server"]["name"] == "samara"
    assert "binary_tensor_data" in said["server"]["extensions"]
    assert said["metadata"]["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 3]}]
    assert said["config"]["input"] == [{"name": "x", "data_type": "TYPE_FP32", "dims": [3]}]
    assert said["config"]["max_batch_size"] > 0
    assert {one["name"]: one["state"] for one in said["index"]} == {"double": "READY", "echo": "READY"}


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False])
def test_every_datatype_comes_back_as_it_went(url: str, binary_in: bool, binary_out: bool) -> None:
    said = seen(
        url,
        f"""
binary_in, binary_out = {binary_in}, {binary_out}
arrays, inputs, outputs = {{}}, [], []
for name in {list(KINDS)!r}:
    if name == "BYTES":
        array = np.array([["UA"], ["é: 12:30"], [""]], dtype=object)
    elif name == "BOOL":
        array = np.array([[True], [False], [True]])
    elif name.startswith(("INT", "UINT")):
        limits = np.iinfo(triton_to_np_dtype(name))
        array = np.array([[limits.min], [limits.max], [1]], dtype=limits.dtype)
    else:
        array = np.array([[1.5], [-0.0], [ml_dtypes.finfo(triton_to_np_dtype(name)).max]], triton_to_np_dtype(name))
    arrays[name] = array
    inputs.append(tensor("in_" + name, array, name, binary_in or name in ("BF16", "FP16")))  # it says so itself
    outputs.append(triton.InferRequestedOutput("out_" + name, binary_data=binary_out))
result = client.infer("echo", inputs, outputs=outputs)

def same(one, other):
    if other.dtype == object:
        other = np.array([[text.encode() if isinstance(text, str) and isinstance(found, bytes) else text]
                          for (text,), (found,) in zip(other, one)], dtype=object)
    return one.dtype == other.dtype and one.tolist() == other.tolist()

print(json.dumps({{name: same(result.as_numpy("out_" + name), array) for name, array in arrays.items()}}))
""",
    )

    assert said == dict.fromkeys(KINDS, True)


def test_what_it_sends_by_default_is_raw_and_answered_raw(url: str) -> None:
    said = seen(
        url,
        """
result = client.infer("double", [tensor("x", scores, "FP32")], request_id="mine", parameters={"note": "a:b"})
print(json.dumps({"y": result.as_numpy("y").tolist(), "z": result.as_numpy("z").tolist(),
                  "raw": result.get_output("y")["parameters"], "id": result.get_response()["id"],
                  "version": result.get_response()["model_version"]}))
""",
    )

    assert said == {
        "y": [[2, 10, 6], [18, 16, 14]],
        "z": [[1, 5, 3], [9, 8, 7]],
        "raw": {"binary_data_size": 24},
        "id": "mine",
        "version": "1",
    }


def test_it_asks_for_one_output_or_for_classes_or_for_a_version(url: str) -> None:
    said = seen(
        url,
        """
x = [tensor("x", scores, "FP32", binary=False)]
one = client.infer("double", x, model_version="1", outputs=[triton.InferRequestedOutput("y", binary_data=False)])
best = [triton.InferRequestedOutput("y", class_count=2)]
print(json.dumps({"names": [output["name"] for output in one.get_response()["outputs"]],
                  "data": one.get_output("y")["data"],
                  "classes": [[text.decode() for text in row]
                              for row in client.infer("double", x, outputs=best).as_numpy("y").tolist()]}))
""",
    )

    assert said["names"] == ["y"]
    assert said["data"] == [2, 10, 6, 18, 16, 14]
    assert said["classes"] == [["10.0:1", "6.0:2"], ["18.0:0", "16.0:1"]]


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
@pytest.mark.parametrize("binary", [True, False])
def test_it_compresses_both_ways(url: str, coding: str, binary: bool) -> None:
    said = seen(
        url,
        f"""
many = np.arange(30_000, dtype=np.float32).reshape(-1, 3)
result = client.infer("double", [tensor("x", many, "FP32", {binary})],
                      outputs=[triton.InferRequestedOutput("y", binary_data={binary})],
                      request_compression_algorithm="{coding}", response_compression_algorithm="{coding}")
print(json.dumps(bool((result.as_numpy("y") == many * 2).all())))
""",
    )

    assert said is True


def test_it_asks_without_waiting(url: str) -> None:
    said = seen(
        url,
        """
client = triton.InferenceServerClient(sys.argv[1], concurrency=8)
asked = [client.async_infer("double", [tensor("x", np.full((1, 3), n, np.float32), "FP32")]) for n in range(50)]
print(json.dumps([float(one.get_result().as_numpy("y")[0, 0]) for one in asked]))
""",
    )

    assert said == [2.0 * number for number in range(50)]


def test_what_is_refused_reaches_it_in_our_words(url: str) -> None:
    said = seen(
        url,
        """
x = tensor("x", scores, "FP32")
wrong = tensor("x", scores.astype(np.float64), "FP64")
shared = triton.InferInput("x", [2, 3], "FP32")
shared.set_shared_memory("region", 24)
print(json.dumps({
    "model": refused(lambda: client.infer("nobody", [x])),
    "version": refused(lambda: client.infer("double", [x], model_version="9")),
    "datatype": refused(lambda: client.infer("double", [wrong])),
    "output": refused(lambda: client.infer("double", [x], outputs=[triton.InferRequestedOutput("q")])),
    "shared": refused(lambda: client.infer("double", [shared])),
    "load": refused(lambda: client.load_model("double")),
    "unload": refused(lambda: client.unload_model("double")),
    "statistics": refused(lambda: client.get_inference_statistics("double")),
}))
""",
    )

    assert {name: status for name, (status, _) in said.items()} == {
        "model": "404",
        "version": "404",
        "datatype": "400",
        "output": "400",
        "shared": "400",
        "load": "403",
        "unload": "403",
        "statistics": "404",
    }
    assert said["datatype"][1] == "x: has datatype FP64; this model takes FP32"
    assert said["output"][1] == "q: is no output of this model; it answers y, z"
    assert "promoted by aliases" in said["load"][1]
