"""The whole agent with a source: from the configuration file to the log on disk, over a reload and a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from device_agent.cli import main
from localcloud.ministack import fake_credentials
from tests.lab.agent import wait_for
from tests.lab.ports import own_ports

CONFIG = """
[device]
id = "board-7"
[aws]
region = "eu-central-1"
endpoint_url = "http://127.0.0.1:1"
[spool]
directory = "{folder}/spool"
[[input]]
name = "scripts"
kind = "http"
listen = "127.0.0.1:{port}"
stream = "telemetry"
[[stream]]
name = "telemetry"
queue = "https://sqs.eu-central-1.amazonaws.com/123456789012/telemetry"
"""


def post(port: int, body: bytes) -> Any:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/readings/kitchen", data=body, timeout=60) as answer:
            return json.load(answer)
    except (urllib.error.URLError, ConnectionError):
        return None


def test_readings_are_on_disk_when_they_are_answered_over_a_reload_and_a_kill(tmp_path: Path, capsys: Any) -> None:
    old, new = own_ports(2)
    file = tmp_path / "agent.toml"
    file.write_text(CONFIG.format(folder=tmp_path, port=old))
    command = [sys.executable, "-m", "device_agent.cli", "run", "--config", str(file)]
    with (tmp_path / "log").open("wb") as log, subprocess.Popen(command, env=os.environ | fake_credentials(), stderr=log) as agent:
        try:
            assert wait_for(lambda: post(old, b"one"), what="the agent") == {"ok": True, "first": 1, "last": 1}
            file.write_text(CONFIG.format(folder=tmp_path, port=new))
            agent.send_signal(signal.SIGHUP)
            assert wait_for(lambda: post(new, b"two"), what="the reload") == {"ok": True, "first": 2, "last": 2}
            assert post(old, b"nobody") is None
        finally:
            agent.kill()
    assert main(["spool", "cat", "--config", str(file)]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["seq"], row["topic"], row["data"]) for row in rows] == [(1, "kitchen", "one"), (2, "kitchen", "two")]


def test_check_looks_at_the_files_that_are_for_the_agent_alone(tmp_path: Path, capsys: Any) -> None:
    token = tmp_path / "token"
    token.write_text("s3cret")
    token.chmod(0o644)
    file = tmp_path / "agent.toml"
    file.write_text(CONFIG.format(folder=tmp_path, port=8580).replace("[[stream]]", f'token_file = "{token}"\n[[stream]]'))
    assert main(["check", "--config", str(file)]) == 2
    said = capsys.readouterr().out
    assert "input.token_file" in said
    assert "can be read by others (mode 0644); run: chmod 600" in said
    assert "s3cret" not in said


def test_a_missing_library_is_named_with_what_to_install(tmp_path: Path, capsys: Any, monkeypatch: Any) -> None:
    file = tmp_path / "agent.toml"
    file.write_text(CONFIG.format(folder=tmp_path, port=8580))
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    monkeypatch.delitem(sys.modules, "device_agent.sources.http", raising=False)
    assert main(["check", "--config", str(file)]) == 2
    assert "kind http needs aiohttp 3.8 or newer: pip install 'device-agent[http]'" in capsys.readouterr().out


def test_check_warns_of_an_input_that_anybody_can_send_to(tmp_path: Path, capsys: Any) -> None:
    nng = 'kind = "nng"\npattern = "pull"\nbind = ["tcp://*:5560", "tcp://127.0.0.1:5561"]'
    for replaced, warned in ((nng, True), (f'kind = "http"\nlisten = "0.0.0.0:5560"\ntoken_file = "{tmp_path}/token"', False)):
        file = tmp_path / "agent.toml"
        file.write_text(CONFIG.format(folder=tmp_path, port=8580).replace('kind = "http"\nlisten = "127.0.0.1:8580"', replaced))
        main(["check", "--config", str(file)])
        said = capsys.readouterr().out
        assert ("takes readings from anybody on the network; see docs/sources.md" in said) is warned
        assert "5561 takes" not in said
