"""The architecture, kept: who may import whom, who may touch the world, and how every file opens.

Read from the source alone, so that a rule holds also where no test ever runs.
"""

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from functions.catalogue import CATALOGUE

ROOT = Path(__file__).parents[1]
HOMES = {"samara": ROOT / "shared/samara", "functions": ROOT / "functions"}

WORLDLY_FILES = (  # parts of handlers too
    "handler", "job", "by_heart", "capturing", "served", "ticks", "scoring_requests",
)  # fmt: skip
SEAMS = (
    "samara.events.aws", "samara.events.aws_http", "samara.events.gcp", "samara.events.azure", "samara.events.payloads",
    "samara.events.fields", "samara.events.http_head",
)  # fmt: skip
CHILD_PROGRAMS = (
    "functions.train.fit",  # runs the user's training code in a process of the job's
    "functions.ingest.parquet_rows",  # reads a stranger's file
)
SPEAKING = ("samara.cli",)  # people read what it prints

WORLD = (
    "aiohttp", "asyncio", "azure", "boto3", "botocore", "ctypes", "fcntl", "glob", "google.api_core", "google.auth",
    "google.cloud", "http", "httpx", "libcloud", "logging", "multiprocessing", "os", "pathlib", "platform", "psutil",
    "random", "requests", "resource", "secrets", "select", "selectors", "shutil", "signal", "smtplib", "socket",
    "sqlite3", "ssl", "subprocess", "tempfile", "time", "urllib.request", "urllib3", "uuid",
)  # fmt: skip
SDKS = {
    "boto3": "providers.aws",
    "botocore": "providers.aws",
    "google.api_core": "providers.gcp",
    "google.auth": "providers.gcp",
    "google.cloud": "providers.gcp",
    "azure": "providers.azure",
    "libcloud": "providers.libcloud",
    "aws_lambda_powertools": "hosts.aws",
    "azure.functions": "hosts.azure",
    "flask": "hosts.gcp",
    "functions_framework": "hosts.gcp",
}
RUNS_WHAT_IT_READS = ("cloudpickle", "dill", "joblib", "jsonpickle", "marshal", "pickle", "shelve")
SHARED_BY_PURE_FILES = (
    "samara.core",
    "samara.errors",
    "samara.events",
    "samara.loading",
    "samara.ports",
    "samara.scoring",
)
BELOW_THE_CORE = ("samara.core", "samara.errors")
NEVER_CALLED = ("eval", "exec", "compile", "__import__")
ASKS_THE_CLOCK = ("datetime.now", "datetime.utcnow", "datetime.today", "date.today")
DRAWS_FROM_A_SEED = ("default_rng", "Generator", "PCG64", "SeedSequence")

Rule = Callable[[str, ast.Module], Iterator[str]]


def keeps_its_direction(name: str, tree: ast.Module) -> Iterator[str]:
    """infra → functions.catalogue → samara; functions/a → its own files → samara; core → core and errors."""
    for imported in imports(tree):
        if within(name, "samara") and within(imported, "functions", "infra", "tests", "examples"):
            yield f"samara imports its user {imported}"
        if within(name, "samara.core") and within(imported, "samara") and not within(imported, *BELOW_THE_CORE):
            yield f"the core imports {imported}"
        if within(name, "functions") and within(imported, "infra", "tests", "examples"):
            yield f"a function imports {imported}"
        if function_of(name) and within(imported, "functions") and function_of(imported) != function_of(name):
            yield f"{function_of(name)} imports {imported}, which is another function's"


def leaves_the_world_alone(name: str, tree: ast.Module) -> Iterator[str]:
    """In functions/*/ only handler.py and job.py touch the world; in samara.core, and in what reads events, nothing."""
    if not pure(name):
        return
    for imported in imports(tree):
        if within(imported, *WORLD):
            yield f"a pure file imports {imported}"
        if within(name, "functions") and within(imported, "samara") and not within(imported, *SHARED_BY_PURE_FILES):
            yield f"a pure file imports {imported}"
    for call in calls(tree):
        if call.endswith(ASKS_THE_CLOCK):
            yield f"a pure file asks the clock: {call}"
        if call in ("open", "input"):
            yield f"a pure file calls {call}"
        if ".random." in call and (not call.endswith(DRAWS_FROM_A_SEED) or f"{call}()" in ast.unparse(tree)):
            yield f"a pure file draws without a seed: {call}"


def runs_nothing_it_reads(_name: str, tree: ast.Module) -> Iterator[str]:
    """Data stays data: no pickle in any disguise, no evaluation, no YAML that builds objects."""
    for imported in imports(tree):
        if within(imported, *RUNS_WHAT_IT_READS):
            yield f"imports {imported}"
    for call in calls(tree):
        if call in NEVER_CALLED or call in ("yaml.load", "yaml.unsafe_load", "yaml.full_load"):
            yield f"calls {call}"
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            yield "allows pickle"


def opens_with_its_claim(name: str, tree: ast.Module) -> Iterator[str]:
    """Every module says what it is for; a handler says what wakes it, what it reads and what it writes."""
    said = ast.get_docstring(tree)
    if not said and tree.body:
        yield "has no docstring"
    if name.endswith(".handler") and not re.search(
        r"^Wakes on .*^Reads .*^Writes ", said or "", re.DOTALL | re.MULTILINE
    ):
        yield "does not open with Wakes on / Reads / Writes"


def is_silent(name: str, tree: ast.Module) -> Iterator[str]:
    if not within(name, *SPEAKING) and "print" in calls(tree):
        yield "prints; what happened belongs into the log line of samara.entry"


def keeps_each_sdk_at_home(name: str, tree: ast.Module) -> Iterator[str]:
    """A cloud's SDK is imported in the files of its provider, its runtime's in its host, and nowhere else."""
    for imported in imports(tree):
        sdk = max((sdk for sdk in SDKS if within(imported, sdk)), key=len, default="")
        home = f"samara.{SDKS.get(sdk)}"
        if sdk and not (name == home or name.startswith(f"{home}_")):
            yield f"imports {imported}, which is {SDKS[sdk]}'s"


RULES: tuple[Rule, ...] = (
    keeps_each_sdk_at_home,
    keeps_its_direction,
    leaves_the_world_alone,
    runs_nothing_it_reads,
    opens_with_its_claim,
    is_silent,
)


def broken(name: str, source: str) -> list[str]:
    """Every rule that a module of that name with this source breaks."""
    tree = ast.parse(source)
    return [complaint for rule in RULES for complaint in rule(name, tree)]


def modules() -> dict[str, Path]:
    """Our source files by the names under which they are imported."""
    return {
        ".".join([home, *file.relative_to(folder).with_suffix("").parts]).removesuffix(".__init__"): file
        for home, folder in HOMES.items()
        for file in sorted(folder.rglob("*.py"))
    }


def imports(tree: ast.Module) -> Iterator[str]:
    """What is imported anywhere in a module, as deep as the statement says."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            yield from (f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names)


def calls(tree: ast.Module) -> list[str]:
    """What is called anywhere in a module, as it is written: `print`, `datetime.now`."""
    return [ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)]


def within(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def function_of(name: str) -> str:
    """The function a module belongs to; the catalogue belongs to none."""
    parts = name.split(".")
    return parts[1] if parts[0] == "functions" and len(parts) > 2 else ""


def pure(name: str) -> bool:
    if function_of(name):
        return name.split(".")[2] not in WORLDLY_FILES and name not in CHILD_PROGRAMS
    return within(name, "samara.core", *SEAMS)


@pytest.mark.parametrize("name", modules())
def test_every_module_keeps_the_architecture(name: str) -> None:
    assert broken(name, modules()[name].read_text()) == []


def test_the_catalogue_lists_exactly_the_functions_there_are() -> None:
    folders = {file.parent.name for file in HOMES["functions"].glob("*/handler.py")}

    assert {function.name for function in CATALOGUE} == folders


def test_every_job_in_the_catalogue_is_a_job_of_its_function() -> None:
    listed = {function.job.module for function in CATALOGUE if function.job}

    assert listed == {name for name in modules() if name.endswith(".job") and function_of(name)}
    assert all(function_of(f.job.module) == f.name for f in CATALOGUE if f.job)


FINE = '"""Claim."""\n'
BAD = {
    "a function of another": ("functions.drift.verdict", FINE + "from functions.train import decide"),
    "a function's file from the core": ("samara.core.keys", FINE + "import functions.train.decide"),
    "the user": ("samara.app", FINE + "from functions.catalogue import CATALOGUE"),
    "the user, late": ("samara.app", FINE + "def f():\n    import functions.catalogue"),
    "tests": ("functions.drift.verdict", FINE + "from tests.conftest import NOON"),
    "the shell from the core": ("samara.core.keys", FINE + "from samara import app"),
    "the shell from a decision": ("functions.drift.verdict", FINE + "from samara.app import App"),
    "the system from the core": ("samara.core.keys", FINE + "import os.path"),
    "the system from a decision": ("functions.drift.verdict", FINE + "from pathlib import Path"),
    "the network from a decision": ("functions.drift.verdict", FINE + "import requests"),
    "a cloud from a handler": ("functions.train.job", FINE + "from google.cloud import storage"),
    "a cloud from another's provider": ("samara.providers.gcp", FINE + "import boto3"),
    "a runtime from a provider": ("samara.providers.azure", FINE + "import azure.functions as func"),
    "an SDK from a host": ("samara.hosts.aws", FINE + "import boto3"),
    "the network from a seam": ("samara.events.gcp", FINE + "import requests"),
    "the clock from a seam": ("samara.events.azure", FINE + "from datetime import datetime\nAT = datetime.now()"),
    "the clock": ("samara.core.keys", FINE + "from datetime import datetime\nAT = datetime.now()"),
    "the clock by its module": ("samara.core.keys", FINE + "import datetime\nAT = datetime.datetime.utcnow()"),
    "a file": ("functions.drift.verdict", FINE + "open('x')"),
    "chance": ("functions.drift.verdict", FINE + "import numpy as np\nnp.random.rand()"),
    "chance in a generator": ("functions.drift.verdict", FINE + "import numpy as np\nnp.random.default_rng()"),
    "pickle": ("functions.train.job", FINE + "import pickle"),
    "pickle in disguise": ("functions.train.job", FINE + "from joblib import load"),
    "pickle by permission": ("functions.train.job", FINE + "np.load(file, allow_pickle=True)"),
    "evaluation": ("samara.hosts.server", FINE + "eval('1')"),
    "objects from YAML": ("samara.core.definition", FINE + "yaml.load(text)"),
    "no claim": ("samara.core.keys", "X = 1"),
    "no contract": ("functions.drift.handler", FINE),
    "half a contract": ("functions.drift.handler", '"""Drift: x.\n\nWakes on  a\nWrites    b\n"""'),
    "print": ("functions.drift.handler", '"""D: x.\n\nWakes on  a\nReads     b\nWrites    c\n"""\nprint(1)'),
}


@pytest.mark.parametrize(("name", "source"), BAD.values(), ids=BAD)
def test_the_rules_notice_what_they_are_for(name: str, source: str) -> None:
    assert len(broken(name, source)) == 1


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("functions.drift.verdict", FINE + "from functions.drift.gathered import Gathered"),
        ("functions.drift.verdict", FINE + "import numpy as np\nnp.random.default_rng(7)"),
        ("functions.train.job", FINE + "import os\nfrom pathlib import Path"),
        ("functions.train.fit", FINE + "import random"),
        ("samara.cli", FINE + "print(1)"),
        ("samara.providers.azure_jobs", FINE + "import azure.core"),
        ("samara.hosts.azure", FINE + "import azure.functions as func"),
        ("samara.hosts.server", FINE + "import socket"),
        ("samara", ""),
    ],
)
def test_the_rules_let_be_what_is_fine(name: str, source: str) -> None:
    assert broken(name, source) == []
