"""Stands in for a container: runs a command, and everything it started ends with it. `container.py COMMAND …`."""

import signal
import subprocess
import sys
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
    inside = subprocess.Popen(command, start_new_session=True)
    if asked:
        inside.kill()
    code = inside.wait()
    end_children()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
