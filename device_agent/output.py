"""Output: the one thread that writes to standard error, so that no other thread waits for whoever reads it.

Promises
- `put` never blocks: a reader that has stopped, a full disk or a closed pipe costs lines, and nothing else.
- Lines are written in the order in which they were put. At most `LINES` wait; then the oldest is dropped. What is dropped is counted, and
  when lines are written again, a line says before them how many are missing.
- After `take_over` this holds for everything in the process: `print`, warnings, tracebacks, and C libraries, whose direct writes to a pipe
  or a terminal that is full fail instead of waiting.
- `flush` waits for a bounded time. It is called at the exit of the process, however that comes, but for a signal or an abort.

`put` may be called from a signal handler and from a destructor: `queue.SimpleQueue` allows it.
"""

from __future__ import annotations

import atexit
import io
import os
import select
import socket
import stat
import struct
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Final

from device_agent.metrics import ProcessMetrics

#: Lines that wait at most (a traceback is one), and bytes of one line; more of it is cut off. Together 8 MiB in the worst case.
LINES: Final = 1000
LONGEST: Final = 8 * 1024
#: Seconds that the exit of the process waits for the last lines: well below the 10 s after which `docker stop` kills, and what is left of
#: the unit's TimeoutStopSec after drain and flush.
LAST_WORDS: Final = 1.0
_STANDARD: Final = (1, 2)


class Output:
    """Writes lines to a file descriptor, in a thread of its own."""

    def __init__(self, descriptor: int, metrics: ProcessMetrics, *, lines: int = LINES) -> None:
        """Start the thread.

        Args:
            descriptor: stays the caller's.
            metrics: count what is dropped.
            lines: that wait at most.
        """
        self._descriptor, self._metrics, self._lines = descriptor, metrics, lines
        #: Makes the line that stands for lines that were dropped.
        self.notice: Callable[[int], str] = "{} lines were dropped here: nobody read them".format
        self._queue: SimpleQueue[bytes | threading.Event | None] = SimpleQueue()
        self._lock = threading.RLock()  # a destructor may put a line while this very thread counts one
        self._told = 0
        self._thread = threading.Thread(target=self._run, name="output", daemon=True)
        self._thread.start()

    def put(self, line: str) -> None:
        """Write a line, some time."""
        self._queue.put(line.encode(errors="backslashreplace")[:LONGEST] + b"\n")
        while self._queue.qsize() > self._lines:
            try:
                oldest = self._queue.get_nowait()
            except Empty:
                return  # the thread was quicker
            if isinstance(oldest, bytes):
                self._drop()
            else:
                self._queue.put(oldest)

    def flush(self, seconds: float) -> bool:
        """Wait until everything that was put is written, `seconds` at most; return whether it is."""
        reached = threading.Event()
        self._queue.put(reached)
        return reached.wait(seconds)

    def close(self) -> None:
        """Write what waits, and end the thread; for tests, since it may take for ever."""
        self._queue.put(None)
        self._thread.join()

    def _drop(self) -> None:
        with self._lock:
            self._metrics.log_lines_dropped += 1

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            if isinstance(item, threading.Event):
                item.set()
            elif not self._write(item):
                self._drop()

    def _write(self, line: bytes) -> bool:
        """Write a line, after what is to be said of lines before it; False if the descriptor does not take it."""
        missing = self._metrics.log_lines_dropped - self._told
        if missing:
            if not self._write_all(self.notice(missing).encode() + b"\n"):
                return False
            self._told += missing
        return self._write_all(line)

    def _write_all(self, data: bytes) -> bool:
        while data:
            try:
                data = data[os.write(self._descriptor, data) :]
            except BlockingIOError:
                self._wait()
            except OSError:  # a full disk, a pipe that nobody reads any more, a terminal that is gone: the next line may fare better
                return False
        return True

    def _wait(self) -> None:
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        poll.poll()


class Lines(io.TextIOBase):
    """A text stream that puts each whole line into an output: what `sys.stderr` is while the agent runs."""

    def __init__(self, output: Output, descriptor: int) -> None:
        """Stand for the stream of `descriptor`."""
        super().__init__()
        self._output, self._descriptor = output, descriptor
        self._parts = threading.local()  # `print` writes a line in pieces

    @property
    def encoding(self) -> str:  # type: ignore[override]  # the base class has a plain attribute
        """Of what is written."""
        return "utf-8"

    def writable(self) -> bool:
        """Yes."""
        return True

    def fileno(self) -> int:
        """Return the descriptor, for who wants to write past us (faulthandler)."""
        return self._descriptor

    def write(self, text: str) -> int:
        """Put the lines that are whole now."""
        *whole, rest = (getattr(self._parts, "rest", "") + text).split("\n")
        self._parts.rest = rest[:LONGEST]
        for line in whole:
            self._output.put(line)
        return len(text)

    def flush(self) -> None:
        """Put what was written of the last line of this thread."""
        rest = getattr(self._parts, "rest", "")
        self._parts.rest = ""
        if rest:
            self._output.put(rest)


def take_over(metrics: ProcessMetrics) -> Output:
    """Send everything that this process says to its standard error through one output, from now to its end, and return that."""
    for descriptor in (0, *_STANDARD):
        _hold(descriptor)
    for descriptor in _STANDARD:
        _never_wait(descriptor)
    output = Output(2, metrics)
    sys.stdout, sys.stderr = Lines(output, 1), Lines(output, 2)
    atexit.register(output.flush, LAST_WORDS)
    return output


def _hold(descriptor: int) -> None:
    """Open /dev/null where a standard descriptor is closed: else the next file has its number, and messages are written into that."""
    try:
        os.fstat(descriptor)
    except OSError:
        null = os.open(os.devnull, os.O_RDWR)
        if null != descriptor:
            os.dup2(null, descriptor)
            os.close(null)


def _never_wait(descriptor: int) -> None:
    """Let a write to a descriptor fail instead of waiting for a reader.

    A pipe or a terminal is opened again, since O_NONBLOCK on the one that we were given would hold for other processes, too. A socket (the
    journal's) cannot be opened again: it waits a second at most. A file on a disk is left as it is: it waits for nobody.
    """
    mode = os.fstat(descriptor).st_mode
    with suppress(OSError):  # a pipe without a reader, a terminal of another user: as it is, then, and only the thread waits
        if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
            own = os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
            os.dup2(own, descriptor)
            os.close(own)
        elif stat.S_ISSOCK(mode):
            with socket.socket(fileno=os.dup(descriptor)) as journal:
                journal.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 1, 0))
