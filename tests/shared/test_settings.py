"""How a process is set up: by a few variables, each named when it is wrong."""

import subprocess
import sys
from pathlib import Path

import pytest

from samara import providers
from samara.errors import Misconfigured
from samara.settings import Settings, from_environment, nearest_home


def test_nothing_need_be_set() -> None:
    assert from_environment({"PATH": "/bin"}) == Settings(provider="local", home=Path(".samara"))


def test_what_is_set_is_read() -> None:
    settings = from_environment({"SAMARA_PROVIDER": "memory", "SAMARA_HOME": "/data"})

    assert settings.provider == "memory"
    assert settings.bucket == Path("/data/bucket")


def test_what_is_set_to_nothing_is_not_set() -> None:
    assert from_environment({"SAMARA_HOME": "", "SAMARA_PROVIDER": "", "SAMARA_CATALOGUE": ""}) == Settings()


@pytest.mark.parametrize("name", ["SAMARA_HOEM", "SAMARA_", "SAMARA_PROVIDERS"])
def test_a_typing_mistake_is_refused_by_name(name: str) -> None:
    with pytest.raises(Misconfigured, match=name):
        from_environment({name: "x"})


def test_a_child_gets_the_same_settings_wherever_it_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    environment = Settings(home=Path("here"), provider="memory").environment()

    childs = from_environment(environment)

    assert childs == Settings(home=tmp_path / "here", provider="memory")


def test_the_nearest_home_is_found_from_below(tmp_path: Path) -> None:
    (tmp_path / "project/.samara").mkdir(parents=True)
    (tmp_path / "project/data/may").mkdir(parents=True)

    assert nearest_home(tmp_path / "project/data/may") == tmp_path / "project/.samara"
    assert nearest_home(tmp_path / "project") == tmp_path / "project/.samara"
    assert nearest_home(tmp_path) == nearest_home(tmp_path.parent), "there may be one far above"


def test_settings_do_not_change_under_a_running_process() -> None:
    with pytest.raises(AttributeError):
        Settings().provider = "memory"  # type: ignore[misc]  # which is what mypy says too


def test_an_unknown_provider_is_refused_with_those_there_are() -> None:
    with pytest.raises(Misconfigured, match="asw: no such provider; choose one of memory, local"):
        providers.load("asw")


@pytest.mark.parametrize(
    ("provider", "store"), [("local", "s3://flights"), ("aws", "gs://flights"), ("gcp", "file:/x")]
)
def test_a_store_of_another_provider_is_refused(provider: str, store: str) -> None:
    with pytest.raises(Misconfigured, match=store):
        providers.load(provider).object_store(Settings(provider=provider, store=store))


def test_a_provider_whose_sdk_is_not_installed_says_what_to_install() -> None:
    program = "import sys; sys.modules['boto3'] = None; from samara import providers; providers.load('aws')"

    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert "Misconfigured: aws: needs boto3, which is not installed; install Samara's extra aws" in ended.stderr


@pytest.mark.parametrize("jobs", ["batch://queue", "s3://queue/definition"])
def test_a_place_for_jobs_that_is_none_is_refused(jobs: str) -> None:
    with pytest.raises(Misconfigured, match="names no queue; write batch://queue/definition"):
        providers.load("aws").job_runner(Settings(provider="aws", jobs=jobs))


@pytest.mark.parametrize("provider", ["aws", "azure", "libcloud"])
def test_an_address_that_is_missing_is_asked_for(provider: str) -> None:
    with pytest.raises(Misconfigured, match="missing; name the bucket in SAMARA_STORE"):
        providers.load(provider).object_store(Settings(provider=provider))


def test_a_folder_can_be_named_by_its_address(tmp_path: Path) -> None:
    providers.store_at(f"file:{tmp_path}/bucket").create("a", b"x")

    assert (tmp_path / "bucket/a").read_bytes() == b"x"


@pytest.mark.parametrize("name", ["memory", "local"])
def test_a_provider_without_a_cloud_needs_no_more_than_a_home_a_store_and_jobs(name: str, tmp_path: Path) -> None:
    settings = Settings(provider=name, home=tmp_path)

    provider = providers.load(name)
    store, jobs = provider.object_store(settings), provider.job_runner(settings)

    store.create("a", b"x")
    assert list(store.list("")) == ["a"]
    assert jobs.status("never") == "lost"
