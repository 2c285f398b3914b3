"""A project says how its models answer, and publishing it puts that where an answer can read it."""

from pathlib import Path

import pytest

from functions.predict.policy import Guardrail, Policy
from samara import project, starter
from samara.app import App
from samara.core import definition, keys
from samara.core.definition import Serve
from samara.core.heads import ModelHead
from samara.errors import Rejected

CONTRACT = """\
apiVersion: v3.1.0
kind: DataContract
id: people
version: 1.0.0
schema:
  - name: people
    properties:
      - {name: age, logicalType: integer}
      - {name: city, logicalType: string}
      - {name: surname, logicalType: string, classification: PII}
      - {name: late, logicalType: boolean}
"""
MODEL = """\
model: late
dataset: people
target: late
task: classification
gates: {metric: auc}
"""


def written(folder: Path, *serve: str) -> Path:
    (folder / "people.odcs.yaml").write_text(CONTRACT)
    (folder / "model.yaml").write_text("\n".join([MODEL.rstrip(), *serve, ""]))
    (folder / "train.py").write_text("def train(table, **rest): ...\n")
    return folder


def guarded(folder: Path, rule: str) -> Path:
    return written(folder, "serve:", f"  guardrails: [{rule}]")


def head(whole: App) -> ModelHead:
    found = whole.find_head(ModelHead, keys.model_head("late"))
    assert found
    return found


def test_a_published_model_answers_by_the_policy_of_its_definition(whole: App, tmp_path: Path) -> None:
    folder = guarded(tmp_path, "{name: known-city, input: city, known: true}")

    project.publish(project.read(folder), whole)

    serving = head(whole).serving
    assert serving
    assert Policy.read(whole.blob(serving)).guardrails == (Guardrail("known-city", input="city", known=True),)


def test_a_definition_that_says_nothing_of_serving_publishes_the_defaults_and_what_is_personal(
    whole: App, tmp_path: Path
) -> None:
    found = project.read(written(tmp_path))

    assert project.publish(found, whole) == ["contract of people", "model late"]
    assert project.publish(found, whole) == []
    assert Policy.read(whole.blob(str(head(whole).serving))) == Policy(personal=("surname",))


def test_a_target_that_the_contract_lacks_is_named_as_the_target(tmp_path: Path) -> None:
    folder = written(tmp_path)
    (folder / "model.yaml").write_text(MODEL.replace("target: late", "target: lat"))

    with pytest.raises(Rejected, match=r"model.yaml: target: the contract of 'people' has no column 'lat'"):
        project.read(folder)


@pytest.mark.parametrize("features", [(), ("features: [age, born]",)], ids=["every column", "named"])
def test_a_date_is_refused_before_a_training_would(tmp_path: Path, features: tuple[str, ...]) -> None:
    folder = written(tmp_path, *features)
    born = "      - {name: born, logicalType: date}\n"
    (folder / "people.odcs.yaml").write_text(CONTRACT + born)

    with pytest.raises(Rejected, match=r"model.yaml: features: 'born' is a date, .* or say \[age"):
        project.read(folder)


def test_a_head_written_before_there_were_policies_is_read(whole: App) -> None:
    before = f'{{"bundle":"{"0" * 64}","definition":"{"1" * 64}","earlier":[],"write_id":"w"}}'

    found = ModelHead.read(before.encode(), "config/models/late.json")

    assert found.serving is None


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("{name: a, input: age, known: true}", "'age' is integer; give it a minimum or maximum"),
        ("{name: a, input: city, minimum: 3}", "'city' is string, which has no such bounds"),
        ("{name: a, input: surname, known: true}", "'surname' is PII, so what training saw of it is not kept"),
        ("{name: a, input: country, known: true}", "no column of contract"),
    ],
)
def test_a_rule_that_no_answer_could_be_held_against_is_refused(tmp_path: Path, rule: str, words: str) -> None:
    with pytest.raises(Rejected, match=words):
        project.read(guarded(tmp_path, rule))


@pytest.mark.parametrize("name", [".#model.yaml", "._model.yaml", ".#people.odcs.yaml"])
def test_what_an_editor_keeps_hidden_beside_a_file_is_no_part_of_the_project(tmp_path: Path, name: str) -> None:
    (written(tmp_path) / name).symlink_to("somebody@host.123")  # how Emacs locks a file

    found = project.read(tmp_path)

    assert (list(found.contracts), list(found.definitions)) == (["people"], ["late"])


def test_a_folder_of_a_contracts_name_is_no_contract(tmp_path: Path) -> None:
    (written(tmp_path) / "old.odcs.yaml").mkdir()

    assert list(project.read(tmp_path).contracts) == ["people"]


def test_what_the_first_project_shows_of_serving_is_in_order(tmp_path: Path) -> None:
    starter.create(tmp_path / "mine", None, None)
    shown, hidden = (tmp_path / "mine/model.yaml").read_text().split("# serve:")

    uncommented = shown + "serve:" + hidden.replace("\n# ", "\n")

    found = definition.parse(uncommented.encode()).serve
    assert [rule.name for rule in found.guardrails] == ["sure"]
    assert found.model_copy(update={"guardrails": ()}) == Serve()
