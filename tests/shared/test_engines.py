"""Every engine answers alike: the same questions to the lean one, to the package, and to a process of its own."""

import array
import logging
import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import psutil
import pytest
from onnx import TensorProto, helper

from samara import engines, ort, ort_api, ort_package
from samara.contained import Contained, Ended
from samara.core.tensors import TEXT, WIDTH, Spec, Value
from samara.engines import Session
from samara.errors import Misconfigured, Rejected

Load = Callable[[bytes], Session]
Containers = Callable[[], set[psutil.Process]]

ELEMENTS = {
    "FP32": TensorProto.FLOAT, "FP64": TensorProto.DOUBLE, "FP16": TensorProto.FLOAT16, "BF16": TensorProto.BFLOAT16,
    "BOOL": TensorProto.BOOL, TEXT: TensorProto.STRING,
    "INT8": TensorProto.INT8, "INT16": TensorProto.INT16, "INT32": TensorProto.INT32, "INT64": TensorProto.INT64,
    "UINT8": TensorProto.UINT8, "UINT16": TensorProto.UINT16, "UINT32": TensorProto.UINT32,
    "UINT64": TensorProto.UINT64,
}  # fmt: skip


def contained(model: bytes) -> Contained:
    return Contained(model, memory_mb=512, limit_s=30)


ENGINES: dict[str, Load] = {"lean": ort.load, "package": ort_package.load, "contained": contained}
every_engine = pytest.mark.parametrize("engine", ENGINES.values(), ids=ENGINES)
free_of_utf8 = pytest.mark.parametrize("engine", [ort.load, contained], ids=["lean", "contained"])


@pytest.fixture
def load(engine: Load) -> Iterator[Load]:
    """Loads models by the engine, and closes them after the test."""
    opened: list[Session] = []

    def remembered(model: bytes) -> Session:
        opened.append(engine(model))
        return opened[-1]

    yield remembered
    for session in opened:
        session.close()


def model(nodes: list[Any], takes: list[Any], gives: list[Any], kept: list[Any] | None = None, **more: Any) -> bytes:
    graph = helper.make_graph(nodes, "g", takes, gives, kept or [])
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("ai.onnx.ml", 3)]
    made = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    helper.set_model_props(made, more)
    return bytes(made.SerializeToString())


def tensor(name: str, datatype: str = "FP32", shape: Any = (None,)) -> Any:
    return helper.make_tensor_value_info(name, ELEMENTS[datatype], shape)


def echo(datatype: str, rank: int = 1) -> bytes:
    """A model that gives what it takes."""
    shape = [None] * rank
    return model(
        [helper.make_node("Identity", ["x"], ["y"])], [tensor("x", datatype, shape)], [tensor("y", datatype, shape)]
    )


def layer() -> bytes:
    """Three numbers to two shares, by weights that no rounding leaves alone."""
    random = np.random.default_rng(0)
    weights = helper.make_tensor("w", TensorProto.FLOAT, [3, 2], random.normal(size=6))
    nodes = [helper.make_node("MatMul", ["x", "w"], ["z"]), helper.make_node("Softmax", ["z"], ["y"])]
    return model(
        nodes, [tensor("x", "FP32", ["n", 3])], [tensor("y", "FP32", ["n", 2])], [weights], classes='["a", "b"]'
    )


def counter() -> bytes:
    """Adds one to zero as often as it is told: for ever, if it is told so."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Add", ["sum", "one"], ["next"])],
        "body",
        [tensor("i", "INT64", []), tensor("go", "BOOL", []), tensor("sum", "FP32", [1])],
        [tensor("on", "BOOL", []), tensor("next", "FP32", [1])],
        [helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0])],
    )
    kept = [
        helper.make_tensor("go", TensorProto.BOOL, [], [True]),
        helper.make_tensor("zero", TensorProto.FLOAT, [1], [0.0]),
    ]
    loop = helper.make_node("Loop", ["times", "go", "zero"], ["sum"], body=body)
    return model([loop], [tensor("times", "INT64", [])], [tensor("sum", "FP32", [1])], kept)


def zeros() -> bytes:
    """As many zeros as it is told."""
    return model([helper.make_node("ConstantOfShape", ["n"], ["y"])], [tensor("n", "INT64", [1])], [tensor("y")])


def picker() -> bytes:
    """The one of three values at a place, or an error."""
    values = helper.make_tensor("values", TensorProto.FLOAT, [3], [1.0, 2.0, 3.0])
    node = helper.make_node("Gather", ["values", "at"], ["y"])
    return model([node], [tensor("at", "INT64")], [tensor("y")], [values])


def floats(*values: float) -> Value:
    return Value("FP32", (len(values),), np.array(values, np.float32).tobytes())


def whole(*values: int, scalar: bool = False) -> Value:
    return Value("INT64", () if scalar else (len(values),), np.array(values, np.int64).tobytes())


def plain(answers: dict[str, Value]) -> dict[str, Value]:
    return {
        name: value._replace(data=value.data if value.datatype == TEXT else bytes(value.data))
        for name, value in answers.items()
    }


@every_engine
@pytest.mark.parametrize("shape", [(), (0,), (5,), (2, 0, 3), (2, 1, 3)], ids=str)
def test_every_datatype_passes_through_bit_by_bit_in_every_shape(load: Load, shape: tuple[int, ...]) -> None:
    nodes = [helper.make_node("Identity", [datatype], [f"same {datatype}"]) for datatype in WIDTH]
    sizes = [None] * len(shape)
    takes, gives = ([tensor(f"{same}{kind}", kind, sizes) for kind in WIDTH] for same in ("", "same "))
    session = load(model(nodes, takes, gives))
    count = math.prod(shape)
    given = {kind: Value(kind, shape, bytes(range(1, 1 + count * width))) for kind, width in WIDTH.items()}
    given["BOOL"] = Value("BOOL", shape, bytes(place % 2 for place in range(count)))

    answers = [plain(session.run(given)) for _ in range(3)]

    same = {f"same {kind}": value for kind, value in given.items()}
    assert answers == [same] * 3, "a first run and a prepared one are alike"


@every_engine
def test_text_passes_through(load: Load) -> None:
    session = load(echo(TEXT, 2))
    value = Value(TEXT, (2, 2), [b"gold", b"", "Zürich".encode(), b"a" * 1000])

    answers = [session.run({"x": value}) for _ in range(3)]

    assert answers == [{"y": value}] * 3
    assert session.run({"x": Value(TEXT, (0, 2), [])}) == {"y": Value(TEXT, (0, 2), [])}


@free_of_utf8
def test_text_may_be_any_bytes(load: Load) -> None:
    session = load(echo(TEXT))
    for texts in ([b"a\0b", b"\0", b"\xff\xfe"], [b"", b"\0\0", b"c"], [b"plain", b"again", b"now"]):
        assert session.run({"x": Value(TEXT, (3,), texts)}) == {"y": Value(TEXT, (3,), texts)}


def test_the_package_refuses_text_that_it_would_alter() -> None:
    session = ort_package.load(echo(TEXT))

    for text in (b"\xff", b"a\0b"):
        with pytest.raises(Rejected, match="x: holds what this engine cannot take"):
            session.run({"x": Value(TEXT, (1,), [text])})


@every_engine
def test_a_model_says_what_it_takes_and_gives_and_what_its_maker_wrote(load: Load) -> None:
    session = load(layer())

    assert session.inputs == (Spec("x", "FP32", (-1, 3)),)
    assert session.outputs == (Spec("y", "FP32", (-1, 2)),)
    assert session.metadata == {"classes": '["a", "b"]'}
    assert session.size > 0


@every_engine
def test_answers_are_the_same_to_the_last_bit(load: Load) -> None:
    session, package = load(layer()), ort_package.load(layer())
    random = np.random.default_rng(1)

    for rows in (1, 2, 1, 33, 2, 10_000, 10_000):
        given = {"x": Value("FP32", (rows, 3), random.normal(size=(rows, 3)).astype(np.float32).tobytes())}
        assert plain(session.run(given)) == package.run(given)


@every_engine
def test_an_answer_is_not_changed_by_the_next_one(load: Load) -> None:
    session = load(echo("FP32"))
    session.run({"x": floats(0, 0)})

    first = session.run({"x": floats(1, 2)})
    session.run({"x": floats(3, 4)})

    assert bytes(first["y"].data) == floats(1, 2).data


@every_engine
def test_outputs_come_as_they_are_wanted(load: Load) -> None:
    nodes = [helper.make_node("Identity", ["x"], ["same"]), helper.make_node("Neg", ["x"], ["negative"])]
    session = load(model(nodes, [tensor("x")], [tensor("same"), tensor("negative")]))

    for _ in range(2):
        assert list(session.run({"x": floats(1)})) == ["same", "negative"]
        assert list(session.run({"x": floats(1)}, ["negative", "same"])) == ["negative", "same"]
        assert plain(session.run({"x": floats(1)}, ["negative"])) == {"negative": floats(-1)}


@every_engine
def test_text_and_numbers_keep_their_order(load: Load) -> None:
    nodes = [helper.make_node("Identity", ["t"], ["label"]), helper.make_node("Neg", ["x"], ["score"])]
    session = load(model(nodes, [tensor("t", TEXT), tensor("x")], [tensor("label", TEXT), tensor("score")]))
    given = {"x": floats(1), "t": Value(TEXT, (1,), [b"gold"])}

    for _ in range(3):
        answers = session.run(given)
        assert list(answers) == ["label", "score"]
        assert plain(answers) == {"label": given["t"], "score": floats(-1)}


@every_engine
def test_constants_and_inputs_may_be_outputs(load: Load) -> None:
    nodes = [helper.make_node("Add", ["c", "c"], ["two"]), helper.make_node("Identity", ["x"], ["y"])]
    one = helper.make_tensor("c", TensorProto.FLOAT, [1], [1.0])
    session = load(model(nodes, [tensor("x")], [tensor("two", "FP32", [1]), tensor("y")], [one]))

    answers = [plain(session.run({"x": floats(n)})) for n in range(3)]

    assert answers == [{"two": floats(2), "y": floats(n)} for n in range(3)]


@every_engine
def test_an_output_that_is_itself_an_input_is_answered_as_it_came_each_time(load: Load) -> None:
    node = helper.make_node("Neg", ["x"], ["y"])
    session = load(model([node], [tensor("x"), tensor("key")], [tensor("key"), tensor("y"), tensor("x")]))

    answers = [plain(session.run({"x": floats(n), "key": floats(n, 7)})) for n in range(1, 5)]

    assert answers == [{"key": floats(n, 7), "y": floats(-n), "x": floats(n)} for n in range(1, 5)]


@every_engine
def test_outputs_whose_shape_hangs_on_the_values_are_whole(load: Load) -> None:
    session = load(model([helper.make_node("NonZero", ["x"], ["y"])], [tensor("x")], [tensor("y", "INT64", [1, None])]))

    for values in ([1, 1, 1], [1, 0, 1], [0, 0, 0], [1, 1, 1]):
        (found,) = session.run({"x": floats(*values)}).values()
        assert found.shape == (1, sum(values))
        assert np.frombuffer(found.data, np.int64).tolist() == [place for place, value in enumerate(values) if value]


@every_engine
def test_any_contiguous_buffer_will_do(load: Load) -> None:
    session = load(echo("FP32"))
    values = array.array("f", [1, 2, 3])
    raw = values.tobytes()
    buffers = [
        raw,
        bytearray(raw),
        memoryview(raw),
        memoryview(b"x" + raw)[1:],
        values,
        np.array([1, 2, 3], np.float32),
    ]

    for buffer in [*buffers, *buffers]:
        assert bytes(session.run({"x": Value("FP32", (3,), buffer)})["y"].data) == raw


@every_engine
def test_a_buffer_with_gaps_or_of_another_length_is_refused(load: Load) -> None:
    session = load(echo("FP32"))
    good = floats(1, 2, 3)
    bad: list[Any] = [memoryview(bytes(24))[::2], bytes(11), bytes(13), b"", [1.0, 2.0, 3.0], None, 12]

    for data in bad * 2:
        with pytest.raises(Rejected, match=r"^x: ") as refused:
            session.run({"x": good._replace(data=data)})
        assert refused.value.code == "bad_input"
        assert plain(session.run({"x": good})) == {"y": good}, "what was refused must leave no trace"


@every_engine
def test_text_that_is_none_is_refused(load: Load) -> None:
    session = load(echo(TEXT))
    bad: list[Any] = [[b"a"], [b"a", b"b", b"c"], [b"a", None], ["a", "b"], [1, 2], None]

    for data in bad * 2:
        with pytest.raises(Rejected, match=r"^x: ") as refused:
            session.run({"x": Value(TEXT, (2,), data)})
        assert refused.value.code == "bad_input"
        assert session.run({"x": Value(TEXT, (2,), [b"a", b"b"])})["y"].data == [b"a", b"b"]


@every_engine
def test_what_the_model_does_not_take_or_give_is_refused_by_name(load: Load) -> None:
    session = load(echo("FP32"))
    good = floats(1)
    asked: list[tuple[dict[str, Value], list[str], str, str]] = [
        ({}, [], "x", "bad_input"),
        ({"x": good, "z": good}, [], "z", "bad_input"),
        ({"z": good}, [], "x", "bad_input"),
        ({"x": whole(1)}, [], "x", "bad_input"),
        ({"x": Value(TEXT, (1,), [b"1"])}, [], "x", "bad_input"),
        ({"x": Value("FP32", (-1,), b"")}, [], "x", "bad_input"),
        ({"x": good}, ["z"], "z", "bad_output"),
    ]

    for given, wanted, subject, code in asked * 2:
        with pytest.raises(Rejected) as refused:
            session.run(given, wanted)
        assert (refused.value.subject, refused.value.code) == (subject, code)
        assert plain(session.run({"x": good})) == {"y": good}


@every_engine
def test_a_model_that_fails_says_why_and_can_be_asked_again(load: Load) -> None:
    session = load(picker())

    for _ in range(3):
        with pytest.raises(Rejected, match=r"model: fails when it is asked: .*out of.*bounds") as refused:
            session.run({"at": whole(7)})
        assert refused.value.code == "model_failed"
        assert plain(session.run({"at": whole(2)})) == {"y": floats(3)}


def sequence() -> bytes:
    made = helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, None)
    return model([helper.make_node("SequenceConstruct", ["x"], ["y"])], [tensor("x")], [made])


def mapped() -> bytes:
    node = helper.make_node("ZipMap", ["x"], ["y"], domain="ai.onnx.ml", classlabels_int64s=[0, 1])
    kind = helper.make_map_type_proto(TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, None))
    made = helper.make_value_info("y", helper.make_sequence_type_proto(kind))
    return model([node], [tensor("x", "FP32", [None, 2])], [made])


def optional() -> bytes:
    kind = helper.make_optional_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, [None]))
    node = helper.make_node("OptionalGetElement", ["x"], ["y"])
    return model([node], [helper.make_value_info("x", kind)], [tensor("y")])


def eighths() -> bytes:
    taken = helper.make_tensor_value_info("x", TensorProto.FLOAT8E4M3FN, [None])
    return model([helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT)], [taken], [tensor("y")])


def quarters() -> bytes:
    taken = helper.make_tensor_value_info("x", TensorProto.INT4, [None])
    return model([helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT)], [taken], [tensor("y")])


@every_engine
@pytest.mark.parametrize(
    ("made", "which"),
    [
        (sequence, "output 'y'"),
        (mapped, "output 'y'"),
        (optional, "input 'x'"),
        (eighths, "input 'x'"),
        (quarters, "input 'x'"),
    ],
)
def test_what_is_no_tensor_of_common_values_cannot_be_served(
    engine: Load, made: Callable[[], bytes], which: str
) -> None:
    with pytest.raises(Rejected, match=f"{which} is .*; only tensors of numbers, booleans and text") as refused:
        engine(made())

    assert refused.value.code == "bad_model"


def outside() -> bytes:
    """A model whose weights are the names of this machine's users."""
    loaded = onnx.load_from_string(layer())
    weights = loaded.graph.initializer[0]
    weights.ClearField("float_data")
    weights.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "../../../../../etc/passwd"), ("offset", "0"), ("length", "24")):
        weights.external_data.add(key=key, value=value)
    return bytes(loaded.SerializeToString())


@every_engine
@pytest.mark.parametrize("data", [b"", b"hello", layer()[:-20], outside()], ids=["empty", "text", "half", "outside"])
def test_what_cannot_be_loaded_is_refused_in_silence(
    engine: Load, data: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(Rejected, match="model: onnxruntime cannot load it: ") as refused:
        engine(data)

    assert refused.value.code == "bad_model"
    assert "\n" not in str(refused.value)
    assert capfd.readouterr() == ("", "")


@every_engine
def test_a_run_that_would_never_end_is_ended(load: Load) -> None:
    session = load(counter())

    for _ in range(2):
        with pytest.raises(Rejected, match=r"takes longer than 0\.2 s") as refused:
            session.run({"times": whole(2**62, scalar=True)}, limit_s=0.2)
        assert refused.value.code == "too_slow"
        assert plain(session.run({"times": whole(3, scalar=True)}, limit_s=30)) == {"sum": floats(3)}


@pytest.mark.parametrize("engine", [ort.load, ort_package.load], ids=["lean", "package"])
def test_a_run_that_ends_as_its_limit_strikes_does_not_end_the_next_one(load: Load) -> None:
    session = load(counter())
    given = {"times": whole(2_000, scalar=True)}
    plenty = session.run(given)

    for place in range(60):
        with suppress(Rejected):
            session.run(given, limit_s=0.0001 * (place + 1))
        assert session.run(given, limit_s=30) == plenty


@every_engine
def test_threads_get_their_own_answers(load: Load) -> None:
    session = load(echo("FP32"))

    def ask(number: int) -> bool:
        value = floats(*range(number % 5 + 1), number)
        return plain(session.run({"x": value}, limit_s=60)) == {"y": value}

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(400)))


@every_engine
def test_a_closed_session_answers_no_more(engine: Load) -> None:
    session = engine(echo("FP32"))
    session.run({"x": floats(1)})

    session.close()
    session.close()

    with pytest.raises(Rejected, match="its session is closed"):
        session.run({"x": floats(1)})


@every_engine
def test_a_session_closed_during_a_run_ends_it_well(engine: Load) -> None:
    session = engine(counter())
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(session.run, {"times": whole(300_000, scalar=True)})
        while not answer.running():
            pass
        session.close()

    try:
        assert plain(answer.result()) == {"sum": floats(300_000)}
    except Rejected as refused:
        assert "closed" in str(refused), "closed before it began"  # noqa: PT017 - both are fine, and only these


def held() -> int:
    return int(psutil.Process().memory_info().rss)


def test_nothing_is_left_behind_by_runs_failures_and_sessions() -> None:
    lean, text, bad = ort.load(layer()), ort.load(echo(TEXT)), ort.load(picker())
    given = {"x": Value("FP32", (64, 3), bytes(768))}
    texts = {"x": Value(TEXT, (3,), [b"a" * 100, b"b\0", b"c"])}
    big = {"x": Value("FP32", (20_000, 3), bytes(240_000))}

    def live(times: int) -> None:
        for _ in range(times):
            lean.run(given, limit_s=10)
            text.run(texts)
        for rows in range(times // 20):
            lean.run({"x": Value("FP32", (rows, 3), bytes(12 * rows))})
            lean.run(big)
            with pytest.raises(Rejected):
                bad.run({"at": whole(9)})
        for _ in range(times // 100):
            with closing(ort.load(layer())) as session:
                session.run(given)

    live(2_000)
    before = held()
    live(20_000)

    assert held() - before < 8 << 20


def test_the_room_of_long_texts_is_not_kept_for_the_next_run() -> None:
    """Nor is it if the same shapes were asked before, with short ones."""
    text, shapes = ort.load(echo(TEXT)), range(1, 51)
    before = held()

    for first in (b"short", b"short", b"long" * 1_000_000):
        for count in shapes:
            text.run({"x": Value(TEXT, (count,), [first, *[b""] * (count - 1)])})

    assert held() - before < 50 << 20, "of 200 MB"


def test_a_model_that_wants_more_memory_than_it_may_is_ended() -> None:
    with Contained(zeros(), memory_mb=256, limit_s=30) as session:
        for _ in range(2):
            with pytest.raises(Ended, match="needs more memory than 256 MB") as refused:
                session.run({"n": whole(1 << 33)})
            assert refused.value.code == "model_failed"
            assert session.run({"n": whole(4)})["y"].shape == (4,), "another process answers"


def test_a_model_that_is_itself_too_large_is_ended_while_it_is_loaded() -> None:
    size = 64 << 20
    huge = helper.make_tensor("w", TensorProto.UINT8, [size], bytes(size), raw=True)
    node = helper.make_node("Gather", ["w", "at"], ["y"])

    with pytest.raises(Ended, match="needs more memory than 48 MB"):
        Contained(model([node], [tensor("at", "INT64")], [tensor("y", "UINT8")], [huge]), memory_mb=48, limit_s=30)


@pytest.fixture
def containers() -> Containers:
    """The processes that hold models for this one since the test began; other tests may have left it some."""

    def now() -> set[psutil.Process]:
        children = psutil.Process().children()
        return {child for child in children if "samara.contained" in " ".join(child.cmdline())}

    before = now()
    return lambda: now() - before


def test_a_model_that_cannot_be_loaded_leaves_no_process_behind(containers: Containers) -> None:
    with pytest.raises(Rejected, match="cannot load it") as refused:
        contained(b"hello")

    assert not containers(), f"while somebody still has {refused.value!r}"


@pytest.mark.parametrize("side", [3, 2048])
def test_a_model_in_a_process_of_its_own_weighs_what_that_holds_and_the_copy_that_starts_it_anew(
    side: int, containers: Containers
) -> None:
    weights = helper.make_tensor("w", TensorProto.FLOAT, [side, side], bytes(4 * side**2), raw=True)
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    wide = model([node], [tensor("x", "FP32", [None, side])], [tensor("y", "FP32", [None, side])], [weights])

    with contained(wide) as session:
        (child,) = containers()

        assert child.memory_info().rss + len(wide) <= session.size < 4 * child.memory_info().rss


def test_a_process_ends_when_nobody_refers_to_its_session_any_more(containers: Containers) -> None:
    session = contained(layer())
    (child,) = containers()
    session.run({"x": Value("FP32", (1, 3), bytes(12))})

    del session

    assert not child.is_running()


def test_a_process_that_dies_is_told_of_and_replaced(containers: Containers) -> None:
    with contained(echo("FP32")) as session:
        (child,) = containers()
        child.kill()

        with pytest.raises(Ended, match="its process died of SIGKILL") as refused:
            session.run({"x": floats(1)})

        assert refused.value.code == "model_failed"
        assert plain(session.run({"x": floats(1)})) == {"y": floats(1)}
    assert not containers()


def test_a_process_knows_no_secrets(monkeypatch: pytest.MonkeyPatch, containers: Containers) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with contained(echo("FP32")):
        (child,) = containers()

        assert not {"AWS_SECRET_ACCESS_KEY", "HOME", "PATH"} & set(child.environ())


PARENT = """
import sys, threading
from samara.contained import Contained
from samara.core.tensors import Value
session = Contained(sys.stdin.buffer.read(), memory_mb=512, limit_s=600)
given = {"times": Value("INT64", (), (2**62).to_bytes(8, "little"))}
threading.Thread(target=session.run, args=(given,), daemon=True).start()
print(session._child.process.pid, flush=True)
threading.Event().wait()
"""


def test_a_process_does_not_outlive_its_parent_even_during_a_run() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdin
        assert parent.stdout
        parent.stdin.write(counter())
        parent.stdin.close()
        child = psutil.Process(int(parent.stdout.readline()))

        parent.kill()

    assert child.wait(30) is None or not child.is_running()


def test_the_lean_engine_is_the_default() -> None:
    assert isinstance(engines.load(layer()), ort.Lean)


def test_the_environment_and_the_caller_may_choose_an_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMARA_ENGINE", "package")

    assert isinstance(engines.load(layer()), ort_package.Full)
    assert isinstance(engines.load(layer(), engine="lean"), ort.Lean)


def test_without_the_library_the_package_takes_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    ort_api.loaded.cache_clear()
    try:
        assert isinstance(engines.load(layer()), ort_package.Full)
    finally:
        ort_api.loaded.cache_clear()


@pytest.fixture
def pruned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package without the library, as most functions carry it into a cloud."""
    package = Path(onnxruntime.__path__[0])
    (tmp_path / "onnxruntime/capi").mkdir(parents=True)
    for file in (*package.iterdir(), *(package / "capi").iterdir()):
        if file.name != "capi" and not file.name.startswith("libonnxruntime."):
            (tmp_path / "onnxruntime" / file.relative_to(package)).symlink_to(file)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("pruned")
def test_where_the_library_was_left_out_a_contained_model_runs_by_the_package() -> None:
    assert ort_api.library() is None
    with contained(layer()) as session:
        given = {"x": Value("FP32", (1, 3), bytes(12))}

        assert session.run(given) == ort_package.load(layer()).run(given)
    with contained(zeros()) as session, pytest.raises(Ended, match="needs more memory than 512 MB"):
        session.run({"n": whole(1 << 33)})


@pytest.mark.parametrize("asked", ["cuda", "tensorrt", "coreml", "directml"])
def test_an_accelerator_that_is_not_there_is_replaced_by_the_cpu_with_a_warning(
    asked: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "samara"):
        session = engines.load(layer(), engine=asked)

    assert session.run({"x": Value("FP32", (1, 3), bytes(12))})["y"].shape == (1, 2)
    (record,) = caplog.records
    assert f"asks for {asked}" in record.getMessage()
    assert "CPUExecutionProvider" in record.getMessage()


def test_a_library_that_was_loaded_ahead_is_the_one_that_is_used() -> None:
    engines.warm()

    assert isinstance(engines.load(layer()), ort.Lean)


HASTY = """
import atexit
from samara import engines, ort_api
atexit.register(lambda: print(ort_api.loaded.cache_info().currsize))
engines.warm()
"""


def test_a_process_does_not_end_in_the_midst_of_loading_the_library() -> None:
    """Now and then it would crash."""
    said = subprocess.run([sys.executable, "-c", HASTY], capture_output=True, check=True)

    assert said.stdout == b"1\n"


def test_an_engine_that_does_not_exist_is_refused_by_name() -> None:
    with pytest.raises(Misconfigured, match="SAMARA_ENGINE: warp is no engine; there are lean, package, cuda"):
        engines.load(layer(), engine="warp")


THREADS = """
import sys, threading
from samara import engines
from samara.core.tensors import Value
session = engines.load(sys.stdin.buffer.read())
for limit_s in (0, 9):
    session.run({"x": Value("FP32", (1, 3), bytes(12))}, limit_s=limit_s)
    print(threading.active_count())
"""


def test_no_thread_is_started_before_a_limit_is_set() -> None:
    said = subprocess.run([sys.executable, "-c", THREADS], input=layer(), capture_output=True, check=True)

    assert said.stdout.split() == [b"1", b"2"]


ASKED = """
import sys
from samara import engines
from samara.core.tensors import Value
session = engines.load(sys.stdin.buffer.read(), engine=sys.argv[1])
session.run({"x": Value("FP32", (1, 3), bytes(12))})
"""


@pytest.mark.parametrize("engine", [engines.LEAN, engines.PACKAGE])
def test_nobody_is_told_of_the_models_that_are_loaded(engine: str, tmp_path: Path) -> None:
    """ONNX Runtime would, from release 1.29 on, and keeps what it has yet to tell in the home folder."""
    surroundings = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}

    subprocess.run([sys.executable, "-c", ASKED, engine], input=layer(), env=surroundings, check=True)

    assert [*tmp_path.iterdir()] == []


def test_who_wants_it_told_may_say_so() -> None:
    program = "import os, samara; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    surroundings = {**os.environ, "ORT_DISABLE_TELEMETRY": "0"}

    said = subprocess.run([sys.executable, "-c", program], env=surroundings, capture_output=True, check=True, text=True)

    assert said.stdout.strip() == "0"


@every_engine
def test_what_was_asked_in_a_form_is_asked_again_with_less_ado(engine: Load, load: Load) -> None:
    session, form = load(layer()), (("y",), ((2, 3),))
    assert session.again(form, [bytes(24)]) is None, "nothing was asked in this form before"

    for numbers in np.random.default_rng(0).normal(size=(5, 2, 3)).astype(np.float32):
        right = plain(session.run({"x": Value("FP32", (2, 3), numbers.tobytes())}))["y"].data
        found = session.again(form, [numbers.tobytes()], 30)

        assert found == [right] or found is None
    assert (found is not None) is (engine is ort.load)


@every_engine
@pytest.mark.parametrize(
    ("data", "given", "numbers"),
    [
        (echo(TEXT), {"x": Value(TEXT, (1,), [b"a"])}, [b"a"]),
        (zeros(), {"n": Value("INT64", (1,), (3).to_bytes(8, "little"))}, [(4).to_bytes(8, "little")]),
        (picker(), {"at": Value("INT64", (1,), (1).to_bytes(8, "little"))}, [(7).to_bytes(8, "little")]),
    ],
    ids=["text", "another size", "a failure"],
)
def test_what_cannot_be_asked_with_less_ado_is_left_to_run(
    load: Load, data: bytes, given: dict[str, Value], numbers: list[bytes]
) -> None:
    session = load(data)
    for _ in range(3):
        right = plain(session.run(given))
    form = tuple(spec.name for spec in session.outputs), tuple(value.shape for value in given.values())

    assert session.again(form, numbers) is None
    assert plain(session.run(given)) == right, "and whatever happened then spoils nothing"


def test_what_several_ask_first_in_the_same_moment_is_asked_again_with_less_ado() -> None:
    with closing(ort.load(counter())) as session, ThreadPoolExecutor(4) as pool:
        assert len(list(pool.map(session.run, [{"times": whole(100_000, scalar=True)}] * 4))) == 4
        session.run({"times": whole(3, scalar=True)})

        assert session.again((("sum",), ((),)), [whole(3).data]) == [floats(3).data]


def test_threads_that_ask_again_get_their_own_answers() -> None:
    with closing(ort.load(echo("FP32"))) as session:
        for _ in range(2):
            session.run({"x": floats(1, 2)})

        def ask(number: int) -> bool:
            data = floats(number, -number).data
            return session.again((("y",), ((2,),)), [data], 60) in (None, [data])

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(ask, range(2_000)))


def test_a_closed_session_is_not_asked_again() -> None:
    session = ort.load(layer())
    for _ in range(2):
        session.run({"x": Value("FP32", (1, 3), bytes(12))})

    session.close()

    assert session.again((("y",), ((1, 3),)), [bytes(12)]) is None


def test_what_is_asked_again_is_ended_if_it_would_never_end() -> None:
    with closing(ort.load(counter())) as session:
        for _ in range(3):
            session.run({"times": whole(3, scalar=True)})
        form = (("sum",), ((),))

        with pytest.raises(Rejected, match=r"takes longer than 0\.2 s"):
            session.again(form, [(2**62).to_bytes(8, "little")], 0.2)

        assert plain(session.run({"times": whole(3, scalar=True)}, limit_s=30)) == {"sum": floats(3)}
