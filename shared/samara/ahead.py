"""Reading many objects: several at a time where the store is far away, since each of them takes a journey.

A journey to a cloud's store takes some fifteen milliseconds, of which a processor is busy for one or two.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Found = TypeVar("Found")


def ahead(read: Callable[[str], Found], keys: Iterable[str], at_once: int) -> Iterator[tuple[str, Found]]:
    """What `read` finds at each of these keys, in their order. Up to `at_once` are read at a time, by as many threads.

    No more than those is held, and whoever stops listening has had little read in vain. An error is raised where the
    key that has it comes.
    """
    if at_once == 1:
        for key in keys:
            yield key, read(key)
        return
    under_way: deque[tuple[str, Future[Found]]] = deque()
    with ThreadPoolExecutor(at_once, "samara-ahead") as pool:
        try:
            for key in keys:
                under_way.append((key, pool.submit(read, key)))
                if len(under_way) == at_once:
                    yield finished(under_way.popleft())
            while under_way:
                yield finished(under_way.popleft())
        finally:
            for _, future in under_way:
                future.cancel()


def finished(one: tuple[str, Future[Found]]) -> tuple[str, Found]:
    key, future = one
    return key, future.result()
