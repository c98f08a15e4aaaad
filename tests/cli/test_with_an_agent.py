"""`send`, `status` and `run` against a real agent whose cloud cannot be reached."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from device_agent.cli import main
from tests.lab.ports import own_ports

ROOT = Path(__file__).parents[2]
CONFIG = """\
[device]
id = "board-7"
[aws]
region = "eu-central-1"
endpoint_url = "http://127.0.0.1:1"
[spool]
directory = "{folder}/spool"
max_bytes = "4 MiB"
commit_interval = "20ms"
[agent]
flush = 0
[[input]]
name = "sensors"
pattern = "pull"
bind = ["ipc://{folder}/sensors"]
stream = "telemetry"
[[input]]
name = "topics"
pattern = "sub"
bind = ["ipc://{folder}/topics"]
topic = "first-frame"
subscribe = ["a/", "b/"]
stream = "telemetry"
[[input]]
name = "orders"
pattern = "rep"
bind = ["ipc://{folder}/orders"]
stream = "events"
[[input]]
name = "hello"
pattern = "rep"
reply = "World"
bind = ["ipc://{folder}/hello"]
stream = "events"
[[input]]
name = "jobs"
pattern = "router"
bind = ["ipc://{folder}/jobs"]
message_id = "first-frame"
stream = "events"
[[input]]
name = "plain"
pattern = "router"
bind = ["ipc://{folder}/plain"]
stream = "events"
[[input]]
name = "secret"
pattern = "rep"
bind = ["tcp://127.0.0.1:{port}"]
stream = "events"
[input.curve]
secret_key = "{folder}/keys/agent.key_secret"
allow = ["{folder}/allowed"]
[[stream]]
name = "telemetry"
queue = "http://127.0.0.1:1/123456789012/telemetry"
[[stream]]
name = "events"
queue = "http://127.0.0.1:1/123456789012/events.fifo"
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run an agent; its config file."""
    folder = tmp_path_factory.mktemp("agent")
    path = folder / "agent.toml"
    path.write_text(CONFIG.format(folder=folder, port=own_ports(1)[0]), encoding="utf-8")
    for directory, name in (("keys", "agent"), ("allowed", "friend"), ("strangers", "stranger")):
        assert main(["keys", str(folder / directory), name]) == 0
    environ = {**os.environ, "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y", "AWS_EC2_METADATA_DISABLED": "true"}
    command = [sys.executable, "-m", "device_agent.cli", "run", "--config", str(path)]
    with subprocess.Popen(command, cwd=ROOT, env=environ, stderr=subprocess.PIPE, text=True) as agent:
        try:
            deadline = time.monotonic() + 120
            while not (folder / "spool" / "status.sock").exists():
                assert agent.poll() is None, agent.stderr.read() if agent.stderr else ""
                assert time.monotonic() < deadline, "the agent did not start within 20 seconds"
                time.sleep(0.05)
            yield str(path)
            agent.send_signal(signal.SIGTERM)
            assert agent.wait(120) == 0
        finally:
            agent.kill()


def send(config: str, name: str, *words: str) -> int:
    return main(["send", "--config", config, "--input", name, "--timeout", "10s", *words])


def test_rep_inputs_answer_each_reading_when_it_is_on_disk(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert send(config, "orders", "a", "", "\udcff") == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [answer["ok"] for answer in answers] == [True] * 3
    assert [answer["seq"] - answers[0]["seq"] for answer in answers] == [0, 1, 2]


def test_a_fixed_reply_is_shown_as_it_is(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert send(config, "hello", "Hello") == 0
    assert capsys.readouterr().out == "World\n"


@pytest.mark.parametrize("name", ["jobs", "plain"])
def test_router_inputs_answer_in_the_order_of_the_readings(name: str, config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert send(config, name, "", *map(str, range(300))) == 0
    seqs = [json.loads(line)["seq"] for line in capsys.readouterr().out.splitlines()]
    assert seqs == list(range(seqs[0], seqs[0] + 301))


def test_a_refusal_is_shown_and_is_exit_code_1(config: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    large = tmp_path / "large"
    large.write_bytes(b"x" * 600_000 + b"\n")
    command = [sys.executable, "-m", "device_agent.cli", "send", "--config", config, "--input", "orders"]
    with large.open("rb") as lines:
        done = subprocess.run(command, cwd=ROOT, stdin=lines, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert json.loads(done.stdout)["ok"] is False


def test_an_encrypted_input_answers_a_key_that_is_allowed_and_nobody_else(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path(config).parent
    capsys.readouterr()
    assert send(config, "secret", "--key", str(folder / "allowed" / "friend.key_secret"), "x") == 0
    assert json.loads(capsys.readouterr().out)["ok"] is True
    stranger = str(folder / "strangers" / "stranger.key_secret")
    assert main(["send", "--config", config, "--input", "secret", "--timeout", "500ms", "--key", stranger, "x"]) == 1
    assert send(config, "secret", "x") == 2
    assert "name this client's secret key with --key" in capsys.readouterr().err


def test_keys_are_for_their_owner_alone_and_never_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", str(tmp_path), "plc"]) == 0
    secret = tmp_path / "plc.key_secret"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert str(secret) in capsys.readouterr().out
    before = secret.read_bytes()
    assert main(["keys", str(tmp_path), "plc"]) == 2
    assert secret.read_bytes() == before


def test_pull_inputs_take_readings_without_a_word(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = received(config, "sensors", capsys)
    assert send(config, "sensors", "x", "y", "z") == 0
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "handed over: 3; a pull input acknowledges nothing\n")
    wait_for_received(config, "sensors", before + 3, capsys)


def test_sub_inputs_get_what_they_subscribe_to_and_other_topics_are_an_error(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = received(config, "topics", capsys)
    assert send(config, "topics", "--topic", "b/1", "x") == 0
    assert send(config, "topics", "--topic", "c/1", "x") == 1
    assert 'does not subscribe to the topic "c/1"; it subscribes to ' in capsys.readouterr().err
    wait_for_received(config, "topics", before + 1, capsys)


def received(config: str, name: str, capsys: pytest.CaptureFixture[str]) -> int:
    capsys.readouterr()
    assert main(["status", "--config", config, "--json"]) == 0
    count: int = json.loads(capsys.readouterr().out)["metrics"]["inputs"][name]["received"]
    return count


def wait_for_received(config: str, name: str, wanted: int, capsys: pytest.CaptureFixture[str]) -> None:
    deadline = time.monotonic() + 120
    while received(config, name, capsys) != wanted:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_status_shows_inputs_streams_and_what_is_wrong(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert send(config, "orders", "a") == 0
    capsys.readouterr()
    assert main(["status", "--config", config]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("device board-7: running for ")
    rows = [line.split() for line in shown.splitlines()]
    assert {row[0] for row in rows if row} >= {"sensors", "topics", "orders", "hello", "jobs", "plain", "telemetry", "events"}
    assert next(row for row in rows if row[:1] == ["orders"])[1] == "rep"


def test_the_log_on_disk_can_be_looked_into_beside_the_agent(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert send(config, "orders", "look at me") == 0
    seq = json.loads(capsys.readouterr().out)["seq"]
    for action in ("ls", "verify"):
        assert main(["spool", action, "--config", config]) == 0
        assert "events" in capsys.readouterr().out or action == "verify"
    assert main(["spool", "cat", "--config", config, "--stream", "events", "--first", str(seq)]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[0])["data"] == "look at me"
    assert main(["spool", "repair", "--config", config]) == 2
    assert "in use by another agent, pid" in capsys.readouterr().err


def test_a_second_agent_on_the_same_spool_is_exit_code_2(config: str, tmp_path: Path) -> None:
    text = Path(config).read_text(encoding="utf-8")
    other = tmp_path / "other.toml"
    other.write_text(
        text.replace("ipc://", f"ipc://{tmp_path}").replace(f"{tmp_path}{Path(config).parent}", str(tmp_path)), encoding="utf-8"
    )
    done = subprocess.run(
        [sys.executable, "-m", "device_agent.cli", "run", "--config", str(other)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_nobody_there_is_exit_code_1_and_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "agent.toml"
    path.write_text(CONFIG.format(folder=tmp_path, port=own_ports(1)[0]), encoding="utf-8")
    assert main(["status", "--config", str(path)]) == 1
    for name in ("sensors", "topics", "orders", "jobs"):
        assert main(["send", "--config", str(path), "--input", name, "--timeout", "200ms", "x"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 5
    assert lines[0].startswith(f"device-agent: no agent has run in {tmp_path}/spool: there is no such directory; start it")
    assert all("no agent took the reading or answered within 0.2 s" in line for line in lines[1:])


def test_an_input_that_is_not_there_is_exit_code_2(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert send(config, "nonsense", "x") == 2
    assert "no ZeroMQ [[input]] has the name 'nonsense'; there are: sensors" in capsys.readouterr().err
    assert main(["send", "--config", config, "--input", "orders", "--timeout", "5"]) == 2
    assert main(["send", "--config", config, "--input", "orders", "--endpoint", "nonsense", "x"]) == 2
