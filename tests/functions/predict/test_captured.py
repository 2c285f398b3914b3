"""What a capture holds of an answer: the same record that everybody reads, and the same values, bit for bit."""

from datetime import UTC, datetime
from struct import pack
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from functions.predict import receipt, work
from functions.predict.policy import Captured, Policy
from functions.predict.protocol import Route
from functions.predict.routing import Standing
from functions.predict.spelled import spelled
from functions.predict.work import Live, Version, Work
from samara.core import sealed
from samara.core.keys import Prediction
from samara.core.records import Capture
from samara.core.sealed import Maker
from samara.core.sheet import Column, Sheet
from samara.core.tensors import Spec, Value
from samara.events import HttpRequest

NOON = datetime(2013, 2, 14, 12, 0, tzinfo=UTC)
MAKER = Maker(function="predict", code="0" * 64)
SPECS = (Spec("distance", "FP32", (-1, 1)), Spec("name", "BYTES", (-1, 1)))

NUMBERS = st.lists(st.floats(width=32), min_size=1, max_size=5).map(
    lambda values: Value("FP32", (len(values), 1), pack(f"<{len(values)}f", *values))
)
INTEGERS = st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=5).map(
    lambda values: Value("INT64", (len(values),), pack(f"<{len(values)}q", *values))
)
TRUTHS = st.lists(st.booleans(), min_size=1, max_size=5).map(lambda v: Value("BOOL", (len(v),), bytes(v)))
TEXTS = st.lists(st.text(st.characters(codec="utf-8")), min_size=1, max_size=5).map(
    lambda values: Value("BYTES", (len(values), 1), [value.encode() for value in values])
)
RAW = st.lists(st.binary(max_size=9), min_size=1, max_size=5).map(
    lambda values: Value("BYTES", (len(values), 1), values)
)


def asked(sheet: Sheet | None = None, policy: Policy | None = None) -> Work:
    one = Work(
        HttpRequest("POST", "/v2/models/late/infer", NOON, caller="ann"),
        Route("infer", "late"),
        Live(Standing(1, None, None, (), 1), policy or Policy(), NOON, NOON, NOON, {}, {}, {}),
        Prediction("late", "2013-02-14T12", "0" * 16),
    )
    one.move, one.count = 1, 1
    one.values = {"distance": Value("FP32", (1, 1), pack("<f", 2.5)), "name": Value("BYTES", (1, 1), [b"Ann"])}
    link = ("models/late/0000000001.json", "1" * 64)
    one.version = Version("late", 1, link, "2" * 64, SPECS, (), (), sheet, "", ANY, rowwise=False)
    return one


ANY: Any = None  # nothing here asks whether a request fits


def read(one: Work) -> Capture:
    """As whoever reads records does, who would notice a single byte."""
    data, found = sealed.seal(work.body(one, MAKER, 200, ""), spelled)
    capture = Capture.read(data, "captures/a.json")
    assert (capture.to_bytes(), capture.digest) == (data, found)
    return capture


@given(NUMBERS | INTEGERS | TRUTHS | TEXTS | RAW)
def test_what_is_captured_is_read_back_bit_for_bit(value: Value) -> None:
    said = receipt.captured(value, value.shape[0])

    again = receipt.value(value.datatype, list(value.shape), said, "x")

    assert receipt.captured(again, value.shape[0]) == said
    assert again.datatype == value.datatype
    assert list(again.data) == list(value.data) or "FP32" in value.datatype


@given(st.dictionaries(st.text(max_size=5), NUMBERS | INTEGERS | TRUTHS | TEXTS | RAW, max_size=4))
def test_a_capture_is_the_record_that_everybody_reads(outputs: dict[str, Value]) -> None:
    one = asked()
    one.outputs = outputs

    capture = read(one)

    assert capture.inputs == {"distance": [2.5], "name": ["Ann"]}
    assert set(capture.outputs) == set(outputs)
    assert capture.noted["caller"] == "ann"


def test_an_image_is_captured_as_its_bytes() -> None:
    image = Value("UINT8", (1, 3, 16, 16), bytes(768))

    said = receipt.captured(image, 1)

    assert said["datatype"] == "UINT8"
    assert receipt.value("UINT8", [1, 3, 16, 16], said, "x") == image


def test_a_personal_column_is_named_and_not_kept() -> None:
    sheet = Sheet(columns=(Column("distance", "number"), Column("name", "string", personal=True)))

    capture = read(asked(sheet))

    assert (capture.inputs, capture.masked) == ({"distance": [2.5]}, ("name",))


def test_a_tensor_in_which_a_personal_column_lies_among_others_is_not_kept_at_all() -> None:
    one = asked(Sheet(columns=(Column("age", "number", personal=True), Column("distance", "number"))))
    one.values = {"X": Value("FP32", (1, 2), pack("<2f", 44.0, 2.5))}

    assert (read(one).inputs, read(one).masked) == ({}, ("X",))


def test_a_policy_without_inputs_keeps_none() -> None:
    capture = read(asked(policy=Policy(capture=Captured(inputs=False))))

    assert (capture.inputs, capture.masked) == ({}, ("distance", "name"))
