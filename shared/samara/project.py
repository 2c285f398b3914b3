"""A project folder: a contract, a model definition, training code. And how it reaches the bucket.

What is published is immutable blobs and one small head for each contract and model that names them, so a run
pins exactly what it was trained by, and publishing twice changes nothing.
"""

from dataclasses import dataclass
from pathlib import Path

from samara import bundle
from samara.app import AnyHead, App
from samara.core import definition, keys, odcs
from samara.core.contract import Contract
from samara.core.definition import Definition, Guardrail
from samara.core.heads import ContractHead, ModelHead
from samara.core.spelling import Type
from samara.errors import Rejected

WHEN = ("date", "timestamp")  # types of columns that are for people and for other columns
CONTRACTS = "*.odcs.yaml"
MODELS = "*model.yaml"


@dataclass(frozen=True, slots=True)
class Project:
    """What a folder holds: contracts by dataset, definitions by model, each with the bytes it was read from."""

    folder: Path
    contracts: dict[str, tuple[Contract, bytes]]
    definitions: dict[str, tuple[Definition, bytes]]


def read(folder: Path) -> Project:
    """The project in `folder`, or `Rejected` when it contradicts itself."""
    contracts: dict[str, tuple[Contract, bytes]] = {}
    for path in files(folder, CONTRACTS):
        parsed = odcs.parse(path.read_bytes(), path.name)
        if parsed.dataset in contracts:
            raise Rejected(path.name, f"is a second contract for {parsed.dataset!r}; keep one", code="two_contracts")
        contracts[parsed.dataset] = (parsed, path.read_bytes())
    definitions: dict[str, tuple[Definition, bytes]] = {}
    for path in files(folder, MODELS):
        found = definition.parse(path.read_bytes(), path.name)
        if found.model in definitions:
            raise Rejected(path.name, f"defines {found.model!r} a second time; keep one", code="two_models")
        agree(found, contracts, folder, path.name)
        definitions[found.model] = (found, path.read_bytes())
    return Project(folder, contracts, definitions)


def files(folder: Path, pattern: str) -> list[Path]:
    """The files of that name, but for hidden ones: editors keep locks and copies under such names."""
    return [path for path in sorted(folder.glob(pattern)) if path.is_file() and not path.name.startswith(".")]


def agree(found: Definition, contracts: dict[str, tuple[Contract, bytes]], folder: Path, where: str) -> None:
    """Refuse a definition whose dataset, columns or training code are not there."""
    if found.dataset not in contracts:
        have = ", ".join(sorted(contracts)) or "none"
        why = f"no contract for {found.dataset!r} beside it (there is {have}); write {found.dataset}.odcs.yaml"
        raise Rejected(f"{where}: dataset", why, code="no_contract")
    columns = {column.name: column.type for column in contracts[found.dataset][0].columns}
    for setting, name in [("target", found.target), *(("features", name) for name in found.features)]:
        if name not in columns:
            why = f"the contract of {found.dataset!r} has no column {name!r}; it has {', '.join(columns)}"
            raise Rejected(f"{where}: {setting}", why, code="no_column")
    askable({name: columns[name] for name in found.features or columns if name != found.target}, where)
    for rule in found.serve.guardrails:
        decidable(rule, contracts[found.dataset][0], f"{where}: serve.guardrails: {rule.name}")
    file = found.train.entry.partition(":")[0] + ".py"
    if found.ensemble is None and not (folder / file).is_file():
        raise Rejected(f"{where}: train.entry", f"there is no {file} beside it", code="no_code")


def askable(features: dict[str, Type], where: str) -> None:
    """Refuse columns that no model can be asked with, before a training would."""
    for name, kind in features.items():
        if kind in WHEN:
            usable = ", ".join(name for name, kind in features.items() if kind not in WHEN)
            why = f"{name!r} is a {kind}, which no model can be asked with; derive a number from it, or say [{usable}]"
            raise Rejected(f"{where}: features", why, code="no_feature")


def decidable(rule: Guardrail, contract: Contract, where: str) -> None:
    """Refuse a rule about an input that no answer could be measured by."""
    if rule.input is None:
        return
    column = contract.column(rule.input)
    if rule.known and column.type not in ("string", "boolean"):
        raise Rejected(where, f"{column.name!r} is {column.type}; give it a minimum or maximum", code="bad_guardrail")
    if rule.known and column.personal and not column.valid_values:
        why = f"{column.name!r} is {column.classification}, so what training saw of it is not kept"
        raise Rejected(where, why, code="bad_guardrail")
    if not rule.known and column.type not in ("integer", "number"):
        raise Rejected(where, f"{column.name!r} is {column.type}, which has no such bounds", code="bad_guardrail")


def publish(project: Project, app: App) -> list[str]:
    """Put a project into the bucket. Gives what changed, in words; nothing when it was there already."""
    changed = []
    for dataset, (_, data) in project.contracts.items():
        if put_in_force(app, keys.contract_head(dataset), ContractHead(contract=app.keep(data))):
            changed.append(f"contract of {dataset}")
    source = app.keep(bundle.pack(project.folder)) if project.definitions else ""
    for model, (found, data) in project.definitions.items():
        contract, _ = project.contracts[found.dataset]
        serving = app.keep(found.serve.to_bytes([column.name for column in contract.columns if column.personal]))
        head = ModelHead(definition=app.keep(data), bundle=source, serving=serving)
        if put_in_force(app, keys.model_head(model), head):
            changed.append(f"model {model}")
    return changed


def put_in_force(app: App, key: str, head: AnyHead) -> bool:
    """Make what `head` names the thing in force. Whether that changed anything."""
    kind, named = type(head), head.model_dump(exclude={"write_id", "earlier"})
    before = app.find_head(kind, key)
    return app.swap(kind, key, lambda now: now.model_copy(update=named), head) != before
