"""What a warm process keeps: the values used last, each made once. Pure."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Kept(Generic[K, V]):
    """The values used last, as many as weigh `most` together. A value is made once, however many threads ask.

    What a value weighs does not change.
    """

    def __init__(self, most: float, weigh: Callable[[V], float] = lambda _: 1) -> None:
        self._most = most
        self._weigh = weigh
        self._lock = Lock()
        self._values: OrderedDict[K, V] = OrderedDict()
        self._weight: float = 0
        self._making: dict[K, list[Future[V]]] = {}  # who waits for what is being made

    def get(self, key: K, make: Callable[[], V]) -> V:
        """The value at `key`, made now if it is not there. What fails to be made is not kept."""
        found = self.used(key)
        if found is not None:
            return found
        with self._lock:
            found = self._values.get(key)
            if found is not None:  # made a moment ago
                return found
            waits = key in self._making
            waiting = self._making.setdefault(key, [])
            if waits:
                from concurrent.futures import Future  # noqa: PLC0415  # nobody waits at a start

                waiting.append(answer := Future[V]())
        if waits:
            return answer.result()
        try:
            value = self.put(key, make())
        except BaseException as error:
            for other in self._made(key):
                other.set_exception(error)
            raise
        for other in self._made(key):
            other.set_result(value)
        return value

    def _made(self, key: K) -> "list[Future[V]]":
        """Those who have waited for it. Nobody will any more."""
        with self._lock:
            return self._making.pop(key)

    def used(self, key: K) -> V | None:
        """The value at `key` if it is there by now, which counts as using it."""
        found = self._values.get(key)
        if found is not None:
            try:  # noqa: SIM105  # this is on the way of each request, and a context takes longer than all else here
                self._values.move_to_end(key)
            except KeyError:  # somebody has just let go of it
                pass
        return found

    def peek(self, key: K) -> V | None:
        """The value at `key` if it is there by now. Looking does not count as using it."""
        return self._values.get(key)

    def put(self, key: K, value: V) -> V:
        """Keep `value` in place of what was there, and let go of what was not used for longest.

        Who still works with that keeps it alive. The newest always stays.
        """
        with self._lock:
            before = self._values.get(key)
            self._values[key] = value
            self._values.move_to_end(key)
            self._weight += self._weigh(value) - (0 if before is None else self._weigh(before))
            while self._weight > self._most and len(self._values) > 1:
                self._weight -= self._weigh(self._values.popitem(last=False)[1])
        return value
