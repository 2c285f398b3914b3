"""The host of Azure Functions on loopback: what wakes an app calls its worker, and what its worker says is done.

The host itself cannot be had without Microsoft's downloads, so this one stands in: it reads the triggers that the apps
declare, and each app's `host.json`; polls queues, moves what was tried too often to `{queue}-poison`, writes output
bindings, and lets in by HTTP who has a function's key. Below it is Azure's own worker (`azure_worker.program`).
"""

import json
import re
import secrets
import subprocess
import sys
import zipfile
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlsplit

from infra import dists
from infra.proof import VENDORED
from tests.emulators import processes
from tests.emulators.azure_account import Account, Message
from tests.infra import packages

PROGRAM = Path(__file__).parent / "azure_worker" / "program.py"
HIDDEN_S = 600  # while a function works on a message
POLL_S = 0.1
TIMER = {"Schedule": {"AdjustForDST": True}, "ScheduleStatus": None, "IsPastDue": False}
Document = dict[str, Any]


class Failed(Exception):
    """A function raised."""


@dataclass(frozen=True)
class App:
    """A package that was put up, unpacked and started with nothing but its settings."""

    name: str
    folder: Path
    process: "subprocess.Popen[str]"
    lock: Lock = field(default_factory=Lock)
    key: str = field(default_factory=secrets.token_urlsafe)

    @cached_property
    def functions(self) -> dict[str, list[Document]]:
        """Each function's bindings, as the worker found them in the code."""
        return dict(self._said()["functions"])

    @cached_property
    def host(self) -> Document:
        return dict(json.loads((self.folder / "host.json").read_text()))

    def bindings(self, kind: str = "") -> Iterator[tuple[str, Document]]:
        """Each of that kind with its function, or each of all kinds."""
        for name, bindings in self.functions.items():
            yield from ((name, one) for one in bindings if kind in ("", one["type"]))

    def invoke(self, function: str, inputs: Document, **about: Any) -> Document:
        """What the function answers and puts out, or `Failed`."""
        with self.lock:
            assert self.process.stdin
            self.process.stdin.write(json.dumps({"function": function, "inputs": inputs, **about}) + "\n")
            self.process.stdin.flush()
            return self._said()

    def _said(self) -> Document:
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line, f"{self.name} ended; see {self.folder}.log"
        said: Document = json.loads(line)
        if "error" in said:
            raise Failed(said["error"])
        return said

    def stop(self) -> None:
        self.process.kill()
        self.process.communicate()


def worker() -> str:
    found = list(PROGRAM.parent.glob(".venv/lib/python*/site-packages"))
    assert found, f"Azure's worker is not installed in {PROGRAM.parent}; run `make setup`"
    return str(found[0])


def start(name: str, package: Path, settings: Mapping[str, str], folder: Path) -> App:
    """Its worker is started, and may not have read the app yet."""
    home = folder / name
    zipfile.ZipFile(package).extractall(home)
    python = dists.interpreter(packages.here("azure").python)
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", processes.MORTAL, python, "-I", "-S", str(PROGRAM), str(home),
             str(home / VENDORED), worker()],
            env=dict(settings), cwd=home, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
        )  # fmt: skip
    return App(name, home, process)


@dataclass
class Host:
    """All apps of a deployment, whose queues are in one account."""

    account: Account
    apps: Mapping[str, App]
    url: str = ""
    ended: Event = field(default_factory=Event)

    @contextmanager
    def running(self) -> Iterator[None]:
        threads = [
            Thread(target=self._listen, args=(app,)) for app in self.apps.values() if any(app.bindings("queueTrigger"))
        ]
        with ExitStack() as stack:
            for app in self.apps.values():
                stack.callback(app.stop)
            stack.enter_context(self._serving())
            for thread in threads:
                stack.callback(thread.join)
                thread.start()
            stack.callback(self.ended.set)
            yield

    def fire(self, app: str, at: datetime) -> None:
        """The timer of an app, at an instant that its clock shows then."""
        ((name, timer),) = self.apps[app].bindings("timerTrigger")
        self.apps[app].invoke(name, {timer["name"]: {"json": json.dumps(TIMER)}}, clock=at.isoformat())

    def _listen(self, app: App) -> None:
        queues = list(app.bindings("queueTrigger"))
        while not self.ended.wait(POLL_S):
            for name, trigger in queues:
                while not self.ended.is_set() and (message := self.account.taken(trigger["queueName"], HIDDEN_S)):
                    self._hand_over(app, name, trigger, message)

    def _hand_over(self, app: App, name: str, trigger: Document, message: Message) -> None:
        options, queue = app.host["extensions"]["queues"], trigger["queueName"]
        assert options["messageEncoding"] == "base64"
        text = b64decode(message.text).decode(errors="replace")
        about = {
            "Id": message.id,
            "DequeueCount": message.tries,
            "InsertionTime": parsedate_to_datetime(message.put_at).isoformat(),
            "PopReceipt": message.receipt,
            "QueueTrigger": text,
        }
        try:
            said = app.invoke(name, {trigger["name"]: {"string": text}}, metadata=about)
        except Failed:
            if message.tries < options["maxDequeueCount"]:
                self.account.show(queue, message)
                return
            self.account.put(f"{queue}-poison", b64decode(message.text))
        else:
            self._put_out(app, name, said["outputs"])
        self.account.delete(queue, message)

    def _put_out(self, app: App, name: str, outputs: Document) -> None:
        for binding in app.functions[name]:
            if binding["direction"] == "OUT" and binding["name"] in outputs:
                assert binding["type"] == "queue", f"no output of {binding['type']} is known here"
                self.account.put(binding["queueName"], outputs[binding["name"]].encode())

    @contextmanager
    def _serving(self) -> Iterator[None]:
        server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Handler,), {"host": self}))
        self.url = f"http://127.0.0.1:{server.server_port}"
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    def answer(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Document:
        """A request at the host name of an app, which is what comes before `.azurewebsites.net`."""
        parts = urlsplit(url)
        app = next((one for one in self.apps.values() if one.name == (parts.hostname or "").partition(".")[0]), None)
        found = next(taking(app, method, parts.path), None) if app else None
        if app is None or found is None:
            return {"status": 404, "headers": {}, "body": ""}
        name, trigger = found
        query = dict(parse_qsl(parts.query))
        assert trigger["authLevel"] == "FUNCTION", "no other level is known here"
        if headers.get("x-functions-key", query.get("code")) != app.key:
            return {"status": 401, "headers": {}, "body": ""}
        request = {"method": method, "url": url, "headers": dict(headers), "query": query}
        http = {**request, "params": {"path": parts.path.lstrip("/")}, "body": b64encode(body).decode()}
        return dict(app.invoke(name, {trigger["name"]: {"http": http}})["response"])


def taking(app: App, method: str, path: str) -> Iterator[tuple[str, Document]]:
    """The triggers of an app that such a request is for."""
    for name, trigger in app.bindings("httpTrigger"):
        if method in trigger["methods"] and re.fullmatch(route(app, trigger), path):
            yield name, trigger


def route(app: App, trigger: Document) -> str:
    """The paths that a trigger takes, as a pattern; Azure puts `api` before them unless it is told otherwise."""
    prefix = app.host.get("extensions", {}).get("http", {}).get("routePrefix", "api")
    template = "/".join(("", *filter(None, (prefix, trigger["route"]))))
    return re.sub(r"\\\{\\\*\w+\\\}", ".*", re.escape(template))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    host: ClassVar[Host]

    def respond(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        answer = self.host.answer(self.command, f"https://{headers['host']}{self.path}", headers, body)
        data = b64decode(answer["body"])
        self.send_response(answer["status"])
        for name, value in {**answer["headers"], "content-length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = respond  # noqa: N815  # names of http.server

    def log_message(self, *_: object) -> None:
        pass
