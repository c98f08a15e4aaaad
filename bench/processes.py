"""Processes of a run: started in groups of their own, watched through /proc, always stopped by their own id."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]
#: For boto3, which wants to sign; the responder does not look.
CREDENTIALS: Final = {
    "AWS_ACCESS_KEY_ID": "AKIDBENCH", "AWS_SECRET_ACCESS_KEY": "bench", "AWS_SESSION_TOKEN": "", "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_DEFAULT_REGION": "eu-central-1",
}  # fmt: skip
_STOP: Final = 30.0
#: A reference or a producer that takes longer hangs.
_HANGS: Final = 900.0


class Failed(Exception):  # noqa: N818  # what happened, not a mistake of the caller
    """A process of the run did not do its part; the text holds what it said."""


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of all processes: this one's without anything of AWS, with credentials that mean nothing."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return plain | {name: value for name, value in CREDENTIALS.items() if value} | dict(extra or {})


def python(module: str, *arguments: object) -> list[str]:
    """Return the command that runs one of our modules."""
    return [sys.executable, "-m", module, *map(str, arguments)]


class Process:
    """A started process, with what it prints on standard output at hand; standard error goes to `log`."""

    def __init__(self, command: Sequence[str], *, log: Path, extra: Mapping[str, str] | None = None) -> None:
        self.log = log
        with log.open("ab") as errors:
            self.popen = subprocess.Popen(  # noqa: S603  # our own programs, or what the user named as a peer
                list(command), cwd=ROOT, env=environment(extra), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
                start_new_session=True,
            )  # fmt: skip

    @property
    def pid(self) -> int:
        """Process id."""
        return self.popen.pid

    def line(self) -> dict[str, Any]:
        """Return the next line that it prints, which is JSON.

        Raises:
            Failed: it ended instead.
        """
        assert self.popen.stdout is not None
        text = self.popen.stdout.readline()
        try:
            answer: dict[str, Any] = json.loads(text)
        except ValueError:
            self.kill()
            raise Failed(f"{' '.join(map(str, self.popen.args))} printed {text!r}; {self.tail()}") from None  # type: ignore[arg-type]
        return answer

    def result(self) -> dict[str, Any]:
        """Return its one line, and wait for its end; nothing of it is left, whatever happens meanwhile.

        Raises:
            Failed: it did not print one, or failed.
        """
        try:
            answer = self.line()
            if self.popen.wait(_HANGS):
                raise Failed(f"exit code {self.popen.returncode}; {self.tail()}")
        finally:
            self.kill()
        return answer

    def stop(self) -> int:
        """SIGTERM, then SIGKILL to its group; return the exit code."""
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGTERM)
        try:
            self.popen.wait(_STOP)
        except subprocess.TimeoutExpired:
            self.kill()
        self._close()
        return self.popen.returncode

    def kill(self) -> None:
        """SIGKILL to its group, which it leads, unless it has ended."""
        with contextlib.suppress(ProcessLookupError):  # it has ended
            if self.popen.poll() is None:
                os.killpg(self.popen.pid, signal.SIGKILL)
        self.popen.wait()
        self._close()

    def _close(self) -> None:
        for pipe in (self.popen.stdin, self.popen.stdout):
            if pipe is not None:
                pipe.close()

    def tail(self) -> str:
        """Return the end of what it wrote to standard error."""
        lines = self.log.read_text(errors="replace").splitlines()
        return "\n".join(lines[-8:]) or "it wrote nothing to standard error"


@contextmanager
def running(command: Sequence[str], *, log: Path, extra: Mapping[str, str] | None = None) -> Iterator[Process]:
    """Run a process for the length of a block."""
    process = Process(command, log=log, extra=extra)
    try:
        yield process
    finally:
        process.stop()


def run(command: Sequence[str], *, log: Path) -> dict[str, Any]:
    """Run a process to its end and return the JSON line that it printed.

    Raises:
        Failed: it did not print one, or failed.
    """
    return Process(command, log=log).result()


def free_port() -> int:
    """Return a port of loopback that nobody has now."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port: int = held.getsockname()[1]
        return port


def peak_mib(pid: int) -> float:
    """Return the peak memory (VmHWM) of a process in MiB."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise Failed(f"/proc/{pid}/status has no VmHWM")


def cpu_seconds(pid: int) -> dict[str, float]:
    """Return the CPU seconds of each thread of a process by name, to the nanosecond (schedstat); threads of one name are summed."""
    found: dict[str, float] = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread that ended meanwhile
            name = (task / "comm").read_text().strip()
            found[name] = found.get(name, 0.0) + int((task / "schedstat").read_text().split()[0]) / 1e9
    return found


class Endpoint:
    """The minimal SQS of a run."""

    def __init__(self, log: Path) -> None:
        self._process = Process(python("bench.responder"), log=log)
        self.url = f"http://127.0.0.1:{self._process.line()['port']}"

    def queue(self, name: str = "telemetry") -> str:
        """Return the URL of a queue."""
        return f"{self.url}/123456789012/{name}"

    def counters(self) -> dict[str, Any]:
        """Return what was counted since the last reset."""
        return self._get("/")

    def reset(self, *, watch: int | None = None) -> None:
        """Count from zero; envelopes from sequence number `watch` on are live."""
        self._get("/reset" if watch is None else f"/reset?watch={watch}")

    def _get(self, path: str) -> dict[str, Any]:
        with urllib.request.urlopen(self.url + path, timeout=30) as answer:  # noqa: S310  # our own server on loopback
            found: dict[str, Any] = json.load(answer)
            return found

    def close(self) -> None:
        """End it."""
        self._process.stop()
