"""strace as a fault injector: attached to a running process, system calls fail, wait or kill; detached, all is well again."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Self

#: What only the spool's writer calls in the agent.
DISK = "pwrite64,fdatasync,fallocate,ftruncate"


def missing() -> str:
    """Why it cannot be done here; empty if it can."""
    if shutil.which("strace") is None:
        return "needs strace"
    if os.geteuid() != 0:
        return "needs root, to trace a process that it has not started"
    return ""


class Injection:
    """For the time of the `with` block: `Injection(pid, "fdatasync:error=EIO:when=3+5")`. See strace(1), tampering."""

    def __init__(self, pid: int, *rules: str) -> None:
        self._pid = pid
        calls = ",".join(rule.partition(":")[0] for rule in rules)
        self._command = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={calls}", "-e", "signal=none", "-p", str(pid)]
        for rule in rules:
            self._command += ["-e", f"inject={rule}"]

    def __enter__(self) -> Self:
        self._strace = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        until = time.monotonic() + 10
        while not self._attached():
            if self._strace.poll() is not None or time.monotonic() > until:
                self._strace.kill()
                raise AssertionError(f"strace does not attach: {self._strace.communicate()[1]}")
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        self._strace.send_signal(signal.SIGINT)
        self._strace.communicate(timeout=20)

    def _attached(self) -> bool:
        """Whether every thread is traced."""
        tasks = Path(f"/proc/{self._pid}/task").iterdir()
        return all(f"TracerPid:\t{self._strace.pid}\n" in (task / "status").read_text() for task in list(tasks))
