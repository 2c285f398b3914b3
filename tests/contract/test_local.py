"""What a folder brings with it and a cloud does not: links, pipes, full disks, odd names and abandoned files."""

import errno
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from samara.errors import Conflict, Misconfigured, NotFound, Rejected, SamaraError, Unavailable
from samara.ports import LARGEST_HEAD
from samara.providers import local_files
from samara.providers.local import LocalStore

HOUR = 3600


@pytest.fixture
def bucket(tmp_path: Path) -> Path:
    return tmp_path / "home" / "bucket"


@pytest.fixture
def store(bucket: Path) -> LocalStore:
    return LocalStore(bucket)


def test_an_object_is_a_file_that_only_its_owner_reads(store: LocalStore, bucket: Path) -> None:
    store.create("landing/flights/may.csv", b"a,b\n")

    file = bucket / "landing/flights/may.csv"
    assert file.read_bytes() == b"a,b\n"
    assert oct(file.stat().st_mode & 0o777) == "0o600"
    assert {oct(folder.stat().st_mode & 0o777) for folder in file.parents[:4]} == {"0o700"}


def test_a_file_that_a_user_put_there_is_an_object(store: LocalStore, bucket: Path) -> None:
    (bucket / "landing/flights").mkdir(parents=True)
    (bucket / "landing/flights/may.csv").write_bytes(b"a,b\n")

    assert list(store.list("landing/")) == ["landing/flights/may.csv"]
    assert store.get("landing/flights/may.csv").data == b"a,b\n"
    with pytest.raises(Conflict):
        store.create("landing/flights/may.csv", b"c,d\n")


@pytest.mark.parametrize("size", [3, LARGEST_HEAD + 1])
def test_a_file_that_a_user_writes_over_is_another_version(store: LocalStore, bucket: Path, size: int) -> None:
    version = store.create("file", b"a" * size)

    (bucket / "new").write_bytes(b"b" * size)
    (bucket / "new").replace(bucket / "file")

    assert store.head("file").version != version
    assert store.get("file").version == store.head("file").version
    with pytest.raises(Conflict):
        store.delete("file", version)


def linked(path: Path) -> None:
    outside = path.parents[3] / "outside"
    outside.write_bytes(b"secret")
    path.symlink_to(outside)


def bound(path: Path) -> None:
    folder = os.open(path.parent, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"/proc/self/fd/{folder}/{path.name}")  # the whole path is too long for a socket's name
    os.close(folder)


ODD: dict[str, Callable[[Path], None]] = {
    "link to a file": linked,
    "link to nothing": lambda path: path.symlink_to("nowhere"),
    "link to itself": lambda path: path.symlink_to(path.name),
    "pipe": os.mkfifo,
    "socket": bound,
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_what_is_no_regular_file_is_no_object_and_makes_nobody_wait(
    store: LocalStore, bucket: Path, odd: Callable[[Path], None]
) -> None:
    (bucket / "landing").mkdir()
    odd(bucket / "landing/odd")

    assert list(store.list("")) == []
    for look in (store.get, store.head, store.open):
        with pytest.raises(NotFound, match="landing/odd"):
            look("landing/odd")
    with pytest.raises(Rejected, match="remove it"):
        store.create("landing/odd", b"x")


def test_a_link_to_a_folder_leads_nowhere(store: LocalStore, bucket: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_bytes(b"secret")
    (bucket / "landing").symlink_to(tmp_path / "outside")

    assert list(store.list("")) == []
    assert list(store.list("landing/")) == []
    with pytest.raises(NotFound):
        store.get("landing/secret")
    with pytest.raises(Rejected):
        store.create("landing/mine", b"x")
    assert [path.name for path in (tmp_path / "outside").iterdir()] == ["secret"]


def test_a_bucket_may_itself_be_reached_by_a_link(store: LocalStore, bucket: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(bucket)

    LocalStore(tmp_path / "link").create("a", b"x")

    assert store.get("a").data == b"x"
    assert not (tmp_path / "tmp").exists(), "temporary files lie beside the real folder, on its file system"


def test_names_that_are_not_utf_8_are_not_listed(store: LocalStore, bucket: Path) -> None:
    Path(os.fsdecode(os.fsencode(bucket) + b"/caf\xe9.csv")).write_bytes(b"x")
    store.create("café.csv", b"x")

    assert list(store.list("")) == ["café.csv"]


def test_paths_longer_than_a_key_are_not_listed(store: LocalStore, bucket: Path) -> None:
    deep = bucket.joinpath(*["x" * 200] * 6)
    deep.mkdir(parents=True)
    (deep / "file").write_bytes(b"x")

    assert list(store.list("")) == []


def test_an_object_cannot_lie_below_another(store: LocalStore) -> None:
    store.create("a/b", b"x")

    with pytest.raises(Rejected, match="a/b/c: needs a folder where an object or a link is"):
        store.create("a/b/c", b"x")
    with pytest.raises(Rejected, match="a: is a folder that holds objects"):
        store.create("a", b"x")

    assert list(store.list("")) == ["a/b"]


def test_a_folder_whose_objects_are_gone_is_no_obstacle(store: LocalStore) -> None:
    store.delete("a/b/c", store.create("a/b/c", b"x"))

    store.create("a", b"x")

    assert list(store.list("")) == ["a"]


def test_a_file_system_without_hard_links_will_do(
    store: LocalStore, bucket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "this is FAT")

    monkeypatch.setattr(os, "link", link)

    store.create("a/b", b"first")
    with pytest.raises(Conflict):
        store.create("a/b", b"second")

    assert store.get("a/b").data == b"first"
    assert list((bucket.parent / "tmp").iterdir()) == []


@pytest.mark.parametrize(
    ("code", "meaning"),
    [
        (errno.ENOSPC, Unavailable),
        (errno.EDQUOT, Unavailable),
        (errno.EROFS, Unavailable),
        (errno.EIO, Unavailable),
        (errno.EMFILE, Unavailable),
        (errno.EACCES, Misconfigured),
    ],
)
def test_a_write_that_the_disk_refuses_leaves_nothing_behind(
    store: LocalStore, bucket: Path, monkeypatch: pytest.MonkeyPatch, code: int, meaning: type[SamaraError]
) -> None:
    version = store.create("head", b"old")

    def fsync(_: int) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", fsync)
        with pytest.raises(meaning, match=rf"fresh: .*{os.strerror(code)}"):
            store.create("fresh", b"x" * 100_000)
        with pytest.raises(meaning):
            store.replace("head", b"new", version)

    assert list((bucket.parent / "tmp").iterdir()) == []
    assert list(store.list("")) == ["head"]
    store.replace("head", b"new", version)


def test_what_a_dead_writer_left_is_removed_after_an_hour(store: LocalStore, bucket: Path) -> None:
    temporary = bucket.parent / "tmp"
    for name, age in (("abandoned", HOUR + 60), ("growing", HOUR - 60)):
        (temporary / name).write_bytes(b"x")
        os.utime(temporary / name, (time.time() - age, time.time() - age))

    LocalStore(bucket)

    assert [path.name for path in temporary.iterdir()] == ["growing"]


def test_a_stopped_process_does_not_make_others_wait_for_ever(
    store: LocalStore, bucket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_files, "PATIENCE_S", 0.05)
    version = store.create("head", b"old")

    with store._alone_with("head"), pytest.raises(Unavailable, match="head: locked by another process"):
        LocalStore(bucket).replace("head", b"new", version)

    store.replace("head", b"new", version)


def test_a_bucket_that_is_gone_is_told_from_an_empty_one(store: LocalStore, bucket: Path) -> None:
    bucket.rename(bucket.with_name("elsewhere"))

    for look in (store.get, store.open, store.head):
        with pytest.raises(Misconfigured, match="bucket"):
            look("a")
    with pytest.raises(Misconfigured, match="bucket"):
        store.create("a", b"x")
    with pytest.raises(Misconfigured, match="bucket"):
        list(store.list(""))


def test_a_bucket_cannot_be_where_a_file_is(tmp_path: Path) -> None:
    (tmp_path / "bucket").write_bytes(b"x")

    with pytest.raises(Misconfigured, match="bucket"):
        LocalStore(tmp_path / "bucket")
