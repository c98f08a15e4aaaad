"""Nobody reads standard error, the disk under it is full, or it is closed: no thread that carries data waits for that.

The public reports: OpenViking 2752 (logging.StreamHandler holds its lock while it writes, so every thread that logs waits for ever),
pyrdp 175 (a pipe that Docker does not read stops the program in write(2)), pyshark 26 (likewise).
"""

from __future__ import annotations

import fcntl
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from device_agent import events
from device_agent.metrics import ProcessMetrics
from device_agent.output import Lines, Output
from localcloud.cloud import ROOT
from tests.lab.agent import wait_for
from tests.lab.board import Board

WORDS = re.compile(r"lines of the log were dropped here.* lines=(\d+)")


def _pipe() -> tuple[int, int]:
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    return reader, writer


def _socket() -> tuple[int, int]:
    ours, theirs = socket.socketpair()
    return ours.detach(), theirs.detach()


class Pipe:
    """A pipe, or the like, that is full from the beginning."""

    def __init__(self, make: Callable[[], tuple[int, int]] = _pipe) -> None:
        self.reader, self.writer = make()
        os.set_blocking(self.writer, False)
        with suppress(BlockingIOError):
            while os.write(self.writer, b"." * 63 + b"\n"):
                pass
        os.set_blocking(self.writer, True)

    def read_until(self, text: str) -> str:
        """Read until the text has come, and return everything that was read."""
        found = ""
        while text not in found:
            part = os.read(self.reader, 65536).decode()
            assert part, f"the end came before {text!r}: {found[-2000:]}"
            found += part
        return found

    def close(self) -> None:
        for descriptor in (self.reader, self.writer):
            os.close(descriptor)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    made.close()


@contextmanager
def output(descriptor: int, *, lines: int) -> Iterator[tuple[Output, ProcessMetrics]]:
    """An output that the log goes to; afterwards it goes where it went before."""
    metrics, log = ProcessMetrics(), events._log
    before = log.handlers[:], log.level, log.propagate
    made = Output(descriptor, metrics, lines=lines)
    events.configure("info", journal=False, output=made)
    yield made, metrics
    made.close()
    log.handlers[:], log.level, log.propagate = before


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Board]:
    with Board(tmp_path) as made:
        yield made


@pytest.mark.parametrize("kind", [_pipe, _socket, os.openpty], ids=["pipe", "socket", "terminal"])
def test_the_agent_works_and_stops_while_nobody_reads_its_log(lab: Board, kind: Callable[[], tuple[int, int]]) -> None:
    with closing(Pipe(kind)) as pipe:
        _works_and_stops(lab, pipe)


def _works_and_stops(lab: Board, pipe: Pipe) -> None:
    lab.agent.output = pipe.writer
    lab.agent.start()
    assert all(answer.ok for answer in lab.ask(50))
    lab.everything_arrives(60)
    for _ in range(3):
        lab.agent.signal(signal.SIGHUP)
    assert all(answer.ok for answer in lab.ask(50))
    assert lab.agent.stop(60) == 0


def test_what_was_said_meanwhile_is_written_when_the_log_is_read_again(lab: Board, pipe: Pipe) -> None:
    lab.agent.output = pipe.writer
    lab.agent.start()
    text = pipe.read_until("started device=")
    assert text.index("a new epoch begins") < text.index("listening input=orders") < text.index("started device=")
    assert lab.agent.stop(60) == 0
    pipe.read_until("stopped; everything was sent")


@pytest.mark.parametrize("place", ["full disk", "closed pipe", "closed descriptor"])
def test_the_agent_works_where_its_log_cannot_be_written(lab: Board, place: str) -> None:
    wrapper: tuple[str, ...] = ()
    if place == "full disk":
        lab.agent.output = os.open("/dev/full", os.O_WRONLY)
    elif place == "closed pipe":
        reader, lab.agent.output = os.pipe()
        os.close(reader)
    else:
        wrapper = ("sh", "-c", 'exec "$0" "$@" 1>&- 2>&-')
    lab.agent.start(*wrapper)
    if lab.agent.output is not None:
        os.close(lab.agent.output)
    assert all(answer.ok for answer in lab.ask(50))
    lab.everything_arrives(60)
    dropped = lab.agent.status()["metrics"]["process"]["log_lines_dropped"]
    assert (dropped > 0) is (place != "closed descriptor")
    for number in (1, 2):
        assert lab.agent.folder not in Path(f"/proc/{lab.agent.pid}/fd/{number}").readlink().parents
    assert lab.agent.stop(60) == 0


def test_a_wrong_configuration_ends_the_start_though_nobody_reads_why(tmp_path: Path, pipe: Pipe) -> None:
    (tmp_path / "agent.toml").write_text("[device]\n" + "nonsense = 1\n")
    with subprocess.Popen(
        [sys.executable, "-m", "device_agent.cli", "run", "--config", str(tmp_path / "agent.toml")], cwd=ROOT, stderr=pipe.writer
    ) as process:
        assert process.wait(60) == 2


SAYS = """
import os, sys, threading, warnings
from device_agent.metrics import ProcessMetrics
from device_agent.output import take_over
take_over(ProcessMetrics())
os.write(int(sys.argv[1]), b"x")
for number in range(3000):
    print("print", number)
    print("error", number, file=sys.stderr)
    try:
        os.write(2, b"a C library\\n")
    except BlockingIOError:
        pass
warnings.warn("a warning")
thread = threading.Thread(target=lambda: 1 / 0)
thread.start()
thread.join()
raise RuntimeError("the last words")
"""


def _says(stderr: int) -> subprocess.Popen[bytes]:
    reader, writer = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-c", SAYS, str(writer)], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=stderr, pass_fds=(writer,)
    )
    os.close(writer)
    os.read(reader, 1)
    os.close(reader)
    return process


def test_nothing_that_a_program_says_waits_for_the_reader(pipe: Pipe) -> None:
    with _says(pipe.writer) as process:
        assert process.wait(60) == 1


def test_the_last_words_are_written_when_an_exception_ends_the_process(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as log, _says(log.fileno()) as process:
        assert process.wait(60) == 1
    text = (tmp_path / "log").read_text()
    assert text.rstrip().endswith("RuntimeError: the last words")
    assert "ZeroDivisionError" in text
    assert "UserWarning: a warning" in text


def test_the_oldest_lines_are_dropped_in_order_and_counted(pipe: Pipe) -> None:
    with output(pipe.writer, lines=100) as (made, metrics):
        for number in range(1000):
            made.put(f"line {number}")
        assert not made.flush(0.01)
        dropped = wait_for(lambda: metrics.log_lines_dropped)
        text = pipe.read_until("line 999")
    numbers = [int(word) for word in re.findall(r"^line (\d+)$", text, re.MULTILINE)]
    assert numbers == sorted(numbers)
    assert numbers[-99:] == list(range(901, 1000))
    assert sum(int(count) for count in WORDS.findall(text)) == dropped == 1000 - len(numbers)


def test_two_threads_and_prints_in_pieces_make_whole_lines() -> None:
    reader, writer = os.pipe()
    with output(writer, lines=10_000) as (made, _):
        stream = Lines(made, 2)

        def say(name: str) -> None:
            for number in range(200):
                print(name, number, "of", "many", file=stream)

        threads = [threading.Thread(target=say, args=(name,)) for name in ("a", "b")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print("the end", end="", file=stream, flush=True)
    os.close(writer)
    with os.fdopen(reader) as text:
        found = text.read().splitlines()
    for name in ("a", "b"):
        assert [line for line in found if line.startswith(name)] == [f"{name} {number} of many" for number in range(200)]
    assert found[-1] == "the end"


def test_a_line_that_cannot_be_formatted_ends_no_thread(capsys: pytest.CaptureFixture[str]) -> None:
    reader, writer = os.pipe()
    with output(writer, lines=10) as (made, _):
        events._log.warning("%d", "no number")
        events.stopped(waiting=0)
        assert made.flush(60)
    os.close(writer)
    with os.fdopen(reader) as text:
        assert "stopped; everything was sent" in text.read()
    assert "no number" in capsys.readouterr().err
