"""strace as a fault injector: attached to a running process, system calls fail, wait or kill; detached, all is well again."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from functools import cache
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


@cache
def _seccomp() -> tuple[str, ...]:
    """The switch with which only the traced calls stop the process, and not all of them, where it works together with injected signals.

    It needs strace 5.3 and Linux 4.8; strace 6.1 has it, and then injects no signal into what it follows: so it is tried.
    """
    rule = ["-e", "trace=getppid", "-e", "inject=getppid:signal=SIGKILL:when=2"]
    program = [sys.executable, "-S", "-c", "import os; os.getppid(); os.getppid()"]
    probe = subprocess.run(["strace", "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null", *rule, *program], capture_output=True, check=False)
    return ("--seccomp-bpf",) if probe.returncode == -signal.SIGKILL else ()


def following(*calls: str) -> list[str]:
    """Return the command before a program's own that traces these calls of it and of its children; rules go behind it."""
    return ["strace", "-f", *_seccomp(), "-qq", "-o", "/dev/null", "-e", f"trace={','.join(calls)}", "-e", "signal=none"]


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
        until = time.monotonic() + 60
        while not self._attached():
            if self._strace.poll() is not None or time.monotonic() > until:
                self._strace.kill()
                raise AssertionError(f"strace does not attach: {self._strace.communicate()[1]}")
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        self._strace.send_signal(signal.SIGINT)
        self._strace.communicate(timeout=60)

    def _attached(self) -> bool:
        """Whether every thread is traced."""
        tasks = Path(f"/proc/{self._pid}/task").iterdir()
        return all(f"TracerPid:\t{self._strace.pid}\n" in (task / "status").read_text() for task in list(tasks))
