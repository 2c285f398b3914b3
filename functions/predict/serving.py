"""What a warm process keeps: loaded models and the few records that lead to them."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from threading import Lock
from typing import Any, Generic, TypeVar

import numpy as np

from functions.predict.tensors import DTYPES, Array
from samara.core.records import Signature
from samara.errors import Rejected

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Kept(Generic[K, V]):
    """The `most` values used last. A value is made once, however many threads ask for it at the same time."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = Lock()
        self._values: OrderedDict[K, Future[V]] = OrderedDict()

    def get(self, key: K, make: Callable[[], V]) -> V:
        """The value at `key`, made now if it is not there. What fails to be made is not kept."""
        with self._lock:
            future = self._values.get(key)
            mine = future is None
            future = self._values.setdefault(key, Future())
            self._values.move_to_end(key)
            while len(self._values) > self._most:
                self._values.popitem(last=False)
        if mine:
            try:
                future.set_result(make())
            except BaseException as error:
                with self._lock:
                    self._values.pop(key, None)
                future.set_exception(error)
                raise
        return future.result()

    def peek(self, key: K) -> V | None:
        with self._lock:
            future = self._values.get(key)
        return future.result() if future and future.done() and not future.exception() else None

    def put(self, key: K, value: V) -> V:
        """Keep `value` in place of what was there."""
        future: Future[V] = Future()
        future.set_result(value)
        with self._lock:
            self._values[key] = future
            self._values.move_to_end(key)
            while len(self._values) > self._most:
                self._values.popitem(last=False)
        return value


def outputs(loaded: Any, signature: Signature, given: dict[str, Array]) -> dict[str, Array]:
    """What the model answers, every output of its signature. `Rejected` if it answers with something else."""
    names = [tensor.name for tensor in signature.outputs]
    answered = dict(zip(names, loaded.run(names, given), strict=True))
    for tensor in signature.outputs:
        array = answered[tensor.name]
        expected = DTYPES.get(tensor.datatype)
        if not isinstance(array, np.ndarray) or array.dtype != expected:
            why = f"the model does not answer with {tensor.datatype}, as its signature says"
            raise Rejected(tensor.name, why, code="model_failed")
    return answered
