"""Google Batch: nothing stands ready. A job brings its machines and they go with it, so this is permissions only.

Batch takes the network named `default`; the project needs one with a way out, to fetch the image.
"""

from collections.abc import Mapping
from urllib.parse import urlencode

import pulumi
from pulumi_gcp import projects, serviceaccount, storage

from infra.config import Stack
from infra.gcp.store import CODE, Store, account, granted
from infra.names import code_key, named
from infra.packages import Packages
from samara.catalogue import Catalogue, Function, JobSpec, submitter

ON_THE_PROJECT = ("roles/batch.agentReporter", "roles/logging.logWriter")  # neither can be tied to one job
MACHINES: Mapping[str, dict[str, str]] = {
    "none": {},
    "t4": {"gpu": "nvidia-tesla-t4", "gpu-machine": "n1-standard-8"},
    "l4": {"gpu-machine": "g2-standard-8"},  # these bring their own
    "a100": {"gpu-machine": "a2-highgpu-1g"},
    "h100": {"gpu-machine": "a3-highgpu-1g"},
}
SUBMITS = ("batch.jobs.create", "batch.jobs.get")
ASKS = ("batch.jobs.get",)


class Jobs(pulumi.ComponentResource):
    """Who jobs are, what they may touch, and who may start them."""

    def __init__(
        self, stack: Stack, catalogue: Catalogue, store: Store, packages: Packages, opts: pulumi.ResourceOptions
    ) -> None:
        super().__init__("samara:gcp:Jobs", named(stack, "jobs"), None, opts)
        self._stack, self._mine = stack, pulumi.ResourceOptions(parent=self)
        first = submitter(catalogue)
        package = f"{first.name}-job"
        self.account = account(stack, package, does="does the work of jobs", opts=self._mine)
        self.code = code_key(package, packages[package].digest)
        storage.BucketObject(
            named(stack, package, "code"),
            bucket=store.bucket.name,
            name=self.code,
            source=pulumi.FileAsset(str(packages[package].path)),
            opts=pulumi.ResourceOptions(parent=self, retain_on_delete=True),  # jobs of before may still fetch theirs
        )
        if first.job:
            self._permit(first.job, package, store)
        self._submits = self._role("submits-jobs", SUBMITS)
        self._asks = self._role("asks-after-jobs", ASKS)
        self.register_outputs({"account": self.account.email})

    @property
    def address(self) -> pulumi.Output[str]:
        """As `samara.providers.gcp_jobs` reads it."""
        stack = self._stack
        options = urlencode({"image": stack.image, **MACHINES[stack.jobs.gpu], "spot": str(stack.jobs.spot).lower()})
        place = f"batch://{stack.project}/{stack.region}?{options}&account="
        return pulumi.Output.concat(place, self.account.email)

    def let(self, spec: Function, who: serviceaccount.Account, opts: pulumi.ResourceOptions) -> None:
        """Let `who` ask after jobs and, where its entry has a job, start them as the jobs' own account."""
        role = self._submits if spec.job else self._asks
        projects.IAMMember(
            named(self._stack, spec.name, "jobs"),
            project=self._stack.project,
            role=role.name,
            member=who.member,
            opts=opts,
        )
        if spec.job:
            serviceaccount.IAMMember(
                named(self._stack, spec.name, "as-job"),
                service_account_id=self.account.name,
                role="roles/iam.serviceAccountUser",
                member=who.member,
                opts=opts,
            )

    def _permit(self, spec: JobSpec, name: str, store: Store) -> None:
        start, member = named(self._stack, name), self.account.member
        for verb, prefixes in (("reads", (*spec.reads, CODE)), ("creates", spec.creates)):
            granted(f"{start}-{verb}", member, store.roles[verb], prefixes, folders=store.folders, opts=self._mine)
        for role in ON_THE_PROJECT:
            projects.IAMMember(
                f"{start}-{role.rpartition('.')[2].lower()}",
                project=self._stack.project,
                role=role,
                member=member,
                opts=self._mine,
            )

    def _role(self, does: str, permissions: tuple[str, ...]) -> projects.IAMCustomRole:
        """The ready-made roles for Batch let one delete and cancel what others have submitted."""
        return projects.IAMCustomRole(
            named(self._stack, does),
            project=self._stack.project,
            role_id=named(self._stack, does).replace("-", "_"),
            title=f"{self._stack.name}: {does.replace('-', ' ')}",
            permissions=list(permissions),
            opts=self._mine,
        )
