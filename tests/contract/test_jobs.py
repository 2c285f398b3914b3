"""What every job runner promises (`samara.ports.JobRunner`), asked of each provider that runs real programs."""

from pathlib import Path

import pytest

from samara.errors import Rejected
from samara.ports import Job, JobRunner, JobStatus
from tests.contract.patience import appeared, ended, gone


def a_job(name: str, way: str, *arguments: object, time_limit_s: float = 60) -> Job:
    return Job(name, "tests.contract.sample_job", (way, *map(str, arguments)), time_limit_s)


@pytest.mark.parametrize(
    ("way", "outcome"),
    [
        ("succeed", JobStatus.SUCCEEDED),
        ("fail", JobStatus.FAILED),
        ("kill_ourselves", JobStatus.FAILED),
        ("no such way", JobStatus.FAILED),
    ],
)
def test_how_a_job_ends_is_how_its_program_ends(runner: JobRunner, way: str, outcome: JobStatus) -> None:
    handle = runner.submit(a_job("late-1", way))

    assert ended(runner, handle) is outcome
    assert runner.status(handle) is outcome, "and stays so"


def test_a_program_that_does_not_exist_is_a_failed_job(runner: JobRunner) -> None:
    handle = runner.submit(Job("late-1", "no.such.module", (), 60))

    assert ended(runner, handle) is JobStatus.FAILED


def test_a_job_nobody_submitted_is_lost(runner: JobRunner) -> None:
    assert runner.status("never") is JobStatus.LOST


@pytest.mark.parametrize("name", ["", "..", "../a", "a/b", "a\0b"])
def test_an_unsound_name_is_refused(runner: JobRunner, name: str) -> None:
    with pytest.raises(Rejected):
        runner.submit(a_job(name, "succeed"))


def test_a_running_job_is_told_from_an_ended_one(runner: JobRunner, tmp_path: Path) -> None:
    handle = runner.submit(a_job("late-1", "wait_for", tmp_path / "go"))
    while_waiting = runner.status(handle)

    (tmp_path / "go").touch()

    assert while_waiting is JobStatus.RUNNING
    assert ended(runner, handle) is JobStatus.SUCCEEDED


def test_a_job_that_hangs_is_ended_at_its_time_limit(runner: JobRunner, tmp_path: Path) -> None:
    handle = runner.submit(a_job("late-1", "hang", tmp_path / "pid", time_limit_s=0.5))

    assert ended(runner, handle) is JobStatus.FAILED


def test_a_job_that_does_not_listen_is_ended_all_the_same(runner: JobRunner, tmp_path: Path) -> None:
    handle = runner.submit(a_job("late-1", "hang_stubbornly", tmp_path / "pid", time_limit_s=0.5))

    assert ended(runner, handle) is JobStatus.FAILED


def test_submitted_again_while_it_runs_it_is_the_same_job(runner: JobRunner, tmp_path: Path) -> None:
    job = a_job("late-1", "hang", tmp_path / "pid")
    first = runner.submit(job)
    (process,) = appeared(tmp_path / "pid")
    (tmp_path / "pid").unlink()

    second = runner.submit(job)

    assert first == second
    assert process.is_running()
    runner.cancel(first)
    assert not (tmp_path / "pid").exists(), "no second one has started"


def test_submitted_again_after_it_succeeded_it_does_not_run_again(runner: JobRunner, tmp_path: Path) -> None:
    job = a_job("late-1", "note", tmp_path / "notes")
    ended(runner, runner.submit(job))

    handle = runner.submit(job)

    assert runner.status(handle) is JobStatus.SUCCEEDED
    assert (tmp_path / "notes").read_text() == "ran\n"


def test_submitted_again_after_it_failed_it_starts_again(runner: JobRunner, tmp_path: Path) -> None:
    job = a_job("late-1", "note_and_fail", tmp_path / "notes")
    ended(runner, runner.submit(job))

    ended(runner, runner.submit(job))

    assert (tmp_path / "notes").read_text() == "ran\nran\n"


def test_jobs_of_two_names_are_two_jobs(runner: JobRunner) -> None:
    one, other = runner.submit(a_job("late-1", "succeed")), runner.submit(a_job("late-2", "fail"))

    assert (ended(runner, one), ended(runner, other)) == (JobStatus.SUCCEEDED, JobStatus.FAILED)


def test_a_cancelled_job_ends_with_everything_it_started(runner: JobRunner, tmp_path: Path) -> None:
    handle = runner.submit(a_job("late-1", "hang_with_children", tmp_path / "pids"))
    processes = appeared(tmp_path / "pids")

    runner.cancel(handle)

    assert ended(runner, handle) is JobStatus.FAILED
    assert len(processes) == 3
    assert gone(processes)


def test_a_cancelled_job_starts_again_when_it_is_submitted_again(runner: JobRunner, tmp_path: Path) -> None:
    handle = runner.submit(a_job("late-1", "hang", tmp_path / "pid"))
    runner.cancel(handle)
    ended(runner, handle)

    runner.submit(a_job("late-1", "succeed"))

    assert ended(runner, handle) is JobStatus.SUCCEEDED


def test_cancelling_what_has_ended_or_never_was_does_nothing(runner: JobRunner) -> None:
    handle = runner.submit(a_job("late-1", "succeed"))
    ended(runner, handle)

    runner.cancel(handle)
    runner.cancel("never")

    assert runner.status(handle) is JobStatus.SUCCEEDED
    assert runner.status("never") is JobStatus.LOST


def test_what_a_job_left_running_ends_with_it(runner: JobRunner, tmp_path: Path) -> None:
    handle = runner.submit(a_job("late-1", "leave_children", tmp_path / "pids", tmp_path / "go"))
    processes = appeared(tmp_path / "pids")
    assert not gone(processes)

    (tmp_path / "go").touch()

    assert ended(runner, handle) is JobStatus.SUCCEEDED
    assert gone(processes)
