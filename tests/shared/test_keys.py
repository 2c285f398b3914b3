"""Keys: what people name things, where things lie, and that nothing lies where it should not."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samara.core import keys, windows
from samara.core.keys import Landed, Prediction
from samara.core.windows import Window
from samara.errors import Rejected

T = TypeVar("T")
NAMES = st.from_regex(keys.NAME, fullmatch=True)
HOURS = st.datetimes(datetime(1000, 1, 1), datetime(9999, 12, 30), timezones=st.just(UTC)).map(windows.hour)  # noqa: DTZ001  # hypothesis adds it
PREDICTIONS = st.builds(Prediction, NAMES, HOURS, st.text("0123456789abcdef", min_size=16, max_size=16))
DIGEST = "ab" * 32


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Late",
        "-late",
        "_late",
        "late model",
        "late/model",
        "..",
        "late.",
        "lat\u0435",
        "ünï",
        "late\n",
        "late\u200b",
        "x" * 64,
        "<script>",
        "٣",
    ],
)
def test_a_name_that_could_be_mistaken_is_refused_with_the_way_out(name: str) -> None:
    with pytest.raises(Rejected, match="use lower-case letters, digits, - and _, at most 63") as refused:
        keys.named(name, "model")

    assert refused.value.code == "bad_name"
    assert refused.value.subject.isprintable()


@given(NAMES)
def test_a_name_we_allow_is_itself(name: str) -> None:
    assert keys.named(name, "dataset") == name
    assert keys.flaw(keys.aliases(name)) == ""


@given(NAMES, st.text(max_size=40))
def test_a_landed_file_is_for_the_dataset_of_its_folder_or_refused(dataset: str, rest: str) -> None:
    key = f"landing/{dataset}/{rest}"

    found, refused = attempted(lambda: Landed(key).dataset)

    if refused is None:
        assert found == dataset
        assert keys.flaw(key) == "", "what we follow, every store can hold"
    else:
        assert refused.code in ("bad_key", "bad_name")
        assert refused.subject.isprintable()


def attempted(act: Callable[[], T]) -> tuple[T | None, Rejected | None]:
    """What came of it, or the refusal."""
    try:
        return act(), None
    except Rejected as error:
        return None, error


@pytest.mark.parametrize(
    "key",
    [
        "landing/",
        "landing/flights",
        "landing/flights/",
        "landing//x.csv",
        "landing/Flights/x.csv",
        "landing/../aliases/x.json",
        "landing/flights/../x.csv",
        "landing/flights/./x.csv",
        "landing/flights//x.csv",
        "landing/flights/a\\b.csv",
        "landing/flights/a\0b.csv",
        "landing/flights/a\nb.csv",
        "landing/flights/gpj.\u202egnp",
        "landing/flights/zero\u200bwidth.csv",
        "landing/flights/cafe\u0301.csv",
        "landing/flights/\ud800.csv",
        "landing/flights/\ue000.csv",
        "landing/flights/" + "x" * 512,
        "landing/flights/" + "\n" * 512,
        "elsewhere/\n",
        "datasets/flights/x.csv",
        "Landing/flights/x.csv",
        "/landing/flights/x.csv",
        "",
    ],
)
def test_a_landing_key_we_would_not_follow_is_refused(key: str) -> None:
    with pytest.raises(Rejected) as refused:
        _ = Landed(key).dataset

    assert refused.value.code in ("bad_key", "bad_name")
    assert len(refused.value.subject) < 700
    assert refused.value.subject.isprintable()


@pytest.mark.parametrize("name", ["may.csv", "2013/05/may.csv", "café.csv", "May 1 (2).csv", "%2e%2e", "CON", "😀.csv"])
def test_a_landing_key_people_would_use_is_followed(name: str) -> None:
    assert Landed(f"landing/flights/{name}").dataset == "flights"


def test_another_write_of_a_file_has_another_receipt() -> None:
    landed = Landed("landing/flights/may.csv")

    assert landed.receipt("1") == landed.receipt("1") != landed.receipt("2")
    assert landed.receipt("1") != Landed("landing/flights/june.csv").receipt("1")


@given(PREDICTIONS)
def test_a_prediction_id_leads_to_its_capture_and_back(prediction: Prediction) -> None:
    assert Prediction.parse(prediction.id) == prediction
    assert keys.prediction_of(prediction.capture) == prediction
    assert keys.prediction_of(prediction.feedback(DIGEST)) == prediction
    assert keys.owner(prediction.capture) == prediction.model


@given(st.text(max_size=60))
def test_what_is_no_prediction_id_is_refused_and_printable(text: str) -> None:
    found, refused = attempted(lambda: Prediction.parse(text))

    if refused is None:
        assert found is not None
        assert found.id == text
    else:
        assert str(refused).isprintable()


@pytest.mark.parametrize(
    "text",
    [
        "late.2013-02-30T05.0011223344556677",
        "late.2013-02-14T24.0011223344556677",
        "late.2013-02-14T05.001122334455667",
        "late.2013-02-14T05.0011223344556677\n",
        "Late.2013-02-14T05.0011223344556677",
        "late.2013-02-14T05.0011223344556677/../x",
        "late.٢٠١٣-02-14T05.0011223344556677",
        "late.2013-99-22T08.0011223344556677",
        "late.9999-12-31T23.0011223344556677",
        "late.2013-02-14T05.0011223344556677.3of2",
    ],
)
def test_an_id_that_only_looks_like_one_is_refused_by_its_name(text: str) -> None:
    with pytest.raises(Rejected, match="not a prediction id; they read model") as refused:
        Prediction.parse(text)

    assert (refused.value.subject, refused.value.code) == (ascii(text)[1:-1], "bad_id")


@given(NAMES, st.lists(st.integers(1, 10**10 - 1), min_size=2, max_size=20, unique=True))
def test_versions_sort_as_they_count(model: str, numbers: list[int]) -> None:
    listed = sorted(keys.version(model, number) for number in numbers)

    assert [keys.number(key) for key in listed] == sorted(numbers)


@pytest.mark.parametrize("name", ["0000000001 copy.json", ".DS_Store", "1.json", ".json", "000000000١.json", "-1.json"])
def test_what_lies_among_versions_and_is_none_is_left_out(name: str) -> None:
    first = keys.version("late", 1)

    assert keys.versions("late", sorted([f"models/late/{name}", first])) == [first]


@given(st.lists(NAMES, min_size=2, max_size=2, unique=True), st.text(max_size=9), st.text(max_size=9))
def test_things_of_different_owners_never_share_a_key(names: list[str], one: str, other: str) -> None:
    first, second = names

    assert keys.batch(first, DIGEST) != keys.batch(second, DIGEST)
    assert keys.quarantine(first, one, other) != keys.quarantine(second, one, other)
    assert keys.alert(first, one) != keys.alert(second, one)


@given(st.lists(st.text(max_size=5), min_size=1, max_size=4), st.lists(st.text(max_size=5), min_size=1, max_size=4))
def test_parts_of_a_name_do_not_run_together(one: list[str], other: list[str]) -> None:
    same = keys.quarantine("flights", *one) == keys.quarantine("flights", *other)

    assert same == (one == other)


def test_what_follows_from_a_record_lies_beside_its_name() -> None:
    batch, run = keys.batch("flights", DIGEST), keys.run("late", "0a1b")

    assert keys.validation(batch) == batch.replace("datasets/", "validations/")
    assert keys.result(run) == "results/late/0a1b.json"
    assert keys.submission(run) == "jobs/late/0a1b/submission.json"
    assert keys.drift("late", Window("2013-02")) == "drift/late/2013-02.json"


def test_every_topic_is_one_segment_that_no_other_starts_with() -> None:
    topics = [value for name, value in vars(keys).items() if name.isupper() and str(value).endswith("/")]

    assert len(topics) == len(set(topics)) >= 17
    assert all(re.fullmatch("[a-z]+/", topic) for topic in topics)


@pytest.mark.parametrize("key", ["a//b", "/a", "a/", "a/../b", ".", "a\0b", "\ud800", "x" * 256, "x/" * 512 + "x", ""])
def test_a_key_that_some_store_could_not_hold_is_refused(key: str) -> None:
    assert keys.flaw(key)
    with pytest.raises(Rejected, match="choose another key"):
        keys.sound(key)


@given(st.text(max_size=30), st.integers(0, 30))
def test_the_beginning_of_a_sound_key_is_a_sound_prefix(key: str, end: int) -> None:
    if not keys.flaw(key):
        assert keys.sound(key) == key
        assert keys.sound_prefix(key[:end]) == key[:end]


def test_a_plain_key_is_told_at_once_from_one_that_is_looked_at() -> None:
    for letter in map(chr, range(128)):
        unfit = re.search(keys.UNFIT, letter) is not None

        assert ("character" in keys.flaw(f"landing/a{letter}b")) is unfit, letter
