"""The benchmark itself: it counts right answers only, says who failed and why, and its report has the figures."""

from array import array
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from tests.benchmarks.predict.__main__ import Plan, run
from tests.benchmarks.predict.contenders import CONTENDERS, Contender, Place
from tests.benchmarks.predict.dialects import DIALECTS, Dialect, Wrong
from tests.benchmarks.predict.goals import goals
from tests.benchmarks.predict.report import markdown, printed

HERE = {one.name: replace(one, environment="") for one in CONTENDERS}  # nothing is installed for a test
BINARY, SAMARA = HERE["samara-binary"], HERE["samara"]


def broken(place: Place) -> tuple[list[str], dict[str, str]]:
    return [str(place.python), "-c", "raise SystemExit('the model is gone')"], {}


def test_a_round_measures_who_answers_and_says_who_does_not(tmp_path: Path) -> None:
    absent = Contender("ray", "a server that does not start", "", broken, patience_s=10)
    plan = Plan((BINARY, SAMARA, absent), ("servers",), rounds=1, seconds=0.1, folder=tmp_path)

    said = run(plan, lambda *_: None)

    seen = said["servers"][0]
    assert seen["samara-binary"].get("many_answers"), seen["samara-binary"]
    assert seen["samara"].get("many_answers"), seen["samara"]
    assert not seen["samara-binary"]["many_failures"] + seen["samara"]["many_failures"]
    assert "the model is gone" in seen["ray"]["log"]
    page = markdown(said)
    assert SAMARA.what in page
    assert BINARY.what in page
    assert "FAILED" in page
    printed(said, Console(quiet=True))
    over_ray = next(goal for goal in goals(said) if "ray" in goal.what)
    assert over_ray.met is None, "a goal whose peer failed is neither met nor missed"


def test_what_is_no_number_is_no_answer() -> None:
    body = b'{"outputs":[{"name":"probabilities"}]}'
    head = b"\r\ninference-header-content-length:%d" % len(body)
    halves = array("f", [0.5, float("nan")]).tobytes()

    with pytest.raises(Wrong):
        DIALECTS["v2 binary"].check(200, head, body + halves, [0.5, 0.5])


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
@pytest.mark.parametrize(
    ("status", "body"),
    [(500, b"{}"), (200, b""), (200, b"[]"), (200, b"[[0.5, 0.6]]"), (200, b'{"outputs": []}'), (200, b"[[0.1]]")],
)
def test_only_the_right_numbers_count_as_an_answer(dialect: Dialect, status: int, body: bytes) -> None:
    with pytest.raises(Wrong):
        dialect.check(status, b"", body, [0.5, 0.5])
