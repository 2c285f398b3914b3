"""Runs a command that ends when its parent does, however that ends. `mortal.py COMMAND …`. Elsewhere than on Linux
it only runs it."""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1

if __name__ == "__main__":
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606  # the command is ours
