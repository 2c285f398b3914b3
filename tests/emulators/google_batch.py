"""Google Batch on loopback: a small server of its REST API, whose jobs are processes of this machine.

There is no emulator of it. This one refuses a job with a field that Google's does not have, and answers in the shapes
of `tests/contract/recorded/gcp`. No image is pulled: `python` is ours, and finds what we find.

`python -m tests.emulators.google_batch PORT` serves until it is killed.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlsplit
from uuid import uuid4

from tests.emulators import processes

RECORDED = Path(__file__).parents[1] / "contract" / "recorded" / "gcp"
PLACE = re.compile(r"/v1/(projects/[^/]+/locations/[^/]+/jobs)(?:/([^/:]+)(?::([a-z]+))?)?")
ENDED = ("SUCCEEDED", "FAILED", "CANCELLED")
POLL_S = 0.02

Document = dict[str, Any]


def recorded(name: str) -> Document:
    document: Document = json.loads((RECORDED / f"{name}.json").read_text())
    return document


@cache
def endpoint() -> str:
    """The address of this process's own server."""
    port = processes.free_port()
    processes.start("google-batch", [sys.executable, "-m", "tests.emulators.google_batch", str(port)], port)
    return f"http://127.0.0.1:{port}"


def address(at: str, project: str = "acme-ml") -> str:
    """Where jobs run, in the words of Samara's settings."""
    return f"batch://{project}/europe-west4?image=python:3.13&endpoint={at}"


def fresh_project() -> str:
    """The address of a project without jobs."""
    return address(endpoint(), f"samara-{uuid4().hex[:12]}")


class Refusal(Exception):
    def __init__(self, document: Document) -> None:
        super().__init__(document["error"]["message"])
        self.document = document


@dataclass
class Batch:
    """The service. Where it `runs` nothing, jobs stay as they are until a test says otherwise. `python` is what an
    image has under that name."""

    runs: bool = False
    python: str = sys.executable
    jobs: dict[str, Document] = field(default_factory=dict)
    asked: list[tuple[str, str, dict[str, str], Document]] = field(default_factory=list)
    tickets: dict[str, Document] = field(default_factory=dict)
    inside: dict[str, "list[subprocess.Popen[bytes]]"] = field(default_factory=dict)
    lock: Lock = field(default_factory=Lock)

    def state(self, name: str, state: str) -> None:
        self.jobs[name]["status"]["state"] = state

    def answer(self, verb: str, path: str, query: dict[str, str], body: Document) -> Document:
        self.asked.append((verb, path, query, body))
        place = PLACE.fullmatch(path)
        if place is None:
            raise Refusal(recorded("missing"))
        name = f"{place[1]}/{place[2] or query.get('jobId')}"
        with self.lock:
            if verb == "POST" and not place[2]:
                return self.created(name, query["requestId"], body)
            if name not in self.jobs:
                raise Refusal(recorded("missing"))
            if verb == "GET" and not place[3]:
                return deepcopy(self.jobs[name])
            if verb == "POST" and place[3] == "cancel":
                return self.cancelled(name)
        raise Refusal({"error": {"code": 501, "message": f"not emulated: {verb} {path}", "status": "UNIMPLEMENTED"}})

    def created(self, name: str, ticket: str, wish: Document) -> Document:
        if ticket in self.tickets:
            return self.tickets[ticket]
        if name in self.jobs:
            raise Refusal(recorded("exists"))
        if flaw := strange(wish, "Job", recorded("batch-v1")):
            message = f"Invalid JSON payload received. {flaw}"
            raise Refusal({"error": {"code": 400, "message": message, "status": "INVALID_ARGUMENT"}})
        job = {**recorded("job"), **deepcopy(wish), "name": name}
        self.jobs[name] = job
        self.state(name, "QUEUED")
        self.tickets[ticket] = deepcopy(job)
        if self.runs:
            Thread(target=self.run, args=(name,), daemon=True).start()
        return self.tickets[ticket]

    def cancelled(self, name: str) -> Document:
        if self.jobs[name]["status"]["state"] in ENDED:
            raise Refusal(recorded("ended"))
        self.state(name, "CANCELLATION_IN_PROGRESS")
        for process in self.inside.get(name, []):
            process.terminate()
            process.wait(timeout=30)
        return {"name": f"{name.partition('/jobs/')[0]}/operations/operation-1", "done": False}

    def run(self, name: str) -> None:
        (group,) = self.jobs[name]["taskGroups"]
        spec, tasks = group["taskSpec"], int(group["taskCount"])
        deadline = time.monotonic() + float(spec["maxRunDuration"].removesuffix("s"))
        with ExitStack() as folders:
            with self.lock:
                if self.jobs[name]["status"]["state"] == "QUEUED":
                    self.state(name, "RUNNING")
                    image = Image(self.python, speaking(self.jobs[name]))
                    self.inside[name] = [started(image, spec, number, tasks, folders) for number in range(tasks)]
            inside = self.inside.get(name, [])
            while any(process.poll() is None for process in inside):
                if time.monotonic() > deadline:
                    for process in inside:
                        process.terminate()
                time.sleep(POLL_S)
        with self.lock:
            stopped = self.jobs[name]["status"]["state"] == "CANCELLATION_IN_PROGRESS"
            failed = any(process.returncode for process in inside)
            self.state(name, "CANCELLED" if stopped else "FAILED" if failed else "SUCCEEDED")


@dataclass(frozen=True)
class Image:
    """What a job finds: a Python, and its environment."""

    python: str
    variables: Mapping[str, str]


def speaking(job: Document) -> dict[str, str]:
    """The environment of a job, which speaks to the emulated Cloud Storage as its own account and not as who submitted
    it, where that has one."""
    (group,) = job["taskGroups"]
    account = job["allocationPolicy"].get("serviceAccount", {}).get("email", "")
    variables = group["taskSpec"]["environment"]["variables"]
    return {name: re.sub(r"/as/[^&]+", f"/as/{account}", value) for name, value in variables.items()}


def started(image: Image, spec: Document, number: int, tasks: int, folders: ExitStack) -> "subprocess.Popen[bytes]":
    words = spec["runnables"][0]["container"]["commands"]
    command = [image.python if word == "python" else word for word in words]
    given = {**image.variables, "BATCH_TASK_INDEX": str(number), "BATCH_TASK_COUNT": str(tasks)}
    return subprocess.Popen(
        [sys.executable, "-m", "tests.emulators.container", *command],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **given},
        cwd=folders.enter_context(tempfile.TemporaryDirectory()),
    )


def strange(value: Any, kind: Any, fields: Document) -> str:
    """What a JSON value has that its kind has not; empty when it is sound."""
    if isinstance(kind, list):
        flaws = [strange(item, kind[0], fields) for item in value] if isinstance(value, list) else ["not a list"]
    elif isinstance(kind, dict) and "map" in kind:
        flaws = [strange(item, kind["map"], fields) for item in value.values()]
    elif isinstance(kind, dict):
        flaws = [] if value in kind["enum"] else [f"{value!r} is none of {kind['enum']}"]
    elif kind in fields:
        known = fields[kind]
        flaws = [f"Unknown name {name!r} at {kind}" for name in value if name not in known]
        flaws += [strange(item, known[name], fields) for name, item in value.items() if name in known]
    else:
        flaws = [] if SOUND[kind](value) else [f"{value!r} is no {kind}"]
    return next(filter(None, flaws), "")


SOUND = {
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "int32": lambda value: type(value) is int,
    "int64": lambda value: isinstance(value, str) and value.isdigit(),
    "duration": lambda value: isinstance(value, str) and value[:-1].isdigit() and value.endswith("s"),
}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    batch: ClassVar[Batch]

    def respond(self) -> None:
        parts = urlsplit(self.path)
        body = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))) or b"{}")
        try:
            status, document = 200, self.batch.answer(self.command, parts.path, dict(parse_qsl(parts.query)), body)
        except Refusal as refusal:
            status, document = refusal.document["error"]["code"], refusal.document
        data = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json; charset=UTF-8")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_DELETE = respond  # noqa: N815  # the names under which the standard library looks for them

    def log_message(self, *_: object) -> None:
        pass


def server(batch: Batch, port: int) -> ThreadingHTTPServer:
    made = ThreadingHTTPServer(("127.0.0.1", port), type("Bound", (Handler,), {"batch": batch}))
    made.daemon_threads = True
    made.block_on_close = False
    return made


@contextmanager
def served(batch: Batch) -> Iterator[str]:
    """The address of a service in this process, for tests that look into it."""
    made = server(batch, 0)
    thread = Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{made.server_port}"
    finally:
        made.shutdown()
        made.server_close()
        thread.join()


if __name__ == "__main__":
    server(Batch(runs=True), int(sys.argv[1])).serve_forever()
