"""Jobs that wait until somebody takes them, with the life of every provider's jobs."""

from samara.ports import Job, JobStatus
from samara.providers.memory import MemoryJobs

JOB = Job("late-1", "functions.train.job", ("runs/late/1.json",), time_limit_s=60)
OTHER = Job("late-2", "functions.train.job", ("runs/late/2.json",), time_limit_s=60)


def test_a_job_waits_until_it_is_taken(jobs: MemoryJobs) -> None:
    handle = jobs.submit(JOB)
    waiting = jobs.status(handle)

    taken = jobs.take()

    assert (waiting, taken, jobs.status(handle)) == (JobStatus.QUEUED, JOB, JobStatus.RUNNING)
    assert jobs.take() is None


def test_jobs_are_taken_in_the_order_they_came(jobs: MemoryJobs) -> None:
    jobs.submit(JOB)
    jobs.submit(OTHER)

    assert (jobs.take(), jobs.take()) == (JOB, OTHER)


def test_submitted_again_while_alive_or_after_success_it_is_the_same_job(jobs: MemoryJobs) -> None:
    handles = {jobs.submit(JOB), jobs.submit(JOB)}
    jobs.take()
    handles.add(jobs.submit(JOB))
    jobs.ended("late-1", JobStatus.SUCCEEDED)
    handles.add(jobs.submit(JOB))

    assert len(handles) == 1
    assert jobs.take() is None


def test_submitted_again_after_it_failed_or_got_lost_it_starts_again(jobs: MemoryJobs) -> None:
    for end in (JobStatus.FAILED, JobStatus.LOST):
        jobs.submit(JOB)
        assert jobs.take() == JOB
        jobs.ended("late-1", end)

    assert jobs.status(jobs.submit(JOB)) is JobStatus.QUEUED


def test_a_cancelled_job_has_failed_and_one_that_ended_stays_as_it_was(jobs: MemoryJobs) -> None:
    jobs.submit(JOB)
    jobs.submit(OTHER)
    jobs.ended("late-2", JobStatus.SUCCEEDED)

    for handle in ("late-1", "late-2", "never"):
        jobs.cancel(handle)

    assert [jobs.status(handle) for handle in ("late-1", "late-2", "never")] == ["failed", "succeeded", "lost"]
