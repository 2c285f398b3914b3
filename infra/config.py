"""What one stack is asked to be: its Pulumi configuration, read once and refused before anything is created.

`pulumi config set samara:region eu-central-1` sets a plain value, `pulumi config set --path samara:jobs.gpu l4` one
inside another.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from samara.errors import Misconfigured

NAMESPACE = "samara:"
REGIONS = {
    "aws": (r"[a-z]{2}(-[a-z]+)+-\d", "eu-central-1"),
    "gcp": (r"[a-z]+-[a-z]+\d+", "europe-west3"),
    "azure": (r"[a-z]+\d?", "westeurope"),
}
PROJECTS = {
    "aws": (r"(\d{12})?", "the twelve digits of an account, or nothing for the one you are logged in to"),
    "gcp": (r"[a-z][a-z0-9-]{4,28}[a-z0-9]", "the id of a Google Cloud project"),
    "azure": (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "the id of an Azure subscription"),
}
GPUS = {
    "aws": ("none", "t4", "a10g", "l4", "l40s", "a100", "h100"),
    "gcp": ("none", "t4", "l4", "a100", "h100"),
    "azure": ("none", "t4", "a100"),
}
LABEL = re.compile(r"[a-z][a-z0-9_-]{0,62}=[a-z0-9_-]{0,63}")  # what Google Cloud takes, and so do the others
LOG_DAYS = (1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731)  # what CloudWatch has, and so do the others
LEAST_ON_AZURE = 40  # instances of an app, for each of which its bound has always been at least this
Email = Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$")]


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Jobs(Part):
    """Where trainings run. Nothing of it runs, or costs, while nothing is trained.

    `image` is any that has Python of the stack's version; without one it is the plain image of Python. `gpu` is the
    kind each machine has. `time_limit_s` is the most any job may take, whatever its own definition says. `spot` takes
    machines that are cheaper and may be taken back, where a cloud has such: Azure has none, and refuses to be asked.
    """

    image: str = ""
    gpu: Literal["none", "t4", "a10g", "l4", "l40s", "a100", "h100"] = "none"
    spot: bool = True
    max_vcpus: int = Field(default=64, ge=1, le=10_000)
    time_limit_s: int = Field(default=86_400, ge=60, le=7 * 86_400)
    subnets: tuple[str, ...] = ()


class Budget(Part):
    """Who hears when a month gets dearer than `usd`. `alarms` also tells of failures; AWS charges for each alarm."""

    usd: int = Field(gt=0)
    email: Email
    alarms: bool = False


class Stack(Part):
    """One deployment of the catalogue.

    `project` is the Google Cloud project, the Azure subscription or, if it is to be held to one, the AWS account.
    `callers` may call the functions that answer HTTP, beside the account itself: principals in the cloud's own words.
    `keep_days` is how long overwritten and deleted objects can be brought back, `log_days` how long logs are kept.
    `concurrency` bounds how many of each function run at once. With `parquet`, predict reads bodies in Parquet too: its
    package is twice as heavy then, and takes longer to start. `packages` names packages that were built before.
    Without `precompile` no Python of the stack's version is needed here, and each cold start is slower.
    """

    cloud: Literal["aws", "gcp", "azure"]
    region: str
    project: str = ""
    name: str = Field(default="samara", pattern=r"^[a-z](-?[a-z0-9]){1,15}$")
    machine: Literal["x86_64", "arm64"] = "x86_64"
    python: Literal["3.12", "3.13", "3.14"] = "3.13"
    jobs: Jobs = Jobs()
    budget: Budget | None = None
    callers: tuple[str, ...] = ()
    keep_days: int = Field(default=30, ge=1, le=3650)
    log_days: int = 30
    concurrency: int | None = Field(default=None, ge=1)
    tags: dict[str, str] = {}
    protect: bool = True
    precompile: bool = True
    parquet: bool = False
    packages: Path | None = None

    @model_validator(mode="after")
    def fits_its_cloud(self) -> Self:
        """Refuse what this cloud has not, all of it at once."""
        if wrong := list(self._misfits()):
            raise ValueError("\n".join(wrong))
        return self

    @property
    def image(self) -> str:
        """The image that jobs start from."""
        return self.jobs.image or f"public.ecr.aws/docker/library/python:{self.python}-slim"

    def _misfits(self) -> list[str]:
        region, place = REGIONS[self.cloud]
        project, what = PROJECTS[self.cloud]
        gpus, days = ", ".join(GPUS[self.cloud]), ", ".join(map(str, LOG_DAYS))
        labels = [f"{name}={value}" for name, value in self.tags.items()]
        return [why for holds, why in (
            (re.fullmatch(region, self.region), f"region: {self.region!r} is no region of {self.cloud}; try {place}"),
            (re.fullmatch(project, self.project), f"project: {self.project!r} does not fit; give {what}"),
            (self.jobs.gpu in GPUS[self.cloud], f"jobs.gpu: {self.cloud} has no {self.jobs.gpu}; it has {gpus}"),
            (not self.jobs.subnets or self.cloud == "aws", "jobs.subnets: only AWS Batch takes subnets; leave it away"),
            (
                self.cloud != "azure" or not self.jobs.spot or "spot" not in self.jobs.model_fields_set,
                "jobs.spot: Container Apps has no spot machines; leave it away",
            ),
            (
                self.cloud != "azure" or self.concurrency is None or self.concurrency >= LEAST_ON_AZURE,
                f"concurrency: azure bounds instances at {LEAST_ON_AZURE} or more; raise it, or leave it away",
            ),
            (
                self.machine == "x86_64" or self.cloud == "aws",
                f"machine: {self.cloud} runs functions on x86_64 only; leave it away",
            ),
            (
                self.machine == "x86_64" or self.jobs.gpu == "none" or self.cloud != "aws",
                "machine: machines with a GPU are x86_64, and all packages are for one machine; leave it away",
            ),
            (self.log_days in LOG_DAYS, f"log_days: {self.log_days} is none of {days}"),
            (
                all(LABEL.fullmatch(label) for label in labels),
                "tags: use lower case letters, digits, - and _, at most 63 of them, beginning with a letter",
            ),
        ) if not holds]  # fmt: skip


def read(given: Mapping[str, str]) -> Stack:
    """The stack that a Pulumi configuration describes, or `Misconfigured` with every flaw of it and the way out."""
    ours = {
        name.removeprefix(NAMESPACE): _value(name, text) for name, text in given.items() if name.startswith(NAMESPACE)
    }
    try:
        return Stack.model_validate(ours)
    except ValidationError as error:
        flaws = [flaw for one in error.errors() for flaw in _explained(one["loc"], one["type"], one["msg"])]
        raise Misconfigured("this stack's configuration", "\n  ".join(("nothing was created;", *flaws))) from error


def _value(name: str, text: str) -> object:
    """Pulumi hands over what is nested as JSON, and all else as text."""
    if not text.startswith(("{", "[")):
        return text
    try:
        return json.loads(text)
    except ValueError as error:
        raise Misconfigured(name, f"not JSON ({error}); set it by pulumi config set --path {name}.…") from error


def _explained(where: tuple[int | str, ...], kind: str, said: str) -> list[str]:
    """Each flaw as `samara:name: why; way out`."""
    if not where:  # what `fits_its_cloud` found names its places itself
        return [f"{NAMESPACE}{line}" for line in said.removeprefix("Value error, ").splitlines()]
    path = NAMESPACE + ".".join(map(str, where))
    field = Stack.model_fields.get(str(where[0]))
    if kind == "extra_forbidden":
        return [f"{path}: no such setting; remove it by pulumi config rm --path {path}"]
    example = {"cloud": "aws, gcp or azure", "region": REGIONS["aws"][1]}.get(str(where[0]), "…")
    if field is not None and kind == "missing":
        return [f"{path}: missing; pulumi config set --path {path} {example}"]
    return [f"{path}: {said[0].lower()}{said[1:]}; pulumi config set --path {path} {example}"]
