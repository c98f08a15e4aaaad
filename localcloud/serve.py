"""Host: MiniStack in this process, for as long as whoever started it lives.

Promises that no server outlives its starter, however that dies: standard input is a pipe whose other end only the starter
holds, so it closes with the starter, `kill -9` included. Then, or on a signal, the whole process group goes (MiniStack's
function workers are in it) and the data folder with it. (`PR_SET_PDEATHSIG` would not do: it fires when the starting *thread* ends.)

Run as a script with one argument, the data folder; MiniStack's own settings come by environment (see `localcloud.ministack`).
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
from pathlib import Path


def _follow_starter(folder: Path) -> None:
    """Wait until the starter is gone, then leave nothing behind."""
    while os.read(0, 1024):
        pass
    shutil.rmtree(folder, ignore_errors=True)
    os.killpg(0, signal.SIGKILL)


def main() -> None:
    """Serve until standard input ends."""
    if os.getpgrp() != os.getpid():
        sys.exit("localcloud.serve must lead a process group of its own; it is started by localcloud.ministack")
    threading.Thread(target=_follow_starter, args=(Path(sys.argv[1]),), name="follow-starter", daemon=True).start()
    sys.argv = ["ministack"]
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # this checkout, not one that happens to be installed
    # These take half a second, so they come after the watch stands.
    from ministack.app import main as serve  # type: ignore[import-untyped]  # noqa: PLC0415

    from localcloud import mends  # noqa: PLC0415

    del sys.path[0]
    mends.apply()
    serve()


if __name__ == "__main__":
    main()
