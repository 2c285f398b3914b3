"""Which task of its job this process is. Each runner says so in words of its own; programs ask here."""

import os
from collections.abc import Mapping

from samara.errors import Misconfigured

INDEX = ("TASK_INDEX", "AWS_BATCH_JOB_ARRAY_INDEX", "BATCH_TASK_INDEX")  # ours, AWS Batch's, Google Batch's
COUNT = ("TASK_COUNT", "BATCH_TASK_COUNT")  # AWS Batch tells no count, so every runner of ours does


def index(environ: Mapping[str, str] = os.environ) -> int:
    """The number of this task among all of them, from 0; 0 also for a process that is no task.

    >>> index({"AWS_BATCH_JOB_ARRAY_INDEX": "2", "TASK_COUNT": "4"}), index({})
    (2, 0)
    """
    found, tasks = number(INDEX, environ, 0), count(environ)
    if found < tasks:
        return found
    name = next(name for name in INDEX if name in environ)
    raise Misconfigured(name, f"is {found}, but there are {tasks} tasks, counted from 0; set TASK_COUNT")


def count(environ: Mapping[str, str] = os.environ) -> int:
    """How many tasks the job has; 1 also for a process that is no task."""
    found = number(COUNT, environ, 1)
    if found:
        return found
    raise Misconfigured(next(name for name in COUNT if name in environ), "is 0, but here runs one")


def number(names: tuple[str, ...], environ: Mapping[str, str], otherwise: int) -> int:
    """What the first of these variables that is there says."""
    for name in names:
        if name in environ:
            said = environ[name]
            if not (said.isascii() and said.isdigit()):
                raise Misconfigured(name, f"is {said[:40]!r}, which is no number of tasks")
            return int(said)
    return otherwise
