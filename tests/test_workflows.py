"""What runs at GitHub is what GitHub understands."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from samara.cli import main

GITHUB = Path(__file__).parents[1] / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
ACTIONS = sorted((GITHUB / "actions").glob("*/action.yml"))


@pytest.mark.parametrize(("schema", "files"), [("workflows", WORKFLOWS), ("actions", ACTIONS)])
def test_each_file_fits_githubs_schema(schema: str, files: list[Path]) -> None:
    checker = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.github-{schema}"]

    checked = subprocess.run([*checker, *map(str, files)], capture_output=True, text=True, check=False)

    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_no_workflow_may_do_more_than_read_unless_a_job_says_so(file: Path) -> None:
    assert yaml.safe_load(file.read_text())["permissions"] == {"contents": "read"}


def test_the_tests_at_github_are_those_of_the_readme() -> None:
    steps = yaml.safe_load((GITHUB / "workflows/test.yml").read_text())["jobs"]["test"]["steps"]

    assert [step["run"] for step in steps if "run" in step] == ["make test"]


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_every_command_of_ours_in_a_workflow_exists(file: Path) -> None:
    jobs = yaml.safe_load(file.read_text())["jobs"].values()
    runs = [step["run"].split() for job in jobs for step in job["steps"] if "run" in step]

    for words in runs:
        if words[0].endswith("/samara"):
            assert words[1] in main.commands
