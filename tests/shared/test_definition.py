"""A definition says what is wrong with it where it is wrong."""

import pytest
import yaml

from samara.core.definition import Definition, features_among, parse
from samara.errors import Rejected

WHOLE = {
    "model": "late",
    "dataset": "flights",
    "target": "late",
    "task": "classification",
    "features": ["hour", "carrier"],
    "gates": {"metric": "auc", "at_least": 0.6},
}


def written(**changes: object) -> bytes:
    return yaml.safe_dump({**WHOLE, **changes}).encode()


def test_what_is_left_out_has_sensible_defaults() -> None:
    definition = parse(written())

    assert definition.train.entry == "train:train"
    assert (definition.train.holdout, definition.train.split) == (0.2, "last")
    assert definition.gates.improves_by == 0
    assert definition.drift.retrain


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"modle": "late"}, "modle: no such setting"),
        ({"model": "Late!"}, "not a model name"),
        ({"dataset": "../x"}, "not a dataset name"),
        ({"task": "divination"}, "task"),
        ({"features": ["late"]}, "holds the target"),
        ({"gates": {"metric": "rmse"}}, "does not measure classification"),
        ({"gates": {"metric": "auc", "parity": 0}}, "gates.parity"),
        ({"train": {"entry": "../../x.py"}}, "train.entry"),
        ({"train": {"holdout": 0.95}}, "train.holdout"),
        ({"train": {"seed": -1}}, "train.seed"),
        ({"train": {"time_limit_s": -1}}, "train.time_limit_s"),
        ({"train": {"time_limit_s": float("nan")}}, "train.time_limit_s"),
        ({"train": {"split": "first"}}, "train.split"),
        ({"gates": {"metric": "auc", "at_least": float("nan")}}, "gates.at_least"),
        ({"gates": {"metric": "auc", "improves_by": float("inf")}}, "gates.improves_by"),
        ({"train": {"parameters": {"depth": float("nan")}}}, "train.parameters"),
        ({"train": {"parameters": {"since": "2013-01-01"}, "batches": 0}}, "train.batches"),
        ({"drift": {"cooldown": -1}}, "drift.cooldown"),
        ({"features": ["hour", "hour"]}, "features"),
        ({"target": ""}, "target"),
        ({"serve": None}, "serve: holds no settings; write each as name: value, or leave it out"),
        ({"gates": {}}, "gates.metric: is missing"),
        ({"gates": {"metric": "auc", "at_least": 0.9, "at_most": 0.8}}, "gates: no value is at_least and at_most"),
        (
            {"train": {"parameters": {"seed": 3, "depth": 2}}},
            "train.parameters: names seed, which training code is given",
        ),
        ({"features": "hour"}, r"features: is no list; write it as \[one, another\]"),
    ],
)
def test_what_is_wrong_is_said_where_it_is(changes: dict[str, object], words: str) -> None:
    with pytest.raises(Rejected, match=words) as caught:
        parse(written(**changes))

    assert "model.yaml" in str(caught.value) or "name" in str(caught.value)


def test_parameters_are_what_json_can_say() -> None:
    with pytest.raises(Rejected, match=r"train\.parameters"):
        parse(written() + b"train: {parameters: {since: 2013-01-01}}\n")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"\xff\xfe",
        b"a: &x [1]\nb: *x\n",
        b"a:\n\t- b",
        b"[" * 100_000,
        b"!!python/object:os.system {}",
        b"!!timestamp x",
        b"!!bool x",
        b"!!int ''",
    ],
)
def test_what_is_no_definition_is_refused(data: bytes) -> None:
    with pytest.raises(Rejected, match=r"^model\.yaml: (not YAML|uses YAML aliases|is nested|holds no settings)"):
        parse(data)


def test_a_setting_that_is_written_twice_is_refused_with_its_line() -> None:
    with pytest.raises(Rejected, match=r"^model\.yaml: not YAML in line 3: the key 'batches' is written twice"):
        parse(b"train:\n  batches: 1\n  batches: 2\n")


def test_what_a_merge_brings_may_be_written_again_and_counts_less() -> None:
    definition = parse(written() + b"train:\n  <<: {batches: 1, seed: 3}\n  <<: {threads: 2}\n  batches: 2\n")

    assert (definition.train.batches, definition.train.seed, definition.train.threads) == (2, 3, 2)


def test_features_left_out_are_all_columns_but_the_target() -> None:
    definition = Definition.model_validate({**WHOLE, "features": []})

    assert features_among(definition, ["carrier", "late", "hour"]) == ("carrier", "hour")
    with pytest.raises(Rejected, match="no column 'late'"):
        features_among(definition, ["carrier"])
