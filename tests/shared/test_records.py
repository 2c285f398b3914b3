"""Records: what is written is read back as it was, and nothing else is."""

import json
import math
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from samara.core.digests import canonical, digest
from samara.core.records import (
    KINDS,
    Alert,
    Capture,
    Feedback,
    Link,
    ModelVersion,
    Record,
    Result,
    Run,
    read_any,
)
from samara.core.sealed import Maker, seal
from samara.errors import Rejected

HEX = st.text("0123456789abcdef", min_size=64, max_size=64)
TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
NUMBER = st.integers(-(2**63), 2**64) | st.floats(allow_nan=False, allow_infinity=False)
SCALAR = st.none() | st.booleans() | NUMBER | TEXT
JSON = st.recursive(
    SCALAR, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=6
)
MAKER = Maker(function="test", code="0" * 64)
ALERT = Alert(made_by=MAKER, subject="late", what="drift", why="temp", noted={"at": "2013-02-14"})


def anything(annotation: Any, metadata: tuple[Any, ...] = ()) -> st.SearchStrategy[Any]:
    """Values for a field of a record, from its annotation."""
    if any("0-9a-f]{64}" in repr(part) for part in metadata):
        return HEX
    if isinstance(annotation, type) and hasattr(annotation, "model_fields"):
        return built(annotation)
    return BY_TYPE[annotation] if annotation in BY_TYPE else composed(annotation)


def composed(annotation: Any) -> st.SearchStrategy[Any]:
    arguments = get_args(annotation)
    kind = getattr(annotation, "__origin__", None)
    if hasattr(annotation, "__metadata__"):
        return anything(arguments[0], annotation.__metadata__)
    if kind is tuple:
        return st.lists(anything(arguments[0]), max_size=3).map(tuple)
    if kind is dict:
        return st.dictionaries(TEXT, JSON if "JsonValue" in str(arguments[1]) else anything(arguments[1]), max_size=3)
    if all(isinstance(argument, str | int) for argument in arguments):  # a Literal
        return st.sampled_from(arguments)
    return st.one_of(*(anything(argument) for argument in arguments))


BY_TYPE: dict[Any, st.SearchStrategy[Any]] = {
    str: TEXT,
    int: st.integers(-(2**63), 2**64),
    float: st.floats(allow_nan=False, allow_infinity=False),
    bool: st.booleans(),
    type(None): st.none(),
    Maker: st.builds(Maker, function=TEXT, code=TEXT),
}


def built(kind: Any) -> st.SearchStrategy[Any]:
    """Whole values of a kind, every field drawn."""
    fields = {name: field for name, field in kind.model_fields.items() if name not in ("kind", "schema_")}
    return st.builds(
        kind, **{name: anything(field.annotation, tuple(field.metadata)) for name, field in fields.items()}
    )


ANY_RECORD = st.sampled_from(sorted(KINDS)).flatmap(lambda name: built(KINDS[name]))
law = settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_record_of_each_kind_is_read_back_as_it_was(kind: type[Record]) -> None:
    @law
    @given(built(kind))
    def check(record: Record) -> None:
        data = record.to_bytes()
        assert read_any(data, "key") == kind.read(data, "key") == record
        assert kind.read(data, "key").to_bytes() == data

    check()


@law
@given(ANY_RECORD, st.dictionaries(TEXT, JSON, max_size=3))
def test_what_is_noted_is_outside_the_digest(record: Record, noted: dict[str, Any]) -> None:
    assert record.model_copy(update={"noted": noted}).digest == record.digest


@law
@given(ANY_RECORD, st.data())
def test_everything_else_is_inside_the_digest(record: Record, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(set(type(record).model_fields) - {"noted", "kind", "schema_"})))
    field = type(record).model_fields[name]
    value = data.draw(anything(field.annotation, tuple(field.metadata)))
    changed = record.model_copy(update={name: value})
    assume(changed.to_bytes() != record.to_bytes())

    assert changed.digest != record.digest


@law
@given(ANY_RECORD, st.integers(0), st.integers(1, 255))
def test_a_changed_byte_never_makes_another_record(record: Record, at: int, flip: int) -> None:
    data = record.to_bytes()
    at %= len(data)
    changed = data[:at] + bytes([data[at] ^ flip]) + data[at + 1 :]

    try:
        found = read_any(changed, "key")
    except Rejected:
        return
    assert found.digest == record.digest, "only what is noted, or how a value is spelled, may differ"


@given(st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()))
def test_what_is_no_record_is_refused_by_name(data: bytes) -> None:
    for read in (Alert.read, read_any):
        with pytest.raises(Rejected, match=r"^drift/late/x: "):
            read(data, "drift/late/x")


@pytest.mark.parametrize(
    "data",
    [
        b"[" * 100_000,
        b'{"digest":"","kind":"Alert","schema":1,"a":' + b"[" * 100_000,
        b'{"kind":["Alert"],"digest":1,"schema":1}',
        b'{"kind":"Alert","digest":1}',
        b'"' + b"\xff" * 9,
    ],
    ids=["deep", "deep within", "kind no text", "no schema", "not UTF-8"],
)
def test_a_document_made_to_hurt_is_refused_as_any_other(data: bytes) -> None:
    for read in (Alert.read, read_any):
        with pytest.raises(Rejected) as refused:
            read(data, "k")
        assert refused.value.code == "bad_record"


@pytest.mark.parametrize("spoken", [b"NaN", b"Infinity", b"-Infinity", b"1e999", b'"\\ud800"'])
def test_what_json_cannot_say_is_taken_for_altered(spoken: bytes) -> None:
    capture = Capture(
        made_by=MAKER, model="late", version=1, prediction="p", rows=1, status=200, inputs={"a": [1.5]}, outputs={}
    )
    unclaimed = capture.to_bytes().replace(b'"' + capture.digest.encode() + b'"', b"null")

    for data in (capture.to_bytes(), unclaimed):
        with pytest.raises(Rejected) as refused:
            Capture.read(data.replace(b"1.5", spoken), "k")
        assert refused.value.code in ("altered", "bad_record")


def test_a_number_that_json_cannot_hold_is_refused_when_it_is_written() -> None:
    for value in (math.nan, math.inf):
        result = Result(made_by=MAKER, model="late", run="r", status="succeeded", metrics={"auc": value})

        with pytest.raises(ValueError, match="not JSON compliant"):
            result.to_bytes()


def test_an_altered_record_is_refused() -> None:
    with pytest.raises(Rejected, match="altered since it was written") as refused:
        Alert.read(ALERT.to_bytes().replace(b"temp", b"wind"), "alerts/a.json")

    assert refused.value.code == "altered"


def test_a_record_from_a_later_samara_is_refused_with_the_way_out() -> None:
    later = ALERT.to_bytes().replace(b'"schema":1', b'"schema":2')

    with pytest.raises(Rejected, match=r"later Samara \(schema 2, this one reads 1\); upgrade to read it") as refused:
        Alert.read(later, "alerts/a.json")

    assert refused.value.code == "unknown_schema"


def test_a_record_of_another_kind_is_refused_by_both_names() -> None:
    with pytest.raises(Rejected, match="not a Run but 'Alert'"):
        Run.read(ALERT.to_bytes(), "runs/late/x.json")


def test_a_record_with_a_word_we_do_not_know_is_refused() -> None:
    body = {name: value for name, value in json.loads(ALERT.to_bytes()).items() if name != "digest"}

    with pytest.raises(Rejected, match="no Alert that this Samara reads: colour: Extra inputs are not permitted; upg"):
        Alert.read(seal(body | {"colour": "red"})[0], "alerts/a.json")


def test_a_record_that_lost_a_word_was_altered() -> None:
    with pytest.raises(Rejected, match="altered since it was written") as refused:
        Alert.read(ALERT.to_bytes().replace(b'"why"', b'"whj"'), "alerts/a.json")

    assert refused.value.code == "altered"


def test_the_same_work_done_later_is_the_same_record() -> None:
    later = ALERT.model_copy(update={"noted": {"at": "2020-01-01", "seconds": 9}})

    assert later.link("k") == ALERT.link("k") == Link(key="k", digest=ALERT.digest)


def test_large_whole_numbers_and_truth_values_keep_their_kind() -> None:
    truth = Feedback(made_by=MAKER, model="late", prediction="p", truth=(True, 1, 1.0, "1", None, 2**63))

    read = Feedback.read(truth.to_bytes(), "k").truth

    assert [type(value) for value in read] == [bool, int, float, str, type(None), int]
    assert read[-1] == 2**63


@given(JSON)
def test_canonical_json_has_one_spelling_and_loses_nothing(value: Any) -> None:
    spelled = canonical(value)

    assert json.loads(spelled) == value
    assert canonical(json.loads(spelled)) == spelled
    assert len(digest(spelled)) == 64


@given(st.dictionaries(TEXT, JSON, max_size=5))
def test_the_order_of_keys_does_not_matter(value: dict[str, Any]) -> None:
    assert canonical(dict(reversed(value.items()))) == canonical(value)


@given(built(ModelVersion))
def test_a_version_passes_when_each_of_its_gates_does(version: ModelVersion) -> None:
    assert version.passed == (not [gate for gate in version.gates if not gate.passed])
    assert version.sound or not version.passed


def test_a_record_written_before_a_field_was_added_keeps_its_digest() -> None:
    class LaterAlert(Alert):
        heard_by: tuple[str, ...] = ()

    later = LaterAlert.read(ALERT.to_bytes(), "alerts/1.json")

    assert later.digest == ALERT.digest
    assert later.heard_by == ()
