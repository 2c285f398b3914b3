"""Errors say what to do about them, in this process and in the next."""

import pickle

import pytest

from samara.errors import Conflict, NotFound, Rejected, SamaraError, Unavailable, Unknown


@pytest.mark.parametrize("error", [NotFound("a"), Conflict("a", "why"), Unknown("a"), Rejected("a", code="bad_key")])
def test_an_error_is_the_same_in_another_process(error: SamaraError) -> None:
    there = pickle.loads(pickle.dumps(error))  # noqa: S301  # what multiprocessing does with errors

    assert (type(there), str(there), vars(there)) == (type(error), str(error), vars(error))


def test_an_unknown_write_is_tried_again_like_anything_unavailable() -> None:
    assert issubclass(Unknown, Unavailable)
    assert str(Unknown("aliases/late.json")).startswith("aliases/late.json: no answer came")
