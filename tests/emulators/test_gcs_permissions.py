"""The emulated Cloud Storage, held to what Google's roles let one do in a managed folder."""

from collections.abc import Callable
from uuid import uuid4

import httpx
import pytest

from tests.emulators import gcs

WHO = "train@acme.iam.gserviceaccount.com"
FIRST, ANY = {"ifGenerationMatch": "0"}, {"uploadType": "media"}
Client = Callable[..., int]


@pytest.fixture
def bucket() -> str:
    """One with an object in a managed folder, and one beside."""
    name = f"samara-{uuid4().hex[:12]}"
    owner = f"{gcs.endpoint()}/storage/v1/b"
    httpx.post(owner, json={"name": name}).raise_for_status()
    httpx.post(f"{owner}/{name}/managedFolders", json={"name": "runs/"}).raise_for_status()
    for key in ("runs/a", "blobs/a"):
        httpx.post(f"{gcs.endpoint()}/upload/storage/v1/b/{name}/o", params={**ANY, "name": key}).raise_for_status()
    return name


def bound(bucket: str, role: str, **more: object) -> Client:
    """What somebody with that role in `runs/` is answered."""
    binding = {"role": role, "members": [f"serviceAccount:{WHO}"], **more}
    policy = f"{gcs.endpoint()}/storage/v1/b/{bucket}/managedFolders/runs%2F/iam"
    httpx.put(policy, json={"bindings": [binding]}).raise_for_status()

    def client(method: str, path: str, **query: str) -> int:
        place = "/upload" if method == "POST" else ""
        url = f"{gcs.endpoint()}/as/{WHO}{place}/storage/v1/b/{bucket}/o{path}"
        return httpx.request(method, url, params=query).status_code

    return client


def test_a_viewer_reads_and_lists_there_and_nowhere_else(bucket: str) -> None:
    asked = bound(bucket, "roles/storage.objectViewer")

    assert [asked("GET", "/runs%2Fa"), asked("GET", "/blobs%2Fa")] == [200, 403]
    assert [asked("GET", "", prefix="runs/"), asked("GET", "", prefix="")] == [200, 403]
    assert [asked("POST", "", name="runs/b", **ANY), asked("DELETE", "/runs%2Fa")] == [403, 403]


def test_a_creator_creates_and_neither_reads_nor_overwrites(bucket: str) -> None:
    asked = bound(bucket, "roles/storage.objectCreator")

    assert asked("POST", "", name="runs/b", **ANY) == 200
    assert asked("POST", "", name="runs/b", **ANY) == 403
    assert asked("POST", "", name="runs/b", **ANY, **FIRST) == 412
    assert asked("GET", "/runs%2Fb") == 403


def test_a_role_of_ones_own_lets_one_do_what_it_names(bucket: str) -> None:
    asked = bound(bucket, "projects/acme/roles/looks", permissions=["storage.objects.get"])

    assert [asked("GET", "/runs%2Fa"), asked("GET", "", prefix="runs/")] == [200, 403]
