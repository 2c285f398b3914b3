"""What must be true of drift when all is quiet: what a report counts, how good it says the answers were, and what
became of it.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta
from math import isclose
from typing import Any

from samara.core import keys
from samara.core.records import Capture, Decision, DriftReport, Feedback
from samara.core.windows import Window
from tests.simulation.found import Found
from tests.simulation.leaves import Truth
from tests.simulation.people import MODEL, feedback, published


def every_drift_leads_to_one_training_or_a_reason(found: Found) -> Iterator[str]:
    for window, count in Counter(report.window for report in found.drift.values()).items():
        if count > 1:
            yield f"the window {window} was measured {count} times"
    for window in found.captures:
        if keys.drift(MODEL, Window(window)) not in found.drift and found.aliases.champion is not None:
            yield f"nobody measured the window {window}"
    for key, report in found.drift.items():
        decision = found.decisions.get(keys.decision(MODEL, key))
        if decision is None:
            yield f"nobody decided about the drift report {key}"
        elif report.verdict == "drifted" and decision.plan is None and not excused(found, decision):
            yield f"{key} drifted and led to nothing: {decision.why}"
        elif report.verdict != "drifted" and decision.plan is not None:
            yield f"{key} has not drifted, and led to a training"


def excused(found: Found, decision: Decision) -> bool:
    """Whether the reason why there was no training is true."""
    window = Window(keys.stem(decision.cause))
    named = [other for other in trained(found) if other.name in decision.why]
    if "cooling down" in decision.why:
        return any(other in cooling(window) for other in named)
    if "came late" in decision.why:
        return any(other.start > window.start for other in named)
    return any(spent(found, decision, key) for key, run in found.runs.items() if f"run {run.run} " in decision.why)


def spent(found: Found, decision: Decision, run_key: str) -> bool:
    """Whether a run had trained on all there was, was about to, or had said why it cannot, when it was decided so."""
    result = found.results.get(keys.result(run_key))
    failed = result is not None and result.status == "failed"
    if "failed on all there is" in decision.why:
        return failed and result is not None and result.made_by.function != "reconcile"
    known = failed and found.stored_at(keys.result(run_key)) < found.stored_at(decision.cause)
    return "has trained on all there is" in decision.why and not known


def trained(found: Found) -> dict[Window, datetime]:
    """The windows whose drift led to a training, and when that was decided."""
    return {
        Window(keys.stem(decision.cause)): found.stored_at(key)
        for key, decision in found.decisions.items()
        if decision.plan and decision.cause.startswith(keys.DRIFT)
    }


def cooling(window: Window) -> list[Window]:
    """Those before a window whose training keeps this one from starting another."""
    before = [window]
    for _ in range(published().definitions[MODEL][0].drift.cooldown):
        before.append(before[-1].previous)
    return before[1:]


def a_training_cools_down(found: Found) -> Iterator[str]:
    """None for the next windows, however late they are measured, and none for a window that was measured only when
    the training for a later one had been decided on."""
    windows = trained(found)
    for window in windows:
        reported = found.stored_at(keys.drift(MODEL, window))
        for other, decided in windows.items():
            if other in cooling(window) or (other.start > window.start and decided < reported):
                yield f"the window {window.name} led to a training, and so did {other.name}"


def a_training_waits_for_what_is_decided_about_earlier_windows(found: Found) -> Iterator[str]:
    """For each that could keep it from starting, and was measured before."""
    for window, decided in trained(found).items():
        reported = found.stored_at(keys.drift(MODEL, window))
        for key in (keys.drift(MODEL, other) for other in cooling(window)):
            decision = keys.decision(MODEL, key)
            last = decision in found.decisions and found.stored_at(decision) > decided
            if last and found.stored_at(key) < reported:
                yield f"the window {window.name} led to a training before anybody had decided about {key}"


def every_report_counts_what_it_lists(found: Found) -> Iterator[str]:
    """Answers of its version in its window, each of them once, and as many rows as these have."""
    for key, report in found.drift.items():
        listed, theirs = lines(found, report), answered(found, report.window)[report.version]
        if len(set(listed)) < len(listed) or not set(listed) <= theirs.keys():
            yield f"{key} lists {listed}, and v{report.version} answered {sorted(theirs)}"
        rows = sum(capture.rows for capture in measured(found, report))
        if {report.rows, *(column.rows for column in report.columns)} != {rows} or report.unreadable:
            yield f"{key} counts {report.rows} rows, {report.unreadable} unreadable, and it lists {rows}"


def every_report_is_about_who_answered_most(found: Found) -> Iterator[str]:
    """And about all that it answered, unless that was written after the tick. Of equals it is the latest version."""
    for key, report in found.drift.items():
        rows = sum(capture.rows for capture in measured(found, report))
        for version, theirs in answered(found, report.window).items():
            there = sum(capture.rows for one, capture in theirs.items() if was_there(found, one.split()[0], report))
            if (there, version) > (rows, report.version):
                yield f"{key} is about {rows} rows of v{report.version}, and v{version} had answered {there}"


def the_last_word_counts(found: Found) -> Iterator[str]:
    """How good the answers were is judged by what people said last of each row, where all was said before the tick."""
    said = found.of(Feedback)
    for key, report in found.drift.items():
        captures = measured(found, report)
        predictions = {capture.prediction for capture in captures}
        if not all(was_there(found, one, report) for one, word in said.items() if word.prediction in predictions):
            continue
        right = [outcome for capture in captures for outcome in outcomes(found, capture)]
        accuracy = report.performance.get("accuracy", 0.0)
        if report.labelled_rows != len(right) or (right and not isclose(accuracy, sum(right) / len(right))):
            yield f"{key} says {accuracy} of {report.labelled_rows} rows, and {sum(right)} of {len(right)} were right"


def outcomes(found: Found, capture: Capture) -> list[bool]:
    """Of each row whose truth is known, whether the answer was right."""
    labels: Any = capture.outputs["label"]
    truths = last_word(found, capture.prediction)
    return [bool(labels[row]) == true for row, true in enumerate(truths) if true is not None]


def last_word(found: Found, prediction: str) -> Truth:
    """Row by row the last of what was said about a prediction, and was taken."""
    known: dict[int, bool | None] = {}
    words = found.people.said.get(prediction, ())
    for count, word in enumerate(words, start=1):
        if feedback(prediction, words[:count]) in found.records:
            known |= {row: value for row, value in enumerate(word) if value is not None or row not in known}
    return tuple(known.values())


def measured(found: Found, report: DriftReport) -> list[Capture]:
    """The captures that a report is about."""
    listed = lines(found, report)
    return [capture for one, capture in answered(found, report.window)[report.version].items() if one in listed]


def lines(found: Found, report: DriftReport) -> list[str]:
    """How a report lists the captures it is about: each by its key and its digest."""
    return found.app.blob(report.captures).decode().splitlines() if report.captures else []


def answered(found: Found, window: str) -> dict[int, dict[str, Capture]]:
    """What each version answered in a window, as reports list it."""
    by_version: dict[int, dict[str, Capture]] = defaultdict(dict)
    for key, capture in found.captures.get(window, {}).items():
        if capture.status == 200 and capture.version is not None:
            by_version[capture.version][f"{key} {capture.digest}"] = capture
    return by_version


def was_there(found: Found, key: str, report: DriftReport) -> bool:
    """Whether an object had certainly been written when a report's tick came, by a clock that may go wrong."""
    struck = datetime.fromisoformat(str(report.noted["at"]))
    return found.stored_at(key) < struck - timedelta(seconds=found.suite.world.weather.skew_s)
