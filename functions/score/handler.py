"""Score: hand a batch that a model is to answer to the batch service.

Wakes on  scorings/{model}/{scoring}.json, written when somebody asks `predict` for it
Reads     the scoring, and whether it has been answered
Writes    jobs/{model}/{scoring}/submission.json, once it is claimed
     then the job writes scores/{model}/{scoring}.json

Delivered twice, it submits the same job, which runs once. What has its scores is left alone.
"""

from functions.score.plan import job
from samara.app import App
from samara.core import keys
from samara.core.records import Scores, Scoring, Submission
from samara.entry import on_object_created
from samara.events import ObjectCreated


def run(event: ObjectCreated, app: App) -> Submission | None:
    """The claim of whoever submits it first; None when there is nothing to submit."""
    scoring = app.find(Scoring, event.key)
    if scoring is None or app.find(Scores, keys.scores(event.key)):
        return None

    wanted = job(event.key, scoring)
    claim = Submission(
        made_by=app.maker,
        made_from=(scoring.link(event.key),),
        model=scoring.model,
        run=scoring.scoring,
        noted={"handle": wanted.name, "at": event.at.isoformat(), "time_limit_s": wanted.time_limit_s},
    )

    claim = app.write(keys.submission(event.key), claim)  # before the job, for one nobody claimed could end unseen
    app.jobs.submit(wanted)
    return claim


handler = on_object_created(run)
