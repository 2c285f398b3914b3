"""How requests to Google Cloud Storage are read and its answers written: JSON, media, multipart bodies, errors."""

import base64
import gzip
import hashlib
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qsl, unquote_to_bytes

import google_crc32c

CONDITIONS = ("ifGenerationMatch", "ifGenerationNotMatch", "ifMetagenerationMatch", "ifMetagenerationNotMatch")
RANGE = re.compile(r"bytes=(\d*)-(\d*)")

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


@dataclass(frozen=True)
class Asked:
    """A request of the account `who`. `whole` is false when the client hung up before its body was all there."""

    method: str
    path: tuple[str, ...]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    whole: bool
    who: str = ""


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


class Refusal(Exception):
    def __init__(self, status: int, reason: str, message: str, **more: str) -> None:
        super().__init__(message)
        self.status, self.reason, self.message, self.more = status, reason, message, more


@dataclass(frozen=True)
class Stored:
    data: bytes
    resource: dict[str, Any]
    written: float  # by the monotonic clock

    @property
    def generation(self) -> int:
        return int(self.resource["generation"])


async def read(scope: Message, receive: Receive) -> Asked:
    body, more, whole = bytearray(), True, True
    while more:
        message = await receive()
        whole = message["type"] == "http.request"
        body += message.get("body", b"")
        more = whole and message.get("more_body", False)
    raw, _, _ = scope["raw_path"].partition(b"?")  # a slash of a name comes as %2F, which `path` would hide
    path = tuple(unquote_to_bytes(part).decode() for part in raw.strip(b"/").split(b"/"))
    who, path = (path[1], path[2:]) if path[0] == "as" else ("", path)
    query = dict(parse_qsl(scope["query_string"].decode(), keep_blank_values=True))
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    return Asked(scope["method"], path, query, headers, bytes(body), whole, who)


def conditioned(query: Mapping[str, str], present: Stored | None, *, reading: bool) -> None:
    for name in CONDITIONS:
        if name not in query:
            continue
        if not query[name].isdigit():
            raise Refusal(400, "invalid", f"Invalid value '{query[name]}' for {name}.")
        kind = "metageneration" if "Meta" in name else "generation"
        actual = int(present.resource[kind]) if present else 0
        if (int(query[name]) == actual) is ("Not" in name):
            if reading and "Not" in name:
                raise Refusal(304, "notModified", "")
            message = "At least one of the pre-conditions you specified did not hold."
            raise Refusal(412, "conditionNotMet", message, locationType="header", location="If-Match")


def named(name: str) -> str:
    """A name Google allows."""
    if not name:
        raise Refusal(400, "required", "Required")
    if "\r" in name or "\n" in name:
        raise Refusal(400, "invalid", f"Disallowed unicode characters present in object name '{name}'")
    if len(name.encode()) > 1024 or name in (".", "..") or name.startswith(".well-known/acme-challenge/"):
        raise Refusal(400, "invalid", f"The object name '{name[:100]}' is invalid.")
    return name


def parted(body: bytes, content_type: str) -> tuple[dict[str, Any], bytes]:
    """The metadata and the data of a multipart upload."""
    boundary = content_type.partition("boundary=")[2].strip('"').encode()
    try:
        _, first, second, _ = (b"\r\n" + body).split(b"\r\n--" + boundary)
    except ValueError:
        raise Refusal(400, "badContent", "Malformed multipart body.") from None
    kind, _, data = second.partition(b"\r\n\r\n")
    resource: dict[str, Any] = json.loads(first.partition(b"\r\n\r\n")[2])
    resource.setdefault("contentType", kind.partition(b":")[2].strip().decode())
    return resource, data


def media(found: Stored, asked: Mapping[str, str]) -> Answer:
    resource = found.resource
    headers = {
        "Content-Type": resource.get("contentType") or "application/octet-stream",
        "ETag": resource["etag"],
        "Last-Modified": format_datetime(datetime.fromisoformat(resource["timeCreated"]), usegmt=True),
        "X-Goog-Generation": resource["generation"],
        "X-Goog-Metageneration": resource["metageneration"],
        "X-Goog-Hash": f"crc32c={resource['crc32c']},md5={resource['md5Hash']}",
        "X-Goog-Storage-Class": resource["storageClass"],
        "X-Goog-Stored-Content-Encoding": resource.get("contentEncoding", "identity"),
        "X-Goog-Stored-Content-Length": resource["size"],
    }
    if resource.get("contentEncoding") == "gzip":
        if "gzip" not in asked.get("accept-encoding", ""):  # decompressed on the way, and then ranges do not count
            return Answer(200, gzip.decompress(found.data), headers)
        headers["Content-Encoding"] = "gzip"
    limits = RANGE.fullmatch(asked.get("range", ""))
    if not limits or limits[1] == limits[2] == "":
        return Answer(200, found.data, headers)
    size = len(found.data)
    start = int(limits[1]) if limits[1] else max(size - int(limits[2]), 0)
    end = min(int(limits[2]) if limits[1] and limits[2] else size - 1, size - 1)
    if start > end:
        return Answer(416, b"Request range not satisfiable", {"Content-Range": f"bytes */{size}"})
    return Answer(206, found.data[start : end + 1], {**headers, "Content-Range": f"bytes {start}-{end}/{size}"})


def chosen(value: Any, fields: str) -> Any:
    """The partial response that `fields` selects: `items(name),nextPageToken`."""
    if isinstance(value, list):
        return [chosen(item, fields) for item in value]
    wanted = dict(re.findall(r"([\w*]+)(?:\(([^()]*)\))?", fields))
    return {key: chosen(of, wanted[key]) if wanted[key] else of for key, of in value.items() if key in wanted}


def json_answer(document: object) -> Answer:
    return Answer(200, json.dumps(document).encode(), {"Content-Type": "application/json; charset=UTF-8"})


def refused(refusal: Refusal, *, plain: bool) -> Answer:
    """Google's error document. Where data was asked for, it is only the message."""
    if plain or refusal.status == 304:
        return Answer(refusal.status, refusal.message.encode(), {"Content-Type": "text/html; charset=UTF-8"})
    one = {"message": refusal.message, "domain": "global", "reason": refusal.reason, **refusal.more}
    document = {"error": {"code": refusal.status, "message": refusal.message, "errors": [one]}}
    return Answer(refusal.status, json.dumps(document).encode(), {"Content-Type": "application/json; charset=UTF-8"})


def rfc3339(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def crc32c(data: bytes) -> str:
    return base64.b64encode(google_crc32c.value(data).to_bytes(4, "big")).decode()


def md5_of(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
