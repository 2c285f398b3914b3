"""The conformance kit passes stores that keep their promises, and names what a broken one cannot be used for."""

import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from samara.cli import main
from samara.conformance import PREFIX, PROMISES, at, examined
from samara.errors import Conflict, NotFound
from samara.ports import ObjectStore, Version
from samara.providers import store_at
from samara.providers.memory import MemoryStore
from tests.emulators import s3, unconditional


@pytest.fixture
def doctor() -> Callable[[str], Result]:
    return lambda address: CliRunner().invoke(main, ["doctor", "--store", address])


def test_a_good_store_keeps_every_promise_and_nothing_is_left_in_it(store: ObjectStore) -> None:
    verdicts = list(examined(store))

    assert [verdict.promise for verdict in verdicts] == list(PROMISES)
    assert all(verdict.fine for verdict in verdicts), [verdict.says for verdict in verdicts]
    assert list(store.list("")) == []


class Careless(MemoryStore):
    """Ignores every condition, as some services do."""

    def create(self, key: str, data: bytes) -> Version:
        with suppress(NotFound):
            super().delete(key, self.head(key).version)
        return super().create(key, data)

    def replace(self, key: str, data: bytes, version: Version) -> Version:  # noqa: ARG002  # that is its fault
        return self.create(key, data)

    def delete(self, key: str, version: Version) -> None:  # noqa: ARG002  # the same
        super().delete(key, self.head(key).version)


class Forgetful(MemoryStore):
    """Lists only what was there a while ago."""

    def list(self, prefix: str, after: str = "") -> "list[str]":  # type: ignore[override]  # iterable all the same
        return list(super().list(prefix, after))[:-1]


class Spelling(MemoryStore):
    """Cannot tell odd names apart."""

    def create(self, key: str, data: bytes) -> Version:
        return super().create(key.encode("ascii", "replace").decode(), data)


class Absentminded(MemoryStore):
    """Calls absent what it is asked to replace, instead of saying that it lost."""

    def replace(self, key: str, data: bytes, version: Version) -> Version:
        try:
            return super().replace(key, data, version)
        except Conflict as error:
            raise NotFound(key) from error


@pytest.mark.parametrize(
    ("broken", "breaks"),
    [
        (Careless, {"create-if-absent", "replace", "delete", "multipart commit", "64-writer race"}),
        (Forgetful, {"list-after-write"}),
        (Spelling, {"errors"}),
        (Absentminded, {"replace", "64-writer race"}),
    ],
)
def test_each_broken_promise_is_found(broken: type[MemoryStore], breaks: set[str]) -> None:
    verdicts = list(examined(broken()))

    assert {verdict.promise.name for verdict in verdicts if not verdict.fine} == breaks


def test_the_doctor_shows_a_table_and_is_content_with_a_good_bucket(doctor: Callable[[str], Result]) -> None:
    address = s3.fresh_bucket()

    ended = doctor(address)

    assert ended.exit_code == 0, ended.output
    assert all(promise.name in ended.output for promise in PROMISES)
    assert f"{address} keeps every promise" in ended.output
    assert list(store_at(address).list(PREFIX)) == []


def test_the_doctor_fails_an_emulator_that_ignores_preconditions(doctor: Callable[[str], Result]) -> None:
    address = unconditional.fresh_bucket()

    ended = doctor(address)

    assert ended.exit_code == 1
    assert "breaks create-if-absent, so it cannot be used for anything" in ended.output
    assert "breaks replace, so it cannot be used for aliases" in ended.output
    assert "64 of 64 writers at once were told that they had created one object" in ended.output


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("flights", "not the address of a bucket; it starts with one of file:, s3:, gs:, az:"),
        ("ftp://flights", "not the address of a bucket"),
        ("s3://", "names nothing; write s3://name"),
        ("s3://flights/deep", "without a path behind it"),
        ("s3://key:secret@flights", "an address holds no credentials"),
        ("s3://flights?reigon=x", "no such option: reigon"),
    ],
)
def test_a_wrong_address_is_refused_with_the_way_out(doctor: Callable[[str], Result], address: str, why: str) -> None:
    ended = doctor(address)

    assert ended.exit_code == 1
    assert why in ended.output
    assert "secret" not in ended.output


def test_a_bucket_that_is_not_there_is_said_to_be_so(doctor: Callable[[str], Result]) -> None:
    ended = doctor(f"s3://never-made?endpoint={s3.endpoint()}&region={s3.REGION}")

    assert ended.exit_code == 1
    assert "there is no such bucket: create it, or correct the address" in ended.output


def test_a_store_that_can_set_no_condition_is_told_what_it_is_good_for(
    doctor: Callable[[str], Result], tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()

    ended = doctor(f"libcloud://local/mine?endpoint={tmp_path}")

    assert ended.exit_code == 1
    assert "libcloud cannot write on condition" in ended.output
    assert "cannot be used for anything but taking in from and copying to" in ended.output


@pytest.mark.parametrize(
    ("address", "way_out"),
    [
        ("s3://flights", "Amazon's credentials: none were found; run aws sso login, or give the function a role"),
        ("az://acme/flights", "Azure's credentials: none were found; run az login, or give the function an identity"),
        ("gs://flights", "Google's credentials: none were found; run gcloud auth application-default login"),
    ],
)
def test_who_is_nobody_is_told_how_to_log_in(tmp_path: Path, address: str, way_out: str) -> None:
    nobody = {"HOME": str(tmp_path), "AWS_EC2_METADATA_DISABLED": "true", "NO_GCE_CHECK": "true"}
    command = [sys.executable, "-m", "samara.cli", "doctor", "--store", address]

    ended = subprocess.run(command, env=nobody, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert ended.returncode == 1
    assert way_out in ended.stderr
    assert len(ended.stderr.splitlines()) == 2, "the rest would be noise"


def test_a_folder_is_examined_like_any_other(doctor: Callable[[str], Result], tmp_path: Path) -> None:
    (tmp_path / "bucket").mkdir()

    ended = doctor(f"file:{tmp_path}/bucket")

    assert ended.exit_code == 0, ended.output
    assert not list((tmp_path / "bucket").iterdir()), "not even an empty folder is left"


def test_what_others_have_in_a_folder_stays(tmp_path: Path) -> None:
    theirs = tmp_path / "bucket" / PREFIX / "theirs" / "created"
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(b"theirs")

    list(examined(store_at(f"file:{tmp_path}/bucket")))

    assert [path for path in (tmp_path / "bucket").rglob("*") if path.is_file()] == [theirs]


def test_a_folder_that_is_not_there_is_refused_and_not_made(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=f"there is no such folder: {tmp_path}/typo/x; create it, or correct"):
        at(f"file:{tmp_path}/typo/x")

    assert not list(tmp_path.iterdir())
