"""One answer of Samara's handler in a process of its own, and then: the body is the file that is named.

Says what of the heavy packages was loaded by then.
"""

import sys
from datetime import UTC, datetime
from pathlib import Path

from samara import catalogue, dispatch
from samara.app import build
from samara.events import HttpRequest
from samara.settings import from_environment

HEAVY = ("numpy", "pydantic", "boto3", "aws_lambda_powertools")

if __name__ == "__main__":
    settings = from_environment()
    handler = dispatch.handler_of("predict")
    app = build(settings).acting_as(catalogue.named(catalogue.load(settings.catalogue), "predict"))
    headers = {"content-type": "application/json"}
    body = Path(sys.argv[1]).read_bytes()
    response = handler.run(
        HttpRequest("POST", "/v2/models/model/infer", datetime.now(UTC), headers=headers, body=body), app
    )
    said = Path("/proc/self/schedstat")
    waited = said.read_text().split()[1] if said.exists() else "0"
    print(response.status, waited, *[name for name in HEAVY if name in sys.modules], flush=True)  # noqa: T201  # to whoever started it
