"""Azure's part in a deployment: what a recorded graph says, done on loopback with exactly the inputs that it has.

Storage is Azurite, which takes tokens of the apps' identities; Event Grid, the host of Functions, Container Apps and
the identities' endpoint are small servers of ours. The worker is Azure's, and each app is its own zip, put up by the
script that the stack exports. The one edit is that addresses get an endpoint. Who may do what is asked of the graph.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import urlsplit
from uuid import NAMESPACE_URL, uuid5

import httpx

from samara import app
from samara.app import App
from samara.settings import Settings
from tests.emulators import azure_account, azure_host, azure_management
from tests.emulators.azure_account import Account
from tests.emulators.azure_events import Subscription, Topic
from tests.emulators.azure_host import Host
from tests.emulators.azure_management import Azure
from tests.flow import deployed
from tests.infra.apply import resolved
from tests.infra.graph import ROOT, STACK, Graph, Resource
from tests.infra.policies_azure import ACCOUNT, APP, CONTAINER, IDENTITY, QUEUE, SUBSCRIPTION, TOPIC, settings

Read = Callable[[Resource, Any], Any]
NAMED_BY = {CONTAINER: "containerName", QUEUE: "queueName"}  # before what else their inputs name
NAMES = ("accountName", "environmentName", "resourceName", "name", "resourceGroupName")
AZ = """#!/bin/sh
PYTHONPATH={root}:{root}/shared exec {python} -m tests.emulators.azure_cli "$@"
"""


@dataclass(frozen=True)
class Deployment:
    """A stack that is up: what it exports, and its bucket as a person with the right keys sees it."""

    account: Account
    azure: Azure
    exports: Mapping[str, Any]
    host: Host
    topic: Topic
    world: App
    environment: Mapping[str, str]

    def put(self, key: str, data: bytes) -> None:
        container = self.exports["bucket"].rpartition("/")[2]
        self.account.client.get_blob_client(container, key).upload_blob(data)

    def asked(
        self, function: str, method: str, path: str, body: Any = None, key: str | None = None, **saying: str
    ) -> httpx.Response:
        """A request at the URL of a function, whose host name only Azure resolves, with the function's key."""
        known = self.host.apps[function].key if key is None else key
        said = {name.replace("_", "-"): value for name, value in saying.items()}
        headers = {"host": urlsplit(self.exports["urls"][function]).netloc, "x-functions-key": known, **said}
        return httpx.request(method, f"{self.host.url}{path}", headers=headers, json=body, timeout=60)

    def samara(self, *words: str) -> str:
        done = deployed.samara(self.environment, *words)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def outputs(one: Resource) -> dict[str, Any]:
    """What Azure would know of a resource that was made of these inputs."""
    known = next((one.inputs[name] for name in (NAMED_BY.get(one.type, ""), *NAMES) if name in one.inputs), one.name)
    who = str(uuid5(NAMESPACE_URL, one.urn))
    return {
        "name": known,
        "id": f"/subscriptions/00000000-0000-0000-0000-000000000000/{one.type}/{known}",
        "clientId": who,
        "principalId": who,
        "identity": {"principalId": who},
        "defaultHostName": f"{known}.azurewebsites.net",
        "connectionString": "InstrumentationKey=none",
    }


def reader(graph: Graph) -> Read:
    """By which an input, or an output of the stack, is read with what Azure knows in the place of tokens."""
    known = {one.name: outputs(one) for one in graph.resources}
    return lambda one, value: resolved(one, value, known)


@contextmanager
def up(graph: Graph, folder: Path) -> Iterator[Deployment]:
    """The graph's deployment, once its code is put up as the stack says."""
    read = reader(graph)
    (stack,) = graph.of(STACK)
    exports = read(stack, graph.outputs)
    account, containers = storage(graph, read, folder)
    store = f"{exports['bucket']}?endpoint={account.blobs}"
    person = {**account.trusted, "PATH": os.environ["PATH"], "AZURE_STORAGE_KEY": account.key}
    clients = frozenset(outputs(one)["clientId"] for one in graph.of(IDENTITY))
    with patch.dict(os.environ, person), azure_management.serving(clients, account.trusted, folder) as azure:
        published(exports["publish"], account, folder)
        host = Host(
            account, apps(graph, read, {**account.trusted, **azure.identity}, endpoints(account, azure), folder)
        )
        topic = events(graph, read, account, containers)
        with host.running(), topic.watching():
            world = app.build(Settings(provider="azure", store=store))
            yield Deployment(account, azure, exports, host, topic, world, {**person, "SAMARA_STORE": store})


def storage(graph: Graph, read: Read, folder: Path) -> tuple[Account, tuple[str, ...]]:
    """The account in which the queues are, that is no app's own, and the names of its containers."""
    (data,) = (one for one in graph.of(ACCOUNT) if graph.pointing_at(one, QUEUE))
    account = azure_account.start(read(data, data.inputs["accountName"]), folder)
    containers = tuple(read(one, one.inputs["containerName"]) for one in graph.pointing_at(data, CONTAINER))
    for name in containers:
        account.client.create_container(name)
    for one in graph.pointing_at(data, QUEUE):
        account.create_queue(read(one, one.inputs["queueName"]))
    return account, containers


def published(script: str, account: Account, folder: Path) -> None:
    """The stack's own script, run by a shell that finds `az`."""
    az = folder / "bin" / "az"
    az.parent.mkdir()
    az.write_text(AZ.format(root=ROOT, python=sys.executable))
    az.chmod(0o755)
    known = {"AZ_BLOBS": account.blobs, "AZ_KEY": account.key, "AZ_APPS": str(folder), **account.trusted}
    path = f"{az.parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["sh"], input=script, env={"PATH": path, **known}, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr


def endpoints(account: Account, azure: Azure) -> dict[str, str]:
    """Where the services are, by the setting whose address names one."""
    return {"SAMARA_STORE": account.blobs, "SAMARA_BUS": account.queues, "SAMARA_JOBS": azure.url}


def apps(
    graph: Graph, read: Read, home: Mapping[str, str], endpoints: Mapping[str, str], folder: Path
) -> dict[str, azure_host.App]:
    """Every app, by the catalogue's name of it, started at once. `home` is what Azure adds to its settings."""
    started = {}
    for one in graph.of(APP):
        name, given = read(one, one.inputs["name"]), read(one, settings(one))
        for variable in endpoints.keys() & given.keys():
            given[variable] += f"{'&' if '?' in given[variable] else '?'}endpoint={endpoints[variable]}"
        settled = {**given, **home}
        started[given["SAMARA_FUNCTION"]] = azure_host.start(name, folder / f"{name}.zip", settled, folder)
    return started


def events(graph: Graph, read: Read, account: Account, containers: tuple[str, ...]) -> Topic:
    (topic,) = graph.of(TOPIC)
    subscriptions = tuple(
        Subscription(
            one.inputs["filter"], read(one, one.inputs["deliveryWithResourceIdentity"]["destination"]["queueName"])
        )
        for one in graph.of(SUBSCRIPTION)
    )
    return Topic(account, read(topic, topic.inputs["source"]), containers, subscriptions)
