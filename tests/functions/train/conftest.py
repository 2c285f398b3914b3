"""What the tests of train ask for by name."""

import pytest

from samara.app import App
from tests.bench import Bench


@pytest.fixture
def bench(whole: App) -> Bench:
    return Bench(whole)
