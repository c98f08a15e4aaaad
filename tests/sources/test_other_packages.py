"""Kinds of other packages: the one of docs/sources.md, word for word, and those that cannot be used."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from device_agent.config.sources import BUILT_IN
from localcloud.ministack import fake_credentials
from tests.lab.agent import wait_for

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
kind = "lines"
stream = "telemetry"
{keys}
[[stream]]
name = "telemetry"
queue = "https://sqs.eu-central-1.amazonaws.com/123456789012/telemetry"
"""


def package(folder: Path, source: str, target: str = "lines_source:LinesConfig") -> dict[str, str]:
    """Install a package as pip does, in a folder of its own; return the environment that has it."""
    site = folder / "site"
    (site / "lines_source-1.0.dist-info").mkdir(parents=True)
    (site / "lines_source.py").write_text(source)
    (site / "lines_source-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: lines-source\nVersion: 1.0\n")
    (site / "lines_source-1.0.dist-info" / "entry_points.txt").write_text(f"[device_agent.sources]\nlines = {target}\n")
    return os.environ | fake_credentials() | {"PYTHONPATH": f"{site}:{DOCS.parents[1]}"}


def documented() -> str:
    found = re.search(r"```python\n(# lines_source.py\n.*?)```", DOCS.read_text(), re.DOTALL)
    assert found is not None
    return found.group(1)


def said(folder: Path, environ: dict[str, str], keys: str, *words: str) -> tuple[int, str]:
    file = folder / "agent.toml"
    file.write_text(CONFIG.format(folder=folder, keys=keys))
    command = [sys.executable, "-m", "device_agent.cli", *words, "--config", str(file)]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, cwd=folder)
    return done.returncode, done.stdout + done.stderr


def test_the_kind_in_the_docs_works_as_ours_do(tmp_path: Path) -> None:
    environ = package(tmp_path, documented())
    fifo = tmp_path / "port"
    os.mkfifo(fifo)
    code, text = said(tmp_path, environ, f'path = "{fifo}"', "check")
    assert code == 0, text
    assert re.search(rf"meter +lines +read {fifo} +the path +telemetry", text)
    command = [sys.executable, "-m", "device_agent.cli", "run", "--config", str(tmp_path / "agent.toml")]
    with (tmp_path / "log").open("wb") as log, subprocess.Popen(command, env=environ, stderr=log, cwd=tmp_path) as agent:
        try:
            with fifo.open("wb", buffering=0) as port:
                port.write(b"one\ntwo\nthr")
                port.write(b"ee\n")

                def kept() -> list[Any]:
                    rows = said(tmp_path, environ, f'path = "{fifo}"', "spool", "cat")[1].splitlines()
                    return [(row["topic"], row["data"]) for row in map(json.loads, rows)]

                wait_for(lambda: kept() == [(str(fifo), "one"), (str(fifo), "two"), (str(fifo), "three")], what="the readings")
                agent.send_signal(signal.SIGTERM)
                assert agent.wait(120) == 0
        finally:
            agent.kill()


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ('path = "port"', "13: input.path: must be a whole path"),
        ("", "9: input.path: missing; it has no default"),
        ('path = "/p"\nbaud = 9600', "14: input.baud: unknown key; known here: name, kind, stream, route, window, max_reading, path"),
    ],
)
def test_mistakes_in_its_keys_are_lines_as_ours_are(tmp_path: Path, keys: str, line: str) -> None:
    code, text = said(tmp_path, package(tmp_path, documented()), keys, "check")
    assert code != 0
    assert f"agent.toml:{line}" in text


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import not_there\n", "lines_source:LinesConfig cannot be imported (ModuleNotFoundError: No module named 'not_there')"),
        ("LinesConfig = 1\n", "lines_source:LinesConfig is no dataclass derived from SourceConfig with a SOURCE; see docs/sources.md"),
        ("class Other: pass\n", "lines_source:LinesConfig cannot be imported (AttributeError: module "),
    ],
)  # fmt: skip
def test_a_package_that_cannot_be_used_is_named(tmp_path: Path, source: str, reason: str) -> None:
    code, text = said(tmp_path, package(tmp_path, source), 'path = "/p"', "check")
    assert code != 0
    assert f"agent.toml:11: input.kind: kind 'lines': {reason}" in text
    assert "unknown key" not in text


def test_a_kind_that_nobody_brings_names_those_that_are_there(tmp_path: Path) -> None:
    environ = package(tmp_path, documented()) | {"PYTHONPATH": str(DOCS.parents[1])}
    assert f"input.kind: must be one of zeromq, {', '.join(BUILT_IN)}\n" in said(tmp_path, environ, "", "check")[1]
