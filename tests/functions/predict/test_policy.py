"""A policy reads as its definition says, with the same defaults, and samples without chance."""

import json

import pytest
import yaml
from pydantic import BaseModel

from functions.predict.policy import Captured, Guardrail, Policy
from samara.core import definition
from samara.core.definition import Serve
from samara.errors import Rejected

DEFINITION = {
    "model": "late",
    "dataset": "flights",
    "target": "late",
    "task": "classification",
    "features": ["hour", "carrier"],
    "gates": {"metric": "auc"},
}


def serving(**said: object) -> Serve:
    return definition.parse(yaml.safe_dump({**DEFINITION, "serve": said}).encode()).serve


def compared(said: BaseModel, read: object) -> list[str]:
    """Where two forms of a section differ, field by field."""
    found = []
    for name in type(said).model_fields:
        theirs, mine = getattr(said, name), getattr(read, name)
        if isinstance(theirs, BaseModel):
            found += compared(theirs, mine)
        elif isinstance(theirs, tuple):
            found += [place for one, other in zip(theirs, mine, strict=True) for place in compared(one, other)]
        elif theirs != mine or type(theirs) is not type(mine):
            found.append(name)
    return found + [name for name in getattr(read, "__slots__", ()) if name not in type(said).model_fields]


def test_without_any_policy_the_defaults_are_those_of_the_definition() -> None:
    assert compared(Serve(), Policy()) == []
    assert Policy.read(Serve().to_bytes()) == Policy()


def test_which_columns_are_personal_by_now_is_published_with_it() -> None:
    assert Policy.read(Serve().to_bytes(["name", "email"])).personal == ("email", "name")


def test_what_is_published_is_read_field_by_field() -> None:
    said = serving(
        capture={"share": 0.25, "inputs": False},
        guardrails=[
            {"name": "known-carrier", "input": "carrier", "known": True},
            {"name": "sane-hour", "input": "hour", "minimum": 0, "maximum": 23},
            {"name": "confident", "output": "probabilities", "at_least": 0.5},
        ],
        limit_s=2.5,
        contained=True,
        memory_mb=512,
        stale_s=0,
        explain={"rows": 10, "samples": 64},
    )

    read = Policy.read(said.to_bytes())

    assert compared(said, read) == []
    assert read.guardrails[1] == Guardrail("sane-hour", input="hour", minimum=0, maximum=23)
    assert read.capture == Captured(share=0.25, inputs=False)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"guardrail": []}, "no such setting"),
        ({"capture": {"share": 1.5}}, "serve.capture.share"),
        ({"limit_s": 0}, "serve.limit_s"),
        ({"stale_s": float("nan")}, "serve.stale_s"),
        ({"explain": {"rows": 0}}, "serve.explain.rows"),
        ({"guardrails": [{"name": "Both!", "input": "hour", "minimum": 0}]}, "name"),
        ({"guardrails": [{"name": "a", "input": "hour", "output": "prediction", "minimum": 0}]}, "either an input or"),
        ({"guardrails": [{"name": "a", "minimum": 0}]}, "either an input or an output"),
        ({"guardrails": [{"name": "a", "input": "hour"}]}, "must say minimum, maximum or known"),
        ({"guardrails": [{"name": "a", "input": "hour", "known": True, "minimum": 0}]}, "and nothing else"),
        ({"guardrails": [{"name": "a", "output": "probabilities", "minimum": 0}]}, "must say at_least"),
        ({"guardrails": [{"name": "a", "input": "hour", "minimum": 2, "maximum": 1}]}, "no value lies between"),
        ({"guardrails": [{"name": "a", "input": "hour", "minimum": low} for low in (0, 1)]}, "two rules of one name"),
        ({"guardrails": [{"name": "a", "input": "dest", "known": True}]}, "'dest' is no feature"),
        ({"guardrails": [{"name": "a", "input": "late", "known": True}]}, "'late' is no feature"),
        ({"guardrails": [{"name": "a", "output": "prediction", "minimum": 0}]}, "answers no prediction"),
    ],
)
def test_what_is_wrong_is_said_where_it_is(said: dict[str, object], words: str) -> None:
    with pytest.raises(Rejected, match=words):
        serving(**said)


def test_a_share_is_of_the_ids_and_the_same_id_is_always_in_or_out() -> None:
    ids = [f"late.2013-02-14T05.{number:016x}" for number in range(4000)]
    some, more = (Policy(Captured(share=share)) for share in (0.1, 0.5))

    kept = [one for one in ids if some.captures(one)]

    assert len(kept) / len(ids) == pytest.approx(0.1, abs=0.03)
    assert all(more.captures(one) for one in kept), "a larger share is the same ids and more"
    assert all(Policy().captures(one) for one in ids)
    assert not any(Policy(Captured(share=0.0)).captures(one) for one in ids)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"{}", "bad_record"),
        (b"[]", "bad_record"),
        (b"not JSON", "bad_record"),
        (json.dumps({"schema": 2}).encode(), "unknown_schema"),
        (json.dumps({**json.loads(Serve().to_bytes()), "more": 1}).encode(), "bad_record"),
    ],
)
def test_what_is_no_policy_is_refused(data: bytes, code: str) -> None:
    with pytest.raises(Rejected) as caught:
        Policy.read(data)

    assert caught.value.code == code
