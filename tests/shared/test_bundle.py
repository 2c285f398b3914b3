"""A project's source files travel as bytes that are the same everywhere, and come out where they should."""

import io
import os
import stat
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samara import bundle
from samara.errors import Rejected


def test_the_same_files_are_the_same_bytes_whenever_and_wherever(tmp_path: Path) -> None:
    for place in ("one", "two"):
        (tmp_path / place / "deep").mkdir(parents=True)
        for name in ("train.py", "deep/more.py") if place == "one" else ("deep/more.py", "train.py"):
            (tmp_path / place / name).write_text(f"# {name}")
    os.utime(tmp_path / "two" / "train.py", (0, 10**9))
    (tmp_path / "two" / "train.py").chmod(0o600)

    assert bundle.pack(tmp_path / "one") == bundle.pack(tmp_path / "two")


def test_what_goes_in_comes_out_and_nothing_else_does(tmp_path: Path) -> None:
    project, out = tmp_path / "project", tmp_path / "out"
    for name in ("train.py", "deep/more.py", "names.json", ".venv/x.py", "__pycache__/y.py", "data.csv"):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(name)
    (project / "linked.py").symlink_to("/etc/passwd")

    bundle.unpack(bundle.pack(project), out)

    found = {path.relative_to(out).as_posix(): path.read_text() for path in out.rglob("*") if path.is_file()}
    assert found == {name: name for name in ("train.py", "deep/more.py", "names.json")}


def test_a_folder_reached_by_a_link_is_packed_as_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "train.py").write_text("x = 1")
    (tmp_path / "linked").symlink_to("project")

    assert bundle.pack(tmp_path / "linked") == bundle.pack(tmp_path / "project")


def test_a_project_full_of_data_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "LARGEST", 10)
    (tmp_path / "train.py").write_text("x" * 11)

    with pytest.raises(Rejected, match="move data out"):
        bundle.pack(tmp_path)


def zipped(*entries: tuple[str, bytes], kind: int = zipfile.ZIP_STORED, mode: int = 0) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", kind) as archive:
        for name, data in entries:
            entry = zipfile.ZipInfo(name)
            entry.external_attr, entry.compress_type = mode << 16, kind
            archive.writestr(entry, data)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (zipped(("../train.py", b"x")), "leads out"),
        (zipped(("/etc/passwd", b"x")), "leads out"),
        (zipped(("a/../../b.py", b"x")), "leads out"),
        (zipped(("a\\b.py", b"x")), "leads out"),
        (zipped(("C:b.py", b"x")), "leads out"),
        (zipped(("folder/", b"")), "leads out"),
        (zipped(("a.py", b"x"), ("a.py/b.py", b"y")), "below a file"),
        (zipped(("link.py", b"/etc/passwd"), mode=stat.S_IFLNK | 0o777), "not a plain file"),
        (zipped(("bomb.py", bytes(10_000_000)), kind=zipfile.ZIP_DEFLATED), "compressed"),
        (zipped(*((f"{n}.py", b"") for n in range(1001))), "more than"),
        (b"", "not a source bundle"),
        (b"PK\x03\x04 truncated", "not a source bundle"),
        (zipped(("train.py", b"x" * 100))[:-30], "not a source bundle"),
    ],
)
def test_what_a_stranger_packed_writes_nothing(tmp_path: Path, data: bytes, words: str) -> None:
    with pytest.raises(Rejected, match=words):
        bundle.unpack(data, tmp_path / "out")

    assert not list(tmp_path.rglob("*"))


@given(st.dictionaries(st.from_regex(r"[a-z]{1,8}\.py", fullmatch=True), st.binary(max_size=200), max_size=5))
def test_packing_and_unpacking_is_the_identity(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]
) -> None:
    project, out = tmp_path_factory.mktemp("project"), tmp_path_factory.mktemp("out")
    for name, data in files.items():
        (project / name).write_bytes(data)

    bundle.unpack(bundle.pack(project), out)

    assert {path.name: path.read_bytes() for path in out.iterdir()} == files
