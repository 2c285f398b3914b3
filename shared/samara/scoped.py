"""The store as one function may use it: exactly what its catalogue entry says, here as in the cloud."""

from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from samara.errors import Misconfigured
from samara.ports import Meta, Object, ObjectStore, Version


class ScopedStore(NamedTuple):
    """Refuses, before the store is asked, what `who` has no permission for."""

    store: ObjectStore
    who: str
    reads: tuple[str, ...]
    creates: tuple[str, ...]
    swaps: tuple[str, ...]

    def get(self, key: str) -> Object:
        self._permit("read", key, self.reads + self.swaps)
        return self.store.get(key)

    def head(self, key: str) -> Meta:
        self._permit("read", key, self.reads + self.swaps)
        return self.store.head(key)

    def part(self, key: str, start: int, size: int) -> Object:
        self._permit("read", key, self.reads + self.swaps)
        return self.store.part(key, start, size)

    def list(self, prefix: str, after: str = "") -> Iterator[str]:
        self._permit("list", prefix, self.reads + self.swaps)
        return self.store.list(prefix, after)

    def open(self, key: str) -> BinaryIO:
        self._permit("read", key, self.reads + self.swaps)
        return self.store.open(key)

    def create(self, key: str, data: bytes) -> Version:
        self._permit("create", key, self.creates + self.swaps)
        return self.store.create(key, data)

    def create_from(self, key: str, source: BinaryIO) -> Version:
        self._permit("create", key, self.creates + self.swaps)
        return self.store.create_from(key, source)

    def replace(self, key: str, data: bytes, version: Version) -> Version:
        self._permit("swap", key, self.swaps)
        return self.store.replace(key, data, version)

    def delete(self, key: str, version: Version) -> None:
        self._permit("delete", key, self.swaps)
        self.store.delete(key, version)

    def _permit(self, verb: str, key: str, prefixes: tuple[str, ...]) -> None:
        if not key.startswith(prefixes or ("\0",)):
            allowed = ", ".join(prefixes) or "nothing"
            why = f"{self.who} may not {verb} this; its catalogue entry lets it {verb} {allowed}"
            raise Misconfigured(key, why)
