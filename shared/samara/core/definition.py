"""A model definition: what is predicted from what, how it is trained, when it goes live and how it answers then,
what counts as drift.

This is the one file of Samara's a data scientist writes beside the training code. Unknown keys are refused,
so a typing mistake is found when it is made.
"""

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

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


GIVEN = {"features", "target", "seed"}  # what training code is called with beside its parameters


def sayable(parameters: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Parameters that JSON can hold, so that a plan pins what the training code gets."""
    canonical(parameters)  # raises ValueError on NaN, infinity and lone surrogates
    if taken := sorted(parameters.keys() & GIVEN):
        raise ValueError(f"names {', '.join(taken)}, which training code is given anyway; choose another name")
    return parameters


def distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) < len(names):
        raise ValueError("names a column twice")
    return names


def once(members: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(members)) < len(members):
        raise ValueError("names a member twice; give it a greater weight instead")
    return members


Name = Annotated[str, Field(min_length=1)]
Member = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}@(champion|challenger|[1-9]\d{0,9})$")]


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


class Ensemble(Section):
    """A model made of others instead of training code. `members` are `model@version` or `model@champion` (or
    challenger), pinned to versions when a run is planned; all answer the same task with the same classes.

    `mean` averages their probabilities or predictions, `weighted` by `weights` that add up to 1; `vote` gives each
    class the share of members whose label it is, the first of equals winning; `stacked` trains a logistic or ridge
    regression on what they answer to the training rows. Rows that members were trained on flatter them: a stack
    learns most from batches they have not seen."""

    how: Literal["mean", "weighted", "vote", "stacked"]
    members: Annotated[tuple[Member, ...], Field(min_length=2, max_length=20), AfterValidator(once)]
    weights: tuple[Annotated[float, Field(gt=0, le=1)], ...] = ()

    @model_validator(mode="after")
    def _weighs_each(self) -> Self:
        if self.how != "weighted" and self.weights:
            raise ValueError(f"takes no weights where it says how: {self.how}; say how: weighted")
        if self.how == "weighted" and len(self.weights) != len(self.members):
            raise ValueError(f"has {len(self.members)} members and {len(self.weights)} weights; give each one")
        if self.weights and abs(sum(self.weights) - 1) > 1e-9:
            raise ValueError(f"has weights that add up to {sum(self.weights):g}; they must add up to 1")
        return self


class Gates(Section):
    """What a version must show before it goes live. `improves_by` is how much better than the champion, on the
    same holdout, in the unit of `metric`; `parity` how far the exported graph may stray from the framework, in
    estimates beyond 1 as a share of the largest."""

    metric: Metric
    at_least: float | None = None
    at_most: float | None = None
    improves_by: Annotated[float, Field(ge=0)] = 0.0
    parity: Annotated[float, Field(gt=0, le=0.1)] = 1e-4

    @model_validator(mode="after")
    def _can_be_passed(self) -> Self:
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            raise ValueError("no value is at_least and at_most what it says, so no version could pass")
        return self


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


class Captured(Section):
    """What is kept of what was asked and answered. With a `share` below 1, a sample by the predictions' ids; without
    `inputs`, only the answers. Drift is measured on what is kept, and feedback joins it."""

    share: Annotated[float, Field(ge=0, le=1)] = 1.0
    inputs: bool = True


class Guardrail(Section):
    """A rule that an answer must keep to be given. It is about an `input` column, which must lie within its bounds
    or be `known`: a category that training saw or the contract permits; or about an `output`: `prediction` must lie
    within its bounds, the largest of `probabilities` be `at_least` so much. A missing input breaks no rule. Where
    training saw more categories than a version remembers, and the contract lists none, `known` cannot tell."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
    input: Annotated[str, Field(min_length=1)] | None = None
    output: Literal["prediction", "probabilities"] | None = None
    minimum: float | None = None
    maximum: float | None = None
    known: bool = False
    at_least: Annotated[float, Field(gt=0, le=1)] | None = None

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        bounds = self.minimum is not None or self.maximum is not None
        asked = {"bounds": bounds, "known": self.known, "at_least": self.at_least is not None}
        fits = {"probabilities": ["at_least"], "prediction": ["bounds"], None: ["bounds", "known"]}[self.output]
        said = [name for name, is_asked in asked.items() if is_asked]
        if (self.input is None) == (self.output is None):
            raise ValueError("must be about either an input or an output")
        if len(said) != 1 or said[0] not in fits:
            words = " or ".join({"bounds": "minimum, maximum"}.get(name, name) for name in fits)
            raise ValueError(f"must say {words}, and nothing else")
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError("no value lies between its minimum and its maximum")
        return self


def told_apart(rules: tuple[Guardrail, ...]) -> tuple[Guardrail, ...]:
    if len({rule.name for rule in rules}) < len(rules):
        raise ValueError("has two rules of one name")
    return rules


class Explain(Section):
    """How an answer is explained: against so many `rows` of the background, with at most so many `samples` of
    coalitions of columns."""

    rows: Annotated[int, Field(ge=1, le=100)] = 100
    samples: Annotated[int, Field(ge=2, le=65_536)] = 256


class Serve(Section):
    """How the model answers. `limit_s` is of one run of it; `contained`, it runs in a process of its own within
    `memory_mb`; `stale_s` is how old the alias that names the answering version may be."""

    capture: Captured = Captured()
    guardrails: Annotated[tuple[Guardrail, ...], Field(max_length=100), AfterValidator(told_apart)] = ()
    limit_s: Annotated[float, Field(gt=0, le=300)] = 10.0
    contained: bool = False
    memory_mb: Annotated[int, Field(ge=64, le=65_536)] = 1024
    stale_s: Annotated[float, Field(ge=0, le=3600)] = 1.0
    explain: Explain = Explain()

    def to_bytes(self, personal: Iterable[str] = ()) -> bytes:
        """What `predict` reads of it: canonical JSON, every setting written out, and the columns that the contract
        calls `personal` by now, if any: those of a version that was trained before are to be masked as well."""
        said = {**self.model_dump(mode="json"), "personal": sorted(personal), "schema": 1}
        return canonical({name: value for name, value in said.items() if name != "personal" or value})


class Definition(Section):
    """A registered model's definition. `features` left out are all columns of the contract but the target. With an
    `ensemble`, no code is trained, and of `train` only what says which rows are pinned and held out counts."""

    model: str
    dataset: str
    target: Name
    task: Literal["classification", "regression"]
    features: Annotated[tuple[Name, ...], AfterValidator(distinct)] = ()
    train: Train = Train()
    ensemble: Ensemble | None = None
    gates: Gates
    drift: Drift = Drift()
    serve: Serve = Serve()


WAY_OUT = {
    "extra_forbidden": "no such setting; is it a typing mistake?",
    "missing": "is missing; say what it is",
    "model_type": "holds no settings; write each as name: value, or leave it out",
    "tuple_type": "is no list; write it as [one, another], or leave it out",
}  # where pydantic's words are about Python


def parse(data: bytes, where: str = "model.yaml") -> Definition:
    """The definition in YAML, or `Rejected` with the place, what is wrong and the way out."""
    try:
        definition = Definition.model_validate(safely(data, where))
    except ValidationError as error:
        field, why = flaws.first(error)
        place = f"{where}: {field}" if field else where
        why = WAY_OUT.get(error.errors()[0]["type"], why.removeprefix("Value error, "))  # pydantic's own word
        raise Rejected(place, why, code="bad_definition") from error
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
    if definition.ensemble:
        composed(definition.ensemble, definition, f"{where}: ensemble")
    for rule in definition.serve.guardrails:
        guarded(rule, definition, f"{where}: serve.guardrails: {rule.name}")
    return definition


def composed(ensemble: Ensemble, definition: Definition, where: str) -> None:
    """Refuse an ensemble that answers another task, or contains itself and would grow with each training."""
    if ensemble.how == "vote" and definition.task == "regression":
        raise Rejected(f"{where}.how", "estimates cannot be voted on; say mean", code="bad_definition")
    if definition.model in (member.partition("@")[0] for member in ensemble.members):
        why = f"names {definition.model!r} itself, so it would grow with each training; name other models"
        raise Rejected(f"{where}.members", why, code="bad_definition")


def guarded(rule: Guardrail, definition: Definition, where: str) -> None:
    """Refuse a rule about what the model is not asked or does not answer."""
    if rule.output == "prediction" and definition.task == "classification":
        raise Rejected(where, "classification answers no prediction; guard its probabilities", code="bad_definition")
    if rule.output == "probabilities" and definition.task == "regression":
        raise Rejected(where, "regression answers no probabilities; guard its prediction", code="bad_definition")
    if rule.input == definition.target or (
        definition.features and rule.input and rule.input not in definition.features
    ):
        why = f"{rule.input!r} is no feature, so the model is not asked with it"
        raise Rejected(where, why, code="bad_definition")


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


class Loader(yaml.SafeLoader):
    """Builds plain values, and refuses what would go wrong later without a word."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """The keys that `<<` brings may be said again, so this looks before they join."""
        said: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if (key.tag, str(key.value)) in said:
                why = f"the key {key.value!r} is written twice; keep one"
                raise yaml.constructor.ConstructorError(None, None, why, key.start_mark)
            if isinstance(key, yaml.ScalarNode) and not key.tag.endswith(":merge"):
                said.add((key.tag, key.value))
        super().flatten_mapping(node)

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> str:
        """The text, letters that are written as two halves, as JSON may, put together."""
        try:
            return str(super().construct_scalar(node)).encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError as error:
            why = "holds half of a letter (a lone surrogate), which no file can hold"
            raise yaml.constructor.ConstructorError(None, None, why, node.start_mark) from error


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
        return Loader(data).get_single_data()
    except (yaml.YAMLError, RecursionError, ValueError, AttributeError, LookupError) as error:  # the last two by tags
        place = getattr(error, "problem_mark", None)
        line = f" in line {place.line + 1}" if place else ""
        raise Rejected(where, f"not YAML{line}: {getattr(error, 'problem', None) or error}", code="bad_yaml") from error
