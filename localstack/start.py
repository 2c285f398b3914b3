"""LocalStack on this machine without Docker: `python localstack/start.py`. Ctrl-C ends it and all it started.

It listens on loopback alone and runs deployed functions as processes; its state is gone when it ends. What LocalStack
reads from the environment it still reads (`DEBUG=1`, …); `LAMBDA_PROCESS_PYTHON` and `LAMBDA_PROCESS_ENVIRONMENT` are
explained in `lambda_processes/executor.py`.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

HERE = Path(__file__).resolve().parent
PYTHON = HERE / ".venv" / "bin" / "python"
PATIENCE_S = 120
ANY = "test"  # LocalStack takes any key
REGION = "us-east-1"
READY = """LocalStack listens on {url}. In another terminal:

  export AWS_ENDPOINT_URL={url} AWS_ACCESS_KEY_ID={key} AWS_SECRET_ACCESS_KEY={key} AWS_DEFAULT_REGION={region}

`curl -X POST '{url}/_samara/fire?arn=ARN'` fires a deployed schedule at once.
Ctrl-C ends it."""


def settings(port: int, folder: Path) -> dict[str, str]:
    """The environment of LocalStack, where everything that it writes is in `folder`."""
    defaults = {
        "LS_LOG": "warning",  # of an event that no rule wants it would tell once for each rule
        "LAMBDA_RETRY_BASE_DELAY": "1",  # a failed event is retried after seconds instead of minutes
        "LAMBDA_RUNTIME_ENVIRONMENT_TIMEOUT": "60",  # a busy laptop is slower than Lambda
        "LAMBDA_LIMITS_CODE_SIZE_ZIPPED": str(250 << 20),  # packages come through the bucket
    }
    fixed = {
        "LAMBDA_RUNTIME_EXECUTOR": "process",
        "GATEWAY_LISTEN": f"127.0.0.1:{port}",
        "LOCALSTACK_HOST": f"localhost.localstack.cloud:{port}",
        "DNS_ADDRESS": "0",  # no DNS server, whose port needs root
        "SKIP_SSL_CERT_DOWNLOAD": "1",
        "DISABLE_EVENTS": "1",  # nothing is reported to anybody
        "OVERRIDE_IN_DOCKER": "0",  # a container that builds software is not LocalStack's image
        "FILESYSTEM_ROOT": str(folder / "root"),
        "LOCALSTACK_VOLUME_DIR": str(folder / "volume"),
        "TEMP": str(folder / "tmp"),  # of TMPDIR LocalStack warns
        "AWS_ACCESS_KEY_ID": ANY,
        "AWS_SECRET_ACCESS_KEY": ANY,
        "AWS_DEFAULT_REGION": REGION,
    }
    mine = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PYTHON", "TMPDIR"))}
    return {**defaults, **mine, **fixed}


def run(port: int, folder: Path) -> int:
    """LocalStack's exit code, once it has ended or been ended."""
    (folder / "tmp").mkdir()
    url = f"http://127.0.0.1:{port}"
    command = [str(PYTHON), "-P", "-m", "localstack.runtime.main"]
    running = subprocess.Popen(command, env=settings(port, folder), cwd=folder)  # noqa: S603  # our own
    signal.signal(signal.SIGTERM, lambda *_: running.terminate())
    try:
        if healthy(running, url):
            print(READY.format(url=url, key=ANY, region=REGION), flush=True)  # noqa: T201  # for people
        return running.wait()
    except KeyboardInterrupt:
        return running.wait()  # the terminal has told LocalStack too
    finally:
        running.kill()


def healthy(running: "subprocess.Popen[bytes]", url: str) -> bool:
    """Whether it answers, before it ends or all patience does."""
    deadline = time.monotonic() + PATIENCE_S
    while running.poll() is None and time.monotonic() < deadline:
        try:
            with urlopen(f"{url}/_localstack/health", timeout=5):  # noqa: S310  # our own
                return True
        except (URLError, OSError):
            time.sleep(0.1)
    return False


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=4566)
    parser.add_argument("--folder", type=Path, help="for its state, empty; otherwise one that ends with it")
    asked = parser.parse_args()
    if not PYTHON.exists():
        sys.exit(f"{PYTHON} is not there; run `make localstack`")
    if asked.folder:
        sys.exit(run(asked.port, asked.folder))
    with tempfile.TemporaryDirectory(prefix="samara-localstack-", ignore_cleanup_errors=True) as folder:
        sys.exit(run(asked.port, Path(folder)))
