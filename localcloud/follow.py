"""Launcher: one command in a process group of its own, for as long as whoever started it lives.

Promises that neither the command nor what it starts outlives the starter, however that dies: standard input is a pipe whose other end only
the starter holds, so it closes with the starter, `kill -9` included, and then the whole group goes. (The `cdk` command is a script that
starts node that starts Python: PR_SET_PDEATHSIG, as in `demo/tied.py`, would end the first of them and leave the others.)

Run as a script, as the leader of a group, with the command as arguments; exits with the command's status, 128 + number after a signal.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading


def _follow_starter() -> None:
    """Wait until the starter is gone, then leave nothing behind."""
    while os.read(0, 1024):
        pass
    os.killpg(0, signal.SIGKILL)


def main() -> None:
    """Run the command until it ends or standard input does."""
    if os.getpgrp() != os.getpid():
        sys.exit("localcloud/follow.py must lead a process group of its own; it is started by localcloud.deploy")
    threading.Thread(target=_follow_starter, name="follow-starter", daemon=True).start()
    status = subprocess.run(sys.argv[1:], stdin=subprocess.DEVNULL, check=False).returncode  # noqa: S603  # our own command, no shell
    sys.exit(status if status >= 0 else 128 - status)


if __name__ == "__main__":
    main()
