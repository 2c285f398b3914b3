"""Lineage: from a prediction to the uploaded file, and whatever was tampered with on the way is named."""

import json
from dataclasses import dataclass, field
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from samara.core import keys, lineage
from samara.core.digests import digest
from samara.core.records import (
    KINDS,
    Batch,
    Capture,
    Column,
    Decision,
    Feedback,
    Gate,
    Link,
    ModelVersion,
    Parity,
    Part,
    Plan,
    Record,
    Result,
    Run,
    Signature,
    Tensor,
    Validation,
    read_any,
)
from samara.core.sealed import Maker
from samara.errors import NotFound, Unavailable

CODE = "c" * 64
UPLOAD = "landing/flights/2013-01.csv"
PREDICTION = keys.Prediction("late", "2013-02-14T05", "00112233445566aa")
TENSOR = Tensor(name="temp", datatype="FP32", shape=(-1,))


@dataclass
class Bucket:
    """The least a walk needs of a store: a dictionary one can tamper with."""

    objects: dict[str, bytes] = field(default_factory=dict)

    def get(self, key: str) -> bytes:
        try:
            return self.objects[key]
        except KeyError:
            raise NotFound(key) from None

    def digest_of(self, key: str) -> str:
        return digest(self.get(key))

    def keep(self, data: bytes) -> str:
        self.objects[keys.blob(digest(data))] = data
        return digest(data)

    def part(self, data: bytes) -> Part:
        return Part(digest=self.keep(data), rows=3, size=len(data))

    def write(self, key: str, record: Record) -> Link:
        self.objects[key] = record.to_bytes()
        return record.link(key)

    def walk(self, start: str = PREDICTION.capture, **limits: int) -> lineage.Trail:
        return lineage.walk(start, self.get, self.digest_of, **limits)

    def problems(self) -> list[str]:
        return [step.key for step in self.walk().problems]


def by(function: str) -> Maker:
    return Maker(function=function, code=CODE)


def a_whole_chain() -> Bucket:
    """One upload, trained on, registered and asked once: 7 records, 9 payloads and the upload."""
    bucket = Bucket({UPLOAD: b"temp,late\n1,0\n2,1\n3,0\n"})
    batch = batched(bucket)
    validation = validated(bucket, batch)
    run = planned(bucket, validation)
    version = registered(bucket, run)
    answered(bucket, version)
    return bucket


def batched(bucket: Bucket) -> Link:
    source = bucket.digest_of(UPLOAD)
    batch = Batch(
        made_by=by("ingest"),
        dataset="flights",
        source=source,
        source_size=len(bucket.get(UPLOAD)),
        format="csv",
        columns=(Column(name="temp", type="string"), Column(name="late", type="string")),
        rows=3,
        parts=(bucket.part(b"raw parquet"),),
        noted={"source_key": UPLOAD, "at": "2013-02-01T00:00:00+00:00"},
    )
    return bucket.write(keys.batch("flights", source), batch)


def validated(bucket: Bucket, batch: Link) -> Link:
    validation = Validation(
        made_by=by("validate"),
        made_from=(batch,),
        dataset="flights",
        batch=keys.stem(batch.key),
        contract=bucket.keep(b"contract"),
        verdict="accepted",
        checks=(),
        rows=3,
        refused_rows=0,
        parts=(bucket.part(b"typed parquet"),),
        profile=bucket.keep(b"profile"),
    )
    return bucket.write(keys.validation(batch.key), validation)


def planned(bucket: Bucket, validation: Link) -> Link:
    typed = Part(digest=digest(b"typed parquet"), rows=3, size=13)
    plan = Plan(
        definition=bucket.keep(b"definition"),
        bundle=bucket.keep(b"bundle"),
        validations=(validation,),
        parts=(typed,),
        holdout=(typed,),
    )
    decision = Decision(
        made_by=by("train"), made_from=(validation,), model="late", cause="first", why="its first data", plan=plan
    )
    decided = bucket.write(keys.decision("late", "first"), decision)
    run = Run(
        made_by=by("train"),
        made_from=(decided, validation),
        model="late",
        run=plan.run,
        cause="first",
        plan=plan,
        noted={"at": "2013-02-01T00:00:00+00:00"},
    )
    return bucket.write(keys.run("late", plan.run), run)


def registered(bucket: Bucket, run: Link) -> Link:
    parity = Parity(rows=1, largest_difference=0.0, tolerance=1e-4, agreed=True)
    signature = Signature(inputs=(TENSOR,), outputs=(TENSOR,))
    result = Result(
        made_by=by("train job"),
        made_from=(run,),
        model="late",
        run=keys.stem(run.key),
        status="succeeded",
        artifact=bucket.keep(b"onnx"),
        signature=signature,
        parity=parity,
        metrics={"auc": 0.75},
        holdout=bucket.keep(b"holdout rows"),
    )
    came_of_it = bucket.write(keys.result(run.key), result)
    version = ModelVersion(
        made_by=by("register"),
        made_from=(came_of_it,),
        model="late",
        version=1,
        run=keys.stem(run.key),
        artifact=digest(b"onnx"),
        signature=signature,
        metrics={"auc": 0.75},
        parity=parity,
        baseline=bucket.keep(b"baseline"),
        compared_with=None,
        compared_metrics={},
        gates=(Gate(name="at least", passed=True, why="auc 0.75 ≥ 0.6"),),
    )
    return bucket.write(keys.version("late", 1), version)


def answered(bucket: Bucket, version: Link) -> Link:
    capture = Capture(
        made_by=by("predict"),
        made_from=(version,),
        model="late",
        version=1,
        prediction=PREDICTION.id,
        rows=1,
        status=200,
        inputs={"temp": [1.5]},
        outputs={"late": [0.25]},
    )
    return bucket.write(PREDICTION.capture, capture)


WHOLE = a_whole_chain()
RECORDS = sorted(key for key in WHOLE.objects if key.endswith(".json"))


def test_a_prediction_leads_back_to_the_uploaded_file_with_every_link_verified() -> None:
    trail = WHOLE.walk()

    assert trail.whole
    assert trail.summary == "17 links, 17 verified"
    assert {step.key for step in trail.steps} == set(WHOLE.objects)
    assert [step.kind for step in trail.steps][:4] == ["Capture", "ModelVersion", "Result", "model"]
    assert trail.steps[-1].key == UPLOAD


def test_a_thing_met_twice_is_one_step_that_both_point_to() -> None:
    trail = WHOLE.walk()

    validation = next(index for index, step in enumerate(trail.steps) if step.kind == "Validation")
    pointing = [step.kind for step in trail.steps if validation in step.children]
    assert pointing == ["Run", "Decision"]


def test_the_outline_shows_each_step_once_below_the_nearest_that_names_it() -> None:
    outline = list(WHOLE.walk().outline())

    records = [(depth, step.kind) for depth, step in outline if step.kind in KINDS]
    assert records == [
        (0, "Capture"),
        (1, "ModelVersion"),
        (2, "Result"),
        (3, "Run"),
        (4, "Decision"),
        (4, "Validation"),
        (5, "Batch"),
    ]
    assert len(outline) == len({step.key for _, step in outline}) == len(WHOLE.objects)


@pytest.mark.parametrize("key", sorted(set(WHOLE.objects) - {PREDICTION.capture}))
def test_whatever_is_deleted_is_the_one_problem(key: str) -> None:
    bucket = a_whole_chain()

    del bucket.objects[key]

    assert bucket.problems() == [key]
    assert bucket.walk().problems[0].problem == (lineage.REPLACED if key == UPLOAD else "missing")


def test_a_walk_from_nothing_says_so() -> None:
    trail = WHOLE.walk("captures/late/2013-02-14T05/ffffffffffffffff.json")

    assert (trail.start.verified, trail.start.problem) == (False, lineage.UNKNOWN)
    assert "serve.capture.share" in trail.start.problem


def test_a_capture_that_something_was_made_from_was_there_once() -> None:
    bucket = a_whole_chain()
    told = Feedback(
        made_by=by("feedback"),
        made_from=(Capture.read(bucket.get(PREDICTION.capture), PREDICTION.capture).link(PREDICTION.capture),),
        model="late",
        prediction=PREDICTION.id,
        truth=(True,),
    )
    said = PREDICTION.feedback(told.digest)
    bucket.write(said, told)

    del bucket.objects[PREDICTION.capture]

    assert [step.problem for step in bucket.walk(said).problems] == ["missing"]


@pytest.mark.parametrize(
    ("said", "note"),
    [
        ({}, "1 rows, answered by v1"),
        (
            {"status": 400, "code": "bad_value", "rows": 0, "noted": {"why": "temp: must be a number"}},
            "not answered: status 400 bad_value: temp: must be a number",
        ),
        ({"status": 503, "code": "busy", "rows": 0}, "not answered: status 503 busy"),
        ({"status": 422, "code": "model_failed", "rows": 3}, "3 rows, not answered: status 422 model_failed"),
        ({"status": 500, "rows": 0, "noted": {"why": None}}, "not answered: status 500"),
    ],
)
def test_of_a_request_that_was_refused_it_is_said_why(said: dict[str, Any], note: str) -> None:
    bucket = a_whole_chain()
    capture = Capture.read(bucket.get(PREDICTION.capture), PREDICTION.capture)

    bucket.write(PREDICTION.capture, capture.model_copy(update=said))

    assert bucket.walk().start.note == note


@pytest.mark.parametrize("key", sorted(set(WHOLE.objects) - set(RECORDS)))
@given(at=st.integers(0, 10**6), flip=st.integers(1, 255))
def test_a_flipped_byte_of_a_payload_is_the_one_problem(key: str, at: int, flip: int) -> None:
    bucket = a_whole_chain()

    bucket.objects[key] = flipped(bucket.get(key), at, flip)

    assert bucket.problems() == [key]


@pytest.mark.parametrize("key", RECORDS)
@given(at=st.integers(0, 10**6), flip=st.integers(1, 255))
def test_a_flipped_byte_of_a_record_is_the_one_problem(key: str, at: int, flip: int) -> None:
    bucket = a_whole_chain()
    before = read_any(bucket.get(key), key)

    bucket.objects[key] = flipped(bucket.get(key), at, flip)

    if bucket.problems() != [key]:
        assert said(bucket.get(key)) == said(before.to_bytes()), "only what is noted or how it is spelled may differ"


def flipped(data: bytes, at: int, flip: int) -> bytes:
    at %= len(data)
    return data[:at] + bytes([data[at] ^ flip]) + data[at + 1 :]


def said(data: bytes) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(data)
    del body["noted"]
    return body


@pytest.mark.parametrize("key", sorted(set(RECORDS) - {PREDICTION.capture}))
def test_a_record_rewritten_with_a_fresh_digest_is_caught_by_the_link_to_it(key: str) -> None:
    bucket = a_whole_chain()
    honest = read_any(bucket.get(key), key)

    forged = honest.model_copy(update={"made_by": Maker(function="nobody", code=CODE)})
    bucket.objects[key] = forged.to_bytes()

    assert bucket.problems() == [key]
    assert "not the one it is linked by" in bucket.walk().problems[0].problem


def test_a_sound_capture_in_the_place_of_another_is_caught_by_its_id() -> None:
    bucket = a_whole_chain()
    other = keys.Prediction("late", "2013-02-14T05", "ffffffffffffffff").capture

    bucket.objects[other] = bucket.get(PREDICTION.capture)

    assert bucket.walk(other).start.problem == f"holds another prediction, {PREDICTION.id}"


def test_a_sound_version_in_the_place_of_another_is_caught_by_its_number() -> None:
    bucket = a_whole_chain()
    other = keys.version("late", 2)

    bucket.objects[other] = bucket.get(keys.version("late", 1))

    assert bucket.walk(other).start.problem == "holds another version, late 1"


def test_a_broken_link_does_not_hide_what_lies_beside_it() -> None:
    bucket = a_whole_chain()

    del bucket.objects[keys.blob(digest(b"onnx"))]

    trail = bucket.walk()
    assert trail.verified == len(bucket.objects)
    assert trail.summary.endswith(f"first problem: {keys.blob(digest(b'onnx'))}: missing")


def test_a_batch_that_does_not_say_where_it_came_from_is_a_problem_and_nothing_else_is_read() -> None:
    bucket = a_whole_chain()
    key = next(key for key in RECORDS if key.startswith(keys.DATASETS))
    batch = Batch.read(bucket.get(key), key)

    bucket.objects[key] = batch.model_copy(update={"noted": {"source_key": "aliases/late.json"}}).to_bytes()

    assert bucket.walk().problems[0].problem == "the batch does not say which file it came from"


def test_a_long_history_is_cut_and_says_so() -> None:
    trail = WHOLE.walk(most=5)

    assert trail.cut
    assert not trail.whole
    assert trail.summary == "5 links, 5 verified; stopped after 5, there are more"
    assert len(list(trail.outline())) == 5


def test_a_busy_store_is_not_mistaken_for_a_broken_trail() -> None:
    def busy(key: str) -> bytes:
        raise Unavailable(key)

    with pytest.raises(Unavailable):
        lineage.walk(PREDICTION.capture, busy, WHOLE.digest_of)


def test_records_forged_into_a_ring_are_walked_once() -> None:
    capture = Capture.read(WHOLE.get(PREDICTION.capture), PREDICTION.capture)
    key = PREDICTION.capture
    ring = capture.model_copy(update={"made_from": (Link(key=key, digest=capture.digest),)})

    trail = Bucket({key: ring.to_bytes()}).walk()

    assert [step.verified for step in trail.steps] == [True, False]


LOOKED_AT = {
    "Batch": {"source", "parts"},
    "Validation": {"contract", "parts", "profile"},
    "Decision": {"plan"},
    "Run": {"plan"},
    "Result": {"artifact", "holdout"},
    "ModelVersion": {"artifact", "baseline", "sheet"},
    "DriftReport": {"captures"},
    "Scoring": {"plan"},
    "Scores": {"parts"},
    "Quarantine": {"rows", "source"},  # the walk leaves `source` alone: people are told to mend and remove that file
}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_digest_a_record_can_hold_is_known_to_the_walk(kind: type[Record]) -> None:
    held = {name for name, field in kind.model_fields.items() if holds_digest(field)}

    assert held - {"made_from"} == LOOKED_AT.get(kind.__name__, set())


def holds_digest(field: FieldInfo) -> bool:
    return is_hex(field.metadata) or within(field.annotation)


def within(annotation: Any) -> bool:
    """Whether a value of this type can hold a `Hex` somewhere."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return any(holds_digest(field) for field in annotation.model_fields.values())
    return is_hex(getattr(annotation, "__metadata__", ())) or any(within(part) for part in get_args(annotation))


def is_hex(metadata: Any) -> bool:
    return any("0-9a-f]{64}" in repr(part) for part in metadata)
