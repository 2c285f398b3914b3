"""Rows in the user's words: columns by name in JSON, CSV or Parquet to what a model takes, and its answers back. Pure.

    {"rows": [{"carrier": "AA", "distance": 1089, "temp": null}]}

Columns are asked as training asked them (see `samara.scoring`): numbers and truth values as numbers, NaN where one is
missing; text as text, empty where it is missing. A column that nobody knows is refused by name, so that a typing
mistake is not silently a missing value; the target and the contract's other columns may stay where they are. What is
of the right type and yet unusual is scored, and flagged.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from math import isfinite, prod
from typing import Any, NamedTuple

import orjson

from functions.predict import cells, tensors
from functions.predict.cells import Flag
from functions.predict.wire import client_id
from samara.core import strict
from samara.core.sheet import Column, Scalar, Sheet
from samara.core.spelling import Type
from samara.core.strict import shown
from samara.core.tensors import TEXT, Spec, Value
from samara.errors import Rejected

MOST_ROWS = 100_000  # in one request; a batch is the way for more
MOST_CELLS = 5_000_000  # rows × columns, told or defaulted
MOST_FLAGS = 10_000  # said of one request; further ones are only counted

JSON = "application/json"
CSV = "text/csv"
PARQUET = ("application/vnd.apache.parquet", "application/x-parquet", "application/parquet")

Vetoed = Mapping[int, tuple[str, str]]
"""Rows, from 0, whose answers are not given: the rule that forbids it, and why."""


class Rows(NamedTuple):
    """What was asked. `values` are what the model takes, `columns` the same by column, in the contract's types.

    `size` is how many rows there are. `flags` has a list for each. `ignored` are the columns that the model has no
    use for. `id` is the client's.
    """

    values: dict[str, Value]
    size: int
    columns: dict[str, list[Scalar]]
    flags: list[list[Flag]]
    left_out: int = 0
    ignored: tuple[str, ...] = ()
    id: str = ""


class Told(NamedTuple):
    """The columns that were sent. `written` says that all their values are texts of themselves."""

    columns: dict[str, list[Any]]
    size: int
    ignored: tuple[str, ...]
    written: bool = True
    id: str = ""


def asked(content_type: str, body: bytes, specs: Sequence[Spec], sheet: Sheet | None) -> Rows:
    """The rows in `body` as the model takes them, or `Rejected` naming the row, the column and what is wrong."""
    if len(body) > strict.LARGEST:
        why = f"has {len(body):,} bytes; {strict.LARGEST:,} are the most"
        raise Rejected("body", why, code="too_large")
    known = sheet or bare(specs)
    told = read(content_type, body, known)
    complete(told, [column for column in known.columns if column.default is None and (column.required or not sheet)])
    columns: dict[str, list[Scalar]] = {}
    flags, repeated = Flags(told.size), 0
    for column in known.columns:
        sent = told.columns.get(column.name, [None] * told.size)
        values, defaulted = cells.filled(cells.typed(sent, column, written=told.written), column)
        if isinstance(column.default, str):
            repeated += len(column.default.encode()) * len(defaulted)
        if repeated > strict.LARGEST:
            why = f"come to more than {strict.LARGEST:,} bytes of defaults that are texts; ask for a batch"
            raise Rejected("rows", why, code="too_large")
        flags.add(chain(defaulted, cells.unusual(values, column)))
        columns[column.name] = values
    given = as_tensors(columns, told.size, specs)
    return Rows(given, told.size, columns, flags.by_row, flags.left_out, told.ignored, told.id)


def complete(told: Told, needed: Sequence[Column]) -> None:
    """Refuses rows without the columns that the model needs, and names all of them at once."""
    missing = [column.name for column in needed if column.name not in told.columns]
    if missing:
        why = "there are no such columns in the rows; the model needs them"
        if len(missing) == 1:
            why = "there is no such column in the rows; the model needs it"
        raise Rejected(", ".join(missing[:20]), why, code="no_column")


def id_of(content_type: str, body: bytes) -> str:
    """The client's id in a body, whatever else is wrong with it, or `Rejected` where that cannot be told."""
    if media_type(content_type) != JSON:
        return ""
    said = parsed(body)
    return client_id(said.get("id", "")) if isinstance(said, dict) else ""


class Flags:
    """The flags of each row, as many as are told in one answer."""

    def __init__(self, rows: int) -> None:
        self.by_row: list[list[Flag]] = [[] for _ in range(rows)]
        self.left_out = 0
        self._room = MOST_FLAGS

    def add(self, found: Iterable[tuple[int, Flag]]) -> None:
        for row, flag in found:
            if self._room:
                self.by_row[row].append(flag)
                self._room -= 1
            else:
                self.left_out += 1


def read(content_type: str, body: bytes, sheet: Sheet) -> Told:
    """What was sent, in whatever form."""
    kind = media_type(content_type)
    if kind == JSON:
        return from_json(parsed(body), sheet)
    return from_csv(body, sheet) if kind == CSV else from_parquet(body, sheet)


def media_type(content_type: str) -> str:
    return strict.media_type({"content-type": content_type} if content_type else {}, JSON, CSV, *PARQUET)


def from_csv(body: bytes, sheet: Sheet) -> Told:
    from functions.predict import csv_rows  # noqa: PLC0415  # who sends JSON need not wait for it

    header, lines = csv_rows.lines(body, MOST_ROWS)
    headed(header, sheet)
    columns = csv_rows.by_name(header, lines)
    return Told(columns, len(lines), admitted(header, len(lines), sheet))


def from_parquet(body: bytes, sheet: Sheet) -> Told:
    try:
        from functions.predict import parquet_rows  # noqa: PLC0415  # the same; and not every package has pyarrow
    except ImportError as error:
        raise Rejected("content-type", f"Parquet is not read here; send {JSON} or {CSV}", code="media_type") from error
    table = parquet_rows.Table(body)
    headed(table.names, sheet)
    ignored = admitted(table.names, table.count, sheet)
    texts = {column.name for column in sheet.columns if column.type == "string"}
    columns = table.columns([name for name in table.names if name not in ignored], texts)
    return Told(columns, table.count, ignored)


def parsed(body: bytes) -> Any:
    """The JSON in `body`, read fast where it is then proven to mean one thing only: with as many colons as it has
    names, no object has a name twice. Everything else is for the strict reader."""
    try:
        said = orjson.loads(body)
        names = len(said) + sum(map(len, said["rows"]))
    except (ValueError, TypeError, KeyError):
        return strict.value(body)
    return said if names == body.count(b":") and b"\\u" not in body else strict.value(body)


def from_json(said: Any, sheet: Sheet) -> Told:
    rows = said.get("rows") if isinstance(said, dict) else None
    if not isinstance(rows, list) or not all(type(row) is dict for row in rows):
        raise Rejected("body", 'send {"rows": [{"column": value, …}, …]}', code="bad_request")
    strange = said.keys() - {"rows", "id"}
    if strange:
        raise Rejected(shown(min(strange)), "is not known here; the body may have rows and id", code="unknown_field")
    names = list(dict.fromkeys(chain.from_iterable(rows)))
    ignored = admitted(names, len(rows), sheet)
    columns = {name: [row.get(name) for row in rows] for name in names if name not in ignored}
    return Told(columns, len(rows), ignored, written=False, id=client_id(said.get("id", "")))


def headed(names: Sequence[str], sheet: Sheet) -> None:
    """Refuses a header that names no column at all. It may be a row of people's data, so none of it is said back."""
    have = [column.name for column in sheet.columns]
    if {*have, *sheet.ignored}.isdisjoint(names):
        why = f"names none of the columns; the first line must name them: {', '.join(have[:20])}"
        raise Rejected("header", why, code="unknown_column")


def admitted(names: Sequence[str], count: int, sheet: Sheet) -> tuple[str, ...]:
    """The columns among `names` that are ignored. Refuses too many rows, and columns that nobody knows."""
    if not count:
        raise Rejected("rows", "there are none; send at least one", code="bad_request")
    if count > MOST_ROWS:
        raise Rejected("rows", f"are {count:,}; {MOST_ROWS:,} are the most, ask for a batch", code="too_many_rows")
    if count * len(sheet.columns) > MOST_CELLS:
        most = MOST_CELLS // len(sheet.columns)
        raise Rejected("rows", f"are {count:,}; of so many columns {most:,} are the most", code="too_many_rows")
    mine, ignored = {column.name for column in sheet.columns}, set(sheet.ignored)
    for name in names:
        if name not in mine and name not in ignored:
            have = ", ".join([column.name for column in sheet.columns][:20])
            raise Rejected(shown(name), f"there is no such column; there are {have}", code="unknown_column")
    return tuple(name for name in names if name in ignored)


TYPES: dict[str, Type] = {TEXT: "string", "BOOL": "boolean", "FP16": "number", "FP32": "number", "FP64": "number"}


def bare(specs: Sequence[Spec]) -> Sheet:
    """What the inputs themselves say of the columns, for a version that has no sheet."""
    for spec in specs:
        if prod(spec.shape[1:]) > 1:
            raise several(spec)
    kinds = {spec.name: TYPES.get(spec.datatype, "integer") for spec in specs}
    return Sheet(tuple(Column(name, kind, required=kind != "number") for name, kind in kinds.items()))


def several(spec: Spec) -> Rejected:
    why = f"takes several values for each row, {list(spec.shape)}, that no columns are named for; ask by …/infer"
    return Rejected(spec.name, why, code="no_rows")


def as_tensors(columns: Mapping[str, Sequence[Scalar]], count: int, specs: Sequence[Spec]) -> dict[str, Value]:
    """The columns as the model takes them: each its own input, or all side by side in the only one."""
    if len(specs) == 1 and specs[0].name not in columns:
        name, datatype, shape = specs[0]
        if len(shape) != 2 or shape[1] not in (-1, len(columns)):
            raise several(specs[0])
        given = {column: numeric(values, datatype, column) for column, values in columns.items()}
        flat = list(chain.from_iterable(zip(*given.values(), strict=True)))
        return {name: Value(datatype, (count, len(columns)), packed(flat, datatype, given))}
    found = {}
    for name, datatype, shape in specs:
        if name not in columns or prod(shape[1:]) not in (1, -1):
            raise several(Spec(name, datatype, shape))
        values = numeric(columns[name], datatype, name)
        data = packed(values, datatype, {name: values})
        found[name] = Value(datatype, (count, *(1 for _ in shape[1:])), data)
    return found


def packed(flat: list[Any], datatype: str, given: Mapping[str, list[Any]]) -> Any:
    """The values as they travel inside, or `Rejected` naming the row and the column of the first that does not fit."""
    try:
        return tensors.decode(flat, datatype, next(iter(given), ""))
    except Rejected as error:
        for column, values in given.items():
            if misfit(values, datatype):
                row, why = next((row, why) for row, one in enumerate(values, 1) if (why := misfit([one], datatype)))
                raise Rejected(f"row {row}: {column}", why, code="bad_value") from error
        raise


def misfit(values: list[Any], datatype: str) -> str:
    """Why values cannot be asked in that datatype, or nothing."""
    try:
        tensors.decode(values, datatype, "")
    except Rejected as error:
        return error.why.removeprefix("value 1 ")
    return ""


def background(sheet: Sheet, specs: Sequence[Spec], most: int) -> dict[str, Value]:
    """At most so many rows like those it was trained on, as the model takes them."""
    count = min(sheet.background_rows, most)
    return as_tensors({name: values[:count] for name, values in sheet.background.items()}, count, specs)


def numeric(values: Sequence[Scalar], datatype: str, column: str) -> list[Any]:
    """Values of a contract's type as JSON would have them for a tensor of that datatype."""
    kinds = set(map(type, values))
    if datatype == TEXT:
        return ["" if value is None else value for value in values] if None in values else list(values)
    if str in kinds:
        why = f"is text, which cannot be asked as {datatype}; derive a number from it before training"
        raise Rejected(column, why, code="no_feature")
    if type(None) in kinds and not datatype.startswith("FP"):
        row = values.index(None) + 1
        raise Rejected(f"row {row}: {column}", f"is missing, and {datatype} cannot say so", code="missing_value")
    if bool in kinds and datatype != "BOOL":
        values = [int(value) if type(value) is bool else value for value in values]
    if int in kinds and datatype.startswith("FP"):
        present = [value for value in values if value is not None]
        if max(present) > cells.EXACT or min(present) < -cells.EXACT:  # type: ignore[operator]  # these are numbers
            values = [once_rounded(value) if type(value) is int else value for value in values]
    return list(values)


def once_rounded(value: int) -> float:
    """A float that rounds to the same shorter float as the integer itself, which a double in between may spoil.

    >>> once_rounded(2**60 + 2**36 + 1) == float(2**60 + 2**36 + 1)
    False
    """
    spare = abs(value).bit_length() - 53
    if spare <= 0:
        return value
    kept, lost = divmod(abs(value), 1 << spare)
    rounded = float((kept | (lost > 0)) << spare)
    return rounded if value > 0 else -rounded


def answer(outputs: Mapping[str, Value], rows: Rows, sheet: Sheet | None, vetoed: Vetoed) -> dict[str, Any]:
    """The answer to rows: a prediction for each, and what was unusual about it. One that is vetoed is null."""
    flat = {name: tensors.plain(value, name) for name, value in outputs.items()}
    predictions = said(flat, rows.size, sheet or Sheet(()))
    for row, (rule, why) in vetoed.items():
        predictions[row] = {**dict.fromkeys(predictions[row]), "vetoed": {"rule": rule, "why": why}}
    if not all(map(finite, flat.values())):
        for row, prediction in enumerate(predictions, 1):
            if not all(map(speakable, prediction.values())):
                raise Rejected(f"row {row}", "the model answers with NaN or infinity", code="not_finite")
    found: dict[str, Any] = {"predictions": predictions, "flags": [list(map(Flag._asdict, row)) for row in rows.flags]}
    if rows.left_out:
        found["flags_left_out"] = rows.left_out
    if rows.ignored:
        found["ignored"] = list(rows.ignored)
    return found


def said(outputs: Mapping[str, list[Any]], count: int, sheet: Sheet) -> list[dict[str, Any]]:
    """Each row's outputs by name, classes in the words of the target."""
    by_row: dict[str, list[Any]] = {}
    for name, flat in outputs.items():
        width, rest = divmod(len(flat), count)
        if rest or not width:
            raise Rejected(name, "has no value for each row; ask by …/infer", code="no_rows")
        if name == "label" and width == 1:
            by_row[name] = [in_words(label, sheet) for label in flat]
        elif name == "probabilities" and width > 1:
            classes = [key(in_words(one, sheet)) for one in (sheet.classes or range(width))]
            pieces = (flat[start : start + width] for start in range(0, len(flat), width))
            by_row[name] = [dict(zip(classes, piece, strict=True)) for piece in pieces]
        else:
            by_row[name] = flat if width == 1 else [flat[row * width : (row + 1) * width] for row in range(count)]
    return [dict(zip(by_row, values, strict=True)) for values in zip(*by_row.values(), strict=True)]


def in_words(label: int | str, sheet: Sheet) -> int | str | bool:
    """A class as the target says it: a truth value, not the number that the model has for it."""
    truth = sheet.target is not None and sheet.target.type == "boolean"
    return bool(label) if truth and label in (0, 1) else label


def key(label: int | str | bool) -> str:
    return str(label).lower() if isinstance(label, bool) else str(label)


def finite(flat: list[Any]) -> bool:
    """Whether all numbers of an output are finite, told from their sum; where that overflows, one must look closer."""
    return not flat or isinstance(flat[0], str) or isfinite(sum(flat))


def speakable(value: Any) -> bool:
    """Whether JSON can say an answer."""
    match value:
        case float():
            return isfinite(value)
        case dict():
            return all(map(speakable, value.values()))
        case list():
            return all(map(speakable, value))
    return True
