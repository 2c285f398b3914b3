"""What runs a lean function on Lambda in place of Amazon's runtime client.

An answer takes two thirds of the time that it takes by the client. It costs less itself, and it answers before it logs:
Lambda lets a process run until that asks for its next event, so whoever waits for an answer need not wait for its line.

Lambda starts it by the wrapper script of `infra.hosts`. Without that, Amazon's client calls
`samara.hosts.aws_lean.handler`, which answers and logs the same.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-modify.html#runtime-wrapper
"""

import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any, NamedTuple

from samara.hosts import swift
from samara.hosts.aws_api import BROKEN, Api, Reply

SAME = b"lambda-runtime-invocation-id"  # said back, by which Lambda knows a late answer from that of another try
TRACE = "_X_AMZN_TRACE_ID"
Answer = Callable[[bytes, "Invocation"], bytes]


class Invocation(NamedTuple):
    """What a handler is told of one, in the words of Amazon's client."""

    aws_request_id: str
    invoked_function_arn: str
    function_name: str
    memory_limit_in_mb: str


def main() -> None:
    api = Api(os.environ["AWS_LAMBDA_RUNTIME_API"])
    about = os.environ["AWS_LAMBDA_FUNCTION_NAME"], os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]
    swift.begin()
    try:
        answer, end = loaded(api)
        swift.done()
        while True:
            take(api.next(), api, answer, about)
            end()
            api.settle()
    except BROKEN as error:
        sys.exit(f"no more events from Lambda's Runtime API at {os.environ['AWS_LAMBDA_RUNTIME_API']}: {error}")


def loaded(api: Api) -> tuple[Answer, Callable[[], None]]:
    """How an event is answered, and how that is ended. When it cannot be loaded, Lambda is told why."""
    try:
        from samara.hosts.aws_lean import LINES, document  # noqa: PLC0415  # what fails here is to be told
    except Exception as error:  # noqa: BLE001  # whatever it is
        failed = failure(error)
        if isinstance(error, ImportError):
            message = f"Unable to import module 'samara.hosts.aws_lean': {error}"
            failed.update(errorType="Runtime.ImportModuleError", errorMessage=message, stackTrace=[])
        report(api, "init/error", failed)
        api.settle()
        sys.exit(1)
    return document, LINES.end


def take(event: Reply, api: Api, answer: Answer, about: tuple[str, str]) -> None:
    """Answer one event, or tell why there is no answer."""
    request = event.text(b"lambda-runtime-aws-request-id")
    same = f"{SAME.decode()}: {event.text(SAME)}\r\n" if SAME in event.headers else ""
    if trace := event.text(b"lambda-runtime-trace-id"):
        os.environ[TRACE] = trace
    else:
        os.environ.pop(TRACE, None)
    try:
        said = answer(event.body, Invocation(request, event.text(b"lambda-runtime-invoked-function-arn"), *about))
    except Exception as error:  # noqa: BLE001  # whatever it is, the next event is not to blame
        report(api, f"invocation/{request}/error", failure(error, request), same)
    else:
        api.tell(f"invocation/{request}/response", said, same)


def failure(error: Exception, request: str = "") -> dict[str, Any]:
    """What Amazon's client says of an exception, but for its own lines in the traceback."""
    frames = [
        (frame.filename, frame.lineno or 0, frame.name, frame.line)
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename != __file__
    ]
    return {
        "errorMessage": str(error),
        "errorType": type(error).__name__,
        "requestId": request,
        "stackTrace": traceback.format_list(frames),
    }


def report(api: Api, where: str, failed: dict[str, Any], headers: str = "") -> None:
    """Log it as well: the next process has another log."""
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    sys.stdout.write(json.dumps({"timestamp": at, "level": "ERROR", **failed}) + "\n")
    sys.stdout.flush()
    kind = f"lambda-runtime-function-error-type: {failed['errorType']}\r\n"
    api.tell(where, json.dumps(failed).encode(), kind + headers)


if __name__ == "__main__":
    main()
