"""Reading a contract from Open Data Contract Standard v3 YAML.

What the standard says about people, prices and places is accepted and left alone. A key that the standard does
not have is refused with the nearest one it has: a rule that is misspelt is a rule nobody keeps.

Source: https://bitol-io.github.io/open-data-contract-standard, versions 3.0 to 3.2.
"""

import difflib
import math
import re
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from types import NoneType
from typing import Any

from samara.core.contract import (
    LONGEST_PATTERN,
    METRICS,
    MOST_COLUMNS,
    OPERATORS,
    Bound,
    Column,
    Contract,
    Rule,
    Scalar,
)
from samara.core.definition import safely
from samara.core.spelling import SPELLING, TYPES, Type
from samara.errors import Rejected


def parse(data: bytes, where: str = "contract.yaml") -> Contract:
    """The contract in YAML, or `Rejected` with the place, what is wrong and the way out."""
    body = _mapping(sayable(safely(data, where), where), where, "contract")
    if body.get("kind") != "DataContract":
        raise bad(f"{where}: kind", "must be DataContract")
    api = _text(body, "apiVersion", where)
    if not re.fullmatch(r"v3\.\d+\.\d+", api):
        raise bad(f"{where}: apiVersion", f"is {api!r}; write v3.1.0, this is the Open Data Contract Standard we read")
    schemas = body.get("schema")
    if not isinstance(schemas, list) or not schemas:
        raise bad(f"{where}: schema", "is missing; list one object with its properties")
    if len(schemas) > 1:
        raise bad(f"{where}: schema", f"has {len(schemas)} objects; a dataset is one table, so keep one")
    at = f"{where}: schema.0"
    return _contract(body, _mapping(schemas[0], at, "schema object"), where, at)


def _contract(body: Mapping[str, Any], table: Mapping[str, Any], where: str, at: str) -> Contract:
    if table.get("logicalType", "object") != "object":
        raise bad(f"{at}.logicalType", "must be object: a dataset is a table")
    properties = table.get("properties")
    if not isinstance(properties, list) or not properties:
        raise bad(f"{at}.properties", "is missing; list at least one column")
    if len(properties) > MOST_COLUMNS:
        raise bad(f"{at}.properties", f"has {len(properties):,} columns; {MOST_COLUMNS:,} are the most")
    readings = [_column(value, f"{at}.properties.{number}") for number, value in enumerate(properties)]
    columns = [column for column, _ in readings]
    _once([column.name for column in columns], f"{at}.properties")
    rules, left_alone = _rules(table, at, None, "string")
    for _, (more, others) in readings:
        rules += more
        left_alone += others
    alone = _by_column(rules, columns, at)
    kept, rowwise = [r for r in rules if not rowwise_rule(r)], [r for r in rules if rowwise_rule(r)]
    primary = tuple(_primary(properties))
    contract = Contract(
        id=_text(body, "id", where),
        dataset=_text(table, "name", at),
        name=str(body.get("name") or table["name"]),
        version=_text(body, "version", where),
        status=str(body.get("status", "")),
        columns=tuple(_with(column, alone[column.name], required=column.name in primary) for column in columns),
        keys=tuple(dict.fromkeys(_keys(properties, primary, rowwise))),
        rules=tuple(dict.fromkeys(kept)),
        left_alone=tuple(left_alone),
    )
    for number, column in enumerate(contract.columns):
        _consistent(column, f"{at}.properties.{number} ({column.name})")
        for rule in alone[column.name]:
            if not rowwise_rule(rule):
                _possible(rule, column, f"{at}.properties.{number} ({column.name})")
    return contract


def sayable(value: Any, where: str) -> Any:
    """`value`, if messages can show what is in it."""
    try:
        repr(value)
    except ValueError as error:  # hexadecimal digits may be many, and Python refuses to write so many decimal ones
        raise bad(where, "holds a whole number of more than 4,300 digits; write a smaller one") from error
    return value


def _by_column(rules: Sequence[Rule], columns: Sequence[Column], at: str) -> Mapping[str, list[Rule]]:
    """The rules about a column alone, for each of the columns; `Rejected` when a rule names one that is not there."""
    found: dict[str, list[Rule]] = {column.name: [] for column in columns}
    for rule in rules:
        for name in rule.columns:
            if name not in found:
                raise bad(f"{at}.quality", f"names {name!r}, which is no property{nearest(name, list(found))}")
        if len(rule.columns) == 1:
            found[rule.columns[0]].append(rule)
    return found


def rowwise_rule(rule: Rule) -> bool:
    """Whether a rule lets no single row pass: then the rows concerned are refused, not the batch."""
    return rule.metric != "rowCount" and rule.operator == "mustBe" and rule.value == 0 and rule.fatal


def _with(column: Column, about: Sequence[Rule], *, required: bool) -> Column:
    """A column with the rules about it that concern single rows, and with every way to write that nothing is there."""
    mine = [rule for rule in about if rowwise_rule(rule)]
    nulls = [rule for rule in mine if rule.metric in ("nullValues", "missingValues")]
    return column.model_copy(
        update={
            "required": column.required or required or bool(nulls),
            "missing_values": tuple(value for rule in about for value in rule.missing_values),
            "patterns": column.patterns + tuple(rule.pattern for rule in mine if rule.pattern),
            "valid_values": column.valid_values + tuple(rule.valid_values for rule in mine if rule.valid_values),
        }
    )


def _primary(properties: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The columns of the primary key, in the order of their positions."""
    mine = [value for value in properties if value.get("primaryKey") is True]
    yield from (str(value["name"]) for value in sorted(mine, key=lambda value: int(value.get("primaryKeyPosition", 0))))


def _keys(
    properties: Sequence[Mapping[str, Any]], primary: tuple[str, ...], rules: Sequence[Rule]
) -> Iterator[tuple[str, ...]]:
    if primary:
        yield primary
    yield from ((str(value["name"]),) for value in properties if value.get("unique") is True)
    yield from (rule.columns for rule in rules if rule.metric == "duplicateValues")


def _column(value: Any, at: str) -> tuple[Column, tuple[list[Rule], list[str]]]:
    body = _mapping(value, at, "property")
    name = _text(body, "name", at)
    at = f"{at} ({name})"
    if any(not letter.isprintable() for letter in name) or len(name) > 200:
        raise bad(f"{at}.name", "has invisible characters or more than 200 letters; rename the column")
    kind = body.get("logicalType")
    if kind not in TYPES:
        said = f"is {kind!r}" if kind else "is missing"
        raise bad(f"{at}.logicalType", f"{said}; we check {', '.join(TYPES)}{nearest(str(kind), TYPES)}")
    for flag in ("required", "unique", "primaryKey"):
        if not isinstance(body.get(flag, False), bool):
            raise bad(f"{at}.{flag}", "must be true or false")
    if not isinstance(body.get("primaryKeyPosition", 0), int):
        raise bad(f"{at}.primaryKeyPosition", "must be a whole number")
    rules, left_alone = _rules(body, at, name, kind)
    column = Column(
        name=name,
        type=kind,
        required=body.get("required", False),
        valid_values=_enumerated(body, kind, at),
        classification=str(body["classification"]) if "classification" in body else None,
        default=_default(body, kind, at),
        description=str(body.get("description", "")),
        **_options(body.get("logicalTypeOptions") or {}, kind, f"{at}.logicalTypeOptions"),
    )
    return column, (rules, left_alone)


def _enumerated(body: Mapping[str, Any], kind: Type, at: str) -> tuple[tuple[Scalar, ...], ...]:
    """The standard's `enum` of version 3.2, as one set of permitted values."""
    if "enum" not in body:
        return ()
    entries = body["enum"]
    if not isinstance(entries, list) or not entries or any("value" not in e for e in entries if isinstance(e, dict)):
        raise bad(f"{at}.enum", "must list entries, each with a value")
    return (_scalars([e["value"] if isinstance(e, dict) else e for e in entries], kind, f"{at}.enum"),)


def _default(body: Mapping[str, Any], kind: Type, at: str) -> Scalar:
    """The value of the custom property `default`; the standard has no key for it."""
    given = body.get("customProperties") or []
    if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
        raise bad(f"{at}.customProperties", "must be a list of properties, each with a value")
    found = [one.get("value") for one in given if one.get("property") == "default"]
    if len(found) > 1:
        raise bad(f"{at}.customProperties", "holds default twice; keep one")
    return _scalars(found, kind, f"{at}.customProperties: default")[0] if found else None


COMMON = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "format")
OPTIONS: dict[Type, tuple[str, ...]] = {
    "string": ("minLength", "maxLength", "pattern", "format"),
    "integer": (*COMMON, "multipleOf"),
    "number": (*COMMON, "multipleOf"),
    "boolean": (),
    "date": COMMON,
    "timestamp": (*COMMON, "timezone", "defaultTimezone"),
}
BITS: dict[str, tuple[float, float]] = {
    **{f"i{bits}": (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in (8, 16, 32, 64)},
    **{f"u{bits}": (0, 2**bits - 1) for bits in (8, 16, 32)},
    "u64": (0, 2**63 - 1),  # what a signed 64-bit column holds of it
    "f32": (-3.4028234663852886e38, 3.4028234663852886e38),
    "f64": (-1.7976931348623157e308, 1.7976931348623157e308),
}
ISO_FORMATS = re.compile(r"yyyy-MM-dd(?:(?:'T'|T| )HH:mm(?::ss(?:\.S{1,6})?)?(?:'Z'|Z|X{1,3})?)?|date(?:-time)?")


def _options(given: Any, kind: Type, at: str) -> dict[str, Any]:
    """The `logicalTypeOptions` in our words, bounds in the type of the column."""
    if not isinstance(given, dict):
        raise bad(at, "must be a mapping, such as minimum: 0")
    allowed = OPTIONS[kind]
    for name in given:
        if name not in allowed:
            usable = f"it may have {', '.join(allowed)}" if allowed else "it has none"
            raise bad(f"{at}.{name}", f"is no option of {kind}; {usable}{nearest(str(name), allowed)}")
    words = {"minimum": "minimum", "maximum": "maximum", "exclusiveMinimum": "above", "exclusiveMaximum": "below"}
    found: dict[str, Any] = {
        ours: _bound(given[theirs], kind, f"{at}.{theirs}") for theirs, ours in words.items() if theirs in given
    }
    for theirs, ours in (("minLength", "min_length"), ("maxLength", "max_length")):
        if theirs in given:
            found[ours] = _whole(given[theirs], f"{at}.{theirs}")
    if "pattern" in given:
        found["patterns"] = (_pattern(given["pattern"], kind, f"{at}.pattern"),)
    if "multipleOf" in given:
        found["multiple_of"] = _bound(given["multipleOf"], kind, f"{at}.multipleOf")
        if not found["multiple_of"] > 0:
            raise bad(f"{at}.multipleOf", "must be greater than 0")
        if found["multiple_of"] != float(found["multiple_of"]):
            raise bad(f"{at}.multipleOf", "has more digits than a float can hold; write fewer")
    if "format" in given and kind != "string":  # of a string it is a hint to readers, by the standard
        found |= _formatted(given["format"], kind, found, f"{at}.format")
    if not isinstance(given.get("timezone", False), bool):
        raise bad(f"{at}.timezone", "must be true or false")
    if given.get("defaultTimezone", "UTC") not in ("UTC", "Etc/UTC", "Z"):
        raise bad(f"{at}.defaultTimezone", "must be UTC; write the offset into each value instead")
    return found | ({"zoned": True} if given.get("timezone") else {})


def _formatted(name: Any, kind: Type, found: Mapping[str, Any], at: str) -> dict[str, Any]:
    """What a `format` adds: the width of a number as bounds. Dates are read as ISO 8601 and nothing else."""
    if kind in ("date", "timestamp"):
        if not ISO_FORMATS.fullmatch(str(name)):
            raise bad(at, f"is {name!r}; dates are read as ISO 8601 (yyyy-MM-dd), so convert them before the upload")
        return {}
    widths = [width for width in BITS if width.startswith("f") == (kind == "number")]
    if name not in widths:
        raise bad(at, f"is {name!r}; {kind} may be {', '.join(widths)}")
    low, high = BITS[name]
    minimum, maximum = found.get("minimum", low), found.get("maximum", high)
    return {"minimum": max(low, minimum), "maximum": min(high, maximum)}


def _bound(value: Any, kind: Type, at: str) -> Bound:
    if kind in ("date", "timestamp"):
        return _instant(value, kind, at)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not finite(value):
        raise bad(at, f"is {value!r}; write a finite number")
    if abs(value) > 2**63 and kind == "integer":
        raise bad(at, "is beyond 64 bits")
    return as_float(value) if kind == "number" else value


def as_float(value: Any) -> Any:
    """The number that a float holds of a whole one, as data is read, too; small ones stay as they are written."""
    return float(value) if type(value) is int and abs(value) > 2**53 and finite(value) else value


def finite(value: float) -> bool:
    """Whether a number is one, and a float can hold it.

    >>> finite(0.5), finite(float("nan")), finite(10**400)
    (True, False, False)
    """
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _instant(value: Any, kind: Type, at: str) -> date | datetime:
    text = value.isoformat() if isinstance(value, (date, datetime)) else value
    if not isinstance(text, str) or not re.fullmatch(SPELLING[kind], text) or text.startswith("0000"):
        raise bad(at, f"is {value!r}; write an ISO 8601 {kind} in quotes, such as '2013-02-14'")
    if kind == "date":
        return date.fromisoformat(text)
    read = datetime.fromisoformat(text)
    try:
        return read.astimezone(UTC) if read.tzinfo else read.replace(tzinfo=UTC)
    except OverflowError as error:
        raise bad(at, f"is {value!r}, which in UTC lies outside the years 1 to 9999") from error


def _pattern(value: Any, kind: Type, at: str) -> str:
    """A regular expression that RE2 can run in linear time, or a refusal that says why not."""
    if kind != "string":
        raise bad(at, f"is about text, and {kind} values are none; leave it out, or say validValues or bounds")
    if not isinstance(value, str) or not value or len(value) > LONGEST_PATTERN:
        raise bad(at, f"must be a regular expression of 1 to {LONGEST_PATTERN:,} letters")
    if found := re.search(r"\(\?(?:<?[=!]|P=|\()|(?<!\\)(?:\\\\)*\\[1-9]", value):
        why = f"uses {found[0]!r}, looking around or back, which needs unbounded time; write it without"
        raise bad(at, why)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            re.compile(value)
    except (re.error, RecursionError, OverflowError) as error:
        raise bad(at, f"is no regular expression: {error}") from error
    return value


def _rules(body: Mapping[str, Any], at: str, column: str | None, kind: Type) -> tuple[list[Rule], list[str]]:
    """The library rules, and the names of those that are for people or other engines."""
    given = body.get("quality") or []
    if not isinstance(given, list):
        raise bad(f"{at}.quality", "must be a list of rules")
    rules: list[Rule] = []
    left_alone: list[str] = []
    for number, value in enumerate(given):
        place = f"{at}.quality.{number}"
        rule = _mapping(value, place, "quality rule")
        how = rule.get("type", "library")
        if how not in ("library", "text", "sql", "custom"):
            raise bad(f"{place}.type", f"is {how!r}; it may be library, text, sql or custom")
        if how == "library" or "metric" in rule:
            rules.append(_rule(rule, place, column, kind))
        elif how != "text":
            left_alone.append(f"{rule.get('name', place)} ({rule.get('engine', how)})")
    return rules, left_alone


def _rule(body: Mapping[str, Any], at: str, column: str | None, kind: Type) -> Rule:
    metric = body.get("metric", body.get("rule"))
    if metric not in METRICS:
        raise bad(f"{at}.metric", f"is {metric!r}; it may be {', '.join(METRICS)}{nearest(str(metric), METRICS)}")
    allowed = {"missingValues": ("missingValues",), "invalidValues": ("validValues", "pattern")}.get(metric, ())
    if metric == "duplicateValues" and column is None:
        allowed = ("properties",)
    arguments = body.get("arguments") or {}
    if not isinstance(arguments, dict):
        raise bad(f"{at}.arguments", f"must be a mapping, not {type(arguments).__name__}")
    for wrong in (str(name) for name in arguments if name not in allowed):
        usable = f"may have {', '.join(allowed)}" if allowed else "has none"
        raise bad(f"{at}.arguments", f"holds {wrong!r}; {metric} {usable}{nearest(wrong, allowed)}")
    if (metric == "rowCount") != (column is None) and not (metric == "duplicateValues" and column is None):
        raise bad(f"{at}.metric", "rowCount is about the schema object, every other metric about a property")
    columns = _named(arguments.get("properties"), f"{at}.arguments.properties") if "properties" in allowed else ()
    if metric == "invalidValues" and not arguments:
        raise bad(f"{at}.arguments", "is missing; give validValues or a pattern")
    if body.get("unit", "rows") not in ("rows", "percent"):
        raise bad(f"{at}.unit", f"is {body['unit']!r}; it may be rows or percent")
    if metric == "rowCount" and body.get("unit") == "percent":
        raise bad(f"{at}.unit", "is percent, but rows are counted")
    return Rule(
        metric=metric,
        columns=columns or ((column,) if column is not None else ()),
        percent=body.get("unit") == "percent",
        fatal=str(body.get("severity", "error")).lower() not in ("info", "warning"),
        valid_values=_listed(arguments, "validValues", kind, at),
        missing_values=_listed(arguments, "missingValues", kind, at),
        pattern=_pattern(arguments["pattern"], kind, f"{at}.arguments.pattern") if "pattern" in arguments else None,
        **_operator(body, at),
    )


def _operator(body: Mapping[str, Any], at: str) -> dict[str, Any]:
    given = [name for name in OPERATORS if name in body]
    if len(given) != 1:
        said = f"has {' and '.join(given)}" if given else "says not what it must be"
        raise bad(at, f"{said}; give exactly one of {', '.join(OPERATORS)}")
    name, value = given[0], body[given[0]]
    if name.endswith("Between"):
        if not isinstance(value, list) or len(value) != 2:
            raise bad(f"{at}.{name}", "must be two numbers, the smaller first")
        low, high = (_bound(one, "number", f"{at}.{name}") for one in value)
        if not low < high:  # type: ignore[operator]  # both are numbers, as `_bound` saw to
            raise bad(f"{at}.{name}", f"is {value}; the smaller number comes first")
        return {"operator": name, "value": low, "upper": high}
    return {"operator": name, "value": _bound(value, "number", f"{at}.{name}")}


def _consistent(column: Column, at: str) -> None:
    """Refuse promises that no value could keep."""
    low = [bound for bound in (column.minimum, column.above) if bound is not None]
    high = [bound for bound in (column.maximum, column.below) if bound is not None]
    strict = column.above is not None or column.below is not None
    for least in low:
        for most in high:
            if least > most or (least == most and strict):  # type: ignore[operator]  # bounds are of one type
                raise bad(at, f"no value lies between {least} and {most}; the minimum must be the smaller one")
    if column.min_length is not None and column.max_length is not None and column.min_length > column.max_length:
        raise bad(at, f"minLength {column.min_length} is more than maxLength {column.max_length}")
    if column.default is not None:
        _of_type(column.default, column, f"{at}.customProperties: default", "the default")
        permitted = all(column.default in values for values in column.valid_values)
        if not permitted or not _keeps(column.default, column):
            raise bad(f"{at}.customProperties: default", f"is {column.default!r}, which the column's own rules forbid")
    for values in column.valid_values:
        for value in values:
            _of_type(value, column, at)
        if not any(_keeps(value, column) for value in values):
            raise bad(at, "none of the valid values keeps the column's other rules; they contradict each other")


def _of_type(value: Scalar, column: Column, at: str, what: str = "valid value") -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    match column.type:
        case "string":
            fits = isinstance(value, str)
        case "boolean":
            fits = isinstance(value, bool)
        case "integer":
            fits = number and isinstance(value, int) and -(2**63) <= value < 2**63
        case "number":
            fits = number and isinstance(value, (int, float)) and finite(value)
        case "date" | "timestamp":
            fits = isinstance(value, str) and bool(re.fullmatch(SPELLING[column.type], value))
    if not fits:
        raise bad(at, f"{what} {value!r} is no {column.type}; put it in quotes if it is text")


def _keeps(value: Scalar, column: Column) -> bool:
    """Whether one valid value keeps the column's other rules, so far as that can be said without reading data."""
    if column.type in ("integer", "number") and isinstance(value, (int, float)):
        return (
            (column.minimum is None or value >= column.minimum)  # type: ignore[operator]  # bounds have the type
            and (column.maximum is None or value <= column.maximum)  # type: ignore[operator]  # the same
            and (column.above is None or value > column.above)  # type: ignore[operator]  # the same
            and (column.below is None or value < column.below)  # type: ignore[operator]  # the same
        )
    if column.type == "string" and isinstance(value, str):
        return (column.min_length or 0) <= len(value) <= (column.max_length or len(value)) and all(
            value in others for others in column.valid_values
        )
    return True


def _possible(rule: Rule, column: Column, at: str) -> None:
    """Refuse a rule about the whole batch that contradicts what each row must keep."""
    for value in rule.valid_values:
        _of_type(value, column, at)
    never = rule.metric == "nullValues" and column.required
    if never and rule.fatal and not rule.holds(0):
        raise bad(at, f"is required, so it has no null values, but nullValues {rule.words}: they contradict each other")


STANDARD = ("id", "tags", "customProperties", "authoritativeDefinitions", "description", "businessName", "synonyms")
KNOWN: dict[str, tuple[str, ...]] = {
    "contract": (
        "version", "kind", "apiVersion", "id", "name", "tenant", "tags", "status", "servers", "dataProduct",
        "description", "domain", "context", "schema", "support", "price", "team", "roles", "slaDefaultElement",
        "slaProperties", "authoritativeDefinitions", "customProperties", "contractCreatedTs",
    ),
    "schema object": (
        *STANDARD, "name", "logicalType", "physicalName", "physicalType", "deprecated", "dataGranularityDescription",
        "properties", "relationships", "quality", "context",
    ),
    "property": (
        *STANDARD, "name", "logicalType", "logicalTypeOptions", "physicalName", "physicalType", "deprecated",
        "required", "unique", "primaryKey", "primaryKeyPosition", "semanticType", "partitioned",
        "partitionKeyPosition", "classification", "encryptedName", "transformSourceObjects", "transformLogic",
        "transformDescription", "examples", "enum", "criticalDataElement", "relationships", "quality", "properties",
        "items", "map",
    ),
    "quality rule": (
        *STANDARD, "name", "type", "metric", "rule", "arguments", "unit", "query", "engine", "implementation",
        "dimension", "method", "severity", "businessImpact", "schedule", "scheduler", *OPERATORS,
    ),
}  # fmt: skip
"""The keys of the standard, at each level that we read."""


def _mapping(value: Any, at: str, level: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise bad(at, f"must be a mapping, the {level}, not {type(value).__name__}")
    for name in value:
        if name not in KNOWN[level]:
            raise bad(f"{at}: {name}", f"the standard has no such key in a {level}{nearest(str(name), KNOWN[level])}")
    return value


def nearest(name: str, known: Sequence[str]) -> str:
    """The way out of a typing mistake, or nothing when no name is near.

    >>> nearest("requierd", ["required", "unique"])
    '; did you mean required?'
    """
    lower = {one.lower(): one for one in known}
    found = difflib.get_close_matches(name.lower()[:100], lower, n=1)
    return f"; did you mean {lower[found[0]]}?" if found else ""


def _text(body: Mapping[str, Any], name: str, at: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise bad(f"{at}: {name}", "is missing" if value is None else f"is {value!r}; put it in quotes")
    return value


def _whole(value: Any, at: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise bad(at, f"is {value!r}; write a whole number, 0 or more")
    if value >= 2**63:
        raise bad(at, "is beyond 64 bits")
    return value


def _named(value: Any, at: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or any(not isinstance(one, str) for one in value):
        raise bad(at, "must list the names of properties")
    _once(value, at)
    return tuple(value)


def _listed(arguments: Mapping[str, Any], name: str, kind: Type, at: str) -> tuple[Scalar, ...]:
    if name not in arguments:
        return ()
    values = arguments[name]
    if not isinstance(values, list) or not values:
        raise bad(f"{at}.arguments.{name}", "must be a list of at least one value")
    return _scalars(values, kind, f"{at}.arguments.{name}")


def _scalars(values: Sequence[Any], kind: Type, at: str) -> tuple[Scalar, ...]:
    plain = [one.isoformat() if isinstance(one, (date, datetime)) else one for one in values]
    for one in plain:
        if not isinstance(one, (str, int, float, NoneType)) or (isinstance(one, float) and not math.isfinite(one)):
            raise bad(at, f"holds {one!r}; values are text, finite numbers, true, false or null")
    return tuple(as_float(one) for one in plain) if kind == "number" else tuple(plain)


def _once(names: Sequence[str], at: str) -> None:
    twice = sorted(name for name, times in Counter(names).items() if times > 1)
    if twice:
        raise bad(at, f"holds {twice[0]!r} more than once; each column is listed once")


def bad(where: str, why: str) -> Rejected:
    return Rejected(where, why, code="bad_contract")
