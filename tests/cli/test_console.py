"""What commands say: each thing once, and where to look next."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from samara import app, console
from samara.app import App
from samara.cli import main
from samara.core import keys
from samara.core.heads import ContractHead
from samara.errors import NotFound, Rejected
from samara.settings import Settings

Samara = Callable[..., Result]
NOON = datetime(2013, 2, 14, 12, tzinfo=UTC)


@pytest.fixture
def samara(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Samara:
    """Runs a command in an empty folder of its own."""
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(main, [str(word) for word in words], catch_exceptions=False)


@pytest.fixture
def there(tmp_path: Path) -> App:
    return app.build(Settings(home=tmp_path / ".samara"))


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Has the platform give this answer, whatever is asked."""

    def give(**answer: Any) -> None:
        monkeypatch.setattr(console, "asked_here", lambda *_: answer)

    return give


def test_status_shows_the_alerts_that_hold_newest_first(samara: Samara, there: App) -> None:
    there.alert("leafs", "has no data contract", "its batches wait for one", NOON)
    for number in range(3):
        there.alert(f"late v{number}", "is late", "who knows", NOON + timedelta(hours=number))
    contract = ContractHead(write_id="w", contract=there.keep(b"contract")).to_bytes()
    there.store.create(keys.contract_head("leafs"), contract)

    said = samara("status").output

    assert [line[:34] for line in said.splitlines() if "late v" in line] == [
        "✗ 2013-02-14 14:00 UTC  late v2: i",
        "✗ 2013-02-14 13:00 UTC  late v1: i",
        "✗ 2013-02-14 12:00 UTC  late v0: i",
    ]
    assert "leafs: has no data contract" not in said


def test_status_says_how_an_alert_is_ended(samara: Samara, there: App) -> None:
    none = samara("status").output
    there.alert("late", "is late", "who knows", NOON)

    said = samara("status").output

    assert keys.alert("late", "is late") in said
    assert "An alert ends by itself once" in said
    assert "An alert ends" not in none


def test_who_asks_for_a_training_hears_where_it_is_shown(
    answered: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answered(run="r1", status="submitted")

    assert console.ask_for_training(Settings(home=tmp_path), "species", "", again=False)

    assert "run r1 of species is on its way; `samara status` shows it" in capsys.readouterr().out


def test_who_asks_for_what_has_failed_hears_why_and_the_way_out(
    answered: Callable[..., None], samara: Samara, there: App
) -> None:
    there.store.create("blobs/x", b"")
    answered(run="r1", status="failed", why="the disk was full; ask with --again")

    ended = samara("train", "species")

    assert ended.exit_code == 1
    assert "✗ run r1 of species was this very plan, and failed: the disk was full; ask with --again" in ended.output


def test_what_was_trained_is_no_failure(answered: Callable[..., None], samara: Samara, there: App) -> None:
    there.store.create("blobs/x", b"")
    answered(run="r1", status="succeeded")

    ended = samara("train", "species")

    assert ended.exit_code == 0
    assert "run r1 of species was this very plan, and succeeded; change code, data or settings" in ended.output


@pytest.mark.parametrize(
    ("words", "body"),
    [((), b"{}"), (("--again",), b'{"again": true}'), (("--why", "x", "--again"), b'{"why": "x", "again": true}')],
)
def test_another_try_is_asked_for_by_name(
    samara: Samara, there: App, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], body: bytes
) -> None:
    there.store.create("blobs/x", b"")
    heard = list[bytes]()

    def asked_here(_: Settings, _path: str, said: bytes) -> dict[str, str]:
        heard.append(said)
        return {"run": "r1", "status": "submitted"}

    monkeypatch.setattr(console, "asked_here", asked_here)

    assert samara("train", "species", *words).exit_code == 0

    assert heard == [body]


def test_a_model_without_a_version_is_looked_for_in_the_status(there: App) -> None:
    with pytest.raises(NotFound, match="`samara status` shows runs on their way, and what failed"):
        console.models(there, "late")


def test_what_is_refused_names_its_subject_once(answered: Callable[..., None], tmp_path: Path) -> None:
    answered(error="speces: no such model; publish a definition of it first", code="no_model")

    with pytest.raises(Rejected) as refused:
        console.ask_for_training(Settings(home=tmp_path), "speces", "", again=False)

    assert str(refused.value) == "speces: no such model; publish a definition of it first"


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        ("late v9: no such version", "late v9: no such version"),
        ("later: no such model", "late: later: no such model"),
        ("the service cannot answer just now; its log says why", None),
        ("body: holds something else", "late: body: holds something else"),
    ],
)
def test_a_refusal_is_about_the_model_that_was_named(
    answered: Callable[..., None], tmp_path: Path, error: str, shown: str | None
) -> None:
    answered(error=error, code="any")

    with pytest.raises(Rejected) as refused:
        console.ask_for_scores(Settings(home=tmp_path), "late", "flights", "", "", again=False)

    assert str(refused.value) == (shown or f"late: {error}")
