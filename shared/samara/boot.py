"""A job's first words: fetch the package it runs from, out of the bucket it works on, and become the job.

Run as `python -c THIS MODULE ARGUMENTS…` on a stock image that has Python and no more, so it imports only Python's
own, and knows each cloud by the one request it needs. What was fetched is held against the digest it is named for.
"""

import hashlib
import hmac
import json
import os
import shutil
import sys
import tempfile
import time
import urllib.request
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

METADATA = "http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/token"
IMDS = "http://169.254.169.254/metadata/identity/oauth2/token"
EMPTY = hashlib.sha256().hexdigest()
Options = dict[str, str]


def asked(url: str, **headers: str) -> Any:
    """The answer to a GET, tried again for half a minute: a network is often the last thing a new machine gets."""
    for patience in (1, 2, 4, 8, 16, 0):
        try:
            request = urllib.request.Request(url, headers=headers)  # noqa: S310  # only those named here
            return urllib.request.urlopen(request, timeout=60)  # noqa: S310  # the same
        except OSError as error:
            if not patience or getattr(error, "code", 500) in (400, 403, 404):
                sys.exit(f"{url.partition('?')[0]}: {error}; this job's code cannot be fetched")
        time.sleep(patience)
    return None


def s3(bucket: str, key: str, options: Options) -> Any:
    """Signed as https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html says."""
    env = os.environ
    region = options.get("region") or env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION") or "us-east-1"
    endpoint = options.get("endpoint") or env.get("AWS_ENDPOINT_URL_S3") or env.get("AWS_ENDPOINT_URL")
    base = f"{endpoint.rstrip('/')}/{bucket}" if endpoint else f"https://{bucket}.s3.{region}.amazonaws.com"
    url = f"{base}/{quote(key)}"
    path = env.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
    where = f"http://169.254.170.2{path}" if path else env.get("AWS_CONTAINER_CREDENTIALS_FULL_URI")
    keys = json.load(asked(where, Authorization=env.get("AWS_CONTAINER_AUTHORIZATION_TOKEN", ""))) if where else {}
    return asked(url, **signature(url, region, {
        "id": keys.get("AccessKeyId") or env["AWS_ACCESS_KEY_ID"],
        "secret": keys.get("SecretAccessKey") or env["AWS_SECRET_ACCESS_KEY"],
        "token": keys.get("Token") or env.get("AWS_SESSION_TOKEN", ""),
    }, datetime.now(UTC)))  # fmt: skip


def signature(url: str, region: str, keys: Options, at: datetime) -> Options:
    parts, now = urlsplit(url), at.strftime("%Y%m%dT%H%M%SZ")
    headers = {"host": parts.netloc, "x-amz-content-sha256": EMPTY, "x-amz-date": now}
    if keys["token"]:
        headers["x-amz-security-token"] = keys["token"]
    names, scope = ";".join(headers), f"{now[:8]}/{region}/s3/aws4_request"
    lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
    request = f"GET\n{parts.path}\n\n{lines}\n{names}\n{EMPTY}"
    said = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    secret = f"AWS4{keys['secret']}".encode()
    for word in scope.split("/"):
        secret = hmac.digest(secret, word.encode(), "sha256")
    proof = hmac.digest(secret, said.encode(), "sha256").hex()
    del headers["host"]
    credential = f"{keys['id']}/{scope}"
    return {
        **headers,
        "Authorization": f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={proof}",
    }


def gs(bucket: str, key: str, options: Options) -> Any:
    base = options.get("endpoint", "https://storage.googleapis.com")
    known = {}
    if "endpoint" not in options:
        token = json.load(asked(METADATA, **{"Metadata-Flavor": "Google"}))["access_token"]
        known = {"Authorization": f"Bearer {token}"}
    return asked(f"{base}/storage/v1/b/{bucket}/o/{quote(key, safe='')}?alt=media", **known)


def az(account: str, key: str, options: Options) -> Any:
    """`key` starts with the container. Container Apps have an endpoint for tokens of their own, machines another."""
    env = os.environ
    client = f"&client_id={env['AZURE_CLIENT_ID']}" if "AZURE_CLIENT_ID" in env else ""
    query = f"resource=https%3A%2F%2Fstorage.azure.com%2F{client}"
    if "IDENTITY_ENDPOINT" in env:
        url = f"{env['IDENTITY_ENDPOINT']}?api-version=2019-08-01&{query}"
        reply = asked(url, **{"X-IDENTITY-HEADER": env["IDENTITY_HEADER"]})
    else:
        reply = asked(f"{IMDS}?api-version=2018-02-01&{query}", Metadata="true")
    base = options.get("endpoint") or f"https://{account}.blob.core.windows.net"
    token = json.load(reply)["access_token"]
    return asked(f"{base}/{quote(key)}", **{"Authorization": f"Bearer {token}", "x-ms-version": "2021-12-02"})


def main() -> None:
    store, key = urlsplit(os.environ["SAMARA_STORE"]), os.environ["SAMARA_CODE"]
    folder = Path(tempfile.mkdtemp(prefix="samara-code-"))
    package = folder.with_suffix(".zip")
    fetch = {"s3": s3, "gs": gs, "az": az}[store.scheme]
    inside = f"{store.path.strip('/')}/{key}".lstrip("/")
    with fetch(store.netloc, inside, dict(parse_qsl(store.query))) as reply, package.open("wb") as file:
        shutil.copyfileobj(reply, file)
    with package.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if not key.endswith(f"{found}.zip"):
        sys.exit(f"{key}: altered: its digest is {found}; deploy again")
    zipfile.ZipFile(package).extractall(folder)
    package.unlink()
    os.environ["PYTHONPATH"] = str(folder)
    os.execv(sys.executable, [sys.executable, "-P", "-m", *sys.argv[1:]])  # noqa: S606  # no shell is the point


if __name__ == "__main__":
    main()
