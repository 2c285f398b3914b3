"""The command line as people meet it: what it says, what it refuses, and how it ends."""

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from samara import admin, app, console, project, starter
from samara.core import aliases, keys
from samara.core.aliases import Aliases
from samara.core.digests import digest
from samara.core.records import ModelVersion, Parity, Signature
from samara.errors import Conflict, Unavailable
from samara.settings import Settings
from tests.cli.conftest import Samara

NOON = datetime(2013, 2, 14, 12, tzinfo=UTC)


@pytest.fixture
def leaves(tmp_path: Path) -> Path:
    path = tmp_path / "Leaves 2013.csv"
    path.write_text("length,colour,maple\n" + "7.5,green,false\n9.25,red,true\n" * 10)
    return path


def registered(home: Path, *numbers: int) -> app.App:
    """A bucket in which these versions of `late` were registered, each a champion in its turn."""
    whole = app.build(Settings(home=home))
    some = whole.keep(b"some")
    for number in numbers:
        record = ModelVersion(
            made_by=whole.maker, model="late", version=number, run=f"run{number}", artifact=some,
            signature=Signature(inputs=(), outputs=()), metrics={"auc": 0.6 + number / 100},
            parity=Parity(rows=1, largest_difference=0.0, tolerance=1e-4, agreed=True), baseline=some,
            compared_with=number - 1 or None, compared_metrics={}, gates=(),
        )  # fmt: skip
        whole.write(keys.version("late", number), record)
        change = partial(
            aliases.registered, version=number, passed=True, over=number - 1 or None, at=NOON, cause=record.digest
        )
        whole.swap(Aliases, keys.aliases("late"), change)
    return whole


def test_help_names_every_command_and_the_first_step(samara: Samara) -> None:
    said = samara("--help").output

    for command in ("init", "dev", "demo", "status", "models", "promote", "rollback", "why", "replay", "doctor"):
        assert command in said
    assert "samara demo" in said


def test_without_a_project_a_command_says_how_to_get_one(samara: Samara) -> None:
    ended = samara("--home", ".samara", "status")  # there may be one above

    assert ended.exit_code == 1
    assert "no samara project here; make one with `samara init`" in ended.output


def test_init_drafts_a_project_that_is_in_order_from_a_file(samara: Samara, leaves: Path) -> None:
    ended = samara("init", "mine", "--data", leaves, "--target", "maple")

    assert ended.exit_code == 0, ended.output
    drafted = project.read(Path("mine"))
    contract, _ = drafted.contracts["leaves-2013"]
    assert [(column.name, column.type) for column in contract.columns] == [
        ("length", "number"),
        ("colour", "string"),
        ("maple", "boolean"),
    ]
    assert drafted.definitions["maple"][0].task == "classification"


def test_init_leaves_out_what_no_model_can_be_asked_with(samara: Samara) -> None:
    Path("dated.csv").write_text("when,height,at,maple\n2013-02-14,1.5,2013-02-14T05:00:00Z,yes\n2013-02-15,2.5,,no\n")

    ended = samara("init", "mine", "--data", "dated.csv", "--target", "maple")

    assert ended.exit_code == 0, ended.output
    assert project.read(Path("mine")).definitions["maple"][0].features == ("height",)


def test_doctor_makes_no_folder_to_find_it_fit(samara: Samara) -> None:
    ended = samara("doctor", "--store", "file:no/such")

    assert ended.exit_code == 1
    assert "there is no such folder" in ended.output
    assert not Path("no").exists()


def test_init_without_a_file_brings_real_data(samara: Samara) -> None:
    ended = samara("init", "mine")

    assert ended.exit_code == 0, ended.output
    assert len(Path("mine/data/tumours.csv").read_text().splitlines()) == 570
    assert list(project.read(Path("mine")).definitions) == ["malignant"]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--data", "Leaves 2013.csv"), "say which column of the file is to be predicted"),
        (("--data", "Leaves 2013.csv", "--target", "oak"), "no such column; Leaves 2013.csv has length, colour, maple"),
    ],
)
def test_init_says_what_it_needs(samara: Samara, leaves: Path, words: tuple[str, ...], complaint: str) -> None:
    ended = samara("init", "mine", *words)

    assert ended.exit_code == 1
    assert complaint in ended.output


@pytest.mark.parametrize("words", [("--data", "bin.csv", "--target", "x"), ("--data", "ragged.csv", "--target", "b")])
def test_an_init_that_was_refused_leaves_nothing_behind(samara: Samara, leaves: Path, words: tuple[str, ...]) -> None:
    Path("bin.csv").write_bytes(b"\xff\x00")
    Path("ragged.csv").write_text("a,b\n1\n")

    refused = samara("init", "mine", *words)

    assert refused.exit_code == 1
    assert f"{words[1]}: " in refused.output
    assert not Path("mine").exists()
    assert samara("init", "mine", "--data", leaves, "--target", "maple").exit_code == 0


@pytest.mark.parametrize("header", ["a,a,b", "a,,b"])
def test_init_wants_a_name_for_each_column(samara: Samara, header: str) -> None:
    Path("twins.csv").write_text(f"{header}\n1,2,x\n")

    ended = samara("init", "mine", "--data", "twins.csv", "--target", "b")

    assert ended.exit_code == 1
    assert "twins.csv: needs a header in which each column has a name of its own" in ended.output


@pytest.mark.parametrize("between", [";", "\t", "|"])
def test_init_reads_what_ingest_reads(samara: Samara, between: str) -> None:
    Path("leaves.csv").write_text("length;colour\n7,5;red\n9;green\n".replace(";", between))

    ended = samara("init", "mine", "--data", "leaves.csv", "--target", "colour")

    assert ended.exit_code == 0, ended.output
    contract, _ = project.read(Path("mine")).contracts["leaves"]
    assert [(column.name, column.type) for column in contract.columns] == [("length", "string"), ("colour", "string")]


def test_init_wants_a_file_whose_name_can_be_uploaded(samara: Samara, leaves: Path) -> None:
    leaves.rename(os.fsdecode(b"leaves\xff.csv"))

    ended = samara("init", "mine", "--data", os.fsdecode(b"leaves\xff.csv"), "--target", "maple")

    assert ended.exit_code == 1
    assert "'leaves\\udcff.csv': is no name in UTF-8, so it could not be uploaded; rename the file" in ended.output


def test_an_init_that_could_not_write_all_of_it_can_be_begun_again(samara: Samara) -> None:
    Path("a").mkdir()
    most = os.pathconf(".", "PC_PATH_MAX") - 1 - len("/.samara/bucket")  # so that the longer names do not fit
    folder = "a/../" * (most // 5 - 1) + "mine".ljust(most % 5 + 5, "e")

    ended = samara("init", folder)

    assert ended.exit_code == 1
    assert "the file system says: File name too long" in ended.output
    assert not [*Path(folder).resolve().iterdir()]


def test_of_two_who_begin_in_one_folder_one_has_a_whole_project(tmp_path: Path) -> None:
    def begun(_: int) -> str:
        try:
            return f"{len(starter.create(tmp_path / 'mine', None, None))} files"
        except Conflict as error:
            return error.why

    with ThreadPoolExecutor(2) as pool:
        ended = sorted(pool.map(begun, range(2)))

    assert ended[0].endswith(" files")
    assert ended[1] in ("is not empty; name a new folder", "has a project by now; name a new folder")
    assert project.read(tmp_path / "mine").contracts


def test_an_init_that_cannot_go_on_takes_nothing_of_others_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    move = shutil.move

    def saved_meanwhile(source: Path, folder: Path) -> object:
        (folder / "train.py").write_text("precious") if not (folder / "train.py").exists() else None
        return move(source, folder)

    monkeypatch.setattr(shutil, "move", saved_meanwhile)
    with pytest.raises(OSError, match="already exists"):
        starter.create(tmp_path / "mine", None, None)

    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["train.py"]


def test_a_stack_is_configured_for_a_cloud(samara: Samara) -> None:
    ended = samara("init", "mine", "--stack", "first")

    assert ended.exit_code == 2
    assert "--stack and --region say how to configure a --cloud" in ended.output
    assert not Path("mine").exists()


@pytest.mark.parametrize("command", ["dev", "serve"])
def test_a_port_that_is_none_is_refused_as_such(samara: Samara, command: str) -> None:
    ended = samara(command, "--port", "99999")

    assert ended.exit_code == 2
    assert "99999 is not in the range 0<=x<=65535" in ended.output


def test_a_terminal_that_knows_few_letters_gets_others_for_them(tmp_path: Path) -> None:
    (tmp_path / "leaves.csv").write_text("größe,kind\n7.5,a\n9.25,b\n", "utf-8")
    few = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [sys.executable, "-m", "samara.cli"]

    for words in (["init", "mine", "--data", "leaves.csv", "--target", "kind"], ["--home", "mine/.samara", "doctor"]):
        ended = subprocess.run([*command, *words], cwd=tmp_path, env=few, capture_output=True, check=False)
        assert (ended.returncode, ended.stderr) == (0, b"")

    contract, _ = project.read(tmp_path / "mine").contracts["leaves"]
    assert [column.name for column in contract.columns] == ["größe", "kind"]


def test_a_command_whose_output_nobody_wants_does_its_work(tmp_path: Path) -> None:
    command = f"{sys.executable} -m samara.cli"
    ended = subprocess.run(
        ["sh", "-c", f"{command} init . >&- && {command} status >&-"], cwd=tmp_path, capture_output=True, check=False
    )

    assert (ended.returncode, ended.stderr) == (0, b"")


@pytest.mark.parametrize(("file", "target"), [("2013.csv", "maple"), ("2013-02-14.csv", "true"), ("no.csv", "1e3")])
def test_names_that_yaml_would_read_as_something_else_stay_names(samara: Samara, file: str, target: str) -> None:
    Path(file).write_text(f"length,{target}\n7.5,a\n9.25,b\n")

    ended = samara("init", "mine", "--data", file, "--target", target)

    assert ended.exit_code == 0, ended.output
    ((definition, _),) = project.read(Path("mine")).definitions.values()
    assert (definition.model, definition.dataset) == (target, Path(file).stem)


def test_init_says_the_next_step_as_a_shell_takes_it(samara: Samara) -> None:
    assert "cd 'my leaves' && samara dev" in samara("init", "my leaves").output


def test_what_the_file_system_refuses_is_one_line(samara: Samara, leaves: Path) -> None:
    ended = samara("init", leaves / "mine")

    assert ended.exit_code == 1
    assert ended.output.startswith(f"✗ {leaves / 'mine'}")
    assert "the file system says: Not a directory" in ended.output


def test_init_leaves_a_folder_with_something_in_it_alone(samara: Samara, leaves: Path) -> None:
    ended = samara("init", leaves.parent)

    assert ended.exit_code == 2
    assert "is not empty" in ended.output


def test_upload_puts_a_file_where_ingest_finds_it(samara: Samara, leaves: Path) -> None:
    samara("init", "mine", "--data", leaves, "--target", "maple")

    first = samara("--home", "mine/.samara", "upload", leaves, "--dataset", "leaves-2013")
    second = samara("--home", "mine/.samara", "upload", leaves, "--dataset", "leaves-2013")

    assert first.exit_code == 0
    assert Path("mine/.samara/bucket/landing/leaves-2013/Leaves 2013.csv").read_bytes() == leaves.read_bytes()
    assert second.exit_code == 2
    assert "give another with --name" in second.output


def test_promote_moves_the_champion_that_was_expected(samara: Samara, tmp_path: Path) -> None:
    registered(tmp_path / ".samara", 1, 2)

    moved = samara("promote", "late", 1, "--expect", 2)
    late = samara("promote", "late", 2, "--expect", 2)

    assert moved.exit_code == 0, moved.output
    assert "champion v1" in moved.output
    assert late.exit_code == 2
    assert "the champion is v1, not v2: somebody moved it" in late.output


def test_promote_names_the_versions_there_are(samara: Samara, tmp_path: Path) -> None:
    registered(tmp_path / ".samara", 1, 2)

    ended = samara("promote", "late", 7)

    assert ended.exit_code == 1
    assert "no such version; there is v1, v2" in ended.output


def test_who_has_no_name_moves_an_alias_by_number(
    samara: Samara, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = registered(tmp_path / ".samara", 1, 2)
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.getuid", lambda: 123_456)

    moved = samara("promote", "late", 1)

    assert moved.exit_code == 0, moved.output
    head = whole.find_head(Aliases, keys.aliases("late"))
    assert head
    assert "123456" in head.moves[-1].cause


def test_rollback_brings_back_the_champion_before(samara: Samara, tmp_path: Path) -> None:
    registered(tmp_path / ".samara", 1, 2)

    back = samara("rollback", "late")
    further = samara("rollback", "late")

    assert "champion v1" in back.output
    assert further.exit_code == 1
    assert "no other champion to go back to" in further.output


def test_a_shadow_of_a_model_that_is_not_there_is_refused(samara: Samara, tmp_path: Path) -> None:
    whole = registered(tmp_path / ".samara", 1, 2)

    stopped, set_, gone = samara("shadow", "nosuch"), samara("shadow", "late", 1), samara("shadow", "late")

    assert stopped.exit_code == 1
    assert "nosuch: has no version yet, so no shadow to stop" in stopped.output
    assert "v1 is the shadow" in set_.output
    assert "no shadow, move 4" in gone.output
    assert list(whole.store.list(keys.ALIASES)) == [keys.aliases("late")]


def test_models_shows_metrics_and_who_is_champion(samara: Samara, tmp_path: Path) -> None:
    registered(tmp_path / ".samara", 1, 2)

    said = samara("models", "late").output

    assert "auc 0.6200" in said
    assert "champion" in said


@pytest.mark.parametrize("subject", ["nonsense", "late.2013-02-14T05.0011", "../../etc/passwd"])
def test_why_refuses_what_is_no_prediction(samara: Samara, tmp_path: Path, subject: str) -> None:
    registered(tmp_path / ".samara", 1)

    ended = samara("why", subject)

    assert ended.exit_code == 1
    assert "Traceback" not in ended.output


def test_why_says_what_may_have_become_of_a_prediction_that_is_not_there(samara: Samara, tmp_path: Path) -> None:
    registered(tmp_path / ".samara", 1)

    ended = samara("why", "late.2013-02-14T05.0011223344556677")

    assert ended.exit_code == 1
    assert "captures/late/2013-02-14T05/0011223344556677.json" in ended.output
    assert "the id may be mistyped" in ended.output
    assert "serve.capture.share" in ended.output


def test_why_ends_with_1_when_a_link_is_missing_and_names_it(samara: Samara, tmp_path: Path) -> None:
    home = tmp_path / ".samara"
    registered(home, 1)
    (home / "bucket" / keys.blob(digest(b"some"))).unlink()

    ended = samara("why", keys.version("late", 1))

    assert ended.exit_code == 1
    assert "blobs/sha256/" in ended.output
    assert "first problem" in ended.output


def test_replay_delivers_every_event_again(samara: Samara, leaves: Path) -> None:
    samara("init", "mine", "--data", leaves, "--target", "maple")
    samara("--home", "mine/.samara", "upload", leaves, "--dataset", "leaves-2013")

    once = samara("--home", "mine/.samara", "replay", "landing/")
    bucket = sorted(path for path in Path("mine/.samara/bucket").rglob("*") if path.is_file())
    twice = samara("--home", "mine/.samara", "replay", "landing/")

    assert "1 events delivered again" in once.output
    assert twice.exit_code == 0
    assert sorted(path for path in Path("mine/.samara/bucket").rglob("*") if path.is_file()) == bucket


def test_replay_says_what_wakes_somebody(samara: Samara, tmp_path: Path) -> None:
    registered(tmp_path / ".samara", 1)

    ended = samara("replay", "models/")

    assert ended.exit_code == 1
    assert "wakes nothing; replay what does: landing/" in ended.output


def test_doctor_finds_nothing_wrong_with_a_new_project(samara: Samara) -> None:
    samara("init", "mine")

    ended = samara("--home", "mine/.samara", "doctor")

    assert ended.exit_code == 0, ended.output
    assert "creates once, swaps only over what was read" in ended.output


def test_doctor_names_an_altered_record(samara: Samara, tmp_path: Path) -> None:
    registered(tmp_path / ".samara", 1)
    path = tmp_path / ".samara/bucket" / keys.version("late", 1)
    body = json.loads(path.read_bytes())
    path.write_text(json.dumps({**body, "run": "another"}))

    ended = samara("doctor")

    assert ended.exit_code == 1
    assert f"{keys.version('late', 1)}: altered since it was written" in ended.output


def test_doctor_goes_on_to_the_end_where_an_alert_is_broken(samara: Samara, tmp_path: Path) -> None:
    registered(tmp_path / ".samara", 1).alert("late", "is late", "who knows", NOON)
    (path,) = (tmp_path / ".samara/bucket/alerts").iterdir()
    path.write_bytes(b"")

    ended = samara("doctor")

    assert ended.exit_code == 1
    assert f"✗ alerts     alerts/{path.name}: not a record" in ended.output


def test_a_broken_head_is_told_in_words(samara: Samara, tmp_path: Path) -> None:
    registered(tmp_path / ".samara", 1)
    (tmp_path / ".samara/bucket" / keys.aliases("late")).write_bytes(b"")

    ended = samara("models", "late")
    found = samara("doctor")

    assert "aliases/late.json: holds no Aliases: Invalid JSON: EOF" in ended.output
    assert "✗ heads      aliases/late.json: holds no Aliases" in found.output
    assert "alerts     none" in found.output, "and it goes on to the end"


def test_of_models_whose_head_is_broken_status_still_says_what_is_known(samara: Samara, leaves: Path) -> None:
    samara("init", "mine", "--data", leaves, "--target", "maple")
    samara("--home", "mine/.samara", "publish", "mine")
    path = Path("mine/.samara/bucket") / keys.aliases("maple")
    path.parent.mkdir()
    path.write_bytes(b"")

    ended = samara("--home", "mine/.samara", "status")

    assert ended.exit_code == 0, ended.output
    assert "no window yet" in ended.output
    assert "✗ aliases/maple.json: holds no Aliases" in ended.output


def test_who_waits_for_scores_hears_that_nobody_works_on_them(samara: Samara, tmp_path: Path) -> None:
    whole = registered(tmp_path / ".samara", 1)
    answer = {"scoring": "s" * 16, "scores": "scores/late/1.json", "asked_rows": 7}

    with pytest.raises(Unavailable, match="the platform has stopped; `samara dev` goes on with it"):
        console.wait_for_scores(whole, Settings(home=tmp_path / ".samara"), answer, None)


def test_an_unknown_setting_is_refused_by_name(samara: Samara, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMARA_HOEM", "there")

    ended = samara("status")

    assert ended.exit_code == 1
    assert "SAMARA_HOEM" in ended.output


def test_a_demo_does_not_clear_a_project_that_is_not_its_own(samara: Samara, tmp_path: Path) -> None:
    whole = registered(tmp_path / ".samara", 1)

    ended = samara("demo")

    assert ended.exit_code == 2
    assert "holds a project that is not the demo's" in ended.output
    assert admin.versions(whole, "late")


def test_a_demo_lives_in_its_folder_whatever_project_is_above(
    samara: Samara, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".samara" / "bucket").mkdir(parents=True)
    (tmp_path / "clone").mkdir()
    (tmp_path / "clone" / ".samara").write_text("a file, so that the demo ends before it begins")
    monkeypatch.chdir(tmp_path / "clone")

    ended = samara("demo")

    assert f"{tmp_path}/clone/.samara: the file system says: Not a directory" in ended.output


@pytest.mark.parametrize("name", ["my model", "spécies", "late\n", "", "a/b"])
def test_a_training_of_what_is_no_name_is_refused(samara: Samara, tmp_path: Path, name: str) -> None:
    registered(tmp_path / ".samara", 1)

    ended = samara("train", name)

    assert ended.exit_code == 1
    assert "not a model name" in ended.output


def test_a_bucket_that_is_not_there_is_named(samara: Samara, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registered(tmp_path / ".samara", 1)
    monkeypatch.setenv("SAMARA_STORE", "file:/not/there")

    assert samara("status").output.startswith("✗ file:/not/there: no samara project here")


def test_publish_says_that_a_folder_holds_no_project(samara: Samara, tmp_path: Path) -> None:
    registered(tmp_path / ".samara", 1)

    for words in (("publish",), ("publish", "--check")):
        ended = samara(*words)

        assert ended.exit_code == 1
        assert "holds no *.odcs.yaml, so nothing to publish" in ended.output


def test_a_cost_is_asked_of_what_pulumi_wrote(samara: Samara, leaves: Path) -> None:
    ended = samara("cost", "--idle", leaves)

    assert ended.exit_code == 1
    assert "is not JSON; give what pulumi stack export" in ended.output


def test_status_counts_what_became_of_the_uploads(samara: Samara, leaves: Path) -> None:
    samara("init", "mine", "--data", leaves, "--target", "maple")
    home = Path("mine/.samara")
    samara("--home", home, "upload", leaves, "--dataset", "leaves-2013")
    (home / "bucket/landing/stray.csv").write_text("x")
    samara("--home", home, "replay", "landing/")

    said = samara("--home", home, "status").output

    assert "leaves-2013  1        1" in said
    (told,) = [line for line in said.splitlines() if "stray.csv" in line]
    assert "UTC  landing/stray.csv: put files into landing/{dataset}/" in told, "it is no dataset, and refused"
