"""Whatever is done in whatever order, a folder answers as a dictionary does."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from samara.errors import SamaraError
from samara.ports import ObjectStore, Version
from samara.providers.local import LocalStore
from samara.providers.memory import MemoryStore

KEYS = st.sampled_from(["a", "b-c", "b.c", "b/c", "b/d/e", "b/d.e", "b0", "ü/ß", "..", "b//c", ""])
DATA = st.sampled_from([b"", b"one", b"two"])


class Twins(RuleBasedStateMachine):
    """The same verbs on a folder and on its model, which must give the same answers and the same refusals."""

    def __init__(self) -> None:
        super().__init__()
        self.home = Path(tempfile.mkdtemp())
        self.folder = LocalStore(self.home / "bucket")
        self.model = MemoryStore()

    def teardown(self) -> None:
        shutil.rmtree(self.home)

    @rule(key=KEYS, data=DATA)
    def create(self, key: str, data: bytes) -> None:
        self.same(lambda store: store.create(key, data))

    @rule(key=KEYS, data=DATA)
    def replace(self, key: str, data: bytes) -> None:
        self.same(lambda store: store.replace(key, data, store.head(key).version))

    @rule(key=KEYS, data=DATA)
    def replace_a_stale_version(self, key: str, data: bytes) -> None:
        self.same(lambda store: store.replace(key, data, Version("stale")))

    @rule(key=KEYS)
    def delete(self, key: str) -> None:
        self.same(lambda store: store.delete(key, store.head(key).version))

    @rule(key=KEYS)
    def delete_a_stale_version(self, key: str) -> None:
        self.same(lambda store: store.delete(key, Version("stale")))

    @rule(key=KEYS)
    def look(self, key: str) -> None:
        self.same(lambda store: store.get(key).data)
        self.same(lambda store: store.head(key).size)

    @rule(
        prefix=st.sampled_from(["", "b", "b/", "b/d", "ü", "../"]), after=st.sampled_from(["", "b.c", "b/d", "b/d/e"])
    )
    def enumerate(self, prefix: str, after: str) -> None:
        self.same(lambda store: list(store.list(prefix, after)))

    @invariant()
    def holds_the_same(self) -> None:
        self.same(lambda store: {key: store.get(key).data for key in store.list("")})

    def same(self, verb: Callable[[ObjectStore], object]) -> None:
        assert outcome(verb, self.folder) == outcome(verb, self.model)


def outcome(verb: Callable[[ObjectStore], object], store: ObjectStore) -> object:
    """What came of it: an answer, or the kind and subject of a refusal."""
    try:
        return verb(store)
    except SamaraError as error:
        return type(error), error.subject


TestTwins = Twins.TestCase
TestTwins.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)
