"""The command line in an empty folder."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from samara.cli import main

Samara = Callable[..., Result]


@pytest.fixture
def samara(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Samara:
    """Runs a command in an empty folder of its own."""
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(main, [str(word) for word in words], catch_exceptions=False)
