"""What Lambda starts: `samara.hosts.aws.handler`.

What is raised fails the invocation, which Lambda then tries twice more, and a queue gives its messages back. So a
`Rejected` is tried again too, in vain but harmlessly; after the last try the event goes to the dead letters.
"""

import logging
from functools import cache
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

from samara.entry import Line, log
from samara.events import aws
from samara.hosts.process import now, this

NAMESPACE = "Samara"


def handler(payload: Any, context: Any) -> Any:
    return prepared()(payload, context)


@cache
def prepared() -> Any:
    """The work, logging as Lambda's users expect it: JSON with the invocation's own fields, and metrics beside it."""
    logger = Logger(service=log.name, level=logging.INFO)
    log.addHandler(Metrics())
    logging.getLogger("botocore").setLevel(logging.WARNING)  # it tells at every cold start where it found what
    return logger.inject_lambda_context(work)


def work(payload: Any, _context: Any) -> Any:
    if aws.is_request(payload):
        method = payload["requestContext"]["http"].get("method")
        response = this().answer(lambda: aws.request(payload, now()))
        return aws.reply(response, without_body=method == "HEAD")
    return consumed(payload)


def consumed(payload: Any) -> dict[str, Any] | None:
    """Take every event of a payload, whatever becomes of the others. A queue is told which of its messages failed."""
    failed: list[tuple[str, Exception]] = []
    for told in aws.told(payload, this().known):
        try:
            this().take(told.event)
        except Exception as error:  # noqa: BLE001  # the others are not to blame
            failed.append((told.message, error))
    if aws.batch(payload):
        return {"batchItemFailures": [{"itemIdentifier": message} for message in dict(failed)]}
    if failed:
        raise failed[0][1]
    return None


class Metrics(logging.Handler):
    """Each event's line as CloudWatch's metrics too: how many came to which outcome, and how long that took."""

    def emit(self, record: logging.LogRecord) -> None:
        said = Line.of(record) or Line()
        if not {"ms", "outcome", "function"} <= said.keys():
            return
        took, outcome, function = said["ms"], said["outcome"], said["function"]
        if outcome == "ok" and "at" in said:
            return  # a tick is no news, and a metric that only the clock feeds would be billed all month
        metrics = EphemeralMetrics(namespace=NAMESPACE, service=function)
        metrics.add_dimension(name="outcome", value=outcome)
        metrics.add_metric(name="Events", unit=MetricUnit.Count, value=1)
        metrics.add_metric(name="Duration", unit=MetricUnit.Milliseconds, value=took)
        if said.get("cold"):
            metrics.add_metric(name="ColdStarts", unit=MetricUnit.Count, value=1)
        metrics.flush_metrics()
