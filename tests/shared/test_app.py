"""The few verbs that handlers read and write by: written twice is written once, and what was altered is refused."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from samara import app as apps
from samara.app import App
from samara.core import keys
from samara.core.aliases import Aliases
from samara.core.digests import digest
from samara.core.heads import REMEMBERED
from samara.core.records import Alert
from samara.core.sealed import Maker
from samara.errors import Conflict, NotFound, Rejected, SamaraError, Unavailable, Unknown
from samara.ports import Object, ObjectStore, Version
from samara.providers.memory import MemoryStore
from tests.conftest import NOON

HEAD = "aliases/late.json"
MAKER = Maker(function="test", code="0" * 64)


def an_alert(why: str) -> Alert:
    return Alert(made_by=MAKER, subject="late", what="no champion", why=why)


def moved_by(cause: str) -> Callable[[Aliases], Aliases]:
    return lambda now: now.moved(champion=len(now.moves) + 1, challenger=None, at=NOON, cause=cause)


def test_what_was_written_is_read(whole: App) -> None:
    whole.write("alerts/a.json", an_alert("first"))

    assert whole.read(Alert, "alerts/a.json") == an_alert("first")
    assert whole.find(Alert, "alerts/a.json") == an_alert("first")


def test_whoever_writes_second_goes_on_with_the_first(whole: App, store: MemoryStore) -> None:
    whole.write("alerts/a.json", an_alert("first"))
    before = store.get("alerts/a.json")

    given = whole.write("alerts/a.json", an_alert("second"))

    assert given == an_alert("first")
    assert store.get("alerts/a.json") == before


def test_what_is_not_there_is_told_from_what_is(whole: App) -> None:
    assert whole.find(Alert, "alerts/a.json") is None
    assert whole.find_head(Aliases, HEAD) is None
    with pytest.raises(NotFound, match=r"alerts/a\.json"):
        whole.read(Alert, "alerts/a.json")


def test_an_altered_record_is_refused(whole: App, store: MemoryStore) -> None:
    whole.write("alerts/a.json", an_alert("the truth"))

    alter(store, "alerts/a.json", b"the truth", b"no matter")

    with pytest.raises(Rejected, match=r"alerts/a\.json: altered since it was written") as refusal:
        whole.read(Alert, "alerts/a.json")
    assert refusal.value.code == "altered"


def test_whoever_writes_over_an_altered_record_hears_of_it(whole: App, store: MemoryStore) -> None:
    whole.write("alerts/a.json", an_alert("the truth"))
    alter(store, "alerts/a.json", b"the truth", b"no matter")

    with pytest.raises(Rejected, match="altered"):
        whole.write("alerts/a.json", an_alert("the truth"))


def test_a_payload_is_kept_under_its_digest_once(whole: App, store: MemoryStore, tmp_path: Path) -> None:
    (tmp_path / "same").write_bytes(b"payload")

    names = {whole.keep(b"payload"), whole.keep(b"payload"), whole.keep_file(tmp_path / "same")}

    assert names == {digest(b"payload")}
    assert list(store.list("")) == [f"blobs/sha256/{digest(b'payload')}"]
    assert whole.blob(digest(b"payload")) == b"payload"
    with whole.fetched(digest(b"payload")) as path:
        assert path.read_bytes() == b"payload"
    assert not path.exists()


def test_an_altered_payload_is_refused(whole: App, store: MemoryStore) -> None:
    name = whole.keep(b"payload")

    alter(store, keys.blob(name), b"payload", b"poison!")

    with pytest.raises(Rejected, match="altered"):
        whole.blob(name)
    with pytest.raises(Rejected, match="altered"), whole.fetched(name):
        pytest.fail("nobody gets to see it")


def test_an_alert_is_raised_once(whole: App, store: MemoryStore) -> None:
    whole.alert("late", "no champion", "for the first time", NOON)
    whole.alert("late", "no champion", "for the second time", NOON)

    (key,) = store.list("alerts/")
    assert whole.read(Alert, key).why == "for the first time"


def test_a_head_is_made_and_then_moved(whole: App) -> None:
    first = whole.swap(Aliases, HEAD, moved_by("one"))
    second = whole.swap(Aliases, HEAD, moved_by("two"))

    assert [move.cause for move in second.moves] == ["one", "two"]
    assert whole.find_head(Aliases, HEAD) == second
    assert first.write_id != second.write_id


def test_a_change_that_changes_nothing_writes_nothing(whole: App, store: MemoryStore) -> None:
    unmade = whole.swap(Aliases, HEAD, lambda now: now)
    assert list(store.list("")) == []

    whole.swap(Aliases, HEAD, moved_by("one"))
    before = store.get(HEAD)
    after = whole.swap(Aliases, HEAD, lambda now: now)

    assert unmade == Aliases()
    assert store.get(HEAD) == before
    assert after.moves[0].cause == "one"


def test_whoever_loses_a_race_decides_again_on_what_the_winner_wrote(whole: App) -> None:
    whole.swap(Aliases, HEAD, moved_by("one"))
    rivals = iter(["two"])

    def change(now: Aliases) -> Aliases:
        for rival in rivals:
            whole.swap(Aliases, HEAD, moved_by(rival))
        return moved_by("three")(now)

    after = whole.swap(Aliases, HEAD, change)

    assert [move.cause for move in after.moves] == ["one", "two", "three"]


def test_two_who_make_the_first_head_at_once_both_get_their_way(whole: App) -> None:
    rivals = iter(["one"])

    def change(now: Aliases) -> Aliases:
        for rival in rivals:
            whole.swap(Aliases, HEAD, moved_by(rival))
        return moved_by("two")(now)

    after = whole.swap(Aliases, HEAD, change)

    assert [move.cause for move in after.moves] == ["one", "two"]


@dataclass
class Unreliable(MemoryStore):
    """A store that fails some of its writes: before they happen, or after, when only the answer gets lost.

    `faults` holds one error for each of the next writes, or None for a write that goes well.
    """

    faults: list[SamaraError | None] = field(default_factory=list)
    commits: bool = True
    writes: int = 0

    def __post_init__(self) -> None:
        super().__init__()

    def create(self, key: str, data: bytes) -> Version:
        return self._faulty(lambda: super(Unreliable, self).create(key, data))

    def replace(self, key: str, data: bytes, version: Version) -> Version:
        return self._faulty(lambda: super(Unreliable, self).replace(key, data, version))

    def _faulty(self, write: Callable[[], Version]) -> Version:
        self.writes += 1
        fault = self.faults.pop(0) if self.faults else None
        if fault is None:
            return write()
        if self.commits:
            write()
        raise fault


def over(store: ObjectStore, whole: App) -> App:
    return whole._replace(store=store)


LOST = {"as a conflict": Conflict(HEAD), "as a failure": Unavailable(HEAD)}


@pytest.mark.parametrize("lost", LOST.values(), ids=LOST)
def test_a_write_whose_answer_was_lost_is_recognised_as_ours(whole: App, lost: SamaraError) -> None:
    store = Unreliable(faults=[lost, lost])
    app = over(store, whole)

    app.swap(Aliases, HEAD, moved_by("one"))
    after = app.swap(Aliases, HEAD, moved_by("two"))

    assert [move.cause for move in after.moves] == ["one", "two"], "neither was repeated"
    assert app.find_head(Aliases, HEAD) == after
    assert store.writes == 2


def test_a_write_that_failed_before_it_happened_is_tried_again(whole: App) -> None:
    store = Unreliable(faults=[Unavailable(HEAD), None, Unavailable(HEAD), Unavailable(HEAD)], commits=False)
    app = over(store, whole)

    app.swap(Aliases, HEAD, moved_by("one"))
    after = app.swap(Aliases, HEAD, moved_by("two"))

    assert [move.cause for move in after.moves] == ["one", "two"]
    assert store.writes == 5


class Unreadable(Unreliable):
    """A store that after a lost answer cannot be read either, so many times."""

    unread: int = 0

    def get(self, key: str) -> Object:
        if self.writes and self.unread:
            self.unread -= 1
            raise Unavailable(key)
        return super().get(key)


@pytest.mark.parametrize("lost", LOST.values(), ids=LOST)
def test_a_lost_write_is_looked_for_until_the_head_can_be_read(whole: App, lost: SamaraError) -> None:
    store = Unreadable(faults=[lost])
    store.unread = 2

    after = over(store, whole).swap(Aliases, HEAD, moved_by("one"))

    assert [move.cause for move in after.moves] == ["one"]


def test_a_lost_write_that_can_never_be_read_is_unknown_not_undone(whole: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apps, "ATTEMPTS", 3)
    store = Unreadable(faults=[Unavailable(HEAD)])
    store.unread = 9

    with pytest.raises(Unknown, match=r"aliases/late\.json"):
        over(store, whole).swap(Aliases, HEAD, moved_by("one"))


def overtaken(by: int, lost: SamaraError, whole: App) -> App:
    """Over a store that loses the answer to its first write, which so many others overwrite before anybody looks."""

    class Overtaken(Unreliable):
        def create(self, key: str, data: bytes) -> Version:
            try:
                return super().create(key, data)
            except SamaraError:
                for rival in range(by):
                    over(self, whole).swap(Aliases, HEAD, moved_by(f"rival {rival}"))
                raise

    return over(Overtaken(faults=[lost]), whole)


@pytest.mark.parametrize("lost", LOST.values(), ids=LOST)
def test_a_lost_write_is_recognised_though_others_have_written_over_it(whole: App, lost: SamaraError) -> None:
    app = overtaken(REMEMBERED - 1, lost, whole)

    after = app.swap(Aliases, HEAD, moved_by("ours"))

    assert [move.cause for move in after.moves].count("ours") == 1
    assert len(after.moves) == REMEMBERED, "what it gives is the head as it then stands"


def test_what_became_of_a_lost_write_is_unknown_once_too_many_others_have_written(whole: App) -> None:
    app = overtaken(REMEMBERED + 1, Unavailable(HEAD), whole)

    with pytest.raises(Unknown, match=r"aliases/late\.json"):
        app.swap(Aliases, HEAD, moved_by("ours"))


def test_a_head_that_cannot_be_written_is_unavailable_in_the_end(whole: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apps, "ATTEMPTS", 3)
    store = Unreliable(faults=[Unavailable(HEAD)] * 3, commits=False)

    with pytest.raises(Unavailable, match=r"aliases/late\.json: still contended, or not to be written, after 3"):
        over(store, whole).swap(Aliases, HEAD, moved_by("one"))

    assert list(store.list("")) == []


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (b"{}", "no write_id"),
        (b"", "holds no Aliases"),
        (b'{"champion":"v1"}', "champion"),
        (b'{"champoin":1}', "champoin"),
    ],
)
def test_a_head_edited_by_hand_is_refused_and_kept(whole: App, store: MemoryStore, damage: bytes, why: str) -> None:
    store.create(HEAD, damage)

    with pytest.raises(Rejected, match=why) as refusal:
        whole.swap(Aliases, HEAD, moved_by("one"))

    assert refusal.value.code == "bad_head"
    assert store.get(HEAD).data == damage


def test_everyone_signs_with_their_own_name(whole: App, acting_as: Callable[[str], App]) -> None:
    assert acting_as("register").maker == Maker(function="register", code=whole.maker.code)


def test_the_code_that_runs_has_a_digest_that_does_not_depend_on_the_process() -> None:
    assert len(apps.code_digest()) == 64
    assert apps.code_digest.__wrapped__() == apps.code_digest()


@pytest.mark.parametrize("size", [0, 1, apps.PIECE - 1, apps.PIECE, apps.PIECE + 1, 3 * apps.PIECE])
def test_files_of_code_are_digested_whole(tmp_path: Path, size: int) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below/code.py").write_bytes(b"x" * size)

    assert dict(apps.files_below(str(tmp_path), "a")) == {"a/below/code.py": digest(b"x" * size)}


def alter(store: MemoryStore, key: str, old: bytes, new: bytes) -> None:
    found = store.get(key)
    assert old in found.data
    store.replace(key, found.data.replace(old, new), found.version)
