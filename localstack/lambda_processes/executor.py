"""LocalStack's seam for running functions, filled by processes of this machine.

An execution environment is one process that runs Lambda's own runtime on the unzipped package and serves one event
at a time. It ends as on Lambda: by time-out, by using more memory than the function has, or by itself.

`LAMBDA_PROCESS_PYTHON` names the interpreter, in whose environment `awslambdaric` is installed; without it, it is
LocalStack's own. `LAMBDA_PROCESS_ENVIRONMENT` is JSON: variables that every function gets besides its own.
"""

import json
import logging
import platform
import queue
import sys
import tempfile
import threading
import time
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as TookTooLong
from pathlib import Path
from shutil import rmtree
from typing import Any

from localstack.services.lambda_.invocation.executor_endpoint import StatusErrorException
from localstack.services.lambda_.invocation.lambda_models import FunctionVersion, InvocationResult
from localstack.services.lambda_.invocation.runtime_executor import RuntimeExecutor

from lambda_processes import processes
from lambda_processes.runtime_api import Server
from localstack import config

LOG = logging.getLogger(__name__)
ANSWER_LIMIT = 6 << 20
INTERNAL = ("LOCALSTACK_", "EDGE_PORT")  # between LocalStack and the containers that it would start
MACHINES = {"arm64": "arm64", "aarch64": "arm64", "x86_64": "x86_64", "AMD64": "x86_64"}

Ending = tuple[bytes, bool]  # the document that came of an event, and whether it tells of a failure


class ProcessExecutor(RuntimeExecutor):  # type: ignore[misc, unused-ignore]
    """One execution environment of one version of a function."""

    def __init__(self, id: str, function_version: FunctionVersion) -> None:  # noqa: A002  # LocalStack's word
        super().__init__(id=id, function_version=function_version)
        self._function = function_version.config
        self._folder = Path(tempfile.mkdtemp(prefix=f"lambda-{function_version.id.function_name}-"))
        self._events: queue.Queue[dict[str, str] | None] = queue.Queue()
        self._began: Future[None] = Future()
        self._current: tuple[str, Future[Ending]] | None = None
        self._process: processes.Process | None = None
        self._stopped = False
        self._environment: dict[str, str] = {}
        self._server = Server(self)

    # What LocalStack asks of us

    def start(self, env_vars: dict[str, str]) -> None:
        self._environment = {name: str(value) for name, value in env_vars.items() if not name.startswith(INTERNAL)}
        if unfit := unfit_to_run(self._function.runtime, self._function.architectures):
            raise StatusErrorException("unfit", payload=failure("Runtime.Unfit", unfit))
        self._spawn()

    def stop(self) -> None:
        self._stopped = True
        self._events.put(None)
        if self._process:
            self._process.end()
        self._server.close()
        for waiting in (self._began, self._current[1] if self._current else None):
            if waiting:
                waiting.cancel()
        rmtree(self._folder, ignore_errors=True)

    def invoke(self, payload: dict[str, str]) -> InvocationResult:
        request_id, began = payload["invoke-id"], time.monotonic()
        if self._process is None or not self._process.alive:
            self._spawn()  # the last event was the end of it
        assert self._process  # noqa: S101  # spawned above, for the types
        waiting: Future[Ending] = Future()
        self._current = (request_id, waiting)
        self._events.put(payload)
        try:
            body, failed = self._ending(request_id, waiting)
        finally:
            self._current = None
        said = self._process.said()
        took = (time.monotonic() - began) * 1000
        report = f"START RequestId: {request_id} Version: {self.function_version.id.qualifier}\n{said}"
        report += f"END RequestId: {request_id}\nREPORT RequestId: {request_id}\tDuration: {took:.2f} ms\t"
        report += f"Memory Size: {self._function.memory_size} MB\tMax Memory Used: {self._process.most_mb} MB\n"
        return InvocationResult(request_id=request_id, payload=body, is_error=failed, logs=report)

    def get_logs(self) -> str:
        return self._process.everything_said() if self._process else ""

    def get_address(self) -> str:
        return "127.0.0.1"

    def get_endpoint_from_executor(self) -> str:
        return "127.0.0.1"

    def get_runtime_endpoint(self) -> str:
        return f"http://127.0.0.1:{config.GATEWAY_LISTEN[0].port}/_localstack_lambda/{self.id}"

    @classmethod
    def prepare_version(cls, function_version: FunctionVersion) -> None:
        function_version.config.code.prepare_for_execution()  # type: ignore[no-untyped-call]

    @classmethod
    def cleanup_version(cls, function_version: FunctionVersion) -> None:
        function_version.config.code.destroy_cached()  # type: ignore[no-untyped-call]

    # What the Runtime API tells us

    def next_event(self) -> tuple[dict[str, str], bytes] | None:
        if not self._began.done():
            self._began.set_result(None)
        event = self._events.get()
        if event is None:
            return None
        headers = {
            "Lambda-Runtime-Aws-Request-Id": event["invoke-id"],
            "Lambda-Runtime-Deadline-Ms": str(int((time.time() + self._function.timeout) * 1000)),
            "Lambda-Runtime-Invoked-Function-Arn": event["invoked-function-arn"],
            "Lambda-Runtime-Trace-Id": event["trace-id"],
        }
        return headers, event["payload"].encode()

    def ended(self, request_id: str, body: bytes, *, failed: bool) -> None:
        if len(body) > ANSWER_LIMIT:
            said = f"Response payload size exceeded maximum allowed payload size ({ANSWER_LIMIT} bytes)."
            body, failed = failure("Function.ResponseSizeTooLarge", said), True
        if self._current and self._current[0] == request_id and not self._current[1].done():
            self._current[1].set_result((body, failed))

    def never_began(self, body: bytes) -> None:
        if not self._began.done():
            self._began.set_exception(StatusErrorException("the function could not be loaded", payload=body))

    # The process

    def _spawn(self) -> None:
        self._began = Future()
        self._events = queue.Queue()
        package = str(self._function.code.get_unzipped_code_location())  # type: ignore[no-untyped-call]
        self._process = processes.Process(
            processes.command(package, self._environment.get("AWS_LAMBDA_EXEC_WRAPPER", ""), self._folder),
            self._variables(package),
            folder=self._folder,
            memory_mb=self._function.memory_size,
            package=package,
        )
        threading.Thread(target=self._mourn, args=(self._process,), daemon=True).start()
        try:
            self._began.result()
        except CancelledError as cancelled:
            raise StatusErrorException("stopped as it began", payload=b"{}") from cancelled

    def _variables(self, package: str) -> dict[str, str]:
        """All that the process gets: nothing of LocalStack's own environment but what finds programs."""
        logs = self._function.logging_config or {}
        given = {
            "AWS_LAMBDA_RUNTIME_API": self._server.address,
            "AWS_LAMBDA_LOG_FORMAT": logs.get("LogFormat") or "Text",
            "AWS_LAMBDA_LOG_LEVEL": logs.get("ApplicationLogLevel") or "",
            "AWS_EXECUTION_ENV": f"AWS_Lambda_{self._function.runtime}",
            "LAMBDA_TASK_ROOT": package,
            "TMPDIR": str(self._folder),
            "HOME": str(self._folder),
            "_HANDLER": self._function.handler or "",
        }
        return {**processes.inherited(), **self._environment, **processes.extra(), **given}

    def _mourn(self, process: processes.Process) -> None:
        """Says why, to who waits, when the process ends by itself."""
        why = process.wait()
        if self._stopped or process is not self._process:
            return
        LOG.warning("%s ended: %s; it said: %s", self.function_version.id.function_name, why, process.last_words())
        if not self._began.done():
            self.never_began(failure("Runtime.ExitError", f"Error: Runtime exited with error: {why}"))
        elif current := self._current:
            said = f"RequestId: {current[0]} Error: Runtime exited with error: {why}"
            self.ended(current[0], failure("Runtime.ExitError", said), failed=True)

    def _ending(self, request_id: str, waiting: "Future[Ending]") -> Ending:
        try:
            return waiting.result(self._function.timeout)
        except TookTooLong:
            self._current = None
            if self._process:
                self._process.end()
            said = f"RequestId: {request_id} Error: Task timed out after {self._function.timeout:.2f} seconds"
            return failure("Sandbox.Timedout", said), True


def failure(kind: str, message: str) -> bytes:
    return json.dumps({"errorType": kind, "errorMessage": message}).encode()


def unfit_to_run(runtime: str | None, architectures: list[Any]) -> str:
    """Why this machine cannot stand in for that Lambda, whose package holds binaries for it."""
    version = processes.version()
    if runtime != f"python{version}":
        return (
            f"the function is for {runtime}, and functions run here in Python {version}; "
            f"deploy it for that, or let LAMBDA_PROCESS_PYTHON name another interpreter with awslambdaric"
        )
    here = MACHINES.get(platform.machine(), platform.machine())
    if here not in architectures or sys.platform != "linux":
        wanted = ", ".join(architectures)
        return f"the function is for Linux on {wanted}, and this is {sys.platform} on {here}; deploy it for this"
    return ""
