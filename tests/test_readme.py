"""The README tells the story of the code as it is."""

from pathlib import Path

from functions.catalogue import CATALOGUE
from samara import picture
from samara.cli import main

README = Path(__file__).parents[1] / "README.md"


def test_the_picture_is_drawn_from_the_catalogue() -> None:
    text = README.read_text()

    assert picture.renewed(text, CATALOGUE) == text, "renew it: python -m samara.picture README.md"


def test_every_command_the_readme_shows_exists() -> None:
    for line in README.read_text().splitlines():
        words = line.split("#")[0].split()
        if words and words[0].removeprefix("../").removeprefix(".venv/bin/") == "samara" and len(words) > 1:
            assert words[1] in main.commands, line
