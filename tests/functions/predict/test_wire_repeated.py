"""Who says the same again around other numbers is understood sooner, and never otherwise than who says it once."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from functions.predict import wire
from functions.predict.wire import asked
from samara.errors import Rejected

USUAL = b'{"inputs":[{"name":"x","shape":[2,1],"datatype":"FP32","data":%b}]}'
AROUND = [
    USUAL,
    b'{"inputs": [{"name": "x", "shape": [2, 1], "datatype": "FP32", "data": %b}], "outputs": [{"name": "y"}]}',
    b'{"parameters":{"binary_data_output":true,"a":":"},"inputs":[{"data":%b,"name":"x","shape":[2],"datatype":"INT8"}]}',
    b'{"inputs":[{"name":"x","shape":[2],"datatype":"FP32","data":%b,"parameters":{"data":[1]}}]}',
    b'{"parameters":{"data":%b},"inputs":[{"name":"x","shape":[2],"datatype":"FP32","data":[1,2]}]}',
    b'{"inputs":[{"name":"x","shape":[2],"datatype":"FP32","data":%b,"data":[1,2]}]}',
    b'{"inputs":[{"name":"x","shape":[2],"datatype":"FP32","data":%b}],"inputs":[]}',
    b'{"id":"mine","inputs":[{"name":"x","shape":[2],"datatype":"FP32","data":%b}]}',
    b'{"i\\u0064":"mine","inputs":[{"name":"x","shape":[2],"datatype":"FP32","data":%b}]}',
    b'{"model_name":"\\"data\\":%b","inputs":[{"name":"x","shape":[2],"datatype":"FP32","data":1}]}',
    b'{"inputs":[{"name":"x\\"data\\":","shape":[2],"datatype":"FP32","data":%b}]}',
    b'{"inputs":[{"name":"x","shape":[2],"datatype":"BYTES","data":%b}]}',
    b'{"inputs":[{"name":"x","shape":[2],"datatype":"BOOL","data":%b}]}',
    b'{"inputs":[{"name":"x","shape":[2],"datatype":"FP32","data":%b},{"name":"z","shape":[1],"datatype":"FP32","data":[1]}]}',
    b'{"inputs":[{"name":"x","shape":[99999999999],"datatype":"FP32","data":%b}]}',
    b'{"inputs":[{"name":"x","shape":[2],"datatype":"FP32","data":%b}]} ]',
    b'{"inputs":[{"name":"x","shape":[2],"datatype":"FP32","data":%b5}]}',
    b'{"inputs":[{"name":"x","shape":[2],"datatype":"FP32","data":-%b}]}',
    b'{"inputs":[{"name":"x","shape":[2],"datatype":"FP32","data":%b.0}]}',
    b'{"inputs":[{"name":"x","shape":[2],"datatype":"FP32","data":%be0}]}',
]
DATA = st.sampled_from(
    [b"[1,2]", b" [ 3.5, -4e-3 ]", b"[[1],[2]]", b"[1]", b"[]", b"[1,2,]", b"[1,null]", b"[1e400,1]", b"[1,NaN]",
     b'["a","b]"]', b'["a:","b"]', b"[true,false]", b'[{"a":1,"a":2},3]', b"null", b"1", b"", b"[300,2]", b"[1,2"]
)  # fmt: skip


def outcome(body: bytes, *, afresh: bool) -> Any:
    """What a body is understood as, or how it is refused."""
    if afresh:
        wire.around.cache_clear()
    try:
        return wire.read(body, "late") if afresh else asked({}, body, "late")
    except Rejected as error:
        return error.code, str(error)


@given(st.lists(st.tuples(st.sampled_from(AROUND), DATA), min_size=1, max_size=4))
@example([(USUAL, b"[1,2]"), (USUAL, b"[3,4]")])
@example([(AROUND[-2], b"[1,2]")])
@example([(AROUND[-1], b"[1,2]")])
def test_what_is_asked_again_with_other_numbers_means_what_it_would_alone(bodies: list[tuple[bytes, bytes]]) -> None:
    for around, data in bodies:
        body = around % data

        assert outcome(body, afresh=False) == outcome(body, afresh=True)


@given(st.lists(st.floats(allow_nan=False, width=32), min_size=2, max_size=2))
def test_numbers_are_the_same_to_the_last_bit(numbers: list[float]) -> None:
    body = USUAL % json.dumps(numbers).replace("Infinity", "1e999").encode()

    assert outcome(body, afresh=False) == outcome(body, afresh=True)


@pytest.mark.parametrize("around", AROUND[:3])
def test_clients_that_repeat_themselves_are_recognized(around: bytes) -> None:
    wire.around.cache_clear()

    for number in range(3):
        assert wire.repeated(around % b"[%d, 2]" % number, "late")

    assert wire.around.cache_info().hits == 2


def test_what_was_said_of_one_model_is_not_taken_for_another() -> None:
    body = b'{"model_name":"late","inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[1]}]}'
    assert asked({}, body, "late").inputs

    with pytest.raises(Rejected, match="names another model"):
        asked({}, body, "early")


def test_a_client_with_ids_of_its_own_fills_no_memory() -> None:
    wire.around.cache_clear()

    for number in range(3):
        said = {"id": f"request-{number}", "inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}]}
        assert asked({}, json.dumps(said, separators=(",", ":")).encode(), "late").id == f"request-{number}"

    assert wire.around.cache_info().currsize == 0
