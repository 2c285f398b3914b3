"""What a runner of nodes promises, which is less than the jobs' contract: asked of EC2's driver over moto's EC2.

moto boots nothing. So what a node would run is run here by bash, with a `docker` and a `shutdown` that write down how
they were called.
"""

import base64
import json
import subprocess
import sys
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
import yaml
from libcloud.compute.drivers import ec2 as ec2_driver
from libcloud.compute.types import NodeState

from samara.errors import Misconfigured, Rejected, Unavailable, Unsupported
from samara.ports import Job, JobStatus
from samara.providers import load
from samara.providers.libcloud_nodes import Machines, NodeJobs, status_of, user_data
from samara.settings import Settings
from tests.emulators import processes, s3

if TYPE_CHECKING:
    from collections.abc import Mapping

ENVIRONMENT = {"SAMARA_STORE": "s3://flights", "SAMARA_PROVIDER": "aws"}
IMAGE = "ami-12c6146b"  # moto knows it
JOB = Job("late-1", "functions.train.job", ("runs/late/1.json",), time_limit_s=3600)

pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")  # libcloud signs by it


@pytest.fixture(autouse=True)
def _misspelt(monkeypatch: pytest.MonkeyPatch) -> None:
    """moto answers in EC2's XML namespace but for its last slash."""
    monkeypatch.setattr(ec2_driver, "NAMESPACE", ec2_driver.NAMESPACE.rstrip("/"))


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIBCLOUD_KEY", "the-key")
    monkeypatch.setenv("LIBCLOUD_SECRET", "the-secret")


@pytest.fixture
def ec2() -> Any:
    """The plain SDK, for what one sees beside us."""
    return s3.session().client("ec2", endpoint_url=s3.endpoint())


@pytest.fixture
def address() -> str:
    options = f"image={IMAGE}&size=t3.large&container=python:3.13&gpu_size=g5.xlarge&endpoint={s3.endpoint()}"
    return f"libcloud://ec2/{s3.REGION}?{options}"


@pytest.fixture
def runner(address: str, tmp_path: Path) -> NodeJobs:
    settings = Settings(home=tmp_path, provider="libcloud", store="s3://flights", jobs=address)
    runner = load("libcloud").job_runner(settings)
    assert isinstance(runner, NodeJobs)
    return runner


@pytest.fixture
def job() -> Job:
    """One whose name no other test uses, for they share a cloud."""
    return JOB._replace(name=f"late-{uuid4().hex[:8]}")


@pytest.fixture
def nodes(ec2: Any, job: Job) -> Callable[[], list[dict[str, Any]]]:
    """What the cloud knows of the job's nodes, by their names."""

    def found() -> list[dict[str, Any]]:
        answer = ec2.describe_instances(Filters=[{"Name": "tag:samara-job", "Values": [job.name]}])
        instances = [instance for one in answer["Reservations"] for instance in one["Instances"]]
        return sorted(instances, key=lambda instance: tags(instance)["Name"])

    return found


Nodes = Callable[[], list[dict[str, Any]]]


def tags(instance: "Mapping[str, Any]") -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in instance["Tags"]}


def states(instances: list[dict[str, Any]]) -> list[str]:
    return [instance["State"]["Name"] for instance in instances]


def test_a_job_is_a_node_that_is_named_for_it_and_vanishes_when_it_shuts_down(
    runner: NodeJobs, ec2: Any, job: Job, nodes: Nodes
) -> None:
    handle = runner.submit(job)

    (node,) = nodes()
    ending, told = (about(ec2, node, what) for what in ("instanceInitiatedShutdownBehavior", "userData"))
    assert handle == job.name
    assert (node["InstanceType"], node["ImageId"]) == ("t3.large", IMAGE)
    assert tags(node) == {"Name": f"samara-{job.name}-0", "samara-job": job.name, "samara-task": "0"}
    assert ending == "terminate"
    script = script_in(base64.b64decode(told).decode())
    assert f"# Samara's job {job.name}, task 0 of 1" in script
    assert "--env SAMARA_STORE=s3://flights" in script


def about(ec2: Any, node: dict[str, Any], what: str) -> str:
    answer = ec2.describe_instance_attribute(InstanceId=node["InstanceId"], Attribute=what)
    value: str = answer[what[0].upper() + what[1:]]["Value"]
    return value


def test_a_job_that_asks_for_a_gpu_gets_a_node_that_has_one(runner: NodeJobs, job: Job, nodes: Nodes) -> None:
    runner.submit(job._replace(gpus=1))

    assert [node["InstanceType"] for node in nodes()] == ["g5.xlarge"]


def test_a_gpu_where_no_node_has_one_is_a_deployment_mistake(address: str, job: Job, tmp_path: Path) -> None:
    without = Settings(home=tmp_path, jobs=address.replace("&gpu_size=g5.xlarge", ""))

    with pytest.raises(Misconfigured, match=f"{job.name}: asks for a GPU; add &gpu_size= to SAMARA_JOBS"):
        load("libcloud").job_runner(without).submit(job._replace(gpus=1))


def test_an_array_is_a_node_for_each_task(runner: NodeJobs, job: Job, nodes: Nodes) -> None:
    runner.submit(job._replace(tasks=3))

    assert [tags(node)["Name"] for node in nodes()] == [f"samara-{job.name}-{task}" for task in range(3)]
    assert runner.status(job.name) is JobStatus.RUNNING


def test_submitted_again_while_it_is_alive_it_is_the_same_job(runner: NodeJobs, job: Job, nodes: Nodes) -> None:
    handles = [runner.submit(job) for _ in range(2)]

    assert handles == [job.name] * 2
    assert len(nodes()) == 1


def test_a_job_whose_name_another_begins_with_is_another_job(runner: NodeJobs, job: Job) -> None:
    runner.submit(job._replace(name=f"{job.name}-0"))

    assert runner.status(job.name) is JobStatus.LOST


def test_a_job_nobody_submitted_is_lost(runner: NodeJobs) -> None:
    assert runner.status("never") is JobStatus.LOST


def test_a_job_whose_node_is_gone_is_lost_and_starts_again(runner: NodeJobs, ec2: Any, job: Job, nodes: Nodes) -> None:
    runner.submit(job)
    before = runner.status(job.name)
    ec2.terminate_instances(InstanceIds=[node["InstanceId"] for node in nodes()])
    after = runner.status(job.name)

    runner.submit(job)

    assert (before, after) == (JobStatus.RUNNING, JobStatus.LOST)
    assert runner.status(job.name) is JobStatus.RUNNING
    assert sorted(states(nodes())) == ["running", "terminated"]


def test_an_array_is_alive_while_one_of_its_nodes_is(runner: NodeJobs, ec2: Any, job: Job, nodes: Nodes) -> None:
    runner.submit(job._replace(tasks=2))

    ec2.terminate_instances(InstanceIds=[nodes()[0]["InstanceId"]])
    one_left = runner.status(job.name)
    ec2.terminate_instances(InstanceIds=[nodes()[1]["InstanceId"]])

    assert (one_left, runner.status(job.name)) == (JobStatus.RUNNING, JobStatus.LOST)


def test_cancelling_destroys_every_node_of_the_job_also_a_stopped_one(
    runner: NodeJobs, ec2: Any, job: Job, nodes: Nodes
) -> None:
    runner.submit(job._replace(tasks=3))
    ec2.stop_instances(InstanceIds=[nodes()[2]["InstanceId"]])

    runner.cancel(job.name)

    assert states(nodes()) == ["terminated"] * 3
    assert runner.status(job.name) is JobStatus.LOST


def test_cancelling_what_is_gone_or_never_was_does_nothing(runner: NodeJobs, job: Job) -> None:
    runner.cancel(runner.submit(job))

    runner.cancel(job.name)
    runner.cancel("never")

    assert runner.status(job.name) is JobStatus.LOST


@pytest.mark.parametrize("name", ["", "..", "../a", "a/b", "a\0b", "a b", "-a", "a" * 129])
def test_an_unsound_name_is_refused_by_every_verb(runner: NodeJobs, name: str) -> None:
    verbs: tuple[Callable[[], object], ...] = (
        lambda: runner.submit(JOB._replace(name=name)),
        lambda: runner.status(name),
        lambda: runner.cancel(name),
    )
    for verb in verbs:
        with pytest.raises(Rejected, match="not a job's name; use letters, digits, - and _"):
            verb()


def test_a_cloud_out_of_reach_is_unavailable(address: str, tmp_path: Path) -> None:
    elsewhere = address.replace(s3.endpoint(), f"http://127.0.0.1:{processes.free_port()}")

    with pytest.raises(Unavailable, match="late-1: the service was not reached"):
        load("libcloud").job_runner(Settings(home=tmp_path, jobs=elsewhere)).submit(JOB)


REFUSAL = b"""<?xml version="1.0" encoding="UTF-8"?>
<Response><Errors><Error><Code>InvalidAMIID.NotFound</Code><Message>The image id '[ami-1]' does not exist</Message>
</Error></Errors><RequestID>ea966190-f9aa-478e-9ede-example</RequestID></Response>"""


class Refusing(BaseHTTPRequestHandler):
    """EC2 as it refuses."""

    def do_GET(self) -> None:
        self.send_response(400)
        self.end_headers()
        self.wfile.write(REFUSAL)

    def log_message(self, *_arguments: Any) -> None:
        pass


def test_what_the_cloud_says_against_a_node_is_passed_on(address: str, tmp_path: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        elsewhere = address.replace(s3.endpoint(), f"http://127.0.0.1:{server.server_port}")
        runner = load("libcloud").job_runner(Settings(home=tmp_path, jobs=elsewhere))

        with pytest.raises(Misconfigured, match=r"late-1: the service answers 400: InvalidAMIID\.NotFound: The"):
            runner.submit(JOB)
        server.shutdown()


def test_of_an_array_that_cannot_be_whole_nothing_is_left(runner: NodeJobs, job: Job, nodes: Nodes) -> None:
    kind = type(runner._driver())
    booted: list[str] = []

    class Breaking(kind):  # type: ignore[misc, valid-type]  # mypy knows no classes made while it runs
        def create_node(self, name: str, **wishes: Any) -> Any:
            if booted:
                raise ConnectionError
            booted.append(name)
            return super().create_node(name=name, **wishes)

    host, port = s3.endpoint().removeprefix("http://").split(":")
    options = {"key": "a", "secret": "b", "secure": False, "host": host, "port": int(port), "signature_version": "4"}
    breaking = NodeJobs(lambda: Breaking(**options), Machines(IMAGE, "t3.large", "python:3.13"), {})

    with pytest.raises(Unavailable):
        breaking.submit(job._replace(tasks=3))

    assert len(booted) == 1
    assert states(nodes()) == ["terminated"]


@pytest.mark.parametrize(
    ("jobs", "why"),
    [
        ("batch://queue", "not where nodes are; write libcloud://ec2/region"),
        ("libcloud://ec2?image=a&size=b&container=c", "not where nodes are"),
        ("libcloud://ec2/us-east-1?size=b&container=c", "does not say which image; add &image="),
        ("libcloud://ec2/us-east-1?image=a&size=b", "does not say which container; add &container="),
        ("libcloud://nowhere/us-east-1?image=a&size=b&container=c", "libcloud knows no such cloud; it knows"),
    ],
)
def test_a_wrong_address_is_a_deployment_mistake(jobs: str, why: str) -> None:
    with pytest.raises(Misconfigured, match=why):
        load("libcloud").job_runner(Settings(jobs=jobs))


@pytest.mark.parametrize("cloud", ["openstack", "digitalocean", "gce", "linode", "vultr"])
def test_a_cloud_whose_nodes_cannot_end_themselves_is_refused(cloud: str) -> None:
    with pytest.raises(Unsupported, match=f"{cloud}: libcloud cannot make a node there that ends itself"):
        load("libcloud").job_runner(Settings(jobs=f"libcloud://{cloud}/eu?image=a&size=b&container=c"))


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ([], JobStatus.LOST),
        ([NodeState.PENDING], JobStatus.QUEUED),
        ([NodeState.PENDING, NodeState.RUNNING], JobStatus.RUNNING),
        ([NodeState.UNKNOWN], JobStatus.RUNNING),
        ([NodeState.TERMINATED, NodeState.STOPPED], JobStatus.LOST),
        ([NodeState.TERMINATED, NodeState.ERROR], JobStatus.FAILED),
        ([NodeState.ERROR, NodeState.RUNNING], JobStatus.RUNNING),
        ([NodeState.ERROR, NodeState.PENDING], JobStatus.QUEUED),
    ],
)
def test_what_the_states_of_its_nodes_say_of_a_job(given: list[NodeState], status: JobStatus) -> None:
    assert status_of(given) is status


def script_in(told: str) -> str:
    """The script that cloud-init would leave on the node."""
    assert told.startswith("#cloud-config\n"), "or cloud-init takes it for something else"
    found = yaml.safe_load(told)
    (file,) = found["write_files"]
    assert found["runcmd"] == [["bash", file["path"]]]
    assert (file["permissions"], file["encoding"]) == ("0700", "b64")
    return base64.b64decode(file["content"]).decode()


PROGRAM = """#!{python}
import json, os, signal, sys, time
arguments = sys.argv[1:]
with open({calls!r}, "a") as calls:
    calls.write(json.dumps(arguments) + "\\n")
"""


class Node:
    """A node that can be switched on: bash, with a `docker` and a `shutdown` that write down how they were called."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.programs = folder / "bin"
        self.programs.mkdir()
        self.program("shutdown")
        self.program("docker")

    def program(self, name: str, does: str = "") -> None:
        file = self.programs / name
        file.write_text(PROGRAM.format(python=sys.executable, calls=str(self.folder / name)) + does)
        file.chmod(0o700)

    def container(self, does: str) -> None:
        """What comes of running a container here."""
        self.program("docker", f"if arguments[0] == 'run':\n    {does}\n")

    def boot(self, told: str) -> "subprocess.CompletedProcess[str]":
        file = self.folder / "job.sh"
        file.write_text(script_in(told))
        environment = {"PATH": f"{self.programs}:/usr/bin:/bin"}
        command = ["bash", "-c", f'echo $$ > pid; exec bash "{file}"']
        return subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False, timeout=60
        )

    def calls(self, name: str) -> list[list[str]]:
        file = self.folder / name
        return [json.loads(line) for line in file.read_text().splitlines()]


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def told(job: Job = JOB, task: int = 0) -> str:
    return user_data(job, task, "registry.example/samara:1", ENVIRONMENT)


def test_a_node_runs_its_task_in_a_container_and_shuts_down(node: Node) -> None:
    ended = node.boot(told(JOB._replace(tasks=4), task=2))

    environment = ["SAMARA_STORE=s3://flights", "SAMARA_PROVIDER=aws", "TASK_INDEX=2", "TASK_COUNT=4"]
    pull, run = node.calls("docker")
    assert pull == ["pull", "registry.example/samara:1"]
    assert run[:4] == ["run", "--rm", "--network", "host"]
    assert [value for option, value in pairwise(run) if option == "--env"] == environment
    assert run[-5:] == ["registry.example/samara:1", "python", "-m", "functions.train.job", "runs/late/1.json"]
    assert node.calls("shutdown") == [["-P", "+92"], ["-P", "now"]]
    assert ended.stdout == "samara: late-1, task 2 ended with exit code 0\n"


def test_a_job_with_gpus_sees_them_all(node: Node) -> None:
    node.boot(told(JOB._replace(gpus=1)))

    assert node.calls("docker")[1][4:6] == ["--gpus", "all"]


def test_a_node_shuts_down_also_when_its_task_fails(node: Node) -> None:
    node.container("sys.exit(3)")

    ended = node.boot(told())

    assert ended.stdout == "samara: late-1, task 0 ended with exit code 3\n"
    assert ended.returncode == 3
    assert node.calls("shutdown")[-1] == ["-P", "now"]


def test_a_node_runs_the_image_it_has_when_there_is_none_to_pull(node: Node) -> None:
    node.program("docker", "sys.exit(arguments[0] == 'pull')")

    assert node.boot(told()).returncode == 0
    assert [call[0] for call in node.calls("docker")] == ["pull", "run"]


def test_a_node_ends_a_task_whose_time_is_up_and_shuts_down(node: Node) -> None:
    node.container("time.sleep(600)")
    begun = time.monotonic()

    ended = node.boot(told(JOB._replace(time_limit_s=0.5)))

    assert ended.stdout == "samara: late-1, task 0 ended with exit code 124\n"
    assert time.monotonic() - begun < 30
    assert node.calls("shutdown")[-1] == ["-P", "now"]


def test_a_node_shuts_down_when_its_script_is_killed(node: Node) -> None:
    node.container(f"os.kill(int(open({str(node.folder / 'pid')!r}).read()), signal.SIGTERM)")

    ended = node.boot(told())

    assert ended.returncode != 0
    assert node.calls("shutdown") == [["-P", "+92"], ["-P", "now"]]


ARGUMENTS = ("it's", '"it"', "$(touch pwned)", "`touch pwned`", "a b\nc", "; touch pwned", "-x", "", "日本 😀", "\x85")


def test_what_a_job_is_given_arrives_as_it_is_and_nothing_else_is_run(node: Node) -> None:
    node.boot(told(JOB._replace(arguments=ARGUMENTS)))

    assert tuple(node.calls("docker")[1][-len(ARGUMENTS) :]) == ARGUMENTS
    assert not list(node.folder.rglob("pwned"))


def test_a_name_that_is_no_name_never_gets_into_a_script() -> None:
    with pytest.raises(Rejected):
        told(JOB._replace(name="late-1\ntouch pwned"))


def test_no_secret_is_told_to_a_node(runner: NodeJobs, job: Job, nodes: Nodes, ec2: Any) -> None:
    runner.submit(job)

    (node,) = nodes()
    script = script_in(base64.b64decode(about(ec2, node, "userData")).decode())
    assert "the-key" not in script
    assert "the-secret" not in script
    assert "LIBCLOUD" not in script
