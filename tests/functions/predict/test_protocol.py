"""What may be asked of which address, and whether what is asked fits a model."""

import struct
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.predict import protocol
from functions.predict.protocol import Fit, Route, route
from functions.predict.wire import Asked, Wanted
from samara.core.tensors import Spec, Value
from samara.entry import refused
from samara.errors import Rejected

INPUTS = (Spec("x", "FP32", (-1, 1)), Spec("image", "UINT8", (-1, 2, 2)))
OUTPUTS = (Spec("y", "FP32", (-1, 1)), Spec("z", "BYTES", (-1,)))
X = Value("FP32", (2, 1), struct.pack("<2f", 1, 2))
IMAGE = Value("UINT8", (2, 2, 2), bytes(range(8)))


def request(*wanted: str, **inputs: Value) -> Asked:
    return Asked("", {}, tuple(inputs.items()), tuple(map(Wanted, wanted)), binary=False)


def shaped(value: Value, *shape: int) -> Value:
    return value._replace(shape=shape)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v2", Route("server")),
        ("/v2/", Route("server")),
        ("/v2/health/live", Route("live")),
        ("/v2/health/ready", Route("ready")),
        ("/v2/models", Route("models")),
        ("/v2/repository/index", Route("index")),
        ("/v2/models/late", Route("model", "late")),
        ("/v2/models/late/ready", Route("model ready", "late")),
        ("/v2/models/late/config", Route("config", "late")),
        ("/v2/models/late/infer", Route("infer", "late")),
        ("/v2/models/late/rows", Route("rows", "late")),
        ("/v2/models/late/explain", Route("explain", "late")),
        ("/v2/models/late/batch", Route("batch", "late")),
        ("/v2/models/late/versions/7", Route("model", "late", "7")),
        ("/v2/models/late/versions/champion/infer", Route("infer", "late", "champion")),
        ("/v2/models/late/versions/challenger/ready", Route("model ready", "late", "challenger")),
        ("/v2/models/late/versions/shadow/explain", Route("explain", "late", "shadow")),
    ],
)
def test_every_address_that_clients_use_has_a_meaning(path: str, expected: Route) -> None:
    assert route(path) == expected


def test_what_is_asked_is_posted_and_what_is_looked_up_is_got() -> None:
    posted = {what for what in (*protocol.OF_MODEL.values(), *protocol.FIXED.values()) if Route(what).method == "POST"}

    assert posted == {"infer", "rows", "explain", "batch", "index"}


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/v2/models/late/stats", "unknown_path"),
        ("/v2/models/late/", "unknown_path"),
        ("/v2/models/", "unknown_path"),
        ("/v2/models/late/versions", "unknown_path"),
        ("/v2/models/late/versions/", "unknown_path"),
        ("/v2/models/late/infer/more", "unknown_path"),
        ("/v2/models/late/versions/1/infer/more", "unknown_path"),
        ("/v2/logging", "unknown_path"),
        ("/v2/systemsharedmemory/status", "unknown_path"),
        ("/v2/models/Late", "unknown_model"),
        ("/v2/models/../infer", "unknown_model"),
        ("/v2/models/late/versions/0", "unknown_version"),
        ("/v2/models/late/versions/01", "unknown_version"),
        ("/v2/models/late/versions/latest/infer", "unknown_version"),
        ("/v2/repository/models/late/load", "not_ours"),
        ("/v2/repository/models/late/unload", "not_ours"),
    ],
)
def test_every_other_address_is_refused_by_what_is_wrong_with_it(path: str, code: str) -> None:
    with pytest.raises(Rejected) as raised:
        route(path)

    assert raised.value.code == code
    assert refused(raised.value).status == (403 if code == "not_ours" else 404)


def test_a_request_that_fits_is_given_to_the_model_as_it_came() -> None:
    assert Fit(INPUTS, OUTPUTS)(request(image=IMAGE, x=X)) == ({"x": X, "image": IMAGE}, 2)


def test_a_column_may_have_a_second_size_of_one_or_leave_it_out() -> None:
    column, flat = Spec("x", "FP32", (-1, 1)), Spec("x", "FP32", (-1,))

    assert Fit((column,), ())(request(x=shaped(X, 2)))[0]["x"].shape == (2, 1)
    assert Fit((flat,), ())(request(x=shaped(X, 2, 1)))[0]["x"].shape == (2,)


def test_only_inputs_with_an_open_first_size_have_rows() -> None:
    threshold = Spec("threshold", "FP32", ())
    kernel = Spec("kernel", "FP32", (1, 1))
    one = Value("FP32", (), struct.pack("<f", 1))

    asked = request(x=X, threshold=one, kernel=shaped(one, 1, 1))

    assert Fit((INPUTS[0], threshold, kernel), OUTPUTS)(asked)[1] == 2
    assert Fit((threshold,), ())(request(threshold=one))[1] == 1


def test_a_model_may_take_tensors_without_values() -> None:
    nothing = Value("FP32", (2, 0), b"")

    assert Fit((Spec("x", "FP32", (-1, 0)),), ())(request(x=nothing)) == ({"x": nothing}, 2)
    assert Fit((Spec("x", "FP32", (0,)),), ())(request(x=shaped(nothing, 0))) == ({"x": shaped(nothing, 0)}, 1)


def test_a_model_may_take_nothing_at_all() -> None:
    assert Fit((), OUTPUTS)(request()) == ({}, 1)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (request("q", x=X, image=IMAGE), "q: is no output of this model; it answers y, z"),
        (request(x=X), "image: is missing from the inputs"),
        (request(x=X, image=IMAGE, q=X), "q: is no input of this model; it takes x, image"),
        (request(x=X._replace(datatype="FP64"), image=IMAGE), "x: has datatype FP64; this model takes FP32"),
        (request(x=shaped(X, 1, 2), image=IMAGE), "x: has shape [1, 2]; this model takes [-1, 1]"),
        (request(x=shaped(X, 2, 1, 1), image=IMAGE), "x: has shape [2, 1, 1]; this model takes"),
        (request(x=shaped(X), image=IMAGE), "x: has shape []; this model takes"),
        (request(x=shaped(X, 2**60, 2), image=IMAGE), "x: has shape with enormous sizes"),
        (request(x=shaped(X, 3, 1), image=IMAGE), "image: has 2 rows, but x has 3"),
        (request(x=shaped(X, 0, 1), image=shaped(IMAGE, 0, 2, 2)), "x: has no rows; send at least one"),
        (request(x=shaped(X, 100_001, 1), image=shaped(IMAGE, 100_001, 2, 2)), "send at most 100,000"),
    ],
)
def test_what_does_not_fit_is_named_with_what_is_expected(asked: Asked, says: str) -> None:
    with pytest.raises(Rejected) as raised:
        Fit(INPUTS, OUTPUTS)(asked)

    assert says in str(raised.value)


def test_a_model_is_described_as_the_protocol_and_as_triton_do() -> None:
    described = protocol.metadata("late", (1, 2), INPUTS, OUTPUTS, version=2)

    assert described == {
        "name": "late",
        "versions": ["1", "2"],
        "platform": "onnxruntime_onnx",
        "inputs": [
            {"name": "x", "datatype": "FP32", "shape": [-1, 1]},
            {"name": "image", "datatype": "UINT8", "shape": [-1, 2, 2]},
        ],
        "outputs": [
            {"name": "y", "datatype": "FP32", "shape": [-1, 1]},
            {"name": "z", "datatype": "BYTES", "shape": [-1]},
        ],
        "parameters": {"version": 2},
    }
    assert protocol.config("late", INPUTS, OUTPUTS)["input"][1] == {
        "name": "image",
        "data_type": "TYPE_UINT8",
        "dims": [2, 2],
    }
    assert protocol.config("late", INPUTS, OUTPUTS)["output"][1]["data_type"] == "TYPE_STRING"


def test_a_model_whose_tensors_do_not_all_have_rows_is_not_batched_by_triton() -> None:
    config = protocol.config("late", (*INPUTS, Spec("threshold", "FP32", ())), OUTPUTS)

    assert config["max_batch_size"] == 0
    assert [one["dims"] for one in config["input"]] == [[-1, 1], [-1, 2, 2], []]


def test_the_repository_lists_what_is_ready_and_why_something_is_not() -> None:
    listed = protocol.index([("late", 2, ""), ("new", 1, "has no champion")])

    assert [(one["name"], one["version"], one["state"]) for one in listed] == [
        ("late", "2", "READY"),
        ("new", "1", "UNAVAILABLE"),
    ]


def outcome(work: Callable[[], Any]) -> tuple[int, str]:
    """The HTTP status this work comes to, and what is said; whatever is not `Rejected` passes through."""
    try:
        work()
    except Rejected as error:
        return refused(error).status, str(error)
    return 200, ""


@given(st.text(max_size=60))
def test_any_path_is_known_or_refused_in_words(path: str) -> None:
    status, said = outcome(lambda: route("/v2" + path))

    assert status in (200, 403, 404)
    assert len(said) < 500


@given(st.lists(st.integers(0, 2**63 - 1) | st.sampled_from([0, 1, 2]), max_size=4))
def test_any_shape_fits_or_is_refused_in_words(shape: list[int]) -> None:
    status, said = outcome(lambda: Fit(INPUTS, OUTPUTS)(request(x=shaped(X, *shape), image=IMAGE)))

    assert status == (200 if shape in ([2], [2, 1]) else 400 if len(said) else 413)
