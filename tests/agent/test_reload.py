"""SIGHUP with another spool directory: what is left behind is said, and stays as it is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import zmq

from device_agent import status
from device_agent.spool import tools

CONFIG = """
[device]
id = "board-7"
[aws]
region = "us-east-1"
endpoint_url = "http://127.0.0.1:1"
[spool]
directory = "{folder}/{spool}"
max_bytes = "4 MiB"
[agent]
flush = 0
[[input]]
name = "orders"
pattern = "rep"
bind = ["ipc://{folder}/orders"]
stream = "events"
[[input]]
name = "sensors"
pattern = "pull"
bind = ["ipc://{folder}/sensors"]
stream = "events"
max_reading = "1 KiB"
[[stream]]
name = "events"
queue = "http://127.0.0.1:1/123456789012/events.fifo"
"""


def answers(directory: Path) -> None:
    until = time.monotonic() + 20
    while True:
        try:
            status.ask(directory)
        except status.NotRunning:
            assert time.monotonic() < until, f"no agent in {directory}"
            time.sleep(0.05)
        else:
            return


def test_another_spool_directory_warns_of_what_stays_in_the_old_one_and_large_readings_are_logged_once(tmp_path: Path) -> None:
    config, log = tmp_path / "agent.toml", tmp_path / "log"
    config.write_text(CONFIG.format(folder=tmp_path, spool="old"))
    environ = os.environ | {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y", "AWS_EC2_METADATA_DISABLED": "true"}
    command = [sys.executable, "-m", "device_agent.cli", "run", "--config", str(config)]
    with log.open("wb") as output, subprocess.Popen(command, env=environ, stderr=output) as agent, zmq.Context() as context:
        try:
            answers(tmp_path / "old")
            with context.socket(zmq.REQ) as client, context.socket(zmq.PUSH) as push:
                client.connect(f"ipc://{tmp_path}/orders")
                push.connect(f"ipc://{tmp_path}/sensors")
                for _ in range(3):
                    push.send(b"x" * 2000)
                    client.send(b"reading")
                    assert client.poll(10_000)
                    assert b'"ok":true' in client.recv()
            config.write_text(CONFIG.format(folder=tmp_path, spool="new"))
            agent.send_signal(signal.SIGHUP)
            answers(tmp_path / "new")
            agent.send_signal(signal.SIGTERM)
            assert agent.wait(20) == 0
        finally:
            agent.kill()
    lines = log.read_text().splitlines()
    (left,) = [line for line in lines if "the old spool directory still holds readings" in line]
    assert f"directory={tmp_path}/old readings=3" in left
    assert sum(one.waiting for one in tools.ls(str(tmp_path / "old"))) == 3
    (large,) = [line for line in lines if "a reading is too large and was set aside" in line]
    assert "input=sensors stream=events since_start=1 reason=" in large
