"""Strict JSON: one meaning or none."""

import json
import math
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samara.core import strict
from samara.entry import refused
from samara.errors import Rejected

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=20,
)


@given(JSON.filter(strict.speakable))
def test_what_json_can_say_is_read_as_it_was_said(value: Any) -> None:
    assert strict.value(json.dumps(value).encode()) == value
    assert strict.value(json.dumps(value, ensure_ascii=False).encode()) == value


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "bad_json"),
        (b"{", "bad_json"),
        (b'{"a":1,"a":2}', "bad_json"),
        (b'{"b":{"a":1,"a":1}}', "bad_json"),
        (b"NaN", "bad_json"),
        (b"[-Infinity]", "bad_json"),
        (b"9" * 5000, "bad_json"),
        (b'"\xff"', "bad_json"),
        (b'\xef\xbb\xbf{"a":1}', "bad_json"),
        ('{"a":1}'.encode("utf-16"), "bad_json"),
        ('{"a":1}'.encode("utf-16-le"), "bad_json"),
        (b'"a\0b"', "bad_json"),
        (b'"\\u0000"', "bad_json"),
        (b'{"\\ud800": 1}', "bad_json"),
        (b'["\\udc00"]', "bad_json"),
        (b"01", "bad_json"),
        (b"[1,]", "bad_json"),
        (b"{} {}", "bad_json"),
        (b"[" * 33 + b"]" * 33, "too_deep"),
        (b"[" * 100_000, "too_deep"),
        (b'{"a":' * 100_000, "too_deep"),
        (b'"\\"[' + b"[" * 100, "bad_json"),
    ],
)
def test_what_readers_could_understand_differently_is_refused(data: bytes, code: str) -> None:
    with pytest.raises(Rejected) as raised:
        strict.value(data)

    assert raised.value.code == code
    assert refused(raised.value).status == 400


def test_who_sends_nan_is_told_what_to_send_instead() -> None:
    with pytest.raises(Rejected, match="has NaN, which is no JSON number; write null where a number is missing"):
        strict.value(b"[1, NaN]")


def test_brackets_inside_strings_do_not_count_as_depth() -> None:
    assert strict.value(json.dumps(["[" * 100, "\\", '"[', "{" * 100]).encode()) == ["[" * 100, "\\", '"[', "{" * 100]


def test_what_is_32_deep_is_read() -> None:
    assert strict.value(b"[" * 32 + b"]" * 32) is not None


def test_a_number_too_large_for_a_double_is_left_to_the_reader_of_the_number() -> None:
    assert strict.value(b"1e400") == math.inf


@pytest.mark.parametrize("unit", [b'\\"', b'"', b"[]", b'"["', b"\\", b'{"":['])
def test_the_depth_of_six_megabytes_is_found_in_one_pass(unit: bytes) -> None:
    data = b'"' + unit * (strict.LARGEST // len(unit))
    started = time.process_time()

    strict.too_deep(data)

    assert time.process_time() - started < 5, "a second pass over every suffix would take hours"


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"content-type": "text/html"}, "media_type"),
        ({"content-type": "application/json; charset=utf-7"}, "media_type"),
        ({"content-type": "application/jsonp"}, "media_type"),
        ({"content-type": ""}, "media_type"),
        ({"content-encoding": "gzip"}, "media_type"),
    ],
)
def test_other_media_are_refused(headers: dict[str, str], code: str) -> None:
    with pytest.raises(Rejected) as raised:
        strict.asked(headers, b"{}")

    assert raised.value.code == code
    assert refused(raised.value).status == 415


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-type": "application/json"},
        {"content-type": 'Application/JSON; charset="UTF-8"'},
        {"content-encoding": "identity"},
    ],
)
def test_json_is_json_also_without_a_content_type(headers: dict[str, str]) -> None:
    assert strict.asked(headers, b"{}") == {}


def test_what_is_too_large_is_not_parsed() -> None:
    with pytest.raises(Rejected) as raised:
        strict.asked({}, b" " * (strict.LARGEST + 1))

    assert refused(raised.value).status == 413
