"""The loop in place of Amazon's runtime client, against a Runtime API on loopback: what it says, when, and how it ends.

That it answers and logs as the client would have it, `test_aws_lean` tests.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from sysconfig import get_path
from typing import IO, Any, NamedTuple

import pytest

from tests.emulators.localstack import PYTHON as HAS_CLIENT
from tests.emulators.runtime_api import RuntimeApi
from tests.hosts.lambda_process import written

ROOT = Path(__file__).parents[2]
CATALOGUE = '''
"""One function, which does as its path says."""
from samara.catalogue import Every, Function, Http

CATALOGUE = (Function("sample", on=(Http("/"), Every("hour")), does="as it is told"),)
'''
HANDLER = '''
"""Wakes on requests."""
import json
import sys

from samara.entry import log, on_tick_or_http
from samara.events import HttpResponse


def run(event, app):
    what = event.path.removeprefix("/")
    if what == "modules":
        return HttpResponse(200, json.dumps(sorted(sys.modules)).encode(), {"content-type": "application/json"})
    if what.isdigit():
        return HttpResponse(200, b"x" * int(what), {"content-type": "text/plain"})
    if what == "warn":
        log.info(json.dumps({"said": "first"}))
        log.warning(json.dumps({"said": "second"}))
    return HttpResponse(200, what.encode(), {"content-type": "text/plain"})


handler = on_tick_or_http(run)
'''
LOOP = ("-S", "-m", "samara.hosts.aws_loop")
CLIENT = ("-m", "awslambdaric", "samara.hosts.aws_lean.handler")
HEAVY = {
    "asyncio", "awslambdaric", "boto3", "email", "http.client", "logging.config", "numpy", "pydantic", "ssl",
    "subprocess", "urllib.request",
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project whose only function is the one above."""
    for name, source in {"__init__": '"""."""', "catalogue": CATALOGUE, "sample/handler": HANDLER}.items():
        path = tmp_path / "functions" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    return tmp_path


@pytest.fixture
def api() -> Iterator[RuntimeApi]:
    with RuntimeApi() as api:
        yield api


@pytest.fixture
def process(folder: Path, api: RuntimeApi) -> Iterator["subprocess.Popen[str]"]:
    with started(folder, api) as running:
        yield running


@contextmanager
def started(
    folder: Path, api: RuntimeApi, how: tuple[str, ...] = LOOP, python: str = sys.executable, **more: Any
) -> Iterator["subprocess.Popen[str]"]:
    settings = {"PROVIDER": "local", "HOME": str(folder / "home"), "FUNCTION": "sample"}
    path = (folder, ROOT / "shared", get_path("purelib"), get_path("platlib"))
    environment = {
        **{f"SAMARA_{name}": value for name, value in settings.items()},
        "PYTHONPATH": os.pathsep.join(map(str, path)),
        "AWS_LAMBDA_RUNTIME_API": api.address,
        "AWS_LAMBDA_FUNCTION_NAME": "sample",
        "AWS_LAMBDA_FUNCTION_VERSION": "1",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
        "AWS_LAMBDA_LOG_FORMAT": "JSON",
    }
    given: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
    with subprocess.Popen([python, *how], env=environment, cwd=folder, text=True, **given) as process:
        try:
            yield process
        finally:
            process.kill()


def get(path: str) -> bytes:
    request = {"requestContext": {"http": {"method": "GET"}}, "headers": {}, "rawPath": f"/{path}"}
    return json.dumps(request).encode()


def answer(api: RuntimeApi, path: str, request: str = "1", **more: Any) -> Any:
    """The body with which a request is answered."""
    told, _ = api.invoke(request, get(path), **more)
    assert told.path.endswith(f"/invocation/{request}/response"), told.body
    return json.loads(told.body)["body"]


def lines(process: "subprocess.Popen[str]", api: RuntimeApi) -> list[dict[str, Any]]:
    """What has been logged by the time the process asks for more."""
    api.idle()
    assert process.stdout
    return [line for line in map(json.loads, written(process.stdout).splitlines()) if "_aws" not in line]


pytestmark = pytest.mark.usefixtures("process")


def test_one_connection_is_enough_for_all_events(api: RuntimeApi) -> None:
    assert [answer(api, word) for word in ("one", "two", "three")] == ["one", "two", "three"]
    assert api.connected == 1


def test_a_thousand_events_are_each_answered_once_and_logged_once(
    process: "subprocess.Popen[str]", api: RuntimeApi
) -> None:
    logged = []
    for number in range(1000):
        assert answer(api, f"say-{number}", request=f"request-{number}") == f"say-{number}"
        logged += lines(process, api)

    assert [line["message"]["path"] for line in logged] == [f"/say-{number}" for number in range(1000)]
    assert [line["function_request_id"] for line in logged] == [f"request-{number}" for number in range(1000)]


@pytest.mark.parametrize("chunks", [1, 7])
def test_an_event_may_come_in_chunks(api: RuntimeApi, chunks: int) -> None:
    assert answer(api, "whole", chunks=chunks) == "whole"


def test_an_event_of_megabytes_is_read_whole(api: RuntimeApi) -> None:
    event = {**json.loads(get("large")), "body": "x" * (5 << 20)}

    told, _ = api.invoke("1", json.dumps(event).encode())

    assert json.loads(told.body)["body"] == "large"


def test_a_connection_closed_while_nothing_happens_is_made_anew(api: RuntimeApi) -> None:
    answer(api, "before")
    api.idle()
    api.hang_up()

    assert answer(api, "after") == "after"
    assert api.connected == 2


def test_a_connection_closed_while_it_works_costs_no_answer(process: "subprocess.Popen[str]", api: RuntimeApi) -> None:
    api.idle()
    process.send_signal(signal.SIGSTOP)
    api.hand_out("1", get("late"))
    api.hang_up()
    process.send_signal(signal.SIGCONT)

    told = api.told()
    told.accept()

    assert (told.path.rpartition("/1/")[2], json.loads(told.body)["body"]) == ("response", "late")
    assert answer(api, "next") == "next"


def test_half_a_surrogate_pair_is_refused_by_its_reason(api: RuntimeApi) -> None:
    event = {**json.loads(get("a")), "body": "\ud800"}

    told, _ = api.invoke("1", json.dumps(event).encode())

    said = json.loads(told.body)
    assert (said["statusCode"], json.loads(said["body"])["code"]) == (400, "bad_event")


def test_the_invocation_is_named_as_lambda_names_it(api: RuntimeApi) -> None:
    named, _ = api.invoke("1", get("a"), lambda_runtime_invocation_id="second-try")
    plain, _ = api.invoke("2", get("a"))

    assert named.headers["lambda-runtime-invocation-id"] == "second-try"
    assert "lambda-runtime-invocation-id" not in plain.headers


def test_a_line_has_the_trace_of_its_own_invocation(process: "subprocess.Popen[str]", api: RuntimeApi) -> None:
    answer(api, "a", lambda_runtime_trace_id="Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1")
    answer(api, "b")

    first, second = lines(process, api)
    assert first["xray_trace_id"] == "1-5759e988-bd862e3fe1be46a994272793"
    assert "xray_trace_id" not in second


def test_an_answer_that_lambda_would_not_pass_on_is_refused_with_the_way_out(
    process: "subprocess.Popen[str]", api: RuntimeApi
) -> None:
    told, _ = api.invoke("1", get(str(6 << 20)))

    said = json.loads(told.body)
    refused = json.loads(said["body"])
    assert (said["statusCode"], refused["code"]) == (413, "too_large")
    assert refused["error"].endswith("ask for fewer rows, for binary tensors, or by `samara score`")
    assert lines(process, api)[-1]["message"] == {"function": "http", "refused": 413}
    assert len(answer(api, str(5 << 20))) == 5 << 20


def test_nothing_is_loaded_that_the_loop_does_not_need(api: RuntimeApi) -> None:
    assert HEAVY.isdisjoint(json.loads(answer(api, "modules")))


# When it says what


class Full(NamedTuple):
    """Both ends of a pipe that takes nothing more until these many bytes are read."""

    output: IO[str]
    writing: int
    bytes: int

    def drain(self) -> None:
        left = self.bytes
        while left:
            left -= len(os.read(self.output.fileno(), left))


@pytest.fixture
def full() -> Iterator[Full]:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    filled = 0
    with suppress(BlockingIOError):
        while True:
            filled += os.write(writing, b"\n" * 512)
    os.set_blocking(writing, True)
    with os.fdopen(reading) as output, os.fdopen(writing, "w"):
        yield Full(output, writing, filled)


def test_whoever_waits_for_an_answer_does_not_wait_for_its_line(folder: Path, full: Full) -> None:
    with RuntimeApi() as other, started(folder, other, stdout=full.writing):
        assert answer(other, "at-once") == "at-once"
        with pytest.raises(TimeoutError):
            other.told(0.2)  # it has its line to write before it takes another event

        full.drain()
        other.idle()
    assert b'"path":"/at-once"' in written(full.output)


def test_a_warning_is_written_before_the_answer_and_after_what_was_said_before(folder: Path, full: Full) -> None:
    with RuntimeApi() as other, started(folder, other, stdout=full.writing):
        other.hand_out("1", get("warn"))
        with pytest.raises(TimeoutError):
            other.told(0.5)

        full.drain()
        assert json.loads(other.told().body)["body"] == "warn"
    first, second, *_ = map(json.loads, written(full.output).splitlines())
    assert (first["message"], second["message"]) == ({"said": "first"}, {"said": "second"})


# What goes wrong


@pytest.mark.parametrize("event", [b'{"Records": []}', b"[]", b'"x"'])
def test_an_exception_is_told_as_amazons_client_tells_it(
    process: "subprocess.Popen[str]", folder: Path, api: RuntimeApi, event: bytes
) -> None:
    told, _ = api.invoke("request-1", event)
    theirs, their_line, _ = by_the_client(folder, event)

    said = json.loads(told.body)
    assert told.path.endswith("/invocation/request-1/error")
    assert told.headers["lambda-runtime-function-error-type"] == "Rejected"
    assert without_trace(said) == without_trace(theirs)
    assert said["stackTrace"][1:] == theirs["stackTrace"][1:], "all but whom each of them calls first"
    (line,) = [line for line in lines(process, api) if "stackTrace" in line]
    assert line.keys() == their_line.keys()
    assert answer(api, "next") == "next"


@pytest.mark.parametrize("why", ["ImportError('lost')", "RuntimeError('broken')"])
def test_what_cannot_be_imported_is_told_as_amazons_client_tells_it(folder: Path, why: str) -> None:
    (folder / "orjson.py").write_text(f'"""Not orjson."""\nraise {why}\n')
    with RuntimeApi() as api, started(folder, api) as failing:
        told = api.told()
        told.accept()
        status = failing.wait()
    theirs, _, their_status = by_the_client(folder)

    said = json.loads(told.body)
    assert told.path.endswith("/runtime/init/error")
    assert told.headers["lambda-runtime-function-error-type"] == said["errorType"]
    assert without_trace(said) == without_trace(theirs)
    assert bool(said["stackTrace"]) == bool(theirs["stackTrace"])
    assert (status, their_status) == (1, 1)


def by_the_client(folder: Path, event: bytes = b"") -> tuple[dict[str, Any], dict[str, Any], int | None]:
    """The document of a failure as Amazon's client has it, its line in the log, and its status if that is the end."""
    with RuntimeApi() as api, started(folder, api, CLIENT, str(HAS_CLIENT)) as running:
        told = api.told()
        while told.what == "next":  # where the machine is busy, it may ask a second time
            api.hand_out("request-1", event)
            told = api.told()
        told.accept()
        status = None if event else running.wait()
        running.kill()
        assert running.stdout
        (line,) = [json.loads(line) for line in running.stdout if '"stackTrace"' in line]
    return json.loads(told.body), line, status


def without_trace(document: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name != "stackTrace"}


@pytest.mark.parametrize("status", ["403 Forbidden", "500 Internal Server Error"])
def test_an_api_that_refuses_ends_the_process_with_one_line(
    process: "subprocess.Popen[str]", api: RuntimeApi, status: str
) -> None:
    api.idle().sendall(f'HTTP/1.1 {status}\r\ncontent-length: 12\r\n\r\n{{"why":"so"}}'.encode())

    assert process.wait(20) == 1
    assert process.stderr
    (line,) = process.stderr.read().splitlines()
    assert (
        line == f'no more events from Lambda\'s Runtime API at {api.address}: it answered {status[:3]}: {{"why":"so"}}'
    )


def test_an_answer_that_comes_too_late_does_not_end_the_process(api: RuntimeApi) -> None:
    api.hand_out("1", get("late"))
    api.told().connection.sendall(b"HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n")

    assert answer(api, "next", request="2") == "next"
