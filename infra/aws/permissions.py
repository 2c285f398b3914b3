"""The least that each function and job needs, from its catalogue entry: plain values that plain tests can read."""

from infra.aws.place import Statement, allow
from infra.names import needs_jobs
from samara.catalogue import Function, told_of_failures


def permissions(
    function: Function, *, bucket: str, logs: str, default_bus: str, dead: str, queue: str, definition: str
) -> list[Statement]:
    """The least a function needs: its prefixes, its logs, a place for what it gives up, and jobs if it has any."""
    gives_up = (
        allow("GiveUp", ["sqs:SendMessage"], [dead])
        if told_of_failures([function])
        else allow("GiveUp", ["events:PutEvents"], [default_bus])  # the same that carries what reconcile wakes
    )
    submits = [queue, definition, f"{definition}:*"] if function.job else []
    return [
        *objects(bucket, function.reads, function.creates, function.swaps),
        allow("Logs", ["logs:CreateLogStream", "logs:PutLogEvents"], [f"{logs}:*"]),
        gives_up,
        allow("SubmitJobs", ["batch:SubmitJob"], submits),
        # Neither knows resources: AWS takes nothing but `*` for them.
        allow("AskAfterJobs", ["batch:DescribeJobs", "batch:ListJobs"], ["*"] if needs_jobs(function) else []),
    ]


def objects(
    bucket: str, reads: tuple[str, ...], creates: tuple[str, ...], swaps: tuple[str, ...] = ()
) -> list[Statement]:
    """The permissions of `samara.scoped.ScopedStore`, in S3's words.

    Creating is not bound to `s3:if-none-match`, though all of ours are conditional: AWS documents that key for
    policies of buckets, not of roles, and for uploads in parts it does not hold for every request.

    S3 asks for the right to list also to decide whether a missing key is 404 or 403, and says of no prefix then. So
    the condition holds where there is one (`IfExists`): without it every look for what is not there yet would fail.
    """
    seen = tuple(dict.fromkeys((*reads, *swaps)))
    under = [f"{prefix}*" for prefix in seen]
    return [
        allow("Read", ["s3:GetObject"], [f"{bucket}/{one}" for one in under]),
        allow("List", ["s3:ListBucket"], [bucket] if under else [], StringLikeIfExists={"s3:prefix": under}),
        allow("Create", ["s3:PutObject", "s3:AbortMultipartUpload"], [f"{bucket}/{prefix}*" for prefix in creates]),
        allow("Swap", ["s3:PutObject", "s3:DeleteObject"], [f"{bucket}/{prefix}*" for prefix in swaps]),
    ]
