"""Every function, in the order data meets it. What is not written here is not permitted.

Read it from top to bottom and you have followed a file from its upload to a prediction, and a prediction back
to the next training.
"""

from samara.catalogue import Created, Every, Failed, Function, Http, JobSpec

# fmt: off
CATALOGUE = (
    Function(
        "ingest",
        on=(Created("landing/"),),
        does="turns an uploaded file into a batch",
        reads=("landing/", "datasets/", "quarantine/", "receipts/"),
        creates=("blobs/", "datasets/", "quarantine/", "receipts/"),
        memory_mb=1024,
        timeout_s=900,
        zip_mb=55,
    ),
    Function(
        "validate",
        on=(Created("datasets/"),),
        does="measures a batch against its contract",
        reads=("datasets/", "blobs/", "config/contracts/", "validations/", "quarantine/"),
        creates=("blobs/", "validations/", "quarantine/", "alerts/"),
        memory_mb=1024,
        timeout_s=900,
        zip_mb=70,
        modules=1000,
    ),
    Function(
        "train",
        on=(Created("validations/"), Created("drift/"), Http("/train", methods=("POST",))),
        does="decides whether to train, pins the plan, submits the job",
        reads=(
            "validations/", "datasets/", "drift/", "decisions/", "runs/", "jobs/", "results/", "models/", "aliases/",
            "config/", "blobs/",
        ),
        creates=("decisions/", "runs/", "jobs/"),
        timeout_s=120,
        job=JobSpec(
            module="functions.train.job",
            reads=("runs/", "models/", "blobs/", "results/"),
            creates=("blobs/", "results/"),
            memory_mb=8192,
            time_limit_s=3600,
        ),
    ),
    Function(
        "register",
        on=(Created("results/"),),
        does="puts a model through its gates and moves the aliases",
        reads=("results/", "runs/", "models/", "aliases/", "validations/", "datasets/", "blobs/"),
        creates=("models/", "blobs/", "alerts/"),
        swaps=("aliases/",),
        memory_mb=1024,
        timeout_s=300,
        zip_mb=90,
        modules=1100,
    ),
    Function(
        "predict",
        on=(Http("/v2", methods=("GET", "POST")), Every("hour")),
        does="answers by Open Inference Protocol v2 and captures each answer",
        reads=(
            "aliases/", "models/", "blobs/", "captures/", "feedback/", "shadows/", "config/models/", "validations/",
            "datasets/", "scorings/", "scores/",
        ),
        creates=("captures/", "shadows/", "scorings/", "alerts/"),
        memory_mb=1024,
        timeout_s=30,
        zip_mb=60,
        modules=1000,
        lean=True,
    ),
    Function(
        "score",
        on=(Created("scorings/"),),
        does="submits the job that answers a whole batch",
        reads=("scorings/", "jobs/", "scores/"),
        creates=("jobs/",),
        job=JobSpec(
            module="functions.score.job",
            reads=("scorings/", "blobs/", "scores/"),
            creates=("blobs/", "scores/"),
            memory_mb=4096,
            time_limit_s=3600,
        ),
    ),
    Function(
        "feedback",
        on=(Http("/feedback", methods=("POST",)),),
        does="takes the truth about a prediction",
        reads=("captures/", "feedback/"),
        creates=("feedback/",),
        timeout_s=30,
    ),
    Function(
        "drift",
        on=(Every("hour"),),
        does="compares each closed window of captures with the training profile",
        reads=("aliases/", "models/", "captures/", "feedback/", "drift/", "blobs/", "runs/", "config/models/"),
        creates=("blobs/", "drift/", "alerts/"),
        memory_mb=1024,
        timeout_s=900,
        zip_mb=35,
        modules=1000,
    ),
    Function(
        "reconcile",
        on=(Every("minute", billed="quarter"),),
        does="finds what has no successor and wakes the function that should have made it",
        reads=(
            "landing/", "receipts/", "datasets/", "validations/", "decisions/", "runs/", "jobs/", "results/",
            "models/", "aliases/", "drift/", "scorings/", "scores/", "config/models/", "blobs/",
        ),
        creates=("results/", "scores/", "alerts/"),
        timeout_s=300,
    ),
    Function(
        "deadletter",
        on=(Failed(),),
        does="tells people what could not be done",
        creates=("alerts/",),
    ),
    Function(
        "dashboard",
        on=(Http("/"),),
        does="shows a page for each model",
        reads=(
            "landing/", "datasets/", "validations/", "quarantine/", "decisions/", "runs/", "jobs/", "results/",
            "models/", "aliases/", "captures/", "feedback/", "drift/", "scorings/", "scores/", "shadows/", "alerts/",
            "config/", "blobs/",
        ),
        timeout_s=30,
    ),
)
