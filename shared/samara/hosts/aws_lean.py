"""What Lambda starts for a function that people wait for: `samara.hosts.aws_lean.handler`.

It takes requests and ticks, and logs what `samara.hosts.aws` logs, in the same fields. It is for functions that stand
in nobody's queue: events of the bucket take pydantic to read, and Powertools takes longer to load than an answer.

What the first answer needs is loaded before it is asked for: to a start Lambda gives a whole processor, and to an
answer the share of one that its memory pays for.
"""

import json
import logging
import os
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import orjson

from samara.dispatch import handler_of
from samara.entry import Line, log
from samara.errors import SamaraError
from samara.events import Event
from samara.events.aws_http import is_request, is_tick, reply, request, tick
from samara.events.fields import malformed
from samara.hosts.process import now, this

NAMESPACE = "Samara"
UNITS = {"Events": "Count", "Duration": "Milliseconds", "ColdStarts": "Count"}


def handler(payload: Any, context: Any) -> Any:
    LINES.begin(context)
    if is_request(payload):
        method = payload["requestContext"]["http"].get("method")
        response = this().answer(lambda: request(payload, now()))
        return reply(response, without_body=method == "HEAD")
    this().hear(lambda: event(payload))
    return None


def event(payload: Any) -> Event:
    if is_tick(payload):
        return tick(payload)
    raise malformed("payload", "is neither a request nor a tick; have samara.hosts.aws take all else")


class Lines(logging.Handler):
    """Each event's line as users of CloudWatch expect it, with what is known of the invocation, and its metrics."""

    def __init__(self) -> None:
        super().__init__()
        self._invocation: dict[str, Any] = {}
        self._first = True

    def begin(self, context: Any) -> None:
        self._invocation = {
            "cold_start": self._first,
            "function_name": context.function_name,
            "function_memory_size": str(context.memory_limit_in_mb),
            "function_arn": context.invoked_function_arn,
            "function_request_id": context.aws_request_id,
        }
        self._first = False

    def emit(self, record: logging.LogRecord) -> None:
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
        lines = [line, *measured(said)]
        sys.stdout.write("".join([f"{written(one)}\n" for one in lines]))
        sys.stdout.flush()


def written(line: dict[str, Any]) -> str:
    try:
        return orjson.dumps(line, default=str).decode()
    except orjson.JSONEncodeError:  # half a surrogate pair, of which only an escape can be written
        return json.dumps(line, default=str)


def measured(said: Any) -> list[dict[str, Any]]:
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
    about = {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [metrics]}
    return [{"_aws": about, "service": said["function"], "outcome": said["outcome"], **values}]


def prepare() -> None:
    """Have everything loaded. What is wrong with the deployment is told to the first who asks, and logged then."""
    log.handlers[:] = [LINES]
    log.setLevel(logging.INFO)
    log.propagate = False
    if "AWS_LAMBDA_RUNTIME_API" in os.environ:
        with suppress(SamaraError):
            handler_of(this().function.name).warm()


LINES = Lines()
prepare()
