"""What strangers send, over real sockets: answered in words, never with a 5xx, a hang or a look inside."""

import gzip
import http.client
import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from typing import Any

import httpx
import numpy as np
import psutil
import pytest
from onnx import TensorProto, helper, numpy_helper

from functions.catalogue import CATALOGUE
from samara import dispatch
from samara.app import App
from samara.catalogue import Function
from samara.core import keys
from samara.core.aliases import Aliases
from samara.core.digests import digest
from samara.core.records import ModelVersion, Parity, Signature, Tensor
from samara.core.sealed import Maker
from samara.entry import Handler, on_http
from samara.errors import Misconfigured
from samara.events import HttpRequest, HttpResponse
from samara.hosts.server import Routes, Server, serve
from samara.providers.memory import MemoryJobs, MemoryStore

PATIENCE_S = 1.0
NOON = datetime(2013, 2, 14, 12, 0, tzinfo=UTC)
INFER = "/v2/models/late/infer"
X = {"name": "x", "shape": [2, 1], "datatype": "FP32", "data": [1, 2]}
VALID = json.dumps({"inputs": [X]}).encode()
INSIDE = ("traceback", "onnxruntime", "/work/", "site-packages", ".py", "pydantic", "jsondecodeerror", "captures/")


def broken(event: HttpRequest, _app: App) -> HttpResponse:
    """A function with a bug, and at one path without an end."""
    if event.path == "/slow":
        time.sleep(3)
        return HttpResponse(200, b"late")
    raise RuntimeError("secret: /work/main/functions/dashboard.py")


def handler_of(name: str) -> Handler[Any]:
    """The real handlers, but for the root path's."""
    return on_http(broken) if name == "dashboard" else dispatch.handler_of(name)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """The real seam and server on a free port, over a bucket with one model: y = 2 x."""
    app = App(MemoryStore(), MemoryJobs(), Maker(function="test", code="0" * 64))
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "two"], ["y"])],
        "double",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 1])],
        [numpy_helper.from_array(np.array([2], dtype=np.float32), "two")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    version = ModelVersion(
        made_by=app.maker,
        model="late",
        version=1,
        run="0" * 16,
        artifact=app.keep(model.SerializeToString()),
        signature=Signature(
            inputs=(Tensor(name="x", datatype="FP32", shape=(-1, 1)),),
            outputs=(Tensor(name="y", datatype="FP32", shape=(-1, 1)),),
        ),
        metrics={},
        parity=Parity(rows=1, largest_difference=0, tolerance=0, agreed=True),
        baseline=digest(b""),
        compared_with=None,
        compared_metrics={},
        gates=(),
    )
    app.write(keys.version("late", 1), version)
    app.swap(Aliases, keys.aliases("late"), lambda head: head.moved(champion=1, challenger=None, at=NOON, cause="test"))
    routes = Routes(CATALOGUE, app, now, handler_of)
    with serve(routes, patience_s=PATIENCE_S) as running:
        yield running


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=20) as one:
        yield one


@pytest.fixture(autouse=True)
def serves_on(server: Server) -> Iterator[None]:
    """Whatever a test did, the next valid call succeeds."""
    yield
    answer = httpx.post(server.url + INFER, content=VALID, timeout=20)
    assert answer.json()["outputs"][0]["data"] == [2.0, 4.0]


def in_words(status: int, body: bytes) -> str:
    """The code of a refusal, after checking that it is one and shows nothing of the inside."""
    assert 400 <= status < 500, body
    said = json.loads(body)
    assert set(said) == {"error", "code"}
    assert not [word for word in INSIDE if word in body.decode().lower()]
    assert len(body) < 1_000
    code: str = said["code"]
    return code


def with_data(data: str) -> bytes:
    return b'{"inputs":[{"name":"x","shape":[2,1],"datatype":"FP32","data":' + data.encode() + b"}]}"


def with_input(**changes: Any) -> bytes:
    return json.dumps({"inputs": [{**X, **changes}]}).encode()


BODIES: dict[str, tuple[bytes, str]] = {
    "P01 empty": (b"", "bad_json"),
    "P07 truncated": (VALID[:-5], "bad_json"),
    "P08 null": (b"null", "bad_request"),
    "P08 list": (b"[]", "bad_request"),
    "P08 text": (b'"x"', "bad_request"),
    "P08 number": (b"1", "bad_request"),
    "P08 object": (b"{}", "bad_request"),
    "P09 inputs null": (b'{"inputs":null}', "bad_request"),
    "P09 inputs text": (b'{"inputs":"x"}', "bad_request"),
    "P10 unknown field": (VALID[:-1] + b',"inptus":1}', "unknown_field"),
    "P10 proto": (VALID[:-1] + b',"__proto__":{"a":1}}', "unknown_field"),
    "P11 width": (with_input(shape=[1, 2]), "bad_input"),
    "P12 ragged": (with_data("[[1],[2,3]]"), "bad_input"),
    "P13 text": (with_data('["1","2"]'), "bad_input"),
    "P15 booleans": (with_data("[true,false]"), "bad_input"),
    "P16 object": (with_data('[{"a":1},2]'), "bad_input"),
    "P17 NaN": (with_data("[NaN,1]"), "bad_json"),
    "P18 infinity": (with_data("[Infinity,1]"), "bad_json"),
    "P19 1e400": (with_data("[1e400,1]"), "bad_input"),
    "P20 digits": (with_data("[" + "9" * 5000 + ",1]"), "bad_json"),
    "P20 some digits": (with_data("[" + "9" * 400 + ",1]"), "bad_input"),
    "P21 2^200": (with_data(f"[{2**200},1]"), "bad_input"),
    "P22 depth 1,000": (b"[" * 1_000 + b"]" * 1_000, "too_deep"),
    "P23 depth 100,000": (b"[" * 100_000, "too_deep"),
    "P24 deep objects": (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "too_deep"),
    "P25 twins": (b'{"inputs":[],"inputs":[]}', "bad_json"),
    "P26 not UTF-8": (with_data("[1,2]")[:-1] + b',"id":"\xff"}', "bad_json"),
    "P27 escaped NUL": (VALID[:-1] + b',"id":"\\u0000"}', "bad_json"),
    "P27 raw NUL": (VALID[:-1] + b',"id":"\0"}', "bad_json"),
    "P27 half a pair": (VALID[:-1] + b',"id":"\\ud83d"}', "bad_json"),
    "P28 BOM": (b"\xef\xbb\xbf" + VALID, "bad_json"),
    "P29 UTF-16": (VALID.decode().encode("utf-16"), "bad_json"),
    "P30 1 MB key": (b'{"' + b"k" * 1_000_000 + b'":1}', "bad_request"),
    "P46 shape 10^12": (with_input(shape=[10**12, 1]), "bad_input"),
    "P46 shape -1": (with_input(shape=[-1, 1]), "bad_request"),
    "P46 mismatch": (with_input(shape=[3, 1]), "bad_input"),
    "P46 overflow": (with_input(shape=[2**40, 2**40]), "bad_input"),
    "P47 pickle": (with_input(datatype="BYTES", data=["gASVAAAA", "x"]), "bad_input"),
    "P47 codec": (with_input(datatype="pd"), "bad_input"),
    "P55 path in id": (VALID[:-1] + b',"id":"../x"}', "bad_id"),
    "P55 10 KB id": (VALID[:-1] + b',"id":"' + b"i" * 10_000 + b'"}', "bad_id"),
    "P55 line break in id": (VALID[:-1] + b',"id":"a\\r\\nb"}', "bad_id"),
    "P57 too many rows": (with_input(shape=[100_001, 1], data=[1] * 100_001), "too_many_rows"),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_hostile_body_is_refused_in_words(client: httpx.Client, name: str) -> None:
    body, code = BODIES[name]

    answer = client.post(INFER, content=body, headers={"content-type": "application/json"})

    assert in_words(answer.status_code, answer.content) == code


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"content-type": "text/html"}, VALID, 415),
        ({"content-type": "<script>"}, VALID, 415),
        ({"content-type": "application/json; charset=utf-7"}, VALID, 415),
        ({"content-type": "text/csv"}, b"x\n1\n", 415),
        ({"content-encoding": "gzip"}, VALID, 400),
        ({"content-encoding": "gzip"}, gzip.compress(b"\0" * 100_000_000, mtime=0), 413),
        ({"content-encoding": "br"}, VALID, 415),
        ({"inference-header-content-length": "5"}, VALID, 400),
        ({"origin": "http://evil.example"}, VALID, 403),
        ({"origin": "null"}, VALID, 403),
        ({"origin": "http://["}, VALID, 403),
        ({"sec-fetch-site": "cross-site"}, VALID, 403),
        ({"host": "evil.example"}, VALID, 400),
        ({"host": "127.0.0.1.evil.example"}, VALID, 400),
        ({"host": "localhost:80@evil.example"}, VALID, 400),
        ({"x-long": "a" * 17_000}, VALID, 431),
        ({f"x-{number}": "1" for number in range(150)}, VALID, 431),
    ],
)
def test_a_hostile_header_is_refused_in_words(
    client: httpx.Client, headers: dict[str, str], body: bytes, status: int
) -> None:
    answer = client.post(INFER, content=body, headers=headers)

    assert answer.status_code == status
    in_words(answer.status_code, answer.content)


@pytest.mark.parametrize("traceparent", ["", "nonsense", "00-" + "0" * 32 + "-" + "0" * 16 + "-00", "é"])
def test_a_nonsensical_traceparent_is_ignored(client: httpx.Client, traceparent: str) -> None:
    answer = client.post(INFER, content=VALID, headers=[(b"traceparent", traceparent.encode("latin-1"))])

    assert answer.status_code == 200


def test_a_missing_content_type_and_our_own_origin_are_welcome(client: httpx.Client, server: Server) -> None:
    answer = client.post(INFER, content=VALID, headers={"origin": server.url})

    assert answer.status_code == 200
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "TRACE", "BREW"])
def test_other_methods_are_named_with_those_that_work(client: httpx.Client, method: str) -> None:
    answer = client.request(method, INFER)

    assert answer.status_code == 405
    assert in_words(answer.status_code, answer.content) == "bad_method"
    assert "POST" in answer.headers["allow"]


def test_get_on_infer_and_post_on_metadata_say_what_to_use(client: httpx.Client) -> None:
    asked, told = client.get(INFER), client.post("/v2/models/late", content=b"{}")

    assert (asked.status_code, asked.headers["allow"]) == (405, "POST")
    assert (told.status_code, told.headers["allow"]) == (405, "GET")


def test_head_answers_as_get_without_a_body_and_options_tells_the_methods(client: httpx.Client) -> None:
    head, options = client.head("/v2/models/late"), client.options("/v2/models/late")

    assert (head.status_code, head.content) == (200, b"")
    assert int(head.headers["content-length"]) > 100
    assert (options.status_code, options.headers["allow"]) == (204, "GET, POST, HEAD, OPTIONS")
    assert "access-control-allow-origin" not in options.headers


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (b"/v2/../v2", 400),
        (b"/v2/%2e%2e/x", 400),
        (b"/v2/models/%2e%2e%2fetc%2fpasswd", 400),
        (b"/v2/models/late%00", 400),
        (b"/v2//models", 400),
        (b"/v2/models/late\\infer", 400),
        (b"/v2/%ff", 400),
        (b"/v2/" + b"a" * 10_000, 414),
        (b"/v2/models/late/versions/../infer", 400),
        (b"/v2/repository/models/late/unload", 403),
        (b"/v2/models/late/unload", 404),
        (b"/v2/models/nobody/infer", 405),
        (b"/v2?a=%00", 400),
        (b"http://evil.example/v2", 400),
        (b"*", 400),
    ],
)
def test_a_hostile_path_is_refused_in_words(server: Server, path: bytes, status: int) -> None:
    found, _, body = raw(server, b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")

    assert found == status
    in_words(found, body)


def raw(server: Server, *pieces: bytes, wait_s: float = 10) -> tuple[int, dict[str, str], bytes]:
    """Send bytes as they are, and give what comes back: status, headers, body. A hang is a time-out, thus a failure."""
    with closing(socket.create_connection(("127.0.0.1", server.port), timeout=wait_s)) as wire:
        with suppress(BrokenPipeError, ConnectionResetError):  # refused before all of it was sent
            for piece in pieces:
                wire.sendall(piece)
        response = http.client.HTTPResponse(wire)
        response.begin()
        return response.status, dict(response.getheaders()), response.read()


def post(*headers: bytes, body: bytes = b"") -> bytes:
    lines = b"".join(header + b"\r\n" for header in (b"Host: localhost", *headers))
    return b"POST " + INFER.encode() + b" HTTP/1.1\r\n" + lines + b"\r\n" + body


RAW: dict[str, tuple[bytes, int]] = {
    "P04 control character": (post(b"X: a\x01b", b"Content-Length: 0"), 400),
    "P04 line break in a header": (post(b"X: a\rb", b"Content-Length: 0"), 400),
    "P36 negative length": (post(b"Content-Length: -5", body=VALID), 400),
    "P36 enormous length": (post(b"Content-Length: 1" + b"0" * 30, body=VALID), 400),
    "P36 large length": (post(b"Content-Length: 99999999999", body=VALID), 413),
    "P36 short length": (post(b"Content-Length: 5", b"Connection: close", body=VALID), 400),
    "P36 two lengths": (post(b"Content-Length: 5", b"Content-Length: 6", body=VALID), 400),
    "P37 length and chunks": (post(b"Content-Length: 5", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"), 400),
    "P37 unknown coding": (post(b"Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n"), 400),
    "P38 bad chunk": (post(b"Transfer-Encoding: chunked", body=b"zz\r\nhello\r\n"), 400),
    "P35 length too long": (post(b"Content-Length: 500", body=VALID), 408),
    "chunks without end": (post(b"Transfer-Encoding: chunked", body=b"1\r\n{\r\n"), 408),
    "P39 1 MB header": (b"GET /v2 HTTP/1.1\r\nX: " + b"a" * 1_000_000 + b"\r\n\r\n", 431),
    "P39 60 KB header": (post(b"X: " + b"a" * 60_000), 431),
    "P40 10,000 headers": (post(*(b"X-%d: 1" % number for number in range(10_000))), 431),
    "P41 two hosts": (post(b"Host: localhost"), 400),
    "no host": (b"GET /v2 HTTP/1.1\r\n\r\n", 400),
    "no host in 1.0": (b"GET /v2 HTTP/1.0\r\n\r\n", 400),
    "P44 TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 500, 400),
    "P44 HTTP/9.9": (b"GET /v2 HTTP/9.9\r\nHost: localhost\r\n\r\n", 400),
    "no HTTP": (b"hello\r\n\r\n", 400),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "CONNECT": (b"CONNECT evil.example:443 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "half a request line": (b"GET /v2 HT", 408),
    "headers without end": (b"GET /v2 HTTP/1.1\r\nHost: localhost\r\nX: ", 408),
    "websocket": (
        b"GET /v2/nothing HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        404,
    ),
}


@pytest.mark.parametrize("name", RAW)
def test_hostile_bytes_are_refused_in_words_and_in_time(server: Server, name: str) -> None:
    sent, expected = RAW[name]
    started = time.monotonic()

    status, _, body = raw(server, sent)

    assert status == expected
    in_words(status, body)
    assert time.monotonic() - started < PATIENCE_S * 8


def test_a_body_a_byte_at_a_time_is_cut_off(server: Server) -> None:
    started = time.monotonic()
    with closing(socket.create_connection(("127.0.0.1", server.port), timeout=10)) as wire:
        wire.sendall(post(b"Content-Length: 1000"))
        wire.settimeout(0.05)
        answer = b""
        while not answer and time.monotonic() - started < 10:
            wire.sendall(b"{")
            with suppress(TimeoutError):
                answer = wire.recv(4096)

    assert answer.startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize("size", [(6 << 20) + 1, 20_000_000, 100_000_000])
def test_a_body_too_large_is_refused_unread_in_bounded_memory(client: httpx.Client, size: int) -> None:
    before = psutil.Process().memory_info().rss

    answer = client.post(INFER, content=pieces(size), headers={"content-length": str(size)})
    chunked = client.post(INFER, content=pieces(size))

    assert answer.status_code == chunked.status_code == 413
    assert in_words(413, answer.content) == in_words(413, chunked.content) == "too_large"
    assert psutil.Process().memory_info().rss - before < 100_000_000


def pieces(size: int) -> Iterator[bytes]:
    for start in range(0, size, 1 << 16):
        yield b" " * min(1 << 16, size - start)


def test_six_megabytes_are_taken(client: httpx.Client) -> None:
    answer = client.post(INFER, content=VALID + b" " * ((6 << 20) - len(VALID)))

    assert answer.status_code == 200


def test_hundreds_of_half_open_connections_are_closed_while_others_are_served(
    server: Server, client: httpx.Client
) -> None:
    started = time.monotonic()
    half = [socket.create_connection(("127.0.0.1", server.port), timeout=10) for _ in range(300)]
    for number, wire in enumerate(half):
        wire.sendall(b"POST /v2 HTTP/1.1\r\nHost: loc" if number % 2 else b"")

    served = client.post(INFER, content=VALID)
    for wire in half:
        while wire.recv(4096):  # until the server closes; a time-out fails the test
            pass
        wire.close()

    assert served.status_code == 200
    assert time.monotonic() - started < PATIENCE_S * 10


def test_a_keep_alive_connection_that_says_half_a_request_is_closed(server: Server) -> None:
    with closing(socket.create_connection(("127.0.0.1", server.port), timeout=10)) as wire:
        wire.sendall(b"GET /v2 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert wire.recv(4096).startswith(b"HTTP/1.1 200")
        wire.sendall(b"GET /v2 HT")
        rest = b""
        while chunk := wire.recv(4096):
            rest += chunk

    assert b"HTTP/1.1 408" in rest


def test_a_client_that_goes_away_leaves_the_server_alone(server: Server) -> None:
    for sent in (b"", b"GET", post(b"Content-Length: 100", body=b"{"), post(b"Expect: 100-continue")):
        with closing(socket.create_connection(("127.0.0.1", server.port), timeout=10)) as wire:
            wire.sendall(sent)


def test_pipelined_requests_are_answered_in_turn(server: Server) -> None:
    one = b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\n"
    with closing(socket.create_connection(("127.0.0.1", server.port), timeout=10)) as wire:
        wire.sendall((one + b"\r\n") * 2 + one + b"Connection: close\r\n\r\n")
        got = b""
        while chunk := wire.recv(4096):
            got += chunk

    assert got.count(b'{"live":true}') == 3


def test_a_bug_is_not_shown_to_strangers(client: httpx.Client) -> None:
    answer = client.get("/anything")

    assert answer.status_code == 500
    assert answer.json() == {"error": "something went wrong here; the log says what", "code": "internal"}
    assert "nosniff" in answer.headers["x-content-type-options"]


def test_feedback_is_guarded_alike(client: httpx.Client) -> None:
    for body in (b"", b"null", b"[" * 100_000, b'{"prediction":"../x","truth":1}', b'{"prediction":1,"truth":1}'):
        answer = client.post("/feedback", content=body)
        in_words(answer.status_code, answer.content)
    unknown = client.post("/feedback", json={"prediction": "late.2013-02-14T05.0011223344556677", "truth": [1]})

    assert unknown.status_code == 404


def test_a_prediction_and_its_truth_go_the_whole_way(client: httpx.Client) -> None:
    said = client.post(INFER, content=VALID).json()

    answer = client.post("/feedback", json={"prediction": said["id"], "truth": [2.5, 4.0]})

    assert answer.status_code == 200
    assert answer.json()["accepted"] == 1


def test_an_answer_does_not_wait_for_the_clients_acknowledgement(client: httpx.Client) -> None:
    def seconds() -> float:
        started = time.perf_counter()
        client.get("/v2/health/live")
        return time.perf_counter() - started

    quickest = min(seconds() for _ in range(20))

    assert quickest < 0.03, "40 ms a request means that small packets are held back (Nagle)"


def test_a_port_that_is_taken_is_said_by_number(server: Server) -> None:
    with pytest.raises(Misconfigured, match=str(server.port)):
        serve(Routes(CATALOGUE, App(MemoryStore(), MemoryJobs(), Maker(function="t", code="")), now), port=server.port)


def now() -> datetime:
    return datetime.now(UTC)


def quick(functions: tuple[Function, ...], seconds: int) -> tuple[Function, ...]:
    """The catalogue with less time for each function."""
    return tuple(Function(f.name, f.on, f.does, f.reads, f.creates, f.swaps, timeout_s=seconds) for f in functions)


def test_a_function_without_end_is_answered_for_and_the_server_stops_all_the_same() -> None:
    app = App(MemoryStore(), MemoryJobs(), Maker(function="test", code="0" * 64))
    with serve(Routes(quick(CATALOGUE, 1), app, now, handler_of)) as running:
        answer = httpx.get(running.url + "/slow", timeout=10)
        started = time.monotonic()

    assert (answer.status_code, answer.json()["code"]) == (503, "timeout")
    assert time.monotonic() - started < 5
    with pytest.raises(httpx.ConnectError):
        httpx.get(running.url)


def test_a_server_starts_and_stops_as_often_as_one_likes(unused: Callable[[], App]) -> None:
    routes = Routes(CATALOGUE, unused(), now)
    for _ in range(3):
        with serve(routes) as running:
            assert httpx.get(running.url + "/v2/health/live").json() == {"live": True}
        running.stop()


@pytest.fixture
def unused() -> Callable[[], App]:
    return lambda: App(MemoryStore(), MemoryJobs(), Maker(function="test", code="0" * 64))
