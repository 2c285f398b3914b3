"""Sixty-four processes write at one place at once, and nobody's write is lost, repeated or out of line."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from samara.core import keys
from samara.providers import store_at
from tests.contract.programs import HEAD, Ledger
from tests.emulators import azurite, gcs, s3

PROCESSES, EACH = 64, 25
PLACES: dict[str, Callable[[Path], str]] = {
    "local": lambda folder: f"file:{folder}/bucket",
    "aws": lambda _: s3.fresh_bucket(),
    "gcp": lambda _: gcs.fresh_bucket(),
    "azure": lambda _: azurite.fresh_container(),
}
everywhere = pytest.mark.parametrize("place", PLACES)


@everywhere
def test_they_swap_one_head_and_its_history_is_one_line(place: str, tmp_path: Path) -> None:
    address = PLACES[place](tmp_path)

    race("swaps", address)

    head = Ledger.read(store_at(address).get(HEAD).data, HEAD)
    assert len(head.writes) == PROCESSES * EACH
    assert set(head.writes) == {f"{process}-{number}" for process in range(PROCESSES) for number in range(EACH)}
    for process in range(PROCESSES):
        own = [write for write in head.writes if write.startswith(f"{process}-")]
        assert own == [f"{process}-{number}" for number in range(EACH)], "each wrote in its own order"


@everywhere
def test_they_number_their_versions_without_a_gap(place: str, tmp_path: Path) -> None:
    address = PLACES[place](tmp_path)

    race("numbers", address)

    store = store_at(address)
    versions = list(store.list(keys.MODELS))
    assert [keys.number(version) for version in versions] == list(range(1, PROCESSES * EACH + 1))
    assert len({store.get(version).data for version in versions}) == PROCESSES * EACH, "nobody took two for one"


def race(program: str, address: str) -> None:
    command = [sys.executable, "-m", "tests.contract.programs", program, address, str(PROCESSES), str(EACH)]
    subprocess.run(command, check=True, timeout=280)
