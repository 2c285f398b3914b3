"""The first thing anybody runs: it tells the story, every id it prints resolves, and it cleans up after itself."""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from samara import admin, app
from samara.settings import Settings


def demo(home: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "samara.cli", "--home", str(home), "demo", *words]


def test_the_demo_tells_the_story_twice_and_every_id_it_prints_resolves(tmp_path: Path) -> None:
    home = tmp_path / ".samara"

    for _ in range(2):
        ended = subprocess.run(demo(home, "--months", "3"), capture_output=True, text=True, timeout=240, check=False)

        assert ended.returncode == 0, ended.stdout + ended.stderr
        assert re.search(r"2013-01 +26,398 +606 .*v1 0\.\d+: champion", ended.stdout)
        assert re.search(r"2013-02 .*quiet", ended.stdout)
        assert re.search(r"2013-03 .*temp KS 0\.24 +v2 0\.\d+ against v1's", ended.stdout)
        ids = re.findall(r"why (late\.\S+)", ended.stdout)
        assert len(ids) == 2
        for prediction in ids:
            trail = admin.why(app.build(Settings(home=home)), prediction)
            assert trail.whole, trail.summary
        page = re.search(r"file://(\S+)", ended.stdout)
        assert page is not None
        assert "late" in Path(page[1]).read_text()
        assert 'href="/' not in Path(page[1]).read_text()


def test_ctrl_c_in_the_middle_of_the_demo_leaves_no_process_behind(tmp_path: Path) -> None:
    home = tmp_path / ".samara"
    with subprocess.Popen(demo(home), stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        deadline = time.monotonic() + 60
        while not list(home.glob("jobs/*/group-*.json")):
            assert time.monotonic() < deadline
            time.sleep(0.05)

        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)

    assert process.returncode == 0
    assert not [other.pid for other in psutil.process_iter(["cmdline"]) if str(home) in str(other.info["cmdline"])]
    assert not [other for other in psutil.process_iter() if opens(other, home)]


def opens(process: psutil.Process, home: Path) -> bool:
    try:
        return process.environ().get("SAMARA_HOME") == str(home) and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
