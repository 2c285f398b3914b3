"""What every deployed stack is given: the example as a project, and a month of real flights."""

from pathlib import Path

import pytest

from tests.flow import deployed


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return deployed.hourly(tmp_path_factory.mktemp("project") / "flights")


@pytest.fixture(scope="module")
def january(project: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return deployed.month(project, tmp_path_factory.mktemp("months"))
