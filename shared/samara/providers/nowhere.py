"""What a process gets that was given no machines: it can do everything but run jobs."""

from samara.errors import Misconfigured
from samara.ports import Job, JobStatus


class NoJobs:
    """Refuses each job by name, and says how one gets machines."""

    def submit(self, job: Job) -> str:
        raise nowhere(job.name)

    def status(self, handle: str) -> JobStatus:
        raise nowhere(handle)

    def cancel(self, handle: str) -> None:
        raise nowhere(handle)


def nowhere(name: str) -> Misconfigured:
    why = "there is nowhere to run it; SAMARA_JOBS names a batch service, such as batch://queue/definition"
    return Misconfigured(name, why)
