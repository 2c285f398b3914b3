"""What commands say: each thing once, and where to look next."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from samara import app, console
from samara.app import App
from samara.core import keys
from samara.core.heads import ContractHead
from samara.core.records import Quarantine, Reason
from samara.errors import NotFound
from samara.settings import Settings
from tests.cli.conftest import Samara

NOON = datetime(2013, 2, 14, 12, tzinfo=UTC)


@pytest.fixture
def there(tmp_path: Path) -> App:
    return app.build(Settings(home=tmp_path / ".samara"))


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


def test_status_says_why_files_were_refused_newest_first(samara: Samara, there: App) -> None:
    for number in range(7):
        reasons = [Reason(code="bad_header", why=f"why {number}"), Reason(code="bad_value", why="no", column="length")]
        there.write(
            f"quarantine/leaves/{number}.json",
            Quarantine(
                made_by=there.maker, dataset="leaves", source_key=f"landing/leaves/{number}.csv", source=None,
                whole=number % 2 == 0, row_count=number, reasons=tuple(reasons[: 1 + number % 2]),
                noted={"at": (NOON + timedelta(hours=number)).isoformat()},
            ),
        )  # fmt: skip

    said = [line for line in samara("status").output.splitlines() if "landing/leaves/" in line]

    assert len(said) == 5
    assert said[0] == "✗ 2013-02-14 18:00 UTC  landing/leaves/6.csv: why 6  quarantine/leaves/6.json"
    assert "17:00 UTC  5 rows of landing/leaves/5.csv: why 5; and 1 more  quarantine/leaves/5.json" in said[1]


def test_a_strangers_words_do_not_reach_the_terminal_as_commands(samara: Samara, there: App) -> None:
    there.alert("landing/leaves/a\x1b[31mb.csv", "is late\n✗ all is well", "who\x07 knows", NOON)
    refused = Quarantine(
        made_by=there.maker, dataset="leaves", source_key="landing/leaves/a\x1b]0;b.csv", source=None, whole=True,
        reasons=(Reason(code="bad_key", why="no\rname"),),
    )  # fmt: skip
    there.write("quarantine/leaves/1.json", refused)

    said = samara("status").output

    assert all(letter.isprintable() for line in said.split("\n") for letter in line)
    assert "landing/leaves/a ]0;b.csv: no name" in said
    assert len([line for line in said.splitlines() if "all is well" in line]) == 1


def test_a_home_is_shown_by_its_name_whatever_that_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = tmp_path / "[bold]" / "[" / "x] with a name that no line of a terminal could ever hold as a whole"

    console.started("http://127.0.0.1:1", Settings(home=home))

    assert f"is running on {home}\n" in capsys.readouterr().err


def test_status_says_how_an_alert_is_ended(samara: Samara, there: App) -> None:
    none = samara("status").output
    there.alert("late", "is late", "who knows", NOON)

    said = samara("status").output

    assert keys.alert("late", "is late") in said
    assert "An alert ends by itself once" in said
    assert "An alert ends" not in none


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"status": "submitted"}, "is on its way; `samara status` shows it"),
        ({"status": "succeeded"}, "was this very plan, and succeeded; change code, data or settings"),
        ({"status": "failed", "why": "the disk was full"}, "was this very plan, and failed: the disk was full"),
    ],
)
def test_who_asks_for_a_training_hears_where_it_stands(answer: dict[str, str], said: str) -> None:
    assert console.stands(answer) == said


def test_a_model_without_a_version_is_looked_for_in_the_status(there: App) -> None:
    with pytest.raises(NotFound, match="`samara status` shows runs on their way, and what failed"):
        console.models(there, "late")


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        ("late: no such model; publish a definition of it first", None),
        ("late v9: no such version", None),
        ("later: no such model", "late: later: no such model"),
        ("the service cannot answer just now; its log says why", "late: the service cannot answer just now"),
        ("body: holds something else", "late: body: holds something else"),
    ],
)
def test_a_refusal_is_about_the_model_that_was_named_and_names_it_once(error: str, shown: str | None) -> None:
    assert str(console.refusal("late", error)).startswith(shown or error)
