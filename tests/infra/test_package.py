"""What goes up to a cloud: what the lock says and nothing else, small enough, always the same, and able to start."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from functions.catalogue import CATALOGUE
from infra import archive, dists, package, proof
from infra.package import Budget, Target
from samara.app import PACKED, App, code_digest
from samara.core import keys
from samara.core.digests import digest
from samara.core.heads import ContractHead
from samara.core.sealed import Maker
from samara.errors import Misconfigured
from samara.hosts.azure import TRIES
from samara.providers import local
from samara.settings import Settings
from tests.bench import Bench, coins, parquet
from tests.infra import packages
from tests.infra.packages import here

CLOUDS = ("aws", "gcp", "azure")
CONTROL = ("train", "feedback", "drift", "reconcile", "deadletter", "dashboard")
FUNCTIONS = tuple(function.name for function in CATALOGUE)
LAMBDA_LIMIT = 250 << 20
LEAN_MODULES = 260  # half of them Python's own: what a start loads that people wait for
AARCH64, X86_64 = 183, 62  # `e_machine` of an ELF file
FOREIGN = [Target(cloud, "3.13", machine) for cloud in CLOUDS for machine in ("x86_64", "arm64")]


def there(target: Target) -> str:
    return f"{target.cloud}-{target.machine}"


@pytest.fixture
def unpacked(tmp_path: Path) -> Iterator[Any]:
    """A package's folder, by the name of the function and the cloud."""

    def unpack(name: str, cloud: str = "aws") -> Path:
        folder = tmp_path / f"{cloud}-{name}"
        zipfile.ZipFile(packages.built(name, cloud).path).extractall(folder)
        return folder

    yield unpack
    shutil.rmtree(tmp_path, ignore_errors=True)


@pytest.mark.parametrize("cloud", CLOUDS)
@pytest.mark.parametrize("name", package.names())
def test_every_package_starts_alone(name: str, cloud: str) -> None:
    built = packages.built(name, cloud)

    assert built.modules, "nobody saw it start"
    assert built.modules <= package.budget(name, here(cloud)).modules
    assert built.digest == digest(built.path.read_bytes())


@pytest.mark.parametrize("target", FOREIGN, ids=there)
def test_every_function_is_small_enough_for_where_it_goes(target: Target) -> None:
    weighed = {name: package.assembled(name, target, "") for name in FUNCTIONS}

    for name, (content, parts) in weighed.items():
        package.held_to_sizes(name, content, parts, package.budget(name, target))
    megabytes = {name: archive.weight(content) / 10**6 for name, (content, _) in weighed.items()}
    assert max(megabytes[name] for name in CONTROL) < 30
    assert megabytes["predict"] < 60
    if target.cloud == "aws":
        assert max(sum(entry.size for entry in content) for content, _ in weighed.values()) < LAMBDA_LIMIT


@pytest.mark.parametrize(("machine", "number"), [("x86_64", X86_64), ("arm64", AARCH64)])
def test_what_is_compiled_is_compiled_for_the_machine_it_goes_to(machine: str, number: int) -> None:
    content, _ = package.assembled("register", Target("aws", "3.13", machine), "")

    libraries = [entry for entry in content if ".so" in Path(entry.name).suffixes]
    headers = [zlib.decompress(entry.data, -zlib.MAX_WBITS)[:20] for entry in libraries]
    assert len(libraries) > 30
    assert {header[:4] for header in headers} == {b"\x7fELF"}
    assert {int.from_bytes(header[18:20], "little") for header in headers} == {number}
    assert not [entry.name for entry in libraries if "cpython-" in entry.name and "cpython-313" not in entry.name]


def test_it_brings_what_the_lock_says_and_nothing_that_tells_where_it_was_built(unpacked: Any) -> None:
    folder = unpacked("ingest")

    brought = dict(found.name.removesuffix(".dist-info").rsplit("-", 1) for found in folder.glob("*.dist-info"))
    assert {"boto3", "pyarrow", "pydantic"} <= set(brought)
    assert brought == {name: version(name) for name in brought}  # which pip installed here, from the same lock
    left = {path.name for path in folder.glob("*.dist-info/*") if path.is_file()}
    assert not left & {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json"}
    here_and_now = (str(dists.ROOT).encode(), str(Path(sys.prefix)).encode(), b"/samara-part-")
    assert not [path for path in folder.rglob("*") if path.is_file() and holds(path, *here_and_now)]


def holds(path: Path, *words: bytes) -> bool:
    content = path.read_bytes()
    return any(word in content for word in words)


def test_the_same_input_makes_the_same_bytes(tmp_path: Path) -> None:
    checkout = tmp_path / "elsewhere"
    for source in ("functions", "shared/samara"):
        shutil.copytree(dists.ROOT / source, checkout / source, ignore=shutil.ignore_patterns("__pycache__"))
    (checkout / "infra").mkdir()
    for builder in (dists.ROOT / "infra").glob("*.py"):
        shutil.copy(builder, checkout / "infra")
    for name in ("requirements.lock", "pyproject.toml"):
        shutil.copy(dists.ROOT / name, checkout)
    for path in checkout.rglob("*"):  # other dates and other modes
        os.utime(path, (0, 10**9))
        path.chmod(0o700)
    words = ["--cloud", "aws", "--machine", packages.MACHINE, "--python", packages.VERSION, "--only", "deadletter"]

    subprocess.run(
        [sys.executable, "-m", "infra.package", *words, "--out", str(tmp_path / "out")],
        cwd=checkout,
        env={**os.environ, "PATH": f"{dists.ROOT}/infra/.venv/bin:{os.environ['PATH']}", "PYTHONPATH": "shared"},
        umask=0o077,
        check=True,
    )

    (again,) = tmp_path.glob("out/*/deadletter.zip")
    assert again.read_bytes() == packages.built("deadletter", "aws").path.read_bytes()


@pytest.mark.parametrize("cloud", CLOUDS)
def test_records_made_in_a_cloud_carry_the_digest_of_this_code(cloud: str, unpacked: Any, tmp_path: Path) -> None:
    program = "import sys; sys.path[:0] = sys.argv[1].split(':'); from samara import app; print(app.code_digest())"
    package = shutil.copytree(unpacked("deadletter", cloud), tmp_path / "package")

    said = proof.alone(package, here(cloud), {}, program)
    for told in package.rglob(PACKED):
        told.unlink()
    found = proof.alone(package, here(cloud), {}, program)

    assert said.stdout.strip() == code_digest(), said.stderr
    assert found.stdout.strip() == code_digest(), "and what it says is so"


def test_a_lean_function_brings_no_sdk_and_onnxruntime_as_a_library(unpacked: Any) -> None:
    lean, plain = unpacked("predict"), unpacked("register")

    assert not [name for name in ("boto3", "botocore", "aws_lambda_powertools") if (lean / name).exists()]
    assert len(list(lean.glob("onnxruntime/capi/libonnxruntime.so.*"))) == 1
    assert not list(lean.glob("onnxruntime/capi/onnxruntime_pybind11_state*"))
    assert not list(plain.glob("onnxruntime/capi/libonnxruntime.so.*"))
    assert len(list(plain.glob("onnxruntime/capi/onnxruntime_pybind11_state*"))) == 1
    assert packages.built("predict", "aws").modules in range(100, LEAN_MODULES)


def test_a_lean_function_brings_the_program_that_lambda_starts() -> None:
    with zipfile.ZipFile(packages.built("predict", "aws").path) as package:
        start = package.getinfo("start")
        script = package.read(start).decode()

    assert start.external_attr >> 16 == 0o100755
    assert script.startswith("#!/bin/sh\n")
    assert "swift.begin(); from samara.hosts import aws_loop; aws_loop.main()" in script
    assert not [entry for entry in package.infolist() if entry is not start and entry.external_attr >> 16 != 0o100644]


def test_started_by_it_the_package_asks_lambda_for_events(unpacked: Any, tmp_path: Path) -> None:
    folder = unpacked("predict")
    (folder / "start").chmod(0o755)  # which Lambda keeps, and Python's `zipfile` does not
    surroundings = {
        "AWS_LAMBDA_RUNTIME_API": "127.0.0.1:1",
        "AWS_LAMBDA_FUNCTION_NAME": "predict",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024",
        "LAMBDA_TASK_ROOT": str(folder),
        **Settings(provider="local", home=tmp_path, function="predict").environment(),
    }

    command = [folder / "start", dists.interpreter(packages.VERSION), "/var/runtime/bootstrap.py"]
    ran = subprocess.run(command, env=surroundings, capture_output=True, text=True, check=False)

    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith("no more events from Lambda's Runtime API at 127.0.0.1:1: ")


def test_what_a_lean_function_imports_on_demand_is_in_its_package(unpacked: Any) -> None:
    """But for Parquet bodies, which it refuses unless it is built for them: pyarrow weighs as much as all else."""
    folder = unpacked("predict")
    modules = [f"functions.predict.{file.stem}" for file in sorted((folder / "functions/predict").glob("*.py"))]
    modules.remove("functions.predict.parquet_rows")

    ran = proof.alone(folder, here("aws"), {}, proof.PROGRAM, *modules)

    assert ran.returncode == 0, ran.stderr


PARQUET_ROWS = """
import sys
sys.path[:0] = sys.argv[1].split(":")
from functions.predict import parquet_rows
with open(sys.argv[2], "rb") as file:
    print(parquet_rows.Table(file.read()).columns(["metal"]))
"""


def test_built_for_it_predict_reads_parquet(tmp_path: Path) -> None:
    target, body = replace(here("aws"), parquet=True), tmp_path / "coins.parquet"
    body.write_bytes(parquet(coins(3)))

    built = package.build("predict", target, tmp_path / "out")

    assert built.unzipped < LAMBDA_LIMIT
    zipfile.ZipFile(built.path).extractall(tmp_path / "predict")
    ran = proof.alone(tmp_path / "predict", target, {}, PARQUET_ROWS, str(body))
    assert ran.stdout.strip() == str({"metal": coins(3)["metal"].to_pylist()}), ran.stderr


def test_a_package_too_heavy_is_refused_and_what_makes_it_so_is_named() -> None:
    content, parts = package.assembled("ingest", here("aws"), dists.interpreter(packages.VERSION))

    with pytest.raises(Misconfigured, match=r"ingest: .* MB zipped, and may be 1; most of it is pyarrow=="):
        package.held_to_sizes("ingest", content, parts, Budget(10**6, 10**9, 900))
    with pytest.raises(Misconfigured, match=r"ingest: .* MB unzipped, and may be 100; most of it is pyarrow=="):
        package.held_to_sizes("ingest", content, parts, Budget(10**9, 10**8, 900))


def test_a_start_that_loads_too_much_is_refused_and_what_does_so_is_named() -> None:
    loaded = ["sys", "botocore", "botocore.client", "yaml"]

    with pytest.raises(Misconfigured, match=r"train: a start loads 4 modules, and may load 3; most are of botocore, 2"):
        package.held_to_modules("train", loaded, Budget(1, 1, 3))


def test_a_package_that_lacks_something_is_not_built(tmp_path: Path) -> None:
    whole = packages.built("drift", "aws").path
    poorer = tmp_path / "drift.zip"
    archive.write(poorer, [entry for entry in archive.read(whole) if not entry.name.startswith("numpy/")])

    with pytest.raises(
        Misconfigured, match=r"drift.zip: cannot start, for ModuleNotFoundError: No module named 'numpy'"
    ):
        proof.imported(poorer, "drift", here("aws"))


def test_without_the_python_it_goes_to_nothing_is_compiled_and_the_way_out_is_told(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"python3.99: not on this machine.*--no-precompile"):
        package.build("deadletter", Target("aws", "3.99", "arm64"), tmp_path)


@pytest.mark.parametrize(
    ("name", "target", "why"),
    [
        ("ingest", Target("oracle", "3.13", "arm64"), "oracle: no cloud we package for"),
        ("ingest", Target("aws", "3.13", "riscv"), "riscv: no such machine"),
        ("digest", Target("aws", "3.13", "arm64"), "digest: no such package; there are ingest, "),
    ],
)
def test_what_there_is_not_is_said_by_name(name: str, target: Target, why: str, tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=why):
        package.build(name, target, tmp_path, precompile=False)


def test_two_distributions_cannot_claim_the_same_file(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"six.py: is in some.zip twice"):
        archive.write(tmp_path / "some.zip", [archive.entry("six.py", b"1"), archive.entry("six.py", b"2")])


def test_an_archive_is_a_zip_of_what_was_given(tmp_path: Path) -> None:
    content = [archive.entry("b/ä.txt", b"b" * 1000), archive.entry("a.txt", b"", archive.PROGRAM)]

    archive.write(tmp_path / "some.zip", content)

    with zipfile.ZipFile(tmp_path / "some.zip") as read:
        assert read.testzip() is None
        assert {name: read.read(name) for name in read.namelist()} == {"a.txt": b"", "b/ä.txt": b"b" * 1000}
        assert [entry.external_attr >> 16 for entry in read.infolist()] == [0o100755, 0o100644]
    assert list(archive.read(tmp_path / "some.zip")) == content[::-1]
    assert archive.weight(content) == (tmp_path / "some.zip").stat().st_size


def test_modules_are_compiled_and_not_compiled_again(unpacked: Any) -> None:
    folder = unpacked("deadletter")

    ours = {path for path in folder.rglob("*.py") if path.relative_to(folder).parts[0] in ("samara", "functions")}
    compiled = [path.parent / "__pycache__" / f"{path.stem}.{sys.implementation.cache_tag}.pyc" for path in ours]
    assert ours
    assert {path.read_bytes()[4:8] for path in compiled} == {b"\x01\0\0\0"}  # PEP 552: by hash, and unchecked


def test_google_installs_the_framework_at_our_version_and_finds_main(unpacked: Any) -> None:
    folder = unpacked("feedback", "gcp")

    asked = [line.split(" ")[0] for line in (folder / "requirements.txt").read_text().splitlines() if "==" in line]
    assert f"functions-framework=={version('functions-framework')}" in asked
    assert f"flask=={version('flask')}" in asked
    assert all("--hash=sha256:" in dists.locked(pin) for pin in asked)
    assert "from samara.hosts.gcp import function" in (folder / "main.py").read_text()


def test_azure_finds_the_app_its_settings_and_the_distributions(unpacked: Any) -> None:
    folder = unpacked("feedback", "azure")

    host = json.loads((folder / "host.json").read_text())
    assert "from samara.hosts.azure import app" in (folder / "function_app.py").read_text()
    assert host["extensions"]["queues"] == {"maxDequeueCount": TRIES, "messageEncoding": "base64"}
    assert host["extensions"]["http"] == {"routePrefix": ""}
    assert (folder / ".python_packages/lib/site-packages/azure/functions/__init__.py").exists()


CONTRACT = b"""
apiVersion: v3.1.0
kind: DataContract
id: medals
version: 1.0.0
status: active
schema:
  - name: medals
    logicalType: object
    properties:
      - {name: metal, logicalType: string, required: true}
      - {name: weight, logicalType: number, required: true}
"""
DELIVER = """
import sys
sys.path[:0] = sys.argv[1].split(":")
from datetime import UTC, datetime
from samara import catalogue, dispatch
from samara.app import build
from samara.events import ObjectCreated
from samara.settings import from_environment
app, functions = build(from_environment()), catalogue.load()
for key in sys.argv[3:]:
    event = ObjectCreated(key, datetime(2013, 2, 14, 12, 0, tzinfo=UTC), "token")
    dispatch.deliver(catalogue.named(functions, sys.argv[2]), event, app)
"""


def test_what_was_pruned_is_not_missed(unpacked: Any, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    store = local.object_store(settings)
    bench = Bench(App(store, local.job_runner(settings), Maker(function="test", code="0" * 64)))

    def woken(function: str, prefix: str) -> None:
        found = list(store.list(prefix))
        ran = proof.alone(
            unpacked(function), here("aws"), {"HOME": str(settings.home.absolute())}, DELIVER, function, *found
        )
        assert ran.returncode == 0, ran.stderr

    agreed = ContractHead(write_id="test", contract=bench.whole.keep(CONTRACT))
    store.create(keys.contract_head("medals"), agreed.to_bytes())
    store.create("landing/medals/monday.parquet", parquet(coins()))
    store.create("landing/medals/tuesday.csv", b"serial,metal,weight\n1,gold,9.5\n2,tin,8\n")
    store.create("landing/medals/wednesday.jsonl", b'{"serial": 3, "metal": "gold", "weight": 10.5}\n')
    woken("ingest", keys.LANDING)
    assert len(list(store.list(keys.DATASETS))) == 3, list(store.list(keys.QUARANTINE))
    woken("validate", keys.DATASETS)
    assert len(list(store.list(keys.VALIDATIONS))) == 3, list(store.list(keys.ALERTS))

    bench.publish()
    bench.accept()
    bench.result()
    woken("register", keys.RESULTS)
    assert len(list(store.list(keys.MODELS))) == 1, list(store.list(keys.ALERTS))
