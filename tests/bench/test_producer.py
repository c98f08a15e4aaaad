"""The C producer sends what the file holds, in order, over and over."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import zmq

from bench import native, processes
from bench.readings import Readings

pytestmark = pytest.mark.skipif(not any(map(shutil.which, ("gcc", "cc", "clang"))), reason="no C compiler")
READINGS = Readings("some", [b"one", b"", b"three\0"])


def test_it_pushes_the_readings_of_its_file_round_and_round(tmp_path: Path) -> None:
    file = READINGS.write(tmp_path / "readings.bin")
    with zmq.Context() as context, context.socket(zmq.PULL) as socket:
        socket.rcvtimeo = 10_000
        port = socket.bind_to_random_port("tcp://127.0.0.1")
        producer = processes.Process(
            [str(native.producer()), "push", f"tcp://127.0.0.1:{port}", str(file), "7", "0"], log=tmp_path / "log"
        )  # fmt: skip
        received = [socket.recv() for _ in range(7)]
        said = producer.result()
    assert received == (READINGS.payloads * 3)[:7]
    assert said["count"] == 7
    assert said["end"] >= said["start"] > 0


def test_its_clients_wait_for_their_answers(tmp_path: Path) -> None:
    file = READINGS.write(tmp_path / "readings.bin")
    echo = processes.Process(processes.python("bench.references", "echo"), log=tmp_path / "log")
    try:
        found = processes.run([str(native.producer()), "req", echo.line()["endpoint"], str(file), "3", "0.2"], log=tmp_path / "log")
    finally:
        echo.kill()
    assert found["count"] > 3
    assert 0 < found["p50"] <= found["p99"] <= found["worst"]


def test_without_a_compiler_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(native, "CACHE", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(native.NotHere, match="no C compiler"):
        native.producer()
