import pytest

from samara import tasks
from samara.errors import Misconfigured


@pytest.mark.parametrize(
    ("environ", "index", "count"),
    [
        ({}, 0, 1),
        ({"TASK_INDEX": "3", "TASK_COUNT": "4"}, 3, 4),
        ({"AWS_BATCH_JOB_ARRAY_INDEX": "1", "TASK_COUNT": "4"}, 1, 4),
        ({"TASK_COUNT": "1"}, 0, 1),
        ({"BATCH_TASK_INDEX": "2", "BATCH_TASK_COUNT": "3"}, 2, 3),
        ({"BATCH_TASK_INDEX": "0", "BATCH_TASK_COUNT": "1", "TASK_COUNT": "1"}, 0, 1),
        ({"TASK_INDEX": "1", "TASK_COUNT": "2", "BATCH_TASK_INDEX": "7", "BATCH_TASK_COUNT": "8"}, 1, 2),
    ],
    ids=[
        "no task",
        "ours",
        "AWS Batch",
        "AWS Batch, no array",
        "Google Batch",
        "Google Batch, no array",
        "one in another",
    ],
)
def test_each_runner_is_understood(environ: dict[str, str], index: int, count: int) -> None:
    assert (tasks.index(environ), tasks.count(environ)) == (index, count)


@pytest.mark.parametrize(
    ("environ", "complaint"),
    [
        ({"TASK_INDEX": "one", "TASK_COUNT": "2"}, "TASK_INDEX: is 'one', which is no number of tasks"),
        ({"AWS_BATCH_JOB_ARRAY_INDEX": "-1"}, "AWS_BATCH_JOB_ARRAY_INDEX: is '-1', which"),
        ({"BATCH_TASK_INDEX": ""}, "BATCH_TASK_INDEX: is '', which"),
        ({"TASK_INDEX": "٣", "TASK_COUNT": "4"}, "TASK_INDEX: is '٣', which"),
        ({"TASK_COUNT": "1.5"}, "TASK_COUNT: is '1.5', which"),
        ({"BATCH_TASK_COUNT": "0"}, "BATCH_TASK_COUNT: is 0, but here runs one"),
        ({"TASK_INDEX": "4", "TASK_COUNT": "4"}, "TASK_INDEX: is 4, but there are 4 tasks, counted from 0"),
        ({"AWS_BATCH_JOB_ARRAY_INDEX": "1"}, "AWS_BATCH_JOB_ARRAY_INDEX: is 1, but there are 1 tasks"),
    ],
)
def test_nonsense_is_named(environ: dict[str, str], complaint: str) -> None:
    with pytest.raises(Misconfigured, match=complaint):
        tasks.index(environ)
