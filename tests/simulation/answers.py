"""What must be true of answers when all is quiet: of predictions, of whole batches, and of what is made of captures."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from samara import loading
from samara.core import keys
from samara.core.records import Capture, Feedback, Scores, Scoring, ShadowReport
from tests.simulation.found import Found
from tests.simulation.people import MODEL, feedback

PATIENT_S = 10.0  # in which the shadow looks at all of an hour


def no_acknowledged_answer_is_lost(found: Found) -> Iterator[str]:
    for prediction, response in found.people.predictions.items():
        capture = found.at(keys.Prediction.parse(prediction).capture)
        if not isinstance(capture, Capture):
            yield f"the prediction {prediction} was answered, and there is no capture"
            continue
        said = {output["name"]: output["data"] for output in json.loads(response.body)["outputs"]}
        if capture.outputs != said or str(capture.version) != response.headers["samara-version"]:
            yield f"the prediction {prediction} was answered otherwise than captured"
    for prediction, words in found.people.truths:
        said_so = found.at(feedback(prediction, words))
        if not isinstance(said_so, Feedback) or said_so.truth != words[-1]:
            yield f"the truth about {prediction} was taken, and is not there"


def no_truth_is_kept_more_often_than_it_was_said(found: Found) -> Iterator[str]:
    for key, truth in found.of(Feedback).items():
        words = found.people.said.get(truth.prediction, ())
        if key not in {feedback(truth.prediction, words[:count]) for count in range(1, len(words) + 1)}:
            yield f"{key} is what nobody said"


def every_batch_asked_about_is_answered_once(found: Found) -> Iterator[str]:
    for said in found.people.scorings:
        key = keys.scoring(MODEL, said["scoring"])
        scoring, scores = found.at(key), found.at(keys.scores(key))
        if not isinstance(scoring, Scoring) or not isinstance(scores, Scores):
            yield f"the scoring {key} was taken on, and came to nothing"
        elif not told_so(said, scoring, scores):
            yield f"the scoring {key} is not as somebody was told: {said}"
    for key, scoring in found.scorings.items():
        scores = found.at(keys.scores(key))
        if isinstance(scores, Scores) and not answers_all(scores, scoring):
            yield f"{keys.scores(key)} is {scores.status}, with {scores.rows} rows and the reason {scores.why!r}"
    for (version, batch), tries in tried(found).items():
        unfailed = [key for key in tries if getattr(found.at(keys.scores(key)), "status", "") != "failed"]
        if len(unfailed) > 1:
            yield f"v{version} answers the batch {batch} {len(unfailed)} times"
        if len({found.scorings[key].plan.after for key in tries}) < len(tries):
            yield f"v{version} was to try the batch {batch} twice after the same failure"


def tried(found: Found) -> dict[tuple[int, str], list[str]]:
    """The scorings of each batch by each version."""
    by_batch = defaultdict(list)
    for key, scoring in found.scorings.items():
        by_batch[scoring.version, scoring.batch].append(key)
    return by_batch


def told_so(said: Mapping[str, Any], scoring: Scoring, scores: Scores) -> bool:
    if (said["version"], said["batch"]) != (scoring.version, scoring.batch):
        return False
    if said["status"] == "submitted":
        return True
    parts = [part["key"] for part in said["parts"]]
    return said["status"] == scores.status and parts == [keys.blob(part.digest) for part in scores.parts]


def answers_all(scores: Scores, scoring: Scoring) -> bool:
    """Whether there is an answer to each row, or a reason why there is none to any."""
    if scores.status == "failed":
        return bool(scores.why) and not scores.parts
    asked = [part.rows for part in scoring.plan.parts if part.rows]
    return [part.rows for part in scores.parts] == asked and scores.rows == sum(asked) and not scores.refused_rows


def every_hour_is_asked_of_the_shadow_once(found: Found) -> Iterator[str]:
    reports, captures = found.of(ShadowReport), found.captures
    for hour, count in Counter(report.hour for report in reports.values()).items():
        if count > 1:
            yield f"the shadow was asked {count} times about {hour}"
    for hour in captures if found.aliases.shadow is not None else ():
        if keys.shadow(MODEL, hour) not in reports:
            yield f"nobody asked the shadow about {hour}"
    for key, report in reports.items():
        if not found.has_stood("shadow", report.version):
            yield f"{key} is what v{report.version} says, which never was the shadow"
        yield from misreported(found, key, report, captures[report.hour])


def misreported(found: Found, key: str, report: ShadowReport, captures: Mapping[str, Capture]) -> Iterator[str]:
    """What a report says that the captures do not. Those written after it cannot be in it."""
    struck, looked_at = datetime.fromisoformat(str(report.noted["at"])), report.captures + report.left_out
    skew_s = found.suite.world.weather.skew_s
    hurried = (found.stored_at(key) - struck).total_seconds() > PATIENT_S - skew_s
    there = sum(found.stored_at(one) < struck - timedelta(seconds=skew_s) for one in captures)
    if not max(1, 0 if hurried else there) <= looked_at <= len(captures):
        yield f"{key} is about {looked_at} captures of {len(captures)}, of which {there} were there"
    others = [one for one in captures.values() if one.status == 200 and one.version != report.version]
    if looked_at == len(captures):
        rows, equal, largest = beside(found, report.version, others)
        if (report.captures, report.rows) != (len(others), rows):
            yield f"{key} is about {report.rows} rows of {report.captures} captures, and it should be {rows}"
        said = report.equal or 0.0, report.largest_difference or 0.0
        if others and not np.allclose(said, (equal, largest), atol=1e-6):
            yield f"{key} says {report.equal} and {report.largest_difference}, and it is {equal} and {largest}"


def beside(found: Found, version: int, captures: Sequence[Capture]) -> tuple[int, float, float]:
    """The rows asked, the share of them with equal labels, and the largest difference between probabilities."""
    session = loading.session(found.app.blob(found.versions[keys.version(MODEL, version)].artifact))
    equal, largest = list[bool](), 0.0
    for capture in captures:
        length = np.array(capture.inputs["length"], dtype=np.float32).reshape(-1, 1)
        label, probabilities = session.run(["label", "probabilities"], {"length": length})
        equal += (label == capture.outputs["label"]).tolist()
        largest = max(largest, np.abs(probabilities.ravel() - capture.outputs["probabilities"]).max())
    return len(equal), sum(equal) / max(len(equal), 1), largest
