"""The catalogue: what is refused before anything runs, and who is woken by what."""

import pytest

from functions.catalogue import CATALOGUE
from samara import catalogue
from samara.catalogue import (
    Created,
    Every,
    Function,
    Http,
    JobSpec,
    answering,
    check,
    edges,
    named,
    submitter,
    woken_by,
)
from samara.errors import Misconfigured


def a_function(name: str, wakes_on: str, *creates: str, **more: object) -> Function:
    return Function(name, on=(Created(wakes_on),), does="something", creates=creates, **more)  # type: ignore[arg-type]  # any field


def test_ours_is_sound() -> None:
    assert catalogue.load() == CATALOGUE


@pytest.mark.parametrize("where", ["nope", "functions.nope"])
def test_a_catalogue_that_is_not_there_is_a_deployment_mistake(where: str) -> None:
    with pytest.raises(Misconfigured, match=f"{where}: no such module; SAMARA_CATALOGUE names"):
        catalogue.load(where)


def test_a_function_must_not_write_where_it_listens() -> None:
    with pytest.raises(Misconfigured, match="ingest: writes under landing/, which wakes it again"):
        check([a_function("ingest", "landing/", "landing/")])


@pytest.mark.parametrize(
    ("listens", "writes"), [("landing/", "landing/done/"), ("landing/done/", "landing/")], ids=["below", "above"]
)
def test_nor_below_nor_above_where_it_listens(listens: str, writes: str) -> None:
    with pytest.raises(Misconfigured, match="wakes it again"):
        check([a_function("ingest", listens, writes)])


def test_what_is_swapped_wakes_as_well() -> None:
    with pytest.raises(Misconfigured, match="wakes it again"):
        check([a_function("register", "aliases/", swaps=("aliases/",))])


def test_what_a_job_writes_counts_as_its_functions() -> None:
    job = JobSpec("functions.train.job", reads=(), creates=("validations/",), memory_mb=1, time_limit_s=1)

    with pytest.raises(Misconfigured, match="wakes it again"):
        check([a_function("train", "validations/", job=job)])


def test_a_circle_of_three_is_found_and_shown() -> None:
    circle = [a_function("a", "one/", "two/"), a_function("b", "two/", "three/"), a_function("c", "three/", "one/")]

    with pytest.raises(Misconfigured, match="a: wakes itself through a → b → c → a; break the circle"):
        check(circle)


def test_a_circle_further_down_the_chain_is_found_too() -> None:
    chain = [
        a_function("start", "zero/", "one/"),
        a_function("a", "one/", "two/"),
        a_function("b", "two/", "one/"),
    ]

    with pytest.raises(Misconfigured, match="a → b → a"):
        check(chain)


def test_two_ways_to_one_place_are_no_circle() -> None:
    check([a_function("a", "one/", "two/", "three/"), a_function("b", "two/", "three/"), a_function("c", "three/")])


@pytest.mark.parametrize("prefix", ["landing", "/landing/", "", "/"])
@pytest.mark.parametrize("where", ["reads", "creates", "swaps"])
def test_a_prefix_ends_with_a_slash_and_does_not_start_with_one(where: str, prefix: str) -> None:
    with pytest.raises(Misconfigured, match="must end with a slash"):
        check([Function("a", on=(), does="something", **{where: (prefix,)})])  # type: ignore[arg-type]  # any field


def test_where_a_function_listens_must_be_a_prefix_as_well() -> None:
    with pytest.raises(Misconfigured, match="must end with a slash"):
        check([a_function("a", "landing")])


def test_an_object_wakes_who_listens_to_its_prefix() -> None:
    assert [f.name for f in woken_by(CATALOGUE, "landing/flights/may.csv")] == ["ingest"]
    assert [f.name for f in woken_by(CATALOGUE, "results/late/0a1b.json")] == ["register"]
    assert [f.name for f in woken_by(CATALOGUE, "blobs/sha256/00")] == []
    assert [f.name for f in woken_by(CATALOGUE, "x/landing/may.csv")] == []


@pytest.mark.parametrize(
    ("path", "who"),
    [
        ("/", "dashboard"),
        ("/models/late", "dashboard"),
        ("/v2", "predict"),
        ("/v2/models/late/infer", "predict"),
        ("/v20", "dashboard"),
        ("/feedback", "feedback"),
        ("/train", "train"),
    ],
)
def test_of_all_routes_that_fit_the_longest_answers(path: str, who: str) -> None:
    answers = answering(CATALOGUE, path)

    assert answers is not None
    assert answers.name == who


def test_without_a_route_that_fits_nobody_answers() -> None:
    assert answering([Function("predict", on=(Http("/v2"), Every("hour")), does="answers")], "/") is None


def test_the_data_goes_round_by_these_ways() -> None:
    assert list(edges(CATALOGUE)) == [
        ("ingest", "datasets/", "validate"),
        ("validate", "validations/", "train"),
        ("train", "results/", "register"),
        ("predict", "scorings/", "score"),
        ("drift", "drift/", "train"),
        ("reconcile", "results/", "register"),
    ]


def test_what_all_jobs_need_is_one_job_of_the_first_who_submits_any() -> None:
    fit = JobSpec("functions.train.job", reads=("runs/", "blobs/"), creates=("results/",), memory_mb=8, time_limit_s=1)
    ask = JobSpec("functions.score.job", reads=("blobs/",), creates=("scores/",), memory_mb=4, time_limit_s=2)

    found = submitter([a_function("a", "one/"), a_function("b", "two/", job=fit), a_function("c", "three/", job=ask)])

    assert (found.name, found.job) == (
        "b",
        JobSpec("functions.train.job", ("runs/", "blobs/"), ("results/", "scores/"), memory_mb=8, time_limit_s=2),
    )
    with pytest.raises(Misconfigured, match="no function submits a job"):
        submitter([a_function("a", "one/")])


def test_who_is_not_there_is_told_apart_from_who_is() -> None:
    assert named(CATALOGUE, "drift").name == "drift"
    with pytest.raises(Misconfigured, match="drfit: no such function; there are ingest, validate, train"):
        named(CATALOGUE, "drfit")
