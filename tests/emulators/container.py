"""Stands in for a container: runs a command, and all that it started or left in files of its own ends with it.

`container.py COMMAND …`
"""

import os
import signal
import subprocess
import sys
from tempfile import TemporaryDirectory
from types import FrameType

from samara.providers.local_supervisor import adopt_orphans, end_children


def main(command: list[str]) -> int:
    adopt_orphans()
    inside: subprocess.Popen[bytes] | None = None
    asked = False

    def end(_number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        asked = True
        if inside:
            inside.kill()

    signal.signal(signal.SIGTERM, end)  # before there is anything that could outlive us
    with TemporaryDirectory(prefix="samara-container-", ignore_cleanup_errors=True) as disk:
        inside = subprocess.Popen(command, start_new_session=True, env={**os.environ, "TMPDIR": disk})
        if asked:
            inside.kill()
        code = inside.wait()
        end_children()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
