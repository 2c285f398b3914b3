"""The first project folder: a contract, a model definition and training code one can run as they are.

With a file of one's own the contract is drafted from its values; without, the folder starts from real data
that comes with scikit-learn, so that everything can be tried at once.
"""

import csv
import re
import shutil
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import dedent

from samara import project
from samara.core import draft
from samara.errors import Conflict, Rejected
from samara.settings import HOME

SAMPLE_ROWS = 10_000  # enough to guess a type by; the contract is there to be corrected
FEW = 20  # distinct whole numbers up to which a target is taken for classes

MODEL = """\
# What is predicted from what, when a version goes live, and what counts as drift. Unknown settings are refused.
model: {model}
dataset: {dataset}
target: {target}
task: {task}
{features}

train:
  entry: train:train    # the function in train.py
  seed: 0
  batches: 1            # how many of the newest accepted batches to train on
  holdout: 0.2          # share of the newest batch that champion and challenger are compared on
  split: random         # or `last`, when the file is in order of time

gates:
  metric: {metric}
  improves_by: 0.0      # over the champion, on the same holdout

drift:
  window: day           # or hour, or month
  ks: 0.2               # numbers: Kolmogorov-Smirnov distance from the training data
  psi: 0.25             # categories: population stability index

# serve:                # how the champion answers; these are the defaults, but for the guardrail
#   capture: {{share: 1.0, inputs: true}}
#   limit_s: 10         # of one run of the model
#   guardrails:         # an answer that breaks one is not given
#     - {{name: {rule}}}
"""

ALL = "# features: [...]       # without this: every column of the contract but the target"
SOME = "features: [{}]  # no model can be asked with a date: derive a number from it, if it matters"

TRAIN = '''\
"""Training code. Samara calls `train` with the pinned rows, exports what it returns to ONNX and compares the two."""

import pyarrow as pa
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import {estimator}
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler


def train(table: pa.Table, *, features: list[str], target: str, seed: int) -> Pipeline:
    """Numbers are float32 with NaN where missing, text is empty where missing."""
    text = [name for name in features if pa.types.is_string(table.schema.field(name).type)]
    numbers = [name for name in features if name not in text]
    model = make_pipeline(
        make_column_transformer(
            (OneHotEncoder(handle_unknown="ignore", sparse_output=False), text),
            (make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numbers),
        ),
        {estimator}({options}),
    )
    return model.fit(table.select(features), table[target].to_numpy(zero_copy_only=False))
'''


def create(folder: Path, data: Path | None, target: str | None) -> list[Path]:
    """Write a project into `folder`, which must be empty or new, and give what was written."""
    if folder.exists() and any(folder.iterdir()):
        raise Conflict(str(folder), "is not empty; name a new folder")
    if data is not None and target is None:
        raise Rejected("--target", "say which column of the file is to be predicted", code="no_target")
    if data is not None and not spoken(data.name):
        raise Rejected(ascii(data.name), "is no name in UTF-8, so it could not be uploaded; rename the file")
    with TemporaryDirectory(prefix="samara-") as elsewhere:  # a folder with half a project could not be begun again
        made = Path(elsewhere)
        file = made / "data" / (data.name if data else "tumours.csv")
        file.parent.mkdir()
        if data is None:
            tumours(file)
        written = [file, *drafted(made, data or file, target or "malignant")]
        project.read(made)  # what we hand out must be in order
        if data:
            shutil.copyfile(data, file)
        begun = [HOME]
        try:
            claim(folder)
            for path in made.iterdir():
                begun += [] if (folder / path.name).exists() else [path.name]
                shutil.move(path, folder)
        except (OSError, KeyboardInterrupt):
            give_up(folder, begun)
            raise
        return [folder / path.relative_to(made) for path in written]


def spoken(name: str) -> bool:
    """Whether a file's name, which may be any bytes, is text."""
    return not any("\ud800" <= letter <= "\udfff" for letter in name)


def claim(folder: Path) -> None:
    """Make the folder ours, or `Conflict` where another `init` is at it."""
    try:
        (folder / HOME / "bucket").mkdir(parents=True)
    except FileExistsError:
        raise Conflict(str(folder), "has a project by now; name a new folder") from None


def give_up(folder: Path, begun: Iterable[str]) -> None:
    """Take away what was begun in the folder, and nothing that somebody else put there."""
    for path in (folder / name for name in begun):
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def drafted(folder: Path, file: Path, target: str) -> Iterator[Path]:
    """Contract, definition and training code for the columns of a CSV file."""
    columns = sampled(file)
    if target not in columns:
        raise Rejected(f"--target {target}", f"no such column; {file.name} has {', '.join(columns)}", code="no_column")
    dataset = plain(file.stem)
    kind = draft.guessed(columns[target])
    numeric = kind == "number" or (kind == "integer" and len(set(columns[target])) > FEW)
    metric = "rmse" if numeric else "auc" if len(set(columns[target]) - {""}) == 2 else "accuracy"
    usable = [name for name, values in columns.items() if name != target and draft.guessed(values) not in project.WHEN]
    definition = MODEL.format(
        features=ALL if len(usable) == len(columns) - 1 else SOME.format(", ".join(map(draft.quoted, usable))),
        model=draft.quoted(plain(target)),
        dataset=draft.quoted(dataset),
        target=draft.quoted(target),
        task="regression" if numeric else "classification",
        metric=metric,
        rule="plausible, output: prediction, minimum: 0" if numeric else "sure, output: probabilities, at_least: 0.5",
    )
    code = TRAIN.format(
        estimator="Ridge" if numeric else "LogisticRegression",
        options="random_state=seed" if numeric else "max_iter=1000, random_state=seed",
    )
    yield from (
        put(folder / f"{dataset}.odcs.yaml", draft.infer(columns, dataset)),
        put(folder / "model.yaml", definition),
        put(folder / "train.py", code),
        put(folder / ".gitignore", f"{HOME}/\n"),
        put(folder / "README.md", guide(dataset, plain(target), file)),
    )


def sampled(file: Path) -> dict[str, list[str]]:
    """The first rows of a CSV file, by column."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as source:
            between = separator(source.readline())
            source.seek(0)
            reader = csv.DictReader(source, delimiter=between, strict=True)
            rows = list(islice(reader, SAMPLE_ROWS))
    except (UnicodeDecodeError, csv.Error) as error:
        raise Rejected(
            str(file), f"not a CSV file in UTF-8: {error}; unpack it, or save it as one", code="bad_csv"
        ) from error
    if not rows or any(None in row or None in row.values() for row in rows):
        raise Rejected(str(file), "needs a header and rows that all have its columns", code="bad_csv")
    names = list(reader.fieldnames or ())
    if "" in names or len(set(names)) < len(names):
        raise Rejected(str(file), "needs a header in which each column has a name of its own", code="bad_csv")
    return {name: [row[name] for row in rows] for name in names}


def separator(header: str) -> str:
    """What stands between the names of a header, as ingest tells it.

    >>> [separator(header) for header in ("a,b;c", "a;b", '"a,b";c', "a|b", "a")]
    [',', ';', ';', '|', ',']
    """
    bare = re.sub('"[^"]*"', "", header)
    return next((one for one in "\t,;|" if one in bare), ",")


def tumours(file: Path) -> None:
    """The Wisconsin breast cancer data that come with scikit-learn: 569 tumours, 10 measurements each."""
    from sklearn.datasets import load_breast_cancer  # noqa: PLC0415  # a second's import for this command alone

    bunch = load_breast_cancer()
    names = [name.replace(" ", "_") for name in bunch.feature_names[:10]]
    with file.open("w", newline="") as target:
        writer = csv.writer(target)
        writer.writerow([*names, "malignant"])
        for values, benign in zip(bunch.data, bunch.target, strict=True):
            writer.writerow([*(f"{value:g}" for value in values[:10]), "false" if benign else "true"])


def plain(text: str) -> str:
    """A name of a model or dataset made of whatever people call their files and columns."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:63] or "data"


def put(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path


def guide(dataset: str, model: str, file: Path) -> str:
    return dedent(f"""\
        # {model}

        | file | what it is |
        |---|---|
        | `{dataset}.odcs.yaml` | the data contract: rows that break it are quarantined with reasons |
        | `model.yaml` | what is predicted from what, the gates, what counts as drift |
        | `train.py` | the training code |

        ```
        samara dev                                        # in one terminal
        samara upload data/{file.name} --dataset {dataset}    # in another: it is validated, trained on, registered
        samara status
        samara models {model}
        ```
        """)
