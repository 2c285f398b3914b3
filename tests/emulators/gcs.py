"""Google Cloud Storage on loopback: a small server of its JSON API, written for these tests.

Why our own: what the registries have (gcp-storage-emulator) ignores preconditions, so that of 64 racing creators
all win, and every promise we make rests on them. `gcs_server` honours them on every kind of upload, as Google's
reference describes it, and refuses loudly what it does not know. Objects live in memory and die with the process.

`python -m tests.emulators.gcs PORT` serves until it is killed.
"""

import json
import sys
from functools import cache
from urllib.request import Request, urlopen
from uuid import uuid4

import uvicorn

from tests.emulators import processes
from tests.emulators.gcs_server import CREATORS, LIMIT_S, Cloud


@cache
def endpoint(pubsub: str = "") -> str:
    """The address of this process's own server, whose notifications go to the Pub/Sub at that `host:port`."""
    port = processes.free_port()
    command = [sys.executable, "-m", "tests.emulators.gcs", str(port)]
    processes.start("gcs", command, port, {"PUBSUB_EMULATOR_HOST": pubsub})
    return f"http://127.0.0.1:{port}"


def fresh_bucket(limit_s: int = 0, *, only_creators: bool = False) -> str:
    """The address of a new bucket. The real service takes one write a second for each name; here it is one in that
    many seconds, or as many as one likes. With `only_creators`, whoever writes may create and not overwrite."""
    name = f"samara-{uuid4().hex[:12]}"
    labels = {LIMIT_S: str(limit_s), **({CREATORS: "yes"} if only_creators else {})}
    asked = Request(  # noqa: S310  # our own server
        f"{endpoint()}/storage/v1/b?project=tests",
        data=json.dumps({"name": name, "labels": labels}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urlopen(asked, timeout=30):  # noqa: S310  # the same
        return f"gs://{name}?endpoint={endpoint()}"


if __name__ == "__main__":
    uvicorn.run(Cloud(), host="127.0.0.1", port=int(sys.argv[1]), lifespan="off", access_log=False, log_level="warning")
