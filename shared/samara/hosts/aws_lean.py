"""What runs on Lambda for a function that people wait for.

`samara.hosts.aws_loop` calls it there. Amazon's own runtime client can as well, by `handler`, and does wherever that
loop is not put in its place.

It takes requests and ticks, and logs what `samara.hosts.aws` logs, in the same fields. It is for functions that stand
in nobody's queue: events of the bucket take pydantic to read, and Powertools takes longer to load than an answer.

What the first answer needs is loaded before it is asked for: to a start Lambda gives a whole processor, and to an
answer the share of one that its memory pays for.
"""

import json
import logging
import os
import sys
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, NoReturn

import orjson

from samara.dispatch import handler_of
from samara.entry import Line, log
from samara.errors import Rejected, SamaraError
from samara.events import Event
from samara.events.aws_http import is_request, is_tick, reply, request, tick
from samara.events.fields import malformed
from samara.hosts.process import now, this

MOST = 6 << 20  # bytes of an answer: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
NAMESPACE = "Samara"
UNITS = {"Events": "Count", "Duration": "Milliseconds", "ColdStarts": "Count"}


def handler(payload: Any, context: Any) -> Any:
    LINES.begin(context)
    return answer(payload)


def document(body: bytes, context: Any) -> bytes:
    """The answer to an event, both as Lambda's API has them. What is said of it is kept until `LINES.end`."""
    LINES.begin(context, keeping=True)
    try:
        said = written(answer(read(body)))
    except Exception:
        LINES.end()
        raise
    return said if len(said) <= MOST else written(too_large(len(said)))


def read(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:  # half a surrogate pair, for which the answer is ours to give
        return json.loads(body)


def answer(payload: Any) -> Any:
    if is_request(payload):
        method = payload["requestContext"]["http"].get("method")
        response = this().answer(lambda: request(payload, now()), alone=True)
        return reply(response, without_body=method == "HEAD")
    this().hear(lambda: event(payload))
    return None


def event(payload: Any) -> Event:
    if is_tick(payload):
        return tick(payload)
    raise malformed("payload", "is neither a request nor a tick; have samara.hosts.aws take all else")


def too_large(size: int) -> dict[str, Any]:
    """What is said in place of an answer that Lambda would not pass on."""

    def refuse() -> NoReturn:
        way_out = "ask for fewer rows, for binary tensors, or by `samara score`"
        why = f"has {size:,} bytes, and Lambda passes {MOST:,} on; {way_out}"
        raise Rejected("answer", why, code="too_large")

    return reply(this().answer(refuse))


class Lines(logging.Handler):
    """Each event's line as users of CloudWatch expect it, with what is known of the invocation, and its metrics.

    Whoever waits for an answer need not wait for its lines: they can be kept until `end`. Not so a warning, and what
    was said before it: the invocation may be out of time, and then there is no end.
    """

    def __init__(self) -> None:
        super().__init__()
        self._invocation: dict[str, Any] = {}
        self._first = True
        self._keeping = False
        self._kept: list[logging.LogRecord] = []

    def begin(self, context: Any, *, keeping: bool = False) -> None:
        self._keeping = keeping
        self._invocation = {
            "cold_start": self._first,
            "function_name": context.function_name,
            "function_memory_size": str(context.memory_limit_in_mb),
            "function_arn": context.invoked_function_arn,
            "function_request_id": context.aws_request_id,
        }
        self._first = False

    def end(self) -> None:
        self._keeping = False
        self.flush()

    def emit(self, record: logging.LogRecord) -> None:
        self._kept.append(record)
        if not self._keeping or record.levelno >= logging.WARNING:
            self.flush()

    def flush(self) -> None:
        self.acquire()
        try:
            kept, self._kept = self._kept, []
            if kept:
                sys.stdout.write(
                    "".join([f"{written(one).decode()}\n" for record in kept for one in self._lines(record)])
                )
                sys.stdout.flush()
        finally:
            self.release()

    def _lines(self, record: logging.LogRecord) -> list[dict[str, Any]]:
        said = Line.of(record) or record.getMessage()
        line = {
            "level": record.levelname,
            "location": f"{record.funcName}:{record.lineno}",
            "message": said,
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "service": log.name,
            **self._invocation,
        }
        if trace := os.environ.get("_X_AMZN_TRACE_ID"):
            line["xray_trace_id"] = trace.partition(";")[0].removeprefix("Root=")
        if record.exc_info and record.exc_info[0]:
            line["exception"] = logging.Formatter().formatException(record.exc_info)
            line["exception_name"] = record.exc_info[0].__name__
        return [line, *measured(said, record.created)]


def written(value: Any) -> bytes:
    try:
        return orjson.dumps(value, default=str)
    except orjson.JSONEncodeError:  # half a surrogate pair, of which only an escape can be written
        return json.dumps(value, default=str).encode()


def measured(said: Any, at: float) -> list[dict[str, Any]]:
    """An event's line as CloudWatch's embedded metrics: how many came to which outcome, and how long that took.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
    """
    if not isinstance(said, dict) or not {"function", "outcome", "ms"} <= said.keys():
        return []
    if said["outcome"] == "ok" and "at" in said:
        return []  # a tick is no news, and a metric that only the clock feeds would be billed all month
    values = {"Events": [1.0], "Duration": [float(said["ms"])], **({"ColdStarts": [1.0]} if said.get("cold") else {})}
    metrics = {
        "Namespace": NAMESPACE,
        "Dimensions": [["service", "outcome"]],
        "Metrics": [{"Name": name, "Unit": UNITS[name]} for name in values],
    }
    about = {"Timestamp": int(at * 1000), "CloudWatchMetrics": [metrics]}
    return [{"_aws": about, "service": said["function"], "outcome": said["outcome"], **values}]


def prepare() -> None:
    """Have everything loaded. What is wrong with the deployment is told to the first who asks, and logged then."""
    log.handlers[:] = [LINES]
    log.setLevel(logging.INFO)
    log.propagate = False
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False  # which no line tells
    if "AWS_LAMBDA_RUNTIME_API" in os.environ:
        with suppress(SamaraError):
            handler_of(this().function.name).warm()


LINES = Lines()
prepare()
