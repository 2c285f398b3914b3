"""The first configuration of a stack: what `pulumi up` is told, with everything one may say about it at hand."""

import json
import os
import re
import subprocess
from pathlib import Path
from textwrap import dedent
from typing import Any

import yaml

from samara.errors import Conflict, NotFound, Rejected

INFRA = Path(__file__).parents[2] / "infra"
REGIONS = {"aws": "eu-central-1", "gcp": "europe-west3", "azure": "westeurope"}
PROJECTS = {
    "aws": '# samara:project: "123456789012"   # hold the stack to this account',
    "gcp": "samara:project: my-project            # the id of your Google Cloud project",
    "azure": "samara:project: 00000000-0000-0000-0000-000000000000  # the id of your subscription",
}
CALLERS = {
    "aws": '["arn:aws:iam::123456789012:role/analysts"]',
    "gcp": '["group:analysts@example.com"]',
    "azure": "[]  # whoever has a function's key may call it",
}


def create(cloud: str, stack: str, region: str | None, infra: Path = INFRA) -> Path:
    """Write `Pulumi.{stack}.yaml` beside the program, and give its path. One that is there stays."""
    if not (infra / "Pulumi.yaml").is_file():
        why = "is not there: what deploys is part of Samara's sources; clone the repository and run `samara init` in it"
        raise Rejected(str(infra), why, code="no_infra")
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,100}", stack):
        raise Rejected(stack, "not the name of a stack; use letters, digits, -, _ and .", code="bad_name")
    path = infra / f"Pulumi.{stack}.yaml"
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(settings(cloud, region or REGIONS[cloud]))
    except FileExistsError:
        raise Conflict(str(path), "is there already; edit it, or name another stack with --stack") from None
    return path


def planned(stack: str, infra: Path = INFRA) -> Any:
    """What `pulumi up` would create for a stack, by its program, run without any cloud."""
    path, python = infra / f"Pulumi.{stack}.yaml", infra / ".venv" / "bin" / "python"
    if not path.is_file():
        raise NotFound(str(path), "no configuration of that name; write one by samara init --cloud")
    if not python.is_file():
        raise NotFound(str(python), "Pulumi is not there yet; run make infra")
    try:
        given = dict(yaml.safe_load(path.read_bytes())["config"])
    except (yaml.YAMLError, LookupError, TypeError, ValueError) as error:
        why = "is no YAML with settings below config:; see what samara init --cloud writes"
        raise Rejected(str(path), why, code="bad_stack") from error
    done = subprocess.run(  # noqa: S603  # our own program
        [python, "-m", "infra.record", json.dumps(given, default=str)],
        cwd=infra.parent,
        env={**os.environ, "PYTHONPATH": f"{infra.parent}{os.pathsep}{infra.parent / 'shared'}"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Rejected(str(path), done.stderr.strip(), code="bad_stack")
    return json.loads(done.stdout)


def settings(cloud: str, region: str) -> str:
    """The configuration as YAML, what is usual written out and what is possible beside it."""
    return dedent(f"""\
        # One deployment, which `pulumi up` makes. What a setting means, and what else there is: infra/config.py.
        config:
          samara:cloud: {cloud}
          samara:region: {region}
          {PROJECTS[cloud]}
          # samara:name: samara                # what every name begins with; two stacks need two
          # samara:callers: {CALLERS[cloud]}
          # samara:jobs: {{gpu: none, {"" if cloud == "azure" else "spot: true, "}max_vcpus: 64, time_limit_s: 86400}}
          # samara:budget: {{usd: 50, email: you@example.com}}
          # samara:keep_days: 30               # how long what was overwritten can be brought back
          # samara:parquet: true               # predict reads bodies in Parquet too, and takes longer to start
          # samara:protect: false              # so that `pulumi destroy` may take the bucket too
        """)
