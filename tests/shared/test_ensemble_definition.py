"""What a definition may say of an ensemble, and what it is told when it says something else."""

from pathlib import Path

import pytest
import yaml

from samara import project
from samara.core.definition import Definition, parse
from samara.errors import Rejected

BASE = {
    "model": "both",
    "dataset": "coins",
    "target": "real",
    "task": "classification",
    "gates": {"metric": "auc"},
}
MEMBERS = ["late@champion", "late-linear@3"]


def read(ensemble: object, **changes: object) -> Definition:
    return parse(yaml.safe_dump({**BASE, "ensemble": ensemble, **changes}).encode())


def test_an_ensemble_names_versions_and_aliases_of_models() -> None:
    found = read({"how": "weighted", "members": MEMBERS, "weights": [0.7, 0.3]})

    assert found.ensemble
    assert found.ensemble.members == ("late@champion", "late-linear@3")
    assert found.ensemble.weights == (0.7, 0.3)


def test_a_definition_without_one_is_as_it_was() -> None:
    assert parse(yaml.safe_dump(BASE).encode()).ensemble is None


@pytest.mark.parametrize(
    ("ensemble", "words"),
    [
        ({"how": "sum", "members": MEMBERS}, "ensemble.how: .*'mean', 'weighted', 'vote' or 'stacked'"),
        ({"how": "mean", "members": MEMBERS[:1]}, "ensemble.members: .*at least 2"),
        ({"how": "mean", "members": [f"m@{n}" for n in range(1, 22)]}, "ensemble.members: .*at most 20"),
        ({"how": "mean", "members": ["late", "late@1"]}, "ensemble.members.0"),
        ({"how": "mean", "members": ["late@v1", "late@1"]}, "ensemble.members.0"),
        ({"how": "mean", "members": ["late@0", "late@1"]}, "ensemble.members.0"),
        ({"how": "mean", "members": ["late@1", "late@1"]}, "names a member twice; give it a greater weight"),
        ({"how": "mean", "members": MEMBERS, "weights": [0.5, 0.5]}, "takes no weights .* say how: weighted"),
        ({"how": "weighted", "members": MEMBERS}, "has 2 members and 0 weights; give each one"),
        ({"how": "weighted", "members": MEMBERS, "weights": [0.5, 0.6]}, "add up to 1.1; they must add up to 1"),
        ({"how": "weighted", "members": MEMBERS, "weights": [1.5, -0.5]}, "ensemble.weights"),
        ({"how": "mean", "members": MEMBERS, "wieghts": []}, "ensemble.wieghts: no such setting"),
        ({"how": "mean", "members": ["late@1", "both@champion"]}, "names 'both' itself, so it would grow"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_the_way_out(ensemble: object, words: str) -> None:
    with pytest.raises(Rejected, match=words):
        read(ensemble)


def test_estimates_are_not_voted_on() -> None:
    with pytest.raises(Rejected, match=r"ensemble.how: estimates cannot be voted on; say mean"):
        read({"how": "vote", "members": MEMBERS}, task="regression", gates={"metric": "rmse"})


def test_a_project_of_an_ensemble_needs_no_training_code(tmp_path: Path) -> None:
    flow = Path(__file__).parents[1] / "flow/project"
    (tmp_path / "leaves.odcs.yaml").write_bytes((flow / "leaves.odcs.yaml").read_bytes())
    definition = yaml.safe_load((flow / "model.yaml").read_text())
    (tmp_path / "model.yaml").write_text(yaml.safe_dump(definition))

    with pytest.raises(Rejected, match=r"there is no train.py beside it"):
        project.read(tmp_path)
    (tmp_path / "model.yaml").write_text(
        yaml.safe_dump({**definition, "ensemble": {"how": "mean", "members": MEMBERS}})
    )

    assert project.read(tmp_path).definitions["maple"][0].ensemble
