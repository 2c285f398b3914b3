"""Stands in for a container: runs a command, and everything it started ends with it. `container.py COMMAND …`."""

import signal
import subprocess
import sys
from types import FrameType

from samara.providers.local_supervisor import adopt_orphans, end_children


def main(command: list[str]) -> int:
    adopt_orphans()
    inside = subprocess.Popen(command, start_new_session=True)

    def end(_number: int, _frame: FrameType | None) -> None:
        inside.kill()

    signal.signal(signal.SIGTERM, end)
    code = inside.wait()
    end_children()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
