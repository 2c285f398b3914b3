"""A model definition: what is predicted from what, how it is trained, when it goes live, what counts as drift.

This is the one file of Samara's a data scientist writes beside the training code. Unknown keys are refused,
so a typing mistake is found when it is made.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, ValidationError

from samara.core import flaws, keys
from samara.core.digests import canonical
from samara.core.windows import Size
from samara.errors import Rejected

Metric = Literal["auc", "accuracy", "log_loss", "rmse", "mae"]
HIGHER_IS_BETTER: dict[str, bool] = {
    "auc": True,
    "accuracy": True,
    "log_loss": False,
    "rmse": False,
    "mae": False,
}
FOR_TASK: dict[str, tuple[Metric, ...]] = {
    "classification": ("auc", "accuracy", "log_loss"),
    "regression": ("rmse", "mae"),
}


def sayable(parameters: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Parameters that JSON can hold, so that a plan pins what the training code gets."""
    canonical(parameters)  # raises ValueError on NaN, infinity and lone surrogates
    return parameters


def distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) < len(names):
        raise ValueError("names a column twice")
    return names


Name = Annotated[str, Field(min_length=1)]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Train(Section):
    """`entry` reads `file:function`. `batches` newest accepted batches are pinned; of the newest of them a
    `holdout` share of rows is kept from training and scored by champion and challenger alike: its `last` rows,
    for what comes later is what a model must foretell, or `random` ones where the order of rows means nothing.

    With one of `threads`, sums are added in one order, and the same plan comes to the same model, bit for bit;
    more are faster on large data, and leave its last digits to chance."""

    entry: Annotated[str, Field(pattern=r"^[A-Za-z_]\w*:[A-Za-z_]\w*$")] = "train:train"
    parameters: Annotated[dict[str, JsonValue], AfterValidator(sayable)] = {}
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    batches: Annotated[int, Field(ge=1, le=1000)] = 1
    holdout: Annotated[float, Field(gt=0, lt=0.9)] = 0.2
    split: Literal["last", "random"] = "last"
    threads: Annotated[int, Field(ge=1, le=256)] = 1
    time_limit_s: Annotated[float, Field(gt=0, le=86_400)] = 600


class Gates(Section):
    """What a version must show before it goes live. `improves_by` is how much better than the champion, on the
    same holdout, in the unit of `metric`; `parity` how far the exported graph may stray from the framework."""

    metric: Metric
    at_least: float | None = None
    at_most: float | None = None
    improves_by: Annotated[float, Field(ge=0)] = 0.0
    parity: Annotated[float, Field(gt=0, le=0.1)] = 1e-4


class Drift(Section):
    """Numbers have drifted when their Kolmogorov-Smirnov distance from the baseline reaches `ks`, categories when
    their population stability index reaches `psi`, either when the share of missing values has changed by
    `missing`; all over a window with at least `min_rows` answers. After a retraining for one window, the next
    `cooldown` windows start none.

    Both figures are reported of numbers, but only `ks` judges them: in real weather, the index of two ordinary
    neighbouring months is beyond any customary limit.
    """

    window: Size = "day"
    ks: Annotated[float, Field(gt=0, le=1)] = 0.2
    psi: Annotated[float, Field(gt=0)] = 0.25
    missing: Annotated[float, Field(gt=0, le=1)] = 0.1
    min_rows: Annotated[int, Field(ge=1)] = 200
    cooldown: Annotated[int, Field(ge=0, le=1000)] = 1
    retrain: bool = True


class Definition(Section):
    """A registered model's definition. `features` left out are all columns of the contract but the target."""

    model: str
    dataset: str
    target: Name
    task: Literal["classification", "regression"]
    features: Annotated[tuple[Name, ...], AfterValidator(distinct)] = ()
    train: Train = Train()
    gates: Gates
    drift: Drift = Drift()


def parse(data: bytes, where: str = "model.yaml") -> Definition:
    """The definition in YAML, or `Rejected` with the place, what is wrong and the way out."""
    try:
        definition = Definition.model_validate(safely(data, where))
    except ValidationError as error:
        field, why = flaws.first(error)
        if error.errors()[0]["type"] == "extra_forbidden":
            why = "no such setting; is it a typing mistake?"
        raise Rejected(f"{where}: {field}", why, code="bad_definition") from error
    keys.named(definition.model, "model")
    keys.named(definition.dataset, "dataset")
    if definition.target in definition.features:
        raise Rejected(
            f"{where}: features",
            f"holds the target {definition.target!r}; take it out",
            code="bad_definition",
        )
    if definition.gates.metric not in FOR_TASK[definition.task]:
        usable = ", ".join(FOR_TASK[definition.task])
        why = f"{definition.gates.metric} does not measure {definition.task}; use one of {usable}"
        raise Rejected(f"{where}: gates.metric", why, code="bad_definition")
    return definition


def features_among(definition: Definition, columns: Sequence[str]) -> tuple[str, ...]:
    """The columns that the model is asked with, or `Rejected` when one of them is not there."""
    for name in (definition.target, *definition.features):
        if name not in columns:
            why = f"the data has no column {name!r}; it has {', '.join(columns)}"
            raise Rejected(f"{definition.model}: features", why, code="no_column")
    return definition.features or tuple(name for name in columns if name != definition.target)


LARGEST_YAML = 1 << 20
DEEPEST_YAML = 50  # reading takes the square of it, or the whole stack
OPENS = (
    yaml.FlowSequenceStartToken,
    yaml.FlowMappingStartToken,
    yaml.BlockSequenceStartToken,
    yaml.BlockMappingStartToken,
)
CLOSES = (yaml.FlowSequenceEndToken, yaml.FlowMappingEndToken, yaml.BlockEndToken)


def safely(data: bytes, where: str) -> Any:
    """The value of a YAML document that people wrote. Aliases are refused: they can hide an enormous document."""
    if len(data) > LARGEST_YAML:
        raise Rejected(where, f"has {len(data):,} bytes; {LARGEST_YAML:,} are plenty", code="bad_yaml")
    try:
        depth = 0
        for token in yaml.scan(data, Loader=yaml.SafeLoader):
            depth += isinstance(token, OPENS) - isinstance(token, CLOSES)
            if isinstance(token, yaml.AliasToken):
                raise Rejected(where, "uses YAML aliases (*name); write the value out", code="bad_yaml")
            if depth > DEEPEST_YAML:
                raise Rejected(where, f"is nested more than {DEEPEST_YAML} levels deep", code="bad_yaml")
        return yaml.safe_load(data)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        place = getattr(error, "problem_mark", None)
        line = f" in line {place.line + 1}" if place else ""
        raise Rejected(where, f"not YAML{line}: {getattr(error, 'problem', None) or error}", code="bad_yaml") from error
