"""Jobs as nodes of libcloud's that run one task, and end themselves when it has ended or its time is up.

A node is found by the job's name, which it carries as a tag, so no table of handles is needed. Two who submit at the
same instant can boot two: they do the same work, and what they write is created once.

What a runner of nodes can tell is less than what a batch service can. A node holds no key by which to say how it
ended, and when it is gone nobody remembers it: its job is then *lost*, whether it succeeded, failed or was cancelled,
and the result it wrote to the bucket, or did not, decides. So it never says succeeded; it says failed only of a node
that could not even boot; and it starts a job again that has succeeded, if asked to, which finds its work done.

Proven on EC2's driver. A node has to vanish when it shuts down, or it would cost money for ever, and of libcloud's
drivers only that family can ask for it. The others are refused.
"""

import base64
import inspect
import json
import math
import re
import shlex
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from libcloud.compute.base import Node, NodeDriver, NodeImage, NodeSize
from libcloud.compute.providers import DRIVERS, get_driver
from libcloud.compute.types import NodeState

from samara.errors import Misconfigured, Rejected, SamaraError, Unsupported
from samara.ports import Job, JobRunner, JobStatus
from samara.providers.addresses import parsed
from samara.providers.certainty import patiently
from samara.providers.libcloud_drivers import credentials, maker, per_thread, takes, translated, where
from samara.settings import Settings

JOB_TAG, TASK_TAG = "samara-job", "samara-task"
PULL_S = 1800  # for the container's image; it is no part of the job's time
KILL_S = 30  # between asking a container to end and ending it
SCRIPT = "/var/lib/samara/job.sh"

STATUS = {
    NodeState.PENDING: JobStatus.QUEUED,
    NodeState.STARTING: JobStatus.QUEUED,
    NodeState.ERROR: JobStatus.FAILED,
    NodeState.TERMINATED: JobStatus.LOST,
    NodeState.STOPPED: JobStatus.LOST,
}
WORST_LAST = (JobStatus.RUNNING, JobStatus.QUEUED, JobStatus.FAILED, JobStatus.LOST)
ALIVE = (JobStatus.RUNNING, JobStatus.QUEUED)


@dataclass(frozen=True, slots=True)
class Machines:
    """What nodes are made of: `image` has Docker (and for `gpu_size` NVIDIA's toolkit) running when it has booted, and
    `profile` is who the job is to the cloud. `container` brings Python, Samara and the framework.
    """

    image: str
    size: str
    container: str
    gpu_size: str = ""
    profile: str = ""


class NodeJobs:
    """A node has the memory of its size, whatever a job asks for."""

    def __init__(self, make: Callable[[], NodeDriver], machines: Machines, environment: Mapping[str, str]) -> None:
        self._driver = per_thread(make)
        self._machines = machines
        self._environment = dict(environment)

    def submit(self, job: Job) -> str:
        name = fit(job.name)
        if self.status(name) in ALIVE:
            return name
        try:
            for task in range(job.tasks):
                self._boot(job, task)
        except BaseException:
            with suppress(SamaraError):
                self.cancel(name)  # half an array would never be whole
            raise
        return name

    def status(self, handle: str) -> JobStatus:
        return status_of([node.state for node in self._nodes(fit(handle))])

    def cancel(self, handle: str) -> None:
        for node in self._nodes(fit(handle)):
            if node.state != NodeState.TERMINATED:
                patiently(lambda node=node: self._destroyed(handle, node))  # type: ignore[misc]  # mypy cannot infer it

    def _nodes(self, name: str) -> list[Node]:
        """Those that the cloud still knows of, dead ones among them."""

        def listed() -> list[Node]:
            driver = self._driver()
            with translated(name, driver):
                found: list[Node] = driver.list_nodes(ex_filters={f"tag:{JOB_TAG}": name})
            return found

        return patiently(listed)

    def _boot(self, job: Job, task: int) -> None:
        """Once, and not patiently: a second request would make a second node."""
        driver, machines = self._driver(), self._machines
        wanted = machines.gpu_size if job.gpus else machines.size
        if not wanted:
            raise Misconfigured(job.name, "asks for a GPU; add &gpu_size= to SAMARA_JOBS")
        wishes: dict[str, Any] = {
            "name": f"samara-{job.name}-{task}",
            "size": NodeSize(wanted, wanted, 0, 0, 0, 0, driver),
            "image": NodeImage(machines.image, machines.image, driver),
            "ex_userdata": user_data(job, task, machines.container, self._environment),
            "ex_metadata": {JOB_TAG: job.name, TASK_TAG: str(task)},
            "ex_terminate_on_shutdown": True,
        }
        if machines.profile:
            wishes["ex_iamprofile"] = machines.profile
        with translated(job.name, driver):
            made = driver.create_node(**wishes)
        if not isinstance(made, Node):  # of an answer from somebody else libcloud makes no node, and no complaint
            raise Misconfigured(job.name, "no node was made, though nothing was refused; is the endpoint one of EC2?")

    def _destroyed(self, handle: str, node: Node) -> None:
        driver = self._driver()
        with translated(handle, driver):
            driver.destroy_node(node)


def status_of(states: Collection[NodeState]) -> JobStatus:
    """Alive while one node is; failed when one could not boot; lost when all are gone. What we don't know of is alive,
    as far as we know.

    >>> status_of([]), status_of([NodeState.TERMINATED, NodeState.RUNNING])
    (<JobStatus.LOST: 'lost'>, <JobStatus.RUNNING: 'running'>)
    """
    said = {STATUS.get(state, JobStatus.RUNNING) for state in states}
    return next((status for status in WORST_LAST if status in said), JobStatus.LOST)


def user_data(job: Job, task: int, container: str, environment: Mapping[str, str]) -> str:
    """What cloud-init reads on the node: YAML, in the part of it that is JSON too, where nothing needs quoting."""
    packed = base64.b64encode(script(job, task, container, environment).encode()).decode()
    file = {"path": SCRIPT, "permissions": "0700", "encoding": "b64", "content": packed}
    return "#cloud-config\n" + json.dumps({"write_files": [file], "runcmd": [["bash", SCRIPT]]}, indent=1)


def script(job: Job, task: int, container: str, environment: Mapping[str, str]) -> str:
    """Runs the task within its time, and shuts the node down whatever becomes of it, even of the script."""
    inside = {**environment, "TASK_INDEX": str(task), "TASK_COUNT": str(job.tasks)}
    given = [word for name, value in inside.items() for word in ("--env", f"{name}={value}")]
    gpus = ["--gpus", "all"] if job.gpus else []
    near = ["--network", "host"]  # else the container is one hop too far from the node's credentials
    pull = shlex.join(["docker", "pull", container])
    run = shlex.join(
        ["docker", "run", "--rm", *near, *gpus, *given, container, "python", "-m", job.module, *job.arguments]
    )
    limit_s = max(job.time_limit_s, 0.001)
    latest_min = math.ceil((PULL_S + limit_s + 2 * KILL_S) / 60) + 1
    return f"""#!/bin/bash
# Samara's job {fit(job.name)}, task {task} of {job.tasks}
trap 'shutdown -P now' EXIT
shutdown -P +{latest_min}
timeout --kill-after={KILL_S} {PULL_S} {pull}
timeout --kill-after={KILL_S} {limit_s:.3f} {run}
code=$?
echo "samara: {job.name}, task {task} ended with exit code $code"
exit $code
"""


NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")


def fit(name: str) -> str:
    """`name`, if it can be a node's and a tag's."""
    if not NAME.fullmatch(name):
        raise Rejected(ascii(name[:100])[1:-1], "not a job's name; use letters, digits, - and _, at most 128")
    return name


OPTIONS = ("image", "size", "container", "gpu_size", "profile")
NEEDED = OPTIONS[:3]


def job_runner(settings: Settings) -> JobRunner:
    """Of an address `libcloud://ec2/region?image=…&size=…&container=…`, also with `&gpu_size=` and `&profile=`."""
    address = parsed(settings.jobs, *OPTIONS)
    if address.scheme != "libcloud" or not address.path:
        raise Misconfigured(
            settings.jobs, "not where nodes are; write libcloud://ec2/region?image=…&size=…&container=…"
        )
    if missing := [name for name in NEEDED if not address.options.get(name)]:
        raise Misconfigured(settings.jobs, f"does not say which {missing[0]}; add &{missing[0]}=")
    kind = kind_of(address.place)
    options = {**credentials(address.place), **where(address), "region": address.path}
    if takes(kind, "signature_version"):
        options["signature_version"] = "4"  # libcloud still signs by 2 in the older regions
    machines = Machines(**{name: value for name, value in address.options.items() if name in OPTIONS})
    return NodeJobs(maker(kind, options, settings.jobs), machines, settings.environment())


def kind_of(provider: str) -> type[NodeDriver]:
    if provider not in DRIVERS:
        raise Misconfigured(provider, f"libcloud knows no such cloud; it knows {', '.join(sorted(DRIVERS))}")
    kind: type[NodeDriver] = get_driver(provider)
    wishes = inspect.signature(kind.create_node).parameters
    if "ex_terminate_on_shutdown" not in wishes or "ex_userdata" not in wishes:
        raise Unsupported(provider, "libcloud cannot make a node there that ends itself; use ec2, or a batch service")
    return kind
