"""Requests as bytes, and answers: what is understood, what is refused and how, and that nothing has two meanings."""

import gzip
import json
import re
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.predict import wire
from functions.predict.wire import Asked, Wanted, answer, asked
from samara.core import strict
from samara.core.tensors import Value
from samara.entry import refused
from samara.errors import Rejected
from samara.events import HttpResponse

X = {"name": "x", "shape": [2, 1], "datatype": "FP32", "data": [1, 2]}
NAMES = {"name": "carrier", "shape": [2], "datatype": "BYTES", "data": ["UA", "é: 12:30"]}
ONE_TWO = struct.pack("<2f", 1, 2)


def body(**changes: Any) -> bytes:
    return json.dumps({"inputs": [X, NAMES], **changes}).encode()


def of(**changes: Any) -> bytes:
    """The request with `x` changed."""
    return body(inputs=[{**X, **changes}, NAMES])


def raw(*tensors: tuple[dict[str, Any], bytes], **more: Any) -> tuple[dict[str, str], bytes]:
    """Headers and body of a request with raw tensors, each as long as it is."""
    inputs = []
    for tensor, data in tensors:
        said = {"name": "x", "shape": [2, 1], "datatype": "FP32", "parameters": {"binary_data_size": len(data)}}
        inputs.append({**said, **tensor})
    head = json.dumps({"inputs": inputs, **more}).encode()
    return {"inference-header-content-length": str(len(head))}, head + b"".join(data for _, data in tensors)


def code_of(work: Callable[[], Any]) -> str:
    with pytest.raises(Rejected) as raised:
        work()
    return raised.value.code


def test_a_request_in_json_becomes_the_tensors_a_model_reads() -> None:
    request = asked({"content-type": "application/json"}, body(id="mine"), "late")

    assert request == Asked(
        id="mine",
        parameters={},
        inputs=(
            ("x", Value("FP32", (2, 1), ONE_TWO)),
            ("carrier", Value("BYTES", (2,), [b"UA", "é: 12:30".encode()])),
        ),
        wanted=(),
        binary=False,
    )


@pytest.mark.parametrize(
    "data",
    [
        body(id="4f5e:1", parameters={"priority": 1, "note": "a:b", "more": {"deep": [":", {"x": 1}]}}),
        body(id="", model_name="late"),
        body(outputs=[{"name": "y:0", "parameters": {"binary_data": False}}]),
        body(outputs=[]),
        of(parameters={"content_type": "np"}),
        of(data=[[1], [2]]),
        body().replace("é".encode(), b"\\u00e9"),
        b" \n" + body() + b"\r\n",
        body(inputs=[{**X, "name": "größe:0"}, NAMES]),
    ],
)
def test_what_official_clients_send_is_understood(data: bytes) -> None:
    assert asked({}, data, "late").inputs[0][1] == Value("FP32", (2, 1), ONE_TWO)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"null", "body: must be an object"),
        (b"[]", "body: must be an object"),
        (b"{}", "body: has no inputs"),
        (body(inputs=None), "inputs: must be a list"),
        (body(inputs=[X] * 2049), "inputs: must be a list of tensors with one for each input, at most 2,048"),
        (body(inputs=[1]), "input: must be an object"),
        (body(inputs=["x"]), "input: must be an object"),
        (body(inputs=[{**X, "name": 5}]), "input: its name and datatype"),
        (body(inputs=[NAMES, X, X]), "inputs: names the tensor x twice"),
        (body(input=1), "input: is not known here"),
        (body(__proto__={}), "__proto__: is not known here"),
        (body(id=7), "id: must be a string"),
        (body(id="../x"), "id: must be a string"),
        (body(id="a\r\nb"), "id: must be a string"),
        (body(id="x" * 129), "id: must be a string"),
        (body(parameters=[]), "parameters: must be an object"),
        (body(parameters=None), "parameters: must be an object"),
        (body(parameters={"binary_data_output": 1}), "binary_data_output: must be true or false"),
        (body(model_name="other"), "model_name: names another model"),
        (body(outputs={}), "outputs: must be a list"),
        (body(outputs=[1]), "output: must be an object"),
        (body(outputs=[{}]), "output: has no name"),
        (body(outputs=[{"name": 1}]), "output: its name must be a string"),
        (body(outputs=[{"name": "y", "datatype": "FP32"}]), "datatype: is not known here; output may have"),
        (body(outputs=[{"name": "y"}, {"name": "y"}]), "outputs: names the tensor y twice"),
        (body(outputs=[{"name": "y", "parameters": {"binary_data": "yes"}}]), "binary_data: must be true or false"),
        (body(outputs=[{"name": "y", "parameters": {"classification": -1}}]), "classification: must be how many"),
        (body(outputs=[{"name": "y", "parameters": {"classification": True}}]), "classification: must be how many"),
        (body(outputs=[{"name": "y", "parameters": {"shared_memory_region": "r"}}]), "y: is in shared memory"),
        (of(parameters={"shared_memory_region": "r", "shared_memory_byte_size": 8}), "x: is in shared memory"),
        (of(parameters=1), "parameters: must be an object"),
        (of(parameters={"binary_data_size": 8}), "x: has both data and binary_data_size"),
        (of(shape=[-2, 1]), "x: its shape must be"),
        (of(shape=[True, 1]), "x: its shape must be"),
        (of(shape=[2.0, 1]), "x: its shape must be"),
        (of(shape=[1] * 20), "x: its shape must be"),
        (of(shape=[2**63]), "x: its shape must be"),
        (of(shape="2"), "x: its shape must be"),
        (of(data=[1]), "x: has 1 values, but its shape [2, 1] holds 2"),
        (of(data=[[1], [2, 3]]), "x: its lists are not nested"),
        (of(data="12"), "x: its data must be a list"),
        (of(data=[1, "2"]), "x: has strings where FP32 needs numbers"),
        (of(extra=1), "extra: is not known here"),
        (of(datatype="fp32"), "x: has datatype fp32, which is not served; send one of FP16, FP32, FP64, BF16, INT8"),
        (body(inputs=[{"name": "x", "shape": [1], "datatype": "FP32"}]), "x: has no data, and no binary_data_size"),
        (body(inputs=[{**X, "shape": [2**62, 2]}]), "has 2 values, but its shape has enormous sizes"),
    ],
)
def test_what_is_wrong_is_named_with_what_is_expected(data: bytes, says: str) -> None:
    with pytest.raises(Rejected) as raised:
        asked({}, data, "late")

    assert says in str(raised.value)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (body()[:-1] + b',"id":"a","id":"b"}', "bad_json"),
        (body().replace(b'"data": [1, 2]', b'"data": [1, 2], "data": [3, 4]'), "bad_json"),
        (body()[:-1] + b',"\\u0069d":"a","id":"b"}', "bad_json"),
        (body(parameters={"a:b": 1})[:-2] + b',"a:b":2}}', "bad_json"),
        (b'{"id":"a",' + body(id="b:c")[1:], "bad_json"),
        (of(data=[1, float("nan")]), "bad_json"),
        (of(data=[1, float("inf")]), "bad_json"),
        (of(data=[1, 2]).replace(b"2]", b"1e400]"), "bad_input"),
        (of(data=[1, 2]).replace(b"2]", b"9" * 5000 + b"]"), "bad_json"),
        (body(id="a\0b"), "bad_json"),
        (body(inputs=[{**NAMES, "data": ["a", "\0"]}]), "bad_json"),
        (body(inputs=[{**NAMES, "data": ["a", "\ud800"]}]), "bad_json"),
        (body(parameters={"a": "\0"}), "bad_json"),
        (body(parameters=json.loads('{"a":' * 40 + "1" + "}" * 40)), "too_deep"),
        (of(data=json.loads("[" * 40 + "1" + "]" * 40)), "too_deep"),
        (body().decode().encode("utf-16"), "bad_json"),
        (b"\xef\xbb\xbf" + body(), "bad_json"),
        (body() + b"{}", "bad_json"),
        (b"", "bad_json"),
    ],
)
def test_what_readers_could_understand_differently_is_refused(data: bytes, code: str) -> None:
    assert code_of(lambda: asked({}, data, "late")) == code


@pytest.mark.parametrize(
    ("number", "datatype", "data"),
    [
        (b"-0.0", "FP64", struct.pack("<d", -0.0)),
        (b"18446744073709551616", "FP64", struct.pack("<d", 2**64)),
        (b"18446744073709551615", "UINT64", b"\xff" * 8),
        (b"-9223372036854775808", "INT64", struct.pack("<q", -(2**63))),
        (b"5e-324", "FP64", struct.pack("<d", 5e-324)),
        (b"null", "BF16", b"\xc0\x7f"),
    ],
)
def test_numbers_mean_what_they_say_to_the_last_bit(number: bytes, datatype: str, data: bytes) -> None:
    said = b'{"inputs":[{"name":"x","shape":[1],"datatype":"%s","data":[%s]}]}' % (datatype.encode(), number)

    assert asked({}, said, "late").inputs == (("x", Value(datatype, (1,), data)),)


@pytest.mark.parametrize("number", [b"18446744073709551616", b"-18446744073709551616", b"1" * 300])
def test_integers_beyond_64_bits_are_refused_as_such(number: bytes) -> None:
    said = b'{"inputs":[{"name":"x","shape":[1],"datatype":"INT64","data":[%s]}]}' % number

    with pytest.raises(Rejected, match="has integers outside"):
        asked({}, said, "late")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(["a:b", "\0", "["]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)
WHOLE = json.loads(body(id="a", outputs=[{"name": "y", "parameters": {"binary_data": True}}], parameters={"a": [1]}))


def places(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path to everything inside a JSON value."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [here, *(place for key, item in inside for place in places(item, (*here, key)))]


def changed(value: Any, place: tuple[Any, ...], new: Any) -> Any:
    if not place:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[place[0]] = changed(value[place[0]], place[1:], new)
    return copy


def outcome(work: Callable[[], Any]) -> tuple[int, str]:
    """The HTTP status this work comes to, and what is said; whatever is not `Rejected` passes through."""
    try:
        work()
    except Rejected as error:
        return refused(error).status, str(error)
    return 200, ""


@given(st.sampled_from(places(WHOLE)), JSON, st.booleans())
def test_any_value_in_any_place_is_taken_or_refused_in_words(place: tuple[Any, ...], new: Any, ascii_: bool) -> None:
    text = json.dumps(changed(WHOLE, place, new), ensure_ascii=ascii_)

    status, said = outcome(lambda: asked({}, text.encode("utf-8", "surrogatepass"), "late"))

    assert status in (200, 400, 413)
    assert len(said) < 500


@given(st.binary(max_size=200), st.none() | st.integers(-1, 200).map(str) | st.text(max_size=5))
def test_any_bytes_are_taken_or_refused_in_words(data: bytes, length: str | None) -> None:
    headers = {} if length is None else {"inference-header-content-length": length}

    status, _ = outcome(lambda: asked(headers, data, "late"))

    assert status in (200, 400)


@given(st.data())
def test_nothing_is_read_that_the_strict_reader_refuses(data: Any) -> None:
    text = bytearray(body(id="a:b", parameters={"a": {"b": [":"]}}))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text)))
        text[at : at + data.draw(st.integers(0, 3))] = data.draw(
            st.sampled_from([b"", b'"', b":", b",", b'"id":"x",', b'"a":1,', b"\\u003a", b"[", b"{}", b"1e999"])
        )

    if outcome(lambda: asked({}, bytes(text), "late"))[0] == 200:
        strict.value(bytes(text))


def test_raw_tensors_follow_the_json_in_its_order() -> None:
    texts = b"\2\0\0\0UA\0\0\0\0"
    headers, data = raw(({}, ONE_TWO), ({"name": "c", "shape": [2], "datatype": "BYTES"}, texts), id="mine")

    request = asked(headers, data, "late")

    assert request.id == "mine"
    assert [(name, value.shape) for name, value in request.inputs] == [("x", (2, 1)), ("c", (2,))]
    assert bytes(request.inputs[0][1].data) == ONE_TWO
    assert request.inputs[1][1].data == [b"UA", b""]


def test_raw_tensors_and_json_may_stand_side_by_side() -> None:
    headers, data = raw(({"parameters": {"content_type": "np"}, "data": [3, 4]}, b""), ({"name": "z"}, ONE_TWO))

    request = asked(headers, data, "late")

    assert [bytes(value.data) for _, value in request.inputs] == [struct.pack("<2f", 3, 4), ONE_TWO]


@pytest.mark.parametrize("padding", range(8))
def test_a_raw_tensor_is_a_view_of_the_body_unless_it_would_straddle_words(padding: int) -> None:
    array = np.arange(5, dtype=np.float64)
    headers, data = raw(({"shape": [5], "datatype": "FP64"}, array.tobytes()), id="i" * (padding + 1))

    value = asked(headers, data, "late").inputs[0][1]

    read = np.frombuffer(value.data, np.float64)
    assert read.tolist() == array.tolist()
    assert read.ctypes.data % 8 == 0
    aligned = (np.frombuffer(data, np.uint8).ctypes.data + len(data) - 40) % 8 == 0
    assert isinstance(value.data, memoryview) == aligned, "what is aligned is not copied"


def test_not_a_number_and_infinity_come_raw() -> None:
    data = struct.pack("<2f", float("nan"), float("-inf"))
    headers, whole = raw(({}, data))

    assert bytes(asked(headers, whole, "late").inputs[0][1].data) == data


@pytest.mark.parametrize(
    "kind", [None, "application/octet-stream", "application/json", "application/json;charset=utf-8"]
)
def test_raw_tensors_may_come_under_any_of_the_names_clients_give_them(kind: str | None) -> None:
    headers, data = raw(({}, ONE_TWO))

    request = asked(headers if kind is None else {**headers, "content-type": kind}, data, "late")

    assert len(request.inputs) == 1


def sized(size: Any) -> dict[str, Any]:
    return {"parameters": {"binary_data_size": size}}


@pytest.mark.parametrize(
    ("tensor", "data", "says"),
    [
        (sized(-8), ONE_TWO, "its binary_data_size must be how many bytes it has"),
        (sized(8.0), ONE_TWO, "its binary_data_size must be"),
        (sized(True), ONE_TWO, "its binary_data_size must be"),
        (sized("8"), ONE_TWO, "its binary_data_size must be"),
        (sized(2**70), ONE_TWO, "its binary_data_size must be|raw bytes, but 8 are left"),
        (sized(8), ONE_TWO[:7], "says it has 8 raw bytes, but 7 are left in the body"),
        (sized(9), ONE_TWO, "has 9 raw bytes, which is not what its shape and FP32 take"),
        (sized(4), ONE_TWO, "has 4 raw bytes, which is not what its shape and FP32 take"),
        (sized(8), ONE_TWO + b"x", "has 1 bytes after its last tensor"),
        ({"parameters": {}}, ONE_TWO, "has no data, and no binary_data_size"),
        ({"shape": [2**40, 2**40]}, ONE_TWO, "has 8 raw bytes, which is not what"),
        ({"shape": [3]}, ONE_TWO, "has 8 raw bytes"),
        ({"datatype": "FP8"}, ONE_TWO, "FP8, which is not served"),
        ({"datatype": "BOOL", "shape": [8]}, ONE_TWO, "bytes other than 0 and 1"),
        ({"datatype": "BYTES"}, ONE_TWO, "its string 1 is longer than its raw bytes"),
        ({"datatype": "BYTES"}, b"\0\0\0\0\1\0\0", "its string 2 is longer than its raw bytes"),
        ({"datatype": "BYTES"}, b"\xff\xff\xff\xffab", "its string 1 is longer"),
        ({"datatype": "BYTES"}, b"\2\0\0\0ab", "has 1 strings, which is not what its shape takes"),
        ({"datatype": "BYTES", "shape": [0]}, b"\2\0\0\0ab", "has 1 strings"),
    ],
)
def test_a_raw_tensor_that_is_not_what_it_says_is_refused(tensor: dict[str, Any], data: bytes, says: str) -> None:
    headers, whole = raw((tensor, data))

    with pytest.raises(Rejected, match=says):
        asked(headers, whole, "late")


@pytest.mark.parametrize("length", ["0", "-1", "1e2", "99999", "", "٣", "9" * 5000, " 5"])
def test_a_length_of_the_json_that_cannot_be_is_refused(length: str) -> None:
    _, data = raw(({}, ONE_TWO))

    with pytest.raises(Rejected, match="must be how many of the"):
        asked({"inference-header-content-length": length}, data, "late")


def test_one_tensor_cannot_take_the_bytes_of_the_next() -> None:
    headers, data = raw(({"name": "a"}, ONE_TWO), ({"name": "b"}, ONE_TWO))
    greedy = data.replace(b'"binary_data_size": 8}', b'"binary_data_size":16}', 1)

    with pytest.raises(Rejected, match="a: has 16 raw bytes, which is not what"):
        asked(headers, greedy, "late")


def test_what_is_remembered_of_one_request_is_not_answered_to_another() -> None:
    headers, first = raw(({}, ONE_TWO))
    second = first[:-8] + struct.pack("<2f", 3, 4)

    for data in (first, second, first):
        assert bytes(asked(headers, data, "late").inputs[0][1].data) == data[-8:]
    assert code_of(lambda: asked(headers, first[:-1], "late")) == "bad_request"


PACKED = {
    "gzip": gzip.compress(body()),
    "deflate": zlib.compress(body()),
    "identity": body(),
    " GZIP ": gzip.compress(body()),
}


@pytest.mark.parametrize("coding", PACKED)
def test_a_body_may_come_compressed(coding: str) -> None:
    assert asked({"content-encoding": coding}, PACKED[coding], "late") == asked({}, body(), "late")


def test_gzip_may_come_in_members_and_hold_raw_tensors() -> None:
    headers, data = raw(({}, ONE_TWO))
    members = gzip.compress(data[:20]) + gzip.compress(data[20:])

    request = asked({**headers, "content-encoding": "gzip"}, members, "late")

    assert bytes(request.inputs[0][1].data) == ONE_TWO


@pytest.mark.parametrize(
    ("coding", "data", "code"),
    [
        ("br", body(), "media_type"),
        ("gzip, gzip", gzip.compress(body()), "media_type"),
        ("gzip", body(), "bad_encoding"),
        ("gzip", zlib.compress(body()), "bad_encoding"),
        ("deflate", gzip.compress(body()), "bad_encoding"),
        ("gzip", gzip.compress(body())[:-1], "bad_encoding"),
        ("gzip", gzip.compress(body())[:-8] + bytes(8), "bad_encoding"),
        ("gzip", gzip.compress(body()) + b"more", "bad_encoding"),
        ("deflate", zlib.compress(body()) + b"more", "bad_encoding"),
        ("gzip", gzip.compress(b"") * 101, "bad_encoding"),
        ("gzip", b"", "bad_json"),
        ("gzip", gzip.compress(bytes(7 << 20)), "too_large"),
        ("gzip", gzip.compress(bytes(1 << 20)) * 7, "too_large"),
        ("deflate", zlib.compress(bytes(2 << 20)), "too_large"),
        ("gzip", bytes((6 << 20) + 1), "too_large"),
        ("identity", bytes((6 << 20) + 1), "too_large"),
    ],
)
def test_what_is_compressed_wrongly_or_suspiciously_is_refused(coding: str, data: bytes, code: str) -> None:
    assert code_of(lambda: asked({"content-encoding": coding}, data, "late")) == code


def test_an_image_that_is_all_black_may_be_compressed() -> None:
    black = bytes(602_112)
    headers, data = raw(({"shape": [1, 3, 224, 224]}, black))

    request = asked({**headers, "content-encoding": "gzip"}, gzip.compress(data), "late")

    assert bytes(request.inputs[0][1].data) == black


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (bytes(1_600_000), "body: is more than 100 times larger decompressed; send it uncompressed"),
        (bytes(9_000_000), "body: is more than 100 times larger decompressed; send it uncompressed"),
        (
            np.random.default_rng(1).bytes(100_000) + bytes(6_900_000),
            "body: has more than 6,291,456 bytes decompressed; 6,291,456 are",
        ),
    ],
)
def test_what_is_dense_is_told_from_what_is_large(data: bytes, says: str) -> None:
    with pytest.raises(Rejected, match=says) as raised:
        asked({"content-encoding": "gzip"}, gzip.compress(data), "late")

    assert raised.value.code == "too_large"


@pytest.mark.parametrize("kind", ["text/html", "application/x-www-form-urlencoded", "application/octet-stream", ""])
def test_json_under_another_name_is_refused(kind: str) -> None:
    assert code_of(lambda: asked({"content-type": kind}, body(), "late")) == "media_type"


def test_what_is_too_large_is_not_parsed() -> None:
    assert code_of(lambda: asked({}, b" " * (strict.LARGEST + 1), "late")) == "too_large"


OUTPUTS = {
    "score": Value("FP32", (2, 3), struct.pack("<6f", 0.5, 0.25, 0.5, 1, 2, 3)),
    "airline": Value("BYTES", (2,), [b"UA", "é".encode()]),
}


def answered(request: Asked, outputs: dict[str, Value] = OUTPUTS, accept: str = "") -> HttpResponse:
    said: dict[str, Any] = {"version": 3}
    return answer(
        request, model="late", version="3", id="mine", parameters=said, outputs=outputs, accept_encoding=accept
    )


def wanting(*wanted: Wanted, binary: bool = False) -> Asked:
    return Asked("", {}, (), wanted, binary)


def test_all_outputs_are_answered_in_json_unless_told_otherwise() -> None:
    response = answered(wanting())

    assert response.headers == {"content-type": "application/json"}
    assert json.loads(response.body) == {
        "model_name": "late",
        "model_version": "3",
        "id": "mine",
        "parameters": {"version": 3},
        "outputs": [
            {"name": "score", "datatype": "FP32", "shape": [2, 3], "data": [0.5, 0.25, 0.5, 1, 2, 3]},
            {"name": "airline", "datatype": "BYTES", "shape": [2], "data": ["UA", "é"]},
        ],
    }


def test_only_what_is_wanted_is_answered() -> None:
    response = answered(wanting(Wanted("airline")))

    assert [output["name"] for output in json.loads(response.body)["outputs"]] == ["airline"]


def test_raw_outputs_follow_the_json_in_its_order() -> None:
    response = answered(wanting(Wanted("airline"), Wanted("score"), binary=True))

    length = int(response.headers["inference-header-content-length"])
    assert response.headers["content-type"] == "application/octet-stream"
    assert [output["parameters"] for output in json.loads(response.body[:length])["outputs"]] == [
        {"binary_data_size": 12},
        {"binary_data_size": 24},
    ]
    assert response.body[length:] == b"\2\0\0\0UA\2\0\0\0\xc3\xa9" + OUTPUTS["score"].data


def test_each_output_may_be_wanted_its_own_way() -> None:
    response = answered(wanting(Wanted("score", binary=False), Wanted("airline", binary=None), binary=True))

    length = int(response.headers["inference-header-content-length"])
    score, airline = json.loads(response.body[:length])["outputs"]
    assert score["data"] == [0.5, 0.25, 0.5, 1, 2, 3]
    assert airline["parameters"] == {"binary_data_size": 12}


def test_of_many_classes_the_largest_are_named_by_number_and_place() -> None:
    best = {"data": ["0.5:0", "0.5:2", "3.0:2", "2.0:1"], "shape": [2, 2], "datatype": "BYTES", "name": "score"}

    assert json.loads(answered(wanting(Wanted("score", classes=2))).body)["outputs"] == [best]
    assert json.loads(answered(wanting(Wanted("score", classes=9))).body)["outputs"][0]["shape"] == [2, 3]
    assert code_of(lambda: answered(wanting(Wanted("airline", classes=1)))) == "bad_output"


def test_what_is_no_number_is_the_last_of_the_classes() -> None:
    outputs = {"score": Value("FP64", (3,), struct.pack("<3d", float("nan"), -1, float("inf")))}

    best = json.loads(answered(wanting(Wanted("score", classes=2)), outputs).body)["outputs"][0]

    assert (best["shape"], best["data"]) == ([2], ["inf:2", "-1.0:1"])


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (Value("FP32", (1,), struct.pack("<f", float("nan"))), "not_finite"),
        (Value("BYTES", (1,), [b"\xff"]), "not_text"),
    ],
)
def test_what_json_cannot_carry_is_refused_but_answered_raw(value: Value, code: str) -> None:
    assert code_of(lambda: answered(wanting(), {"score": value})) == code

    assert answered(wanting(binary=True), {"score": value}).status == 200


def test_headers_of_the_caller_go_out_too() -> None:
    response = answer(
        wanting(), model="m", version="1", id="i", parameters={}, outputs={}, headers={"samara-version": "1"}
    )

    assert response.headers == {"content-type": "application/json", "samara-version": "1"}


LARGE = {"score": Value("FP32", (20_000,), np.arange(20_000, dtype=np.float32).tobytes())}


@pytest.mark.parametrize(
    ("accept", "coding", "undo"),
    [
        ("gzip", "gzip", gzip.decompress),
        ("deflate", "deflate", zlib.decompress),
        ("br, *;q=0.1", "gzip", gzip.decompress),
        ("gzip;q=0, deflate", "deflate", zlib.decompress),
    ],
)
@pytest.mark.parametrize("binary", [True, False])
def test_a_large_answer_is_compressed_for_who_asks_for_it(
    accept: str, coding: str, undo: Callable[[bytes], bytes], binary: bool
) -> None:
    plain = answered(wanting(binary=binary), LARGE)

    packed = answered(wanting(binary=binary), LARGE, accept)

    assert packed.headers == {**plain.headers, "content-encoding": coding, "vary": "accept-encoding"}
    assert undo(packed.body) == plain.body
    assert len(packed.body) < len(plain.body)


def test_other_answers_are_sent_as_they_are() -> None:
    assert "content-encoding" not in answered(wanting(), LARGE).headers
    assert "content-encoding" not in answered(wanting(), LARGE, "br, gzip;q=0.0").headers
    assert "content-encoding" not in answered(wanting(), OUTPUTS, "gzip").headers


def test_a_model_may_be_asked_without_inputs() -> None:
    assert asked({}, body(inputs=[]), "late").inputs == ()


def test_names_of_strangers_are_said_back_short_and_harmless() -> None:
    with pytest.raises(Rejected) as raised:
        asked({}, body(inputs=[{**X, "name": "<é>" * 10_000, "data": []}]), "late")

    assert re.fullmatch(r"[ -~…]+", raised.value.subject)
    assert len(raised.value.subject) < 250
    assert wire.HEADER.islower()
