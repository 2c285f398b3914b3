"""Mistakes in how questions are answered: one at a time, by the batch, by a shadow; and in what is told of failures."""

from collections.abc import Iterable, Iterator
from typing import Any

from functions.drift import handler as drift
from functions.feedback import handler as feedback
from functions.predict import capturing, ticks
from functions.predict import handler as predict
from functions.reconcile import rules
from functions.score import handler as score
from functions.score import job
from samara import captures
from samara.app import App
from samara.core import keys, windows
from samara.core.aliases import Aliases
from samara.core.digests import short
from samara.core.records import DriftReport, ScoringPlan, last_words
from samara.entry import on_object_created
from samara.errors import SamaraError
from tests.simulation.tampered import (
    Patch,
    Putting,
    Spelled,
    last,
    named_at_random,
    nothing,
    submitted_at_random,
    whoever_runs,
)


def capture_after_the_response() -> Iterator[Patch]:
    """Who is killed between answer and capture has answered and left no trace."""
    real = capturing.captured

    def captured(works: Any, app: App) -> None:
        store = Putting(app.store, keys.CAPTURES)
        real(works, app._replace(store=store))
        whoever_runs().afterwards.append(store.catch_up)

    yield predict, "captured", captured


def capture_as_best_effort() -> Iterator[Patch]:
    """A capture that cannot be written is let go for the sake of the answer."""
    keep, keep_named = capturing.keep, capturing.keep_named

    def kept(works: Any, app: App) -> None:
        before = [work.error for work in works]
        keep(works, app)
        for work, error in zip(works, before, strict=True):
            work.error, work.capture = error, work.capture or "nowhere"

    def kept_named(work: Any, app: App) -> None:
        keep_named(work, app)
        work.error, work.capture = None, work.capture or "nowhere"

    yield capturing, "keep", kept
    yield capturing, "keep_named", kept_named


def truth_as_best_effort() -> Iterator[Patch]:
    """A truth that cannot be written is taken all the same."""
    real = feedback.created

    def created(*given: Any) -> bool:
        try:
            return real(*given)
        except SamaraError:
            return True

    yield feedback, "created", created


def truth_kept_once() -> Iterator[Patch]:
    """Who takes back a correction is told that this was taken, and the correction stands."""
    real = feedback.created
    yield feedback, "created", lambda *given: real(*given) or True


def scoring_named_at_random() -> Iterator[Patch]:
    """Two who ask for the same batch have it answered twice."""
    yield named_at_random(ScoringPlan, "scoring")


def scoring_job_named_at_random() -> Iterator[Patch]:
    """A scoring whose notification comes twice is two jobs."""
    yield submitted_at_random(score)


def scoring_claimed_after_the_job() -> Iterator[Patch]:
    """A job answers a batch that nobody has claimed, and could end unseen."""
    yield score, "handler", on_object_created(last(score.run, keys.JOBS))


def scorings_not_reconciled() -> Iterator[Patch]:
    """A scoring whose notification is lost, or whose job died, never comes to anything."""
    yield rules, "unanswered", nothing


def scores_before_the_answers() -> Iterator[Patch]:
    """A job that dies between the scores and the answers has left scores that name what is not there."""
    yield job, "run", last(job.run, keys.BLOBS)


def drift_counts_a_row_too_many() -> Iterator[Patch]:
    """A report is about fewer rows than it says."""
    yield drift, "DriftReport", lambda **said: DriftReport(**{**said, "rows": said["rows"] + 1})


def drift_counts_a_capture_twice() -> Iterator[Patch]:
    """The first capture of a window is measured again with the others."""
    real = captures.each

    def each(app: App, asked: Iterable[str]) -> Iterator[Any]:
        found = list(real(app, asked))
        yield from (*found[:1], *found)

    yield captures, "each", each


def first_truth_counts() -> Iterator[Patch]:
    """Who corrects a truth is not heard: what was said first is what the answers are judged by."""
    yield captures, "last_words", lambda truths: last_words(truths[::-1])


def drift_episode_named_by_time() -> Iterator[Patch]:
    """Each tick measures the same window again under another name, and each may lead to a training."""
    yield drift, "keys", Spelled(drift=lambda model, _: keys.drift(model, windows.window(now(), "hour")))


def shadow_report_named_by_time() -> Iterator[Patch]:
    """Each tick asks the shadow about the same hour again, and writes that down under another name."""
    yield ticks, "keys", Spelled(shadow=lambda model, _: keys.shadow(model, windows.hour(now())))


def shadow_asked_about_the_last_hour_only() -> Iterator[Patch]:
    """An hour whose tick failed is never asked about."""
    yield ticks, "LOOKBACK", 1


def shadow_put_out_by_a_new_version() -> Iterator[Patch]:
    """Whoever becomes champion takes the shadow away, and nobody said so."""
    real = Aliases.moved
    yield Aliases, "moved", lambda head, **named: real(head.model_copy(update={"shadow": None}), **named)


def shares_outlive_their_champion() -> Iterator[Patch]:
    """A new champion gets no requests, for they are still shared among those before it."""
    real = Aliases.moved
    yield Aliases, "moved", lambda head, **named: real(head, **{"weights": head.weights, **named})


def alert_named_by_its_kind() -> Iterator[Patch]:
    """Of two events that the same function could not do, people hear of the first only."""
    yield keys, "alert", lambda _, what: f"{keys.ALERTS}{short(what)}.json"


def now() -> Any:
    return whoever_runs().world.at
