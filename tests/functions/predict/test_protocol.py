"""What a request may look like, and what is said about one that may not."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.predict.protocol import asked, fitted, route
from samara.core import strict
from samara.core.records import Signature, Tensor
from samara.entry import refused
from samara.errors import Rejected

SIGNATURE = Signature(
    inputs=(
        Tensor(name="x", datatype="FP32", shape=(-1, 1)),
        Tensor(name="image", datatype="UINT8", shape=(-1, 2, 2)),
    ),
    outputs=(Tensor(name="y", datatype="FP32", shape=(-1, 1)),),
)
X = {"name": "x", "shape": [2, 1], "datatype": "FP32", "data": [1, 2]}
IMAGE = {"name": "image", "shape": [2, 2, 2], "datatype": "UINT8", "data": [0, 1, 2, 3, 4, 5, 6, 7]}


def request(**changes: Any) -> dict[str, Any]:
    return {"inputs": [X, IMAGE], **changes}


def test_values_keep_their_order_and_rows_are_counted() -> None:
    rows = fitted(asked(request(), "late"), SIGNATURE)

    assert rows.count == 2
    assert rows.tensors["x"].tolist() == [[1.0], [2.0]]
    assert rows.tensors["image"].tolist() == [[[0, 1], [2, 3]], [[4, 5], [6, 7]]]


def test_a_column_may_leave_its_second_dimension_out() -> None:
    rows = fitted(asked(request(inputs=[{**X, "shape": [2]}, IMAGE]), "late"), SIGNATURE)

    assert rows.shapes["x"] == (2, 1)


@pytest.mark.parametrize(
    "body",
    [
        request(id="4f5e", parameters={"binary_data_output": True, "priority": 1}),
        request(id="", model_name="late"),
        request(outputs=[{"name": "y", "parameters": {"binary_data": False}}]),
        request(outputs=[]),
        request(inputs=[{**X, "parameters": {"content_type": "np"}}, IMAGE]),
        request(inputs=[{**X, "data": [[1], [2]]}, IMAGE]),
    ],
)
def test_what_official_clients_send_is_understood(body: dict[str, Any]) -> None:
    assert fitted(asked(body, "late"), SIGNATURE).count == 2


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (None, "body: must be an object"),
        ([], "body: must be an object"),
        ({}, "body: has no inputs"),
        (request(inputs=None), "inputs: must be a list"),
        (request(inputs=[]), "inputs: must be a list"),
        (request(inputs=[1]), "input: must be an object"),
        (request(input=1), "input: is not known here"),
        (request(__proto__={}), "__proto__: is not known here"),
        (request(id=7), "id: must be a string"),
        (request(id="../x"), "id: must be a string"),
        (request(id="a\r\nb"), "id: must be a string"),
        (request(id="x" * 129), "id: must be a string"),
        (request(parameters=[]), "parameters: must be an object"),
        (request(model_name="other"), "model_name: names another model"),
        (request(outputs={}), "outputs: must be a list"),
        (request(outputs=[{"name": "z"}]), "z: is no output of this model; it answers y"),
        (request(outputs=[{"name": "y"}, {"name": "y"}]), "outputs: names one tensor twice"),
        (request(outputs=[{"name": 1}]), "output: its name must be a string"),
        (request(inputs=[X]), "image: is missing from the inputs"),
        (request(inputs=[X, X, IMAGE]), "inputs: names one tensor twice"),
        (request(inputs=[X, IMAGE, {**X, "name": "q"}]), "q: is no input of this model; it takes x, image"),
        (request(inputs=[{**X, "name": 5}, IMAGE]), "input: its name and datatype"),
        (request(inputs=[{**X, "datatype": "FP64"}, IMAGE]), "x: has datatype FP64; this model takes FP32"),
        (request(inputs=[{**X, "shape": [2, 2]}, IMAGE]), "x: has shape [2, 2]; this model takes [-1, 1]"),
        (request(inputs=[{**X, "shape": [2, 1, 1]}, IMAGE]), "x: has shape [2, 1, 1]; this model takes"),
        (request(inputs=[{**X, "shape": []}, IMAGE]), "x: has shape []; this model takes"),
        (request(inputs=[{**X, "shape": [-2, 1]}, IMAGE]), "x: its shape must be"),
        (request(inputs=[{**X, "shape": [True, 1]}, IMAGE]), "x: its shape must be"),
        (request(inputs=[{**X, "shape": [2.0, 1]}, IMAGE]), "x: its shape must be"),
        (request(inputs=[{**X, "shape": [1] * 20}, IMAGE]), "x: its shape must be"),
        (request(inputs=[{**X, "shape": [3, 1]}, IMAGE]), "image: has 2 rows, but x has 3"),
        (request(inputs=[{**X, "data": [1]}, IMAGE]), "x: has 1 values, but its shape [2, 1] holds 2"),
        (request(inputs=[{**X, "data": [[1], [2, 3]]}, IMAGE]), "x: its lists are not nested"),
        (request(inputs=[{**X, "data": "12"}, IMAGE]), "x: its data must be a list"),
        (request(inputs=[{**X, "extra": 1}, IMAGE]), "extra: is not known here"),
        (request(inputs=[{**X, "shape": [0, 1], "data": []}, {**IMAGE, "shape": [0, 2, 2], "data": []}]), "no rows"),
        (request(inputs=[{**X, "shape": [2**31, 1]}, {**IMAGE, "shape": [2**31, 2, 2]}]), "send at most 100,000"),
        (request(inputs=[{**X, "shape": [2**80, 2**80]}, IMAGE]), "x: has shape with enormous sizes"),
    ],
)
def test_what_is_wrong_is_named_with_what_is_expected(body: Any, says: str) -> None:
    with pytest.raises(Rejected) as raised:
        fitted(asked(body, "late"), SIGNATURE)

    assert says in str(raised.value)


def outcome(work: Callable[[], object]) -> tuple[int, str]:
    """The HTTP status this work comes to, and what is said; whatever is not `Rejected` passes through."""
    try:
        work()
    except Rejected as error:
        return refused(error).status, str(error)
    return 200, ""


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)


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


@given(st.sampled_from(places(request(id="a", outputs=[{"name": "y"}]))), JSON)
def test_any_value_in_any_place_is_taken_or_refused_in_words(place: tuple[Any, ...], new: Any) -> None:
    data = json.dumps(changed(request(id="a", outputs=[{"name": "y"}]), place, new)).encode("utf-8", "surrogatepass")

    status, said = outcome(lambda: fitted(asked(strict.value(data), "late"), SIGNATURE))

    assert status in (200, 400, 413)
    assert len(said) < 500


@given(st.binary(max_size=200))
def test_any_bytes_are_taken_or_refused_in_words(data: bytes) -> None:
    status, _ = outcome(lambda: asked(strict.value(data), "late"))

    assert status in (200, 400)


@given(st.text(max_size=60))
def test_any_path_is_known_or_refused_in_words(path: str) -> None:
    status, _ = outcome(lambda: route("/v2" + path))

    assert status in (200, 404)
