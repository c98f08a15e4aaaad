"""`check --online` as a command: all inputs at the same time, each with its place in the file; also beside the running agent."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from device_agent import uplink
from device_agent.cli import main
from device_agent.config import SourceConfig
from device_agent.sources import Outcome, Place, Source, probe
from device_agent.sources.http import Http
from device_agent.uplink.probe import Look as QueueLook
from localcloud.ministack import fake_credentials
from tests.lab.agent import wait_for
from tests.lab.ports import own_ports
from tests.sources.looks import PLACE, http
from tests.sources.test_agent import post

CONFIG = """
[device]
id = "board-7"
[aws]
region = "eu-central-1"
[spool]
directory = "{folder}/spool"
[[input]]
name = "scripts"
kind = "http"
listen = "127.0.0.1:{port}"
stream = "telemetry"
[[input]]
name = "meters"
kind = "poll"
endpoints = ["tcp://127.0.0.1:{other}"]
timeout = "100ms"
stream = "telemetry"
[[stream]]
name = "telemetry"
queue = "https://sqs.eu-central-1.amazonaws.com/123456789012/telemetry"
"""


def test_all_are_tried_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    together = threading.Barrier(3)

    class Waits:
        def __init__(self, settings: SourceConfig, _place: Place) -> None:
            self.name = settings.name

        def probe(self) -> str | None:
            together.wait(60)
            if self.name == "broken":
                raise ZeroDivisionError("a bug")
            return None if self.name == "other" else "good"

    monkeypatch.setattr("device_agent.sources.http.Http", Waits)
    seen = {look.name: look for look in probe([http(name=name) for name in ("broken", "other", "good")], PLACE)}
    assert seen["broken"].outcome is Outcome.WRONG
    assert seen["broken"].sentence == "ZeroDivisionError: a bug"
    assert seen["other"].outcome is Outcome.UNTRIED
    assert seen["good"].outcome is Outcome.GOOD


def test_check_online_tries_inputs_and_names_their_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(uplink, "probe", lambda *_, **__: [QueueLook(stream="telemetry", good=True, sentence="the queue answers")])
    port, other = own_ports(2)
    path = tmp_path / "agent.toml"
    path.write_text(CONFIG.format(folder=tmp_path, port=port, other=other))
    line = 1 + path.read_text().splitlines().index("[[input]]", 10)
    assert main(["check", "--config", str(path), "--online"]) == 1
    shown = capsys.readouterr().out
    assert "ok       stream telemetry: the queue answers" in shown
    assert f"ok       input scripts: can listen on 127.0.0.1:{port}" in shown
    assert f"away     {path}:{line}: input: input meters: no answer within 0.1 s: tcp://127.0.0.1:{other}" in shown
    assert main(["check", "--config", str(path)]) == 0
    assert "input meters: no answer" not in capsys.readouterr().out


def test_an_address_that_the_running_agent_has_is_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(uplink, "probe", lambda *_, **__: [])
    port, other = own_ports(2)
    path = tmp_path / "agent.toml"
    path.write_text(CONFIG.format(folder=tmp_path, port=port, other=other))
    command = [sys.executable, "-m", "device_agent.cli", "run", "--config", str(path)]
    with (tmp_path / "log").open("wb") as log, subprocess.Popen(command, env=os.environ | fake_credentials(), stderr=log) as agent:
        try:
            wait_for(lambda: post(port, b"one"), what="the agent")
            assert main(["check", "--config", str(path), "--online"]) == 1
            assert "ok       input scripts: the running agent listens there" in capsys.readouterr().out
            assert post(port, b"two") == {"ok": True, "first": 2, "last": 2}
        finally:
            agent.kill()


@pytest.mark.parametrize("entry", [{}, {"pattern": "http", "stands": True, "endpoints": ["http://127.0.0.1:1/v1/readings"]}])
def test_an_address_that_another_program_has_is_told(
    entry: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also while the agent listens on another one, as it does before a reload."""
    monkeypatch.setattr(uplink, "probe", lambda *_, **__: [])
    monkeypatch.setattr("device_agent.status.ask", lambda _directory: {"inputs": {"scripts": entry}})
    port, other = own_ports(2)
    path = tmp_path / "agent.toml"
    path.write_text(CONFIG.format(folder=tmp_path, port=port, other=other))
    with socket.create_server(("127.0.0.1", port)):
        assert main(["check", "--config", str(path), "--online"]) == 2
    shown = capsys.readouterr().out
    assert f"input scripts: cannot listen on 127.0.0.1:{port}: Address already in use; choose another address or port" in shown


def test_a_kind_without_a_probe_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(uplink, "probe", lambda *_, **__: [])
    monkeypatch.setattr(Http, "probe", Source.probe)
    path = tmp_path / "agent.toml"
    path.write_text(CONFIG.format(folder=tmp_path, port=1, other=2))
    assert main(["check", "--config", str(path), "--online"]) == 1, "the other input is away, else 0"
    assert f"warning  {path}:8: input: input scripts: kind http cannot be tried from here" in capsys.readouterr().out
