"""What is asked again and again is answered by heart: sooner, and never otherwise than who asks for the first time."""

import gzip
import json
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from functions.predict import handler, served
from functions.predict.handler import MOST_BY_HEART
from samara import engines
from samara.app import App
from samara.core import keys
from samara.core.definition import Captured, Guardrail, Serve
from samara.core.heads import ModelHead
from samara.core.records import Signature, Tensor
from samara.core.sheet import Sheet
from samara.core.tensors import Form, Raw
from samara.events import HttpRequest, HttpResponse
from samara.ort import Lean

NOON = datetime(2013, 2, 14, 12, 0, tzinfo=UTC)
LENGTH = "inference-header-content-length"
FLOAT, INT, TEXT = TensorProto.FLOAT, TensorProto.INT64, TensorProto.STRING


def model(nodes: Sequence[tuple[str, str, str]], **tensors: tuple[int, list[int | None]]) -> bytes:
    """Of nodes with an operator, an input and an output each. What no node makes is an input, all else an output."""
    made = {output for _, _, output in nodes}
    infos = {name: helper.make_tensor_value_info(name, *spec) for name, spec in tensors.items()}
    graph = helper.make_graph(
        [helper.make_node(operator, [given], [output]) for operator, given, output in nodes],
        "g",
        [info for name, info in infos.items() if name not in made],
        [info for name, info in infos.items() if name in made],
    )
    whole = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(whole.SerializeToString())


COLUMN: list[int | None] = [None, 1]
ROOT = model([("Sqrt", "x", "%b root")], **{"x": (FLOAT, COLUMN), "%b root": (FLOAT, COLUMN)})
TWO = model(
    [("Sqrt", "x", "root"), ("Neg", "n", "less")],
    x=(FLOAT, [None, 2]), n=(INT, [None]), root=(FLOAT, [None, 2]), less=(INT, [None]),
)  # fmt: skip
FOUND = model([("NonZero", "n", "at")], n=(INT, [None]), at=(INT, [1, None]))
NAMED = model(
    [("Sqrt", "x", "root"), ("Identity", "name", "same")],
    x=(FLOAT, COLUMN), name=(TEXT, COLUMN), root=(FLOAT, COLUMN), same=(TEXT, COLUMN),
)  # fmt: skip


def counter() -> bytes:
    """Says the numbers it was told, once it has counted up to the largest of them."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Add", ["sum", "one"], ["next"])],
        "body",
        [
            helper.make_tensor_value_info("i", INT, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("sum", INT, [1]),
        ],
        [helper.make_tensor_value_info("on", TensorProto.BOOL, []), helper.make_tensor_value_info("next", INT, [1])],
        [helper.make_tensor("one", INT, [1], [1])],
    )
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMax", ["times"], ["most"], keepdims=0),
            helper.make_node("Loop", ["most", "go", "zero"], ["sum"], body=body),
            helper.make_node("Min", ["times", "sum"], ["told"]),
        ],
        "g",
        [helper.make_tensor_value_info("times", INT, COLUMN)],
        [helper.make_tensor_value_info("told", INT, COLUMN)],
        [helper.make_tensor("go", TensorProto.BOOL, [], [True]), helper.make_tensor("zero", INT, [1], [0])],
    )
    whole = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(whole.SerializeToString())


def times(number: int) -> tuple[bytes, bytes]:
    return raw(("times", "INT64", [1, 1], struct.pack("<q", number)))


@dataclass
class Late:
    """A model that is asked, at one millisecond after another: soon enough for aliases to be as they were."""

    app: App
    whole: App
    publish: Callable[..., Any]
    at: datetime = field(default=NOON)

    def put(self, data: bytes, number: int = 1, *, rowwise: bool = False) -> None:
        session = engines.load(data)
        inputs, outputs = (
            tuple(Tensor(name=spec.name, datatype=spec.datatype, shape=spec.shape) for spec in specs)
            for specs in (session.inputs, session.outputs)
        )
        sheet = Sheet(columns=(), rowwise=rowwise)
        self.publish(number, data=data, signature=Signature(inputs=inputs, outputs=outputs), sheet=sheet)

    def serve(self, **policy: Any) -> None:
        """Publish how it answers: without a capture, unless that says otherwise."""
        kept = self.whole.keep(Serve(**{"capture": Captured(share=0), **policy}).to_bytes())
        head = ModelHead(write_id="one", definition="0" * 64, bundle="0" * 64, serving=kept)
        self.whole.store.create(keys.model_head("late"), head.to_bytes())

    def request(
        self, head: bytes, follow: bytes = b"", path: str = "infer", method: str = "POST", **headers: str
    ) -> HttpRequest:
        self.at += timedelta(milliseconds=1)
        said = {name.replace("_", "-"): value for name, value in headers.items()}
        if follow:
            said[LENGTH] = str(len(head))
        return HttpRequest(method, f"/v2/models/late/{path}", self.at, headers=said, body=head + follow)

    def ask(self, head: bytes, follow: bytes = b"", **more: str) -> HttpResponse:
        (response,) = self.together(self.request(head, follow, **more))
        return response

    def together(self, *requests: HttpRequest) -> list[HttpResponse]:
        return handler.together(requests, self.app)

    @property
    def by_heart(self) -> dict[Any, Any]:
        live = served.LIVE.peek((self.app.store, "late"))
        return {likeness: known for likeness, known in live.by_heart.items() if known} if live else {}

    def forget(self) -> None:
        served.LIVE.put((self.app.store, "late"), served.looked_up("late", None, self.at, self.app))


@pytest.fixture
def late(acting_as: Callable[[str], App], whole: App, publish: Any, point: Any) -> Late:
    point(champion=1)
    return Late(acting_as("predict"), whole, publish)


def raw(*tensors: tuple[str, str, list[int], bytes], **more: Any) -> tuple[bytes, bytes]:
    """A request's JSON, and the tensors behind it."""
    inputs = [
        {"name": name, "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": len(data)}}
        for name, datatype, shape, data in tensors
    ]
    return json.dumps({"inputs": inputs, **more}).encode(), b"".join(data for *_, data in tensors)


def listed(numbers: Sequence[float | None], **more: Any) -> bytes:
    shape = [len(numbers), 1]
    inputs = [{"name": "x", "shape": shape, "datatype": "FP32", "data": numbers}]
    return json.dumps({"inputs": inputs, **more}).encode()


def floats(*numbers: float) -> bytes:
    return struct.pack(f"<{len(numbers)}f", *numbers)


def told(response: HttpResponse) -> Any:
    """What a response says, but for what is each one's own."""
    length = int(response.headers.get(LENGTH, len(response.body)))
    said = json.loads(response.body[:length])
    headers = {name: value for name, value in response.headers.items() if name != "samara-alias-age-ms"}
    if response.status == 200:
        assert said.pop("id") in (said["parameters"].pop("prediction"), "mine")
        assert said["parameters"].pop("milliseconds") >= 0
        headers.pop(LENGTH, None)
    return response.status, headers, said, response.body[length:]


RAW_OUTPUTS = {"parameters": {"binary_data_output": True}}
NUMBERS = st.floats(0, 1e6, width=32)
WISHES: list[dict[str, Any]] = [
    {},
    RAW_OUTPUTS,
    {"outputs": [{"name": "less"}]},
    {"outputs": [{"name": "less"}, {"name": "root"}], **RAW_OUTPUTS},
    {"outputs": [{"name": "less", "parameters": {"binary_data": True}}, {"name": "root"}]},
]


@pytest.mark.parametrize("wishes", WISHES, ids=range(len(WISHES)))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(asked=st.lists(st.tuples(*[NUMBERS] * 4, *[st.integers(-(2**63) + 1, 2**63 - 1)] * 2), min_size=3, max_size=3))
def test_raw_tensors_are_answered_as_if_nobody_had_asked_before(
    late: Late, wishes: dict[str, Any], asked: list[tuple[float, ...]]
) -> None:
    if late.at == NOON:
        late.serve()
        late.put(TWO)
    bodies = [
        raw(("n", "INT64", [2], struct.pack("<2q", *one[4:])), ("x", "FP32", [2, 2], floats(*one[:4])), **wishes)
        for one in asked
    ]

    again = [told(late.ask(*body)) for body in bodies]

    assert len(late.by_heart) == 1
    assert [status for status, *_ in again] == [200] * 3
    late.forget()
    assert told(late.ask(*bodies[2])) == again[2]


JSON_NUMBERS = st.one_of(st.floats(0, 3e38), st.integers(0, 2**60), st.floats(-5, -1e-30), st.none())


@pytest.mark.parametrize(
    "wishes", [{}, RAW_OUTPUTS, {"parameters": {}, "outputs": [{"name": "%b root"}]}], ids=range(3)
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(asked=st.lists(st.lists(JSON_NUMBERS, min_size=2, max_size=2), min_size=3, max_size=3))
def test_lists_of_numbers_are_answered_as_if_nobody_had_asked_before(
    late: Late, wishes: dict[str, Any], asked: list[list[float | None]]
) -> None:
    if late.at == NOON:
        late.serve()
        late.put(ROOT)
    for _ in range(2):
        late.ask(listed([1, 4], **wishes))

    again = [told(late.ask(listed(one, **wishes))) for one in asked]

    assert len(late.by_heart) == 1
    late.forget()
    assert [told(late.ask(listed(one, **wishes))) for one in asked] == again


KINDS: list[Callable[[float], tuple[bytes, bytes]]] = [
    lambda number: (listed([number]), b""),
    lambda number: (listed([number, 1.0], **RAW_OUTPUTS), b""),
    lambda number: raw(("x", "FP32", [1, 1], floats(number))),
    lambda number: raw(("x", "FP32", [2, 1], floats(number, 4.0)), **RAW_OUTPUTS),
    lambda number: (listed([number], id="mine"), b""),
    lambda number: (listed([number]).replace(b"[1, 1]", b"[2, 1]"), b""),
]


@pytest.mark.parametrize("rowwise", [True, False], ids=["row by row", "as a whole"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@given(asked=st.lists(st.tuples(st.sampled_from(KINDS), st.integers(-1, 3)), min_size=2, max_size=12))
def test_who_comes_together_is_answered_as_each_would_be_alone(
    late: Late, rowwise: bool, asked: list[tuple[Callable[[float], tuple[bytes, bytes]], int]]
) -> None:
    if late.at == NOON:
        late.serve(stale_s=3600)
        late.put(ROOT, rowwise=rowwise)
    requests = [late.request(*kind(float(number))) for kind, number in asked]
    for _ in range(2):
        late.together(*requests)

    again = late.together(*requests)

    late.forget()
    assert [told(one) for one in again] == [told(late.together(one)[0]) for one in requests]
    said = [json.loads(one.body[: int(one.headers.get(LENGTH, len(one.body)))]) for one in again if one.status == 200]
    ids = [one["id"] for one in said if one["id"] != "mine"]
    assert len(set(ids)) == len(ids)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The shape of the first input in each call of a model by heart that was answered."""
    seen: list[tuple[int, ...]] = []
    real = Lean.again

    def again(self: Lean, form: Form, numbers: Sequence[Raw], limit_s: float = 0) -> list[bytes] | None:
        found = real(self, form, numbers, limit_s)
        if found is not None:
            seen.append(form[1][0])
        return found

    monkeypatch.setattr(Lean, "again", again)
    return seen


@pytest.mark.parametrize(("rowwise", "runs"), [(True, [(6, 1)]), (False, [(2, 1)] * 3)], ids=["by row", "as a whole"])
def test_those_who_are_alike_share_a_run_where_rows_are_answered_each_for_itself(
    late: Late, calls: list[tuple[int, ...]], rowwise: bool, runs: list[tuple[int, ...]]
) -> None:
    late.serve()
    late.put(ROOT, rowwise=rowwise)
    for _ in range(3):
        assert [one.status for one in late.together(*[late.request(listed([1.0, 4.0])) for _ in range(3)])] == [200] * 3
    calls.clear()

    late.together(*[late.request(listed([float(number), 4.0])) for number in range(3)])

    assert calls == runs


def test_what_is_no_row_is_answered_by_heart_even_if_others_come_with_it(
    late: Late, calls: list[tuple[int, ...]]
) -> None:
    late.serve()
    late.put(model([("Sqrt", "x", "root")], x=(FLOAT, []), root=(FLOAT, [])))
    asked = [raw(("x", "FP32", [], floats(number**2))) for number in (1.0, 2.0)]

    said = [late.together(*[late.request(*one) for one in asked]) for _ in range(3)]

    assert calls[-2:] == [(), ()]
    assert [json.loads(one.body)["outputs"][0]["data"] for one in said[-1]] == [[1.0], [2.0]]


def test_a_run_takes_no_more_together_than_memory_lies_ready_for(late: Late, calls: list[tuple[int, ...]]) -> None:
    late.serve()
    late.put(ROOT, rowwise=True)
    large = [raw(("x", "FP32", [2000, 1], floats(*[float(number)] * 2000)), **RAW_OUTPUTS) for number in range(10)]
    for _ in range(3):
        late.together(*[late.request(*one) for one in large])
    calls.clear()

    answers = late.together(*[late.request(*one) for one in large])

    assert calls == [(8000, 1)] * 2 + [(4000, 1)]
    assert [told(one)[3] for one in answers] == [floats(*[number**0.5] * 2000) for number in range(10)]


def test_an_answer_by_heart_names_a_prediction_of_its_own(late: Late) -> None:
    late.serve()
    late.put(ROOT)

    ids = [json.loads(late.ask(listed([1.0])).body)["id"] for _ in range(5)]

    assert len(set(ids)) == 5
    assert all(one.startswith("late.2013-02-14T12.") for one in ids)


def test_the_hour_in_a_prediction_is_the_one_it_was_made_in(late: Late) -> None:
    late.serve(stale_s=3600)
    late.put(ROOT)
    late.at = NOON + timedelta(minutes=59)
    before = [json.loads(late.ask(listed([1.0])).body)["id"] for _ in range(3)]

    late.at = NOON + timedelta(hours=1)

    assert late.by_heart
    assert before[-1].startswith("late.2013-02-14T12.")
    assert json.loads(late.ask(listed([1.0])).body)["id"].startswith("late.2013-02-14T13.")


def test_whoever_is_live_by_now_answers_even_what_is_known(late: Late, point: Any) -> None:
    late.serve(stale_s=1)
    late.put(ROOT)
    late.put(model([("Neg", "x", "less")], x=(FLOAT, COLUMN), less=(FLOAT, COLUMN)), number=2)
    versions = [late.ask(listed([4.0])).headers["samara-version"] for _ in range(3)]

    point(champion=2)
    late.at += timedelta(seconds=2)

    assert versions == ["1"] * 3
    assert json.loads(late.ask(listed([4.0])).body)["outputs"][0]["data"] == [-4.0]
    assert json.loads(late.ask(listed([4.0]), path="versions/1/infer").body)["outputs"][0]["data"] == [2.0]


def test_an_output_whose_size_follows_from_the_numbers_is_as_large_as_it_must_be(late: Late) -> None:
    late.serve()
    late.put(FOUND)

    sizes = []
    for numbers in ([1, 0, 1], [1, 0, 1], [1, 0, 1], [1, 0, 0], [1, 1, 1], [0, 0, 0]):
        data = struct.pack("<3q", *numbers)
        sizes.append(json.loads(late.ask(*raw(("n", "INT64", [3], data))).body)["outputs"][0]["shape"])

    assert sizes == [[1, 2], [1, 2], [1, 2], [1, 1], [1, 3], [1, 0]]


def test_what_json_cannot_say_is_refused_as_ever(late: Late) -> None:
    late.serve()
    late.put(ROOT)
    for _ in range(3):
        late.ask(listed([1.0]))

    refused = late.ask(listed([-1.0]))

    assert late.by_heart
    assert (refused.status, json.loads(refused.body)["code"]) == (422, "not_finite")


def test_a_model_that_takes_too_long_is_stopped_even_if_it_was_quick_before(late: Late) -> None:
    late.serve(limit_s=0.3)
    late.put(counter())
    quick = [late.ask(*times(3)) for _ in range(3)]

    slow = late.ask(*times(2**62))

    assert [one.status for one in quick] == [200] * 3
    assert late.by_heart
    assert (slow.status, json.loads(slow.body)["code"]) == (503, "too_slow")
    assert b"version 1 took longer than 0.3 seconds" in slow.body
    assert late.ask(*times(3)).status == 200


@pytest.mark.parametrize("rowwise", [True, False], ids=["row by row", "as a whole"])
@pytest.mark.parametrize("before", [0, 4], ids=["for the first time", "by heart"])
def test_of_those_who_come_together_only_who_takes_too_long_alone_is_refused(
    late: Late, before: int, rowwise: bool
) -> None:
    late.serve(limit_s=1.0)
    late.put(counter(), rowwise=rowwise)
    for _ in range(before):
        assert {one.status for one in late.together(*[late.request(*times(3))] * 2)} == {200}

    quick, slow = late.request(*times(3)), late.request(*times(2**62))
    strange = late.request(*times(3), content_type="text/csv")
    answers = late.together(quick, slow, strange, quick)

    assert [one.status for one in answers] == [200, 503, 415, 200]
    assert json.loads(answers[1].body)["code"] == "too_slow"


def test_many_who_take_too_long_keep_nobody_for_the_sum_of_their_limits(
    late: Late, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("functions.predict.handler.PATIENCE_S", 3.0)
    late.serve(limit_s=0.3)
    late.put(counter())

    answers = late.together(*[late.request(*times(2**62)) for _ in range(20)])

    codes = [json.loads(one.body)["code"] for one in answers]
    assert {one.status for one in answers} == {503}
    assert codes[0] == "too_slow"
    assert codes[-1] == "busy"


@pytest.mark.parametrize(
    ("head", "follow"),
    [
        (listed([1.0], id="mine"), b""),
        (listed([1.0], outputs=[{"name": "%b root", "parameters": {"classification": 1}}]), b""),
        (
            json.dumps({"inputs": [{"name": "x", "shape": [2, 1], "datatype": "FP32", "data": [[1], [2]]}]}).encode(),
            b"",
        ),
        raw(("x", "FP32", [1, 1], floats(1.0)), id="mine"),
        raw(("x", "FP32", [1, 1], floats(1.0)), parameters={"long": "x" * 2000}),
        raw(("x", "FP32", [9000, 1], floats(*[1.0] * 9000)), **RAW_OUTPUTS),
    ],
    ids=["an id", "classes", "nested lists", "an id before raw tensors", "a long head", "a large answer"],
)
def test_what_must_be_looked_at_each_time_is_not_known_by_heart(late: Late, head: bytes, follow: bytes) -> None:
    late.serve()
    late.put(ROOT)

    assert [late.ask(head, follow).status for _ in range(3)] == [200] * 3
    assert not late.by_heart


def test_texts_are_not_known_by_heart(late: Late) -> None:
    late.serve()
    late.put(NAMED)
    name = struct.pack("<I", 3) + b"Ann"

    for _ in range(3):
        assert late.ask(*raw(("x", "FP32", [1, 1], floats(4.0)), ("name", "BYTES", [1, 1], name))).status == 200

    assert not late.by_heart


@pytest.mark.parametrize(
    "policy",
    [
        {"capture": Captured(share=1)},
        {"capture": Captured(share=0.01)},
        {"guardrails": (Guardrail(name="small", input="x", maximum=1e6),)},
        {"contained": True},
    ],
    ids=["captured", "sampled", "guarded", "contained"],
)
def test_what_leaves_something_behind_or_is_watched_is_not_known_by_heart(late: Late, policy: dict[str, Any]) -> None:
    late.serve(**policy)
    late.put(ROOT)

    assert [late.ask(listed([1.0])).status for _ in range(3)] == [200] * 3
    assert not late.by_heart


def test_who_is_answered_by_lot_is_not_known_by_heart(late: Late, point: Any) -> None:
    late.serve()
    late.put(ROOT)
    late.put(ROOT, number=2)
    point(champion=1, weights={1: 0.5, 2: 0.5})

    versions = {late.ask(listed([1.0])).headers["samara-version"] for _ in range(40)}

    assert versions == {"1", "2"}
    assert not late.by_heart


def long(number: float) -> tuple[bytes, bytes]:
    """A request whose answer in JSON is worth compressing where the root of `number` takes many digits."""
    return raw(("x", "FP32", [4000, 1], floats(*[number] * 4000)))


@pytest.mark.parametrize(
    ("coding", "unpack"),
    [("gzip", gzip.decompress), ("deflate", zlib.decompress), ("identity", bytes)],
    ids=["gzip", "deflate", "identity"],
)
def test_a_long_answer_is_compressed_however_often_it_is_asked_for(
    late: Late, coding: str, unpack: Callable[[bytes], bytes]
) -> None:
    late.serve()
    late.put(ROOT)

    answers = [late.ask(*long(2.0), accept_encoding=coding) for _ in range(4)]

    assert [answer.status for answer in answers] == [200] * 4
    said = [json.loads(unpack(answer.body)) for answer in answers]
    assert [one["outputs"][0]["data"][0] for one in said] == [struct.unpack("<f", floats(2.0**0.5))[0]] * 4
    assert {answer.headers["vary"] for answer in answers} == {"accept-encoding"}
    assert "vary" not in late.ask(*long(2.0)).headers


def test_an_answer_known_by_heart_is_compressed_once_it_is_long(late: Late) -> None:
    late.serve()
    late.put(ROOT)
    for _ in range(3):
        assert "content-encoding" not in late.ask(*long(4.0), accept_encoding="gzip").headers
    assert late.by_heart

    answer = late.ask(*long(2.0), accept_encoding="gzip")

    late.forget()
    again = late.ask(*long(2.0), accept_encoding="gzip")
    assert answer.headers["content-encoding"] == again.headers["content-encoding"] == "gzip"
    assert (
        json.loads(gzip.decompress(answer.body))["outputs"][0] == json.loads(gzip.decompress(again.body))["outputs"][0]
    )


@pytest.mark.parametrize("coding", [("gzip", gzip.compress), ("deflate", zlib.compress)], ids=["gzip", "deflate"])
def test_what_comes_compressed_again_and_again_is_answered_the_ordinary_way(
    late: Late, coding: tuple[str, Callable[[bytes], bytes]]
) -> None:
    late.serve()
    late.put(ROOT)
    head, follow = raw(("x", "FP32", [1, 1], floats(4.0)))
    name, compress = coding

    answers = [
        late.ask(compress(head + follow), b"", content_encoding=name, **{LENGTH: str(len(head))}) for _ in range(4)
    ]

    assert [answer.status for answer in answers] == [200] * 4
    assert not any(late.by_heart.values())


def test_other_requests_are_not_mistaken_for_what_is_known(late: Late) -> None:
    late.serve()
    late.put(ROOT)
    head, follow = raw(("x", "FP32", [1, 1], floats(4.0)))
    for _ in range(3):
        late.ask(head, follow)
        late.ask(listed([4.0]))
    assert len(late.by_heart) == 2

    assert late.ask(head, follow, method="GET").status == 405
    assert late.ask(head.replace(b'"x"', b'"y"'), follow).status == 400
    assert late.ask(head, follow + b"\0").status == 400
    assert late.ask(head, follow, content_type="text/csv").status == 415
    assert (
        late.ask(gzip.compress(head + follow), b"", content_encoding="gzip", **{LENGTH: str(len(head))}).status == 200
    )
    assert late.ask(listed([4.0]), content_encoding="gzip").status == 400
    assert late.ask(listed([4.0]).replace(b"4.0", b"4.0, 5.0")).status == 400
    assert late.ask(listed([4.0]).replace(b"[4.0]", b'["4"]')).status == 400
    assert late.ask(listed([4.0]).replace(b"]}]}", b"]}]} {}")).status == 400
    assert late.ask(listed([4.0]).replace(b"[4.0]", b'[4.0], "data": [5.0]')).status == 400


USUAL = (
    (listed([1.5, 4.0]), b""),
    (listed([1.5, 4.0], **RAW_OUTPUTS), b""),
    raw(("x", "FP32", [2, 1], floats(1.5, 4.0))),
)
PIECES = st.sampled_from(
    [b"", b"0", b"1", b"5", b",", b"]", b"[", b"}", b'"', b"\\", b":", b" ", b"-", b"e9", b"\xff", b"\0"]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=400)
@given(st.integers(0, 2), st.floats(0, 1), st.integers(0, 3), PIECES)
def test_what_is_nearly_the_same_means_what_it_would_alone(
    late: Late, usual: int, where: float, cut: int, put: bytes
) -> None:
    head, follow = USUAL[usual]
    if late.at == NOON:
        late.serve(stale_s=3600)
        late.put(ROOT)
    for _ in range(2 * (not late.by_heart)):
        for one in USUAL:
            late.ask(*one)
    body = head + follow
    at = int(where * len(body))
    other = body[:at] + put + body[at + cut :]
    headers = {LENGTH: str(len(head))} if follow else {}

    again = told(late.ask(other, b"", **headers))

    known = late.by_heart
    late.forget()
    assert told(late.ask(other, b"", **headers)) == again
    live = served.LIVE.peek((late.app.store, "late"))
    assert live is not None
    live.by_heart.update(known)


def test_who_says_something_else_each_time_does_not_fill_the_memory(late: Late) -> None:
    late.serve(stale_s=60)
    late.put(ROOT)

    for number in range(MOST_BY_HEART + 20):
        for _ in range(2):
            assert late.ask(listed([1.0], parameters={"n": number})).status == 200
            late.ask(*raw(("x", "FP32", [1, 1], floats(4.0)), parameters={"n": 10**number}))

    assert len(late.by_heart) == MOST_BY_HEART
