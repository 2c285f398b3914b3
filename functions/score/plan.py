"""The job that answers a batch. Pure."""

from samara.core.records import Scoring
from samara.ports import Job

MEMORY_MB = 4096  # the model, some rows, and Parquet's own buffers; the batch may be larger than that
TIME_LIMIT_S = 3600.0


def job(key: str, scoring: Scoring) -> Job:
    """What answers the scoring at `key`. Its name is the scoring's, so it runs once however often it is asked for."""
    return Job(
        name=f"{scoring.model}-{scoring.scoring}",
        module="functions.score.job",
        arguments=(key,),
        time_limit_s=TIME_LIMIT_S,
        memory_mb=MEMORY_MB,
    )
