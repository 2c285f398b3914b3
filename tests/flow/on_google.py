"""Google's part in a deployment: what a recorded graph says, done on loopback with exactly the inputs that it has.

Cloud Storage, Pub/Sub, Batch and Cloud Scheduler are emulated; the functions are their own zips, behind the real server
of Google's framework. The one edit is that addresses get an endpoint. Who may call a function is asked of the graph.
Cloud Storage lets each function, and the job, do what its account may and no more.
"""

import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

from tests.emulators import gcs, google_batch, google_functions, google_pubsub
from tests.emulators.gcs_server import CREATORS
from tests.emulators.google_batch import Batch
from tests.emulators.google_functions import Instance
from tests.emulators.google_pubsub import Topics
from tests.emulators.google_subscriptions import PubSub, subscription, token
from tests.infra.apply import resolved
from tests.infra.graph import Graph, Resource

ACCOUNT = "gcp:serviceaccount/account:Account"
BUCKET = "gcp:storage/bucket:Bucket"
FUNCTION = "gcp:cloudfunctionsv2/function:Function"
INVOKER = "gcp:cloudrunv2/serviceIamMember:ServiceIamMember"
JOB = "gcp:cloudscheduler/job:Job"
CUSTOM_ROLE = "gcp:projects/iAMCustomRole:IAMCustomRole"
FOLDER, IN_FOLDER = (
    "gcp:storage/managedFolder:ManagedFolder",
    "gcp:storage/managedFolderIamMember:ManagedFolderIamMember",
)
NOTIFICATION = "gcp:storage/notification:Notification"
OBJECT = "gcp:storage/bucketObject:BucketObject"
SUBSCRIPTION = "gcp:pubsub/subscription:Subscription"
TOPIC = "gcp:pubsub/topic:Topic"
SPEAKS_TO = {"SAMARA_STORE": "storage", "SAMARA_JOBS": "batch", "SAMARA_BUS": "pubsub"}
IMAGE = str(Path(sys.base_prefix, "bin", f"python3.{sys.version_info.minor}"))  # Python as bare as in an image
Document = dict[str, Any]


@dataclass
class Project:
    """A deployment that is up. `outputs` are those of each resource, by its logical name. `strict` is the bucket that
    refuses whoever may not overwrite with 403, as Google's may, where others would say that something is there."""

    graph: Graph
    endpoints: Mapping[str, str]
    pubsub: PubSub
    strict: bool = False
    outputs: dict[str, Document] = field(default_factory=dict)
    functions: dict[str, Instance] = field(default_factory=dict)

    @property
    def bucket(self) -> str:
        (one,) = self.graph.of(BUCKET)
        return str(one.inputs["name"])

    @property
    def store(self) -> str:
        """The address of the bucket, for its owner."""
        return f"gs://{self.bucket}?endpoint={self.endpoints['storage']}"

    @property
    def objects(self) -> str:
        """The topic that tells of the bucket's objects."""
        (one,) = self.graph.of(NOTIFICATION)
        return str(self.given(one, "topic"))

    def given(self, one: Resource, part: str = "") -> Any:
        """Its inputs, or one of them, as the cloud gets them."""
        return resolved(one, one.inputs[part] if part else one.inputs, self.outputs)

    def emulated(self, name: str, value: str, account: str) -> str:
        """A variable of a function that speaks as that account, with an endpoint where it is an address."""
        if name not in SPEAKS_TO:
            return value
        whose = f"/as/{account}" if name == "SAMARA_STORE" else ""
        return f"{value}{'&' if '?' in value else '?'}endpoint={self.endpoints[SPEAKS_TO[name]]}{whose}"

    def asked(self, who: str, method: str, url: str, **more: Any) -> httpx.Response:
        """The answer of a function to somebody whom Cloud Run lets through to it."""
        name = next(name for name, one in self.functions.items() if url.startswith(one.url))
        if not any(self.given(one, "member") == who for one in self.invokers(name)):
            return httpx.Response(403, text="Your client does not have permission to get this URL from this server.")
        headers = {"Authorization": token(who.partition(":")[2], self.functions[name].url), **more.pop("headers", {})}
        return httpx.request(method, url, headers=headers, timeout=120, **more)

    def invokers(self, service: str) -> list[Resource]:
        return [one for one in self.graph.of(INVOKER) if self.given(one, "name") == service]

    def put(self, key: str, data: bytes) -> Document:
        """What any client uploads, and what Cloud Storage says of it."""
        url = f"{self.endpoints['storage']}/upload/storage/v1/b/{self.bucket}/o"
        put = httpx.post(url, params={"uploadType": "media", "name": key}, content=data, timeout=120)
        stored: Document = put.raise_for_status().json()
        return stored

    def fire(self, service: str, at: datetime) -> httpx.Response:
        """What Cloud Scheduler does when it is time to call that one."""
        jobs = map(self.given, self.graph.of(JOB))
        (job,) = (one for one in jobs if one["httpTarget"]["uri"].startswith(self.functions[service].url))
        target = job["httpTarget"]
        headers = {
            "User-Agent": "Google-Cloud-Scheduler",
            "X-CloudScheduler": "true",
            "X-CloudScheduler-JobName": job["name"],
            "X-CloudScheduler-ScheduleTime": at.isoformat(),
        }
        who = f"serviceAccount:{target['oidcToken']['serviceAccountEmail']}"
        return self.asked(who, target["httpMethod"], target["uri"], headers=headers)

    @contextmanager
    def silent(self) -> Iterator[None]:
        """What is uploaded meanwhile, nobody is told of."""
        (one,) = self.graph.of(NOTIFICATION)
        httpx.delete(f"{self._notifications}/{self.outputs[one.name]['id']}").raise_for_status()
        try:
            yield
        finally:
            self.notify(one)

    @property
    def _notifications(self) -> str:
        return f"{self.endpoints['storage']}/storage/v1/b/{self.bucket}/notificationConfigs"

    def notify(self, one: Resource) -> None:
        given = self.given(one)
        wish = {
            "topic": f"//pubsub.googleapis.com/{given['topic']}",
            "payload_format": given["payloadFormat"],
            "event_types": given["eventTypes"],
        }
        self.outputs[one.name] = httpx.post(self._notifications, json=wish).raise_for_status().json()


@contextmanager
def deployed(graph: Graph, folder: Path, *, strict: bool = False) -> Iterator[Project]:
    """Everything that `graph` says that functions need, until the end."""
    topics = Topics(tuple(f"projects/{one.inputs['project']}/topics/{one.inputs['name']}" for one in graph.of(TOPIC)))
    with ExitStack() as until:
        pubsub = until.enter_context(google_pubsub.served(topics))
        batch = until.enter_context(google_batch.served(Batch(runs=True, python=IMAGE)))
        storage = gcs.endpoint(urlsplit(pubsub).netloc)
        project = Project(graph, {"storage": storage, "batch": batch, "pubsub": pubsub}, PubSub(topics), strict)
        until.callback(project.pubsub.end)
        known(project)
        stored(project)
        permitted(project)
        for one in graph.of(FUNCTION):
            until.callback(started(project, one, folder).stop)
        for instance in project.functions.values():
            instance.ready()
        subscribed(project)
        for one in graph.of(NOTIFICATION):
            project.notify(one)
        yield project


def known(project: Project) -> None:
    """What other resources mention of accounts, roles and topics."""
    for one in project.graph.of(ACCOUNT):
        email = f"{one.inputs['accountId']}@{one.inputs['project']}.iam.gserviceaccount.com"
        project.outputs[one.name] = {"email": email, "member": f"serviceAccount:{email}"}
    for one in project.graph.of(CUSTOM_ROLE):
        project.outputs[one.name] = {"name": f"projects/{one.inputs['project']}/roles/{one.inputs['roleId']}"}
    for one in project.graph.of(TOPIC):
        project.outputs[one.name] = {"id": f"projects/{one.inputs['project']}/topics/{one.inputs['name']}"}


def stored(project: Project) -> None:
    """The bucket, and in it the code that functions do not come from, which is that of jobs."""
    wish = {"name": project.bucket, "labels": {CREATORS: "yes"} if project.strict else {}}
    made = httpx.post(f"{project.endpoints['storage']}/storage/v1/b", json=wish)
    made.raise_for_status()
    sources = [source(one) for one in project.graph.of(FUNCTION)]
    for one in project.graph.of(OBJECT):
        if one.inputs["name"] not in sources:
            project.put(one.inputs["name"], Path(one.inputs["source"]["file"]).read_bytes())


def permitted(project: Project) -> None:
    """What each account may do in each of the bucket's managed folders."""
    folders = f"{project.endpoints['storage']}/storage/v1/b/{project.bucket}/managedFolders"
    members = [project.given(one) for one in project.graph.of(IN_FOLDER)]
    custom = {
        project.outputs[one.name]["name"]: {"permissions": one.inputs["permissions"]}
        for one in project.graph.of(CUSTOM_ROLE)
    }
    for one in project.graph.of(FOLDER):
        name = one.inputs["name"]
        httpx.post(folders, json={"name": name}).raise_for_status()
        bindings = [
            {"role": each["role"], "members": [each["member"]], **custom.get(each["role"], {})}
            for each in members if each["managedFolder"] == name
        ]  # fmt: skip
        httpx.put(f"{folders}/{quote(name, safe='')}/iam", json={"bindings": bindings}).raise_for_status()


def source(function: Resource) -> str:
    """The key of the zip that it is made from."""
    return str(function.inputs["buildConfig"]["source"]["storageSource"]["object"])


def started(project: Project, one: Resource, folder: Path) -> Instance:
    (code,) = (each for each in project.graph.of(OBJECT) if each.inputs["name"] == source(one))
    service = project.given(one, "serviceConfig")
    account = service["serviceAccountEmail"]
    variables = {
        name: project.emulated(name, value, account) for name, value in service["environmentVariables"].items()
    }
    entry, name = one.inputs["buildConfig"]["entryPoint"], one.inputs["name"]
    instance = google_functions.start(name, Path(code.inputs["source"]["file"]), entry, variables, folder)
    project.functions[name] = instance
    project.outputs[one.name] = {"id": name, "name": name, "serviceConfig": {**service, "uri": instance.url}}
    return instance


def subscribed(project: Project) -> None:
    for one in project.graph.of(SUBSCRIPTION):
        wish = subscription(project.given(one))
        called = next((name for name, each in project.functions.items() if wish.endpoint.startswith(each.url)), "")
        members = [project.given(each, "member") for each in project.invokers(called)]
        assert not wish.endpoint or f"serviceAccount:{wish.account}" in members, f"{called} lets no events in"
        project.pubsub.subscribe(wish)
