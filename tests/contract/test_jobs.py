"""What every job runner promises (`samara.ports.JobRunner`), asked of each provider that runs real programs."""

import json
from pathlib import Path

import psutil
import pytest

from samara.errors import Rejected
from samara.ports import Job, JobRunner, JobStatus
from samara.providers.starting import command
from samara.settings import Settings
from tests.contract.patience import appeared, ended, gone, until

LONGEST_OVERRIDES = 8192  # characters: https://docs.aws.amazon.com/batch/latest/userguide/service_limits.html
LONG_S = 3600  # on a busy machine, and of an emulator's hour perhaps half a minute


def a_job(name: str, way: str, *arguments: object, time_limit_s: float = LONG_S, tasks: int = 1) -> Job:
    return Job(name, "tests.contract.sample_job", (way, *map(str, arguments)), time_limit_s, tasks=tasks)


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
    handle = runner.submit(Job("late-1", "no.such.module", (), LONG_S))

    assert ended(runner, handle) is JobStatus.FAILED


def test_a_job_nobody_submitted_is_lost(runner: JobRunner) -> None:
    assert runner.status("never") is JobStatus.LOST


@pytest.mark.parametrize("name", ["", "..", "../a", "a/b", "a\0b"])
def test_an_unsound_name_is_refused(runner: JobRunner, name: str) -> None:
    with pytest.raises(Rejected):
        runner.submit(a_job(name, "succeed"))


def test_a_running_job_is_told_from_an_ended_one(runner: JobRunner, tmp_path: Path) -> None:
    handle = runner.submit(a_job("late-1", "wait_for", tmp_path / "go"))
    until(lambda: runner.status(handle) is JobStatus.RUNNING, "the job's machine to have started")

    (tmp_path / "go").touch()

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


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    folder.mkdir()
    return folder


def read(notes: Path) -> dict[str, str]:
    return {file.name: file.read_text() for file in sorted(notes.iterdir())}


def test_an_array_runs_each_of_its_tasks_once_and_each_knows_which_it_is(runner: JobRunner, notes: Path) -> None:
    handle = runner.submit(a_job("sweep-1", "note_task", notes, tasks=5))

    assert ended(runner, handle) is JobStatus.SUCCEEDED
    assert read(notes) == {str(task): "of 5\n" for task in range(5)}


def test_a_job_alone_is_the_only_task(runner: JobRunner, notes: Path) -> None:
    ended(runner, runner.submit(a_job("late-1", "note_task", notes)))

    assert read(notes) == {"0": "of 1\n"}


def test_the_tasks_of_an_array_run_side_by_side(runner: JobRunner, notes: Path) -> None:
    handle = runner.submit(a_job("sweep-1", "meet", notes, tasks=2))

    assert ended(runner, handle) is JobStatus.SUCCEEDED


def test_an_array_fails_when_one_task_does_and_the_others_end_as_they_would(runner: JobRunner, notes: Path) -> None:
    handle = runner.submit(a_job("sweep-1", "fail_in_task", notes, 1, tasks=4))

    assert ended(runner, handle) is JobStatus.FAILED
    assert sorted(read(notes)) == ["0", "1", "2", "3"]


def test_a_cancelled_array_ends_with_all_its_tasks(runner: JobRunner, notes: Path) -> None:
    handle = runner.submit(a_job("sweep-1", "hang_in_task", notes, tasks=2))
    processes = appeared(notes / "0") + appeared(notes / "1")

    runner.cancel(handle)

    assert ended(runner, handle) is JobStatus.FAILED
    until(lambda: gone(processes), "the end of all tasks")


def test_the_time_limit_ends_every_task_of_an_array(runner: JobRunner, notes: Path) -> None:
    handle = runner.submit(a_job("sweep-1", "hang_in_task", notes, tasks=2, time_limit_s=0.5))

    assert ended(runner, handle) is JobStatus.FAILED
    begun = [int(process) for process in read(notes).values()]
    until(lambda: not any(psutil.pid_exists(process) for process in begun), "the end of all tasks")


def test_an_array_submitted_again_after_it_failed_runs_again(runner: JobRunner, notes: Path) -> None:
    job = a_job("sweep-1", "fail_in_task", notes, 0, tasks=2)
    ended(runner, runner.submit(job))

    ended(runner, runner.submit(job))

    assert read(notes) == {"0": "of 2\nof 2\n", "1": "of 2\nof 2\n"}


def test_an_array_submitted_again_after_it_succeeded_does_not_run_again(runner: JobRunner, notes: Path) -> None:
    job = a_job("sweep-1", "note_task", notes, tasks=2)
    ended(runner, runner.submit(job))

    handle = runner.submit(job)

    assert runner.status(handle) is JobStatus.SUCCEEDED
    assert read(notes) == {"0": "of 2\n", "1": "of 2\n"}


def test_what_starts_a_job_with_its_code_in_the_bucket_is_as_short_as_aws_batch_wants_it() -> None:
    settings = Settings(
        provider="aws",
        store=f"s3://{'b' * 63}?region=ap-southeast-1",
        jobs=f"batch://{'q' * 128}/{'d' * 128}?region=ap-southeast-1",
        bus="events://default?region=ap-southeast-1",
        function="reconcile",
        code=f"code/{'c' * 64}.zip",
    )
    environment = [{"name": name, "value": value} for name, value in settings.environment().items()]
    job = Job("late-1", "functions.train.job", (f"runs/{'m' * 63}/{'r' * 64}.json",), LONG_S)

    overrides = {"command": command(job, settings.environment()), "environment": environment}

    assert len(json.dumps(overrides)) < LONGEST_OVERRIDES - 200, "less what else is asked for: memory and GPUs"
