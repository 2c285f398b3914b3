"""What a data contract may say, and how a mistake in one is told: see `samara/core/odcs.py`."""

import re
from datetime import UTC, date, datetime

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from samara.core import contract
from samara.core.draft import infer
from samara.core.odcs import parse
from samara.core.spelling import TYPES
from samara.errors import Rejected

HEAD = "apiVersion: v3.1.0\nkind: DataContract\nid: x\nversion: 1.0.0\nschema:\n"
TABLE = HEAD + "  - name: t\n    properties:\n"
FULL = """
apiVersion: v3.1.0
kind: DataContract
id: 53581432-6c55-4ba2-a65f-72344a91553a
name: flights
version: 1.1.0
status: active
domain: air
tenant: us
tags: [a]
description: {purpose: demo, usage: training}
team: {name: ops, members: [{username: ann}]}
roles: [{role: reader}]
servers: [{server: here, type: local, path: ./x, format: csv}]
slaProperties: [{property: latency, value: 4, unit: d}]
support: [{channel: mail}]
price: {priceAmount: 1, priceCurrency: EUR}
contractCreatedTs: "2022-11-15T02:59:43+00:00"
customProperties: [{property: a, value: b}]
schema:
  - name: flights
    physicalName: flights_v1
    logicalType: object
    dataGranularityDescription: one departure
    properties:
      - name: id
        logicalType: integer
        primaryKey: true
        primaryKeyPosition: 1
        classification: public
        logicalTypeOptions: {format: u16, maximum: 60000}
      - name: carrier
        logicalType: string
        required: true
        unique: false
        description: who flies
        examples: [AA, UA]
        logicalTypeOptions: {minLength: 2, maxLength: 2, pattern: '[A-Z0-9]+', format: iata}
        quality:
          - {type: library, metric: invalidValues, arguments: {validValues: [AA, UA]}, mustBe: 0, severity: error}
          - {type: text, description: somebody looked at it}
      - name: day
        logicalType: date
        logicalTypeOptions: {minimum: 2013-01-01, exclusiveMaximum: '2014-01-01', format: yyyy-MM-dd}
      - name: at
        logicalType: timestamp
        logicalTypeOptions: {minimum: '2013-01-01T00:00:00+01:00', timezone: true, defaultTimezone: Etc/UTC}
        quality:
          - {metric: nullValues, mustBeLessThan: 5, unit: percent}
    quality:
      - {metric: rowCount, mustBeGreaterThan: 0}
      - {metric: duplicateValues, arguments: {properties: [carrier, day]}, mustBe: 0}
      - {type: sql, name: fresh, query: SELECT 1, mustBe: 1}
"""


def test_a_contract_in_the_words_of_the_standard_is_read_into_ours() -> None:
    flights = parse(FULL.encode())

    assert flights.names == ("id", "carrier", "day", "at")
    number, carrier, day, at = flights.columns
    assert (number.required, number.minimum, number.maximum) == (True, 0, 60000)
    assert (carrier.required, carrier.min_length, carrier.max_length) == (True, 2, 2)
    assert (carrier.patterns, carrier.valid_values) == (("[A-Z0-9]+",), (("AA", "UA"),))
    assert (day.minimum, day.below) == (date(2013, 1, 1), date(2014, 1, 1))
    assert (at.zoned, at.minimum) == (True, datetime(2012, 12, 31, 23, tzinfo=UTC))
    assert flights.keys == (("id",), ("carrier", "day"))
    assert [(rule.metric, rule.words) for rule in flights.rules] == [
        ("rowCount", "must be greater than 0"),
        ("nullValues", "must be less than 5 percent"),
    ]
    assert flights.left_alone == ("fresh (sql)",)


WORDS = (
    "name", "logicalType", "quality", "logicalTypeOptions", "metric", "enum", "value", "arguments", "mustBe", "pattern",
    "minimum", "maxLength", "required", "unique", "primaryKey", "primaryKeyPosition", "validValues", "format", "unit",
)  # fmt: skip
MISTAKES = {
    "nothing": ("", "must be a mapping"),
    "a list": ("- a", "must be a mapping"),
    "another kind": ("kind: Contract\napiVersion: v3.1.0", "must be DataContract"),
    "the standard before": (HEAD.replace("v3.1.0", "v2.2.2"), "write v3.1.0"),
    "no schema": (HEAD.replace("schema:", "schema: []"), "list one object"),
    "two schemas": (HEAD + "  - name: a\n  - name: b", "has 2 objects"),
    "no properties": (HEAD + "  - name: a", "at least one column"),
    "a version that YAML takes for a number": (
        TABLE.replace("1.0.0", "1.0") + "      - {name: a, logicalType: date}",
        "put it in quotes",
    ),
    "a misspelt key": (TABLE + "      - {name: a, logicalType: string, requierd: true}", "did you mean required?"),
    "a misspelt key above": ("statsu: x\n" + TABLE, "did you mean status?"),
    "a misspelt option": (
        TABLE + "      - {name: a, logicalType: integer, logicalTypeOptions: {minimun: 1}}",
        "did you mean minimum?",
    ),
    "a misspelt metric": (
        TABLE + "      - {name: a, logicalType: string, quality: [{metric: nullValue, mustBe: 0}]}",
        "did you mean nullValues?",
    ),
    "an option of another type": (
        TABLE + "      - {name: a, logicalType: boolean, logicalTypeOptions: {minimum: 1}}",
        "it has none",
    ),
    "no type": (TABLE + "      - {name: a}", "is missing"),
    "a type we do not check": (TABLE + "      - {name: a, logicalType: array}", "we check string, integer"),
    "a type that is none": (TABLE + "      - {name: a, logicalType: int}", "'int'"),
    "a column twice": (TABLE + "      - {name: a, logicalType: date}\n" * 2, "'a' more than once"),
    "an invisible name": (TABLE + '      - {name: "a\\u202e", logicalType: date}', "invisible"),
    "the range upside down": (
        TABLE + "      - {name: a, logicalType: number, logicalTypeOptions: {minimum: 2, maximum: 1}}",
        "no value lies between 2 and 1",
    ),
    "an empty open range": (
        TABLE + "      - {name: a, logicalType: number, logicalTypeOptions: {exclusiveMinimum: 1, maximum: 1}}",
        "no value lies between",
    ),
    "bounds that are no numbers": (
        TABLE + "      - {name: a, logicalType: number, logicalTypeOptions: {minimum: .nan}}",
        "finite number",
    ),
    "infinite bounds": (
        TABLE + "      - {name: a, logicalType: number, logicalTypeOptions: {maximum: .inf}}",
        "finite number",
    ),
    "lengths upside down": (
        TABLE + "      - {name: a, logicalType: string, logicalTypeOptions: {minLength: 3, maxLength: 2}}",
        "more than maxLength",
    ),
    "a negative length": (
        TABLE + "      - {name: a, logicalType: string, logicalTypeOptions: {minLength: -3}}",
        "0 or more",
    ),
    "a day that never was": (
        TABLE + "      - {name: a, logicalType: date, logicalTypeOptions: {minimum: '2013-02-30'}}",
        "ISO 8601 date",
    ),
    "dates in another format": (
        TABLE + "      - {name: a, logicalType: date, logicalTypeOptions: {format: dd.MM.yyyy}}",
        "convert them before",
    ),
    "another time zone": (
        TABLE + "      - {name: a, logicalType: timestamp, logicalTypeOptions: {defaultTimezone: CET}}",
        "must be UTC",
    ),
    "a broken pattern": (
        TABLE + "      - {name: a, logicalType: string, logicalTypeOptions: {pattern: '('}}",
        "no regular expression",
    ),
    "a pattern that looks around": (
        TABLE + "      - {name: a, logicalType: string, logicalTypeOptions: {pattern: '(?=a)a'}}",
        "unbounded time",
    ),
    "a pattern that looks back": (
        TABLE + "      - {name: a, logicalType: string, logicalTypeOptions: {pattern: '(a)\\1'}}",
        "unbounded time",
    ),
    "values of another type": (
        TABLE + "      - {name: a, logicalType: string, enum: [{value: no}]}",
        "put it in quotes",
    ),
    "values that break the other rules": (
        TABLE + "      - {name: a, logicalType: integer, logicalTypeOptions: {minimum: 5}, enum: [{value: 1}]}",
        "contradict",
    ),
    "two sets of values with nothing in common": (
        TABLE
        + "      - {name: a, logicalType: string, enum: [{value: x}],"
        + " quality: [{metric: invalidValues, mustBe: 0, arguments: {validValues: [y]}}]}",
        "contradict",
    ),
    "required, yet to be missing": (
        TABLE + "      - {name: a, logicalType: date, required: true, quality: [{metric: nullValues, mustBe: 3}]}",
        "contradict",
    ),
    "two operators": (
        TABLE + "      - {name: a, logicalType: date, quality: [{metric: nullValues, mustBe: 0, mustNotBe: 1}]}",
        "exactly one",
    ),
    "no operator": (TABLE + "      - {name: a, logicalType: date, quality: [{metric: nullValues}]}", "exactly one"),
    "between upside down": (
        TABLE + "      - {name: a, logicalType: date, quality: [{metric: nullValues, mustBeBetween: [5, 1]}]}",
        "smaller number comes first",
    ),
    "rows of a column": (
        TABLE + "      - {name: a, logicalType: date, quality: [{metric: rowCount, mustBe: 1}]}",
        "schema object",
    ),
    "a key of columns that are not there": (
        TABLE
        + "      - {name: abc, logicalType: date}\n"
        + "    quality: [{metric: duplicateValues, mustBe: 0, arguments: {properties: [abd]}}]",
        "did you mean abc?",
    ),
    "arguments that are none": (
        TABLE + "      - {name: a, logicalType: date, quality: [{metric: nullValues, mustBe: 0, arguments: true}]}",
        "must be a mapping, not bool",
    ),
    "a bound beyond every number": (
        TABLE + f"      - {{name: a, logicalType: number, logicalTypeOptions: {{minimum: {'9' * 400}}}}}",
        "write a finite number",
    ),
    "a moment before the first day": (
        TABLE + "      - {name: a, logicalType: timestamp, logicalTypeOptions: {minimum: '0001-01-01T00:00+14:00'}}",
        "outside the years 1 to 9999",
    ),
    "a truth value in words": (TABLE + "      - {name: a, logicalType: date, required: 'yes'}", "true or false"),
    "a pattern of numbers": (
        TABLE
        + "      - {name: a, logicalType: integer,"
        + " quality: [{metric: invalidValues, mustBe: 0, arguments: {pattern: '[0-9]+'}}]}",
        "arguments.pattern: is about text, and integer values are none",
    ),
    "a pattern of days, with a tolerance": (
        TABLE
        + "      - {name: a, logicalType: date,"
        + " quality: [{metric: invalidValues, mustBeLessThan: 9, arguments: {pattern: '2013.*'}}]}",
        "arguments.pattern: is about text, and date values are none",
    ),
    "a value beyond every number": (
        TABLE + f"      - {{name: a, logicalType: number, enum: [{{value: {'9' * 400}}}]}}",
        "is no number",
    ),
    "a value that is a set": (
        TABLE + "      - {name: a, logicalType: string, enum: [{value: !!set {x}}]}",
        "values are text, finite numbers, true, false or null",
    ),
    "a length beyond every count": (
        TABLE + f"      - {{name: a, logicalType: string, logicalTypeOptions: {{maxLength: {2**63}}}}}",
        "beyond 64 bits",
    ),
    "a multiple that a float would change": (
        TABLE + f"      - {{name: a, logicalType: integer, logicalTypeOptions: {{multipleOf: {2**53 + 1}}}}}",
        "more digits than a float can hold",
    ),
    "half of a letter": (
        TABLE + '      - {name: a, logicalType: string, enum: [{value: "\\ud800"}]}',
        "in line 8: holds half of a letter",
    ),
    "half of a letter in a pattern": (
        TABLE + '      - {name: a, logicalType: string, logicalTypeOptions: {pattern: "\\udc00"}}',
        "half of a letter",
    ),
    "a key twice": (
        TABLE + "      - name: a\n        logicalType: string\n        quality: []\n        'quality': []",
        "in line 11: the key 'quality' is written twice; keep one",
    ),
    "tabs": ("\tkind: x", "not YAML in line 1"),
    "anchors that explode": ("a: &a [x]\nb: [*a, *a]", "aliases"),
}


@pytest.mark.parametrize(("text", "says"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_is_told_with_its_place_and_the_way_out(text: str, says: str) -> None:
    with pytest.raises(Rejected) as refusal:
        parse(text.encode(), "people.yaml")

    assert says in str(refusal.value)
    assert refusal.value.subject.startswith("people.yaml")
    assert refusal.value.code in ("bad_contract", "bad_yaml")


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.just(10**400) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=5),
    max_leaves=12,
)


@given(ANYTHING, st.sampled_from(TYPES), st.sampled_from(WORDS), st.sampled_from(WORDS), ANYTHING)
def test_whatever_is_written_it_is_a_contract_or_refused(
    value: object, kind: str, key: str, deeper: str, other: object
) -> None:
    column = {"name": "a", "logicalType": kind, key: value, deeper: {deeper: other}}
    for table in ({"name": "t", "properties": [column]}, {"name": "t", "properties": [{"name": "a"}], key: value}):
        body = {"apiVersion": "v3.1.0", "kind": "DataContract", "id": "x", "version": "1", "schema": [table]}
        try:
            found = parse(yaml.safe_dump(body).encode())
        except Rejected:
            continue
        assert found.columns


def test_a_first_contract_is_guessed_from_a_sample_and_can_be_read_again() -> None:
    sample = {
        "year": ["2013", "2014"],
        "delay": ["-1.5", "", "1e3"],
        "late": ["true", "FALSE"],
        "day": ["2013-02-14", "2013-02-28"],
        "hour": ["2013-02-14T05:00:00Z", "2013-02-14"],
        "carrier": ["AA", "no"],
        "id": ["9223372036854775808", "1"],
        "empty": ["", ""],
        'odd: "name" # é': ["x"],
    }

    text = infer(sample, "flights")

    found = {column.name: (column.type, column.required) for column in parse(text.encode()).columns}
    assert found == {
        "year": ("integer", True),
        "delay": ("number", False),
        "late": ("boolean", True),
        "day": ("date", True),
        "hour": ("timestamp", True),
        "carrier": ("string", True),
        "id": ("string", True),
        "empty": ("string", False),
        'odd: "name" # é': ("string", True),
    }
    assert '#   - {metric: invalidValues, mustBe: 0, arguments: {validValues: ["AA", "no"]}}' in text


NAMES = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=20)


@given(st.dictionaries(NAMES, st.lists(st.text(max_size=12), max_size=4), min_size=1, max_size=4))
def test_any_sample_gives_a_contract_that_can_be_read(sample: dict[str, list[str]]) -> None:
    text = infer(sample, "people")

    assert parse(text.encode()).names == tuple(sample)


def described(*more: str) -> contract.Column:
    lines = "".join(f"        {line}\n" for line in more)
    return parse((TABLE + "      - name: a\n" + lines).encode()).columns[0]


DEFAULT = "customProperties: [{{property: unit, value: mm}}, {{property: default, value: {}}}]"


def test_a_default_is_a_custom_property_of_the_columns_type() -> None:
    assert described("logicalType: integer", DEFAULT.format(7)).default == 7
    assert described("logicalType: boolean", DEFAULT.format("false")).default is False
    assert described("logicalType: date", DEFAULT.format("2013-02-14")).default == "2013-02-14"
    assert described("logicalType: string", "customProperties: [{property: unit, value: mm}]").default is None


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (("logicalType: integer", DEFAULT.format("seven")), "the default 'seven' is no integer"),
        (("logicalType: integer", "logicalTypeOptions: {minimum: 8}", DEFAULT.format(7)), "own rules forbid"),
        (("logicalType: string", "enum: [{value: x}]", DEFAULT.format("y")), "own rules forbid"),
        (("logicalType: string", "customProperties: [{property: default}, {property: default}]"), "default twice"),
        (("logicalType: string", "customProperties: default"), "must be a list of properties"),
        (("logicalType: number", DEFAULT.format("[1]")), "values are text, finite numbers"),
    ],
)
def test_a_default_that_the_column_itself_would_refuse_is_refused(lines: tuple[str, ...], words: str) -> None:
    with pytest.raises(Rejected, match=re.escape(words)):
        described(*lines)


def test_of_a_number_the_contract_means_what_a_float_holds_of_it_as_in_the_data() -> None:
    big = 2**53 + 1
    number = described(
        "logicalType: number",
        f"logicalTypeOptions: {{minimum: 5, maximum: {big}}}",
        f"enum: [{{value: 7}}, {{value: {big}}}]",
        DEFAULT.format(big),
    )
    integer = described("logicalType: integer", f"enum: [{{value: {big}}}]")

    assert repr((number.minimum, number.maximum)) == "(5, 9007199254740992.0)", "small ones stay as they are written"
    assert repr((number.valid_values, number.default)) == "(((7, 9007199254740992.0),), 9007199254740992.0)"
    assert integer.valid_values == ((big,),)


def test_a_rule_that_is_written_twice_is_one_rule() -> None:
    rule = "{{metric: rowCount, mustBeLessThan: 4, dimension: {}}}"
    text = TABLE + "      - {name: a, logicalType: date}\n    quality: [%s, %s]"

    assert len(parse((text % (rule.format("completeness"), rule.format("timeliness"))).encode()).rules) == 1


def test_a_letter_that_is_escaped_in_two_halves_as_in_json_is_one_letter() -> None:
    assert described("logicalType: string", r'enum: [{value: "\ud83c\udf41"}]').valid_values == (("🍁",),)


@pytest.mark.parametrize(
    ("word", "personal"),
    [("PII", True), ("Personal data", True), ("restricted", True), ("sensitive-pii", True), ("public", False)],
)
def test_a_column_is_personal_when_a_word_of_its_classification_says_so(word: str, personal: bool) -> None:
    assert described("logicalType: string", f"classification: {word}").personal is personal
    assert not described("logicalType: string").personal


@pytest.mark.parametrize("line", ["logicalTypeOptions: {{minLength: -0x{}}}", "enum: [0x{}]", "description: 0x{}"])
def test_a_number_of_more_digits_than_python_writes_is_refused(line: str) -> None:
    with pytest.raises(Rejected, match="more than 4,300 digits"):
        described("logicalType: string", line.format("f" * 5000))


def test_each_rule_about_the_whole_stays_with_the_column_it_names() -> None:
    column = "      - {name: %s, logicalType: integer, quality: [%s]}\n"
    few = "{metric: nullValues, mustBeLessThan: 5}"
    none = "{metric: missingValues, mustBe: 0, arguments: {missingValues: [-1]}}"
    found = parse((TABLE + column % ("a", few) + column % ("b", none)).encode())

    assert [(rule.metric, rule.columns) for rule in found.rules] == [("nullValues", ("a",))]
    assert [(column.required, column.missing_values) for column in found.columns] == [(False, ()), (True, (-1,))]
