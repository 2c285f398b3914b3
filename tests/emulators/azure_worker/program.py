"""The process of one app: Azure's worker over an unpacked zip. `program.py FOLDER PATH…`

`azure_functions_runtime` is what Azure itself runs from Python 3.13 on. There a program that PyPI has not calls it for
each message of the host's; here this one does, for each line of JSON on standard input, and answers with another. What
a payload becomes in the app, and an answer on the way back, is that library's and the app's own `azure-functions`.
"""

import asyncio
import importlib
import json
import os
import sys
from base64 import b64decode, b64encode
from datetime import datetime
from types import SimpleNamespace
from typing import Any

MESSAGES = (
    "BindingInfo", "FunctionMetadataResponse", "RpcException", "RpcFunctionMetadata", "StatusResult",
    "WorkerInitResponse", "WorkerMetadata",
)  # fmt: skip
Document = dict[str, Any]


class Message(SimpleNamespace):
    """Any message of the protocol between host and worker, with the numbers that it has for words."""

    undefined, out, inout = 0, 1, 2
    Failure, Success = 0, 1


def main(folder: str, *path: str) -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the app prints is no answer
    sys.path[:0] = [folder, *path]
    worker = Worker(folder)
    answers.write(json.dumps(worker.indexed()) + "\n")
    answers.flush()
    for line in sys.stdin:
        answers.write(json.dumps(worker.invoked(**json.loads(line))) + "\n")
        answers.flush()


class Worker:
    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._library: Any = importlib.import_module("azure_functions_runtime")
        self._native: Any = importlib.import_module("azure_functions_runtime.native_invocation")
        self._datum: Any = importlib.import_module("azure_functions_runtime.bindings.datumdef").Datum
        self._ids: dict[str, str] = {}
        self._library.start_threadpool_executor()

    def indexed(self) -> Document:
        """What the app declares: each function's bindings, as the host is told them."""
        asked = SimpleNamespace(worker_init_request=Message(capabilities={}, function_app_directory=self._folder))
        properties = {"host": "127.0.0.1", "protos": SimpleNamespace(**dict.fromkeys(MESSAGES, Message))}
        request = SimpleNamespace(request=asked, properties=properties)
        began = asyncio.run(self._library.worker_init_request(request)).result
        if began.status != Message.Success:
            return {"error": began.exception.message}
        found = asyncio.run(self._library.functions_metadata_request(request)).function_metadata_results
        self._ids = {one.name: one.function_id for one in found}
        return {"functions": {one.name: [json.loads(text) for text in one.raw_bindings] for one in found}}

    def invoked(self, function: str, inputs: Document, metadata: Document | None = None, clock: str = "") -> Document:
        """What came of an invocation. `clock` is what this machine's clock shows meanwhile, if not the time."""
        given = [(name, self._input(one)) for name, one in inputs.items()]
        about = {name: self._datum(json.dumps(value), "json") for name, value in (metadata or {}).items()}
        host: Any = sys.modules["samara.hosts.azure"]
        true = host.now  # where the app reads the clock, which is not ours to set
        if clock:
            host.now = lambda: datetime.fromisoformat(clock)
        try:
            _, ok, returned, outputs, why, _ = self._native.run_invocation_sync("1", self._ids[function], given, about)
        finally:
            host.now = true
        if not ok:
            return {"error": why}
        response = response_of(returned.value) if returned else None
        return {"response": response, "outputs": {name: datum.value for name, datum in outputs}}

    def _input(self, one: Document) -> Any:
        """A payload as the host types it: a queue's message is text, a timer JSON, and a request a message itself."""
        if "http" not in one:
            ((kind, value),) = one.items()
            return self._datum(value, kind)
        request = one["http"]
        named = {
            part: {name: self._datum(value, "string") for name, value in request[part].items()}
            for part in ("headers", "query", "params")
        }
        plain = {part: self._datum(request[part], "string") for part in ("method", "url")}
        body = self._datum(b64decode(request["body"]), "bytes")
        return self._datum({**plain, **named, "body": body}, "http")


def response_of(value: Document) -> Document:
    return {
        "status": int(value["status_code"].value),
        "headers": {name: datum.value for name, datum in value["headers"].items()},
        "body": b64encode(value["body"].value).decode(),
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
