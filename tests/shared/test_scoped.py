"""Each function, and each job, may do what its catalogue entry says and nothing else: here as in the cloud."""

import io
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from functions.catalogue import CATALOGUE
from samara.app import App
from samara.errors import Conflict, Misconfigured, NotFound, SamaraError
from samara.ports import ObjectStore, Version
from samara.providers.memory import MemoryStore


@dataclass(frozen=True)
class Actor:
    """Somebody in the catalogue: how to act as them, and what their entry permits."""

    name: str
    acting: Callable[[App], App]
    reads: tuple[str, ...]
    creates: tuple[str, ...]
    swaps: tuple[str, ...]


ACTORS = [
    Actor(f.name, lambda whole, f=f: whole.acting_as(f), f.reads, f.creates, f.swaps)  # type: ignore[misc]  # mypy cannot infer f
    for f in CATALOGUE
] + [
    Actor(f"{f.name} job", lambda whole, f=f: whole.acting_as_job_of(f), f.job.reads, f.job.creates, ())  # type: ignore[misc]  # the same
    for f in CATALOGUE
    if f.job
]
PREFIXES = sorted({prefix for actor in ACTORS for prefix in actor.reads + actor.creates + actor.swaps})
FOREIGN = ["secrets/", "landings/", "Landing/", "land", "x/landing/"]

VERBS: dict[str, Callable[[ObjectStore, str], object]] = {
    "get": lambda store, key: store.get(key),
    "head": lambda store, key: store.head(key),
    "open": lambda store, key: store.open(key),
    "list": lambda store, key: list(store.list(key)),
    "create": lambda store, key: store.create(key, b"x"),
    "create_from": lambda store, key: store.create_from(key, io.BytesIO(b"x")),
    "replace": lambda store, key: store.replace(key, b"x", Version("any")),
    "delete": lambda store, key: store.delete(key, Version("any")),
}


def permits(actor: Actor, verb: str) -> tuple[str, ...]:
    """The prefixes under which the entry lets `actor` do `verb`: whoever swaps a head also reads and creates it."""
    if verb in ("get", "head", "open", "list"):
        return actor.reads + actor.swaps
    if verb in ("create", "create_from"):
        return actor.creates + actor.swaps
    return actor.swaps


def outcome(store: ObjectStore, verb: str, key: str) -> type[SamaraError] | None:
    try:
        VERBS[verb](store, key)
    except SamaraError as error:
        return type(error)
    return None


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("actor", ACTORS, ids=lambda actor: actor.name)
def test_nobody_does_what_the_catalogue_does_not_say(whole: App, store: MemoryStore, actor: Actor, verb: str) -> None:
    mine = actor.acting(whole).store
    foreign = [prefix for prefix in PREFIXES + FOREIGN if not prefix.startswith(permits(actor, verb) or ("\0",))]

    outcomes = {outcome(mine, verb, f"{prefix}key") for prefix in foreign}

    assert outcomes == {Misconfigured}
    assert list(store.list("")) == []


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("actor", ACTORS, ids=lambda actor: actor.name)
def test_everybody_does_what_the_catalogue_says(whole: App, actor: Actor, verb: str) -> None:
    mine = actor.acting(whole).store

    outcomes = {outcome(mine, verb, f"{prefix}key") for prefix in permits(actor, verb)}

    assert outcomes <= {None, NotFound, Conflict}, "the store's own answers"


def test_the_catalogue_gives_out_every_kind_of_permission() -> None:
    assert all(any(permits(actor, verb) for actor in ACTORS) for verb in VERBS)
    assert {actor.name for actor in ACTORS} > {"ingest", "train", "train job", "dashboard"}


@pytest.mark.parametrize("prefix", ["", "land", "landing"])
def test_nobody_lists_more_than_a_prefix_of_theirs(acting_as: Callable[[str], App], prefix: str) -> None:
    with pytest.raises(Misconfigured):
        list(acting_as("ingest").store.list(prefix))


def test_a_refusal_names_the_key_who_asked_and_what_they_may(acting_as: Callable[[str], App]) -> None:
    with pytest.raises(Misconfigured) as refusal:
        acting_as("feedback").store.create("aliases/late.json", b"x")

    assert str(refusal.value) == (
        "aliases/late.json: feedback may not create this; its catalogue entry lets it create feedback/"
    )


def test_what_a_function_may_read_is_what_lies_in_the_store(whole: App, acting_as: Callable[[str], App]) -> None:
    whole.store.create("landing/flights/may.csv", b"a,b\n")

    ingest = acting_as("ingest").store

    assert ingest.get("landing/flights/may.csv").data == b"a,b\n"
    assert list(ingest.list("landing/")) == ["landing/flights/may.csv"]


def test_a_path_that_climbs_out_of_its_prefix_is_refused(acting_as: Callable[[str], App]) -> None:
    with pytest.raises(SamaraError, match=r"\.\."):
        acting_as("feedback").store.create("feedback/../aliases/late.json", b"x")
