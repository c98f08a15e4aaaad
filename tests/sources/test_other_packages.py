"""Kinds of other packages: the one of docs/sources.md, word for word, and those that cannot be used."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from device_agent.config.sources import BUILT_IN
from localcloud.ministack import fake_credentials
from tests.lab.agent import wait_for
from tests.lab.ports import own_ports

DOCS = Path(__file__).parents[2] / "docs" / "sources.md"
CONFIG = """
[device]
id = "board-7"
[aws]
region = "eu-central-1"
endpoint_url = "http://127.0.0.1:1"
[spool]
directory = "{folder}/spool"
[[input]]
name = "meter"
kind = "udp"
stream = "telemetry"
{keys}
[[stream]]
name = "telemetry"
queue = "https://sqs.eu-central-1.amazonaws.com/123456789012/telemetry"
"""


def package(folder: Path, source: str) -> dict[str, str]:
    """Install a package as pip does, in a folder of its own; return the environment that has it."""
    site = folder / "site"
    (site / "udp_source-1.0.dist-info").mkdir(parents=True)
    (site / "udp_source.py").write_text(source)
    (site / "udp_source-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: udp-source\nVersion: 1.0\n")
    (site / "udp_source-1.0.dist-info" / "entry_points.txt").write_text("[device_agent.sources]\nudp = udp_source:UdpConfig\n")
    return os.environ | fake_credentials() | {"PYTHONPATH": f"{site}:{DOCS.parents[1]}"}


def documented() -> str:
    found = re.search(r"```python\n(# udp_source.py\n.*?)```", DOCS.read_text(), re.DOTALL)
    assert found is not None
    return found.group(1)


def said(folder: Path, environ: dict[str, str], keys: str, *words: str) -> tuple[int, str]:
    file = folder / "agent.toml"
    file.write_text(CONFIG.format(folder=folder, keys=keys))
    command = [sys.executable, "-m", "device_agent.cli", *words, "--config", str(file)]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, cwd=folder)
    return done.returncode, done.stdout + done.stderr


def test_the_kind_in_the_docs_works_as_ours_do(tmp_path: Path) -> None:
    environ, port = package(tmp_path, documented()), own_ports(1)[0]
    keys = f'listen = "127.0.0.1:{port}"\nmax_reading = "1000 B"'
    code, text = said(tmp_path, environ, keys, "check")
    assert code == 0, text
    assert re.search(rf"meter +udp +listen 127.0.0.1:{port}", text)
    command = [sys.executable, "-m", "device_agent.cli", "run", "--config", str(tmp_path / "agent.toml")]
    with (tmp_path / "log").open("wb") as log, subprocess.Popen(command, env=environ, stderr=log, cwd=tmp_path) as agent:
        try:
            wait_for(lambda: said(tmp_path, environ, keys, "status")[0] == 0, what="the agent")
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.settimeout(120)
                client.connect(("127.0.0.1", port))
                answers = []
                for payload in (b"one", b"two", b"x" * 1001):
                    client.send(payload)
                    answers.append(client.recv(1000).decode())
            assert answers[:2] == ["ok 1", "ok 2"]
            assert answers[2].startswith("no ")
            agent.send_signal(signal.SIGTERM)
            assert agent.wait(120) == 0
        finally:
            agent.kill()
    rows: list[Any] = [json.loads(line) for line in said(tmp_path, environ, keys, "spool", "cat")[1].splitlines()]
    assert [(row["topic"], row["data"]) for row in rows] == [("127.0.0.1", "one"), ("127.0.0.1", "two")]


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ('listen = "9000x"', "13: input.listen: '9000x' is not an address and a port, such as 127.0.0.1:9000"),
        ("listen = 9000", "13: input.listen: must be a text in quotes"),
        ("baud = 9600", "13: input.baud: unknown key; known here: name, kind, stream, route, window, max_reading, listen"),
    ],
)
def test_mistakes_in_its_keys_are_lines_as_ours_are(tmp_path: Path, keys: str, line: str) -> None:
    code, text = said(tmp_path, package(tmp_path, documented()), keys, "check")
    assert code != 0
    assert f"agent.toml:{line.replace('a text', 'text')}" in text


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("import socket", "import not_there"), "cannot be imported (ModuleNotFoundError: No module named 'not_there')"),
        (
            ("class UdpConfig(SourceConfig)", "class UdpConfig"),
            "is no dataclass derived from SourceConfig with a SOURCE",
        ),
        (("class UdpConfig", "class Other"), "cannot be imported (AttributeError: module 'udp_source' has no attribute 'UdpConfig')"),
        (("def place", "def somewhere"), "has no property `place`; see docs/sources.md"),
    ],
)
def test_a_package_that_cannot_be_used_is_named(tmp_path: Path, change: tuple[str, str], reason: str) -> None:
    code, text = said(tmp_path, package(tmp_path, documented().replace(*change)), "", "check")
    assert code != 0
    assert f"agent.toml:11: input.kind: kind 'udp': udp_source:UdpConfig {reason}" in text
    assert "unknown key" not in text


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ("udp_source:Nothing", "SOURCE is 'udp_source:Nothing': module 'udp_source' has no attribute 'Nothing'"),
        ("nowhere:Udp", "needs what nowhere:Udp imports (No module named 'nowhere')"),
    ],
)
def test_a_source_that_is_not_there_is_named(tmp_path: Path, wrong: str, reason: str) -> None:
    code, text = said(tmp_path, package(tmp_path, documented().replace("udp_source:Udp", wrong)), "", "check")
    assert code != 0
    assert reason in text


def test_a_kind_that_nobody_brings_names_those_that_are_there(tmp_path: Path) -> None:
    environ = package(tmp_path, documented()) | {"PYTHONPATH": str(DOCS.parents[1])}
    assert f"input.kind: must be one of zeromq, {', '.join(BUILT_IN)}\n" in said(tmp_path, environ, "", "check")[1]
