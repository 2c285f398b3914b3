"""What processes of one machine bring with them: they are killed, they outlive each other, and Ctrl-C ends them all."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from samara.ports import Job, JobStatus
from samara.providers import local_supervisor as supervisor
from samara.providers.local import LocalJobs
from samara.providers.local_jobs import attempt_of
from samara.settings import Settings
from tests.contract.patience import appeared, ended, gone, until


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def runner(home: Path) -> LocalJobs:
    return LocalJobs(Settings(home=home))


def a_job(name: str, way: str, *arguments: object, time_limit_s: float = 60) -> Job:
    return Job(name, "tests.contract.sample_job", (way, *map(str, arguments)), time_limit_s)


def an_array(tasks: int, way: str, *arguments: object) -> Job:
    return Job("sweep-1", "tests.contract.sample_job", (way, *map(str, arguments)), 60, tasks=tasks)


def supervisor_of(process: psutil.Process) -> psutil.Process:
    parent = process.parent()
    assert parent is not None
    assert "local_supervisor.py" in " ".join(parent.cmdline())
    return parent


def test_a_job_outlives_who_submitted_it_and_is_known_to_others(runner: LocalJobs, home: Path, tmp_path: Path) -> None:
    submitter = [sys.executable, "-m", "tests.contract.programs", "submit_and_die", str(home), "late-1"]
    died = subprocess.run([*submitter, "wait_for", str(tmp_path / "go")], check=False, start_new_session=True)

    afterwards = runner.status("late-1")
    (tmp_path / "go").touch()

    assert died.returncode == -signal.SIGKILL
    assert afterwards is JobStatus.RUNNING
    assert ended(runner, "late-1") is JobStatus.SUCCEEDED


def test_what_a_job_says_is_kept(runner: LocalJobs) -> None:
    handle = runner.submit(a_job("late-1", "say", "hello", "world"))
    ended(runner, handle)

    assert sorted(runner.log(handle).read_text().splitlines()) == ["and complain", "hello world"]


@pytest.mark.parametrize(
    ("way", "limit_s", "why"),
    [
        ("succeed", 60, "ended with exit code 0"),
        ("fail", 60, "ended with exit code 3"),
        ("kill_ourselves", 60, "ended by SIGKILL"),
        ("hang", 0.25, "exceeded its time limit of 0.25 s"),
        ("hang", -1, "exceeded its time limit of -1 s"),
    ],
)
def test_it_is_known_why_a_job_ended(runner: LocalJobs, tmp_path: Path, way: str, limit_s: float, why: str) -> None:
    arguments = [tmp_path / "pid"] * (way == "hang")

    handle = runner.submit(a_job("late-1", way, *arguments, time_limit_s=limit_s))
    ended(runner, handle)

    assert runner.why(handle) == why


def test_a_job_finds_its_home_from_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    runner = LocalJobs(Settings(home=Path("relative")))

    ended(runner, runner.submit(a_job("late-1", "tell_where", tmp_path / "told")))

    home, folder, leads = (tmp_path / "told").read_text().splitlines()
    assert home == str(tmp_path / "relative")
    assert folder == str(tmp_path / "relative/jobs/late-1/work")
    assert leads == "True"


def test_a_job_whose_supervisor_is_killed_is_still_seen_and_can_be_cancelled(runner: LocalJobs, tmp_path: Path) -> None:
    handle = runner.submit(a_job("late-1", "hang", tmp_path / "pid"))
    (process,) = appeared(tmp_path / "pid")
    supervisor_of(process).kill()

    orphaned = runner.status(handle)
    runner.cancel(handle)

    assert orphaned is JobStatus.RUNNING
    assert runner.status(handle) is JobStatus.LOST, "nobody was there to write down how it ended"
    assert gone([process])


def test_a_job_killed_together_with_its_supervisor_is_lost_and_starts_again(runner: LocalJobs, tmp_path: Path) -> None:
    handle = runner.submit(a_job("late-1", "hang", tmp_path / "pid"))
    (process,) = appeared(tmp_path / "pid")
    for victim in (supervisor_of(process), process):
        victim.kill()
    until(lambda: gone([process]), "the death of the job")
    lost = ended(runner, handle)

    runner.submit(a_job("late-1", "succeed"))

    assert lost is JobStatus.LOST
    assert ended(runner, handle) is JobStatus.SUCCEEDED


def test_many_who_submit_one_job_at_once_start_it_once(runner: LocalJobs, home: Path, tmp_path: Path) -> None:
    program = [sys.executable, "-m", "tests.contract.programs", "submit_together", str(home), "8", "late-1"]

    subprocess.run([*program, "note", str(tmp_path / "notes")], check=True)

    assert ended(runner, "late-1") is JobStatus.SUCCEEDED
    assert (tmp_path / "notes").read_text() == "ran\n"


def test_stopping_all_leaves_no_process_behind(runner: LocalJobs, tmp_path: Path) -> None:
    runner.submit(a_job("late-1", "hang_with_children", tmp_path / "pids"))
    runner.submit(a_job("late-2", "hang_stubbornly", tmp_path / "pid"))
    ended(runner, runner.submit(a_job("late-3", "succeed")))
    processes = appeared(tmp_path / "pids") + appeared(tmp_path / "pid")
    supervisors = [supervisor_of(processes[0]), supervisor_of(processes[-1])]

    runner.stop_all()

    assert gone(processes + supervisors)
    assert [runner.status(f"late-{number}") for number in (1, 2, 3)] == ["lost", "lost", "succeeded"]


def test_stopping_all_reaches_a_job_that_has_only_just_been_submitted(runner: LocalJobs, tmp_path: Path) -> None:
    handles = [runner.submit(a_job(f"late-{number}", "hang", tmp_path / "pid")) for number in range(3)]

    runner.stop_all()

    assert {runner.status(handle) for handle in handles} == {JobStatus.LOST}


def test_stopping_all_where_nothing_ever_ran_does_nothing(runner: LocalJobs, home: Path) -> None:
    runner.stop_all()

    assert not home.exists()


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"\xff"])
def test_a_damaged_note_of_how_a_job_ended_counts_as_none(runner: LocalJobs, home: Path, damage: bytes) -> None:
    handle = runner.submit(a_job("late-1", "fail"))
    ended(runner, handle)

    (home / "jobs/late-1/exit.json").write_bytes(damage)

    assert runner.status(handle) is JobStatus.LOST


def test_a_note_of_an_earlier_attempt_says_nothing_of_this_one(runner: LocalJobs, home: Path) -> None:
    handle = runner.submit(a_job("late-1", "succeed"))
    ended(runner, handle)
    plan = home / "jobs/late-1/job.json"

    plan.write_text(json.dumps({**json.loads(plan.read_text()), "attempt": "another"}))

    assert runner.status(handle) is JobStatus.LOST
    assert runner.why(handle) == ""


def test_a_job_is_not_a_child_of_who_submitted_it(runner: LocalJobs, tmp_path: Path) -> None:
    handle = runner.submit(a_job("late-1", "hang", tmp_path / "pid"))
    (process,) = appeared(tmp_path / "pid")

    assert process not in psutil.Process().children(recursive=True)
    runner.cancel(handle)


def test_a_cancelled_array_ends_with_the_tasks_that_still_wait_for_a_processor(
    runner: LocalJobs, home: Path, tmp_path: Path
) -> None:
    handle = runner.submit(an_array(supervisor.AT_ONCE + 2, "hang_in_task", tmp_path))
    processes = [process for task in range(supervisor.AT_ONCE) for process in appeared(tmp_path / str(task))]

    runner.cancel(handle)

    assert runner.status(handle) is JobStatus.FAILED
    assert runner.why(handle) == "task 0 ended by SIGTERM"
    assert gone(processes)
    assert list((home / "jobs/sweep-1").glob("group-*")) == [], "or a later cancel could end a stranger"


def test_no_task_starts_any_more_though_who_cancelled_the_array_was_killed_at_once(
    runner: LocalJobs, home: Path, tmp_path: Path
) -> None:
    handle = runner.submit(an_array(supervisor.AT_ONCE + 2, "wait_in_task", tmp_path, tmp_path / "go"))
    begun = {str(task) for task in range(supervisor.AT_ONCE)}
    until(lambda: {file.name for file in tmp_path.glob("[0-9]*")} == begun, "the first tasks")

    (home / "jobs/sweep-1" / f"cancelled-{attempt_of(home / 'jobs/sweep-1')}").touch()
    (tmp_path / "go").touch()

    assert ended(runner, handle) is JobStatus.FAILED
    assert {file.name for file in tmp_path.glob("[0-9]*")} == begun


def test_more_tasks_than_processors_all_run(runner: LocalJobs, tmp_path: Path) -> None:
    many = 2 * supervisor.AT_ONCE + 1

    assert ended(runner, runner.submit(an_array(many, "note_task", tmp_path))) is JobStatus.SUCCEEDED

    assert len(list(tmp_path.glob("[0-9]*"))) == many


def test_each_task_of_an_array_has_a_folder_of_its_own(runner: LocalJobs, home: Path) -> None:
    ended(runner, runner.submit(an_array(2, "note_task", ".")))

    assert sorted(str(file.relative_to(home)) for file in home.glob("jobs/*/work/*/*")) == [
        "jobs/sweep-1/work/0/0",
        "jobs/sweep-1/work/1/1",
    ]


def test_it_is_known_which_task_failed_and_why(runner: LocalJobs, tmp_path: Path) -> None:
    handle = runner.submit(an_array(3, "fail_in_task", tmp_path, 1))
    ended(runner, handle)

    assert runner.why(handle) == "task 1 ended with exit code 3"


def test_an_array_whose_supervisor_is_killed_can_still_be_cancelled(runner: LocalJobs, tmp_path: Path) -> None:
    handle = runner.submit(an_array(2, "hang_in_task", tmp_path))
    processes = appeared(tmp_path / "0") + appeared(tmp_path / "1")
    supervisor_of(processes[0]).kill()

    orphaned = runner.status(handle)
    runner.cancel(handle)

    assert orphaned is JobStatus.RUNNING
    assert runner.status(handle) is JobStatus.LOST
    assert gone(processes)


def test_a_cancelled_array_runs_whole_when_it_is_submitted_again(runner: LocalJobs, tmp_path: Path) -> None:
    handle = runner.submit(an_array(2, "hang_in_task", tmp_path))
    runner.cancel(handle)

    runner.submit(an_array(2, "succeed"))

    assert ended(runner, handle) is JobStatus.SUCCEEDED
