"""What `samara init --cloud` writes is what the program reads."""

from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from infra import config
from samara import stacks
from samara.cli import main
from samara.errors import Conflict, Rejected


@pytest.fixture
def infra(tmp_path: Path) -> Path:
    (tmp_path / "Pulumi.yaml").write_text("name: samara\n")
    return tmp_path


def stack(path: Path) -> config.Stack:
    given = yaml.safe_load(path.read_text())["config"]
    return config.read({key: str(value) for key, value in given.items()})


@pytest.mark.parametrize("cloud", ["aws", "gcp", "azure"])
def test_a_first_configuration_is_in_order(infra: Path, cloud: str) -> None:
    written = stacks.create(cloud, "first", None, infra)

    assert written.name == "Pulumi.first.yaml"
    assert stack(written).cloud == cloud


@pytest.mark.parametrize("cloud", ["aws", "gcp", "azure"])
def test_every_setting_that_is_offered_is_one(infra: Path, cloud: str) -> None:
    written = stacks.create(cloud, "first", None, infra)
    lines = written.read_text().splitlines()
    offered = [line.replace("# samara:", "samara:", 1) if "# samara:" in line else line for line in lines]
    written.write_text("\n".join(offered))

    given = yaml.safe_load(written.read_text())["config"]

    assert set(given) == {f"samara:{name.removeprefix('samara:')}" for name in given}
    known = config.Stack.model_fields
    assert {name.removeprefix("samara:") for name in given} <= set(known)
    assert len(given) > 6


def test_a_region_is_taken_over(infra: Path) -> None:
    assert stack(stacks.create("aws", "far", "ap-southeast-2", infra)).region == "ap-southeast-2"


def test_a_configuration_that_is_there_stays(infra: Path) -> None:
    stacks.create("aws", "first", None, infra).write_text("mine")

    with pytest.raises(Conflict, match="is there already; edit it, or name another stack"):
        stacks.create("aws", "first", None, infra)

    assert (infra / "Pulumi.first.yaml").read_text() == "mine"


def test_without_the_program_it_says_where_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(Rejected, match="clone the repository"):
        stacks.create("aws", "first", None, tmp_path)


@pytest.mark.parametrize("stack", ["../../x", "two words", ""])
def test_what_no_stack_can_be_called_is_refused(infra: Path, stack: str) -> None:
    with pytest.raises(Rejected, match="not the name of a stack"):
        stacks.create("aws", stack, None, infra)


@pytest.mark.parametrize("text", ["config: [", "", "config:", "config: x", "[]", "more: 1"])
def test_a_configuration_without_settings_is_refused_by_name(infra: Path, text: str) -> None:
    (infra / "Pulumi.first.yaml").write_text(text)
    (infra / ".venv/bin").mkdir(parents=True)
    (infra / ".venv/bin/python").touch()

    with pytest.raises(Rejected, match=r"Pulumi\.first\.yaml: is no YAML with settings below config:"):
        stacks.planned("first", infra)


def test_init_of_nothing_says_what_it_can_make() -> None:
    ended = CliRunner().invoke(main, ["init"])

    assert ended.exit_code == 2
    assert "Name a FOLDER for a project, or a --cloud" in ended.output
