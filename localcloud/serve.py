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
import time
from pathlib import Path


def _follow_starter(folder: Path) -> None:
    """Wait until the starter is gone, then leave nothing behind."""
    while os.read(0, 1024):
        pass
    shutil.rmtree(folder, ignore_errors=True)
    os.killpg(0, signal.SIGKILL)


def _poll_often() -> None:
    """Let the event source mappings look at their queues every 0.2 s; MiniStack alone does every 1 to 5 s when idle."""
    from ministack.core.concurrency import esm_wake  # type: ignore[import-untyped]  # noqa: PLC0415

    while True:
        time.sleep(0.2)
        esm_wake.set()


def main() -> None:
    """Serve until standard input ends."""
    if os.getpgrp() != os.getpid():
        sys.exit("localcloud.serve must lead a process group of its own; it is started by localcloud.ministack")
    threading.Thread(target=_follow_starter, args=(Path(sys.argv[1]),), name="follow-starter", daemon=True).start()
    sys.argv = ["ministack"]
    # These take half a second, so they come after the watch stands.
    from ministack.app import main as ministack_main  # type: ignore[import-untyped]  # noqa: PLC0415
    from ministack.services import athena  # type: ignore[import-untyped]  # noqa: PLC0415

    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # this checkout, not one that happens to be installed
    from localcloud.glue_types import mend  # noqa: PLC0415

    del sys.path[0]
    mend(athena)
    threading.Thread(target=_poll_often, name="poll-often", daemon=True).start()
    ministack_main()


if __name__ == "__main__":
    main()
