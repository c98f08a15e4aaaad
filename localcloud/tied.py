"""Launcher: becomes another Python program that the kernel ends together with the process that started this one.

`python tied.py STARTER ARGUMENT...` replaces itself by `python ARGUMENT...`, under the same process id. However the starter dies, `kill -9`
included, the program gets SIGKILL. (PR_SET_PDEATHSIG goes by the starting *thread*: the demo starts everything from its main thread.)
A launcher, because `preexec_fn` runs Python between fork and exec, which is not safe in a process with threads.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main() -> None:
    """Tie and become."""
    starter, *arguments = sys.argv[1:]
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        sys.exit(f"prctl(PR_SET_PDEATHSIG): {os.strerror(ctypes.get_errno())}")
    if os.getppid() != int(starter):
        sys.exit("the starter was gone before the program began")
    os.execv(sys.executable, [sys.executable, *arguments])  # noqa: S606  # the same interpreter, no shell


if __name__ == "__main__":
    main()
