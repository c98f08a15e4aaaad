"""SIGHUP: what a full stream holds is not lost, and what stays behind on disk is said, and stays as it is."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import zmq

from device_agent import status
from device_agent.spool import tools
from device_agent.wire import block
from tests.fakes.sqs import FakeSqs, Fault

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
    until = time.monotonic() + 120
    while True:
        try:
            status.ask(directory)
        except status.NotRunning:
            assert time.monotonic() < until, f"no agent in {directory}"
            time.sleep(0.05)
        else:
            return


BLOCKED = """
[device]
id = "board-7"
[aws]
region = "us-east-1"
endpoint_url = "{endpoint}"
[spool]
directory = "{folder}/spool"
max_bytes = "1 MiB"
[agent]
flush = 0
drain = "200ms"
[uplink]
backoff_first = "50ms"
backoff_cap = "100ms"
[[input]]
name = "sensors"
pattern = "pull"
bind = ["ipc://{folder}/sensors"]
stream = "telemetry"
high_water_mark = 10
[[stream]]
name = "telemetry"
queue = "{queue}"
linger = "{linger}s"
{more}
"""
MORE = """
[[input]]
name = "more"
pattern = "rep"
bind = ["ipc://{folder}/more"]
stream = "telemetry"
reply = "{reply}"
"""


@contextlib.contextmanager
def agent_of(config: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    environ = os.environ | {"AWS_ACCESS_KEY_ID": "AKIDTEST", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_EC2_METADATA_DISABLED": "true"}
    command = [sys.executable, "-m", "device_agent.cli", "run", "--config", str(config)]
    with log.open("ab") as output, subprocess.Popen(command, env=environ, stderr=output) as agent:
        try:
            yield agent
            agent.send_signal(signal.SIGTERM)
            assert agent.wait(120) == 0
        finally:
            agent.kill()


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def started(log: Path, times: int) -> bool:
    return log.read_text().count("started device") == times


def asked(directory: Path) -> dict[str, Any]:
    answers(directory)
    return status.ask(directory)


def arrived(sqs: FakeSqs) -> list[int]:
    events = map(json.loads, sqs.bodies("telemetry"))
    payloads = [payload for event in events for payload in block.decode(base64.b64decode(event["data_base64"])).payloads]
    return sorted(int(bytes(payload[:6])) for payload in payloads if isinstance(payload, bytes) and len(payload) > 1000)


@pytest.mark.parametrize("step", [0, 1], ids=["inputs-change", "the-stream-changes"])
def test_reloads_while_a_stream_is_full_lose_nothing_of_a_push(tmp_path: Path, step: int) -> None:
    """Where the stream changes, too, what the old spool had in memory was lost."""
    config, log, spool = tmp_path / "agent.toml", tmp_path / "log", tmp_path / "spool"
    with FakeSqs() as sqs, zmq.Context() as context, context.socket(zmq.PUSH) as push, context.socket(zmq.REQ) as client:
        values = {"folder": tmp_path, "endpoint": sqs.endpoint, "queue": sqs.create("telemetry")}
        sqs.script(Fault("error", "ServiceUnavailable", status=503, times=None))
        config.write_text(BLOCKED.format(**values, linger=1, more=""))
        push.setsockopt(zmq.SNDHWM, 100)
        push.setsockopt(zmq.LINGER, 0)
        push.connect(f"ipc://{tmp_path}/sensors")
        client.setsockopt(zmq.LINGER, 0)
        client.connect(f"ipc://{tmp_path}/more")
        sent = 0
        with agent_of(config, log) as agent:
            answers(spool)

            def push_until_it_waits() -> None:
                nonlocal sent
                while push.poll(200, zmq.POLLOUT) or "full" not in asked(spool)["spool"]["streams"]["telemetry"]["why"]:
                    with contextlib.suppress(zmq.Again):
                        push.send(b"%06d" % sent + os.urandom(2000), zmq.NOBLOCK)
                        sent += 1

            push_until_it_waits()
            assert "full" in asked(spool)["spool"]["streams"]["telemetry"]["why"]
            for count, reply in ((2, "one"), (3, "two"), (4, "three")):
                more = MORE.format(folder=tmp_path, reply=reply)
                config.write_text(BLOCKED.format(**values, linger=1 + step * count, more=more))
                agent.send_signal(signal.SIGHUP)
                until(partial(started, log, count))
                push_until_it_waits()
            assert list(asked(spool)["inputs"]) == ["sensors", "more"]
            sqs.heal()
            until(lambda: arrived(sqs) == list(range(sent)))
            assert sent > 200
            client.send(b"now there is room")
            assert client.poll(120_000)
            assert client.recv() == b"three"  # the last change was taken as well
            assert asked(spool)["metrics"]["inputs"]["sensors"]["lost"] == 0
    assert "are lost" not in log.read_text()
    assert log.read_text().count("listening input=sensors") == 1
    assert log.read_text().count("listening input=more") == 1


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
                    assert client.poll(120_000)
                    assert b'"ok":true' in client.recv()
            config.write_text(CONFIG.format(folder=tmp_path, spool="new"))
            agent.send_signal(signal.SIGHUP)
            answers(tmp_path / "new")
            agent.send_signal(signal.SIGTERM)
            assert agent.wait(120) == 0
        finally:
            agent.kill()
    lines = log.read_text().splitlines()
    (left,) = [line for line in lines if "the old spool directory still holds readings" in line]
    assert f"directory={tmp_path}/old readings=3" in left
    assert sum(one.waiting for one in tools.ls(str(tmp_path / "old"))) == 3
    (large,) = [line for line in lines if "a reading is too large and was set aside" in line]
    assert "input=sensors stream=events since_start=1 reason=" in large
