"""The JSON API of Google Cloud Storage as a plain ASGI application, for buckets without object versioning.

A request is read whole and then answered in one go on one thread, so every answer is atomic. What is not here is
refused with 501: a test that needs it should say so rather than pass by luck. Notifications go out behind the answers,
to the Pub/Sub at `PUBSUB_EMULATOR_HOST`.
"""

import base64
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from tests.emulators.gcs_notifications import Notifications
from tests.emulators.gcs_permissions import Permissions
from tests.emulators.gcs_protocol import (
    CONDITIONS,
    Answer,
    Asked,
    Message,
    Receive,
    Refusal,
    Send,
    Stored,
    chosen,
    conditioned,
    crc32c,
    json_answer,
    md5_of,
    media,
    named,
    parted,
    read,
    refused,
    rfc3339,
)  # fmt: skip

LIMIT_S = "seconds-between-writes"  # a label of buckets; the real service has one second on all
CREATORS = "only-creators"  # a label of buckets: who may not overwrite hears of that first, and no owner may, either
GRAIN = 256 << 10  # an unfinished upload keeps whole multiples of this
HARMLESS = ("alt", "fields", "prettyPrint", "projection", "project", "uploadType", "name", "upload_id", "generation")
LISTING = ("prefix", "startOffset", "endOffset", "pageToken", "maxResults")
KEPT = ("contentType", "contentEncoding", "cacheControl", "contentDisposition", "contentLanguage", "metadata")
CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")


@dataclass
class Upload:
    """Where it is resumable, its conditions come when it begins and count when it ends."""

    bucket: str
    resource: dict[str, Any]
    query: Mapping[str, str]
    who: str
    data: bytearray = field(default_factory=bytearray)
    done: Stored | None = None


class Cloud:
    """The application. All state is in here."""

    def __init__(self) -> None:
        self._buckets: dict[str, dict[str, Any]] = {}
        self._objects: dict[str, dict[str, Stored]] = {}
        self._uploads: dict[str, Upload] = {}
        self._generation = 0
        self._notifications = Notifications()
        self._permissions = Permissions()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        asked = await read(scope, receive)
        answer = self.answer(asked)
        if not asked.whole:
            return  # nobody is there to hear it
        headers = {"Content-Length": str(len(answer.body)), **answer.headers}
        raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": answer.status, "headers": raw})
        await send({"type": "http.response.body", "body": answer.body})

    def answer(self, asked: Asked) -> Answer:
        try:
            return self._routed(asked)
        except Refusal as refusal:
            return refused(refusal, plain=asked.query.get("alt") == "media")

    def _routed(self, asked: Asked) -> Answer:  # noqa: PLR0911  # one for each verb
        known = {*CONDITIONS, *HARMLESS, *LISTING}
        if strange := sorted(set(asked.query) - known):
            raise Refusal(501, "notImplemented", f"This emulator does not know {', '.join(strange)}.")
        match asked.method, asked.path:
            case "PUT" | "DELETE", ("upload", "storage", "v1", "b", _, "o") if "upload_id" in asked.query:
                return self._resumed(asked)
            case _ if not asked.whole:
                return Answer(400)
            case "POST", ("storage", "v1", "b"):
                return self._bucket_made(asked)
            case "GET", ("storage", "v1", "b", bucket):
                return json_answer(self._bucket(bucket))
            case _, ("storage", "v1", "b", bucket, ("notificationConfigs" | "managedFolders"), *_):
                self._bucket(bucket)
                return self._configured(bucket, asked)
            case "POST", ("upload", "storage", "v1", "b", bucket, "o"):
                return self._uploaded(bucket, asked)
            case "GET", ("storage", "v1", "b", bucket, "o"):
                return self._listed(bucket, asked)
            case "GET", ("storage", "v1", "b", bucket, "o", name) | (
                "download",
                "storage",
                "v1",
                "b",
                bucket,
                "o",
                name,
            ):
                return self._got(bucket, name, asked)
            case "DELETE", ("storage", "v1", "b", bucket, "o", name):
                return self._deleted(bucket, name, asked)
        raise Refusal(501, "notImplemented", f"This emulator does not know {asked.method} /{'/'.join(asked.path)}.")

    def _bucket_made(self, asked: Asked) -> Answer:
        wish = json.loads(asked.body)
        if wish["name"] in self._buckets:
            message = "Your previous request to create the named bucket succeeded and you already own it."
            raise Refusal(409, "conflict", message)
        self._buckets[wish["name"]] = {"kind": "storage#bucket", "id": wish["name"], **wish}
        self._objects[wish["name"]] = {}
        return json_answer(self._buckets[wish["name"]])

    def _configured(self, bucket: str, asked: Asked) -> Answer:
        """What a bucket is told besides: of whom to tell, and whom to let do what."""
        wish = json.loads(asked.body or b"{}")
        match asked.method, asked.path[4:]:
            case "POST", ("notificationConfigs",):
                wish = self._notifications.add(bucket, wish)
            case "DELETE", ("notificationConfigs", number):
                self._notifications.remove(bucket, number)
            case "POST", ("managedFolders",):
                self._permissions.fold(bucket, wish["name"])
            case "PUT", ("managedFolders", folder, "iam"):
                self._permissions.bind(bucket, folder, wish)
            case _:
                raise Refusal(501, "notImplemented", f"This emulator does not know {asked.method} of that.")
        return json_answer(wish)

    def _bucket(self, name: str) -> dict[str, Any]:
        if name not in self._buckets:
            raise Refusal(404, "notFound", "The specified bucket does not exist.")
        return self._buckets[name]

    def _uploaded(self, bucket: str, asked: Asked) -> Answer:
        self._bucket(bucket)
        kind, of_data = asked.query.get("uploadType"), asked.headers.get("content-type", "")
        if kind == "media":
            resource, data = {"contentType": of_data}, asked.body
        elif kind == "multipart":
            resource, data = parted(asked.body, of_data)
        elif kind == "resumable":
            resource, data = json.loads(asked.body or b"{}"), b""
            resource.setdefault("contentType", asked.headers.get("x-upload-content-type", ""))
        else:
            raise Refusal(400, "badRequest", "Upload requests must include an uploadType URL parameter.")
        resource["name"] = named(asked.query.get("name") or resource.get("name") or "")
        self._permissions.check(asked.who, "create", bucket, resource["name"])
        if kind == "resumable":
            return self._begun(bucket, resource, asked)
        upload = Upload(bucket, resource, asked.query, asked.who, bytearray(data))
        return json_answer(self._written(upload, asked.headers).resource)

    def _begun(self, bucket: str, resource: dict[str, Any], asked: Asked) -> Answer:
        upload, begun = uuid4().hex, Upload(bucket, resource, asked.query, asked.who)
        self._overwritable(begun, self._objects[bucket].get(resource["name"]))
        self._uploads[upload] = begun
        place = f"http://{asked.headers['host']}/upload/storage/v1/b/{bucket}/o?uploadType=resumable&upload_id={upload}"
        return Answer(200, headers={"Location": place, "X-GUploader-UploadID": upload})

    def _resumed(self, asked: Asked) -> Answer:
        upload = self._uploads.get(asked.query["upload_id"])
        if upload is None:
            raise Refusal(404, "notFound", "No such upload session.")
        if asked.method == "DELETE":
            del self._uploads[asked.query["upload_id"]]
            return Answer(499)
        if upload.done:
            return json_answer(upload.done.resource)
        total = taken(upload, asked)
        if total is None or len(upload.data) < total:
            arrived = {"Range": f"bytes=0-{len(upload.data) - 1}"} if upload.data else {}
            return Answer(308, headers=arrived)
        upload.done = self._written(upload, asked.headers)
        return json_answer(upload.done.resource)

    def _written(self, upload: Upload, headers: Mapping[str, str]) -> Stored:
        bucket, wish, data = upload.bucket, upload.resource, bytes(upload.data)
        name, crc, md5 = wish["name"], crc32c(data), md5_of(data)
        said = dict(part.split("=", 1) for part in headers.get("x-goog-hash", "").split(",") if part)
        for kind, given, calculated in (
            ("CRC32C", wish.get("crc32c") or said.get("crc32c"), crc),
            ("MD5 hash", wish.get("md5Hash") or said.get("md5"), md5),
        ):
            if given and given != calculated:
                message = f'Provided {kind} "{given}" doesn\'t match calculated {kind} "{calculated}".'
                raise Refusal(400, "invalid", message)
        present = self._objects[bucket].get(name)
        self._unhurried(bucket, name, present)
        self._overwritable(upload, present)
        conditioned(upload.query, present, reading=False)
        if present:
            self._permissions.check(upload.who, "delete", bucket, name)
        self._generation = max(self._generation + 1, time.time_ns() // 1000)
        generation, now = str(self._generation), rfc3339(datetime.now(UTC))
        resource = {
            "kind": "storage#object",
            "id": f"{bucket}/{name}/{generation}",
            "name": name,
            "bucket": bucket,
            "generation": generation,
            "metageneration": "1",
            "storageClass": "STANDARD",
            "size": str(len(data)),
            "crc32c": crc,
            "md5Hash": md5,
            "etag": base64.b64encode(generation.encode()).decode(),
            **dict.fromkeys(("timeCreated", "updated", "timeStorageClassUpdated"), now),
            **{key: wish[key] for key in KEPT if wish.get(key)},
        }
        stored = self._objects[bucket][name] = Stored(data, resource, time.monotonic())
        self._notifications.finalized(resource, present)
        return stored

    def _listed(self, bucket: str, asked: Asked) -> Answer:
        self._bucket(bucket)
        query = asked.query
        self._permissions.check(asked.who, "list", bucket, query.get("prefix", ""))
        after = base64.urlsafe_b64decode(query["pageToken"]).decode() if query.get("pageToken") else None
        names = sorted(
            name
            for name in self._objects[bucket]
            if name.startswith(query.get("prefix", ""))
            and name >= query.get("startOffset", "")
            and (not query.get("endOffset") or name < query["endOffset"])
            and (after is None or name > after)
        )
        page = names[: min(int(query.get("maxResults", 1000)), 1000)]
        found: dict[str, Any] = {"kind": "storage#objects"}
        if page:
            found["items"] = [self._objects[bucket][name].resource for name in page]
        if len(page) < len(names):
            found["nextPageToken"] = base64.urlsafe_b64encode(page[-1].encode()).decode()
        return json_answer(chosen(found, query["fields"]) if "fields" in query else found)

    def _present(self, bucket: str, name: str, query: Mapping[str, str]) -> Stored:
        self._bucket(bucket)
        found = self._objects[bucket].get(name)
        if found is None or query.get("generation") not in (None, found.resource["generation"]):
            raise Refusal(404, "notFound", f"No such object: {bucket}/{name}")
        return found

    def _got(self, bucket: str, name: str, asked: Asked) -> Answer:
        self._permissions.check(asked.who, "get", bucket, name)
        found = self._present(bucket, name, asked.query)
        conditioned(asked.query, found, reading=True)
        if asked.query.get("alt") == "media":
            return media(found, asked.headers)
        return json_answer(found.resource)

    def _deleted(self, bucket: str, name: str, asked: Asked) -> Answer:
        self._permissions.check(asked.who, "delete", bucket, name)
        found = self._present(bucket, name, asked.query)
        self._unhurried(bucket, name, found)
        conditioned(asked.query, found, reading=False)
        del self._objects[bucket][name]
        return Answer(204)

    def _overwritable(self, upload: Upload, present: Stored | None) -> None:
        """As Google might answer who may create and no more, whatever the condition."""
        if present and CREATORS in self._buckets[upload.bucket].get("labels", {}):
            self._permissions.check(upload.who or "an owner", "delete", upload.bucket, upload.resource["name"])

    def _unhurried(self, bucket: str, name: str, present: Stored | None) -> None:
        limit_s = int(self._buckets[bucket].get("labels", {}).get(LIMIT_S, 0))
        if present and time.monotonic() - present.written < limit_s:
            message = (
                f"The object {bucket}/{name} exceeded the rate limit for object mutation operations "
                "(create, update, and delete). Please reduce your request rate."
            )
            raise Refusal(429, "rateLimitExceeded", message)


def taken(upload: Upload, asked: Asked) -> int | None:
    """Add what has come to an upload, and say how long it is to be, if that was said."""
    given = CONTENT_RANGE.fullmatch(asked.headers.get("content-range", f"bytes */{len(asked.body)}"))
    if given is None:
        raise Refusal(400, "badRequest", "Failed to parse Content-Range header.")
    start = int(given[1] or (0 if "content-range" not in asked.headers else len(upload.data)))
    total = None if given[3] == "*" else int(given[3])
    if start > len(upload.data):
        message = f"the upload offset is {start} byte(s), which exceeds already uploaded size of {len(upload.data)}"
        raise Refusal(503, "backendError", f"Invalid request. According to the Content-Range header, {message}.")
    if asked.whole and given[1] and int(given[2]) - start + 1 != len(asked.body):
        raise Refusal(400, "badRequest", "The body is not as long as its Content-Range header says.")
    held = len(upload.data)
    upload.data += asked.body[held - start :]
    if total is None or len(upload.data) < total:
        del upload.data[max(held, len(upload.data) // GRAIN * GRAIN) :]
    elif len(upload.data) > total:
        del upload.data[held:]
        raise Refusal(400, "badRequest", "More bytes than the Content-Range header says.")
    return total
