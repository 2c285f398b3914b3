"""The README tells the story of the code as it is."""

from pathlib import Path

import pytest

from functions.catalogue import CATALOGUE
from samara import picture
from samara.cli import main
from samara.errors import Rejected

README = Path(__file__).parents[1] / "README.md"


def test_the_picture_is_drawn_from_the_catalogue() -> None:
    text = README.read_text()

    assert picture.renewed(text, CATALOGUE) == text, "renew it: python -m samara.picture README.md"


@pytest.mark.parametrize(
    "text", ["no markers", f"{picture.BEGIN} never ended", f"{picture.END} {picture.BEGIN} never ended"]
)
def test_a_text_in_which_the_picture_has_no_place_is_refused_and_loses_nothing(text: str) -> None:
    with pytest.raises(Rejected, match="write both where it belongs"):
        picture.renewed(text, CATALOGUE)


def test_every_command_the_readme_shows_exists() -> None:
    for line in README.read_text().splitlines():
        words = line.split("#")[0].split()
        if words and words[0].removeprefix("../").removeprefix(".venv/bin/") == "samara" and len(words) > 1:
            assert words[1] in main.commands, line
